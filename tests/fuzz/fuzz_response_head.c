/* The head of a response, cut into lines as libcurl does it. Whatever comes: bounds hold, and what was kept can be read back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct mesh__client_response *r)
{
	const char *name, *value;
	size_t n = 0, bytes = 0;

	while (mesh__client_response_field(r, n, &name, &value)) {
		if (name[0] == '\0' || mesh__client_response_header(r, name) == NULL) {
			abort();
		}
		bytes += strlen(name) + strlen(value) + 2;
		n++;
	}
	if (n != r->n_fields || n > MESH__HEAD_MAX_FIELDS || bytes != r->fields.len) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__env env;
	struct mesh__client_response r;
	struct mesh__head head;
	struct mesh__err err = MESH__NO_ERR;
	const char *at = (const char *)data;
	int code = MESH_OK;

	mesh__env_init(&env);
	mesh__client_response_init(&r, &env, 0);
	mesh__head_init(&head, &r);
	while (code == MESH_OK && size > 0) {
		const char *end = memchr(at, '\n', size);
		size_t len = end != NULL ? (size_t)(end + 1 - at) : size;

		code = mesh__head_line(&head, at, len, &err);
		at += len;
		size -= len;
	}
	if (code == MESH_OK) {
		check_fields(&r);
	} else if (code != err.code || err.message[0] == '\0') {
		abort();
	}
	mesh__client_response_fini(&r);
	return 0;
}
