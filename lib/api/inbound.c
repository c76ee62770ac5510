#include "api/handle.h"
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

const char *mesh_inbound_body(const mesh_inbound *in, size_t *len)
{
	size_t n = 0;
	const char *body = in == NULL ? NULL : mesh__exchange_body(in->x, &n);

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

int32_t mesh_reply_header(mesh_inbound *in, const char *name, const char *value)
{
	return in == NULL || name == NULL || value == NULL ? MESH_E_INVALID : mesh__inbound_reply_field(in, name, value);
}

int32_t mesh_reply(mesh_inbound *in, int32_t status, const void *body, size_t len)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	/* The connection is the parent's, the way to its loop too. */
	return in->server->pid != getpid() ? MESH_E_FORKED : mesh__inbound_reply(in, status, body, len);
}

int32_t mesh_reply_refuse(mesh_inbound *in, const char *message)
{
	if (in == NULL) {
		return MESH_E_INVALID;
	}
	if (in->server->pid != getpid()) {
		return MESH_E_FORKED;
	}
	mesh__inbound_refuse(in, 503, "refused", message != NULL ? message : "not processed");
	return MESH_OK;
}
