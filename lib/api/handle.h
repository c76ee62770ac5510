/*
 * One opened mesh, put together from the rooms: what a `mesh *` of include/meshlib/mesh.h names (api/registry.h). Counted: requests and the server keep it in memory, mesh_close() ends it.
 */
#ifndef MESH__API_HANDLE_H
#define MESH__API_HANDLE_H

#include <meshlib/mesh.h>

#include <pthread.h>
#include <stdatomic.h>

#include "api/registry.h"
#include "api/settings.h"
#include "base/fork.h"
#include "control/control.h"
#include "identity/identity.h"
#include "inbound/probe.h"
#include "inbound/server.h"
#include "outbound/outbound.h"

struct mesh__opened {
	_Atomic int refs;
	char apart[MESH__APART];            /* requests change the count, and read all else */
	mesh *handle;                       /* its name for the application */
	struct mesh__env env;
	struct mesh__settings settings;
	struct mesh__fork_mark fork_mark;   /* of the process that opened it */
	struct mesh__loop *loop;
	struct mesh__metrics *metrics;
	struct mesh__state_dir *state;
	struct mesh__identity *identity;
	struct mesh__control *control;
	struct mesh__endpoint_list endpoints;
	struct mesh__endpoint_source source;
	struct mesh__outbound outbound;
	struct mesh__probe probe;
	struct mesh__timer *sweep;
	struct mesh__document *documents;   /* of MESH_ENDPOINTS */
	char *instance;
	struct mesh__log_lost log_lost;     /* where log_sink is NULL */
	mesh_log_fn log_sink;
	void *log_user;
	struct mesh__post start_post;
	pthread_mutex_t mu;                 /* guards what follows, and joins those who wait for it */
	pthread_cond_t changed;
	struct mesh_server *server;
	struct mesh__creds *creds;          /* the newest, for a server that starts later */
	bool left;
	bool closing;                       /* no server is started any more */
};

void mesh__opened_ref(struct mesh__opened *m);
void mesh__opened_unref(struct mesh__opened *m);

/* Everything that stood on the loop; its thread has ended, or never ran. */
void mesh__opened_free_rooms(struct mesh__opened *m);

/*
 * The mesh that `handle` names, to be left with mesh__opened_leave(). NULL, with code and message in err (which may be NULL), when it is NULL (MESH_E_INVALID), closed (MESH_E_CLOSED) or the parent's (MESH_E_FORKED): then nothing may
 * be touched, as locks belong to threads that are not here.
 */
struct mesh__opened *mesh__opened_enter(mesh *handle, struct mesh__err *err) MESH__MUST_USE;
void mesh__opened_leave(struct mesh__opened *m);

/* Whether this process is a child of fork() of the one that opened it. */
bool mesh__opened_is_parents(const struct mesh__opened *m);

/* Whether this thread is one of the mesh's own loops', on which nothing may wait. */
bool mesh__opened_on_loop(struct mesh__opened *m);

/* Milliseconds that the application gave, from 0 to a century: sums with them do not overflow. */
int64_t mesh__sensible_ms(int64_t ms);

/* Whether this thread calls the application's log sink, for any mesh. */
bool mesh__log_sink_is_current(void);

/* Makes the process's exit park the meshes that are open then: after libcurl has been set up, so that it comes before the clean-up of what libcurl uses. */
int mesh__at_exit_init(struct mesh__err *err) MESH__MUST_USE;

/* Returns `code`; unless that is MESH_OK, whatever became of *err on the way, a new error object of the internal one goes to who wants one. */
int32_t mesh__error_give(const struct mesh__mem *mem, int code, const struct mesh__err *err, mesh_error **out);

#endif
