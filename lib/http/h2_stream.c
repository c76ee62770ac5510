/* HTTP/2's streams as carriers: from headers and bodies to requests, from replies to what is pulled. */
#include <stdio.h>
#include <string.h>

#include "http/core.h"
#include "http/h2_head.h"
#include "wire/grpc.h"

enum { OUT_SLACK_BYTES = 64 * 1024 /* of what has been sent: so much stays before the rest moves up */ };

static const struct mesh__carrier carrier;
static void refuse(struct mesh__h2_stream *st, enum mesh__refusal refusal);

/* ---- Its life ---- */

static struct mesh__h2_stream *stream_new(struct mesh__conn *c, int32_t id)
{
	const struct mesh__mem *mem = &c->server->env->mem;
	struct mesh__h2_stream *st = mesh__alloc(mem, sizeof(*st));

	if (st == NULL) {
		return NULL;
	}
	st->conn = c;
	st->id = id;
	mesh__buf_init(&st->out, mem, SIZE_MAX / 2);
	mesh__trailers_init(&st->trailers, mem);
	st->next = c->h2.streams;
	c->h2.streams = st;
	c->h2.n_streams++;
	mesh__h2_set_user(c->h2.session, id, st);
	return st;
}

static void drop_output(struct mesh__h2_stream *st)
{
	struct mesh__exchange *holder = st->holder;

	st->holder = NULL;
	st->body = NULL;
	st->body_left = 0;
	mesh__buf_fini(&st->out);
	st->out_used = 0;
	mesh__trailers_fini(&st->trailers);
	if (holder != NULL) {
		mesh__exchange_unref(holder);
	}
}

/* Its memory goes when nobody is in the middle of anything: whoever goes through the list may be calling this. */
static void die(struct mesh__h2_stream *st)
{
	st->dead = true;
	st->conn->h2.n_streams--;
	st->conn->h2.reap = true;
	mesh__h2_conn_flush_soon(st->conn);
}

void mesh__h2_stream_free(struct mesh__h2_stream *st)
{
	drop_output(st);
	mesh__free(st);
}

/* What the session could not do, for want of memory, must not be waited for. */
static bool done(struct mesh__h2_stream *st, int code)
{
	if (code != MESH_OK) {
		mesh__conn_doom(st->conn);
	}
	mesh__h2_conn_flush_soon(st->conn);
	return code == MESH_OK;
}

static void reset(struct mesh__h2_stream *st, enum mesh__h2_code code)
{
	drop_output(st);
	st->broken = true;
	(void)done(st, mesh__h2_reset(st->conn->h2.session, st->id, code));
}

/* Parts with the exchange: it is over, or gone. */
static void let_go(struct mesh__h2_stream *st, int code)
{
	struct mesh__exchange *x = st->x;

	st->x = NULL;
	st->conn->h2.n_lost -= st->lost;
	st->lost = false;
	mesh__h2_bodies_over(st);
	if (st->closed) {
		die(st);
	}
	if (x != NULL) {
		mesh__exchange_detach(x, code);
	}
}

void mesh__h2_stream_lose(struct mesh__h2_stream *st)
{
	if (st->x->handed_over && !st->conn->h2.parted) {
		st->conn->h2.n_lost -= st->lost;
		st->lost = false;
		mesh__exchange_gone(st->x, MESH_E_RESET); /* it is at work, and counts until it is done */
	} else {
		let_go(st, MESH_E_RESET);
	}
}

/* ---- Requests ---- */

static enum mesh__refusal read_request(struct mesh__h2_stream *st, const struct mesh__h2_block *block)
{
	struct mesh__request_head head;
	enum mesh__refusal refusal;
	struct mesh__exchange *x;
	char *text;

	x = mesh__exchange_new(st->conn, block->n, mesh__h2_head_size(block), &text);
	if (x == NULL) {
		return MESH__REFUSAL_NO_MEMORY;
	}
	refusal = mesh__h2_head_parse(block, text, x->fields, mesh__exchange_max_body(st->conn), &head);
	st->is_head = strcmp(head.method, "HEAD") == 0;
	if (refusal != MESH__REFUSAL_NONE) {
		mesh__exchange_detach(x, MESH_OK);
		return refusal;
	}
	x->method = head.method;
	x->path = head.path;
	x->query = head.query;
	x->n_fields = head.n_fields;
	x->is_http2 = true;
	mesh__exchange_open(x, &carrier, st);
	st->x = x;
	st->owes_continue = head.wants_continue;
	return MESH__REFUSAL_NONE;
}

static void say_continue(struct mesh__h2_stream *st)
{
	if (st->owes_continue && !st->closed && !st->broken) {
		st->owes_continue = false;
		(void)done(st, mesh__h2_reply(st->conn->h2.session, st->id, 100, NULL, 0, false));
	}
}

static void end_body(struct mesh__h2_stream *st)
{
	st->owes_continue = false;
	if (!st->x->streams_body) {
		mesh__h2_bodies_whole(st);
	}
	if (st->x->handed_over) {
		mesh__exchange_fed(st->x, true);
	} else {
		st->x->body_ended = true;
		mesh__exchange_hand_over(st->x);
	}
}

/* Refused before a handler could see it, which the peer is told: it may try again elsewhere. */
static void turn_away(struct mesh__conn *c, int32_t id)
{
	if (mesh__h2_reset(c->h2.session, id, MESH__H2_REFUSED_STREAM) != MESH_OK) {
		mesh__conn_doom(c);
	}
}

/* GOAWAY has been said, and this caller would lose its status by that (h2_conn.h); who speaks gRPC makes a refused call again. */
static bool comes_too_late(const struct mesh__conn *c, const struct mesh__h2_block *block)
{
	const char *at = block->pairs;

	if (!c->h2.announced) {
		return false;
	}
	for (size_t i = 0; i < block->n; i++) {
		const char *value = at + strlen(at) + 1;

		if (strcmp(at, "content-type") == 0) {
			return mesh__grpc_content_type(value);
		}
		at = value + strlen(value) + 1;
	}
	return false;
}

static void on_head(void *arg, int32_t id, const struct mesh__h2_block *block, bool end)
{
	struct mesh__conn *c = arg;
	struct mesh__h2_stream *st = NULL;
	enum mesh__refusal refusal;

	if (c->closed || c->doomed || c->h2.parted) {
		return;
	}
	if (c->h2.ending || !mesh__conn_still_trusted(c)) {
		turn_away(c, id);
		mesh__h2_conn_end(c);
		return;
	}
	if (comes_too_late(c, block)) {
		turn_away(c, id);
		return;
	}
	c->h2.farewell |= c->server->grace && !c->h2.announced;
	if (c->h2.n_streams < MESH__H2_MAX_STREAMS) {
		st = stream_new(c, id);
	}
	if (st == NULL) {
		turn_away(c, id);
		return;
	}
	refusal = read_request(st, block);
	if (refusal != MESH__REFUSAL_NONE) {
		refuse(st, refusal);
	} else if (end) {
		end_body(st);
	} else if (st->x->streams_body) {
		c->h2.fresh = true;
	} else {
		say_continue(st);
	}
}

/* A request whose body is still wanted, or NULL. */
static struct mesh__h2_stream *receiver(struct mesh__conn *c, void *user)
{
	struct mesh__h2_stream *st = user;

	return c->h2.parted || st == NULL || st->x == NULL || st->broken || st->x->body_ended ? NULL : st;
}

static void on_data(void *arg, int32_t id, void *user, const char *bytes, size_t len)
{
	struct mesh__h2_stream *st = receiver(arg, user);
	struct mesh__buf *body;

	(void)id;
	if (st == NULL) {
		return;
	}
	st->owes_continue = false;
	body = mesh__exchange_body_buf(st->x);
	mesh__buf_add(body, bytes, len);
	if (body->error != MESH_OK) {
		refuse(st, body->error == MESH_E_TOO_LARGE ? MESH__REFUSAL_BODY_TOO_LARGE : MESH__REFUSAL_NO_MEMORY);
	} else if (st->x->handed_over) {
		mesh__exchange_fed(st->x, false);
	} else if (!st->x->streams_body) {
		mesh__h2_bodies_fed(st, len);
	}
}

static enum mesh__refusal take_trailers(struct mesh__trailers *trailers, const struct mesh__h2_block *block)
{
	const char *at = block->pairs;

	for (size_t i = 0; i < block->n; i++) {
		size_t name_len = strlen(at), value_len = strlen(at + name_len + 1);

		if (!mesh__trailers_add(trailers, at, name_len, at + name_len + 1, value_len)) {
			return trailers->text.error == MESH_E_NO_MEMORY ? MESH__REFUSAL_NO_MEMORY : MESH__REFUSAL_HEADER_TOO_LARGE;
		}
		at += name_len + value_len + 2;
	}
	return block->too_large ? MESH__REFUSAL_HEADER_TOO_LARGE : MESH__REFUSAL_NONE;
}

static void on_end(void *arg, int32_t id, void *user, const struct mesh__h2_block *block)
{
	struct mesh__h2_stream *st = receiver(arg, user);
	enum mesh__refusal refusal;

	(void)id;
	if (st == NULL) {
		return;
	}
	refusal = take_trailers(&st->x->trailers, block);
	if (refusal != MESH__REFUSAL_NONE) {
		refuse(st, refusal);
	} else {
		end_body(st);
	}
}

static void on_closed(void *arg, int32_t id, void *user, uint32_t code)
{
	struct mesh__conn *c = arg;
	struct mesh__h2_stream *st = user;

	(void)id;
	if (c->h2.parted || st == NULL) {
		return;
	}
	st->closed = true;
	c->h2.n_early -= st->early;
	mesh__h2_unread_ended(&c->h2.unread, st->end_pulled && st->trailers.n > 0 && code == MESH__H2_NO_ERROR, mesh__mono_us(c->server->env));
	drop_output(st);
	if (st->x == NULL) {
		die(st);
	} else {
		st->lost = true; /* told when nobody is in the middle of anything */
		c->h2.n_lost++;
	}
}

/* ---- What is pulled ---- */

static size_t unsent(const struct mesh__h2_stream *st)
{
	return st->body_left + st->out.len - st->out_used;
}

static size_t pull_out(struct mesh__h2_stream *st, char *buf, size_t size)
{
	size_t n = st->out.len - st->out_used;

	n = n < size ? n : size;
	if (n > 0) {
		memcpy(buf, st->out.data + st->out_used, n);
	}
	st->out_used += n;
	if (st->out_used >= OUT_SLACK_BYTES) {
		mesh__buf_consume(&st->out, st->out_used);
		st->out_used = 0;
	}
	return n;
}

static enum mesh__h2_more send_trailers(struct mesh__h2_stream *st)
{
	struct mesh__field_text trailers[MESH__TRAILERS_MAX];
	size_t n = st->trailers.n;

	for (size_t i = 0; i < n; i++) {
		trailers[i] = mesh__trailers_at(&st->trailers, i);
	}
	return done(st, mesh__h2_trailers(st->conn->h2.session, st->id, trailers, n)) ? MESH__H2_TRAILERS : MESH__H2_BROKEN;
}

static enum mesh__h2_more on_pull(void *arg, int32_t id, void *user, char *buf, size_t size, size_t *n)
{
	struct mesh__conn *c = arg;
	struct mesh__h2_stream *st = user;
	size_t n_body;

	(void)id;
	if (c->h2.parted || st == NULL || st->broken) {
		return MESH__H2_BROKEN;
	}
	n_body = st->body_left < size ? st->body_left : size;
	if (n_body > 0) {
		memcpy(buf, st->body, n_body);
		st->body += n_body;
		st->body_left -= n_body;
	}
	*n = n_body + pull_out(st, buf + n_body, size - n_body);
	st->pulled |= *n > 0;
	if (unsent(st) > 0 || (*n > 0 && !st->ended)) {
		return MESH__H2_MORE;
	}
	st->end_pulled = st->ended;
	return !st->ended ? MESH__H2_LATER : st->trailers.n > 0 ? send_trailers(st) : MESH__H2_END;
}

static void on_early(void *arg, int32_t id, void *user)
{
	struct mesh__conn *c = arg;
	struct mesh__h2_stream *st = user;

	if (st != NULL && !c->h2.parted) {
		st->early = true;
		st->early_until_us = mesh__mono_us(c->server->env) + (int64_t)MESH__H2_UNREAD_MS * 1000;
		c->h2.n_early++;
	} else if (mesh__h2_reset(c->h2.session, id, MESH__H2_NO_ERROR) != MESH_OK) {
		mesh__conn_doom(c);
	}
}

void mesh__h2_stream_end_early(struct mesh__h2_stream *st, int64_t now_us)
{
	struct mesh__h2 *session = st->conn->h2.session;

	if (st->early_asked == 0) {
		(void)done(st, mesh__h2_ask(session, &st->early_asked));
	} else if (mesh__h2_answered(session) >= st->early_asked || now_us >= st->early_until_us) {
		st->early = false;
		st->conn->h2.n_early--;
		(void)done(st, mesh__h2_reset(session, st->id, MESH__H2_NO_ERROR)); /* it is closed when that has gone */
	}
}

const struct mesh__h2_events mesh__h2_stream_events = {on_head, on_data, on_end, on_pull, on_early, on_closed};

/* ---- Replies ---- */

/* Our own fields, then those of the caller's that go out. */
static bool send_head(struct mesh__h2_stream *st, int status, const struct mesh__field_text *fields, size_t n_fields, const char *length, bool body)
{
	struct mesh__http_server *s = st->conn->server;
	struct mesh__field_text *all = mesh__alloc_array(&s->env->mem, n_fields + 3, sizeof(*all));
	size_t n = 0;
	int code;

	if (all == NULL) {
		return done(st, MESH_E_NO_MEMORY);
	}
	all[n++] = (struct mesh__field_text){"date", mesh__http_server_date(s)};
	if (length != NULL) {
		all[n++] = (struct mesh__field_text){"content-length", length};
	}
	if (body && st->x != NULL && !st->x->body_ended) {
		all[n++] = (struct mesh__field_text){MESH__H2_ENDS_APART, "1"};
	}
	for (size_t i = 0; i < n_fields; i++) {
		if (mesh__reply_field_goes(fields[i].name, strlen(fields[i].name), fields[i].value, strlen(fields[i].value))) {
			all[n++] = fields[i];
		}
	}
	st->owes_continue = false; /* this is its answer */
	code = mesh__h2_reply(st->conn->h2.session, st->id, status, all, n, body);
	mesh__free(all);
	return done(st, code);
}

static bool has_no_body(int status)
{
	return status == 204 || status == 304;
}

static bool keep_trailers(struct mesh__h2_stream *st, const struct mesh__field_text *trailers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!mesh__trailers_add(&st->trailers, trailers[i].name, strlen(trailers[i].name), trailers[i].value, strlen(trailers[i].value))) {
			return false;
		}
	}
	return true;
}

/* A body that came from another thread is the exchange's already, and is sent from there. */
static bool keep_body(struct mesh__h2_stream *st, const struct mesh__reply *r)
{
	if (st->x != NULL && r == st->x->kept) {
		mesh__exchange_ref(st->x);
		mesh__buf_fini(&st->x->body); /* who takes no reply must not keep the requests too */
		st->holder = st->x;
		st->body = r->body;
		st->body_left = r->body_len;
	} else {
		mesh__buf_add(&st->out, r->body, r->body_len);
	}
	return st->out.error == MESH_OK;
}

static void answer(struct mesh__h2_stream *st, const struct mesh__reply *r)
{
	bool may_have_body = !st->is_head && !has_no_body(r->status);
	/* To HEAD, a length is told only where there is one to tell. */
	bool with_length = !has_no_body(r->status) && !(st->is_head && r->body_len == 0);
	bool more = may_have_body && (r->body_len > 0 || r->n_trailers > 0);
	char length[24];

	(void)snprintf(length, sizeof(length), "%zu", r->body_len);
	st->ended = true;
	if (more && !(keep_body(st, r) && keep_trailers(st, r->trailers, r->n_trailers))) {
		reset(st, MESH__H2_INTERNAL_ERROR);
	} else {
		(void)send_head(st, r->status, r->fields, r->n_fields, with_length ? length : NULL, more);
	}
}

static void on_reply(void *arg, const struct mesh__reply *r)
{
	struct mesh__h2_stream *st = arg;

	if (!st->closed && !st->broken) {
		answer(st, r);
		if (r->close) {
			mesh__h2_conn_end(st->conn);
		}
	}
	let_go(st, MESH_OK);
}

/* What could be read in two ways gets no answer: RFC 9113 section 8.1.1. */
static bool is_stream_error(enum mesh__refusal refusal)
{
	return refusal == MESH__REFUSAL_MALFORMED || refusal == MESH__REFUSAL_FRAMING;
}

static void answer_refusal(struct mesh__h2_stream *st, enum mesh__refusal refusal)
{
	struct mesh__refusal_reply r;

	mesh__refusal_reply_init(&r, &st->conn->server->env->mem, st->x, refusal);
	answer(st, &r.reply);
	mesh__refusal_reply_fini(&r);
}

static void refuse(struct mesh__h2_stream *st, enum mesh__refusal refusal)
{
	const struct mesh__refusal_text *text = mesh__refusal_text(refusal);

	if (st->closed || st->broken) {
		let_go(st, mesh__refusal_code(refusal)); /* nobody is there to be told, who gave no answer did no wrong */
		return;
	}
	mesh__http_server_refused(st->conn->server, "request refused", &st->conn->peer, text->word, text->sentence);
	if (is_stream_error(refusal)) {
		reset(st, MESH__H2_PROTOCOL_ERROR);
	} else if (st->x != NULL && st->x->streaming) {
		reset(st, MESH__H2_INTERNAL_ERROR);
	} else {
		answer_refusal(st, refusal);
	}
	let_go(st, mesh__refusal_code(refusal));
}

static void on_refuse(void *arg, enum mesh__refusal refusal)
{
	refuse(arg, refusal);
}

static bool on_begin(void *arg, int status, const struct mesh__field_text *fields, size_t n_fields)
{
	struct mesh__h2_stream *st = arg;
	const struct mesh__exchange *x = st->x;
	bool with_length = x->sized && !has_no_body(status);
	char length[24];

	(void)snprintf(length, sizeof(length), "%llu", (unsigned long long)x->length);
	if (st->closed || st->broken || st->conn->doomed || !send_head(st, status, fields, n_fields, with_length ? length : NULL, !x->bodiless)) {
		let_go(st, MESH_OK);
		return false;
	}
	st->ended = x->bodiless;
	return true;
}

static bool on_write(void *arg, const void *bytes, size_t len)
{
	struct mesh__h2_stream *st = arg;
	struct mesh__conn *c = st->conn;

	if (st->closed || st->broken || c->doomed) {
		return false;
	}
	if (unsent(st) + len > (uint64_t)c->server->options.limits.max_stream_bytes) {
		reset(st, MESH__H2_CANCEL);
		return false;
	}
	mesh__buf_add(&st->out, bytes, len);
	if (st->out.error != MESH_OK) {
		reset(st, MESH__H2_INTERNAL_ERROR);
		return false;
	}
	return done(st, mesh__h2_resume(c->h2.session, st->id));
}

static void on_stream_end(void *arg, const struct mesh__field_text *trailers, size_t n_trailers)
{
	struct mesh__h2_stream *st = arg;

	if (!st->closed && !st->broken && !st->ended) {
		st->ended = true;
		if (keep_trailers(st, trailers, n_trailers)) {
			(void)done(st, mesh__h2_resume(st->conn->h2.session, st->id));
		} else {
			reset(st, MESH__H2_INTERNAL_ERROR);
		}
	}
	let_go(st, MESH_OK);
}

static void on_abort(void *arg)
{
	struct mesh__h2_stream *st = arg;

	if (!st->closed && !st->broken) {
		reset(st, MESH__H2_INTERNAL_ERROR);
	}
	let_go(st, MESH_OK);
}

static size_t on_room(void *arg)
{
	struct mesh__h2_stream *st = arg;
	size_t n = unsent(st);

	if (st->closed || st->broken || n < MESH__STREAM_HIGH_BYTES) {
		return MESH__STREAM_HIGH_BYTES - (n < MESH__STREAM_HIGH_BYTES ? n : 0);
	}
	st->conn->h2.choked = true;
	return 0;
}

static void on_read(void *arg, size_t n)
{
	struct mesh__h2_stream *st = arg;

	if (n == 0) {
		say_continue(st);
	} else if (!st->closed) {
		(void)done(st, mesh__h2_consume(st->conn->h2.session, st->id, n));
	}
}

static const struct mesh__carrier carrier = {on_reply, on_refuse, on_begin, on_write, on_stream_end, on_abort, on_room, on_read};

bool mesh__h2_stream_has_room(const struct mesh__h2_stream *st)
{
	return st->x != NULL && st->x->waits && unsent(st) <= MESH__STREAM_LOW_BYTES;
}

/* ---- Time ---- */

/* The peer has let what we write wait for too long: its window stays closed. The mere end waits for it too. */
static bool is_stuck(struct mesh__h2_stream *st, int64_t now_us)
{
	if (unsent(st) == 0 && (!st->ended || st->end_pulled)) {
		st->write_until_us = 0;
	} else if (st->write_until_us == 0 || st->pulled) {
		st->write_until_us = now_us + st->conn->server->options.limits.write_ms * 1000;
	}
	st->pulled = false;
	return st->write_until_us != 0 && now_us >= st->write_until_us;
}

void mesh__h2_stream_sweep(struct mesh__h2_stream *st, int64_t now_us)
{
	enum mesh__refusal overdue = st->x != NULL ? mesh__exchange_overdue(st->x, now_us) : MESH__REFUSAL_NONE;

	if (is_stuck(st, now_us)) {
		reset(st, MESH__H2_CANCEL); /* whose reply it is learns of it when it is closed */
	} else if (overdue == MESH__REFUSAL_TIMEOUT && st->request.waited) {
		reset(st, MESH__H2_REFUSED_STREAM); /* we held it up, and no handler has seen it: it may try again elsewhere */
		let_go(st, MESH_E_TIMEOUT);
	} else if (overdue != MESH__REFUSAL_NONE) {
		refuse(st, overdue);
	}
}
