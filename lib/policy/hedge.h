/*
 * When a call has a second try beside its first (POLICY.md, Hedging): what is counted for it of one destination, and the decisions. Pure but for what it counts: no clock, no lock, no allocation; any thread.
 */
#ifndef MESH__POLICY_HEDGE_H
#define MESH__POLICY_HEDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/budget.h"
#include "policy/latencies.h"

/* X(NAME, "text"): what became of a second try that was sent. */
#define MESH__HEDGE_ENDS(X)                                                                                            \
	X(WON, "won")           /* its answer is the call's */                                                          \
	X(LOST, "lost")         /* the first try's is, or the call ended before */                                      \
	X(FAILED, "failed")     /* it had no answer, or that of a failure */

/* X(NAME, "text"): why one that was due was not sent. */
#define MESH__HEDGE_REFUSALS(X)                                                                                        \
	X(BUDGET, "budget")                                                                                             \
	X(ENDPOINT, "endpoint") /* there was none but the first try's */                                                \
	X(LIMIT, "limit")       /* circuitBreaker.maxRequests */                                                        \
	X(MEMORY, "memory")     /* or a thread for it could not be had */

#define X(name, text) MESH__HEDGE_END_##name,
enum mesh__hedge_end { MESH__HEDGE_ENDS(X) MESH__HEDGE_N_ENDS };
#undef X
#define X(name, text) MESH__HEDGE_REFUSAL_##name,
enum mesh__hedge_refusal { MESH__HEDGE_REFUSALS(X) MESH__HEDGE_N_REFUSALS };
#undef X

/* Of one destination. Zeroed: nothing was counted. */
struct mesh__hedge_counts {
	struct mesh__budget budget; /* calls, and second tries instead of retries */
	struct mesh__latencies latencies; /* of first tries, where a percentile is asked for */
};

/* A call that is about to make a try. */
struct mesh__hedge_view {
	bool idempotent;      /* twice is as good as once */
	bool parent_retried;  /* it is made for a request that is a retry, or is made for one */
	bool streams;         /* one of its bodies does */
	size_t body_len;
	int32_t tries;        /* made so far */
	size_t n_endpoints;   /* that it may choose among */
};

/* Whether that try may have a second one beside it under a rule that is on: some are allowed, and it is idempotent, the first of its call, no retry's, with a body that is kept, and somewhere else to go. */
bool mesh__hedge_may(const struct mesh__hedging *rule, const struct mesh__hedge_view *view);

/* After how long: the rule's time, or its percentile of what was counted; -1: not known yet. The rule is on. */
int64_t mesh__hedge_delay_us(const struct mesh__hedging *rule, struct mesh__hedge_counts *counts, int64_t now_us);

/* A call begins for which the rule is on. */
void mesh__hedge_deposit(struct mesh__hedge_counts *counts, const struct mesh__hedging *rule, int64_t now_us);

/* One more second try, of those that the calls of the last ten seconds allow; there is no floor. Counted where true. */
bool mesh__hedge_withdraw(struct mesh__hedge_counts *counts, const struct mesh__hedging *rule, int64_t now_us) MESH__MUST_USE;

#endif
