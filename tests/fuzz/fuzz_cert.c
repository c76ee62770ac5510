/* Certificates, as DER and as PEM: whatever is accepted as a leaf keeps the rules. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/pki.h"
#include "support/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The other reader, which is for people, says the same of a leaf that was taken. */
static void check_facts(const uint8_t *data, size_t size, const struct mesh__leaf *leaf)
{
	char dns[MESH__DNS_MAX];
	struct mesh__buf pem;
	struct mesh__cert facts;

	if (data[0] != 0x30) {
		return; /* it came as PEM */
	}
	mesh__buf_init(&pem, mesh__mem_libc(), 1 << 20);
	base64_pem(&pem, "CERTIFICATE", data, size);
	mesh__dns_format(&leaf->name, dns);
	if (pem.len <= MESH__PEM_MAX_BYTES && (mesh__pki_cert_read(pem.data, &facts, NULL) != MESH_OK || facts.ca || strcmp(facts.uri, leaf->spiffe) != 0 || strcmp(facts.dns, dns) != 0
		|| strcmp(facts.serial, leaf->serial) != 0 || facts.not_after_ms != leaf->not_after_ms)) {
		abort();
	}
	mesh__buf_fini(&pem);
}

static void check_leaf(const uint8_t *data, size_t size)
{
	char again[MESH__SPIFFE_MAX];
	struct mesh__leaf leaf;
	const char *reason = "";

	if (mesh__pki_leaf_judge(data, size, &leaf, &reason, NULL) != MESH_OK) {
		if (reason[0] == '\0') {
			abort();
		}
		return;
	}
	mesh__spiffe_format(&leaf.name, again);
	if (strcmp(again, leaf.spiffe) != 0 || leaf.serial[0] == '\0' || strlen(leaf.serial) >= MESH__SERIAL_MAX) {
		abort();
	}
	check_facts(data, size, &leaf);
}

static void check_text(const char *pem)
{
	char *parts[MESH__CHAIN_MAX];
	struct mesh__cert facts;
	size_t n;

	if (mesh__pki_cert_read(pem, &facts, NULL) == MESH_OK && memchr(facts.serial, '\0', sizeof(facts.serial)) == NULL) {
		abort();
	}
	if (mesh__pki_split(mesh__mem_libc(), pem, parts, &n, NULL) == MESH_OK) {
		if (n == 0 || n > MESH__CHAIN_MAX) {
			abort();
		}
		while (n > 0) {
			char *one[MESH__CHAIN_MAX], *part = parts[--n];
			size_t n_one;

			if (mesh__pki_split(mesh__mem_libc(), part, one, &n_one, NULL) != MESH_OK || n_one != 1 || strcmp(one[0], part) != 0) {
				abort();
			}
			mesh__free(one[0]);
			mesh__free(part);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);

	check_leaf(data, size);
	if (text != NULL) {
		memcpy(text, data, size);
		check_text(text);
	}
	mesh__free(text);
	return 0;
}
