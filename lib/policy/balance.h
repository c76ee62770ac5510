/* Which endpoint is next: pure, no clock, no allocation (POLICY.md, Load balancing). The caller shows its endpoints through a view and gives the dice. */
#ifndef MESH__POLICY_BALANCE_H
#define MESH__POLICY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESH__BALANCE_NONE = -1, MESH__AVOID_MOST = 2 };

/* The moving latency of one endpoint, in microseconds. A zeroed one has no sample. */
struct mesh__ewma {
	double value_us;   /* 0: no sample yet */
	int64_t stamp_us;  /* of the last sample */
};

/* A sample of `rtt_us` at `now_us`: peak-sensitive, tau 10 s. A failure (`failed`) records max(rtt, 2·ewma), capped at 30 s; an ewma without samples counts as 30 ms there. */
struct mesh__ewma mesh__ewma_sample(struct mesh__ewma ewma, int64_t rtt_us, bool failed, int64_t now_us);

/* The cost of sending one more: decayed ewma·(inflight + 1)/weight; without samples 0 while idle and 30 ms·(inflight + 1)/weight otherwise. A weight is over 0. */
double mesh__ewma_cost(struct mesh__ewma ewma, uint32_t inflight, double weight, int64_t now_us);

/* The same without latency: (inflight + 1)/weight. */
double mesh__load_cost(uint32_t inflight, double weight);

/* What an endpoint weighs `age_us` after it was new: weight·max(0.10, age/window), and the whole of it from the end of the window on; without a window (0) always. */
double mesh__slow_start(double weight, int64_t age_us, int64_t window_ms);

/* Endpoints 0 … n-1 as the caller sees them. */
struct mesh__balance_view {
	size_t n;
	const void *ctx;
	unsigned (*avoid)(const void *ctx, size_t i); /* how much it is to be avoided, up to MESH__AVOID_MOST: one is taken only when none that is to be avoided less is left; NULL: none is */
	double (*cost)(const void *ctx, size_t i);    /* lower is better; NULL: all the same. For p2c */
	double (*weight)(const void *ctx, size_t i);  /* over 0; NULL: all the same. For the others: p2c's costs have it in them */
	uint32_t (*load)(const void *ctx, size_t i);  /* calls under way. For hashed.h */
	uint64_t (*dice)(void *dice_ctx, uint64_t n); /* uniform in [0, n) */
	void *dice_ctx;
};

/* Power of two choices: a = rnd(n); b = rnd(n - 1); if (b >= a) b++; what need not be avoided first, then cost; redrawn up to four times, then two draws among those least to be avoided, and cost. MESH__BALANCE_NONE when n is 0; no draw when it is 1. */
int64_t mesh__balance_p2c(const struct mesh__balance_view *view);

/*
 * The `turn`-th endpoint, modulo how many there are; where it is not one of those least to be avoided, they have its turns in turn: with the same ones to be avoided, each has as many after n turns of every one. Where weights differ, the one at turn·golden ratio of the line that they make together: over any run of turns each has its share of them but for a few, and
 * the turns of one are spread among those of the others.
 */
int64_t mesh__balance_round_robin(const struct mesh__balance_view *view, uint64_t turn);

/* A draw by weight among those least to be avoided: without weights redrawn up to four times before all are looked at. MESH__BALANCE_NONE when n is 0; no draw when it is 1. */
int64_t mesh__balance_random(const struct mesh__balance_view *view);

#endif
