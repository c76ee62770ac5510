/* How many endpoints of a group are healthy, in its two levels (policy/levels.h): those in this process's zone, and all others. Any thread, no lock; while the health of none changes, that is one load. */
#ifndef MESH__OUTBOUND_LEVELS_H
#define MESH__OUTBOUND_LEVELS_H

#include "outbound/choose.h"
#include "outbound/destination.h"
#include "policy/levels.h"

enum { MESH__NEAR, MESH__FAR, MESH__N_LEVELS };

struct mesh__levels {
	struct mesh__level at[MESH__N_LEVELS]; /* where zones do not count, all are far */
};

/* Of both together. */
struct mesh__level mesh__levels_all(const struct mesh__levels *levels);

/* Of a group of the destination's endpoints, as they are marked now. */
struct mesh__levels mesh__levels_of(struct mesh__group *group, const struct mesh__destination *destination);

/* The level that a try goes to, one or both: of 100 tries as many go to each as mesh__levels_load() says. A draw only where both have a share. */
struct mesh__candidates mesh__levels_draw(const struct mesh__levels *levels, const struct mesh__env *env);

#endif
