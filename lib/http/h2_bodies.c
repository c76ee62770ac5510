#include "http/core.h"

static size_t budget(const struct mesh__conn *c)
{
	const struct mesh__http_limits *limits = &c->server->options.limits;
	size_t least = (size_t)limits->max_bodies_bytes, two = 2 * (size_t)limits->max_body_bytes;

	return two > least ? two : least;
}

static bool is_coming(const struct mesh__h2_stream *st)
{
	return st->x != NULL && !st->request.whole && !st->closed && !st->broken;
}

/* The list begins with the newest. */
static struct mesh__h2_stream *oldest_coming(struct mesh__conn *c)
{
	struct mesh__h2_stream *found = NULL;

	for (struct mesh__h2_stream *st = c->h2.streams; st != NULL; st = st->next) {
		found = is_coming(st) ? st : found;
	}
	return found;
}

static void give_back(struct mesh__h2_stream *st)
{
	size_t n = st->request.owed;

	st->request.owed = 0;
	if (n > 0 && mesh__h2_consume(st->conn->h2.session, st->id, n) != MESH_OK) {
		mesh__conn_doom(st->conn);
	}
}

static void give_all_back(struct mesh__conn *c)
{
	c->h2.bodies.holding = false;
	for (struct mesh__h2_stream *st = c->h2.streams; st != NULL; st = st->next) {
		if (is_coming(st)) {
			give_back(st);
		}
	}
}

/* Gives back what may be. */
static void settle(struct mesh__conn *c)
{
	const struct mesh__h2_bodies *b = &c->h2.bodies;
	size_t most = budget(c);
	struct mesh__h2_stream *first;

	if (!b->holding || c->closed || c->doomed || c->h2.parted) {
		return;
	}
	if (b->held <= most) {
		give_all_back(c);
	} else if (b->whole <= most / 2 && (first = oldest_coming(c)) != NULL) {
		give_back(first);
	}
	mesh__h2_conn_flush_soon(c);
}

void mesh__h2_bodies_fed(struct mesh__h2_stream *st, size_t n)
{
	struct mesh__h2_bodies *b = &st->conn->h2.bodies;

	b->held += st->x->body.cap - st->request.held;
	st->request.held = st->x->body.cap;
	st->request.owed += n;
	b->holding = true;
	settle(st->conn);
	st->request.waited |= st->request.owed > 0;
}

void mesh__h2_bodies_whole(struct mesh__h2_stream *st)
{
	st->request.whole = true;
	st->request.owed = 0;
	st->conn->h2.bodies.whole += st->request.held;
	settle(st->conn);
}

void mesh__h2_bodies_over(struct mesh__h2_stream *st)
{
	struct mesh__h2_bodies *b = &st->conn->h2.bodies;

	b->held -= st->request.held;
	b->whole -= st->request.whole ? st->request.held : 0;
	st->request = (struct mesh__h2_body){0};
	settle(st->conn);
}
