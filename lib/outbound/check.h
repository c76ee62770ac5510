/*
 * Active health checks: the endpoints of each service that this process calls, and whose document says healthCheck, are asked by GET whether they are well, over the mesh's own identity as any call is, and marked (endpoint.h) by what
 * their answers make of them (policy/health.h). They run on the loop "mesh", on connections of their own, a bounded number at once; they are no calls, and no call waits for one.
 *
 * A service is checked from its first call on, as long as it is called: one that no call has asked for in a while is not, and what was known of its endpoints is forgotten.
 */
#ifndef MESH__OUTBOUND_CHECK_H
#define MESH__OUTBOUND_CHECK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "control/snapshot.h"
#include "io/loop.h"
#include "outbound/destination.h"
#include "telemetry/metrics.h"

struct mesh__control;
struct mesh__check;   /* of one endpoint */
struct mesh__checked; /* a service */

enum {
	MESH__CHECKS_AT_ONCE = 32,  /* under way in one process; the rest wait their turn */
	MESH__CHECKS_KEPT = 64,     /* connections that stay open from one check to the next; the rest are made for each */
	MESH__CHECKS_IDLE_MS = 60000
};

struct mesh__checks {
	const struct mesh__env *env;
	struct mesh__loop *loop;              /* with the next, set before there is a snapshot */
	struct mesh__control *control;
	struct mesh__counter *passed, *failed;
	int64_t idle_ms;                      /* a service is called while a call has asked for it within so long and an interval; MESH__CHECKS_IDLE_MS */
	int at_once;                          /* MESH__CHECKS_AT_ONCE */
	struct mesh__post wake_post, close_post;
	atomic_bool wake_posted;
	pthread_mutex_t mu;                   /* guards over, */
	pthread_cond_t ended;                 /* which it tells of */
	bool over;
	/* The loop's own. */
	struct mesh__checked *first;
	struct mesh__check *waiting, **last_waiting;
	int n_running, n_kept;
	bool closed;
};

void mesh__checks_init(struct mesh__checks *checks, const struct mesh__env *env);
void mesh__checks_fini(struct mesh__checks *checks);

/* There is a new snapshot: its endpoints and documents hold from here on. The loop's thread. */
void mesh__checks_look(struct mesh__checks *checks);

/* mesh__checks_note() where there is something to note. */
void mesh__checks_used(struct mesh__checks *checks, struct mesh__destination *destination);

/* A call asks for this service. Any thread; on a call's path. */
static inline void mesh__checks_note(struct mesh__checks *checks, const struct mesh__service *service)
{
	if (service->policy.health.on && atomic_load_explicit(&service->destination->use, memory_order_relaxed) != MESH__USE_NOTED) {
		mesh__checks_used(checks, service->destination);
	}
}

/* Ends all, and waits for that: none begins any more. Any thread but the loop's, which runs. */
void mesh__checks_close(struct mesh__checks *checks);

/* In a forked child: no lock is taken. */
void mesh__checks_abandon(struct mesh__checks *checks);

#endif
