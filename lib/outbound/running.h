/*
 * The calls under way, so that closing can wait for them and end them. Split into shards, so that callers share no lock; a thread uses the shard of its snapshot cell's.
 */
#ifndef MESH__OUTBOUND_RUNNING_H
#define MESH__OUTBOUND_RUNNING_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/swap.h"

struct mesh_request;

struct mesh__running_shard {
	pthread_mutex_t mu; /* guards first, the chain, closed */
	struct mesh_request *first;
	bool closed;
	char apart[MESH__APART];
};

struct mesh__running {
	struct mesh__running_shard shards[MESH__SWAP_SHARDS];
	atomic_bool watched;    /* somebody waits in mesh__running_wait() */
	pthread_mutex_t mu;     /* guards nothing but the wait */
	pthread_cond_t one_left;
};

void mesh__running_init(struct mesh__running *running);
void mesh__running_fini(struct mesh__running *running);

/* A call begins; false once closed: it must not. */
bool mesh__running_enter(struct mesh__running *running, struct mesh_request *request) MESH__MUST_USE;
void mesh__running_leave(struct mesh__running *running, struct mesh_request *request);

/* Waits until no call is under way, or `deadline_us` has passed (INT64_MAX: for ever); true when none is. */
bool mesh__running_wait(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us);

/* The same, but for the copies of a mirror (mirror.h): nobody waits for what comes of them. */
bool mesh__running_drain(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us);

/* The same as the first, but a call on this very thread, in which this is asked, is not waited for. */
bool mesh__running_wait_others(struct mesh__running *running, const struct mesh__env *env, int64_t deadline_us);

/* Whether a call is under way on this thread: whoever asks is called back by it. */
bool mesh__running_has_own(struct mesh__running *running);

/* No call begins from here on; those under way are cancelled. */
void mesh__running_close(struct mesh__running *running);

#endif
