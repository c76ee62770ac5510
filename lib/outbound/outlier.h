/*
 * Outlier detection, live (policy/outlier.h decides): who fails too often in a row, or more than the others, is ejected, and calls go elsewhere; when its time has passed exactly one call probes it, or it is in again.
 * What a call does on its way takes no lock: it counts with
 * atomics, and compares the clock with one moment. What changes an ejection, which is rare, takes the destination's. Ejections are of this process, outlive snapshots, leave with the endpoint, and close no connection.
 */
#ifndef MESH__OUTBOUND_OUTLIER_H
#define MESH__OUTBOUND_OUTLIER_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/snapshot.h"
#include "policy/blame.h"
#include "policy/outlier.h"
#include "telemetry/metrics.h"

/* A destination's part. */
struct mesh__outlier_watch {
	_Atomic int64_t due_us;           /* when the first of its ejected endpoints may be probed; INT64_MAX: none may. Changed under mu */
	_Atomic uint32_t epoch;           /* moves with every change of an ejection: who has looked whether one of its own is due looks again. Never 0 */
	_Atomic int32_t failures_allowed; /* in a row; the one that reaches it ejects. 0: none does */
	_Atomic int64_t interval_ends_us; /* when endpoints are compared next; INT64_MAX: no rate is looked at, and nothing counted for it. Changed under mu */
	_Atomic int32_t n_endpoints;      /* in the mesh */
	_Atomic int32_t n_ejected;        /* changed under mu */
	pthread_mutex_t mu;               /* guards the rest, and the ejections of its endpoints */
	struct mesh__outlier settings;
	struct mesh__endpoint *first;     /* of those that are ejected */
	struct mesh__endpoint *members;   /* all that are in the mesh */
	int64_t ends_us[MESH__OUTLIER_RATES];     /* the interval of each rate that is on */
	uint32_t intervals[MESH__OUTLIER_RATES];  /* that have ended */
	struct mesh__counter *ejections, *withheld; /* NULL: nobody counts */
};

/* An endpoint's. */
struct mesh__outlier_mark {
	struct mesh__ejection ejection;           /* guarded by the destination's mu, as are: */
	struct mesh__endpoint *next, **link;      /* among the ejected ones */
	bool left;                                /* it has left the mesh, and is ejected no more */
	struct mesh__endpoint *member_next, **member_link;
	enum mesh__outlier_rate rate;             /* the last that has ejected it: only that one's intervals count its ejections down */
	uint64_t counted[MESH__OUTLIER_RATES];    /* its outcomes when the interval began */
	struct mesh__outlier_window windows[MESH__OUTLIER_RATES]; /* of the interval that has just ended, of one that is out by the rate and has not been ejected yet; else empty */
};

/* `metrics` NULL: nobody counts. */
void mesh__outlier_init(struct mesh__outlier_watch *watch, struct mesh__metrics *metrics, const char *key);
void mesh__outlier_fini(struct mesh__outlier_watch *watch);

/* From here on the service's document says this. Endpoints that a rule has ejected which is off now are taken in; a rate that is switched on, or has another interval, begins one. Takes the lock. */
void mesh__outlier_tune(struct mesh__destination *destination, const struct mesh__outlier *settings);

/* The endpoint is one of its destination's, and is no more. Each once; takes the lock. */
void mesh__outlier_join(struct mesh__endpoint *endpoint);
void mesh__outlier_leave(struct mesh__endpoint *endpoint);

/* Whether a call has a look to take with mesh__outlier_claim(): one compare, almost always false. Any thread. */
static inline bool mesh__outlier_is_due(const struct mesh__outlier_watch *watch, int64_t now_us)
{
	return atomic_load_explicit(&watch->due_us, memory_order_relaxed) <= now_us;
}

/*
 * An ejected endpoint of the group, all of whose endpoints are this destination's, that may be probed: the caller's try is its probe, whatever the balancer would say, and it tells mesh__outlier_probed() what came of it, whatever that
 * was. Until then nobody else is given this endpoint. NULL: none may be probed, or another thread is just looking.
 * An endpoint that a rate has ejected is not probed: one such whose time has passed is taken in instead, and nothing claimed. Any thread; the caller keeps the group.
 */
struct mesh__endpoint *mesh__outlier_claim(struct mesh__destination *destination, struct mesh__group *group, int64_t now_us);
void mesh__outlier_probed(struct mesh__endpoint *endpoint, enum mesh__blame blame, int64_t now_us);

/*
 * A try on the endpoint that did not probe it has ended. `last` is what it ended with ("503", "MESH_E_CONNECT"), for the log. What is said of an endpoint that is ejected counts for nothing. The first that ends after an interval compares the endpoints, and
 * takes the lock.
 */
void mesh__outlier_learn(struct mesh__endpoint *endpoint, enum mesh__blame blame, const char *last, int64_t now_us);

#endif
