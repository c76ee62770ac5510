/* The worker pool: threads that run handlers which may block. Started as they are needed, up to the bound; the queue is bounded too. Any thread may give it jobs. */
#ifndef MESH__INBOUND_WORKERS_H
#define MESH__INBOUND_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/env.h"
#include "inbound/jobs.h"

enum { MESH__WORKERS_MAX = 512 };

struct mesh__workers {
	const struct mesh__env *env;
	void (*run)(void *arg, struct mesh__job *job);
	void *arg;
	int32_t max_threads, max_queued;
	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t work;
	struct mesh__jobs jobs;
	int32_t idle, n_threads;
	bool stopping;
	pthread_t threads[MESH__WORKERS_MAX];
};

void mesh__workers_init(struct mesh__workers *workers, const struct mesh__env *env, int32_t max_threads, int32_t max_queued, void (*run)(void *arg, struct mesh__job *job), void *arg);

/* Runs what is queued, then ends the threads and waits for them. Not on one of them. */
void mesh__workers_fini(struct mesh__workers *workers);

/* False when the queue is full, the pool is stopping, or no thread could be started: the job is still the caller's. */
bool mesh__workers_give(struct mesh__workers *workers, struct mesh__job *job) MESH__MUST_USE;

/* Whether this thread is one of the pool's. */
bool mesh__workers_is_current(struct mesh__workers *workers);

#endif
