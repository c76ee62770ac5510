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
#include "policy/balance.h"
#include "wire/addr.h"

struct mesh__endpoint_list;

struct mesh__endpoint {
	struct mesh__endpoint_list *list;
	struct mesh__endpoint *next, **link; /* in the list; guarded by its mu */
	struct mesh__destination *destination; /* one reference */
	const struct mesh__env *env;
	char *instance, *version, *zone;     /* version, zone: NULL when none */
	char address[MESH__ADDR_TEXT];
	struct mesh__target target;
	int64_t made_us;
	char apart[MESH__APART];             /* what calls change, from what they read */
	_Atomic int refs;
	_Atomic int64_t told_us;             /* when the log last heard of a refusal; 0: never */
	_Atomic uint32_t inflight;
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

/* The pool for these credentials and the destination's protocol, made on first use; a pool of an older generation or of another protocol is retired. The caller unrefs. */
int mesh__endpoint_pool(struct mesh__endpoint *endpoint, struct mesh__creds *creds, struct mesh__pool **out, struct mesh__err *err) MESH__MUST_USE;

/* What one more call would cost (policy/balance). */
double mesh__endpoint_cost(const struct mesh__endpoint *endpoint, int64_t now_us);

/* A try has ended. */
void mesh__endpoint_sample(struct mesh__endpoint *endpoint, int64_t rtt_us, bool failed, int64_t now_us);

#endif
