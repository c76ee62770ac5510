/*
 * A pool's connections: who may take one, who may dial, who waits (http/client.h, mesh__pool). curl_exchange.c (threads) and curl_flight.c (a loop) are its users.
 *
 * A slot is a libcurl handle with a multi of its own and, once it has served, one connection. It is with exactly one thread or flight, or idle in the pool.
 */
#ifndef MESH__HTTP_CURL_POOL_H
#define MESH__HTTP_CURL_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "http/client.h"
#include "http/curl_conns.h"
#include "http/curl_easy.h"
#include "http/curl_wakeup.h"
#include "http/dials.h"
#include "http/shelves.h"

struct mesh__slot {
	struct mesh__slot *next_idle;
	struct mesh__slot *prev, *next; /* among all of the pool's */
	struct mesh__pool *pool;
	void *multi;                    /* CURLM */
	struct mesh__wakeup wakeup;     /* its */
	struct mesh__conns conns;
	struct mesh__easy easy;
	bool dialling;                  /* holds leave to dial */
	int64_t idle_since_us;
};

struct mesh__waiter;
struct mesh__shared;

struct mesh__pool {
	const struct mesh__env *env;
	struct mesh__pool_options options;
	atomic_bool speaks_http1;       /* the peer was asked for HTTP/2, and took HTTP/1.1 */
	atomic_int n_waiting;           /* changed under the lock, and before he who waits looks at the shelves: whoever puts a slot there sees him, or he the slot */
	char apart[MESH__APART];
	atomic_int refs;
	struct mesh__shelves shelves;   /* the idle ones; their locks are taken under this pool's or alone */
	pthread_mutex_t mu;             /* guards what follows; held for list work alone, never across I/O or into libcurl. A call that finds an idle connection takes it not at all */
	struct mesh__slot *all;
	int32_t n_connections;          /* slots, leaves to make one, and places for those that are shared */
	struct mesh__dials dials;
	struct mesh__share *share;      /* what the next dial resumes from; NULL: none yet */
	int32_t n_failed;               /* dials in a row that failed */
	struct mesh__waiter *first, *last;
	struct mesh__shared *shared;    /* the connections that flights share, one for each loop (curl_shared.h) */
	struct mesh__pool *circuit_next; /* guarded by the circuit's lock: among its pools, */
	bool hungry;                    /* and whether this one waits for a place (circuit.h) */
};

/*
 * Takes an idle connection that is alive, or leave to dial (slot->dialling), waiting for whichever comes first. `now_us` is the clock's. `again`: the caller has stood in the queue before and goes to its front.
 * MESH_E_TIMEOUT, MESH_E_CANCELLED, MESH_E_OVERLOADED, MESH_E_CONNECT, MESH_E_NO_MEMORY, MESH_E_INTERNAL.
 */
int mesh__pool_take(struct mesh__pool *pool, bool again, int64_t now_us, struct mesh__client_wait *wait, struct mesh__slot **out, struct mesh__err *err) MESH__MUST_USE;

/* When the thread has to look up next: what is due, or the deadline. */
static inline int64_t mesh__wait_until_us(const struct mesh__client_wait *wait)
{
	return wait->due != NULL && wait->due_us < wait->deadline_us ? wait->due_us : wait->deadline_us;
}

/* Does what is due by now, if anything is. */
void mesh__wait_do_due(struct mesh__client_wait *wait, int64_t now_us);

/* MESH_OK while there is time and wish to wait for a connection: else MESH_E_TIMEOUT, MESH_E_CANCELLED. */
int mesh__pool_check(struct mesh__pool *pool, int64_t now_us, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err) MESH__MUST_USE;

/*
 * mesh__pool_take() without waiting. MESH_E_WOULD_BLOCK: `w` (curl_queue.h; `settled` set by the caller) stands in the queue, and once it is settled one of the two functions below must be called. Else as mesh__pool_take().
 */
int mesh__pool_ask(struct mesh__pool *pool, struct mesh__waiter *w, bool again, struct mesh__slot **out, struct mesh__err *err) MESH__MUST_USE;

/* Takes what a settled waiter was granted, as mesh__pool_ask() does: it may also have to stand in the queue again. */
int mesh__pool_accept(struct mesh__waiter *w, struct mesh__slot **out, struct mesh__err *err) MESH__MUST_USE;

/* Gives what a settled waiter was granted to others. */
void mesh__pool_decline(struct mesh__waiter *w);

/*
 * The dial has succeeded: another may begin, unless the session that it is to resume from comes later: then mesh__pool_heard(), called whenever libcurl has read something, or mesh__pool_finish() lets it. No effect on a slot
 * that is not dialling; so below.
 */
void mesh__pool_dialled(struct mesh__slot *slot);
void mesh__pool_heard(struct mesh__slot *slot);

/* The share for a new slot, for the caller to unref; NULL when no session is to be kept. Takes the lock. */
int mesh__pool_share(struct mesh__pool *pool, struct mesh__share **out, struct mesh__err *err) MESH__MUST_USE;

/*
 * The dial has failed at the peer's end. After max_dials such in a row, with no connection left that works, those who wait fail too (MESH_E_CONNECT, nothing sent): elsewhere they may still be in
 * time, while here each of them would have to wait for failures of its own.
 */
void mesh__pool_dial_failed(struct mesh__slot *slot);

/* The exchange on the slot has ended with `code` at `now_us`: gives it back. True when it can begin anew, at the front of the queue, without anybody having seen it. */
bool mesh__pool_finish(struct mesh__slot *slot, int code, int64_t now_us) MESH__MUST_USE;

/* Gives a slot back at `now_us`, and what leave to dial it still holds: for the next exchange, or (`keep` false, or the pool is retired) to be closed. */
void mesh__pool_give(struct mesh__slot *slot, int64_t now_us, bool keep);

/* Closes one idle connection, for its place to go to others; not the pool's last, nor while calls wait here. False: there was none. Any thread, no lock held. */
bool mesh__pool_give_way(struct mesh__pool *pool);

#endif
