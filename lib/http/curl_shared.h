/*
 * The connections that a pool's flights share on one loop: streams of HTTP/2, at most MESH__SHARED_STREAMS at once on each of at most MESH__SHARED_CONNECTIONS. Who is over that waits here, and costs no handle. Loop's thread only, but for
 * what says otherwise.
 *
 * The first rider of a new lane goes alone, until its connection has been judged: nobody else's request depends on a peer that may be refused, and whether the peer takes HTTP/2 at all is known before the others board. When it is refused, all
 * that wait are refused with it. Each connection is a place of the pool's circuit.
 */
#ifndef MESH__HTTP_CURL_SHARED_H
#define MESH__HTTP_CURL_SHARED_H

#include "http/curl_lane.h"
#include "http/curl_pool.h"

enum { MESH__SHARED_CONNECTIONS = 8, MESH__SHARED_STREAMS = 100 };

/* A handle on a lane, for one rider at a time. */
struct mesh__ride {
	struct mesh__ride *next;          /* among the spare ones */
	struct mesh__lane *lane;
	struct mesh__easy easy;
};

struct mesh__rider;

struct mesh__rider_calls {
	void (*turn)(struct mesh__rider *rider, struct mesh__ride *ride); /* it waited, and may go: mesh__shared_add(), or mesh__shared_leave() */
	void (*landed)(struct mesh__rider *rider, int outcome);           /* libcurl has ended its exchange (a CURLcode): mesh__shared_off(), mesh__shared_leave() */
	void (*refused)(struct mesh__rider *rider, int code, const struct mesh__err *err); /* it waited in vain; it is out of the queue */
	void (*elsewhere)(struct mesh__rider *rider);                     /* nothing is shared here any more: it is out of the queue, and had better take a connection of its own */
};

enum mesh__rider_at { MESH__RIDER_NOWHERE, MESH__RIDER_WAITS, MESH__RIDER_ABOARD, MESH__RIDER_ENDED };

/* One who wants a stream. Zeroed but for `calls`: nowhere. */
struct mesh__rider {
	struct mesh__rider *prev, *next;
	const struct mesh__rider_calls *calls;
	struct mesh__shared *shared;
	struct mesh__ride *ride;
	enum mesh__rider_at at;
	int outcome;
};

/* Whether exchanges of this pool may share connections at all: TLS, HTTP/2, and a peer of which nothing else is known. */
bool mesh__shared_may(const struct mesh__pool *pool);

/* The pool's on this loop, made where there is none. It is the loop's, and goes when nobody has used it for the pool's idle time, or at once when the pool is retired. */
int mesh__shared_of(struct mesh__pool *pool, struct mesh__loop *loop, struct mesh__shared **out, struct mesh__err *err) MESH__MUST_USE;

/*
 * MESH_OK: rider->ride is its own, and mesh__shared_add() or mesh__shared_leave() follows; or rider->ride is NULL: there is no place for a connection that is shared, and it had better stand in the pool's queue for one of its own.
 * MESH_E_WOULD_BLOCK: it waits, at the front if it has waited `again`. MESH_E_OVERLOADED, MESH_E_NO_MEMORY.
 */
int mesh__shared_board(struct mesh__shared *shared, struct mesh__rider *rider, bool again, struct mesh__err *err) MESH__MUST_USE;

/* The exchange that was begun on its ride goes: from the loop, not in here. */
int mesh__shared_add(struct mesh__rider *rider, struct mesh__err *err) MESH__MUST_USE;

/* The peer of its ride's connection has been judged good, and the request goes out. */
void mesh__shared_judged(struct mesh__rider *rider);

/* Takes its handle off the lane: nothing of the exchange happens any more, and mesh__easy_end() may follow. */
void mesh__shared_off(struct mesh__rider *rider);

/* It goes no further: out of the queue, or off its ride, whose exchange, off the lane already, has ended with `code` and `err`. Others may have their turn in here. */
void mesh__shared_leave(struct mesh__rider *rider, int code, const struct mesh__err *err);

/* Each goes as soon as nobody uses it. Any thread. */
void mesh__shared_retire(struct mesh__pool *pool);

/* In a forked child. */
void mesh__shared_abandon(struct mesh__pool *pool);

#endif
