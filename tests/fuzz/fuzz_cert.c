/* Certificates, as DER and as PEM: whatever is accepted as a leaf keeps the rules. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
			mesh__free(parts[--n]);
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
