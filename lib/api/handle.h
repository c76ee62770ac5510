/* The mesh handle: what include/meshlib/mesh.h promises, put together from the rooms. Counted: requests keep it in memory, mesh_close() ends it. */
#ifndef MESH__API_HANDLE_H
#define MESH__API_HANDLE_H

#include <meshlib/mesh.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "api/settings.h"
#include "control/control.h"
#include "identity/identity.h"
#include "inbound/probe.h"
#include "inbound/server.h"
#include "outbound/outbound.h"

struct mesh {
	_Atomic int refs;
	struct mesh__env env;
	struct mesh__settings settings;
	pid_t pid;                          /* of the process that opened it: after fork() another has it */
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
	mesh_log_fn log_sink;
	void *log_user;
	struct mesh__post start_post, stop_post;
	pthread_mutex_t mu;                 /* guards what follows, and joins those who wait for it */
	pthread_cond_t changed;
	struct mesh_server *server;
	struct mesh__tls_conf *tls;         /* the newest, for a server that starts later */
	struct mesh__trust *trust;
	bool stopped, left;
};

void mesh__handle_ref(struct mesh *m);
void mesh__handle_unref(struct mesh *m);

/* MESH_OK, MESH_E_FORKED in a child of fork(). */
int mesh__handle_check(const struct mesh *m);

/* Whether this thread is one of the mesh's own, on which nothing may wait. Workers may call: `workers_too` counts them in. */
bool mesh__handle_is_current(struct mesh *m, bool workers_too);

/* A new error object of the internal one, where the caller wants one; returns its code. */
int32_t mesh__error_give(const struct mesh__mem *mem, const struct mesh__err *err, mesh_error **out);

#endif
