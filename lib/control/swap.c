#include "control/swap.h"

void mesh__swap_init(struct mesh__swap *swap)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		(void)pthread_mutex_init(&swap->shards[i].mu, NULL);
		swap->shards[i].snapshot = NULL;
	}
}

void mesh__swap_fini(struct mesh__swap *swap)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		mesh__snapshot_unref(swap->shards[i].snapshot);
		(void)pthread_mutex_destroy(&swap->shards[i].mu);
	}
}

/* Thread descriptors lie megabytes apart: their middle bits tell threads from each other. */
size_t mesh__swap_shard_of_thread(void)
{
	uint64_t id = (uint64_t)(uintptr_t)pthread_self();

	return (size_t)(((id >> 6) * 0x9e3779b97f4a7c15U) >> 60);
}

struct mesh__snapshot *mesh__swap_get(struct mesh__swap *swap)
{
	struct mesh__swap_shard *shard = &swap->shards[mesh__swap_shard_of_thread()];
	struct mesh__snapshot *snapshot;

	(void)pthread_mutex_lock(&shard->mu);
	snapshot = shard->snapshot == NULL ? NULL : mesh__snapshot_ref(shard->snapshot);
	(void)pthread_mutex_unlock(&shard->mu);
	return snapshot;
}

void mesh__swap_put(struct mesh__swap *swap, struct mesh__snapshot *snapshot)
{
	for (size_t i = 0; i < MESH__SWAP_SHARDS; i++) {
		struct mesh__swap_shard *shard = &swap->shards[i];
		struct mesh__snapshot *old;
		(void)pthread_mutex_lock(&shard->mu);
		old = shard->snapshot;
		shard->snapshot = mesh__snapshot_ref(snapshot);
		(void)pthread_mutex_unlock(&shard->mu);
		mesh__snapshot_unref(old);
	}
	mesh__snapshot_unref(snapshot);
}
