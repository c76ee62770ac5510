#include "policy/balance.h"

#include <math.h>

#include "policy/hash.h"

static const double tau_us = 10e6;          /* Finagle's and Linkerd's decay time */
static const double unsampled_us = 30e3;    /* what an endpoint counts as while its first call runs */
static const double failure_max_us = 30e6;

static const double slow_start_least = 0.10;

enum { REDRAWS = 4, UNIT_BITS = 53 };

/* What is left after the time since the sample, as a factor of at most 1. */
static double decay(const struct mesh__ewma *ewma, int64_t now_us)
{
	int64_t age_us = now_us - ewma->stamp_us;

	return age_us > 0 ? exp(-(double)age_us / tau_us) : 1.0;
}

/* A failure is worse than what the endpoint was known for, so that answering errors fast attracts no traffic, not even the first time. */
static double failure_us(const struct mesh__ewma *ewma, double rtt_us)
{
	double known = ewma->value_us > 0 ? ewma->value_us : unsampled_us;

	return fmin(fmax(rtt_us, 2 * known), failure_max_us);
}

struct mesh__ewma mesh__ewma_sample(struct mesh__ewma ewma, int64_t rtt_us, bool failed, int64_t now_us)
{
	/* At least 1: a value of 0 would mean that there was no sample. */
	double rtt = rtt_us < 1 ? 1.0 : (double)rtt_us;
	double w = decay(&ewma, now_us);

	if (failed) {
		rtt = failure_us(&ewma, rtt);
	}
	ewma.value_us = rtt > ewma.value_us ? rtt : ewma.value_us * w + rtt * (1 - w);
	ewma.stamp_us = now_us;
	return ewma;
}

double mesh__load_cost(uint32_t inflight, double weight)
{
	return ((double)inflight + 1) / weight;
}

double mesh__slow_start(double weight, int64_t age_us, int64_t window_ms)
{
	double part = window_ms <= 0 ? 1.0 : (double)age_us / ((double)window_ms * 1e3);

	return weight * fmin(fmax(part, slow_start_least), 1.0);
}

double mesh__ewma_cost(struct mesh__ewma ewma, uint32_t inflight, double weight, int64_t now_us)
{
	double share = mesh__load_cost(inflight, weight);

	if (ewma.value_us > 0) {
		return ewma.value_us * decay(&ewma, now_us) * share;
	}
	return inflight == 0 ? 0.0 : unsampled_us * share;
}

static unsigned avoided(const struct mesh__balance_view *view, size_t i)
{
	return view->avoid == NULL ? 0 : view->avoid(view->ctx, i);
}

struct pair {
	size_t a, b; /* a != b, each pair equally likely */
};

/* Of at least two. */
static struct pair draw(const struct mesh__balance_view *view, size_t n)
{
	size_t a = (size_t)view->dice(view->dice_ctx, n);
	size_t b = (size_t)view->dice(view->dice_ctx, n - 1);

	return (struct pair){a, b >= a ? b + 1 : b};
}

static size_t cheaper(const struct mesh__balance_view *view, struct pair p)
{
	return view->cost != NULL && view->cost(view->ctx, p.b) < view->cost(view->ctx, p.a) ? p.b : p.a;
}

/* Those least to be avoided. There are some. */
struct least {
	unsigned rank;         /* how much they are */
	size_t n;
	double weight, lightest, heaviest;
};

static double weight_of(const struct mesh__balance_view *view, size_t i)
{
	return view->weight == NULL ? 1.0 : view->weight(view->ctx, i);
}

static void add_weight(struct least *least, double weight)
{
	least->weight += weight;
	least->lightest = least->n == 1 ? weight : fmin(least->lightest, weight);
	least->heaviest = least->n == 1 ? weight : fmax(least->heaviest, weight);
}

static struct least find_least(const struct mesh__balance_view *view)
{
	struct least least = {.rank = MESH__AVOID_MOST + 1};

	for (size_t i = 0; i < view->n; i++) {
		unsigned rank = avoided(view, i);
		if (rank > least.rank) {
			continue;
		}
		if (rank < least.rank) {
			least = (struct least){.rank = rank};
		}
		least.n++;
		if (view->weight != NULL) {
			add_weight(&least, view->weight(view->ctx, i));
		}
	}
	if (view->weight == NULL) {
		least.weight = (double)least.n;
		least.lightest = least.heaviest = 1.0;
	}
	return least;
}

/* The `k`-th of them, from 0. */
static size_t find_nth(const struct mesh__balance_view *view, const struct least *least, size_t k)
{
	size_t i = 0;

	while (i + 1 < view->n && (avoided(view, i) != least->rank || k-- > 0)) {
		i++;
	}
	return i;
}

/* The one at `point` in [0, 1) of a line on which each has as much as it weighs. */
static size_t find_at(const struct mesh__balance_view *view, const struct least *least, double point)
{
	double left = point * least->weight;
	size_t last = 0;

	for (size_t i = 0; i < view->n; i++) {
		if (avoided(view, i) != least->rank) {
			continue;
		}
		last = i; /* what rounding leaves over is its */
		left -= weight_of(view, i);
		if (left < 0) {
			break;
		}
	}
	return last;
}

/* A whole number as a part of 2^53: in [0, 1), and exact. */
static double unit(uint64_t bits)
{
	return (double)bits * 0x1p-53;
}

/* Every endpoint looked at, which is rare: two draws among those least to be avoided. */
static size_t draw_among_all(const struct mesh__balance_view *view)
{
	struct least least = find_least(view);
	struct pair p;

	if (least.n < 2) {
		return find_nth(view, &least, 0);
	}
	p = draw(view, least.n);
	return cheaper(view, (struct pair){find_nth(view, &least, p.a), find_nth(view, &least, p.b)});
}

int64_t mesh__balance_p2c(const struct mesh__balance_view *view)
{
	if (view->n < 2) {
		return view->n == 0 ? MESH__BALANCE_NONE : 0;
	}
	for (int draws = 0; draws < 1 + REDRAWS; draws++) {
		struct pair p = draw(view, view->n);
		unsigned avoid_a = avoided(view, p.a), avoid_b = avoided(view, p.b);
		if (avoid_a == 0 || avoid_b == 0) {
			return (int64_t)(avoid_a > 0 ? p.b : avoid_b > 0 ? p.a : cheaper(view, p));
		}
	}
	return (int64_t)draw_among_all(view);
}

/* Of equals, the one whose turn it is, which alone is looked at as a rule. The turns of those to be avoided go round among the others. */
static size_t in_turn(const struct mesh__balance_view *view, uint64_t turn)
{
	size_t at = (size_t)(turn % view->n);
	unsigned rank = avoided(view, at);
	struct least least;
	uint64_t before;

	if (rank == 0) {
		return at;
	}
	least = find_least(view);
	if (rank == least.rank) {
		return at;
	}
	before = turn / view->n * (view->n - least.n);
	for (size_t i = 0; i < at; i++) {
		before += avoided(view, i) != least.rank;
	}
	return find_nth(view, &least, (size_t)(before % least.n));
}

int64_t mesh__balance_round_robin(const struct mesh__balance_view *view, uint64_t turn)
{
	struct least least;

	if (view->n == 0) {
		return MESH__BALANCE_NONE;
	}
	if (view->weight == NULL) {
		return (int64_t)in_turn(view, turn);
	}
	least = find_least(view);
	if (least.lightest < least.heaviest) {
		return (int64_t)find_at(view, &least, unit(mesh__spread(turn) >> (64 - UNIT_BITS)));
	}
	return (int64_t)find_nth(view, &least, (size_t)(turn % least.n));
}

int64_t mesh__balance_random(const struct mesh__balance_view *view)
{
	struct least least;

	if (view->n < 2) {
		return view->n == 0 ? MESH__BALANCE_NONE : 0;
	}
	for (int draws = 0; view->weight == NULL && draws < 1 + REDRAWS; draws++) {
		size_t i = (size_t)view->dice(view->dice_ctx, view->n);
		if (avoided(view, i) == 0) {
			return (int64_t)i;
		}
	}
	least = find_least(view);
	return (int64_t)find_at(view, &least, unit(view->dice(view->dice_ctx, (uint64_t)1 << UNIT_BITS)));
}
