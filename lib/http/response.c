#include <string.h>

#include "http/client.h"
#include "http/head.h"

void mesh__client_response_init(struct mesh__client_response *r, const struct mesh__env *env, size_t max_body_bytes)
{
	*r = (struct mesh__client_response){.status = 0};
	/* A field grows by at most two bytes when its line becomes a pair: the head's own bound is the one that a peer meets. */
	mesh__buf_init(&r->fields, &env->mem, MESH__HEAD_MAX_BYTES + 2 * MESH__HEAD_MAX_FIELDS);
	mesh__buf_init(&r->body, &env->mem, max_body_bytes);
	mesh__trailers_init(&r->trailers, &env->mem);
}

void mesh__client_response_clear(struct mesh__client_response *r)
{
	r->status = 0;
	r->n_fields = 0;
	mesh__buf_clear(&r->fields);
	mesh__buf_clear(&r->body);
	mesh__trailers_clear(&r->trailers);
}

void mesh__client_response_fini(struct mesh__client_response *r)
{
	mesh__buf_fini(&r->fields);
	mesh__buf_fini(&r->body);
	mesh__trailers_fini(&r->trailers);
	r->status = 0;
	r->n_fields = 0;
}

bool mesh__client_response_field(const struct mesh__client_response *r, size_t index, const char **name, const char **value)
{
	const char *at = r->fields.data;

	if (index >= r->n_fields) {
		return false;
	}
	for (size_t i = 0; i < 2 * index; i++) {
		at += strlen(at) + 1;
	}
	*name = at;
	*value = at + strlen(at) + 1;
	return true;
}

void mesh__client_response_add(struct mesh__client_response *r, const char *name, const char *value)
{
	mesh__buf_add(&r->fields, name, strlen(name) + 1);
	mesh__buf_add(&r->fields, value, strlen(value) + 1);
	r->n_fields += r->fields.error == MESH_OK;
}

const char *mesh__client_response_header(const struct mesh__client_response *r, const char *name)
{
	const char *at = r->fields.data;

	for (size_t i = 0; i < r->n_fields; i++) {
		const char *value = at + strlen(at) + 1;
		if (strcmp(at, name) == 0) {
			return value;
		}
		at = value + strlen(value) + 1;
	}
	return NULL;
}

bool mesh__client_response_trailer_field(const struct mesh__client_response *r, size_t index, const char **name, const char **value)
{
	struct mesh__field_text field = mesh__trailers_at(&r->trailers, index);

	*name = field.name;
	*value = field.value;
	return index < r->trailers.n;
}

const char *mesh__client_response_trailer(const struct mesh__client_response *r, const char *name)
{
	const char *field, *value;

	for (size_t i = 0; mesh__client_response_trailer_field(r, i, &field, &value); i++) {
		if (strcmp(field, name) == 0) {
			return value;
		}
	}
	return NULL;
}
