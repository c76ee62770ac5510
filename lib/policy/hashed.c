#include "policy/hashed.h"

#include <math.h>

static const double load_factor = 1.25;

/* Steps along the table, an endpoint each time: far more than it takes to come by all that weigh alike. */
enum { STEPS_A_HOST = 16 };

struct walk {
	const struct mesh__hash_table *table;
	const uint32_t *order;
	const struct mesh__balance_view *view;
	size_t at;
	double calls, weight; /* of all; weight 0: not summed up yet */
};

static double weight_of(const struct mesh__balance_view *view, size_t i)
{
	return view->weight == NULL ? 1.0 : view->weight(view->ctx, i);
}

/* Only for one that is not idle: with few calls under way nobody else's line is touched. */
static bool is_full(struct walk *w, size_t i)
{
	const struct mesh__balance_view *view = w->view;
	uint32_t load = view->load(view->ctx, i);

	if (load == 0) {
		return false;
	}
	if (w->weight == 0) {
		w->calls = 1;
		for (size_t k = 0; k < view->n; k++) {
			w->calls += (double)view->load(view->ctx, k);
			w->weight += weight_of(view, k);
		}
	}
	return (double)load >= ceil(load_factor * w->calls * weight_of(view, i) / w->weight);
}

static size_t host_at(const struct walk *w)
{
	const struct mesh__hash_table *t = w->table;

	return w->order[t->ring != NULL ? t->ring[w->at].host : t->maglev[w->at]];
}

static unsigned rank_of(struct walk *w, size_t i)
{
	const struct mesh__balance_view *view = w->view;
	unsigned avoided = view->avoid == NULL ? 0 : view->avoid(view->ctx, i);

	return avoided * 2 + is_full(w, i);
}

/* The steps found none that is good: all are looked at, from that one on. */
static size_t least_from(struct walk *w, size_t start)
{
	unsigned least = UINT32_MAX;
	size_t best = start;

	for (size_t k = 0; k < w->view->n && least > 0; k++) {
		size_t i = (start + k) % w->view->n;
		unsigned rank = rank_of(w, i);
		if (rank < least) {
			least = rank;
			best = i;
		}
	}
	return best;
}

int64_t mesh__hashed_pick(const struct mesh__hash_table *table, const uint32_t *order, const struct mesh__balance_view *view, uint64_t hash)
{
	struct walk w = {.table = table, .order = order, .view = view};
	size_t steps = view->n * STEPS_A_HOST, first;

	if (table->size == 0 || view->n == 0) {
		return MESH__BALANCE_NONE;
	}
	w.at = table->ring != NULL ? mesh__ring_find(table->ring, table->size, hash) : (size_t)(hash % table->size);
	first = host_at(&w);
	for (size_t k = 0; k < steps && k < table->size; k++) {
		size_t i = host_at(&w);
		if (rank_of(&w, i) == 0) {
			return (int64_t)i;
		}
		w.at = w.at + 1 == table->size ? 0 : w.at + 1;
	}
	return (int64_t)least_from(&w, first);
}
