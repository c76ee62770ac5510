/* Which of some endpoints a try goes to, by the service's balancer: pick.c says among which, policy/balance.h how. Changes nothing but turns. */
#ifndef MESH__OUTBOUND_CHOOSE_H
#define MESH__OUTBOUND_CHOOSE_H

#include "outbound/request.h"

/* Of request->group, the endpoints from … from + n - 1. */
struct mesh__candidates {
	size_t from, n;
	bool unhealthy_too; /* all are taken alike; else the unhealthy ones only where no other is left */
};

/* The index in the group of the endpoint of this try; MESH__BALANCE_NONE: there are no candidates. A retry goes where the call has not been, in its own zone first, as long as there is such a place. */
int64_t mesh__choose(const struct mesh_request *request, const struct mesh__candidates *candidates);

#endif
