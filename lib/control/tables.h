/*
 * What the keys of a hashing balancer lead to among the endpoints of a group: a ring or a maglev table over their stable ids, which is the same in every process that knows the same endpoints, and the order in which they stand there. Made
 * on the control loop when a service is built, and shared with the next one where neither ids nor weights have changed. Read by any thread.
 */
#ifndef MESH__CONTROL_TABLES_H
#define MESH__CONTROL_TABLES_H

#include "control/snapshot.h"
#include "policy/hashed.h"

/* Gives group->tables what `balancer` needs (NULL: none), from the group's endpoints; where it can, from `before` (NULL: there is none), the group as it was. False when out of memory. */
bool mesh__tables_prepare(struct mesh__group *group, const struct mesh__group *before, const struct mesh__endpoint_source *source, enum mesh__balancer balancer, const struct mesh__mem *mem) MESH__MUST_USE;

/* Accepts NULL. */
void mesh__tables_free(struct mesh__tables *tables);

/* mesh__hashed_pick() of them. */
int64_t mesh__tables_pick(const struct mesh__tables *tables, const struct mesh__balance_view *view, uint64_t hash);

#endif
