#include <stddef.h>

#include "inbound/authorize.h"
#include "inbound/server.h"
#include "inbound/stream.h"

/* Deadline, then authorization, rate limit, concurrency limit, then the handler (POLICY.md, Order in a call). */
static bool is_late(struct mesh_server *server, struct mesh_inbound *in)
{
	if (mesh__inbound_left_ms(in) != 0) {
		return false;
	}
	mesh__count(server->late, 1);
	(void)mesh__inbound_refuse(in, 504, "late", "the caller's deadline had passed before the handler began");
	return true;
}

/* Callers are told by the control plane to stop; this one may not have heard yet. */
static bool is_unready(struct mesh_server *server, struct mesh_inbound *in)
{
	if (mesh__control_is_able(server->control)) {
		return false;
	}
	mesh__count(server->unready, 1);
	(void)mesh__inbound_refuse(in, 503, "not-ready", "this instance cannot serve at present");
	return true;
}

/* By what the service's own document says, as it stands in the snapshot of the moment. One that this instance cannot serve at present is none of those that its limits count. */
static bool passes_rules(struct mesh_server *server, struct mesh_inbound *in)
{
	struct mesh__snapshot *snapshot = mesh__control_snapshot(server->control);
	const struct mesh__service_policy *own = &snapshot->own;
	bool passes = mesh__inbound_authorize(server, in, &own->authorization) && !is_unready(server, in) && mesh__inbound_within_rate(server, in, &own->rate) &&
		mesh__inbound_within_concurrency(server, in, own);

	mesh__snapshot_unref(snapshot);
	return passes;
}

/* Whether it goes on to the handler. Else it was refused, and has ended. */
static bool is_taken(struct mesh_server *server, struct mesh_inbound *in)
{
	if (is_late(server, in)) {
		return false;
	}
	switch (mesh__control_guard(server->control)) {
	case MESH__GUARD_OPEN:
		return !is_unready(server, in);
	case MESH__GUARD_RULED:
		return passes_rules(server, in);
	case MESH__GUARD_UNKNOWN:
		break;
	}
	mesh__count(server->unready, 1);
	(void)mesh__inbound_refuse(in, 503, "not-ready", "this instance does not know yet who may call it");
	return false;
}

/* The request of a job that was queued, unless it was refused meanwhile. */
static struct mesh_inbound *still_wanted(struct mesh_server *server, struct mesh__job *job)
{
	struct mesh_inbound *in = (struct mesh_inbound *)(void *)((char *)job - offsetof(struct mesh_inbound, job));

	if (atomic_load(&server->stopping)) {
		(void)mesh__inbound_refuse(in, 503, "closing", "the service is stopping"); /* nobody is there to hear it; a handler would only keep the closing waiting */
		return NULL;
	}
	if (mesh__exchange_is_gone(in->x)) {
		mesh__inbound_drop(in); /* its answer interests nobody */
		return NULL;
	}
	return is_late(server, in) ? NULL : in;
}

void mesh__dispatch_job(void *arg, struct mesh__job *job)
{
	struct mesh_server *server = arg;
	struct mesh_inbound *in = still_wanted(server, job);

	if (in != NULL) {
		server->handler(server->user, in);
	}
}

int mesh__dispatch_next(struct mesh_server *server, int64_t deadline_us, struct mesh_inbound **out)
{
	struct mesh__job *job;
	int code = MESH_OK;

	*out = NULL;
	while (*out == NULL && code == MESH_OK) {
		code = mesh__pull_take(&server->pull, deadline_us, &job);
		*out = code == MESH_OK ? still_wanted(server, job) : NULL;
	}
	return code;
}

static bool enqueue(struct mesh_server *server, struct mesh_inbound *in)
{
	return server->mode == MESH__SERVE_PULL ? mesh__pull_give(&server->pull, &in->job) : mesh__workers_give(&server->workers, &in->job);
}

void mesh__dispatch(void *user, struct mesh__exchange *x)
{
	struct mesh_server *server = user;
	struct mesh_inbound *in;

	if (mesh__exchange_peer(x) == NULL) {
		mesh__exchange_refuse(x, 401, "no-identity", "this service takes calls of mesh identities alone");
		return;
	}
	in = mesh__inbound_new(server, x);
	if (in == NULL) {
		mesh__exchange_refuse_unprocessed(x, 503, "no-memory", "the server is out of memory"); /* another instance may have some */
		return;
	}
	mesh__count(server->requests, 1);
	if (!is_taken(server, in)) {
		return;
	}
	if (server->stream_bodies && !mesh__inbound_stream_open(in)) {
		(void)mesh__inbound_refuse(in, 503, "overloaded", "out of memory");
	} else if (server->mode == MESH__SERVE_INLINE) {
		server->handler(server->user, in);
	} else if (!enqueue(server, in)) {
		mesh__count(server->overloaded, 1);
		(void)mesh__inbound_refuse(in, 503, "overloaded", "the handlers' queue is full");
	}
}
