/* A tree that comes out is whole: places, keys in maps alone, texts in scalars alone, depth within the bound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/yaml.h"

enum { MAX = 1 << 20, DEPTH = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct mesh__node *node, const struct mesh__node *parent, int depth)
{
	for (; node != NULL; node = node->next) {
		bool scalar = node->kind == MESH__NODE_SCALAR;
		bool in_map = parent != NULL && parent->kind == MESH__NODE_MAP;
		if (depth > DEPTH + 1 || node->line < 1 || node->column < 1 || (node->text != NULL) != scalar || (node->key != NULL) != in_map
			|| (scalar && node->child != NULL) || (in_map && mesh__node_get(parent, node->key) != node)) {
			abort();
		}
		check(node->child, node, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__node *documents;
	int code = mesh__yaml_parse(mesh__mem_libc(), (const char *)data, size, MAX, &documents, &err);

	if (code == MESH_OK) {
		check(documents, NULL, 1);
	} else if (documents != NULL || err.message[0] == '\0') {
		abort();
	}
	mesh__yaml_free(documents);
	return 0;
}
