#include "meshctl/connect_pass.h"

#include <string.h>
#include <strings.h>

#include "meshctl/bell.h"
#include "meshctl/gateway.h"
#include "wire/grpc.h"

enum { PIECE_BYTES = 16 * 1024, TARGET_MAX_BYTES = 16 * 1024, ERROR_MAX_BYTES = 4096 };

/* What is rung from the thread of the call. */
enum { RUNG_OVER = 1, RUNG_MOVED = 2 };

struct ctl_through {
	struct ctl_through *prev, *next;  /* under way, or (next) idle */
	struct ctl_passage *passage;
	struct ctl_bell bell;
	struct mesh__exchange *x;         /* NULL: idle */
	mesh_request *request;
	int32_t code;                     /* of the call, with RUNG_OVER */
	bool calling;                     /* it is not over yet */
	bool answered;                    /* the response's head is there */
	bool begun;                       /* the reply */
	bool gone;                        /* the client */
	bool uploads, sent_all;
	int32_t trailers_code;            /* why the request's trailers could not be passed on, and it was cancelled; MESH_OK: they could */
	size_t n_piece, piece_at;
	char piece[PIECE_BYTES];          /* of the request's body, on its way from the connection to the call */
};

/* ---- Under way, or idle ---- */

static void on_rung(void *arg, unsigned what);

static struct ctl_through *enter(struct ctl_passage *passage)
{
	struct ctl_through *t = passage->idle;

	if (t != NULL) {
		passage->idle = t->next;
	} else {
		t = mesh__alloc(&passage->env->mem, sizeof(*t));
		if (t == NULL) {
			return NULL;
		}
		t->passage = passage;
		ctl_bell_init(&t->bell, passage->loop, on_rung, t);
	}
	t->code = t->trailers_code = MESH_OK;
	t->calling = t->answered = t->begun = t->gone = t->uploads = t->sent_all = false;
	t->n_piece = t->piece_at = 0;
	t->prev = NULL;
	t->next = passage->under_way;
	if (t->next != NULL) {
		t->next->prev = t;
	}
	passage->under_way = t;
	return t;
}

/* The exchange has been ended, the call is over: what is left of its response interests nobody. */
static void leave(struct ctl_through *t)
{
	struct ctl_passage *passage = t->passage;

	mesh_request_free(t->request);
	t->request = NULL;
	t->x = NULL;
	*(t->prev != NULL ? &t->prev->next : &passage->under_way) = t->next;
	if (t->next != NULL) {
		t->next->prev = t->prev;
	}
	t->next = passage->idle;
	passage->idle = t;
}

static void refuse(const struct ctl_passage *passage, struct mesh__exchange *x, int32_t code, const char *message)
{
	static const struct mesh__field_text json = {"content-type", "application/json"};
	struct mesh__reply reply = {.status = ctl_gateway_status(code), .fields = &json, .n_fields = 1};
	struct mesh__buf body;

	mesh__buf_init(&body, &passage->env->mem, ERROR_MAX_BYTES);
	ctl_gateway_body(reply.status, message, &body);
	reply.body = body.data;
	reply.body_len = body.len;
	mesh__exchange_reply(x, &reply);
	mesh__buf_fini(&body);
}

/* ---- The request ---- */

static bool exchange_field(const void *source, size_t index, const char **name, const char **value)
{
	const struct mesh__exchange *x = source;
	struct mesh__field_text field;

	if (index >= mesh__exchange_n_fields(x)) {
		return false;
	}
	field = mesh__exchange_field(x, index);
	*name = field.name;
	*value = field.value;
	return true;
}

static int32_t add_fields(struct ctl_through *t)
{
	struct mesh__buf connection;
	const char *name, *value;
	int32_t code;

	mesh__buf_init(&connection, &t->passage->env->mem, TARGET_MAX_BYTES);
	ctl_connection_of(exchange_field, t->x, &connection);
	code = mesh__buf_error(&connection, "the Connection fields", NULL);
	for (size_t i = 0; code == MESH_OK && exchange_field(t->x, i, &name, &value); i++) {
		if (!ctl_field_stays(name, connection.data)) {
			code = mesh_request_header(t->request, name, value);
		}
	}
	mesh__buf_fini(&connection);
	return code;
}

static mesh_request *new_request(const struct ctl_passage *passage, const struct mesh__exchange *x)
{
	const char *query = mesh__exchange_query(x);
	mesh_request *request = NULL;
	struct mesh__buf target;

	mesh__buf_init(&target, &passage->env->mem, TARGET_MAX_BYTES);
	mesh__buf_printf(&target, "%s%s%s", mesh__exchange_path(x), query[0] != '\0' ? "?" : "", query);
	if (target.error == MESH_OK) {
		request = mesh_request_new(passage->m, passage->service, mesh__exchange_method(x), target.data);
	}
	mesh__buf_fini(&target);
	return request;
}

/* Whether there is a body shows by reading. A small one is often there already, and then goes out whole: one that is sent by and by may be cut short by a server that answers at the first message. */
static int32_t look_for_body(struct ctl_through *t)
{
	size_t n = 1;
	int code = MESH_OK;

	while (code == MESH_OK && n > 0 && t->n_piece < sizeof(t->piece)) {
		code = mesh__exchange_read(t->x, t->piece + t->n_piece, sizeof(t->piece) - t->n_piece, &n);
		t->n_piece += code == MESH_OK ? n : 0;
	}
	if (code != MESH_OK && code != MESH_E_WOULD_BLOCK) {
		return code;
	}
	t->uploads = code == MESH_E_WOULD_BLOCK || n > 0 || mesh__exchange_n_trailers(t->x) > 0;
	if (t->uploads) {
		return mesh_request_upload(t->request, mesh__exchange_n_trailers(t->x) > 0 ? -1 : ctl_body_length(mesh__exchange_header(t->x, "content-length")));
	}
	return t->n_piece > 0 ? mesh_request_body(t->request, t->piece, t->n_piece) : MESH_OK;
}

/* ---- The response's head ---- */

static size_t take_fields(const struct ctl_through *t, struct mesh__field_text *fields, bool streamed)
{
	const char *connection = mesh_response_header(t->request, "connection"), *name, *value;
	size_t n = 0;

	for (size_t i = 0; n < CTL_FIELDS_MAX && mesh_response_field(t->request, i, &name, &value) == 1; i++) {
		if ((streamed && strcasecmp(name, "content-length") == 0) || (!ctl_field_stays(name, connection) && strcasecmp(name, "date") != 0)) {
			fields[n++] = (struct mesh__field_text){name, value};
		}
	}
	return n;
}

static bool begin_reply(struct ctl_through *t)
{
	struct mesh__field_text fields[CTL_FIELDS_MAX];
	size_t n = take_fields(t, fields, true);

	t->begun = mesh__stream_begin(t->x, mesh_response_status(t->request), fields, n, NULL, NULL);
	return t->begun;
}

/* A gRPC answer that is but its status ("Trailers-Only") is one frame; streamed it would be two, and no status to its caller. */
static bool is_status_alone(const struct ctl_through *t)
{
	return mesh_response_header(t->request, "grpc-status") != NULL;
}

static void reply_whole(struct ctl_through *t)
{
	struct mesh__field_text fields[CTL_FIELDS_MAX];
	struct mesh__reply reply = {.status = mesh_response_status(t->request), .fields = fields};

	reply.n_fields = take_fields(t, fields, false);
	mesh__exchange_reply(t->x, &reply);
	leave(t);
}

/* ---- Both bodies, as far as they go ---- */

/* A request does not go on without its trailers: where HTTP/2 is spoken its call ends, and the client hears why. MESH_E_STATE: its header told the length of its body, which leaves no place for them. */
static void end_upload(struct ctl_through *t)
{
	int32_t code = MESH_OK;

	for (size_t i = 0; code == MESH_OK && i < mesh__exchange_n_trailers(t->x); i++) {
		struct mesh__field_text field = mesh__exchange_trailer(t->x, i);

		if (!ctl_field_stays(field.name, NULL)) {
			code = mesh_request_trailer(t->request, field.name, field.value);
		}
	}
	t->trailers_code = code == MESH_E_STATE ? MESH_OK : code;
	if (t->trailers_code == MESH_OK) {
		(void)mesh_request_end(t->request);
	} else {
		mesh_cancel(t->request);
	}
}

static void pump_up(struct ctl_through *t)
{
	int32_t code = MESH_OK;

	while (t->uploads && !t->sent_all && !t->gone && code == MESH_OK) {
		size_t n = 0;
		if (t->piece_at < t->n_piece) {
			code = mesh_request_write(t->request, t->piece + t->piece_at, t->n_piece - t->piece_at, &n, 0);
			t->piece_at += n;
			t->sent_all = code != MESH_OK && code != MESH_E_WOULD_BLOCK; /* answered before, or failed: as the call says */
			continue;
		}
		t->piece_at = t->n_piece = 0;
		code = mesh__exchange_read(t->x, t->piece, sizeof(t->piece), &t->n_piece);
		if (code == MESH_OK && t->n_piece == 0) {
			end_upload(t);
			t->sent_all = true;
		}
	}
}

static void end_reply(struct ctl_through *t)
{
	const char *name, *value;
	bool whole = true;

	if (!t->begun) {
		reply_whole(t);
		return;
	}

	for (size_t i = 0; whole && mesh_response_trailer_field(t->request, i, &name, &value) == 1; i++) {
		whole = ctl_field_stays(name, NULL) || mesh__stream_trailer(t->x, name, value);
	}
	if (whole) {
		mesh__stream_end(t->x);
	} else {
		mesh__stream_abort(t->x);
	}
	leave(t);
}

static void cut_reply(struct ctl_through *t)
{
	mesh__stream_abort(t->x); /* a part must not look like the whole */
	leave(t);
}

static void pump_down(struct ctl_through *t)
{
	char piece[PIECE_BYTES];
	size_t room, n;
	int32_t code;

	while ((room = mesh__stream_room(t->x)) > 0) {
		code = mesh_response_read(t->request, piece, room < sizeof(piece) ? room : sizeof(piece), &n, 0);
		if (code == MESH_E_WOULD_BLOCK) {
			return;
		}
		if (code == MESH_OK && n == 0) {
			end_reply(t);
			return;
		}
		if (code != MESH_OK || !(t->begun || begin_reply(t)) || !mesh__stream_write(t->x, piece, n)) {
			cut_reply(t);
			return;
		}
	}
}

static void on_over(struct ctl_through *t)
{
	const mesh_error *error = mesh_request_error(t->request);

	t->calling = false;
	if (t->gone) {
		mesh__exchange_unref(t->x);
		leave(t);
	} else if (t->code != MESH_OK && t->trailers_code != MESH_OK) {
		refuse(t->passage, t->x, t->trailers_code, "the service is sent HTTP/2, over which the trailers of a request cannot be passed on; with `protocol: http` in its document they can");
		leave(t);
	} else if (t->code != MESH_OK) {
		refuse(t->passage, t->x, t->code, error != NULL ? mesh_error_message(error) : mesh_code_name(t->code));
		leave(t);
	} else if (!is_status_alone(t) && !begin_reply(t)) {
		mesh__exchange_unref(t->x);
		leave(t);
	} else {
		t->answered = true;
		pump_down(t);
	}
}

/* ---- What is heard ---- */

/* It may be word of the request that this memory served before: it is looked at, not believed. */
static void on_rung(void *arg, unsigned what)
{
	struct ctl_through *t = arg;

	if (t->x == NULL) {
		return;
	}
	pump_up(t);
	if ((what & RUNG_OVER) != 0) {
		on_over(t);
	} else if (t->answered) {
		pump_down(t);
	}
}

/* On the thread of the call, as the next. */
static void on_done(void *user, mesh_request *request, int32_t code)
{
	struct ctl_through *t = user;

	(void)request;
	t->code = code;
	ctl_bell_ring(&t->bell, RUNG_OVER);
}

static void on_stream(void *user, mesh_request *request, int32_t kind)
{
	struct ctl_through *t = user;

	(void)request;
	(void)kind;
	ctl_bell_ring(&t->bell, RUNG_MOVED);
}

static void on_readable(void *arg)
{
	pump_up(arg);
}

static void on_writable(void *arg)
{
	struct ctl_through *t = arg;

	if (t->answered) {
		pump_down(t);
	}
}

static void on_gone(void *arg)
{
	struct ctl_through *t = arg;

	t->gone = true;
	mesh_cancel(t->request);
	if (!t->calling) {
		cut_reply(t);
	}
}

/* ---- The beginning ---- */

/* --timeout, unless a gRPC client's own deadline, which its field has set, comes sooner. */
static int32_t set_timeout(struct ctl_through *t)
{
	const char *said = mesh__exchange_header(t->x, "grpc-timeout");
	int64_t timeout_ms = t->passage->timeout_ms, us;

	if (timeout_ms == 0 || (said != NULL && mesh__grpc_timeout_parse(said, &us) && us / 1000 < timeout_ms)) {
		return MESH_OK;
	}
	return mesh_request_timeout(t->request, timeout_ms);
}

static int32_t call(struct ctl_through *t)
{
	static const struct mesh__exchange_events events = {on_readable, on_writable, on_gone};
	int32_t code = add_fields(t);

	if (code == MESH_OK) {
		code = set_timeout(t);
	}
	if (code == MESH_OK) {
		code = mesh_request_download(t->request);
	}
	if (code == MESH_OK) {
		code = mesh_request_on_stream(t->request, on_stream, t);
	}
	mesh__exchange_watch(t->x, &events, t);
	if (code == MESH_OK) {
		code = look_for_body(t);
	}
	if (code == MESH_OK) {
		code = mesh_call_start(t->request, on_done, t);
		t->calling = code == MESH_OK;
	}
	return code;
}

void ctl_passage_request(void *user, struct mesh__exchange *x)
{
	struct ctl_passage *passage = user;
	struct ctl_through *t = enter(passage);
	int32_t code;

	if (t == NULL) {
		refuse(passage, x, MESH_E_OVERLOADED, "out of memory");
		return;
	}
	t->x = x;
	t->request = new_request(passage, x);
	code = t->request == NULL ? MESH_E_INVALID : call(t);
	if (code != MESH_OK) {
		refuse(passage, x, code, "the request cannot be passed on");
		leave(t);
	} else {
		pump_up(t);
	}
}

/* ---- Life ---- */

void ctl_passage_stop(struct ctl_passage *passage)
{
	for (struct ctl_through *t = passage->under_way; t != NULL; t = t->next) {
		mesh__exchange_watch(t->x, NULL, NULL);
		mesh_cancel(t->request);
	}
}

void ctl_passage_fini(struct ctl_passage *passage)
{
	while (passage->under_way != NULL) {
		struct ctl_through *t = passage->under_way;
		mesh__exchange_unref(t->x);
		leave(t);
	}
	while (passage->idle != NULL) {
		struct ctl_through *t = passage->idle;
		passage->idle = t->next;
		mesh__free(t);
	}
}
