#include "policy/fault.h"

#include <string.h>

#include "policy/route.h"

static bool injects(const struct mesh__fault *fault)
{
	return fault->delay.share > 0 || fault->abort.share > 0;
}

static bool holds(const struct mesh__injection *injection, const struct mesh__route *route, struct mesh__request_view *view)
{
	const struct mesh__route_match *match;

	if (injection->route != NULL && (route == NULL || strcmp(route->name, injection->route) != 0)) {
		return false;
	}
	return mesh__route_matches(injection->matches, injection->n_matches, view, &match);
}

const struct mesh__fault *mesh__fault_find(const struct mesh__service_policy *policy, const struct mesh__route *route, struct mesh__request_view *view, int64_t wall_ms)
{
	const struct mesh__injection *injection = &policy->injection;

	if (injection->until_ms > wall_ms && holds(injection, route, view)) {
		return &injection->fault;
	}
	return route != NULL && injects(&route->fault) ? &route->fault : NULL;
}

bool mesh__fault_is_possible(const struct mesh__service_policy *policy)
{
	bool possible = policy->injection.until_ms != 0;

	for (size_t i = 0; i < policy->n_routes && !possible; i++) {
		possible = injects(&policy->routes[i].fault);
	}
	return possible;
}

struct mesh__fault_verdict mesh__fault_decide(const struct mesh__fault *fault, bool is_grpc, uint64_t delay_dice, uint64_t abort_dice)
{
	const struct mesh__fault_abort *abort = &fault->abort;

	return (struct mesh__fault_verdict){
		.delay_ms = delay_dice < (uint64_t)fault->delay.share ? fault->delay.duration_ms : 0,
		.abort = abort_dice < (uint64_t)abort->share && (abort->grpc_status == 0 || is_grpc),
	};
}
