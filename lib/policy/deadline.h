/* One deadline a call: the smallest of what the caller, the service's policy and the parent say (POLICY.md, Deadline). Pure. */
#ifndef MESH__POLICY_DEADLINE_H
#define MESH__POLICY_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct mesh__deadline_inputs {
	int64_t caller_ms;       /* 0: the caller said nothing */
	int64_t policy_ms;       /* the service's timeout */
	bool policy_set;         /* from a document: bounds the caller's too; built in: yields to it */
	int64_t parent_left_ms;  /* -1: no parent; else what is left of its deadline, possibly 0 */
};

/* The moment, on the clock of `now_us`, when the call must be over. */
int64_t mesh__deadline_decide(const struct mesh__deadline_inputs *in, int64_t now_us);

/* When a try that begins now must be over: at the call's deadline, or before that when its own time, perTryTimeout, has passed; 0: it has none. */
int64_t mesh__deadline_of_try(int64_t deadline_us, int64_t per_try_ms, int64_t now_us);

/* The whole milliseconds from now to the deadline, rounded up; 0 when it has passed. */
int64_t mesh__deadline_left_ms(int64_t deadline_us, int64_t now_us);

#endif
