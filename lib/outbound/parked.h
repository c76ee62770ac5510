/*
 * The waiting forms of a call that no thread waits for: for the control plane, for an exchange, for the next try. Each gives the call back to the call thread's loop, and goes on with it there (call.h) when it is told.
 * The call thread alone.
 */
#ifndef MESH__OUTBOUND_PARKED_H
#define MESH__OUTBOUND_PARKED_H

#include "http/client.h"
#include "io/loop.h"

struct mesh_request;

/* What such a call has of its own. Holds nothing while none is under way. */
struct mesh__parked {
	struct mesh__post post;            /* brings it to the call thread */
	struct mesh__post cancel_post;     /* brings its cancelling there */
	bool cancel_posted;                /* guarded by the cancel's own lock until it is unwatched */
	bool cancel_seen;                  /* it has come */
	bool begun;                        /* the call thread has it */
	bool ended;                        /* all is over but for a post that is on its way */
	bool told;                         /* its end was */
	mesh_done_fn done;
	void *user;
	int code;                          /* what came of it */
	struct mesh__flight *flight;       /* the try that is under way */
	struct mesh__timer *timer;
	bool hedges;                       /* it is set for a second try; else for the end of a wait: */
	int64_t pause_us;                  /* of a pause, then */
	struct mesh_request *prev, *next;  /* among those that wait for the control plane, then among those that have ended and are to be told of */
	bool waits;                        /* it is one of them */
};

/* Is the service known by now? As mesh__control_await(); MESH_E_WOULD_BLOCK: the call is parked until there is news, or its deadline. */
int mesh__parked_await(struct mesh_request *request) MESH__MUST_USE;

/* The exchange as a flight. MESH_E_WOULD_BLOCK: the call is parked; else why nothing was sent. */
int mesh__parked_exchange(struct mesh_request *request, struct mesh__pool *pool, const struct mesh__client_request *what) MESH__MUST_USE;

/* Parks the call for its wait_ms. False: it cannot, and goes on at once. */
bool mesh__parked_pause(struct mesh_request *request);

/* The request was cancelled: the wait, whichever it is, ends. */
void mesh__parked_cancel(struct mesh_request *request);

/* Its second try, for which it waits or which has won, is over. */
void mesh__parked_second_over(struct mesh_request *request);

/* The call is over. */
void mesh__parked_end(struct mesh_request *request);

#endif
