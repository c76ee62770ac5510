/* Certificate requests: the input as it stands, and as the DER of a PEM text, so that the fuzzer need not know base64. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/env.h"
#include "io/pki.h"
#include "support/base64.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__buf pem;

	check((const char *)data, size);
	mesh__buf_init(&pem, mesh__mem_libc(), 1 << 20);
	base64_pem(&pem, "CERTIFICATE REQUEST", data, size);
	if (pem.error == MESH_OK) {
		check(pem.data, pem.len);
	}
	mesh__buf_fini(&pem);
	return 0;
}
