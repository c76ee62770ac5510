/*
 * What became of started calls, for threads that ask: they wait for one call, or poll for any. Several events of one request wait as one entry. Any thread.
 */
#ifndef MESH__OUTBOUND_EVENTS_H
#define MESH__OUTBOUND_EVENTS_H

#include <meshlib/mesh.h>

#include <pthread.h>
#include <stdbool.h>

#include "base/env.h"
#include "base/event_fd.h"

struct mesh__events {
	const struct mesh__env *env;
	pthread_mutex_t mu;                /* guards what follows, and the struct mesh__telling of each request */
	pthread_cond_t changed;
	struct mesh_request *first, *last;
	int n_waiting;                     /* threads */
	struct mesh__event_fd fd;          /* raised while there is an entry */
	bool closed;
};

/* A request's part. Zeroed: nothing is to be told. */
struct mesh__telling {
	bool started;                      /* a call of it was, whose end is told here */
	bool over;                         /* that call is */
	bool muted;
	uint32_t pending;                  /* a bit for each kind of event that waits */
	struct mesh_request *prev, *next;  /* among those with any */
};

void mesh__events_init(struct mesh__events *events, const struct mesh__env *env);
void mesh__events_fini(struct mesh__events *events);

/* A call of it begins: what was not asked for of an earlier one is told no more. */
void mesh__events_begin(struct mesh__events *events, struct mesh_request *request);

/* The started call is over, with request->call.code: an event, unless it was muted. Where the request is the application's again it is not to be touched from here on: it may be freed at once. */
void mesh__events_done(struct mesh__events *events, struct mesh_request *request);

/*
 * The same for `first` and those linked behind it by call.next, each of which is the application's again with it, and no longer running: all at once, so that who waits is woken once. A thread of which the end of the mesh waits.
 */
void mesh__events_give_back(struct mesh__events *events, struct mesh_request *first);

/* Something of it that streams can go on: a kind of event. */
void mesh__events_tell(struct mesh__events *events, struct mesh_request *request, int32_t kind);

/* Nothing is told of it any more, whatever comes: the application has freed it. */
void mesh__events_mute(struct mesh__events *events, struct mesh_request *request);

/* What has not been told of it is told no more. */
void mesh__events_forget(struct mesh__events *events, struct mesh_request *request);

/* Waits until the started call of `request` is over; its code, and no event tells of it any more. MESH_E_STATE: none was started; MESH_E_WOULD_BLOCK: this is a thread of the mesh's own. */
int mesh__events_await(struct mesh__events *events, struct mesh_request *request);

/* At most `n` events, waiting for the first until `deadline_us` (0: not at all): how many, or minus MESH_E_CLOSED once closed and none is left. */
int32_t mesh__events_take(struct mesh__events *events, mesh_event *out, int32_t n, int64_t deadline_us);

/* The descriptor, or minus a code. */
int32_t mesh__events_fd(struct mesh__events *events);

/* Whoever waits for any event returns; nobody waits any more. */
void mesh__events_close(struct mesh__events *events);

/* In a forked child: its copy of the descriptor is closed, no lock taken. */
void mesh__events_abandon(struct mesh__events *events);

#endif
