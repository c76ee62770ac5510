/*
 * The cell that holds the snapshot of the moment. Readers take a reference without a lock that all threads share: the cell is split into shards apart from each other, a thread always
 * uses the same one. The writer swaps them one after another.
 */
#ifndef MESH__CONTROL_SWAP_H
#define MESH__CONTROL_SWAP_H

#include <pthread.h>

#include "control/snapshot.h"

enum { MESH__SWAP_SHARDS = 16 };

struct mesh__swap_shard {
	pthread_mutex_t mu; /* guards snapshot */
	struct mesh__snapshot *snapshot;
	char apart[MESH__APART];
};

struct mesh__swap {
	struct mesh__swap_shard shards[MESH__SWAP_SHARDS];
};

void mesh__swap_init(struct mesh__swap *swap);
void mesh__swap_fini(struct mesh__swap *swap);

/* The shard of this thread. */
size_t mesh__swap_shard_of_thread(void);

/* A reference to the snapshot, or NULL before the first. Any thread. */
struct mesh__snapshot *mesh__swap_get(struct mesh__swap *swap) MESH__MUST_USE;

/* Makes `snapshot` the one that is given out from here on; takes the caller's reference. One thread at a time. */
void mesh__swap_put(struct mesh__swap *swap, struct mesh__snapshot *snapshot);

#endif
