/* Certificate requests: the input as it stands, and as the DER of a PEM text, so that the fuzzer need not know base64. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/env.h"
#include "io/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t len)
{
	struct mesh__csr asked;
	struct mesh__name name;
	struct mesh__env env;

	mesh__env_init(&env);
	if (mesh__pki_csr_read(&env, text, len, &asked, NULL) == MESH_OK && asked.has_uri != mesh__spiffe_parse(asked.spiffe, strlen(asked.spiffe), &name)) {
		abort();
	}
}

static void add_base64(struct mesh__buf *out, const uint8_t *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);
		mesh__buf_chr(out, digits[bits >> 18]);
		mesh__buf_chr(out, digits[bits >> 12 & 63]);
		mesh__buf_chr(out, i + 1 < size ? digits[bits >> 6 & 63] : '=');
		mesh__buf_chr(out, i + 2 < size ? digits[bits & 63] : '=');
		if (i % 48 == 45) {
			mesh__buf_chr(out, '\n');
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__buf pem;

	check((const char *)data, size);
	mesh__buf_init(&pem, mesh__mem_libc(), 1 << 20);
	mesh__buf_str(&pem, "-----BEGIN CERTIFICATE REQUEST-----\n");
	add_base64(&pem, data, size);
	mesh__buf_str(&pem, "\n-----END CERTIFICATE REQUEST-----\n");
	if (pem.error == MESH_OK) {
		check(pem.data, pem.len);
	}
	mesh__buf_fini(&pem);
	return 0;
}
