/*
 * One endpoint's live state, which outlives snapshots: what was learned of its latency, the calls under way, and its connections (a pool for the newest identity generation). Counted, any thread.
 */
#ifndef MESH__OUTBOUND_ENDPOINT_H
#define MESH__OUTBOUND_ENDPOINT_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/snapshot.h"
#include "http/client.h"
#include "outbound/destination.h"
#include "outbound/outlier.h"
#include "policy/balance.h"
#include "wire/addr.h"

struct mesh__check; /* check.h */
struct mesh__endpoint_list;

/* Why calls should go elsewhere, a bit each; none: it is healthy. */
enum mesh__unhealthy {
	MESH__UNHEALTHY_EJECTED = 1, /* outlier detection has taken it out */
	MESH__UNHEALTHY_CHECK = 2,   /* it fails its health checks */
};

struct mesh__endpoint {
	struct mesh__endpoint_list *list;
	struct mesh__endpoint *next, **link; /* in the list; guarded by its mu */
	struct mesh__destination *destination; /* one reference */
	const struct mesh__env *env;
	char *instance, *version, *zone;     /* version, zone: NULL when none */
	char address[MESH__ADDR_TEXT];
	struct mesh__target target;
	int64_t made_us;
	struct mesh__outlier_mark outlier;
	uint32_t weight;                     /* over 0 */
	_Atomic int64_t fresh_us;            /* slow start counts from here: when it was made, or became healthy again */
	_Atomic uint32_t unhealthy;          /* bits of enum mesh__unhealthy; changed by mesh__endpoint_mark() alone */
	struct mesh__check *check;           /* its health checks; NULL: there are none. Theirs */
	char apart[MESH__APART];             /* what calls change, from what they read */
	_Atomic int refs;
	_Atomic int64_t told_us;             /* when the log last heard of a refusal; 0: never */
	_Atomic uint32_t inflight;
	_Atomic int32_t failures_in_row;     /* outlier.h's */
	_Atomic uint64_t outcomes;           /* likewise: the tries that say something above, those of them that failed below, 32 bits each */
	_Atomic uint64_t latency;            /* packed: see endpoint.c */
	pthread_mutex_t mu;                  /* guards pool, generation, proto, left */
	struct mesh__pool *pool;             /* NULL: none yet */
	uint64_t generation;                 /* of the pool's credentials */
	enum mesh__http_proto proto;         /* the pool's */
	bool left;                           /* it has left the mesh: no connection is kept */
};

/* All live endpoints of a mesh, for the sweep of idle connections, and the destinations that they are of. */
struct mesh__endpoint_list {
	const struct mesh__env *env;
	pthread_mutex_t mu; /* guards first and the chain */
	struct mesh__endpoint *first;
	struct mesh__destination_list destinations;
};

void mesh__endpoint_list_init(struct mesh__endpoint_list *list, const struct mesh__env *env);
void mesh__endpoint_list_fini(struct mesh__endpoint_list *list);

/* Closes connections idle for too long. */
void mesh__endpoint_list_sweep(struct mesh__endpoint_list *list);

/* What their pools share on that loop is closed: before it ends. The loop's thread; none of its calls is under way. */
void mesh__endpoint_list_leave(struct mesh__endpoint_list *list, struct mesh__loop *loop);

/* In a forked child: no lock is taken. */
void mesh__endpoint_list_abandon(struct mesh__endpoint_list *list);

/* The source that control makes endpoints and destinations from; ctx is the list. */
struct mesh__endpoint_source mesh__endpoint_source(struct mesh__endpoint_list *list);

void mesh__endpoint_ref(struct mesh__endpoint *endpoint);
void mesh__endpoint_unref(struct mesh__endpoint *endpoint);

/* For who has found it without a reference, under a lock that it takes before it goes: false when it is about to, and then there is none to give back. */
bool mesh__endpoint_try_ref(struct mesh__endpoint *endpoint) MESH__MUST_USE;

/* Any thread, no lock. */
static inline bool mesh__endpoint_is_healthy(const struct mesh__endpoint *endpoint)
{
	return atomic_load_explicit(&endpoint->unhealthy, memory_order_relaxed) == 0;
}

/*
 * Sets or clears one reason, and says whether that changed anything. When it did, destination->health_epoch has moved after it, so that who counted healthy endpoints before counts again; and destination->n_unhealthy follows, which two
 * threads at once may leave one off for a moment. An endpoint that leaves the mesh is marked healthy by that, and with it what it counted for goes. Any thread, no lock.
 */
bool mesh__endpoint_mark(struct mesh__endpoint *endpoint, enum mesh__unhealthy reason, bool on);

/* The pool for these credentials and the destination's protocol, made on first use; a pool of an older generation or of another protocol is retired. The caller unrefs. */
int mesh__endpoint_pool(struct mesh__endpoint *endpoint, struct mesh__creds *creds, struct mesh__pool **out, struct mesh__err *err) MESH__MUST_USE;

/* What it weighs in a slow start of that window; 0: none. */
double mesh__endpoint_weight(const struct mesh__endpoint *endpoint, int64_t window_ms, int64_t now_us);

/* What one more call would cost (policy/balance) where it weighs so much. */
double mesh__endpoint_cost(const struct mesh__endpoint *endpoint, double weight, int64_t now_us);

/* A try has ended. */
void mesh__endpoint_sample(struct mesh__endpoint *endpoint, int64_t rtt_us, bool failed, int64_t now_us);

/* One was ended after so long, and would have taken longer: a sample where that is more than what the endpoint is known for. */
void mesh__endpoint_outlasted(struct mesh__endpoint *endpoint, int64_t rtt_us, int64_t now_us);

#endif
