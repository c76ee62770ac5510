#include "inbound/inbound.h"

#include <string.h>

#include "base/str.h"
#include "inbound/server.h"
#include "inbound/stream.h"
#include "policy/deadline.h"
#include "wire/grpc.h"
#include "wire/url.h"

enum { LONGEST_DEADLINE_MS = 86400000, MOST_TRIES = 1000 };

/* How a gRPC program, which knows nothing of a mesh, tells its deadline. */
static void read_grpc_timeout(struct mesh_inbound *in)
{
	const char *timeout = mesh__exchange_header(in->x, "grpc-timeout");
	int64_t us;

	if (timeout != NULL && mesh__grpc_content_type(mesh__exchange_header(in->x, "content-type")) && mesh__grpc_timeout_parse(timeout, &us) && us <= LONGEST_DEADLINE_MS * INT64_C(1000)) {
		in->deadline_us = mesh__exchange_arrived_us(in->x) + us;
	}
}

/* The mesh-* fields are the peer library's own: the server core takes them from nobody else. What does not parse counts as not said. */
static void read_mesh_fields(struct mesh_inbound *in)
{
	const char *left = mesh__exchange_header(in->x, "mesh-deadline-ms"), *tried = mesh__exchange_header(in->x, "mesh-try");
	uint64_t n;

	in->mirrored = mesh__str_eq(mesh__exchange_header(in->x, "mesh-mirror"), "1");
	in->try_number = 1;
	if (tried != NULL && mesh__str_u64(tried, strlen(tried), MOST_TRIES, &n) && n > 0) {
		in->try_number = (int32_t)n;
	}
	in->retried = in->try_number > 1 || mesh__str_eq(mesh__exchange_header(in->x, "mesh-retried"), "1");
	if (left != NULL && mesh__str_u64(left, strlen(left), LONGEST_DEADLINE_MS, &n)) {
		in->deadline_us = mesh__exchange_arrived_us(in->x) + (int64_t)n * 1000;
	} else {
		read_grpc_timeout(in);
	}
}

struct mesh_inbound *mesh__inbound_new(struct mesh_server *server, struct mesh__exchange *x)
{
	struct mesh_inbound *in = mesh__alloc(&server->env->mem, sizeof(*in));

	if (in != NULL) {
		in->refs = 1;
		in->server = server;
		in->x = x;
		in->length = -1;
		mesh__buf_init(&in->collected, &server->env->mem, server->max_body_bytes);
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

static int keep(struct mesh_inbound *in, struct mesh__field_list *fields, const char *name, const char *value)
{
	const struct mesh__mem *mem = &in->server->env->mem;
	size_t bytes = strlen(name) + strlen(value);
	struct mesh__field_text *added;

	if (fields->n == MESH__REPLY_FIELDS_MAX || bytes > MESH__REPLY_FIELDS_BYTES - fields->bytes) {
		return MESH_E_TOO_LARGE;
	}
	if (fields->n == fields->cap) {
		size_t cap = fields->cap == 0 ? 8 : fields->cap * 2;
		struct mesh__field_text *grown = mesh__resize(mem, fields->list, cap * sizeof(*grown));
		if (grown == NULL) {
			return MESH_E_NO_MEMORY;
		}
		fields->list = grown;
		fields->cap = cap;
	}
	added = &fields->list[fields->n++];
	*added = (struct mesh__field_text){mesh__strdup(mem, name), mesh__strdup(mem, value)};
	fields->bytes += bytes;
	return added->name == NULL || added->value == NULL ? MESH_E_NO_MEMORY : MESH_OK;
}

static void free_fields(struct mesh__field_list *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		mesh__free((void *)(uintptr_t)fields->list[i].name);
		mesh__free((void *)(uintptr_t)fields->list[i].value);
	}
	mesh__free(fields->list);
}

/* Of a reply that will be streamed, whose caller is told it; a whole one knows its length, and the core writes that. */
static int keep_length(struct mesh_inbound *in, const char *name, const char *value)
{
	uint64_t n;

	if (in->length >= 0 || !mesh__str_u64(value, strlen(value), INT64_MAX, &n)) {
		return MESH_E_INVALID;
	}
	in->length = (int64_t)n;
	return keep(in, &in->fields, name, value);
}

int mesh__inbound_reply_field(struct mesh_inbound *in, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	int code;

	if (in->begun) {
		return MESH_E_STATE;
	}
	if (mesh__str_eq_nocase(name, name_len, "Content-Length")) {
		code = keep_length(in, name, value);
	} else if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, value_len) || mesh__field_is_hop(name, name_len) || mesh__field_is_mesh(name, name_len)) {
		code = MESH_E_INVALID;
	} else {
		code = keep(in, &in->fields, name, value);
	}
	in->failed = in->failed || code == MESH_E_NO_MEMORY;
	return code;
}

int mesh__inbound_reply_trailer(struct mesh_inbound *in, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	int code;

	if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, value_len) || !mesh__field_may_trail(name, name_len)) {
		return MESH_E_INVALID;
	}
	code = keep(in, &in->trailers, name, value);
	in->failed = in->failed || code == MESH_E_NO_MEMORY;
	return code;
}

/* ---- Its life ---- */

void mesh__inbound_ref(struct mesh_inbound *in)
{
	(void)atomic_fetch_add_explicit(&in->refs, 1, memory_order_relaxed);
}

void mesh__inbound_unref(struct mesh_inbound *in)
{
	struct mesh_server *server = in->server;

	if (atomic_fetch_sub_explicit(&in->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	mesh__inbound_limits_leave(in);
	mesh__inbound_stream_free(in->stream);
	if (in->x != NULL) {
		mesh__exchange_unref(in->x);
	}
	mesh__buf_fini(&in->collected);
	free_fields(&in->fields);
	free_fields(&in->trailers);
	mesh__free(in);
	mesh__serving_unref(server);
}

/* ---- The reply ---- */

/* The exchange's reference went with its reply. */
static void end_whole(struct mesh_inbound *in)
{
	in->x = NULL;
	mesh__inbound_unref(in);
}

static int refuse(struct mesh_inbound *in, int status, const char *code, const char *message, bool unprocessed)
{
	in->status = status;
	if (in->stream != NULL) {
		return mesh__inbound_stream_refuse(in, status, code, message, unprocessed);
	}
	if (unprocessed) {
		mesh__exchange_refuse_unprocessed(in->x, status, code, message);
	} else {
		mesh__exchange_refuse(in->x, status, code, message);
	}
	end_whole(in);
	return MESH_OK;
}

int mesh__inbound_reply(struct mesh_inbound *in, int32_t status, const void *body, size_t len)
{
	struct mesh__reply reply = {.status = status, .fields = in->fields.list, .n_fields = in->fields.n, .body = body, .body_len = len, .trailers = in->trailers.list, .n_trailers = in->trailers.n};
	bool no_body = body == NULL && len > 0 && strcmp(mesh__exchange_method(in->x), "HEAD") != 0;
	int code = in->failed ? MESH_E_NO_MEMORY : status < 200 || status > 599 || no_body ? MESH_E_INVALID : MESH_OK;

	if (code != MESH_OK) {
		(void)refuse(in, 500, "internal", "the handler's reply could not be sent", false);
	} else if (in->stream != NULL) {
		in->status = status;
		code = mesh__inbound_stream_reply(in, &reply);
	} else {
		in->status = status;
		mesh__exchange_reply(in->x, &reply);
		end_whole(in);
	}
	return code;
}

int mesh__inbound_refuse(struct mesh_inbound *in, int status, const char *code, const char *message)
{
	return refuse(in, status, code, message, true);
}

void mesh__inbound_refuse_for(struct mesh_inbound *in, int status, const char *code, const char *message, int64_t wait_ms)
{
	mesh__exchange_refuse_for(in->x, status, code, message, wait_ms);
	end_whole(in);
}

void mesh__inbound_drop(struct mesh_inbound *in)
{
	if (in->stream != NULL) {
		(void)mesh__inbound_abort(in);
	} else {
		mesh__inbound_unref(in);
	}
}
