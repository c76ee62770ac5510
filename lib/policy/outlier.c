#include "policy/outlier.h"

#include <math.h>

enum { WHOLE = 1000000, TEN_THOUSAND = 10000, US_OF_MS = 1000, DOUBLED_MAX = 40 };

static const double rounding = 1e-9; /* of sums of rates, generously; far under one request of four billion */

void mesh__outlier_default(struct mesh__outlier *outlier)
{
	*outlier = (struct mesh__outlier){.consecutive_failures = 7, .base_ejection_ms = 1000, .max_ejection_ms = 60000, .max_ejected = WHOLE / 2};
	outlier->rates[MESH__OUTLIER_SUCCESS_RATE] = (struct mesh__outlier_rate_rule){.limit = 19 * TEN_THOUSAND / 10, .min_hosts = 5, .min_requests = 100, .interval_ms = 10000};
	outlier->rates[MESH__OUTLIER_FAILURE_PERCENT] = (struct mesh__outlier_rate_rule){.limit = 85 * TEN_THOUSAND, .min_hosts = 5, .min_requests = 50, .interval_ms = 10000};
}

int32_t mesh__outlier_most(const struct mesh__outlier *outlier, int32_t n)
{
	int64_t most = (int64_t)n * outlier->max_ejected / WHOLE;

	return most < 1 ? 1 : (int32_t)most;
}

/* ---- Rates ---- */

static bool has_enough(const struct mesh__outlier_rate_rule *rule, struct mesh__outlier_window w)
{
	return w.requests > 0 && w.requests >= (uint32_t)rule->min_requests;
}

static double success_rate(struct mesh__outlier_window w)
{
	return 1 - (double)w.failures / (double)w.requests;
}

/* Welford's way: one pass, and equal rates have no deviation. */
void mesh__outlier_crowd_add(struct mesh__outlier_crowd *crowd, const struct mesh__outlier_rate_rule *rule, struct mesh__outlier_window w)
{
	double off;

	if (!has_enough(rule, w)) {
		return;
	}
	crowd->hosts++;
	off = success_rate(w) - crowd->mean;
	crowd->mean += off / crowd->hosts;
	crowd->squares += off * (success_rate(w) - crowd->mean);
}

double mesh__outlier_least_rate(const struct mesh__outlier_crowd *crowd, const struct mesh__outlier_rate_rule *rule)
{
	return crowd->hosts == 0 ? 0 : crowd->mean - (double)rule->limit / TEN_THOUSAND * sqrt(crowd->squares / crowd->hosts);
}

bool mesh__outlier_is_out(enum mesh__outlier_rate rate, const struct mesh__outlier_rate_rule *rule, const struct mesh__outlier_crowd *crowd, struct mesh__outlier_window w)
{
	if (!rule->on || crowd->hosts < rule->min_hosts || !has_enough(rule, w)) {
		return false;
	}
	if (rate == MESH__OUTLIER_FAILURE_PERCENT) {
		return (uint64_t)w.failures * WHOLE > (uint64_t)w.requests * (uint32_t)rule->limit;
	}
	return success_rate(w) < mesh__outlier_least_rate(crowd, rule) - rounding;
}

/* ---- Ejections ---- */

/* All that a failed probe doubles is spread at random: callers that ejected it together do not come back together. */
static int64_t length_us(const struct mesh__outlier *outlier, int32_t probes_lost, uint64_t draw)
{
	int64_t ms = outlier->base_ejection_ms, us;

	for (int32_t i = 0; i < probes_lost && i < DOUBLED_MAX && ms < outlier->max_ejection_ms; i++) {
		ms *= 2;
	}
	ms = ms < outlier->max_ejection_ms ? ms : outlier->max_ejection_ms;
	us = ms * US_OF_MS;
	return probes_lost == 0 ? us : us + (int64_t)(draw % ((uint64_t)us / 2 + 1));
}

static bool put_out(struct mesh__ejection *e, const struct mesh__outlier *outlier, int64_t now_us, uint64_t draw)
{
	e->length_us = length_us(outlier, e->probes_lost, draw);
	e->until_us = now_us + e->length_us;
	e->state = MESH__EJECTION_OUT;
	e->by_rate = false;
	e->marred = true;
	return true;
}

static bool put_out_by_rate(struct mesh__ejection *e, const struct mesh__outlier *outlier, int64_t now_us)
{
	int64_t ms;

	e->times += e->times < INT32_MAX;
	ms = outlier->base_ejection_ms * e->times; /* an hour at most, times 2^31 */
	e->length_us = (ms < outlier->max_ejection_ms ? ms : outlier->max_ejection_ms) * US_OF_MS;
	e->until_us = now_us + e->length_us;
	e->state = MESH__EJECTION_OUT;
	e->by_rate = true;
	e->marred = true;
	return true;
}

/* What a rate holds against it stays. */
static bool take_in(struct mesh__ejection *e)
{
	bool was_out = e->state != MESH__EJECTION_IN;

	*e = (struct mesh__ejection){.state = MESH__EJECTION_IN, .marred = e->marred, .times = e->times};
	return was_out;
}

static void end_interval(struct mesh__ejection *e)
{
	e->times -= !e->marred && e->times > 0;
	e->marred = false;
}

bool mesh__ejection_step(struct mesh__ejection *e, enum mesh__ejection_event event, const struct mesh__outlier *outlier, int64_t now_us, uint64_t draw)
{
	switch (event) {
	case MESH__EJECTION_FAILED:
		return e->state == MESH__EJECTION_IN && put_out(e, outlier, now_us, draw);
	case MESH__EJECTION_OUTLYING:
		return e->state == MESH__EJECTION_IN && put_out_by_rate(e, outlier, now_us);
	case MESH__EJECTION_SERVED:
		return e->state == MESH__EJECTION_OUT && e->by_rate && now_us >= e->until_us && take_in(e);
	case MESH__EJECTION_INTERVAL:
		if (e->state == MESH__EJECTION_IN) {
			end_interval(e);
		}
		return false;
	case MESH__EJECTION_PROBE:
		if (e->state != MESH__EJECTION_OUT || e->by_rate || now_us < e->until_us) {
			return false;
		}
		e->state = MESH__EJECTION_PROBED;
		return true;
	case MESH__EJECTION_PROBE_PASSED:
		return e->state == MESH__EJECTION_PROBED && take_in(e);
	case MESH__EJECTION_PROBE_FAILED:
		if (e->state != MESH__EJECTION_PROBED) {
			return false;
		}
		e->probes_lost += e->probes_lost < INT32_MAX;
		return put_out(e, outlier, now_us, draw);
	case MESH__EJECTION_PROBE_UNTOLD:
		if (e->state != MESH__EJECTION_PROBED) {
			return false;
		}
		e->state = MESH__EJECTION_OUT;
		e->until_us = now_us;
		return true;
	case MESH__EJECTION_ENDED:
		e->times = 0;
		return take_in(e);
	}
	return false;
}
