/* Requests that wait for the program's own threads to take them: mode "pull". Bounded. Any thread, unless it says otherwise. */
#ifndef MESH__INBOUND_PULL_H
#define MESH__INBOUND_PULL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/env.h"
#include "base/event_fd.h"
#include "inbound/jobs.h"

struct mesh__pull {
	const struct mesh__env *env;
	int32_t max_queued;
	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t work, left;
	struct mesh__jobs jobs;
	int32_t n_inside, n_waiting;
	bool closed;
	struct mesh__event_fd fd; /* raised while something waits, and once closed */
};

void mesh__pull_init(struct mesh__pull *pull, const struct mesh__env *env, int32_t max_queued);

/* After mesh__pull_close(). What is left in it is its owner's to take first. */
void mesh__pull_fini(struct mesh__pull *pull);

/* False when it is full or closed: the job is still the caller's. */
bool mesh__pull_give(struct mesh__pull *pull, struct mesh__job *job) MESH__MUST_USE;

/* Who is to take, or to ask for the descriptor, enters first, while the pull is sure to be there, and leaves: mesh__pull_close() waits for that. */
void mesh__pull_enter(struct mesh__pull *pull);
void mesh__pull_leave(struct mesh__pull *pull);

/* The next job, waiting for it until `deadline_us`: MESH_OK; MESH_E_TIMEOUT; MESH_E_CLOSED when it is closed and empty. */
int mesh__pull_take(struct mesh__pull *pull, int64_t deadline_us, struct mesh__job **job) MESH__MUST_USE;

/* The descriptor, or minus a code. It is the pull's. */
int mesh__pull_event_fd(struct mesh__pull *pull, struct mesh__err *err);

/* Takes no more, and ends every wait. */
void mesh__pull_halt(struct mesh__pull *pull);

/* The same, and waits until all who had entered have left. Nobody may enter any more. */
void mesh__pull_close(struct mesh__pull *pull);

/* In a forked child. */
void mesh__pull_abandon(struct mesh__pull *pull);

#endif
