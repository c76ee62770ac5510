#include "outbound/request.h"

#include <string.h>

#include "base/str.h"
#include "outbound/grpc.h"
#include "wire/url.h"

/* Copies the string to *room, and *room behind it. */
static const char *keep_text(char **room, const char *text, size_t size)
{
	char *kept = memcpy(*room, text, size);

	*room += size;
	return kept;
}

struct mesh_request *mesh__request_new(struct mesh__outbound *outbound, const char *service, const char *method, const char *path)
{
	const struct mesh__mem *mem = &outbound->env->mem;
	size_t service_size = strlen(service) + 1, method_size = strlen(method) + 1, path_size = strlen(path) + 1;
	struct mesh_request *r = mesh__resize(mem, NULL, sizeof(*r) + service_size + method_size + path_size); /* all in memory as they are: no overflow */
	char *room;

	if (r == NULL) {
		return NULL;
	}
	memset(r, 0, offsetof(struct mesh_request, key));
	room = r->texts;
	r->service_text = keep_text(&room, service, service_size);
	r->method = keep_text(&room, method, method_size);
	r->path = keep_text(&room, path, path_size);
	r->outbound = outbound;
	r->idempotent = mesh__retry_method_is_idempotent(r->method);
	mesh__client_response_init(&r->response, outbound->env, outbound->max_body_bytes);
	mesh__request_clear(r);
	r->cancel = mesh__cancel_new(outbound->env);
	if (r->cancel == NULL) {
		mesh__request_free(r);
		return NULL;
	}
	return r;
}

void mesh__request_let_go(struct mesh_request *r)
{
	if (r->probes != NULL) { /* the try that was to probe it was not made */
		mesh__outlier_probed(r->probes, MESH__BLAME_UNKNOWN, r->now_us);
	}
	r->endpoint = r->last_tried = r->probes = NULL;
	mesh__snapshot_unref(r->snapshot);
	r->snapshot = NULL;
	r->called = r->service = NULL;
	r->group = NULL;
	r->home = (struct mesh__home){.service = NULL};
	r->route = NULL;
	r->match = NULL;
	r->fault = NULL;
	r->faulted = NULL;
}

void mesh__request_lead(struct mesh_request *r, struct mesh__service *service, struct mesh__group *group, struct mesh__told *told)
{
	r->home = (struct mesh__home){.service = service, .group = group, .told = told};
	r->service = service;
	r->group = group;
}

void mesh__request_await(struct mesh_request *r, const char *key)
{
	memcpy(r->side_key, key, strlen(key) + 1); /* bounded by the document that it stands in */
	r->awaited = r->side_key;
	mesh__request_let_go(r);
}

const struct mesh__client_response *mesh__request_head(const struct mesh_request *r)
{
	return r->shows_edited ? &r->edited->head : &r->response;
}

void mesh__request_clear(struct mesh_request *r)
{
	mesh__request_let_go(r);
	mesh__client_response_clear(&r->response);
	r->instance[0] = r->version[0] = '\0';
	r->has_error = r->routed = r->drawn = r->timed = r->hedged = r->sends_edited = r->shows_edited = r->answered_here = false;
	r->tries = 0;
	r->wait_ms = r->delayed_us = 0;
	r->injected = false;
	r->error.may_be_processed = false;
	mesh__err_clear(&r->err);
	memset(&r->result, 0, sizeof(r->result));
}

void mesh__request_free(struct mesh_request *r)
{
	if (r == NULL) {
		return;
	}
	if (r->telling.started || r->telling.pending != 0) {
		mesh__events_forget(&r->outbound->async.events, r);
	}
	mesh__request_let_go(r);
	mesh__mirror_let_go(r);
	for (size_t i = 0; i < r->n_fields; i++) {
		mesh__free((void *)(uintptr_t)r->fields[i].name);
		mesh__free((void *)(uintptr_t)r->fields[i].value);
	}
	mesh__client_response_fini(&r->response);
	mesh__edited_free(r->edited);
	mesh__streamed_free(r->streamed);
	mesh__cancel_free(r->cancel);
	mesh__free(r->body);
	mesh__free(r);
}

int mesh__request_field(struct mesh_request *r, const char *name, const char *value)
{
	const struct mesh__mem *mem = &r->outbound->env->mem;
	size_t name_len = strlen(name), value_len = strlen(value);
	struct mesh__client_field field;

	if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, value_len) || mesh__field_is_hop(name, name_len) || mesh__field_is_mesh(name, name_len)) {
		return MESH_E_INVALID;
	}
	if (mesh__str_eq_nocase(name, name_len, "grpc-timeout")) {
		return mesh__grpc_take_timeout(r, value);
	}
	if (r->n_fields == MESH__REQUEST_FIELDS_MAX || name_len + value_len > MESH__REQUEST_FIELDS_BYTES - r->fields_bytes) {
		return MESH_E_TOO_LARGE;
	}
	field.name = mesh__strdup(mem, name);
	field.value = mesh__strdup(mem, value);
	if (field.name == NULL || field.value == NULL) {
		mesh__free((void *)(uintptr_t)field.name);
		mesh__free((void *)(uintptr_t)field.value);
		return MESH_E_NO_MEMORY;
	}
	r->fields[r->n_fields++] = field;
	r->is_grpc |= mesh__str_eq_nocase(name, name_len, "content-type") && mesh__grpc_content_type(value);
	r->fields_bytes += name_len + value_len;
	return MESH_OK;
}

int mesh__request_body(struct mesh_request *r, const void *bytes, size_t len)
{
	char *copy;

	if (r->streamed != NULL && r->streamed->upload) {
		return MESH_E_STATE;
	}
	if (len > r->outbound->max_body_bytes) {
		return MESH_E_TOO_LARGE;
	}
	copy = mesh__alloc(&r->outbound->env->mem, len + 1);
	if (copy == NULL) {
		return MESH_E_NO_MEMORY;
	}
	if (len > 0) {
		memcpy(copy, bytes, len);
	}
	mesh__free(r->body);
	r->body = copy;
	r->body_len = len;
	r->has_body = true;
	return MESH_OK;
}

/* What is sent, as far as it is not this try's own. */
static int fill(struct mesh_request *copy, const struct mesh_request *r)
{
	const struct mesh__client_field *fields = r->sends_edited ? r->edited->fields : r->fields;
	size_t n = r->sends_edited ? r->edited->n_fields : r->n_fields;
	int code = MESH_OK;

	copy->says_grpc_timeout = r->says_grpc_timeout;
	copy->parent_deadline_us = r->deadline_us;
	copy->parent_retried = r->parent_retried;
	copy->idempotent = r->idempotent;
	for (size_t i = 0; i < n && code == MESH_OK; i++) {
		code = mesh__request_field(copy, fields[i].name, fields[i].value);
	}
	return code == MESH_OK && r->has_body ? mesh__request_body(copy, r->body, r->body_len) : code;
}

struct mesh_request *mesh__request_copy(const struct mesh_request *r, const char *service)
{
	struct mesh_request *copy = mesh__request_new(r->outbound, service, r->method, r->sends_edited ? r->edited->target : r->path);

	if (copy != NULL && fill(copy, r) != MESH_OK) {
		mesh__request_free(copy);
		return NULL;
	}
	return copy;
}
