/* HTTP/1 as a carrier: from replies to bytes. */
#include "http/core.h"

enum { JOIN_MAX_BYTES = 16 * 1024 }; /* bodies up to here leave with their head in one record */

static bool has_body(int status, bool is_head)
{
	return !is_head && status != 204 && status != 304;
}

static void put_last_chunk(struct mesh__buf *out, const struct mesh__field_text *trailers, size_t n_trailers)
{
	mesh__buf_add(out, "0\r\n", 3);
	mesh__reply_trailers(out, trailers, n_trailers);
	mesh__buf_add(out, "\r\n", 2);
}

static void put_chunk(struct mesh__buf *out, const void *bytes, size_t len)
{
	mesh__buf_printf(out, "%zx\r\n", len);
	mesh__buf_add(out, bytes, len);
	mesh__buf_add(out, "\r\n", 2);
}

/* Sends what is in the server's `out`, then `more`. */
static bool flush(struct mesh__conn *c, const void *more, size_t more_len)
{
	struct mesh__buf *out = &c->server->out;
	bool sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, more, more_len);

	mesh__buf_clear(out);
	return sent;
}

/* A whole reply with its body in one chunk, behind which trailers can stand. */
static bool send_with_trailers(struct mesh__conn *c, const struct mesh__reply *r)
{
	struct mesh__buf *out = &c->server->out;

	mesh__reply_head(out, r->status, mesh__http_server_date(c->server), MESH__FRAMING_CHUNKED, 0, c->h1.last);
	mesh__reply_fields(out, r->fields, r->n_fields);
	mesh__buf_add(out, "\r\n", 2);
	if (r->body_len > 0) {
		put_chunk(out, r->body, r->body_len);
	}
	put_last_chunk(out, r->trailers, r->n_trailers);
	return flush(c, NULL, 0);
}

static bool send_reply(struct mesh__conn *c, const struct mesh__reply *r)
{
	struct mesh__h1_conn *h = &c->h1;
	struct mesh__buf *out = &c->server->out;
	bool is_head = h->x != NULL && h->x->is_head;
	bool may_have_body = has_body(r->status, is_head);
	bool with_body = may_have_body && r->body_len > 0;
	/* To HEAD, a length is told only where there is one to tell. */
	bool with_length = r->status != 204 && r->status != 304 && !(is_head && r->body_len == 0);
	bool joined = with_body && r->body_len <= JOIN_MAX_BYTES;

	h->last |= r->close || c->server->draining || h->state == MESH__H1_BODY;
	mesh__buf_clear(out);
	if (r->n_trailers > 0 && may_have_body && !h->request.http_1_0) {
		return send_with_trailers(c, r);
	}
	mesh__reply_head(out, r->status, mesh__http_server_date(c->server), with_length ? MESH__FRAMING_LENGTH : MESH__FRAMING_NONE, r->body_len, h->last);
	mesh__reply_fields(out, r->fields, r->n_fields);
	mesh__buf_add(out, "\r\n", 2);
	if (joined) {
		mesh__buf_add(out, r->body, r->body_len);
	}
	return flush(c, r->body, with_body && !joined ? r->body_len : 0);
}

static void on_reply(void *arg, const struct mesh__reply *r)
{
	mesh__h1_settle(arg, send_reply(arg, r), MESH_OK);
}

void mesh__h1_refuse(struct mesh__conn *c, enum mesh__refusal refusal)
{
	const struct mesh__refusal_text *text = mesh__refusal_text(refusal);
	struct mesh__refusal_reply r;

	mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
	if (c->h1.x != NULL && c->h1.x->streaming) {
		mesh__h1_settle(c, false, mesh__refusal_code(refusal));
		return;
	}
	mesh__refusal_reply_init(&r, &c->server->env->mem, c->h1.x, refusal);
	r.reply.close = true;
	mesh__h1_settle(c, send_reply(c, &r.reply), mesh__refusal_code(refusal));
	mesh__refusal_reply_fini(&r);
}

static void on_refuse(void *arg, enum mesh__refusal refusal)
{
	struct mesh__conn *c = arg;

	mesh__conn_hold(c);
	mesh__h1_refuse(c, refusal);
	mesh__conn_release(c);
}

static bool on_begin(void *arg, int status, const struct mesh__field_text *fields, size_t n_fields)
{
	struct mesh__conn *c = arg;
	struct mesh__h1_conn *h = &c->h1;
	const struct mesh__exchange *x = h->x;
	struct mesh__buf *out = &c->server->out;

	h->framing = status == 204 || status == 304 ? MESH__FRAMING_NONE : x->sized ? MESH__FRAMING_LENGTH : h->request.http_1_0 ? MESH__FRAMING_CLOSE : MESH__FRAMING_CHUNKED;
	h->last |= c->server->draining || h->framing == MESH__FRAMING_CLOSE;
	h->owes_continue = false; /* this head is its answer */
	mesh__buf_clear(out);
	mesh__reply_head(out, status, mesh__http_server_date(c->server), h->framing, x->length, h->last);
	mesh__reply_fields(out, fields, n_fields);
	mesh__buf_add(out, "\r\n", 2);
	if (!flush(c, NULL, 0)) {
		mesh__h1_settle(c, false, MESH_OK);
		return false;
	}
	return true;
}

static bool on_write(void *arg, const void *bytes, size_t len)
{
	struct mesh__conn *c = arg;
	struct mesh__buf *out = &c->server->out;

	if (c->doomed) {
		return false;
	}
	if (mesh__tcp_queued(c->tcp) + len > (uint64_t)c->server->options.limits.max_stream_bytes) {
		mesh__conn_doom(c);
		return false;
	}
	if (c->h1.framing != MESH__FRAMING_CHUNKED) {
		return mesh__conn_send(c, bytes, len, NULL, 0);
	}
	mesh__buf_clear(out);
	put_chunk(out, bytes, len);
	if (!flush(c, NULL, 0)) {
		mesh__conn_doom(c);
		return false;
	}
	return true;
}

static void on_stream_end(void *arg, const struct mesh__field_text *trailers, size_t n_trailers)
{
	struct mesh__conn *c = arg;
	struct mesh__buf *out = &c->server->out;

	mesh__buf_clear(out);
	if (c->h1.framing == MESH__FRAMING_CHUNKED && !c->h1.x->is_head) {
		put_last_chunk(out, trailers, n_trailers);
	}
	mesh__h1_settle(c, flush(c, NULL, 0), MESH_OK);
}

static void on_abort(void *arg)
{
	mesh__h1_settle(arg, false, MESH_OK);
}

static size_t on_room(void *arg)
{
	struct mesh__conn *c = arg;
	size_t queued = mesh__tcp_queued(c->tcp);

	return queued < MESH__STREAM_HIGH_BYTES ? MESH__STREAM_HIGH_BYTES - queued : 0;
}

static void on_read(void *arg, size_t n)
{
	struct mesh__conn *c = arg;

	if (n == 0) {
		mesh__h1_say_continue(c);
	} else {
		mesh__h1_throttle(c);
	}
}

const struct mesh__carrier mesh__h1_carrier = {on_reply, on_refuse, on_begin, on_write, on_stream_end, on_abort, on_room, on_read};
