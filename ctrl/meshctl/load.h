/* The engine of `call -n -c --rate`: threads that make one call after the other, or one that waits for none of them, and what it came to. */
#ifndef MESHCTL_LOAD_H
#define MESHCTL_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <meshlib/mesh.h>

#include "base/env.h"
#include "base/error.h"
#include "meshctl/stats.h"

enum { CTL_LOAD_CALLS_MAX = 10000000, CTL_LOAD_THREADS_MAX = 4096, CTL_LOAD_UNDER_WAY_MAX = 100000, CTL_LOAD_TOLD_MAX = 20 };

/* The call to be made, borrowed throughout. `make` gives a new request for one thread, or NULL when out of memory. */
struct ctl_load {
	const struct mesh__env *env;
	mesh_request *(*make)(void *user);
	void (*failed)(void *user, const mesh_error *error); /* of the first CTL_LOAD_TOLD_MAX calls without a response; from any thread */
	void *user;
	int64_t calls;
	int64_t threads;          /* at most CTL_LOAD_THREADS_MAX; where no thread waits: calls under way, at most CTL_LOAD_UNDER_WAY_MAX */
	int64_t rate_thousandths; /* calls in a thousand seconds, over all threads; 0: as fast as it goes */
	mesh *m;                  /* of the requests */
	int signals;              /* of ctl_signals_open(): a signal ends it early, with what was done until then; -1: none */
};

struct ctl_load_result {
	struct ctl_stats stats;
	struct ctl_latency latency;
	double seconds;
	bool stopped; /* by a signal */
};

/*
 * Runs it on this thread's watch, until all calls have ended. With a rate, a call's time counts from the moment it
 * was due, so that a server that stalls does not hide the calls that it kept waiting.
 * Errors: MESH_E_NO_MEMORY, MESH_E_IO (no thread). *result is to be ended by ctl_stats_fini(&result->stats) in any case.
 */
int ctl_load_run(const struct ctl_load *load, struct ctl_load_result *result, struct mesh__err *err) MESH__MUST_USE;

/* The same with mesh_call_start(), on this thread alone (load_async.c). */
int ctl_load_run_async(const struct ctl_load *load, struct ctl_load_result *result, struct mesh__err *err) MESH__MUST_USE;

/* When call `index` is due, in microseconds from the start; 0 without a rate. Pure. */
int64_t ctl_load_due_us(int64_t index, int64_t rate_thousandths);

#endif
