#include <string.h>

#include "http/core.h"

enum {
	BACKLOG_MAX_BYTES = 256 * 1024, /* of answers that the peer has not taken: no further request is begun */
	PENDING_MAX_BYTES = 64 * 1024,  /* of requests that wait for the one at hand */
	HEAD_KEEP_BYTES = 16 * 1024
};

/* ---- From bytes to requests ---- */

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

void mesh__h1_say_continue(struct mesh__conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!c->h1.owes_continue) {
		return;
	}
	c->h1.owes_continue = false;
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
		mesh__exchange_detach(x, MESH_OK);
		return refusal;
	}
	x->method = h->request.method;
	x->path = h->request.path;
	x->query = h->request.query;
	mesh__exchange_open(x, &mesh__h1_carrier, c);
	h->x = x;
	return MESH__REFUSAL_NONE;
}

static enum mesh__refusal take_trailers(struct mesh__h1_conn *h)
{
	struct mesh__trailers *trailers = &h->x->trailers;
	bool fits = mesh__trailers_add_lines(trailers, h->trailers.data, h->trailers.len);

	mesh__buf_fini(&h->trailers);
	return fits ? MESH__REFUSAL_NONE : trailers->text.error == MESH_E_NO_MEMORY ? MESH__REFUSAL_NO_MEMORY : MESH__REFUSAL_HEADER_TOO_LARGE;
}

/* The request at hand is whole. */
static void end_body(struct mesh__conn *c)
{
	struct mesh__h1_conn *h = &c->h1;
	enum mesh__refusal refusal = h->trailers.len > 0 ? take_trailers(h) : MESH__REFUSAL_NONE;

	if (refusal != MESH__REFUSAL_NONE) {
		mesh__h1_refuse(c, refusal);
		return;
	}
	h->state = MESH__H1_WHOLE;
	if (h->x->handed_over) {
		mesh__exchange_fed(h->x, true);
	} else {
		h->x->body_ended = true;
		mesh__exchange_hand_over(h->x);
	}
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
		mesh__h1_refuse(c, refusal);
		return;
	}
	h->last = !h->request.keep_alive;
	if (!h->request.has_body) {
		end_body(c);
		return;
	}
	h->state = MESH__H1_BODY;
	h->n_left = h->request.content_length;
	h->owes_continue = h->request.wants_continue && !body_has_begun;
	mesh__h1_chunks_init(&h->chunks, &h->trailers);
	if (!h->x->streams_body) {
		mesh__h1_say_continue(c);
	}
}

static size_t take_head(struct mesh__conn *c, const char *bytes, size_t len)
{
	enum mesh__refusal refusal;
	size_t used = 0;
	bool done = false;

	refusal = mesh__h1_scan(&c->h1.scan, bytes, len, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__h1_refuse(c, refusal);
		return len;
	}
	mesh__buf_add(&c->h1.head, bytes, used);
	if (c->h1.head.error != MESH_OK) {
		mesh__h1_refuse(c, MESH__REFUSAL_NO_MEMORY);
		return len;
	}
	if (done) {
		begin_request(c, used < len);
	}
	return used;
}

static enum mesh__refusal take_sized(struct mesh__h1_conn *h, const char *bytes, size_t len, struct mesh__buf *body, size_t *used, bool *done)
{
	*used = len < h->n_left ? len : (size_t)h->n_left;
	mesh__buf_add(body, bytes, *used);
	h->n_left -= *used;
	*done = h->n_left == 0;
	return body->error == MESH_OK ? MESH__REFUSAL_NONE : MESH__REFUSAL_NO_MEMORY;
}

static size_t take_body(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__h1_conn *h = &c->h1;
	struct mesh__buf *body = mesh__exchange_body_buf(h->x);
	enum mesh__refusal refusal;
	size_t used = 0, had = body->len;
	bool done = false;

	h->owes_continue = false;
	refusal = h->request.chunked ? mesh__h1_chunks(&h->chunks, bytes, len, body, &used, &done) : take_sized(h, bytes, len, body, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__h1_refuse(c, refusal);
		return len;
	}
	if (done) {
		end_body(c);
	} else if (h->x->handed_over && body->len > had) {
		mesh__exchange_fed(h->x, false);
	}
	return used;
}

/* Takes as many of the bytes as the state allows for. A body that is streamed is handed over with what came with its header: what is small is whole then. */
static size_t pump(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t used = 0;

	h->pumping = true;
	while (used < len && wants_input(c)) {
		if (c->state == MESH__CONN_IDLE) {
			mesh__h1_scan_init(&h->scan, (size_t)c->server->options.limits.max_header_bytes, (size_t)c->server->options.limits.max_fields);
			mesh__conn_enter(c, MESH__CONN_BUSY);
			h->state = MESH__H1_HEAD;
			h->head_due_us = mesh__mono_us(c->server->env) + c->server->options.limits.header_ms * 1000;
		}
		used += h->state == MESH__H1_HEAD ? take_head(c, bytes + used, len - used) : take_body(c, bytes + used, len - used);
	}
	if (h->x != NULL && h->x->streams_body && !h->x->handed_over && wants_input(c)) {
		mesh__exchange_hand_over(h->x);
	}
	h->pumping = false;
	return used;
}

static bool keeps_input(const struct mesh__conn *c)
{
	return !c->closed && !c->doomed && c->state != MESH__CONN_LINGER;
}

void mesh__h1_throttle(struct mesh__conn *c)
{
	struct mesh__h1_conn *h = &c->h1;
	size_t unread = h->x != NULL && h->x->streams_body ? mesh__exchange_unread(h->x) : 0;

	if (keeps_input(c)) {
		h->paused = h->pending.len - h->pending_used > PENDING_MAX_BYTES || unread > (h->paused ? MESH__STREAM_LOW_BYTES : MESH__STREAM_HIGH_BYTES);
		mesh__tcp_pause(c->tcp, h->paused);
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
	mesh__h1_throttle(c);
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
	mesh__h1_throttle(c);
}

/* ---- From one request to the next ---- */

/* Parts with the request at hand: it is over, or gone. */
static void let_go(struct mesh__conn *c, int code)
{
	struct mesh__exchange *x = c->h1.x;

	if (x != NULL) {
		c->h1.x = NULL;
		mesh__exchange_detach(x, code);
	}
}

void mesh__h1_settle(struct mesh__conn *c, bool sent, int code)
{
	struct mesh__h1_conn *h = &c->h1;

	mesh__conn_hold(c);
	h->last |= h->state == MESH__H1_BODY; /* what is still to come of its body is not the next request */
	let_go(c, code);
	if (!sent) {
		mesh__conn_doom(c);
	} else if (h->last) {
		mesh__conn_linger(c);
	} else {
		h->state = MESH__H1_NONE;
		mesh__conn_enter(c, MESH__CONN_IDLE);
		if (h->paused) {
			mesh__h1_throttle(c); /* what was not read waits no longer */
		}
		resume(c);
		end_if_done(c);
	}
	mesh__conn_release(c);
}

/* ---- The connection's life ---- */

/* The peer may still want what it has asked for. */
static void on_eof(struct mesh__conn *c)
{
	struct mesh__h1_conn *h = &c->h1;

	if (h->x != NULL && h->x->streaming) {
		mesh__conn_close(c, false); /* those who only listen for news leave in this way */
	} else if (h->state == MESH__H1_HEAD || h->state == MESH__H1_BODY) {
		mesh__conn_linger(c);
	} else {
		end_if_done(c);
	}
}

static void on_drained(struct mesh__conn *c)
{
	if (c->h1.x != NULL) {
		mesh__exchange_drained(c->h1.x);
	}
	resume(c);
}

static void on_sweep(struct mesh__conn *c, int64_t now_us)
{
	const struct mesh__h1_conn *h = &c->h1;
	bool head_is_late = h->state == MESH__H1_HEAD && now_us >= h->head_due_us;
	enum mesh__refusal overdue = h->x != NULL ? mesh__exchange_overdue(h->x, now_us) : head_is_late ? MESH__REFUSAL_TIMEOUT : MESH__REFUSAL_NONE;

	if (overdue != MESH__REFUSAL_NONE) {
		mesh__h1_refuse(c, overdue);
	}
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

static void on_expire(struct mesh__conn *c)
{
	mesh__conn_close(c, false);
}

static void on_part(struct mesh__conn *c)
{
	let_go(c, MESH_E_RESET);
	mesh__buf_fini(&c->h1.pending);
	c->h1.pending_used = 0;
}

static void on_fini(struct mesh__conn *c)
{
	mesh__buf_fini(&c->h1.head);
	mesh__buf_fini(&c->h1.trailers);
	mesh__buf_fini(&c->h1.pending);
}

const struct mesh__protocol mesh__h1_protocol = {on_input, on_eof, on_drained, on_sweep, on_drain, on_expire, on_part, on_fini};

void mesh__h1_conn_init(struct mesh__conn *c)
{
	const struct mesh__http_server *s = c->server;

	c->protocol = &mesh__h1_protocol;
	mesh__buf_init(&c->h1.head, &s->env->mem, (size_t)s->options.limits.max_header_bytes);
	mesh__buf_init(&c->h1.trailers, &s->env->mem, 2 * MESH__TRAILERS_MAX_BYTES); /* more than a section of the most bytes that the decoder lets through can be */
	mesh__buf_init(&c->h1.pending, &s->env->mem, SIZE_MAX / 2);
}
