/*
 * Calls that no thread waits for. They run on the call thread, "mesh-out", a loop that the first of them begins, by the same machine as all others (call.c), parked wherever a thread would wait (parked.h). Each ends exactly once,
 * and its end is told once: by the caller's function, on the call thread, or by an event (events.h).
 */
#ifndef MESH__OUTBOUND_ASYNC_H
#define MESH__OUTBOUND_ASYNC_H

#include <stdatomic.h>

#include "io/loop.h"
#include "outbound/events.h"

struct mesh__control;
struct mesh__endpoint_list;

struct mesh__async {
	const struct mesh__env *env;
	pthread_mutex_t mu;                 /* guards that one loop is made, and none after the close */
	struct mesh__loop *_Atomic loop;    /* NULL: no call has been started yet */
	bool closed;
	struct mesh__control *control;      /* tells of news; set before the first call, as the next */
	struct mesh__endpoint_list *endpoints;
	struct mesh__post last_post;
	struct mesh__post news_post;
	atomic_bool news_posted;
	struct mesh_request *waiting;       /* the calls that wait for news; the call thread's */
	struct mesh_request *landed, *last_landed; /* the calls that have ended since the loop waited, and are told by events; the call thread's */
	struct mesh__post landed_post;
	struct mesh__events events;
};

void mesh__async_init(struct mesh__async *async, const struct mesh__env *env);

/* After the two below. */
void mesh__async_fini(struct mesh__async *async);

/* Begins the call of `request`, and returns. MESH_OK: its end is told, later, by `done` on the call thread, or where that is NULL by an event. Else (MESH_E_STATE, MESH_E_CLOSED, MESH_E_NO_MEMORY, MESH_E_IO) nothing follows. */
int mesh__async_start(struct mesh_request *request, mesh_done_fn done, void *user);

/* The machine is through with the call. The call thread. */
void mesh__async_end(struct mesh_request *request);

/* The flight of a streamed call, which was over already, is over too. The call thread. */
void mesh__async_landed(struct mesh_request *request);

/* Looks whether all of an ended call is through, what was on its way to the call thread included; then it is told, or freed where the application has done so already. The call thread. */
void mesh__async_through(struct mesh_request *request);

/* Whether this is the call thread. */
bool mesh__async_is_current(const struct mesh__async *async);

/* No call begins, none runs, and whoever polls returns: ends the call thread, after the callbacks that are due. */
void mesh__async_close(struct mesh__async *async);

/* What the thread has left behind: once nobody is inside the mesh who might ask whether this is the call thread. */
void mesh__async_free_loop(struct mesh__async *async);

/* mesh__async_close() at the process's exit, in two steps: asked, then waited for until `deadline_us` on the clock of `env`. */
void mesh__async_stop(struct mesh__async *async);
void mesh__async_join_until(struct mesh__async *async, const struct mesh__env *env, int64_t deadline_us);

/* In a forked child. */
void mesh__async_abandon(struct mesh__async *async);

#endif
