/*
 * Who waits for one of a pool's connections, or for leave to dial one (curl_pool.h): threads, which sleep, and flights, which are told. One queue for both: who came first is served first.
 */
#ifndef MESH__HTTP_CURL_QUEUE_H
#define MESH__HTTP_CURL_QUEUE_H

#include "http/curl_pool.h"

/* In the queue until it is settled, or leaves by itself. */
struct mesh__waiter {
	struct mesh__waiter *prev, *next;
	struct mesh__pool *pool;
	bool queued;
	bool hopeless;                             /* settled without a grant: mesh__queue_dismiss_locked() */
	struct mesh__slot *slot;                   /* the grant; NULL: leave to dial */
	void (*settled)(struct mesh__waiter *w);   /* out of the queue, on any thread. The pool's lock is held: it only signals. */
};

/* Something has become free: it goes to those who have waited longest. The pool's lock is held; so below. */
void mesh__queue_serve_locked(struct mesh__pool *pool);

/* There is nothing to hope for. */
void mesh__queue_dismiss_locked(struct mesh__pool *pool);

/* A moment has come that mesh__queue_open_us() gave. */
void mesh__queue_serve(struct mesh__pool *pool);

/* From when on more may dial than may now, as far as is known: who waits calls mesh__queue_serve() then. INT64_MAX: nothing to wait for. */
int64_t mesh__queue_open_us(struct mesh__pool *pool);

/* One slot, or leave to dial (*slot NULL), at once or after sleeping for it. `front`: the caller has stood in the queue before. Errors of mesh__pool_take(). */
int mesh__queue_await(struct mesh__pool *pool, bool front, struct mesh__client_wait *wait, struct mesh__slot **slot, struct mesh__err *err) MESH__MUST_USE;

/* The same without sleeping: MESH_E_WOULD_BLOCK: `w`, whose `settled` the caller has set, is in the queue. MESH_E_OVERLOADED. */
int mesh__queue_join(struct mesh__pool *pool, struct mesh__waiter *w, bool front, struct mesh__slot **slot, struct mesh__err *err) MESH__MUST_USE;

/* Takes it out: true, and it will not be settled. False: it is settled already. */
bool mesh__queue_leave(struct mesh__waiter *w);

/* Why one who waited goes without: "host at address: `how`; nothing was sent". */
int mesh__queue_fail(struct mesh__pool *pool, int code, const char *how, struct mesh__err *err);

#endif
