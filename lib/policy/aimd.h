/*
 * The concurrency limit (POLICY.md, Limits): how many may be under way at once is found out, as TCP finds out how much a path carries (additive increase, multiplicative decrease; the rule is that of Netflix' concurrency-limits,
 * AIMDLimit): one more while there is room, a tenth less on a timeout or an overload. Two things are TCP's and not that library's, which goes by every sample: of what began before the limit last fell nothing counts for a while, so
 * that one burst does not make it fall again and again; and how often it grows in a round trip begins with once, and doubles with each one in which nothing went wrong, so that what is told late is not overshot by far.
 * Pure but for what it counts: no clock, no lock, no allocation; any thread.
 */
#ifndef MESH__POLICY_AIMD_H
#define MESH__POLICY_AIMD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MESH__CONCURRENCY_MOST = 1000000, MESH__CONCURRENCY_MIN_BUILT_IN = 4, MESH__CONCURRENCY_MAX_BUILT_IN = 1000, MESH__CONCURRENCY_FIRST = 20 };

struct mesh__concurrency_limit {
	bool on;
	int32_t min, max; /* it is within these; where they cross, max */
};

enum mesh__aimd_outcome { MESH__AIMD_WELL, MESH__AIMD_OVERLOAD, MESH__AIMD_UNTOLD /* of how much can be carried it says nothing */ };

struct mesh__aimd_sample {
	enum mesh__aimd_outcome outcome;
	int64_t began_us, now_us;
};

/* What has been learnt; zeroed: nothing. */
struct mesh__aimd_state {
	int32_t limit;    /* 0: the first one */
	int32_t steps;    /* that the limit may grow by in a round trip, */
	int32_t left;     /* and in this one yet */
	int64_t round_us; /* when it began */
	int64_t cut_us;   /* when the limit last fell */
};

/* What one that ends teaches, `under_way` being so many, itself among them. */
void mesh__aimd_learn(const struct mesh__concurrency_limit *rule, struct mesh__aimd_state *state, const struct mesh__aimd_sample *sample, int32_t under_way);

/* The same for many threads. Zeroed: nothing was counted. */
struct mesh__aimd {
	_Atomic int32_t under_way;
	_Atomic int32_t limit; /* to be looked at; 0: none was needed yet */
	atomic_bool taught;    /* somebody has `state` */
	struct mesh__aimd_state state;
};

/* One more begins, and mesh__aimd_leave() follows. False, and nothing follows, when there are as many as may be: *limit. */
bool mesh__aimd_enter(struct mesh__aimd *aimd, const struct mesh__concurrency_limit *rule, int32_t *limit);

/* It has ended. Of those that end in the same moment on several threads one teaches. */
void mesh__aimd_leave(struct mesh__aimd *aimd, const struct mesh__concurrency_limit *rule, const struct mesh__aimd_sample *sample);

#endif
