#include "meshctl/upstream_pass.h"

#include <string.h>

#include "meshctl/bell.h"
#include "meshctl/gateway.h"

enum {
	CONNECT_MS = 3000,
	ANSWER_MS = 60000, /* for the head of the response, where the caller has not said how long it waits; each piece of the request's body begins it anew */
	TARGET_MAX_BYTES = 16 * 1024,
	ERROR_MAX_BYTES = 4096,
	FIRST_BYTES = 16 * 1024
};

static const char no_place[] = "the server behind is sent HTTP/2, over which the trailers of a request cannot be passed on";

/* What is rung from the loop of the caller's connection. */
enum { RUNG_BEGIN = 1, RUNG_MOVED = 2, RUNG_GONE = 4 };

struct ctl_pass {
	struct ctl_pass *prev, *next;  /* under way, or (next) idle */
	struct ctl_upstream *up;
	struct ctl_bell bell;
	mesh_inbound *coming;          /* on its way to the loop, with RUNG_BEGIN */
	mesh_inbound *in;              /* NULL: idle. The loop's alone, as all below */
	struct mesh__flight *flight;
	struct mesh__timer *timer;     /* until the response's head is there */
	struct mesh__buf target;
	struct ctl_fields fields;
	struct mesh__client_response response;
	char first[FIRST_BYTES];       /* of the body: whether there is one shows by reading, and whether this is all of it */
	size_t n_first, first_at;
	bool first_is_all;
	struct mesh__trailers trailers; /* of the request, once its body has ended */
	size_t n_passed;               /* of the bytes that come next: the caller has them already */
	int64_t left_ms;               /* as the caller said; -1: it did not */
	int body_code;                 /* why the request's body could not be read on */
	int64_t body_left;             /* of the request's body; -1: it has not said how long it is. 0: all of it is passed on */
	bool begun;                    /* the reply */
	bool gone;                     /* the caller */
};

/* ---- Under way, or idle ---- */

static void enter(struct ctl_pass *p)
{
	struct ctl_upstream *up = p->up;

	p->prev = NULL;
	p->next = up->under_way;
	if (p->next != NULL) {
		p->next->prev = p;
	}
	up->under_way = p;
	up->n_under_way++;
}

/* The inbound request has been ended. */
static void leave(struct ctl_pass *p)
{
	struct ctl_upstream *up = p->up;

	*(p->prev != NULL ? &p->prev->next : &up->under_way) = p->next;
	if (p->next != NULL) {
		p->next->prev = p->prev;
	}
	up->n_under_way--;
	if (p->timer != NULL) {
		mesh__timer_stop(p->timer);
	}
	p->in = NULL;
	mesh__buf_fini(&p->target);
	ctl_fields_fini(&p->fields);
	mesh__trailers_fini(&p->trailers);
	mesh__client_response_fini(&p->response);
	(void)pthread_mutex_lock(&up->mu);
	p->next = up->idle;
	up->idle = p;
	(void)pthread_mutex_unlock(&up->mu);
	if (up->stopping && up->n_under_way == 0) {
		mesh__loop_stop(up->loop);
	}
}

/* ---- Ends without a response of the server behind ---- */

static void answer(struct ctl_pass *p, int32_t status, const char *message)
{
	struct mesh__buf body;

	mesh__buf_init(&body, &p->up->env->mem, ERROR_MAX_BYTES);
	ctl_gateway_body(status, message, &body);
	(void)mesh_reply_header(p->in, "content-type", "application/json");
	(void)mesh_reply(p->in, status, body.data, body.len);
	mesh__buf_fini(&body);
}

/* Nothing was sent: another instance may serve the caller. */
static bool may_go_elsewhere(int code, const struct mesh__client_result *result)
{
	return (code == MESH_E_CONNECT || code == MESH_E_OVERLOADED) && result->sent == MESH__SENT_NOTHING;
}

static void fail(struct ctl_pass *p, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	if (!p->gone) {
		mesh__log(p->up->env, MESH__LOG_WARN, "the upstream failed", "reason", err->message, (char *)NULL);
	}
	if (code == MESH_E_CONNECT) {
		ctl_check_soon(p->up->check);
	}
	if (p->begun || p->gone) {
		(void)mesh_reply_abort(p->in); /* a part must not look like the whole */
	} else if (may_go_elsewhere(code, result)) {
		(void)mesh_reply_refuse(p->in, err->message);
	} else {
		answer(p, p->body_code != MESH_OK ? 400 : ctl_gateway_status(code), err->message);
	}
}

/* ---- The request, to the server behind ---- */

static void begin_wait(struct ctl_pass *p)
{
	if (!p->begun) {
		mesh__timer_start(p->timer, p->left_ms >= 0 ? p->left_ms : ANSWER_MS, 0);
	}
}

static void count_passed(struct ctl_pass *p, size_t n)
{
	p->body_left = n == 0 ? 0 : p->body_left < 0 ? -1 : p->body_left - (int64_t)n;
}

/* Where its header did not tell the length of its body, which leaves a place for them, a request does not go on without its trailers. MESH_E_UNSUPPORTED: the server behind cannot be sent any. */
static int take_trailers(struct ctl_pass *p, struct mesh__err *err)
{
	const char *name, *value;

	mesh__trailers_clear(&p->trailers);
	for (size_t i = 0; mesh_inbound_trailer_field(p->in, i, &name, &value) == 1; i++) {
		if (ctl_field_stays(name, NULL)) {
			continue;
		}
		if (p->up->http2) {
			return mesh__fail(err, MESH_E_UNSUPPORTED, "%s", no_place);
		}
		if (!mesh__trailers_add(&p->trailers, name, strlen(name), value, strlen(value))) {
			return mesh__fail_memory(err);
		}
	}
	return MESH_OK;
}

static int64_t end_read(struct ctl_pass *p)
{
	int code = take_trailers(p, NULL);

	if (code != MESH_OK) {
		mesh__flight_stop(p->flight, code, code == MESH_E_UNSUPPORTED ? no_place : "out of memory");
		return MESH__BODY_FAIL;
	}
	return 0;
}

static int64_t on_read(void *arg, char *buf, size_t size)
{
	struct ctl_pass *p = arg;
	size_t n = p->n_first - p->first_at;
	int code;

	if (n > 0) {
		n = n < size ? n : size;
		memcpy(buf, p->first + p->first_at, n);
		p->first_at += n;
		count_passed(p, n);
		return (int64_t)n;
	}
	code = mesh_inbound_read(p->in, buf, size, &n, 0);
	if (code == MESH_E_WOULD_BLOCK) {
		return MESH__BODY_LATER;
	}
	if (code != MESH_OK) {
		p->body_code = code;
		return MESH__BODY_FAIL;
	}
	count_passed(p, n);
	if (p->left_ms < 0) {
		begin_wait(p);
	}
	return n > 0 ? (int64_t)n : end_read(p);
}

/* ---- The response, to the caller ---- */

static bool begin_reply(struct ctl_pass *p)
{
	p->begun = mesh_reply_begin(p->in, p->response.status) == MESH_OK;
	return p->begun;
}

static bool on_head(void *arg)
{
	struct ctl_pass *p = arg;
	struct mesh__buf connection;
	const char *name, *value;

	mesh__timer_stop(p->timer);
	if (p->response.status < 200 || p->response.status > 599) {
		return false;
	}
	mesh__buf_init(&connection, &p->up->env->mem, ERROR_MAX_BYTES);
	for (size_t i = 0; mesh__client_response_field(&p->response, i, &name, &value); i++) {
		if (strcmp(name, "connection") == 0) {
			mesh__buf_printf(&connection, "%s,", value);
		}
	}
	for (size_t i = 0; mesh__client_response_field(&p->response, i, &name, &value); i++) {
		bool length = strcmp(name, "content-length") == 0;
		if ((length || !ctl_field_stays(name, connection.data)) && mesh_reply_header(p->in, name, value) != MESH_OK) {
			mesh__log(p->up->env, MESH__LOG_WARN, "field of the upstream's response left out", "name", name, (char *)NULL);
		}
	}
	mesh__buf_fini(&connection);
	/* A gRPC answer that is but its status ("Trailers-Only") is one frame; begun now it would be two, and no status to its caller. */
	return mesh__client_response_header(&p->response, "grpc-status") != NULL || begin_reply(p);
}

/* What was taken in part is offered again from its beginning. */
static int on_data(void *arg, const char *bytes, size_t len)
{
	struct ctl_pass *p = arg;
	size_t at = p->n_passed < len ? p->n_passed : len, n = 0;
	int code = p->begun || begin_reply(p) ? MESH_OK : MESH_E_NO_MEMORY;

	p->n_passed -= at;
	while (at < len && code == MESH_OK) {
		code = mesh_reply_write(p->in, bytes + at, len - at, &n, 0);
		at += code == MESH_OK ? n : 0;
	}
	if (code == MESH_E_WOULD_BLOCK) {
		p->n_passed = at;
	}
	return code;
}

static void pass_trailers(struct ctl_pass *p)
{
	const char *name, *value;

	for (size_t i = 0; mesh__client_response_trailer_field(&p->response, i, &name, &value); i++) {
		if (!ctl_field_stays(name, NULL)) {
			(void)mesh_reply_trailer(p->in, name, value);
		}
	}
}

static void on_done(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct ctl_pass *p = arg;

	p->flight = NULL;
	if (code == MESH_OK) {
		pass_trailers(p);
		(void)(p->begun ? mesh_reply_end(p->in) : mesh_reply(p->in, p->response.status, NULL, 0));
	} else {
		fail(p, code, result, err);
	}
	leave(p);
}

/* ---- The beginning ---- */

static bool inbound_field(const void *source, size_t index, const char **name, const char **value)
{
	return mesh_inbound_field(source, index, name, value) == 1;
}

static int take_fields(struct ctl_pass *p, struct mesh__err *err)
{
	struct ctl_upstream *up = p->up;
	char *text = mesh_inbound_address(p->in);
	struct mesh__addr address;
	struct ctl_caller caller;
	int code;

	if (up->own == NULL) {
		up->own = mesh_identity(up->m); /* it does not change: a renewed certificate names the same service */
	}
	code = text == NULL || up->own == NULL ? mesh__fail_memory(err) : mesh__addr_parse("the caller", text, true, &address, err);
	mesh_string_free(text);
	if (code != MESH_OK) {
		return code;
	}
	caller = (struct ctl_caller){up->own, mesh_inbound_peer(p->in), address.ip, mesh_inbound_mirrored(p->in) != 0};
	return ctl_fields_behind(&p->fields, inbound_field, p->in, &caller, up->http2, err);
}

static int take_target(struct ctl_pass *p, struct mesh__err *err)
{
	const char *query = mesh_inbound_query(p->in);

	mesh__buf_str(&p->target, mesh_inbound_path(p->in));
	mesh__buf_str(&p->target, query[0] != '\0' ? "?" : "");
	mesh__buf_str(&p->target, query);
	return mesh__buf_error(&p->target, "the request target", err);
}

/* A small body is often there already, and then goes out with the header: over HTTP/2 as one, with its end, so that a server that answers at the first message does not cut short one that is sent by and by. */
static int read_first(struct ctl_pass *p)
{
	size_t n = 1;
	int code = MESH_OK;

	while (code == MESH_OK && n > 0 && p->n_first < sizeof(p->first)) {
		code = mesh_inbound_read(p->in, p->first + p->n_first, sizeof(p->first) - p->n_first, &n, 0);
		p->n_first += code == MESH_OK ? n : 0;
	}
	p->first_is_all = code == MESH_OK && n == 0;
	return code;
}

static int take_off(struct ctl_pass *p, struct mesh__err *err)
{
	struct mesh__flight_options options = {.response = &p->response, .connect_timeout_ms = CONNECT_MS, .deadline_us = INT64_MAX, .streamed = true, .head = on_head, .data = on_data, .done = on_done, .arg = p};
	int code = read_first(p);

	if (code != MESH_OK && code != MESH_E_WOULD_BLOCK) {
		p->gone = code == MESH_E_RESET;
		p->body_code = code;
		return mesh__fail(err, code, "the request's body cannot be read");
	}
	options.request.method = mesh_inbound_method(p->in);
	options.request.target = p->target.data;
	options.request.fields = p->fields.list;
	options.request.n_fields = p->fields.n;
	p->body_left = p->first_is_all ? 0 : ctl_body_length(mesh_inbound_header(p->in, "content-length"));
	if (p->first_is_all && take_trailers(p, err) != MESH_OK) {
		return err->code;
	}
	if (!p->first_is_all || p->trailers.n > 0) {
		options.read = on_read;
		options.body_len = p->first_is_all ? -1 : p->body_left;
		options.trailers = &p->trailers;
	} else if (p->n_first > 0) {
		options.request.body = p->first;
		options.request.body_len = p->n_first;
		options.request.has_body = true;
	}
	p->left_ms = mesh_inbound_remaining_ms(p->in);
	begin_wait(p);
	return mesh__flight_start(p->up->pool, p->up->loop, &options, &p->flight, err);
}

static void on_time(void *arg)
{
	struct ctl_pass *p = arg;

	if (p->flight != NULL && !p->begun) {
		mesh__flight_stop(p->flight, MESH_E_TIMEOUT, p->body_left == 0 ? "the server behind did not answer in time" : "the caller's time passed before the server behind had taken the request's body; an upload takes its time from the call's timeout");
	}
}

static int prepare(struct ctl_pass *p, struct mesh__err *err)
{
	struct ctl_upstream *up = p->up;
	int code;

	p->in = p->coming;
	p->n_first = p->first_at = p->n_passed = 0;
	p->body_code = MESH_OK;
	p->begun = p->gone = p->first_is_all = false;
	mesh__buf_init(&p->target, &up->env->mem, TARGET_MAX_BYTES);
	ctl_fields_init(&p->fields, &up->env->mem);
	mesh__trailers_init(&p->trailers, &up->env->mem);
	mesh__client_response_init(&p->response, up->env, ERROR_MAX_BYTES);
	if (up->stopping) {
		return mesh__fail(err, MESH_E_CLOSED, "the service is stopping");
	}
	if (p->timer == NULL && mesh__timer_new(up->loop, on_time, p, &p->timer) != MESH_OK) {
		return mesh__fail_memory(err);
	}
	code = take_target(p, err);
	return code == MESH_OK ? take_fields(p, err) : code;
}

static void begin(struct ctl_pass *p)
{
	const struct mesh__client_result nothing = {.sent = MESH__SENT_NOTHING};
	struct mesh__err err = MESH__NO_ERR;
	int code;

	enter(p);
	code = prepare(p, &err);
	if (code == MESH_OK) {
		code = take_off(p, &err);
	}
	if (code != MESH_OK) {
		fail(p, code, &nothing, &err);
		leave(p);
	}
}

/* ---- What is heard ---- */

/* It may be word of the request that this memory served before: it is looked at, not believed. */
static void on_rung(void *arg, unsigned what)
{
	struct ctl_pass *p = arg;

	if ((what & RUNG_BEGIN) != 0) {
		begin(p);
	}
	if (p->in == NULL || p->flight == NULL) {
		return;
	}
	if ((what & RUNG_GONE) != 0 && mesh_inbound_gone(p->in) == 1) {
		p->gone = true;
		mesh__flight_stop(p->flight, MESH_E_CANCELLED, "the caller has gone");
	} else {
		mesh__flight_resume(p->flight);
	}
}

/* On the loop of the caller's connection. */
static void on_stream(void *user, mesh_inbound *in, int32_t kind)
{
	struct ctl_pass *p = user;

	(void)in;
	ctl_bell_ring(&p->bell, kind == MESH_EVENT_GONE ? RUNG_GONE : RUNG_MOVED);
}

/* ---- Life ---- */

static struct ctl_pass *take_idle(struct ctl_upstream *up)
{
	struct ctl_pass *p;

	(void)pthread_mutex_lock(&up->mu);
	p = up->idle;
	up->idle = p != NULL ? p->next : NULL;
	(void)pthread_mutex_unlock(&up->mu);
	return p;
}

struct ctl_pass *ctl_pass_new(struct ctl_upstream *up, mesh_inbound *inbound)
{
	struct ctl_pass *p = take_idle(up);

	if (p == NULL) {
		p = mesh__alloc(&up->env->mem, sizeof(*p));
		if (p == NULL) {
			return NULL;
		}
		p->up = up;
		ctl_bell_init(&p->bell, up->loop, on_rung, p);
	}
	p->coming = inbound;
	return p;
}

void ctl_pass_begin(struct ctl_pass *p)
{
	(void)mesh_inbound_on_stream(p->coming, on_stream, p);
	ctl_bell_ring(&p->bell, RUNG_BEGIN);
}

void ctl_pass_stop_all(struct ctl_upstream *up)
{
	for (struct ctl_pass *p = up->under_way; p != NULL; p = p->next) {
		if (p->flight != NULL) {
			p->gone = true;
			mesh__flight_stop(p->flight, MESH_E_CLOSED, "the proxy is stopping");
		}
	}
}

void ctl_pass_free_timers(struct ctl_upstream *up)
{
	for (struct ctl_pass *p = up->idle; p != NULL; p = p->next) {
		mesh__timer_free(p->timer);
		p->timer = NULL;
	}
}

void ctl_pass_free_all(struct ctl_upstream *up)
{
	while (up->idle != NULL) {
		struct ctl_pass *p = up->idle;
		up->idle = p->next;
		mesh__free(p);
	}
}
