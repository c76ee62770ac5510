/*
 * How calls are shared among levels of endpoints, the first preferred (POLICY.md, Load balancing; the levels are Envoy's priorities, with its overprovisioning of 1.4), and when health is looked at no longer, since too few have it:
 * panic. Pure.
 */
#ifndef MESH__POLICY_LEVELS_H
#define MESH__POLICY_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Endpoints that are preferred alike. */
struct mesh__level {
	size_t n, healthy;
};

/* How much of all calls it can take, in whole percent: min(100, 140·healthy/n). Of an empty one 0. */
uint32_t mesh__level_health(struct mesh__level level);

/*
 * Of 100 calls, load[i] go to levels[i]: each takes as many as its health says, the first one first, until none is left. Where all of them together have less than 100, what they have counts as the whole. The sum is 100, or 0
 * where no endpoint of any is healthy.
 */
void mesh__levels_load(const struct mesh__level *levels, size_t n, uint32_t load[]);

/* Whether health is to be looked at no longer: of all endpoints of the levels fewer than `threshold` (millionths) are healthy, and the levels together cannot take all calls (as in Envoy: a zone that is down is none while another is well).
 * A threshold of 0 never asks for it, nor do no endpoints. */
bool mesh__panic_is_due(const struct mesh__level *levels, size_t n, int32_t threshold);

#endif
