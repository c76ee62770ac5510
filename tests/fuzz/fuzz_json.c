/* What is taken is written again to something that is taken and written the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/json.h"

enum { MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mesh__json *parse(const char *text, size_t len)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *root;
	int code = mesh__json_parse(mesh__mem_libc(), text, len, MAX, &root, &err);

	if ((code == MESH_OK) != (root != NULL) || (code == MESH_OK) == (err.message[0] != '\0')) {
		abort();
	}
	return root;
}

static void write(const struct mesh__json *root, struct mesh__buf *buf)
{
	struct mesh__json_out out = {.buf = buf};

	mesh__buf_init(buf, mesh__mem_libc(), MAX);
	mesh__json_put_value(&out, NULL, root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__json *root = parse((const char *)data, size), *again;
	struct mesh__buf first, second;

	if (root == NULL) {
		return 0;
	}
	write(root, &first);
	if (first.error == MESH_OK) {
		again = parse(first.data, first.len);
		if (again == NULL) {
			abort();
		}
		write(again, &second);
		if (second.len != first.len || memcmp(first.data, second.data, first.len) != 0) {
			abort();
		}
		mesh__buf_fini(&second);
		mesh__json_free(again);
	}
	mesh__buf_fini(&first);
	mesh__json_free(root);
	return 0;
}
