#include "http/core.h"

enum {
	/*
	 * A second, on a loop that is not busy. Counted in sweeps and not by the clock: on a loop that is busy, peers wait for us. Between two sweeps each connection is read from that has anything to say, so who is still here after
	 * several keeps us waiting, or has waited for so long that it is about to give up.
	 */
	FAIR_SWEEPS = 4,
	SLICE_US = 5000,             /* of a turn of the loop: one whole handshake, or some ten that resume a session */
	EARLY_MAX_BYTES = 8 * 1024   /* an honest peer waits for an answer to less */
};

void mesh__handshakes_add(struct mesh__http_server *s, struct mesh__conn *c)
{
	struct mesh__handshakes *h = &s->handshakes;

	c->since_sweep = s->n_sweeps;
	c->newer = NULL;
	c->older = h->newest;
	*(h->newest != NULL ? &h->newest->newer : &h->oldest) = c;
	h->newest = c;
	h->n++;
}

static void leave_line(struct mesh__conn *c)
{
	struct mesh__handshake_line *line = c->line;

	if (line == NULL) {
		return;
	}
	*(c->line_prev != NULL ? &c->line_prev->line_next : &line->first) = c->line_next;
	*(c->line_next != NULL ? &c->line_next->line_prev : &line->last) = c->line_prev;
	c->line_next = c->line_prev = NULL;
	c->line = NULL;
}

void mesh__handshakes_remove(struct mesh__http_server *s, struct mesh__conn *c)
{
	struct mesh__handshakes *h = &s->handshakes;

	leave_line(c);
	*(c->newer != NULL ? &c->newer->older : &h->newest) = c->older;
	*(c->older != NULL ? &c->older->newer : &h->oldest) = c->newer;
	c->newer = NULL;
	c->older = NULL;
	h->n--;
}

bool mesh__handshakes_make_room(struct mesh__http_server *s)
{
	struct mesh__conn *oldest = s->handshakes.oldest;

	if (s->handshakes.n < s->options.limits.max_handshakes) {
		return true;
	}
	if (oldest == NULL || s->n_sweeps - oldest->since_sweep < FAIR_SWEEPS) {
		return false;
	}
	mesh__http_server_refused(s, "handshake refused", &oldest->peer, "crowded-out", "it was slow, and others waited to begin theirs");
	mesh__conn_close(oldest, true);
	return true;
}

/* ---- Whose turn it is ---- */

static void join_line(struct mesh__conn *c)
{
	struct mesh__handshakes *h = &c->server->handshakes;

	if (c->n_written > 0 || mesh__tls_offers_session(c->tls, c->early.data, c->early.len)) {
		c->line = &h->nearly;
		c->line_prev = h->nearly.last;
		*(h->nearly.last != NULL ? &h->nearly.last->line_next : &h->nearly.first) = c;
		h->nearly.last = c;
	} else {
		c->line = &h->fresh;
		c->line_next = h->fresh.first;
		*(h->fresh.first != NULL ? &h->fresh.first->line_prev : &h->fresh.last) = c;
		h->fresh.first = c;
	}
}

static struct mesh__conn *next_in_line(const struct mesh__handshakes *h)
{
	return h->nearly.first != NULL ? h->nearly.first : h->fresh.first;
}

static void end_turn(void *arg);

static void run(struct mesh__conn *c, const char *bytes, size_t len)
{
	struct mesh__http_server *s = c->server;
	struct mesh__handshakes *h = &s->handshakes;
	int64_t begun_us = mesh__mono_us(s->env);

	mesh__conn_decrypt(c, bytes, len); /* with a `line` of none: what is told of it from here on is told at once */
	h->spent_us += mesh__mono_us(s->env) - begun_us;
	if (!h->turn_ends && !s->closed) {
		h->turn_ends = true;
		mesh__loop_defer(s->loop, &h->turn_post, end_turn, mesh__http_server_ref(s));
	}
}

static void run_slice(void *arg)
{
	struct mesh__http_server *s = arg;
	struct mesh__handshakes *h = &s->handshakes;
	struct mesh__conn *c;

	h->slice_posted = false;
	while (h->spent_us < SLICE_US && (c = next_in_line(h)) != NULL) {
		struct mesh__buf early = c->early;

		leave_line(c);
		mesh__buf_init(&c->early, &s->env->mem, SIZE_MAX / 2);
		mesh__conn_hold(c);
		mesh__tcp_pause(c->tcp, false);
		run(c, early.data, early.len);
		mesh__conn_release(c);
		mesh__buf_fini(&early);
	}
	mesh__http_server_unref(s);
}

/* What is left of the lines goes on in the next turn, among the other connections of that. */
static void end_turn(void *arg)
{
	struct mesh__http_server *s = arg;
	struct mesh__handshakes *h = &s->handshakes;

	h->turn_ends = false;
	h->spent_us = 0;
	if (next_in_line(h) != NULL && !h->slice_posted) {
		h->slice_posted = true;
		mesh__loop_post(s->loop, &h->slice_post, run_slice, mesh__http_server_ref(s));
	}
	mesh__http_server_unref(s);
}

void mesh__handshakes_feed(struct mesh__conn *c, const char *bytes, size_t len)
{
	const struct mesh__handshakes *h = &c->server->handshakes;

	if (h->spent_us < SLICE_US && next_in_line(h) == NULL) {
		run(c, bytes, len);
		return;
	}
	mesh__buf_add(&c->early, bytes, len);
	if (c->early.error != MESH_OK) {
		mesh__conn_close(c, true);
		return;
	}
	if (c->line == NULL) {
		join_line(c);
	}
	if (c->early.len >= EARLY_MAX_BYTES) {
		mesh__tcp_pause(c->tcp, true);
	}
}

bool mesh__handshakes_keep_eof(struct mesh__conn *c)
{
	c->early_eof = c->line == &c->server->handshakes.nearly;
	return c->early_eof;
}
