/* Which of a service's routes a request takes (POLICY.md, Routes). Pure; no allocation. */
#ifndef MESH__POLICY_ROUTE_H
#define MESH__POLICY_ROUTE_H

#include "policy/match.h"

/* The first of `n` routes of which one alternative holds, or that has none; NULL: none, and the request goes to all endpoints of the service. *match is that alternative, or NULL. */
const struct mesh__route *mesh__route_find(const struct mesh__route *routes, size_t n, struct mesh__request_view *view, const struct mesh__route_match **match);

/* Whether one of `n` alternatives holds, or there is none. *match is the first that holds; untouched where none does. */
bool mesh__route_matches(const struct mesh__route_match *matches, size_t n, struct mesh__request_view *view, const struct mesh__route_match **match);

#endif
