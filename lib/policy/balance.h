/* Which endpoint is next: pure, no clock, no allocation (POLICY.md, Load balancing). The caller shows its endpoints through a view and gives the dice. */
#ifndef MESH__POLICY_BALANCE_H
#define MESH__POLICY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESH__BALANCE_NONE = -1 };

/* The moving latency of one endpoint, in microseconds. A zeroed one has no sample. */
struct mesh__ewma {
	double value_us;   /* 0: no sample yet */
	int64_t stamp_us;  /* of the last sample */
};

/* A sample of `rtt_us` at `now_us`: peak-sensitive, tau 10 s. A failure (`failed`) records max(rtt, 2·ewma), capped at 30 s; an ewma without samples counts as 30 ms there. */
struct mesh__ewma mesh__ewma_sample(struct mesh__ewma ewma, int64_t rtt_us, bool failed, int64_t now_us);

/* The cost of sending one more: decayed ewma·(inflight + 1)/weight; without samples 0 while idle and 30 ms·(inflight + 1)/weight otherwise. A weight of 0 counts as 1. */
double mesh__ewma_cost(struct mesh__ewma ewma, uint32_t inflight, uint32_t weight, int64_t now_us);

/* Endpoints 0 … n-1 as the caller sees them. */
struct mesh__balance_view {
	size_t n;
	const void *ctx;
	bool (*avoid)(const void *ctx, size_t i);     /* already tried in this call, or unhealthy: taken only when nothing else is left; NULL: none is */
	double (*cost)(const void *ctx, size_t i);    /* lower is better; NULL: all the same */
	uint64_t (*dice)(void *dice_ctx, uint64_t n); /* uniform in [0, n) */
	void *dice_ctx;
};

/* Power of two choices: a = rnd(n); b = rnd(n - 1); if (b >= a) b++; what need not be avoided first, then cost; redrawn up to four times, then the first from a random start that need not be avoided. MESH__BALANCE_NONE when n is 0; no draw when it is 1. */
int64_t mesh__balance_p2c(const struct mesh__balance_view *view);

/* The `turn`-th endpoint modulo n, or the next after it that need not be avoided. */
int64_t mesh__balance_round_robin(const struct mesh__balance_view *view, uint64_t turn);

#endif
