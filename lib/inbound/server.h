/*
 * The serving side of a mesh: the server core on loops of its own, the handler inline on those or on the worker pool, the registration, and the probe port. The public mesh_server is this struct.
 */
#ifndef MESH__INBOUND_SERVER_H
#define MESH__INBOUND_SERVER_H

#include <meshlib/mesh.h>

#include <stdatomic.h>
#include <sys/types.h>

#include "control/control.h"
#include "http/server.h"
#include "inbound/authorize.h"
#include "inbound/inbound.h"
#include "inbound/limits.h"
#include "inbound/loops.h"
#include "inbound/pull.h"
#include "inbound/workers.h"
#include "telemetry/metrics.h"

/* X(NAME, "text"): who runs the handlers. */
#define MESH__SERVING_MODES(X)                                                                                         \
	X(POOL, "pool")     /* threads of ours, which may block */                                                      \
	X(INLINE, "inline") /* the loops */                                                                             \
	X(PULL, "pull")     /* nobody: the program's threads take the requests */

#define X(name, text) MESH__SERVE_##name,
enum mesh__serving_mode { MESH__SERVING_MODES(X) };
#undef X

/* "pool", or NULL for the same, into a mode; false when the text names none. */
bool mesh__serving_mode_parse(const char *text, enum mesh__serving_mode *mode);

struct mesh__serving_options {
	const struct mesh__env *env;
	struct mesh__metrics *metrics;
	struct mesh__control *control;
	struct mesh__addr listen;
	char advertise[MESH__ADDR_TEXT]; /* "": the address listened on */
	const char *instance, *version, *zone; /* copied */
	size_t max_body_bytes;
	bool stream_bodies;                /* requests come when their header is there */
	int32_t workers;
	int32_t loops;                     /* 0: one for each CPU that this process may run on */
	bool tls12;                        /* TLS 1.2 is the most */
	enum mesh__serving_mode mode;
	mesh_handler_fn handler;           /* NULL where requests are pulled */
	void *user;
	struct mesh__thread_set *threads;  /* has each loop's thread before a handler can run on it, until all have ended */
	mesh__loop_fn gone;                /* when the last of the server's memory goes, which may be on any thread */
	void *gone_arg;
	struct mesh__creds *creds;         /* what there is already; NULL before there is an identity */
};

/* Counted: by its owner, and by each request that a handler has and has not replied to. */
struct mesh_server {
	_Atomic int refs;
	pid_t pid;                         /* of the process that serves */
	const struct mesh__env *env;
	struct mesh__control *control;
	struct mesh__loops loops;
	struct mesh__tls_conf *tls;        /* the newest; changed by mesh__serving_rotate() alone */
	bool tls12;
	struct mesh__workers workers;
	struct mesh__pull pull;
	enum mesh__serving_mode mode;
	bool stream_bodies;
	size_t max_body_bytes;
	mesh_handler_fn handler;
	void *user;
	struct mesh__addr address;
	struct mesh__counter *requests, *late, *overloaded, *unready;
	struct mesh__authz_record authz;
	struct mesh__inbound_limits limits;
	mesh__loop_fn gone;
	void *gone_arg;
	atomic_bool stopping;              /* what is queued for the handlers is refused */
};

/* Listens, starts its loop, registers. MESH_E_IO, MESH_E_INVALID, MESH_E_NO_MEMORY. */
int mesh__serving_new(const struct mesh__serving_options *options, struct mesh_server **out, struct mesh__err *err) MESH__MUST_USE;

/* New credentials, from any thread, one after the other. On failure the last ones stay. */
int mesh__serving_rotate(struct mesh_server *server, struct mesh__creds *creds, struct mesh__err *err) MESH__MUST_USE;

/* Stops accepting and waits until all is answered, at most drain_ms; true when it was. Not on the server's own threads. */
bool mesh__serving_drain(struct mesh_server *server, int64_t drain_ms);

/* The drain that another thread waits for is over. Any thread. */
void mesh__serving_hurry(struct mesh_server *server);

/* Stops for good, without freeing anything: no handler begins, waits for requests end, and the loops' threads end. Any thread, also one of its own. */
void mesh__serving_stop(struct mesh_server *server);

/* After that: waits for those threads, but the one that this is, until `deadline_us` on the clock of `env`. */
void mesh__serving_join_until(struct mesh_server *server, const struct mesh__env *env, int64_t deadline_us);

/* Stops, after the drain: waits for handlers that are running to return. Requests that they have kept may still be replied to, which then sends nothing; the last of them frees. Accepts NULL. */
void mesh__serving_free(struct mesh_server *server);

/* For the requests. */
void mesh__serving_ref(struct mesh_server *server);
void mesh__serving_unref(struct mesh_server *server);

void mesh__serving_abandon(struct mesh_server *server);

/* Whether this thread is one of the loops' or a worker's. */
bool mesh__serving_is_current(struct mesh_server *server);

/* The decision of dispatch: what happens to a request that has come. Called on a loop, on several at once. */
void mesh__dispatch(void *user, struct mesh__exchange *x);

/* Runs one queued request, on a worker. */
void mesh__dispatch_job(void *arg, struct mesh__job *job);

/* The next request that its caller still waits for, of those to be pulled; who asks has entered server->pull. Until `deadline_us`: codes of mesh__pull_take(). */
int mesh__dispatch_next(struct mesh_server *server, int64_t deadline_us, struct mesh_inbound **out) MESH__MUST_USE;

#endif
