#include "inbound/inbound.h"

#include <string.h>

#include "base/str.h"
#include "inbound/server.h"
#include "policy/deadline.h"
#include "wire/url.h"

enum { LONGEST_DEADLINE_MS = 86400000, MOST_TRIES = 1000 };

/* The mesh-* fields are the peer library's own: the server core takes them from nobody else. What does not parse counts as not said. */
static void read_mesh_fields(struct mesh_inbound *in)
{
	const char *left = mesh__exchange_header(in->x, "mesh-deadline-ms"), *tried = mesh__exchange_header(in->x, "mesh-try");
	uint64_t n;

	in->try_number = 1;
	if (tried != NULL && mesh__str_u64(tried, strlen(tried), MOST_TRIES, &n) && n > 0) {
		in->try_number = (int32_t)n;
	}
	if (left != NULL && mesh__str_u64(left, strlen(left), LONGEST_DEADLINE_MS, &n)) {
		in->deadline_us = mesh__exchange_arrived_us(in->x) + (int64_t)n * 1000;
	}
}

struct mesh_inbound *mesh__inbound_new(struct mesh_server *server, struct mesh__exchange *x)
{
	struct mesh_inbound *in = mesh__alloc(&server->env->mem, sizeof(*in));

	if (in != NULL) {
		in->server = server;
		in->x = x;
		in->peer = mesh__exchange_peer(x);
		read_mesh_fields(in);
		mesh__serving_ref(server);
	}
	return in;
}

int64_t mesh__inbound_left_ms(const struct mesh_inbound *in)
{
	return in->deadline_us == 0 ? -1 : mesh__deadline_left_ms(in->deadline_us, mesh__mono_us(in->server->env));
}

static int keep_field(struct mesh_inbound *in, const char *name, const char *value)
{
	const struct mesh__mem *mem = &in->server->env->mem;

	if (in->n_fields == in->cap_fields) {
		size_t cap = in->cap_fields == 0 ? 8 : in->cap_fields * 2;
		struct mesh__field_text *grown = mesh__resize(mem, in->fields, cap * sizeof(*grown));
		if (grown == NULL) {
			return MESH_E_NO_MEMORY;
		}
		in->fields = grown;
		in->cap_fields = cap;
	}
	in->fields[in->n_fields] = (struct mesh__field_text){mesh__strdup(mem, name), mesh__strdup(mem, value)};
	in->n_fields++;
	return in->fields[in->n_fields - 1].name == NULL || in->fields[in->n_fields - 1].value == NULL ? MESH_E_NO_MEMORY : MESH_OK;
}

int mesh__inbound_reply_field(struct mesh_inbound *in, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	int code;

	if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, value_len) || mesh__field_is_hop(name, name_len) || mesh__field_is_mesh(name, name_len)) {
		return MESH_E_INVALID;
	}
	if (in->n_fields == MESH__REPLY_FIELDS_MAX || name_len + value_len > MESH__REPLY_FIELDS_BYTES - in->fields_bytes) {
		return MESH_E_TOO_LARGE;
	}
	code = keep_field(in, name, value);
	in->fields_bytes += name_len + value_len;
	in->failed = in->failed || code != MESH_OK;
	return code;
}

static void free_inbound(struct mesh_inbound *in)
{
	struct mesh_server *server = in->server;

	for (size_t i = 0; i < in->n_fields; i++) {
		mesh__free((void *)(uintptr_t)in->fields[i].name);
		mesh__free((void *)(uintptr_t)in->fields[i].value);
	}
	mesh__free(in->fields);
	mesh__free(in);
	mesh__serving_unref(server);
}

int mesh__inbound_reply(struct mesh_inbound *in, int32_t status, const void *body, size_t len)
{
	struct mesh__reply reply = {.status = status, .fields = in->fields, .n_fields = in->n_fields, .body = body, .body_len = len};
	bool no_body = body == NULL && len > 0 && strcmp(mesh__exchange_method(in->x), "HEAD") != 0;
	int code = in->failed ? MESH_E_NO_MEMORY : status < 200 || status > 599 || no_body ? MESH_E_INVALID : MESH_OK;

	if (code == MESH_OK) {
		mesh__exchange_reply(in->x, &reply);
	} else {
		mesh__exchange_refuse(in->x, 500, "internal", "the handler's reply could not be sent");
	}
	free_inbound(in);
	return code;
}

void mesh__inbound_refuse(struct mesh_inbound *in, int status, const char *code, const char *message)
{
	static const struct mesh__field_text fields[] = {{"Content-Type", "application/json"}, {"mesh-not-processed", "1"}};
	struct mesh__reply reply = {.status = status, .fields = fields, .n_fields = MESH__COUNT(fields)};
	struct mesh__buf body;

	mesh__buf_init(&body, &in->server->env->mem, 1024);
	mesh__buf_str(&body, "{\"error\":");
	mesh__str_json(&body, code);
	mesh__buf_str(&body, ",\"message\":");
	mesh__str_json(&body, message);
	mesh__buf_str(&body, "}\n");
	reply.body = body.data;
	reply.body_len = body.len;
	mesh__exchange_reply(in->x, &reply);
	mesh__buf_fini(&body);
	free_inbound(in);
}
