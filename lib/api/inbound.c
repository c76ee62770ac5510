#include "api/handle.h"
#include "base/str.h"
#include "inbound/stream.h"
#include "wire/url.h"

#include <string.h>
#include <unistd.h>

const char *mesh_inbound_method(const mesh_inbound *in)
{
	return in == NULL ? NULL : mesh__exchange_method(in->x);
}

const char *mesh_inbound_path(const mesh_inbound *in)
{
	return in == NULL ? NULL : mesh__exchange_path(in->x);
}

const char *mesh_inbound_query(const mesh_inbound *in)
{
	return in == NULL ? NULL : mesh__exchange_query(in->x);
}

const char *mesh_inbound_header(const mesh_inbound *in, const char *name)
{
	return in == NULL || name == NULL || mesh__field_is_mesh(name, strlen(name)) ? NULL : mesh__exchange_header(in->x, name);
}

int32_t mesh_inbound_field(const mesh_inbound *in, size_t index, const char **name, const char **value)
{
	struct mesh__field_text field = {NULL, NULL};
	size_t n = in == NULL ? 0 : mesh__exchange_n_fields(in->x);
	int32_t found = 0;

	for (size_t i = 0; found == 0 && i < n; i++) {
		field = mesh__exchange_field(in->x, i);
		found = !mesh__field_is_mesh(field.name, strlen(field.name)) && index-- == 0;
	}
	if (name != NULL) {
		*name = found ? field.name : NULL;
	}
	if (value != NULL) {
		*value = found ? field.value : NULL;
	}
	return found;
}

int32_t mesh_inbound_http_version(const mesh_inbound *in)
{
	return in == NULL ? 0 : mesh__exchange_is_http2(in->x) ? 2 : 1;
}

const char *mesh_inbound_body(const mesh_inbound *in, size_t *len)
{
	size_t n = 0;
	const char *body = in == NULL ? NULL : "";

	if (in != NULL && !in->body_streams) {
		body = mesh__exchange_body(in->x, &n);
	} else if (in != NULL && in->body_ended && in->collected.data != NULL) {
		n = in->collected.len;
		body = in->collected.data;
	}
	if (len != NULL) {
		*len = n;
	}
	return body;
}

const char *mesh_inbound_peer(const mesh_inbound *in)
{
	return in == NULL ? NULL : in->peer->spiffe;
}

const char *mesh_inbound_peer_service(const mesh_inbound *in)
{
	return in == NULL ? NULL : in->peer->name.service;
}

const char *mesh_inbound_peer_namespace(const mesh_inbound *in)
{
	return in == NULL ? NULL : in->peer->name.ns;
}

char *mesh_inbound_address(const mesh_inbound *in)
{
	char text[MESH__ADDR_TEXT];
	struct mesh__addr address;

	if (in == NULL) {
		return NULL;
	}
	mesh__exchange_address(in->x, &address);
	mesh__addr_format(&address, text);
	return mesh__strdup(mesh__mem_libc(), text);
}

int32_t mesh_inbound_try(const mesh_inbound *in)
{
	return in == NULL ? 0 : in->try_number;
}

int64_t mesh_inbound_remaining_ms(const mesh_inbound *in)
{
	return in == NULL ? -1 : mesh__inbound_left_ms(in);
}

int32_t mesh_inbound_mirrored(const mesh_inbound *in)
{
	return in != NULL && in->mirrored;
}

int32_t mesh_reply_header(mesh_inbound *in, const char *name, const char *value)
{
	return in == NULL || name == NULL || value == NULL ? MESH_E_INVALID : mesh__inbound_reply_field(in, name, value);
}

int32_t mesh_reply_trailer(mesh_inbound *in, const char *name, const char *value)
{
	return in == NULL || name == NULL || value == NULL ? MESH_E_INVALID : mesh__inbound_reply_trailer(in, name, value);
}

/* The connection is the parent's, the way to its loop too, and a thread of its own may have held any lock. */
static bool is_parents(const mesh_inbound *in)
{
	return in->server->pid != getpid();
}

int32_t mesh_reply(mesh_inbound *in, int32_t status, const void *body, size_t len)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_reply(in, status, body, len);
}

int32_t mesh_reply_refuse(mesh_inbound *in, const char *message)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_refuse(in, 503, "refused", message != NULL ? message : "not processed");
}

/* ---- Bodies that stream ---- */

/* Whether one may go on, and until when to wait; 0: not at all. */
static int32_t may_wait(const mesh_inbound *in, int64_t timeout_ms, int64_t *deadline_us)
{
	*deadline_us = 0;
	if (is_parents(in)) {
		return MESH_E_FORKED;
	}
	if (timeout_ms <= 0) {
		return MESH_OK;
	}
	if (mesh__thread_set_has_this(in->server->loops.threads)) {
		return MESH_E_WOULD_BLOCK;
	}
	*deadline_us = mesh__mono_us(in->server->env) + mesh__sensible_ms(timeout_ms) * 1000;
	return MESH_OK;
}

int32_t mesh_inbound_read(mesh_inbound *in, void *buf, size_t size, size_t *n, int64_t timeout_ms)
{
	int64_t deadline_us;
	int32_t code;

	if (n == NULL) {
		return MESH_E_INVALID;
	}
	*n = 0;
	if (in == NULL || buf == NULL || size == 0) {
		return MESH_E_INVALID;
	}
	code = may_wait(in, timeout_ms, &deadline_us);
	return code == MESH_OK ? mesh__inbound_read(in, buf, size, n, deadline_us) : code;
}

int32_t mesh_inbound_collect(mesh_inbound *in, int64_t timeout_ms)
{
	int64_t deadline_us;
	int32_t code = in == NULL ? MESH_E_INVALID : may_wait(in, timeout_ms, &deadline_us);

	return code == MESH_OK ? mesh__inbound_collect(in, deadline_us) : code;
}

static size_t n_trailers(const mesh_inbound *in)
{
	return in != NULL && (in->body_ended || !in->body_streams) ? mesh__exchange_n_trailers(in->x) : 0;
}

const char *mesh_inbound_trailer(const mesh_inbound *in, const char *name)
{
	size_t len = name == NULL ? 0 : strlen(name);

	for (size_t i = 0; len > 0 && i < n_trailers(in); i++) {
		struct mesh__field_text field = mesh__exchange_trailer(in->x, i);

		if (mesh__str_eq_nocase(name, len, field.name)) {
			return field.value;
		}
	}
	return NULL;
}

int32_t mesh_inbound_trailer_field(const mesh_inbound *in, size_t index, const char **name, const char **value)
{
	bool found = index < n_trailers(in);
	struct mesh__field_text field = {NULL, NULL};

	if (found) {
		field = mesh__exchange_trailer(in->x, index);
	}
	if (name != NULL) {
		*name = field.name;
	}
	if (value != NULL) {
		*value = field.value;
	}
	return found;
}

int32_t mesh_inbound_gone(const mesh_inbound *in)
{
	return in != NULL && mesh__exchange_is_gone(in->x);
}

int32_t mesh_inbound_on_stream(mesh_inbound *in, mesh_inbound_fn fn, void *user)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_on_stream(in, fn, user);
}

int32_t mesh_reply_begin(mesh_inbound *in, int32_t status)
{
	if (in == NULL || status < 200 || status > 599) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_begin(in, status);
}

int32_t mesh_reply_write(mesh_inbound *in, const void *bytes, size_t len, size_t *written, int64_t timeout_ms)
{
	int64_t deadline_us;
	size_t n = 0;
	int32_t code = in == NULL || (bytes == NULL && len > 0) ? MESH_E_INVALID : may_wait(in, timeout_ms, &deadline_us);

	if (code == MESH_OK) {
		code = mesh__inbound_write(in, bytes, len, &n, deadline_us);
	}
	if (written != NULL) {
		*written = n;
	}
	return code;
}

int32_t mesh_reply_end(mesh_inbound *in)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_end(in);
}

int32_t mesh_reply_abort(mesh_inbound *in)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	return is_parents(in) ? MESH_E_FORKED : mesh__inbound_abort(in);
}
