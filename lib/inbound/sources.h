/*
 * How far ahead of its rate each caller is: a table of theoretical arrival times (policy/gcra.h) by name, of a fixed size. A caller that is behind its rate is as good as one that was never seen, so forgetting it loses nothing: where
 * there is no place for another caller, the one goes that is furthest behind, or least ahead, and the other begins where it was. So callers who share a place for want of more share a rate, and none gains by having been forgotten. Any
 * thread; looked up without a lock.
 */
#ifndef MESH__INBOUND_SOURCES_H
#define MESH__INBOUND_SOURCES_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/env.h"

/* A name has its place in one row. */
enum { MESH__SOURCE_ROWS = 128, MESH__SOURCES_A_ROW = 8 };

struct mesh__source_place {
	_Atomic uint64_t key; /* of its name; 0: nobody's */
	_Atomic int64_t arrival_ns;
};

struct mesh__sources {
	uint64_t seed;
	pthread_mutex_t mu; /* guards that callers come in one at a time */
	struct mesh__source_place rows[MESH__SOURCE_ROWS][MESH__SOURCES_A_ROW];
};

/* In zeroed memory. */
void mesh__sources_init(struct mesh__sources *sources, const struct mesh__env *env);
void mesh__sources_fini(struct mesh__sources *sources);

/* The number of this caller. It stays readable, and becomes another's only in the way that is told above: who holds it in that moment has one request counted against the other. */
_Atomic int64_t *mesh__sources_of(struct mesh__sources *sources, const char *name);

#endif
