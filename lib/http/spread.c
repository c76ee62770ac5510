#include <string.h>

#include "http/core.h"

/*
 * One server listens for several, each on its loop. SO_REUSEPORT would have the kernel deal connections out by a hash of their addresses: with the few that last, as those of a mesh do, one loop then often has most of them. The
 * listener's loop deals them out by number instead, which costs a connection one wake of another thread, little beside its handshake.
 */

/* ---- The loop that listens ---- */

static struct mesh__http_server *member(struct mesh__http_server *s, size_t i)
{
	return i == 0 ? s : s->spread.fed[i - 1];
}

/* Where the fewest are; among equals, the next in turn. */
static struct mesh__http_server *place(struct mesh__http_server *s)
{
	struct mesh__http_spread *spread = &s->spread;
	size_t n = spread->n_fed + 1, best = (spread->last + 1) % n;
	int32_t fewest = INT32_MAX;

	for (size_t i = 0; i < n; i++) {
		size_t at = (spread->last + 1 + i) % n;
		int32_t placed = atomic_load(&member(s, at)->spread.n_placed);

		if (placed < fewest) {
			fewest = placed;
			best = at;
		}
	}
	spread->last = best;
	return member(s, best);
}

static void on_newcomers(void *arg);

static bool hand_over(struct mesh__http_server *to, const struct mesh__arrival *arrival)
{
	struct mesh__newcomer *newcomer = mesh__alloc(&to->env->mem, sizeof(*newcomer));
	struct mesh__newcomer *first;

	if (newcomer == NULL) {
		return false;
	}
	newcomer->arrival = *arrival;
	first = atomic_load(&to->spread.newcomers);
	do {
		newcomer->next = first;
	} while (!atomic_compare_exchange_weak(&to->spread.newcomers, &first, newcomer));
	if (!atomic_exchange(&to->spread.posted, true)) {
		mesh__loop_post(to->loop, &to->spread.newcomers_post, on_newcomers, mesh__http_server_ref(to));
	}
	return true;
}

void mesh__spread_accept(void *arg, const struct mesh__arrival *arrival)
{
	struct mesh__http_server *s = arg, *to = place(s);

	(void)atomic_fetch_add(&to->spread.n_placed, 1);
	if (to != s) {
		if (hand_over(to, arrival)) {
			return;
		}
		(void)atomic_fetch_sub(&to->spread.n_placed, 1);
		(void)atomic_fetch_add(&s->spread.n_placed, 1);
	}
	mesh__conn_begin(s, arrival);
}

bool mesh__spread_is_empty(const struct mesh__http_server *s)
{
	bool empty = s->conns == NULL;

	for (size_t i = 0; i < s->spread.n_fed && empty; i++) {
		empty = atomic_load(&s->spread.fed[i]->spread.n_placed) == 0;
	}
	return empty;
}

/* ---- The loops that are fed ---- */

static struct mesh__newcomer *take_newcomers(struct mesh__http_server *s)
{
	struct mesh__newcomer *latest = atomic_exchange(&s->spread.newcomers, NULL), *oldest = NULL;

	while (latest != NULL) {
		struct mesh__newcomer *before = latest->next;

		latest->next = oldest;
		oldest = latest;
		latest = before;
	}
	return oldest;
}

static void on_newcomers(void *arg)
{
	struct mesh__http_server *s = arg;
	struct mesh__newcomer *n;

	atomic_store(&s->spread.posted, false); /* before the look: who comes after it posts anew, and the post is free */
	n = take_newcomers(s);
	while (n != NULL) {
		struct mesh__newcomer *next = n->next;

		mesh__conn_begin(s, &n->arrival);
		mesh__free(n);
		n = next;
	}
	mesh__http_server_unref(s);
}

static void on_end(void *arg)
{
	struct mesh__http_server *s = arg;

	s->spread.ended = true;
	mesh__http_server_sweep_soon(s);
}

void mesh__spread_end(struct mesh__http_server *s)
{
	for (size_t i = 0; i < s->spread.n_fed; i++) {
		struct mesh__http_server *fed = s->spread.fed[i];

		mesh__loop_post(fed->loop, &fed->spread.end_post, on_end, fed); /* behind the newcomers, if there are any */
	}
}

/* ---- Life ---- */

/* A share, rounded up: as each connection goes where the fewest are, all have their share before one is refused. */
static int32_t share(int32_t limit, size_t n)
{
	return (int32_t)(((size_t)limit + n - 1) / n);
}

int mesh__http_server_spread(struct mesh__http_server *s, struct mesh__http_server *const *others, size_t n, struct mesh__err *err)
{
	s->spread.fed = mesh__alloc_array(&s->env->mem, n + 1, sizeof(struct mesh__http_server *));
	if (s->spread.fed == NULL) {
		return mesh__fail_memory(err);
	}
	memcpy(s->spread.fed, others, n * sizeof(struct mesh__http_server *));
	s->spread.n_fed = n;
	for (size_t i = 0; i <= n; i++) {
		struct mesh__http_limits *limits = &member(s, i)->options.limits;

		limits->max_connections = share(limits->max_connections, n + 1);
		limits->max_handshakes = share(limits->max_handshakes, n + 1);
	}
	return MESH_OK;
}

void mesh__spread_fini(struct mesh__http_server *s)
{
	struct mesh__newcomer *n = take_newcomers(s);

	while (n != NULL) {
		struct mesh__newcomer *next = n->next;

		mesh__arrival_close(&n->arrival, true);
		mesh__free(n);
		n = next;
	}
	mesh__free(s->spread.fed);
	s->spread.fed = NULL;
	s->spread.n_fed = 0;
}

void mesh__http_server_abandon(struct mesh__http_server *s)
{
	if (s != NULL) {
		for (struct mesh__newcomer *n = atomic_load(&s->spread.newcomers); n != NULL; n = n->next) {
			mesh__arrival_close(&n->arrival, false);
		}
	}
}
