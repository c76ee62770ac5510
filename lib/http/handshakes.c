#include "http/core.h"

/*
 * A second, on a loop that is not busy. Counted in sweeps and not by the clock: on a loop that is busy, peers wait for us. Between two sweeps each connection is read from that has anything to say,
 * so who is still here after several keeps us waiting.
 */
enum { FAIR_SWEEPS = 4 };

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

void mesh__handshakes_remove(struct mesh__http_server *s, struct mesh__conn *c)
{
	struct mesh__handshakes *h = &s->handshakes;

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
