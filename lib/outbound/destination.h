/*
 * A service as a destination of calls: how many are under way to it, and the circuit of its connections (http/client.h). It outlives snapshots, so that a change of configuration or of endpoints forgets no call. Counted, any thread.
 */
#ifndef MESH__OUTBOUND_DESTINATION_H
#define MESH__OUTBOUND_DESTINATION_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/snapshot.h"
#include "http/client.h"
#include "outbound/outlier.h"
#include "policy/aimd.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/hedge.h"
#include "telemetry/metrics.h"

struct mesh__checked;          /* check.h */
struct mesh__destination_list;

/* Whether calls ask for it, as health checks have to know (check.h). */
enum mesh__use {
	MESH__USE_UNWATCHED, /* nobody looks: the next call says that it should */
	MESH__USE_NONE,      /* not since somebody looked */
	MESH__USE_NOTED
};

/* X(name, "metric", "help"): what is shown of each destination, by its service. */
#define MESH__DESTINATION_GAUGES(X)                                                                                     \
	X(requests, "mesh_circuit_requests", "Calls under way, by service.")                                            \
	X(pending, "mesh_circuit_pending", "Calls that wait for a connection, by service.")                             \
	X(connections, "mesh_circuit_connections", "Connections, by service.")                                          \
	X(ejected, "mesh_outlier_ejected", "Endpoints that outlier detection has ejected and not taken in again, by service.") \
	X(limit, "mesh_concurrency_limit", "Calls that may be under way by concurrencyLimit, by service; 0: none has ended under it.")

/* X(name, "metric", "help"): likewise, as counters. */
#define MESH__DESTINATION_COUNTERS(X)                                                                                   \
	X(limited, "mesh_concurrency_limited_total", "Calls that failed because as many were under way as concurrencyLimit had found, by service.") \
	X(failed_over, "mesh_failover_tries_total", "Tries that went elsewhere because no endpoint was healthy, by the service called.") \
	X(panicked, "mesh_panic_tries_total", "Tries for which the health of endpoints did not count, since too few were healthy, by service.")

struct mesh__destination_gauge {
	struct mesh__counter *counter; /* NULL: nobody counts */
	int32_t told;                  /* what it has of this destination; guarded by the list's mu */
};

struct mesh__destination {
	struct mesh__destination_list *list;
	struct mesh__destination *next, **link; /* in the list; guarded by its mu */
#define X(name, metric, help) struct mesh__destination_gauge name##_gauge;
	MESH__DESTINATION_GAUGES(X)
#undef X
#define X(name, metric, help) struct mesh__counter *name;      /* NULL: nobody counts */
	MESH__DESTINATION_COUNTERS(X)
#undef X
	struct mesh__circuit *circuit;
	_Atomic int proto;                      /* enum mesh__http_proto: what its connections are to speak */
	_Atomic uint32_t health_epoch;          /* moves with every change of an endpoint's health (endpoint.h): who has counted loads it with acquire, and counts again only when it has moved */
	_Atomic int32_t n_unhealthy;            /* endpoints with a reason to be left alone */
	struct mesh__outlier_watch outlier;
	_Atomic int use;                        /* enum mesh__use */
	struct mesh__checked *checked;          /* its health checks; NULL: there are none. Theirs */
	char key[MESH__SERVICE_KEY_MAX];
	char apart[MESH__APART];                /* what calls change, from what they read */
	_Atomic int refs;
	_Atomic int32_t requests;
	_Atomic int32_t copies;                 /* to it, of a mirror: beside the requests, which they take no place of */
	_Atomic int32_t mirrored;               /* copies of its own calls under way, wherever to, */
	_Atomic int64_t mirrored_bytes;         /* and what their bodies hold */
	struct mesh__budget budget;             /* of retries */
	struct mesh__hedge_counts *_Atomic hedge; /* NULL: no call has asked for it */
	struct mesh__aimd concurrency;          /* of calls to it, wherever their routes lead */
	char apart_too[MESH__APART];
};

/* All destinations of a mesh. */
struct mesh__destination_list {
	const struct mesh__env *env;
	struct mesh__metrics *metrics; /* NULL: nobody counts */
	pthread_mutex_t mu;            /* guards first, the chain, and what the gauges have been told */
	struct mesh__destination *first;
};

void mesh__destination_list_init(struct mesh__destination_list *list, const struct mesh__env *env);
void mesh__destination_list_fini(struct mesh__destination_list *list);

/* Shows them in `metrics` from here on: the limits that were met as counters, what is under way as gauges, which are brought up to date when they are asked for. Before there is a destination. */
void mesh__destination_list_show(struct mesh__destination_list *list, struct mesh__metrics *metrics);

/* A new one, with the built-in policy until mesh__destination_tune(); NULL when out of memory. */
struct mesh__destination *mesh__destination_new(struct mesh__destination_list *list, const char *key) MESH__MUST_USE;
void mesh__destination_ref(struct mesh__destination *destination);
void mesh__destination_unref(struct mesh__destination *destination);
void mesh__destination_tune(struct mesh__destination *destination, const struct mesh__service_policy *policy);

/*
 * One more call is under way to it, the wait for a connection included: MESH_OK, and mesh__destination_leave() ends it. MESH_E_OVERLOADED, and nothing to end, when there are as many as `breaker` allows.
 */
int mesh__destination_enter(struct mesh__destination *destination, const struct mesh__breaker *breaker, struct mesh__err *err) MESH__MUST_USE;
void mesh__destination_leave(struct mesh__destination *destination);

/* The same for a mirror's copy, which stands behind all others: it is let in where requests and copies together leave it a place, and takes none of maxRequests that a call wants; the circuit's connections and its queue it shares with them. */
int mesh__destination_enter_copy(struct mesh__destination *destination, const struct mesh__breaker *breaker, struct mesh__err *err) MESH__MUST_USE;
void mesh__destination_leave_copy(struct mesh__destination *destination);

/* What is counted of it for second tries (policy/hedge.h); made for the first who asks, and then there for good. NULL: no memory. */
struct mesh__hedge_counts *mesh__destination_hedge(struct mesh__destination *destination);

/* A copy of one of its calls begins, with a body of so many bytes. False, and nothing to end, when there are as many as there may be (mirror.h). */
bool mesh__destination_begin_copy(struct mesh__destination *destination, size_t body_len) MESH__MUST_USE;
void mesh__destination_end_copy(struct mesh__destination *destination, size_t body_len);

#endif
