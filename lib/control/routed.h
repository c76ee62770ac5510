/* What the subsets and the routes of a service lead to, found out once when the service is built, so that a call finds nothing but takes. Control loop only. */
#ifndef MESH__CONTROL_ROUTED_H
#define MESH__CONTROL_ROUTED_H

#include "control/snapshot.h"

/*
 * Fills in service->all, subsets, routes, faulted and prepared of its endpoints and its policy. Turns, and what calls have found out, go on where those of `before` (NULL: none), the service as it was built last, stand: a change moves no share. Its endpoints in this process's zone come to
 * stand first, in the service and in each group. False when out of memory;
 * then prepared is what mesh__service_unref() frees.
 */
bool mesh__service_prepare(struct mesh__service *service, const struct mesh__service *before, const struct mesh__env *env) MESH__MUST_USE;

#endif
