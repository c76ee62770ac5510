#include <string.h>

#include "http/core.h"

enum {
	BACKLOG_MAX_BYTES = 256 * 1024, /* of answers that the peer has not taken: no further request is begun */
	PENDING_MAX_BYTES = 64 * 1024,  /* of requests that wait for the one at hand */
	JOIN_MAX_BYTES = 16 * 1024,     /* bodies up to here leave with their head in one record */
	HEAD_KEEP_BYTES = 16 * 1024
};

static const struct mesh__carrier carrier;
static void refuse(struct mesh__conn *c, enum mesh__refusal refusal);

/* ---- From bytes to requests ---- */

static int64_t state_ms(const struct mesh__conn *c, enum mesh__h1_state state)
{
	const struct mesh__http_limits *limits = &c->server->options.limits;

	switch (state) {
	case MESH__H1_HEAD:
		return limits->header_ms;
	case MESH__H1_BODY:
		return limits->body_ms;
	case MESH__H1_HANDLER:
		return limits->reply_ms;
	case MESH__H1_NONE:
	case MESH__H1_STREAM:
		break;
	}
	return 0;
}

static void enter(struct mesh__conn *c, enum mesh__h1_state state)
{
	int64_t ms = state_ms(c, state);

	c->h1.state = state;
	c->h1.due_us = ms > 0 ? mesh__mono_us(c->server->env) + ms * 1000 : INT64_MAX;
}

static bool wants_input(const struct mesh__conn *c)
{
	if (c->closed || c->doomed) {
		return false;
	}
	if (c->state == MESH__CONN_IDLE) {
		return mesh__tcp_queued(c->tcp) < BACKLOG_MAX_BYTES;
	}
	return c->state == MESH__CONN_BUSY && (c->h1.state == MESH__H1_HEAD || c->h1.state == MESH__H1_BODY);
}

static void dispatch(struct mesh__conn *c)
{
	enter(c, MESH__H1_HANDLER);
	mesh__exchange_hand_over(c->h1.x);
}

static void say_continue(struct mesh__conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	(void)mesh__conn_send(c, text, sizeof(text) - 1, NULL, 0);
}

static size_t blank_lines(const char *text)
{
	size_t n = 0;

	while (text[n] == '\r' || text[n] == '\n') {
		n++;
	}
	return n;
}

/* The request at hand of the header in h->head, without the empty lines before it. */
static enum mesh__refusal read_request(struct mesh__conn *c)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t skip = blank_lines(h->head.data), len = h->head.len - skip;
	enum mesh__refusal refusal;
	struct mesh__exchange *x;
	char *text;

	x = mesh__exchange_new(c, h->scan.n_fields, len, &text);
	if (x == NULL) {
		return MESH__REFUSAL_NO_MEMORY;
	}
	memcpy(text, h->head.data + skip, len);
	refusal = mesh__h1_parse(text, len, x->fields, x->n_fields, mesh__exchange_max_body(c), &h->request);
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__exchange_detach(x, false);
		return refusal;
	}
	x->method = h->request.method;
	x->path = h->request.path;
	x->query = h->request.query;
	mesh__exchange_open(x, &carrier, c);
	h->x = x;
	return MESH__REFUSAL_NONE;
}

/* A header is whole. */
static void begin_request(struct mesh__conn *c, bool body_has_begun)
{
	struct mesh__h1_conn *h = &c->h1;
	enum mesh__refusal refusal;

	if (!mesh__conn_still_trusted(c)) {
		mesh__conn_close(c, false);
		return;
	}
	refusal = read_request(c);
	mesh__buf_clear(&h->head);
	if (h->head.cap > HEAD_KEEP_BYTES) {
		mesh__buf_fini(&h->head);
	}
	if (refusal != MESH__REFUSAL_NONE) {
		refuse(c, refusal);
		return;
	}
	h->last = !h->request.keep_alive;
	if (!h->request.has_body) {
		dispatch(c);
		return;
	}
	mesh__h1_chunks_init(&h->chunks);
	enter(c, MESH__H1_BODY);
	if (h->request.wants_continue && !body_has_begun) {
		say_continue(c);
	}
}

static size_t take_head(struct mesh__conn *c, const char *bytes, size_t len)
{
	enum mesh__refusal refusal;
	size_t used = 0;
	bool done = false;

	refusal = mesh__h1_scan(&c->h1.scan, bytes, len, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		refuse(c, refusal);
		return len;
	}
	mesh__buf_add(&c->h1.head, bytes, used);
	if (c->h1.head.error != MESH_OK) {
		refuse(c, MESH__REFUSAL_NO_MEMORY);
		return len;
	}
	if (done) {
		begin_request(c, used < len);
	}
	return used;
}

static enum mesh__refusal take_sized(struct mesh__h1_conn *h, const char *bytes, size_t len, size_t *used, bool *done)
{
	struct mesh__buf *body = &h->x->body;
	uint64_t left = h->request.content_length - body->len;

	*used = len < left ? len : (size_t)left;
	mesh__buf_add(body, bytes, *used);
	*done = *used == left;
	return body->error == MESH_OK ? MESH__REFUSAL_NONE : MESH__REFUSAL_NO_MEMORY;
}

static size_t take_body(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__h1_conn *h = &c->h1;
	enum mesh__refusal refusal;
	size_t used = 0;
	bool done = false;

	refusal = h->request.chunked ? mesh__h1_chunks(&h->chunks, bytes, len, &h->x->body, &used, &done) : take_sized(h, bytes, len, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		refuse(c, refusal);
		return len;
	}
	if (done) {
		dispatch(c);
	}
	return used;
}

/* Takes as many of the bytes as the state allows for. */
static size_t pump(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t used = 0;

	h->pumping = true;
	while (used < len && wants_input(c)) {
		if (c->state == MESH__CONN_IDLE) {
			mesh__h1_scan_init(&h->scan, (size_t)c->server->options.limits.max_header_bytes, (size_t)c->server->options.limits.max_fields);
			mesh__conn_enter(c, MESH__CONN_BUSY);
			enter(c, MESH__H1_HEAD);
		}
		used += h->state == MESH__H1_HEAD ? take_head(c, bytes + used, len - used) : take_body(c, bytes + used, len - used);
	}
	h->pumping = false;
	return used;
}

static bool keeps_input(const struct mesh__conn *c)
{
	return !c->closed && !c->doomed && c->state != MESH__CONN_LINGER;
}

/* Stops reading while too much waits for the request at hand. */
static void throttle(struct mesh__conn *c)
{
	if (keeps_input(c)) {
		mesh__tcp_pause(c->tcp, c->h1.pending.len - c->h1.pending_used > PENDING_MAX_BYTES);
	}
}

/* Ends an idle connection from which nothing more will come, or is to come, once all has been sent. */
static void end_if_done(struct mesh__conn *c)
{
	bool over = c->eof || (c->server->draining && !c->server->grace);

	if (over && !c->closed && !c->h1.pumping && c->state == MESH__CONN_IDLE && c->h1.pending.len == 0) {
		mesh__conn_linger(c);
	}
}

/* Goes on with what waits. */
static void resume(struct mesh__conn *c)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t len = h->pending.len - h->pending_used;

	if (h->pumping || len == 0 || !wants_input(c)) {
		return;
	}
	mesh__conn_hold(c);
	/* Nothing is added while it is pumped: what arrives comes through the loop, and what is handled here does not read. */
	h->pending_used += pump(c, h->pending.data + h->pending_used, len);
	if (!keeps_input(c) || h->pending_used >= h->pending.len) {
		mesh__buf_fini(&h->pending);
		h->pending_used = 0;
	}
	throttle(c);
	end_if_done(c);
	mesh__conn_release(c);
}

static void on_input(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t used = 0;

	if (h->pending.len == 0) {
		used = pump(c, bytes, len);
	}
	if (used < len && keeps_input(c)) {
		mesh__buf_consume(&h->pending, h->pending_used);
		h->pending_used = 0;
		mesh__buf_add(&h->pending, bytes + used, len - used);
		if (h->pending.error != MESH_OK) {
			mesh__conn_doom(c);
			return;
		}
		resume(c);
	}
	throttle(c);
}

/* ---- From replies to bytes ---- */

/* Parts with the request at hand. */
static void let_go(struct mesh__conn *c, bool gone)
{
	struct mesh__exchange *x = c->h1.x;

	if (x != NULL) {
		c->h1.x = NULL;
		mesh__exchange_detach(x, gone);
	}
}

/* The reply at hand has been sent: the next request, or the end. */
static void settle(struct mesh__conn *c)
{
	mesh__conn_hold(c);
	let_go(c, false);
	if (c->h1.last) {
		mesh__conn_linger(c);
	} else {
		enter(c, MESH__H1_NONE);
		mesh__conn_enter(c, MESH__CONN_IDLE);
		resume(c);
		end_if_done(c);
	}
	mesh__conn_release(c);
}

static void cut(struct mesh__conn *c)
{
	let_go(c, false);
	mesh__conn_doom(c);
}

static bool has_body(int status, bool is_head)
{
	return !is_head && status != 204 && status != 304;
}

static void on_reply(void *arg, const struct mesh__reply *r)
{
	struct mesh__conn *c = arg;
	struct mesh__buf *out = &c->server->out;
	bool is_head = c->h1.x != NULL && c->h1.x->is_head;
	bool with_body = has_body(r->status, is_head) && r->body_len > 0;
	/* To HEAD, a length is told only where there is one to tell. */
	bool with_length = r->status != 204 && r->status != 304 && !(is_head && r->body_len == 0);
	bool joined = with_body && r->body_len <= JOIN_MAX_BYTES;
	bool sent;

	c->h1.last |= r->close || c->server->draining;
	mesh__buf_clear(out);
	mesh__reply_head(out, r->status, mesh__http_server_date(c->server), with_length ? MESH__FRAMING_LENGTH : MESH__FRAMING_NONE, r->body_len, c->h1.last);
	mesh__reply_fields(out, r->fields, r->n_fields);
	mesh__buf_add(out, "\r\n", 2);
	if (joined) {
		mesh__buf_add(out, r->body, r->body_len);
	}
	sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, r->body, with_body && !joined ? r->body_len : 0);
	mesh__buf_clear(out);
	if (sent) {
		settle(c);
	} else {
		cut(c);
	}
}

static void refuse(struct mesh__conn *c, enum mesh__refusal refusal)
{
	static const struct mesh__field_text type = {"Content-Type", "application/json"};
	const struct mesh__refusal_text *text = mesh__refusal_text(refusal);
	struct mesh__reply reply = {.status = text->status, .fields = &type, .n_fields = 1, .close = true};
	struct mesh__buf body;

	mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
	mesh__buf_init(&body, &c->server->env->mem, JOIN_MAX_BYTES);
	mesh__reply_error(&body, text->word, text->sentence);
	if (body.error == MESH_OK) {
		reply.body = body.data;
		reply.body_len = body.len;
	}
	on_reply(c, &reply);
	mesh__buf_fini(&body);
}

static void on_refuse(void *arg, enum mesh__refusal refusal)
{
	struct mesh__conn *c = arg;

	mesh__conn_hold(c);
	refuse(c, refusal);
	mesh__conn_release(c);
}

static bool on_begin(void *arg, int status, const struct mesh__field_text *fields, size_t n_fields)
{
	struct mesh__conn *c = arg;
	struct mesh__h1_conn *h = &c->h1;
	struct mesh__buf *out = &c->server->out;
	bool sent;

	h->last |= c->server->draining || h->request.http_1_0;
	mesh__buf_clear(out);
	mesh__reply_head(out, status, mesh__http_server_date(c->server), h->request.http_1_0 ? MESH__FRAMING_CLOSE : MESH__FRAMING_CHUNKED, 0, h->last);
	mesh__reply_fields(out, fields, n_fields);
	mesh__buf_add(out, "\r\n", 2);
	sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, NULL, 0);
	mesh__buf_clear(out);
	if (!sent) {
		cut(c);
		return false;
	}
	enter(c, MESH__H1_STREAM);
	return true;
}

static bool on_write(void *arg, const void *bytes, size_t len)
{
	struct mesh__conn *c = arg;
	struct mesh__buf *out = &c->server->out;
	bool sent;

	if (c->doomed) {
		return false;
	}
	if (c->h1.x->is_head) {
		return true;
	}
	if (mesh__tcp_queued(c->tcp) + len > (uint64_t)c->server->options.limits.max_stream_bytes) {
		mesh__conn_doom(c);
		return false;
	}
	if (c->h1.request.http_1_0) {
		return mesh__conn_send(c, bytes, len, NULL, 0);
	}
	mesh__buf_clear(out);
	mesh__buf_printf(out, "%zx\r\n", len);
	mesh__buf_add(out, bytes, len);
	mesh__buf_add(out, "\r\n", 2);
	sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, NULL, 0);
	mesh__buf_clear(out);
	if (!sent) {
		mesh__conn_doom(c);
	}
	return sent;
}

static void on_stream_end(void *arg)
{
	static const char end[] = "0\r\n\r\n";
	struct mesh__conn *c = arg;

	if (c->h1.x->is_head || c->h1.request.http_1_0 || mesh__conn_send(c, end, sizeof(end) - 1, NULL, 0)) {
		settle(c);
	} else {
		let_go(c, false);
	}
}

static void on_abort(void *arg)
{
	cut(arg);
}

static const struct mesh__carrier carrier = {on_reply, on_refuse, on_begin, on_write, on_stream_end, on_abort};

/* ---- The connection's life ---- */

/* The peer may still want what it has asked for. */
static void on_eof(struct mesh__conn *c)
{
	switch (c->h1.state) {
	case MESH__H1_HANDLER:
		break;
	case MESH__H1_NONE:
		end_if_done(c);
		break;
	case MESH__H1_HEAD:
	case MESH__H1_BODY:
		mesh__conn_linger(c);
		break;
	case MESH__H1_STREAM: /* those who only listen for news leave in this way */
		mesh__conn_close(c, false);
		break;
	}
}

static void on_sweep(struct mesh__conn *c, int64_t now_us)
{
	if (now_us < c->h1.due_us) {
		return;
	}
	refuse(c, c->h1.state == MESH__H1_HANDLER ? MESH__REFUSAL_LATE : MESH__REFUSAL_TIMEOUT);
}

static void on_drain(struct mesh__conn *c)
{
	if (c->server->grace) {
		return; /* until it is over, each reply says that it is the last */
	}
	if (c->state == MESH__CONN_IDLE && mesh__tcp_queued(c->tcp) == 0 && c->h1.pending.len == 0) {
		mesh__conn_close(c, false);
	} else {
		end_if_done(c);
	}
}

static void on_part(struct mesh__conn *c)
{
	let_go(c, true);
	mesh__buf_fini(&c->h1.pending);
	c->h1.pending_used = 0;
}

static void on_fini(struct mesh__conn *c)
{
	mesh__buf_fini(&c->h1.head);
	mesh__buf_fini(&c->h1.pending);
}

const struct mesh__protocol mesh__h1_protocol = {on_input, on_eof, resume, on_sweep, on_drain, on_part, on_fini};

void mesh__h1_conn_init(struct mesh__conn *c)
{
	const struct mesh__http_server *s = c->server;

	c->protocol = &mesh__h1_protocol;
	c->h1.due_us = INT64_MAX;
	mesh__buf_init(&c->h1.head, &s->env->mem, (size_t)s->options.limits.max_header_bytes);
	mesh__buf_init(&c->h1.pending, &s->env->mem, SIZE_MAX / 2);
}
