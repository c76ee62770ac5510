#include <string.h>

#include "api/handle.h"
#include "base/str.h"
#include "outbound/call.h"
#include "wire/url.h"

enum { LONGEST_TIMEOUT_MS = 86400000 };

mesh_request *mesh_request_new(mesh *handle, const char *service, const char *method, const char *path)
{
	struct mesh__opened *m = mesh__registry_enter(handle); /* in a forked child too: its call says so */
	struct mesh_request *r;

	if (m == NULL) {
		return NULL;
	}
	r = mesh__request_new(&m->outbound, service == NULL ? "" : service, method == NULL ? "" : method, path == NULL ? "" : path);
	if (r != NULL) {
		r->owner = m;
		mesh__opened_ref(m);
	}
	mesh__registry_leave(handle);
	return r;
}

void mesh_request_free(mesh_request *r)
{
	struct mesh__opened *m;

	if (r == NULL) {
		return;
	}
	m = r->owner;
	if (mesh__opened_is_parents(m) && atomic_load(&r->running)) {
		return; /* its call is under way on a thread of the parent, and stays so here for good */
	}
	if (mesh__opened_is_parents(m)) {
		r->telling.started = false; /* no lock is taken */
		r->telling.pending = 0;
	}
	/* The mesh stays open as long as a call of it runs, and so keeps what the call thread frees. */
	if (mesh__opened_is_parents(m) || !mesh__streamed_give_up(r)) {
		mesh__request_free(r);
	}
	mesh__opened_unref(m);
}

int32_t mesh_request_header(mesh_request *r, const char *name, const char *value)
{
	return r == NULL || name == NULL || value == NULL ? MESH_E_INVALID : mesh__request_field(r, name, value);
}

int32_t mesh_request_body(mesh_request *r, const void *bytes, size_t len)
{
	return r == NULL || (bytes == NULL && len > 0) ? MESH_E_INVALID : mesh__request_body(r, bytes, len);
}

int32_t mesh_request_timeout(mesh_request *r, int64_t timeout_ms)
{
	if (r == NULL || timeout_ms < 1 || timeout_ms > LONGEST_TIMEOUT_MS) {
		return MESH_E_INVALID;
	}
	r->timeout_ms = timeout_ms;
	return MESH_OK;
}

int32_t mesh_request_parent(mesh_request *r, const mesh_inbound *inbound)
{
	if (r == NULL || inbound == NULL) {
		return MESH_E_INVALID;
	}
	r->parent_deadline_us = inbound->deadline_us;
	r->parent_retried = inbound->retried;
	return MESH_OK;
}

int32_t mesh_request_idempotent(mesh_request *r, int32_t idempotent)
{
	if (r == NULL || idempotent < 0 || idempotent > 1) {
		return MESH_E_INVALID;
	}
	r->idempotent = idempotent == 1;
	return MESH_OK;
}

int32_t mesh_call(mesh_request *r)
{
	if (r == NULL) {
		return MESH_E_INVALID;
	}
	if (mesh__opened_is_parents(r->owner)) {
		return MESH_E_FORKED; /* touch nothing: its locks belong to threads that are not here */
	}
	return mesh__call(r);
}

int32_t mesh_call_start(mesh_request *r, mesh_done_fn done, void *user)
{
	if (r == NULL) {
		return MESH_E_INVALID;
	}
	return mesh__opened_is_parents(r->owner) ? MESH_E_FORKED : mesh__async_start(r, done, user);
}

int32_t mesh_call_wait(mesh_request *r)
{
	if (r == NULL) {
		return MESH_E_INVALID;
	}
	return mesh__opened_is_parents(r->owner) ? MESH_E_FORKED : mesh__events_await(&r->outbound->async.events, r);
}

int32_t mesh_poll(mesh *handle, mesh_event *events, int32_t n, int64_t timeout_ms)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m;
	int32_t taken;

	if (events == NULL || n < 1) {
		return -MESH_E_INVALID;
	}
	m = mesh__opened_enter(handle, &err);
	if (m == NULL) {
		return -err.code;
	}
	if (timeout_ms > 0 && mesh__opened_on_loop(m)) {
		taken = -MESH_E_WOULD_BLOCK;
	} else {
		taken = mesh__events_take(&m->outbound.async.events, events, n, timeout_ms > 0 ? mesh__mono_us(&m->env) + mesh__sensible_ms(timeout_ms) * 1000 : 0);
	}
	mesh__opened_leave(m);
	return taken;
}

int32_t mesh_event_fd(mesh *handle)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m = mesh__opened_enter(handle, &err);
	int32_t fd;

	if (m == NULL) {
		return -err.code;
	}
	fd = mesh__events_fd(&m->outbound.async.events);
	mesh__opened_leave(m);
	return fd;
}

void mesh_cancel(mesh_request *r)
{
	if (r != NULL && !mesh__opened_is_parents(r->owner)) {
		mesh__cancel_fire(r->cancel);
	}
}

int32_t mesh_response_status(const mesh_request *r)
{
	return r == NULL ? 0 : r->response.status;
}

const char *mesh_response_header(const mesh_request *r, const char *name)
{
	const char *field, *value;

	for (size_t i = 0; r != NULL && name != NULL && mesh__client_response_field(mesh__request_head(r), i, &field, &value); i++) {
		if (mesh__str_eq_nocase(name, strlen(name), field) && !mesh__field_is_mesh(field, strlen(field))) {
			return value;
		}
	}
	return NULL;
}

int32_t mesh_response_field(const mesh_request *r, size_t index, const char **name, const char **value)
{
	const char *field = NULL, *text = NULL;
	int32_t found = 0;

	for (size_t i = 0; r != NULL && found == 0 && mesh__client_response_field(mesh__request_head(r), i, &field, &text); i++) {
		found = !mesh__field_is_mesh(field, strlen(field)) && index-- == 0;
	}
	if (name != NULL) {
		*name = found ? field : NULL;
	}
	if (value != NULL) {
		*value = found ? text : NULL;
	}
	return found;
}

/* Of a streamed response: once its end was read. Until then they are the call thread's. */
static bool trailers_are_there(const mesh_request *r)
{
	return r != NULL && (r->streamed == NULL || !r->streamed->download || r->streamed->end_read);
}

const char *mesh_response_trailer(const mesh_request *r, const char *name)
{
	const char *field, *value;

	for (size_t i = 0; trailers_are_there(r) && name != NULL && mesh__client_response_trailer_field(&r->response, i, &field, &value); i++) {
		if (mesh__str_eq_nocase(name, strlen(name), field)) {
			return value;
		}
	}
	return NULL;
}

int32_t mesh_response_trailer_field(const mesh_request *r, size_t index, const char **name, const char **value)
{
	const char *field = NULL, *text = NULL;
	int32_t found = trailers_are_there(r) && mesh__client_response_trailer_field(&r->response, index, &field, &text);

	if (name != NULL) {
		*name = found ? field : NULL;
	}
	if (value != NULL) {
		*value = found ? text : NULL;
	}
	return found;
}

const char *mesh_response_body(const mesh_request *r, size_t *len)
{
	if (len != NULL) {
		*len = r == NULL ? 0 : r->response.body.len;
	}
	return r == NULL || r->response.body.data == NULL ? "" : r->response.body.data;
}

const char *mesh_response_instance(const mesh_request *r)
{
	return r == NULL || r->instance[0] == '\0' ? NULL : r->instance;
}

const char *mesh_response_version(const mesh_request *r)
{
	return r == NULL || r->version[0] == '\0' ? NULL : r->version;
}

int32_t mesh_request_tries(const mesh_request *r)
{
	return r == NULL ? 0 : r->tries;
}

const mesh_error *mesh_request_error(const mesh_request *r)
{
	return r != NULL && r->has_error ? &r->error : NULL;
}
