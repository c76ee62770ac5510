/*
 * The retry budget of one destination (POLICY.md, Retries; Finagle's RetryBudget): of the calls of the last window so many percent may be repeated, and a floor of so many a second besides. Calls and retries are counted in ten slices
 * of the window, so that what is told today counts for all of it: a rule may change at any time; another window begins anew, so
 * that all who count in one budget at the same time use one window. Pure but for what it counts: no clock, no lock, no allocation; any thread.
 */
#ifndef MESH__POLICY_BUDGET_H
#define MESH__POLICY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/service.h"

enum { MESH__BUDGET_SLICES = 10 };

/* Zeroed: nothing was counted. Each word is the slice's number (high half) and a count, so that one exchange renews both. */
struct mesh__budget {
	struct {
		_Atomic uint64_t calls, retries;
	} slices[MESH__BUDGET_SLICES];
};

/* A call begins. */
void mesh__budget_deposit(struct mesh__budget *budget, const struct mesh__retry_budget *rule, int64_t now_us);

/* Whether one more retry is within it; the second counts it if so. Threads that do it in the same moment never get more than there is, but where a slice ends between them. */
bool mesh__budget_has(const struct mesh__budget *budget, const struct mesh__retry_budget *rule, int64_t now_us);
bool mesh__budget_withdraw(struct mesh__budget *budget, const struct mesh__retry_budget *rule, int64_t now_us) MESH__MUST_USE;

#endif
