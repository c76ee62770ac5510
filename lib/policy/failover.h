/*
 * Whether endpoints that are to be called are, or others in their place (POLICY.md, Failover): they are left when none of them is healthy, and taken again when half of them have been for a while, so that what comes and goes does not take
 * the calls with it each time. Pure.
 */
#ifndef MESH__POLICY_FAILOVER_H
#define MESH__POLICY_FAILOVER_H

#include <stdint.h>

#include "policy/levels.h"

enum { MESH__FAILOVER_RETURN_MS = 3000 };

/* How a group of endpoints stands, in one word: IN_USE, LEFT, or, of one that was left and is recovering, since when (microseconds, over 0) half of it are healthy. */
#define MESH__STANDING_IN_USE ((int64_t)0)
#define MESH__STANDING_LEFT ((int64_t)-1)

/* How one that stood so stands, seen like this at `now_us`: LEFT once no endpoint is healthy; IN_USE again once half have been for MESH__FAILOVER_RETURN_MS, each time that this was asked meanwhile. */
int64_t mesh__failover_standing(int64_t before, struct mesh__level all, int64_t now_us);

#endif
