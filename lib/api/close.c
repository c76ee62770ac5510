#include "api/handle.h"

#include "base/wait.h"

enum { LEAVE_MS = 2000 };

static const int64_t longest_ms = INT64_C(100) * 365 * 86400 * 1000; /* "for ever", such that no sum overflows */

int64_t mesh__sensible_ms(int64_t ms)
{
	return ms < 0 ? 0 : ms < longest_ms ? ms : longest_ms;
}

static void on_left(void *arg)
{
	struct mesh__opened *m = arg;

	(void)pthread_mutex_lock(&m->mu);
	m->left = true;
	(void)pthread_cond_broadcast(&m->changed);
	(void)pthread_mutex_unlock(&m->mu);
}

/* Others are told that we leave before we stop to answer. */
static void deregister(struct mesh__opened *m)
{
	int64_t until_us = mesh__mono_us(&m->env) + LEAVE_MS * 1000;

	mesh__control_leave(m->control, on_left, m);
	(void)pthread_mutex_lock(&m->mu);
	while (!m->left && mesh__cond_wait_until(&m->changed, &m->mu, &m->env, until_us)) {
	}
	(void)pthread_mutex_unlock(&m->mu);
}

/* The server to be drained. None is started from here on. */
static struct mesh_server *last_server(struct mesh__opened *m)
{
	struct mesh_server *server;

	(void)pthread_mutex_lock(&m->mu);
	m->closing = true;
	server = m->server;
	(void)pthread_mutex_unlock(&m->mu);
	return server;
}

/* From here on a renewal of credentials finds no server to give them to. */
static struct mesh_server *take_server(struct mesh__opened *m)
{
	struct mesh_server *server;

	(void)pthread_mutex_lock(&m->mu);
	server = m->server;
	m->server = NULL;
	(void)pthread_mutex_unlock(&m->mu);
	return server;
}

/* Lets what runs finish, at most drain_ms; true when it has. From here on no call begins, and none runs. */
static bool drain(struct mesh__opened *m, int64_t drain_ms)
{
	int64_t deadline_us = mesh__mono_us(&m->env) + drain_ms * 1000;
	struct mesh_server *server;
	bool drained = true;

	server = last_server(m);
	deregister(m);
	if (server != NULL) {
		drained = mesh__serving_drain(server, drain_ms);
	}
	drained = mesh__running_drain(&m->outbound.running, &m->env, deadline_us) && drained;
	atomic_store(&m->outbound.closed, true);
	mesh__running_close(&m->outbound.running);
	(void)mesh__running_wait(&m->outbound.running, &m->env, INT64_MAX);
	return drained;
}

static int32_t close_down(struct mesh__opened *m, int64_t drain_ms)
{
	mesh *handle = m->handle;
	bool drained = drain(m, drain_ms);

	if (mesh__registry_exits()) {
		mesh__registry_give_back(handle); /* the exit parks it, and waits no longer than for this */
		return MESH_E_CLOSED;
	}
	mesh__serving_free(take_server(m));
	mesh__async_close(&m->outbound.async);
	mesh__checks_close(&m->outbound.checks);
	mesh__registry_shut(handle);
	mesh__loop_stop(m->loop);
	mesh__loop_join(m->loop);
	mesh__opened_free_rooms(m);
	mesh__opened_unref(m);
	mesh__registry_remove(handle);
	return drained ? MESH_OK : MESH_E_TIMEOUT;
}

/* In a forked child. What is counted, listed or locked by the parent's threads stays as it is, all of it together. */
static int32_t abandon(mesh *handle, struct mesh__opened *m)
{
	if (!mesh__registry_abandon(handle)) {
		return MESH_E_CLOSED;
	}
	mesh__endpoint_list_abandon(&m->endpoints);
	mesh__checks_abandon(&m->outbound.checks);
	mesh__identity_abandon(m->identity);
	mesh__control_abandon(m->control);
	mesh__serving_abandon(m->server);
	mesh__async_abandon(&m->outbound.async);
	mesh__loop_abandon(m->loop);
	mesh__state_dir_close(m->state); /* the lock is the parent's for as long as it has its own descriptor */
	return MESH_E_FORKED;
}

/* Closing waits for this thread then. */
static bool would_wait_for_itself(struct mesh__opened *m)
{
	bool serves;

	(void)pthread_mutex_lock(&m->mu);
	serves = m->server != NULL && mesh__serving_is_current(m->server);
	(void)pthread_mutex_unlock(&m->mu);
	return serves || mesh__opened_on_loop(m) || mesh__running_has_own(&m->outbound.running) || mesh__log_sink_is_current();
}

int32_t mesh_close(mesh *handle, int64_t drain_ms)
{
	struct mesh__opened *m;
	bool own, parents;

	if (handle == NULL) {
		return MESH_OK;
	}
	m = mesh__registry_exits() ? NULL : mesh__registry_enter(handle); /* at the exit of the process it is parked, not closed */
	if (m == NULL) {
		return MESH_E_CLOSED;
	}
	parents = mesh__opened_is_parents(m);
	own = !parents && would_wait_for_itself(m);
	mesh__registry_leave(handle);
	if (parents) {
		return abandon(handle, m);
	}
	if (own) {
		return MESH_E_WOULD_BLOCK;
	}
	return mesh__registry_close(handle) ? close_down(m, mesh__sensible_ms(drain_ms)) : MESH_E_CLOSED;
}
