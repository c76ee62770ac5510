/* A few threads and a bounded queue before them: for work that waits, so that an event loop need not. */
#ifndef MESHCTL_WORKERS_H
#define MESHCTL_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "base/error.h"

struct ctl_workers;

/* Runs on a worker; `job` is what was submitted. */
typedef void (*ctl_work_fn)(void *user, void *job);

/* `n` threads, a queue of at most `max_queued` jobs. MESH_E_NO_MEMORY, MESH_E_IO (no thread). */
int ctl_workers_new(const struct mesh__env *env, size_t n, size_t max_queued, ctl_work_fn fn, void *user,
	struct ctl_workers **out, struct mesh__err *err) MESH__MUST_USE;

/* Any thread. False when the queue is full: the job was not taken. */
bool ctl_workers_submit(struct ctl_workers *workers, void *job) MESH__MUST_USE;

/* Lets what was taken run to its end, then ends the threads. Accepts NULL. */
void ctl_workers_free(struct ctl_workers *workers);

#endif
