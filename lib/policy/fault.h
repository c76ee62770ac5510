/* Which fault a call has, and what of it is injected into one try (POLICY.md, Faults). Pure; no allocation. */
#ifndef MESH__POLICY_FAULT_H
#define MESH__POLICY_FAULT_H

#include "policy/match.h"

/*
 * The fault of a call that begins at `wall_ms` (of the wall clock, since 1970) and takes `route` (NULL: none) of the service: that which a document of kind Fault injects, while it lasts and where it holds, else the route's own. NULL: none.
 * Led by the policy.
 */
const struct mesh__fault *mesh__fault_find(const struct mesh__service_policy *policy, const struct mesh__route *route, struct mesh__request_view *view, int64_t wall_ms);

/* Whether a call of the service may have one. */
bool mesh__fault_is_possible(const struct mesh__service_policy *policy);

struct mesh__fault_verdict {
	int64_t delay_ms; /* 0: none */
	bool abort;       /* after it: as the fault says */
};

/* The two are drawn independently of each other, of so many dice below MESH__WHOLE. A gRPC status is met by calls of gRPC alone. */
struct mesh__fault_verdict mesh__fault_decide(const struct mesh__fault *fault, bool is_grpc, uint64_t delay_dice, uint64_t abort_dice);

#endif
