/* A few threads that others ask for: "am I one of these?" Any thread; asking takes no lock. */
#ifndef MESH__BASE_THREAD_SET_H
#define MESH__BASE_THREAD_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MESH__THREAD_SET_MAX = 64 };

/* Zeroed: empty. */
struct mesh__thread_set {
	_Atomic uint32_t n;
	_Atomic uintptr_t threads[MESH__THREAD_SET_MAX]; /* pthread_self() as a number; 0: none */
};

/* Adds the calling thread; at most MESH__THREAD_SET_MAX between two times that the set is emptied. */
void mesh__thread_set_add_this(struct mesh__thread_set *set);

/* Once they have ended: later threads may be known by the same numbers. */
void mesh__thread_set_clear(struct mesh__thread_set *set);

bool mesh__thread_set_has_this(const struct mesh__thread_set *set);

#endif
