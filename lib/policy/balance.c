#include "policy/balance.h"

#include <math.h>

static const double tau_us = 10e6;          /* Finagle's and Linkerd's decay time */
static const double unsampled_us = 30e3;    /* what an endpoint counts as while its first call runs */
static const double failure_max_us = 30e6;

enum { REDRAWS = 4 };

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

double mesh__ewma_cost(struct mesh__ewma ewma, uint32_t inflight, uint32_t weight, int64_t now_us)
{
	double share = ((double)inflight + 1) / (weight == 0 ? 1.0 : (double)weight);

	if (ewma.value_us > 0) {
		return ewma.value_us * decay(&ewma, now_us) * share;
	}
	return inflight == 0 ? 0.0 : unsampled_us * share;
}

static bool avoided(const struct mesh__balance_view *view, size_t i)
{
	return view->avoid != NULL && view->avoid(view->ctx, i);
}

struct pair {
	size_t a, b; /* a != b, each pair equally likely */
};

static struct pair draw(const struct mesh__balance_view *view)
{
	size_t a = (size_t)view->dice(view->dice_ctx, view->n);
	size_t b = (size_t)view->dice(view->dice_ctx, view->n - 1);

	return (struct pair){a, b >= a ? b + 1 : b};
}

static size_t cheaper(const struct mesh__balance_view *view, struct pair p)
{
	return view->cost != NULL && view->cost(view->ctx, p.b) < view->cost(view->ctx, p.a) ? p.b : p.a;
}

/* The first from `start` on that need not be avoided, or NONE. */
static int64_t first_from(const struct mesh__balance_view *view, size_t start)
{
	for (size_t k = 0; k < view->n; k++) {
		size_t i = (start + k) % view->n;
		if (!avoided(view, i)) {
			return (int64_t)i;
		}
	}
	return MESH__BALANCE_NONE;
}

int64_t mesh__balance_p2c(const struct mesh__balance_view *view)
{
	struct pair p = {0, 0};
	int64_t found;

	if (view->n < 2) {
		return view->n == 0 ? MESH__BALANCE_NONE : 0;
	}
	for (int draws = 0; draws < 1 + REDRAWS; draws++) {
		p = draw(view);
		bool avoid_a = avoided(view, p.a), avoid_b = avoided(view, p.b);
		if (!avoid_a || !avoid_b) {
			return (int64_t)(avoid_a ? p.b : avoid_b ? p.a : cheaper(view, p));
		}
	}
	found = first_from(view, (size_t)view->dice(view->dice_ctx, view->n));
	return found != MESH__BALANCE_NONE ? found : (int64_t)cheaper(view, p);
}

int64_t mesh__balance_round_robin(const struct mesh__balance_view *view, uint64_t turn)
{
	size_t start;
	int64_t found;

	if (view->n == 0) {
		return MESH__BALANCE_NONE;
	}
	start = (size_t)(turn % view->n);
	found = first_from(view, start);
	return found != MESH__BALANCE_NONE ? found : (int64_t)start;
}
