#include <string.h>

#include "http/core.h"
#include "wire/url.h"

enum {
	BACKLOG_MAX_BYTES = 256 * 1024, /* of answers that the peer has not taken: no further request is begun */
	PENDING_MAX_BYTES = 64 * 1024,  /* of requests that wait for the one at hand */
	JOIN_MAX_BYTES = 16 * 1024,     /* bodies up to here leave with their head in one record */
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
	return c->state == MESH__CONN_HEAD || c->state == MESH__CONN_BODY;
}

static void dispatch(struct mesh__conn *c)
{
	struct mesh__exchange *x = c->x;

	x->handed_over = true;
	mesh__conn_enter(c, MESH__CONN_HANDLER);
	c->server->options.handler(c->server->options.user, x);
}

static void say_continue(struct mesh__conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	(void)mesh__conn_send(c, text, sizeof(text) - 1, NULL, 0);
}

/* A header is whole. */
static void begin_request(struct mesh__conn *c, bool body_has_begun)
{
	enum mesh__refusal refusal;

	if (!mesh__conn_still_trusted(c)) {
		mesh__conn_close(c, false);
		return;
	}
	refusal = mesh__exchange_new(c, &c->x);
	mesh__buf_clear(&c->head);
	if (c->head.cap > HEAD_KEEP_BYTES) {
		mesh__buf_fini(&c->head);
	}
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__conn_refuse(c, refusal);
		return;
	}
	c->last = !c->x->head.keep_alive;
	if (!c->x->head.has_body) {
		dispatch(c);
		return;
	}
	mesh__h1_chunks_init(&c->chunks);
	mesh__conn_enter(c, MESH__CONN_BODY);
	if (c->x->head.wants_continue && !body_has_begun) {
		say_continue(c);
	}
}

static size_t take_head(struct mesh__conn *c, const char *bytes, size_t len)
{
	enum mesh__refusal refusal;
	size_t used = 0;
	bool done = false;

	refusal = mesh__h1_scan(&c->scan, bytes, len, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__conn_refuse(c, refusal);
		return len;
	}
	mesh__buf_add(&c->head, bytes, used);
	if (c->head.error != MESH_OK) {
		mesh__conn_refuse(c, MESH__REFUSAL_NO_MEMORY);
		return len;
	}
	if (done) {
		begin_request(c, used < len);
	}
	return used;
}

static enum mesh__refusal take_sized(struct mesh__exchange *x, const char *bytes, size_t len, size_t *used, bool *done)
{
	uint64_t left = x->head.content_length - x->body.len;

	*used = len < left ? len : (size_t)left;
	mesh__buf_add(&x->body, bytes, *used);
	*done = *used == left;
	return x->body.error == MESH_OK ? MESH__REFUSAL_NONE : MESH__REFUSAL_NO_MEMORY;
}

static size_t take_body(struct mesh__conn *c, const char *bytes, size_t len)
{
	enum mesh__refusal refusal;
	size_t used = 0;
	bool done = false;

	refusal = c->x->head.chunked ? mesh__h1_chunks(&c->chunks, bytes, len, &c->x->body, &used, &done) : take_sized(c->x, bytes, len, &used, &done);
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__conn_refuse(c, refusal);
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
	size_t used = 0;

	c->pumping = true;
	while (used < len && wants_input(c)) {
		if (c->state == MESH__CONN_IDLE) {
			mesh__h1_scan_init(&c->scan, (size_t)c->server->options.limits.max_header_bytes, (size_t)c->server->options.limits.max_fields);
			mesh__conn_enter(c, MESH__CONN_HEAD);
		}
		used += c->state == MESH__CONN_HEAD ? take_head(c, bytes + used, len - used) : take_body(c, bytes + used, len - used);
	}
	c->pumping = false;
	return used;
}

static bool keeps_input(const struct mesh__conn *c)
{
	return !c->closed && !c->doomed && c->state != MESH__CONN_LINGER;
}

void mesh__conn_throttle(struct mesh__conn *c)
{
	if (keeps_input(c)) {
		mesh__tcp_pause(c->tcp, c->pending.len - c->pending_used > PENDING_MAX_BYTES);
	}
}

void mesh__conn_resume(struct mesh__conn *c)
{
	size_t len = c->pending.len - c->pending_used;

	if (c->pumping || len == 0 || !wants_input(c)) {
		return;
	}
	mesh__conn_hold(c);
	/* Nothing is added while it is pumped: what arrives comes through the loop, and what is handled here does not read. */
	c->pending_used += pump(c, c->pending.data + c->pending_used, len);
	if (!keeps_input(c) || c->pending_used >= c->pending.len) {
		mesh__buf_fini(&c->pending);
		c->pending_used = 0;
	}
	mesh__conn_throttle(c);
	mesh__conn_end_if_done(c);
	mesh__conn_release(c);
}

void mesh__conn_input(struct mesh__conn *c, const char *bytes, size_t len)
{
	size_t used = 0;

	if (c->pending.len == 0) {
		used = pump(c, bytes, len);
	}
	if (used < len && keeps_input(c)) {
		mesh__buf_consume(&c->pending, c->pending_used);
		c->pending_used = 0;
		mesh__buf_add(&c->pending, bytes + used, len - used);
		if (c->pending.error != MESH_OK) {
			mesh__conn_doom(c);
			return;
		}
		mesh__conn_resume(c);
	}
}

/* ---- From replies to bytes ---- */

static bool has_body(int status, bool is_head)
{
	return !is_head && status != 204 && status != 304;
}

void mesh__conn_reply(struct mesh__conn *c, const struct mesh__wire_reply *r)
{
	struct mesh__buf *out = &c->server->out;
	bool is_head = c->x != NULL && c->x->is_head;
	bool with_body = has_body(r->status, is_head) && r->body_len > 0;
	/* To HEAD, a length is told only where there is one to tell. */
	bool with_length = r->status != 204 && r->status != 304 && !(is_head && r->body_len == 0);
	bool joined = with_body && r->body_len <= JOIN_MAX_BYTES;
	bool sent;

	c->last |= r->close || c->server->draining;
	mesh__buf_clear(out);
	mesh__reply_head(out, r->status, mesh__http_server_date(c->server), with_length ? MESH__FRAMING_LENGTH : MESH__FRAMING_NONE, r->body_len, c->last);
	mesh__buf_add(out, r->lines, r->lines_len);
	mesh__buf_add(out, "\r\n", 2);
	if (joined) {
		mesh__buf_add(out, r->body, r->body_len);
	}
	sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, r->body, with_body && !joined ? r->body_len : 0);
	mesh__buf_clear(out);
	if (sent) {
		mesh__conn_settle(c);
	} else {
		mesh__conn_let_go(c);
		mesh__conn_doom(c);
	}
}

void mesh__conn_let_go(struct mesh__conn *c)
{
	struct mesh__exchange *x = c->x;

	if (x != NULL) {
		c->x = NULL;
		mesh__exchange_detach(x, false);
	}
}

void mesh__conn_settle(struct mesh__conn *c)
{
	mesh__conn_hold(c);
	mesh__conn_let_go(c);
	if (c->last) {
		mesh__conn_linger(c);
	} else {
		mesh__conn_enter(c, MESH__CONN_IDLE);
		mesh__conn_resume(c);
		mesh__conn_end_if_done(c);
	}
	mesh__conn_release(c);
}

void mesh__conn_end_if_done(struct mesh__conn *c)
{
	if (!c->closed && !c->pumping && c->state == MESH__CONN_IDLE && (c->eof || (c->server->draining && !c->server->grace)) && c->pending.len == 0) {
		mesh__conn_linger(c);
	}
}

void mesh__conn_refuse(struct mesh__conn *c, enum mesh__refusal refusal)
{
	static const char lines[] = "Content-Type: application/json\r\n";
	const struct mesh__refusal_text *text = mesh__refusal_text(refusal);
	struct mesh__wire_reply reply = {.status = text->status, .lines = lines, .lines_len = sizeof(lines) - 1, .close = true};
	struct mesh__buf body;

	mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
	mesh__buf_init(&body, &c->server->env->mem, JOIN_MAX_BYTES);
	mesh__reply_error(&body, text->word, text->sentence);
	if (body.error == MESH_OK) {
		reply.body = body.data;
		reply.body_len = body.len;
	}
	mesh__conn_reply(c, &reply);
	mesh__buf_fini(&body);
}
