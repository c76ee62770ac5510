#include "base/thread_set.h"

#include <pthread.h>

void mesh__thread_set_add_this(struct mesh__thread_set *set)
{
	uint32_t at = atomic_fetch_add(&set->n, 1);

	if (at < MESH__THREAD_SET_MAX) {
		atomic_store_explicit(&set->threads[at], (uintptr_t)pthread_self(), memory_order_relaxed);
	}
}

void mesh__thread_set_clear(struct mesh__thread_set *set)
{
	for (size_t i = 0; i < MESH__THREAD_SET_MAX; i++) {
		atomic_store_explicit(&set->threads[i], 0, memory_order_relaxed);
	}
	atomic_store(&set->n, 0);
}

/* What a thread asks of itself it wrote itself: no order with others is needed. */
bool mesh__thread_set_has_this(const struct mesh__thread_set *set)
{
	uint32_t n = atomic_load_explicit(&set->n, memory_order_relaxed);
	bool found = false;

	for (uint32_t i = 0; i < n && i < MESH__THREAD_SET_MAX && !found; i++) {
		found = atomic_load_explicit(&set->threads[i], memory_order_relaxed) == (uintptr_t)pthread_self();
	}
	return found;
}
