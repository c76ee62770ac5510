#include <stdio.h>
#include <string.h>

#include "http/core.h"

enum {
	STREAM_WINDOW_BYTES = 256 * 1024,
	CONNECTION_WINDOW_BYTES = 1024 * 1024,
	BACKLOG_MAX_BYTES = 256 * 1024, /* that the peer has not taken: nothing is added */
	WAITING_MAX = 1000,             /* frames behind that: nothing is read that would add to them */
	FLIGHT_BYTES = 64 * 1024
};

static const struct mesh__protocol protocol;

static bool is_open(const struct mesh__conn *c)
{
	return !c->closed && !c->doomed && !c->h2.parted && c->state != MESH__CONN_LINGER;
}

static int64_t now_us(const struct mesh__conn *c)
{
	return mesh__mono_us(c->server->env);
}

static void must(struct mesh__conn *c, int code)
{
	if (code != MESH_OK) {
		mesh__conn_doom(c);
	}
}

/* ---- What the peer did wrong ---- */

/* The connection ends by it. */
static void count_fault(struct mesh__conn *c)
{
	enum mesh__h2_flood flood = mesh__h2_flooded(c->h2.session);
	const struct mesh__h2_flood_text *text = mesh__h2_flood_text(flood);
	char sentence[64];

	c->h2.faulty = true;
	if (flood != MESH__H2_FLOOD_NONE) {
		mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
	} else {
		(void)snprintf(sentence, sizeof(sentence), "the peer broke HTTP/2: error %u", (unsigned)mesh__h2_fault(c->h2.session));
		mesh__http_server_refused(c->server, "request refused", &c->peer, "protocol-error", sentence);
	}
}

/* Streams that were reset without a request to refuse, and the connection. */
static void count_faults(struct mesh__conn *c)
{
	const struct mesh__refusal_text *text = mesh__refusal_text(MESH__REFUSAL_MALFORMED);

	for (uint64_t n = mesh__h2_n_stream_faults(c->h2.session); c->h2.n_faults < n; c->h2.n_faults++) {
		mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
	}
	if (mesh__h2_fault(c->h2.session) != MESH__H2_NO_ERROR && !c->h2.faulty) {
		count_fault(c);
	}
}

/* ---- Bytes out ---- */

/* One flight: small frames leave together. False when there is none, or it could not be sent. */
static bool send_flight(struct mesh__conn *c)
{
	struct mesh__buf *out = &c->server->out;
	int64_t now = now_us(c);
	const char *bytes = "";
	int code = MESH_OK;
	size_t n = 1;
	bool sent;

	mesh__buf_clear(out);
	while (code == MESH_OK && n > 0 && out->len < FLIGHT_BYTES) {
		code = mesh__h2_send(c->h2.session, now, &bytes, &n);
		mesh__buf_add(out, bytes, n);
	}
	must(c, code != MESH_OK ? code : out->error);
	count_faults(c); /* first: who sees the refusal finds it counted */
	sent = out->len > 0 && mesh__conn_send(c, out->data, out->len, NULL, 0);
	mesh__buf_clear(out);
	return sent;
}

static void flush(struct mesh__conn *c)
{
	bool was_working = c->h2.working;

	c->h2.working = true;
	while (is_open(c) && mesh__tcp_queued(c->tcp) < BACKLOG_MAX_BYTES && send_flight(c)) {
	}
	c->h2.working = was_working;
}

/* ---- After each turn ---- */

static bool is_lost(const struct mesh__h2_stream *st)
{
	return st->lost;
}

/* Of a body that is streamed: with what came with its header, what is small is whole then. */
static bool is_fresh(const struct mesh__h2_stream *st)
{
	return st->x != NULL && !st->x->handed_over && st->x->streams_body && !st->closed;
}

static bool is_waiting(const struct mesh__h2_stream *st)
{
	return st->x != NULL && st->x->waits;
}

static bool is_under_way(const struct mesh__h2_stream *st)
{
	return !st->closed;
}

static struct mesh__h2_stream *find(struct mesh__conn *c, bool (*is)(const struct mesh__h2_stream *st))
{
	struct mesh__h2_stream *st = c->h2.parted ? NULL : c->h2.streams;

	while (st != NULL && (st->dead || !is(st))) {
		st = st->next;
	}
	return st;
}

/* Who is told may do anything here, so the list is looked at anew each time. */
static void tell(struct mesh__conn *c)
{
	struct mesh__h2_stream *st;

	while (c->h2.n_lost > 0 && (st = find(c, is_lost)) != NULL) {
		mesh__h2_stream_lose(st);
	}
	while (c->h2.fresh && (st = find(c, is_fresh)) != NULL) {
		mesh__exchange_hand_over(st->x);
	}
	c->h2.fresh = false;
	while (c->h2.choked && (st = find(c, mesh__h2_stream_has_room)) != NULL) {
		mesh__exchange_drained(st->x);
	}
	c->h2.choked = find(c, is_waiting) != NULL;
}

static void reap(struct mesh__conn *c)
{
	struct mesh__h2_stream **at = &c->h2.streams;

	c->h2.reap = false;
	while (*at != NULL) {
		struct mesh__h2_stream *st = *at;

		if (st->dead) {
			*at = st->next;
			mesh__h2_stream_free(st);
		} else {
			at = &st->next;
		}
	}
}

/* Whether the peer has handed on the trailers that it was sent; asks it where that is not known. */
static bool has_read(struct mesh__conn *c)
{
	struct mesh__h2_conn *h = &c->h2;
	enum mesh__h2_unread_verdict verdict = mesh__h2_unread_next(&h->unread, mesh__h2_answered(h->session), now_us(c));
	uint64_t number;

	if (verdict == MESH__H2_UNREAD_ASK) {
		must(c, mesh__h2_ask(h->session, &number));
		mesh__h2_unread_asked(&h->unread, number);
		flush(c);
	}
	return verdict == MESH__H2_UNREAD_NONE;
}

/* After the flight with the last stream's end, so that it comes in one of its own. */
static void say_farewell(struct mesh__conn *c)
{
	struct mesh__h2_conn *h = &c->h2;

	if (!h->farewell || !is_open(c) || h->header_us != 0 || find(c, is_under_way) != NULL || !has_read(c)) {
		return;
	}
	h->farewell = false;
	h->announced = true;
	must(c, h->ending ? mesh__h2_end(h->session) : mesh__h2_announce_end(h->session));
	flush(c);
}

/* Likewise: what is asked or reset here leaves in a flight behind the replies'. */
static void end_early(struct mesh__conn *c)
{
	bool was_working = c->h2.working;

	if (c->h2.n_early == 0 || c->h2.parted) {
		return;
	}
	c->h2.working = true;
	for (struct mesh__h2_stream *st = c->h2.streams; st != NULL; st = st->next) {
		if (st->early && !st->closed) {
			mesh__h2_stream_end_early(st, now_us(c));
		}
	}
	c->h2.working = was_working;
	flush(c);
}

static void settle_state(struct mesh__conn *c)
{
	const struct mesh__h2_conn *h = &c->h2;
	bool busy = h->n_streams > 0 || h->settle_us != 0 || h->header_us != 0 || (h->farewell && h->unread.any);

	if (mesh__h2_is_over(h->session)) {
		mesh__conn_linger(c);
	} else if (c->eof) {
		mesh__conn_close(c, false); /* who sends no more can neither give windows back nor cancel: it has gone, and its calls with it */
	} else if (busy != (c->state == MESH__CONN_BUSY)) {
		mesh__conn_enter(c, busy ? MESH__CONN_BUSY : MESH__CONN_IDLE);
	}
}

/* Sends what there is to be sent, and draws the conclusions. */
static void go_on(struct mesh__conn *c)
{
	if (!is_open(c)) {
		return;
	}
	mesh__conn_hold(c);
	flush(c);
	end_early(c);
	tell(c);
	say_farewell(c);
	if (c->h2.reap && !c->h2.working) {
		reap(c);
	}
	if (is_open(c)) {
		settle_state(c);
	}
	if (is_open(c)) {
		mesh__tcp_pause(c->tcp, mesh__tcp_queued(c->tcp) >= BACKLOG_MAX_BYTES && mesh__h2_n_waiting(c->h2.session) > WAITING_MAX);
	}
	mesh__conn_release(c);
}

static void on_post(void *arg)
{
	struct mesh__conn *c = arg;

	c->h2.posted = false;
	go_on(c);
	mesh__conn_release(c);
}

/* In the loop's next turn, so that the answers of one turn leave together, and nobody is called back from within a call of theirs. */
void mesh__h2_conn_flush_soon(struct mesh__conn *c)
{
	if (!c->h2.working && !c->h2.posted && is_open(c) && (mesh__h2_wants_send(c->h2.session) || c->h2.reap || c->h2.farewell)) {
		c->h2.posted = true;
		mesh__conn_hold(c);
		mesh__loop_post(c->server->loop, &c->h2.post, on_post, c);
	}
}

/* ---- Bytes in ---- */

static void note_progress(struct mesh__conn *c)
{
	struct mesh__h2_conn *h = &c->h2;

	if (mesh__h2_is_settled(h->session)) {
		h->settle_us = 0;
	}
	if (!mesh__h2_in_header(h->session)) {
		h->header_us = 0;
	} else if (h->header_us == 0) {
		h->header_us = now_us(c) + c->server->options.limits.header_ms * 1000;
	}
}

static void on_input(struct mesh__conn *c, const char *bytes, size_t len)
{
	int code;

	c->h2.working = true;
	code = mesh__h2_receive(c->h2.session, bytes, len, now_us(c));
	c->h2.working = false;
	if (!is_open(c)) {
		return;
	}
	if (code == MESH_E_PROTOCOL) {
		mesh__http_server_refused(c->server, "request refused", &c->peer, "protocol-error", "the peer does not speak HTTP/2");
		mesh__conn_linger(c);
	} else if (code != MESH_OK) {
		mesh__conn_doom(c);
	} else {
		note_progress(c);
		go_on(c);
	}
}

/* ---- The connection's life ---- */

static void on_sweep(struct mesh__conn *c, int64_t now)
{
	struct mesh__h2_conn *h = &c->h2;

	if (h->settle_us != 0 && now >= h->settle_us) {
		mesh__http_server_refused(c->server, "handshake refused", &c->peer, "timeout", "the peer's SETTINGS did not come in time");
		mesh__conn_close(c, true);
		return;
	}
	if (h->header_us != 0 && now >= h->header_us) {
		const struct mesh__refusal_text *text = mesh__refusal_text(MESH__REFUSAL_TIMEOUT);

		mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
		must(c, mesh__h2_terminate(h->session, MESH__H2_NO_ERROR));
	}
	mesh__conn_hold(c); /* who is told of a refusal may end the server */
	h->working = true;
	for (struct mesh__h2_stream *st = h->streams; st != NULL && is_open(c); st = st->next) {
		if (!st->dead) {
			mesh__h2_stream_sweep(st, now);
		}
	}
	h->working = false;
	go_on(c);
	mesh__conn_release(c);
}

void mesh__h2_conn_end(struct mesh__conn *c)
{
	if (!c->h2.ending) {
		c->h2.ending = true;
		c->h2.farewell = true;
		mesh__h2_conn_flush_soon(c);
	}
}

/* In two steps (RFC 9113 section 6.8): who has sent a request meanwhile still gets its answer. */
static void on_drain(struct mesh__conn *c)
{
	if (!is_open(c)) {
		return;
	}
	if (c->server->grace) {
		c->h2.farewell = true;
	} else {
		mesh__h2_conn_end(c);
	}
	go_on(c);
}

static void on_expire(struct mesh__conn *c)
{
	mesh__h2_conn_end(c);
	go_on(c);
}

static void on_part(struct mesh__conn *c)
{
	struct mesh__h2_stream *st;

	c->h2.parted = true;
	do { /* who is told may do anything here */
		for (st = c->h2.streams; st != NULL && st->x == NULL; st = st->next) {
		}
		if (st != NULL) {
			mesh__h2_stream_lose(st);
		}
	} while (st != NULL);
}

static void on_fini(struct mesh__conn *c)
{
	while (c->h2.streams != NULL) {
		struct mesh__h2_stream *st = c->h2.streams;

		c->h2.streams = st->next;
		mesh__h2_stream_free(st);
	}
	mesh__h2_free(c->h2.session);
}

static const struct mesh__protocol protocol = {on_input, go_on, go_on, on_sweep, on_drain, on_expire, on_part, on_fini};

bool mesh__h2_conn_init(struct mesh__conn *c)
{
	const struct mesh__http_limits *limits = &c->server->options.limits;
	const struct mesh__h2_limits bounds = {
		.max_streams = MESH__H2_MAX_STREAMS,
		.max_block_bytes = (uint32_t)limits->max_header_bytes,
		.max_fields = (uint32_t)limits->max_fields,
		.stream_window = STREAM_WINDOW_BYTES,
		.connection_window = CONNECTION_WINDOW_BYTES,
	};

	if (mesh__h2_new(&c->server->env->mem, &bounds, now_us(c), &mesh__h2_stream_events, c, &c->h2.session) != MESH_OK) {
		return false;
	}
	c->protocol->fini(c);
	c->protocol = &protocol;
	c->h2.settle_us = now_us(c) + limits->handshake_ms * 1000;
	mesh__conn_enter(c, MESH__CONN_BUSY);
	if (c->server->draining && !c->server->grace) {
		mesh__h2_conn_end(c);
	} /* in the grace it hears of it after its first request, which is on its way */
	go_on(c);
	return true;
}

/* ---- In plaintext: which HTTP is it? (RFC 9113 section 3.3) ---- */

static void become_http1(struct mesh__conn *c, const char *bytes, size_t len)
{
	mesh__conn_enter(c, MESH__CONN_IDLE);
	mesh__h1_conn_init(c);
	if (c->h2.preface_len > 0) {
		c->protocol->input(c, c->h2.preface, c->h2.preface_len);
	}
	if (!c->closed && c->state != MESH__CONN_LINGER) {
		c->protocol->input(c, bytes, len);
	}
}

static void become_http2(struct mesh__conn *c, const char *bytes, size_t len)
{
	if (!mesh__h2_conn_init(c)) {
		mesh__conn_doom(c);
		return;
	}
	on_input(c, MESH__H2_PREFACE, MESH__H2_PREFACE_BYTES);
	if (len > 0 && is_open(c)) {
		on_input(c, bytes, len);
	}
}

static void on_first_bytes(struct mesh__conn *c, const char *bytes, size_t len)
{
	static const char preface[] = MESH__H2_PREFACE;
	struct mesh__h2_conn *h = &c->h2;
	size_t left = MESH__H2_PREFACE_BYTES - h->preface_len, n = len < left ? len : left;

	if (memcmp(bytes, preface + h->preface_len, n) != 0) {
		become_http1(c, bytes, len);
		return;
	}
	memcpy(h->preface + h->preface_len, bytes, n);
	h->preface_len += n;
	if (h->preface_len == MESH__H2_PREFACE_BYTES) {
		become_http2(c, bytes + n, len - n);
	} else if (h->header_us == 0) {
		h->header_us = now_us(c) + c->server->options.limits.header_ms * 1000;
		mesh__conn_enter(c, MESH__CONN_BUSY);
	}
}

static void sniff_end(struct mesh__conn *c)
{
	mesh__conn_linger(c);
}

static void sniff_nothing(struct mesh__conn *c)
{
	(void)c;
}

static void sniff_sweep(struct mesh__conn *c, int64_t now)
{
	if (now >= c->h2.header_us) {
		const struct mesh__refusal_text *text = mesh__refusal_text(MESH__REFUSAL_TIMEOUT);

		mesh__http_server_refused(c->server, "request refused", &c->peer, text->word, text->sentence);
		mesh__conn_close(c, true);
	}
}

static void sniff_drain(struct mesh__conn *c)
{
	if (!c->server->grace && c->state == MESH__CONN_IDLE) {
		mesh__conn_close(c, false);
	}
}

static void sniff_expire(struct mesh__conn *c)
{
	mesh__conn_close(c, false);
}

static const struct mesh__protocol sniff = {on_first_bytes, sniff_end, sniff_nothing, sniff_sweep, sniff_drain, sniff_expire, sniff_nothing, sniff_nothing};

void mesh__h2_conn_sniff(struct mesh__conn *c)
{
	c->protocol = &sniff;
}
