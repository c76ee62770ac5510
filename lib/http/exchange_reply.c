#include <string.h>

#include "http/core.h"

/* ---- Whole replies ---- */

/* On the loop. */
static void reply_now(struct mesh__exchange *x, const struct mesh__reply *reply)
{
	struct mesh__buf *lines = &x->server->lines;
	struct mesh__conn *c = x->conn;

	if (c == NULL) {
		return;
	}
	mesh__buf_clear(lines);
	mesh__reply_fields(lines, reply->fields, reply->n_fields);
	if (lines->error != MESH_OK) {
		mesh__conn_refuse(c, MESH__REFUSAL_NO_MEMORY);
		return;
	}
	mesh__conn_reply(c, &(struct mesh__wire_reply){reply->status, lines->data, lines->len, reply->body, reply->body_len, reply->close});
}

static void on_kept(void *arg)
{
	struct mesh__exchange *x = arg;
	struct mesh__conn *c = x->conn;

	if (c != NULL && x->kept_lines.error == MESH_OK && x->kept_body.error == MESH_OK) {
		mesh__conn_reply(c, &(struct mesh__wire_reply){x->kept_status, x->kept_lines.data, x->kept_lines.len, x->kept_body.data, x->kept_body_len, x->kept_close});
	} else if (c != NULL) {
		mesh__conn_refuse(c, MESH__REFUSAL_NO_MEMORY);
	}
	mesh__exchange_unref(x);
}

static bool on_own_loop(struct mesh__exchange *x)
{
	struct mesh__http_server *s = x->server;
	bool own;

	(void)pthread_mutex_lock(&s->loop_mu);
	own = s->loop != NULL && mesh__loop_is_current(s->loop);
	(void)pthread_mutex_unlock(&s->loop_mu);
	return own;
}

void mesh__exchange_reply(struct mesh__exchange *x, const struct mesh__reply *reply)
{
	if (atomic_exchange(&x->replied, true)) {
		mesh__exchange_unref(x);
		return;
	}
	if (on_own_loop(x)) {
		reply_now(x, reply);
		mesh__exchange_unref(x);
		return;
	}
	x->kept_status = reply->status;
	x->kept_close = reply->close;
	mesh__reply_fields(&x->kept_lines, reply->fields, reply->n_fields);
	x->kept_body_len = reply->body_len;
	if (!x->is_head) {
		mesh__buf_add(&x->kept_body, reply->body, reply->body_len);
	}
	if (!mesh__exchange_on_loop(x, on_kept)) {
		mesh__exchange_unref(x);
	}
}

void mesh__exchange_refuse(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	static const struct mesh__field_text type = {"Content-Type", "application/json"};
	struct mesh__reply reply = {.status = status, .fields = &type, .n_fields = 1};
	struct mesh__buf body;

	mesh__buf_init(&body, &x->server->env->mem, 64 * 1024);
	mesh__reply_error(&body, code, message);
	if (body.error == MESH_OK) {
		reply.body = body.data;
		reply.body_len = body.len;
	}
	mesh__exchange_reply(x, &reply);
	mesh__buf_fini(&body);
}

/* ---- Streams ---- */

bool mesh__stream_begin(struct mesh__exchange *x, int status, const struct mesh__field_text *fields, size_t n_fields, mesh__loop_fn gone, void *arg)
{
	struct mesh__conn *c = x->conn;
	struct mesh__buf *out;
	bool sent;

	if (c == NULL || c->doomed || atomic_exchange(&x->replied, true)) {
		return false;
	}
	out = &c->server->out;
	c->last |= c->server->draining || x->head.http_1_0;
	mesh__buf_clear(out);
	mesh__reply_head(out, status, mesh__http_server_date(c->server), x->head.http_1_0 ? MESH__FRAMING_CLOSE : MESH__FRAMING_CHUNKED, 0, c->last);
	mesh__reply_fields(out, fields, n_fields);
	mesh__buf_add(out, "\r\n", 2);
	sent = out->error == MESH_OK && mesh__conn_send(c, out->data, out->len, NULL, 0);
	mesh__buf_clear(out);
	if (!sent) {
		mesh__conn_let_go(c);
		mesh__conn_doom(c);
		return false;
	}
	x->streaming = true;
	x->gone = gone;
	x->gone_arg = arg;
	mesh__conn_enter(c, MESH__CONN_STREAM);
	return true;
}

bool mesh__stream_write(struct mesh__exchange *x, const void *bytes, size_t len)
{
	struct mesh__conn *c = x->conn;
	struct mesh__buf *out;
	bool sent;

	if (c == NULL || c->doomed || !x->streaming) {
		return false;
	}
	if (len == 0 || x->is_head) {
		return true; /* an empty chunk would be the end */
	}
	if (mesh__tcp_queued(c->tcp) + len > (uint64_t)c->server->options.limits.max_stream_bytes) {
		mesh__conn_doom(c);
		return false;
	}
	if (x->head.http_1_0) {
		return mesh__conn_send(c, bytes, len, NULL, 0);
	}
	out = &c->server->out;
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

void mesh__stream_end(struct mesh__exchange *x)
{
	static const char end[] = "0\r\n\r\n";
	struct mesh__conn *c = x->conn;

	x->gone = NULL;
	if (c != NULL && x->streaming) {
		if (x->is_head || x->head.http_1_0 || mesh__conn_send(c, end, sizeof(end) - 1, NULL, 0)) {
			mesh__conn_settle(c);
		} else {
			mesh__conn_let_go(c);
		}
	}
	mesh__exchange_unref(x);
}
