#include <string.h>

#include "http/core.h"
#include "io/trust.h"

enum {
	LINGER_MS = 1000,
	LINGER_MAX_BYTES = 64 * 1024,
	FLIGHT_BYTES = 64 * 1024 /* encrypted, then given to the socket: a megabyte needs no second megabyte, and stays in the processor's cache */
};

/* ---- States and their times ---- */

static int64_t state_ms(const struct mesh__conn *c, enum mesh__conn_state state)
{
	const struct mesh__http_limits *limits = &c->server->options.limits;

	switch (state) {
	case MESH__CONN_HANDSHAKE:
		return limits->handshake_ms;
	case MESH__CONN_IDLE:
		return limits->idle_ms;
	case MESH__CONN_LINGER:
		return LINGER_MS;
	case MESH__CONN_BUSY:
		break;
	}
	return 0;
}

void mesh__conn_enter(struct mesh__conn *c, enum mesh__conn_state state)
{
	int64_t ms = state_ms(c, state);

	if (c->state == MESH__CONN_HANDSHAKE && state != MESH__CONN_HANDSHAKE) {
		mesh__handshakes_remove(c->server, c);
	}
	c->state = state;
	c->deadline_us = ms > 0 ? mesh__mono_us(c->server->env) + ms * 1000 : INT64_MAX;
}

/* True when the peer has let what we write wait for too long. */
static bool is_stuck(struct mesh__conn *c, int64_t now_us)
{
	size_t queued = mesh__tcp_queued(c->tcp);
	uint64_t n_taken = c->n_written - queued;

	if (queued == 0) {
		c->write_until_us = 0;
	} else if (c->write_until_us == 0 || n_taken != c->n_taken) {
		c->write_until_us = now_us + c->server->options.limits.write_ms * 1000;
	}
	c->n_taken = n_taken;
	return c->write_until_us != 0 && now_us >= c->write_until_us;
}

void mesh__conn_sweep(struct mesh__conn *c, int64_t now_us)
{
	if (is_stuck(c, now_us)) {
		mesh__conn_close(c, true);
	} else if (c->state == MESH__CONN_BUSY) {
		c->protocol->sweep(c, now_us);
	} else if (now_us < c->deadline_us) {
		return;
	} else if (c->state == MESH__CONN_HANDSHAKE) {
		mesh__http_server_refused(c->server, "handshake refused", &c->peer, "timeout", "the handshake was not done in time");
		mesh__conn_close(c, true);
	} else if (mesh__tcp_queued(c->tcp) > 0) {
		mesh__conn_enter(c, c->state); /* its time begins when all has been sent */
	} else if (c->state == MESH__CONN_IDLE) {
		c->protocol->expire(c);
	} else {
		mesh__conn_close(c, false);
	}
}

/* ---- Life ---- */

void mesh__conn_hold(struct mesh__conn *c)
{
	c->busy++;
}

void mesh__conn_release(struct mesh__conn *c)
{
	if (--c->busy == 0 && c->closed) {
		struct mesh__http_server *s = c->server;

		mesh__tls_free(c->tls);
		mesh__buf_fini(&c->early);
		c->protocol->fini(c);
		mesh__free(c);
		mesh__http_server_unref(s);
	}
}

/* Tells the peer that nothing follows, as far as the socket takes it at once. */
static void say_goodbye(struct mesh__conn *c)
{
	struct mesh__buf *cipher = &c->server->cipher;

	if (c->tls == NULL || !mesh__tls_established(c->tls) || c->state == MESH__CONN_LINGER) {
		return;
	}
	mesh__buf_clear(cipher);
	mesh__tls_close(c->tls, cipher);
	if (cipher->len > 0 && mesh__tcp_write(c->tcp, cipher->data, cipher->len) == MESH_OK) {
		c->n_written += cipher->len;
	}
	mesh__buf_clear(cipher);
}

void mesh__conn_close(struct mesh__conn *c, bool reset)
{
	if (c->closed) {
		return;
	}
	mesh__conn_hold(c);
	if (!reset) {
		say_goodbye(c);
	}
	c->closed = true;
	if (c->state == MESH__CONN_HANDSHAKE) {
		mesh__handshakes_remove(c->server, c);
	}
	mesh__tcp_close(c->tcp, reset);
	c->tcp = NULL;
	mesh__http_server_left(c->server, c);
	c->protocol->part(c);
	mesh__conn_release(c);
}

static void on_doom(void *arg)
{
	struct mesh__conn *c = arg;

	mesh__conn_close(c, true);
	mesh__conn_release(c);
}

void mesh__conn_doom(struct mesh__conn *c)
{
	if (!c->doomed && !c->closed) {
		c->doomed = true;
		mesh__conn_hold(c);
		mesh__loop_post(c->server->loop, &c->doom_post, on_doom, c);
	}
}

void mesh__conn_linger(struct mesh__conn *c)
{
	if (c->eof && mesh__tcp_queued(c->tcp) == 0) {
		mesh__conn_close(c, false);
		return;
	}
	say_goodbye(c);
	mesh__conn_enter(c, MESH__CONN_LINGER);
	c->protocol->part(c);
	mesh__tcp_pause(c->tcp, false);
	mesh__tcp_shutdown(c->tcp);
}

bool mesh__conn_still_trusted(struct mesh__conn *c)
{
	const struct mesh__leaf *leaf = c->tls != NULL ? mesh__tls_peer(c->tls) : NULL;
	struct mesh__http_server *s = c->server;

	if (leaf == NULL) {
		return true;
	}
	if (s->trust != NULL && mesh__trust_revoked(s->trust, leaf->serial)) {
		mesh__http_server_refused(s, "request refused", &c->peer, "revoked", "the peer's certificate was revoked after the handshake");
		return false;
	}
	if (mesh__wall_ms(s->env) > leaf->not_after_ms) {
		mesh__http_server_refused(s, "request refused", &c->peer, "expired", "the peer's certificate expired after the handshake");
		return false;
	}
	return true;
}

/* ---- Bytes out ---- */

static bool write_all(struct mesh__conn *c, const void *bytes, size_t len)
{
	c->n_written += len;
	return len == 0 || mesh__tcp_write(c->tcp, bytes, len) == MESH_OK;
}

static bool write_flight(struct mesh__conn *c)
{
	struct mesh__buf *cipher = &c->server->cipher;
	bool fine = write_all(c, cipher->data, cipher->len);

	mesh__buf_clear(cipher);
	return fine;
}

/* Encrypts, and sends what has become a flight. */
static bool encrypt(struct mesh__conn *c, const char *bytes, size_t len)
{
	bool fine = true;

	while (fine && len > 0) {
		size_t n = len < FLIGHT_BYTES ? len : FLIGHT_BYTES;

		fine = mesh__tls_send(c->tls, bytes, n, &c->server->cipher, NULL) == MESH_OK && (c->server->cipher.len < FLIGHT_BYTES || write_flight(c));
		bytes += n;
		len -= n;
	}
	return fine;
}

bool mesh__conn_send(struct mesh__conn *c, const void *bytes, size_t len, const void *more, size_t more_len)
{
	bool fine;

	if (c->closed || c->doomed) {
		return false;
	}
	if (c->tls == NULL) {
		fine = write_all(c, bytes, len) && write_all(c, more, more_len);
	} else {
		mesh__buf_clear(&c->server->cipher);
		fine = encrypt(c, bytes, len) && encrypt(c, more, more_len) && write_flight(c);
		mesh__buf_clear(&c->server->cipher);
	}
	if (!fine) {
		mesh__conn_doom(c);
	}
	return fine;
}

/* ---- Bytes in ---- */

static void on_eof(struct mesh__conn *c)
{
	if (mesh__handshakes_keep_eof(c)) {
		return;
	}
	c->eof = true;
	if (c->state == MESH__CONN_HANDSHAKE) {
		mesh__conn_close(c, false);
	} else if (c->state == MESH__CONN_LINGER) {
		mesh__conn_linger(c);
	} else {
		c->protocol->eof(c);
	}
}

/* Before the alert goes out: who sees the refusal finds it counted. */
static void note_refusal(struct mesh__conn *c, const struct mesh__err *err)
{
	const char *reason = mesh__tls_refusal(c->tls);

	if (c->state == MESH__CONN_HANDSHAKE) {
		mesh__http_server_refused(c->server, "handshake refused", &c->peer, reason[0] != '\0' ? reason : "protocol", err->message);
	}
}

static void on_tls_failure(struct mesh__conn *c, int code)
{
	if (code == MESH_E_NO_MEMORY) {
		mesh__conn_close(c, true);
		return;
	}
	mesh__conn_linger(c); /* so that the alert arrives, and not a reset */
}

void mesh__conn_decrypt(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__buf *plain = &c->server->plain, *cipher = &c->server->cipher;
	struct mesh__err err = MESH__NO_ERR;
	bool sent;
	int rc;

	mesh__buf_clear(plain);
	mesh__buf_clear(cipher);
	rc = mesh__tls_receive(c->tls, bytes, len, plain, cipher, &err);
	if (rc != MESH_OK && rc != MESH_E_CLOSED) {
		note_refusal(c, &err);
	}
	sent = write_all(c, cipher->data, cipher->len);
	mesh__buf_clear(cipher);
	if (!sent) {
		mesh__conn_close(c, true);
		return;
	}
	if (c->state == MESH__CONN_HANDSHAKE && mesh__tls_established(c->tls)) {
		mesh__http_server_shook_hands(c->server, mesh__tls_resumed(c->tls));
		mesh__conn_enter(c, MESH__CONN_IDLE);
		if (c->server->options.http2 && mesh__tls_is_http2(c->tls) && !mesh__h2_conn_init(c)) {
			mesh__conn_close(c, true);
		}
	}
	if (c->closed) {
		return;
	}
	if (plain->len > 0 && c->state != MESH__CONN_LINGER) {
		c->protocol->input(c, plain->data, plain->len);
	}
	if (c->closed || c->state == MESH__CONN_LINGER || (rc == MESH_OK && !c->early_eof)) {
		return;
	}
	if (rc == MESH_E_CLOSED || rc == MESH_OK) {
		on_eof(c);
	} else {
		on_tls_failure(c, rc);
	}
}

/* No more than so many bytes are read for one whose request is refused; what it still sends stays in the kernel until the time is up. Closing now would be a reset, which may overtake the answer. */
static void on_lingering(struct mesh__conn *c, size_t len)
{
	c->n_lingered += len;
	if (c->n_lingered > LINGER_MAX_BYTES) {
		mesh__tcp_pause(c->tcp, true);
	}
}

static void on_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__conn *c = arg;

	mesh__conn_hold(c);
	if (c->state == MESH__CONN_LINGER) {
		on_lingering(c, len);
	} else if (c->state == MESH__CONN_HANDSHAKE) {
		mesh__handshakes_feed(c, bytes, len);
	} else if (c->tls != NULL) {
		mesh__conn_decrypt(c, bytes, len);
	} else {
		c->protocol->input(c, bytes, len);
	}
	mesh__conn_release(c);
}

static void on_end(void *arg, int code)
{
	struct mesh__conn *c = arg;

	mesh__conn_hold(c);
	if (code == MESH_OK) {
		on_eof(c);
	} else {
		mesh__conn_close(c, true);
	}
	mesh__conn_release(c);
}

static void on_drained(void *arg)
{
	struct mesh__conn *c = arg;

	mesh__conn_hold(c);
	if (c->state == MESH__CONN_LINGER && c->eof) {
		mesh__conn_close(c, false);
	} else if (c->state == MESH__CONN_IDLE || c->state == MESH__CONN_BUSY) {
		c->protocol->drained(c);
	}
	mesh__conn_release(c);
}

/* ---- Beginning ---- */

static struct mesh__conn *conn_new(struct mesh__http_server *s, const struct mesh__arrival *arrival)
{
	struct mesh__conn *c = mesh__alloc(&s->env->mem, sizeof(*c));

	if (c == NULL || (s->options.tls != NULL && mesh__tls_new(s->options.tls, &c->tls) != MESH_OK)) {
		mesh__free(c);
		return NULL;
	}
	c->tcp = mesh__tcp_new(s->loop, arrival);
	if (c->tcp == NULL) {
		mesh__tls_free(c->tls);
		mesh__free(c);
		return NULL;
	}
	c->server = mesh__http_server_ref(s);
	c->peer = arrival->peer;
	mesh__buf_init(&c->early, &s->env->mem, SIZE_MAX / 2);
	mesh__h1_conn_init(c);
	if (s->options.http2 && c->tls == NULL) {
		mesh__h2_conn_sniff(c);
	}
	return c;
}

/* A fixed word where no more connections can be taken now, else NULL. */
static const char *why_not(struct mesh__http_server *s)
{
	const struct mesh__http_limits *limits = &s->options.limits;

	return s->n_conns >= limits->max_connections ? "too-many-connections" :
		s->options.tls_required && s->options.tls == NULL ? "no-identity" :
		s->options.tls != NULL && !mesh__handshakes_make_room(s) ? "too-many-handshakes" : NULL;
}

void mesh__conn_begin(struct mesh__http_server *s, const struct mesh__arrival *arrival)
{
	static const struct mesh__tcp_events events = {on_data, on_end, on_drained};
	const char *full = why_not(s);
	struct mesh__conn *c = NULL;

	if (full == NULL) {
		c = conn_new(s, arrival);
		full = "no-memory";
	}
	if (c == NULL) {
		(void)atomic_fetch_sub(&s->spread.n_placed, 1);
		mesh__http_server_refused(s, "handshake refused", &arrival->peer, full, "the connection was closed at once");
		mesh__arrival_close(arrival, true);
		return;
	}
	mesh__http_server_joined(s, c);
	mesh__handshakes_add(s, c);
	mesh__conn_enter(c, MESH__CONN_HANDSHAKE);
	if (c->tls == NULL) {
		mesh__conn_enter(c, MESH__CONN_IDLE);
	}
	mesh__tcp_start(c->tcp, &events, c);
}
