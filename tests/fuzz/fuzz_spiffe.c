/* A name has one spelling: whatever is taken formats to exactly the bytes that were read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_service(const char *text)
{
	struct mesh__name name = {.trust_domain = "m"};
	char key[MESH__SERVICE_KEY_MAX];
	size_t len = strlen(text);

	if (mesh__service_parse(text, "own", &name, NULL) == MESH_OK) {
		mesh__service_key(&name, key);
		if (strncmp(key, text, len) != 0 || (key[len] != '\0' && strcmp(key + len, ".own") != 0)) {
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);
	struct mesh__name name;
	char spiffe[MESH__SPIFFE_MAX], dns[MESH__DNS_MAX];

	if (text == NULL) {
		return 0;
	}
	if (mesh__spiffe_parse((const char *)data, size, &name)) {
		mesh__spiffe_format(&name, spiffe);
		mesh__dns_format(&name, dns);
		if (strlen(spiffe) != size || memcmp(spiffe, data, size) != 0 || strlen(dns) > 253) {
			abort();
		}
	}
	memcpy(text, data, size);
	check_service(text);
	mesh__free(text);
	return 0;
}
