#include "http/request_copy.h"

#include <string.h>

static const char *put(char **at, const void *bytes, size_t len)
{
	char *begin = *at;

	if (len > 0) {
		memcpy(begin, bytes, len);
	}
	*at += len;
	return begin;
}

static const char *put_text(char **at, const char *text)
{
	return put(at, text, strlen(text) + 1);
}

static size_t size_of(const struct mesh__client_request *request)
{
	size_t size = strlen(request->method) + strlen(request->target) + 2 + request->body_len;

	for (size_t i = 0; i < request->n_fields; i++) {
		size += strlen(request->fields[i].name) + strlen(request->fields[i].value) + 2;
	}
	return size;
}

int mesh__request_copy_init(struct mesh__request_copy *copy, const struct mesh__env *env, const struct mesh__client_request *request, struct mesh__err *err)
{
	char *at;

	*copy = (struct mesh__request_copy){.request = *request};
	copy->bytes = at = mesh__alloc(&env->mem, size_of(request));
	copy->fields = mesh__alloc_array(&env->mem, request->n_fields + 1, sizeof(*copy->fields));
	if (copy->bytes == NULL || copy->fields == NULL) {
		mesh__request_copy_fini(copy);
		return mesh__fail_memory(err);
	}
	copy->request.method = put_text(&at, request->method);
	copy->request.target = put_text(&at, request->target);
	copy->request.fields = copy->fields;
	for (size_t i = 0; i < request->n_fields; i++) {
		copy->fields[i].name = put_text(&at, request->fields[i].name);
		copy->fields[i].value = put_text(&at, request->fields[i].value);
	}
	copy->request.body = put(&at, request->body, request->body_len);
	return MESH_OK;
}

void mesh__request_copy_fini(struct mesh__request_copy *copy)
{
	mesh__free(copy->fields);
	mesh__free(copy->bytes);
	*copy = (struct mesh__request_copy){.request = {.method = NULL}};
}
