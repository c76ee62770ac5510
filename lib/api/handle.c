#include "api/handle.h"

#include <unistd.h>

#include "base/str.h"
#include "base/wait.h"

enum { METRICS_MAX_BYTES = 4 * 1024 * 1024, LEAVE_MS = 2000 };

static const int64_t longest_ms = INT64_C(100) * 365 * 86400 * 1000; /* "for ever", such that no sum overflows */

static int64_t sensible_ms(int64_t ms)
{
	return ms < 0 ? 0 : ms < longest_ms ? ms : longest_ms;
}

void mesh__handle_ref(struct mesh *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

/* Everything that stood on the loop; its thread has ended, or never ran. */
static void free_rooms(struct mesh *m)
{
	mesh__probe_close(&m->probe);
	mesh__timer_free(m->sweep);
	mesh__identity_free(m->identity);
	mesh__control_free(m->control);
	mesh__loop_free(m->loop);
	mesh__state_dir_close(m->state);
	mesh__documents_free(m->documents);
	mesh__tls_conf_unref(m->tls);
	mesh__trust_unref(m->trust);
	m->probe.http = NULL;
	m->sweep = NULL;
	m->identity = NULL;
	m->control = NULL;
	m->loop = NULL;
	m->state = NULL;
	m->documents = NULL;
	m->tls = NULL;
	m->trust = NULL;
}

void mesh__handle_unref(struct mesh *m)
{
	struct mesh__mem mem;

	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	free_rooms(m);
	mesh__metrics_free(m->metrics);
	mesh__endpoint_list_fini(&m->endpoints);
	mesh__running_fini(&m->outbound.running);
	mesh__free(m->instance);
	mesh__settings_fini(&m->settings);
	(void)pthread_cond_destroy(&m->changed);
	(void)pthread_mutex_destroy(&m->mu);
	mem = m->env.mem;
	mem.release(mem.user, m);
}

int mesh__handle_check(const struct mesh *m)
{
	return getpid() == m->pid ? MESH_OK : MESH_E_FORKED;
}

bool mesh__handle_is_current(struct mesh *m, bool workers_too)
{
	struct mesh_server *server;
	bool current;

	if (m->loop != NULL && mesh__loop_is_current(m->loop)) {
		return true;
	}
	(void)pthread_mutex_lock(&m->mu);
	server = m->server;
	current = server != NULL && (mesh__loop_is_current(server->loop) || (workers_too && mesh__serving_is_current(server)));
	(void)pthread_mutex_unlock(&m->mu);
	return current;
}

int32_t mesh_wait_ready(mesh *m, int64_t timeout_ms, mesh_error **error)
{
	struct mesh__err err = MESH__NO_ERR;

	if (error != NULL) {
		*error = NULL;
	}
	if (mesh__handle_check(m) != MESH_OK) {
		return MESH_E_FORKED;
	}
	if (mesh__handle_is_current(m, false)) {
		(void)mesh__fail(&err, MESH_E_WOULD_BLOCK, "mesh_wait_ready() waits, and this is the mesh's own loop thread");
	} else {
		(void)!mesh__control_await_ready(m->control, mesh__mono_us(&m->env) + sensible_ms(timeout_ms) * 1000, &err);
	}
	return mesh__error_give(mesh__mem_libc(), &err, error);
}

char *mesh_identity(mesh *m)
{
	return mesh__handle_check(m) == MESH_OK ? mesh__control_spiffe(m->control) : NULL;
}

char *mesh_instance(mesh *m)
{
	return mesh__strdup(mesh__mem_libc(), m->instance); /* as all strings that are given away: they may outlive the mesh, and its allocator */
}

char *mesh_metrics(mesh *m)
{
	struct mesh__buf text;

	if (mesh__handle_check(m) != MESH_OK) {
		return NULL;
	}
	mesh__buf_init(&text, mesh__mem_libc(), METRICS_MAX_BYTES);
	mesh__metrics_text(m->metrics, &text);
	return mesh__buf_take(&text);
}

/* ---- Closing ---- */

static void on_left(void *arg)
{
	struct mesh *m = arg;

	(void)pthread_mutex_lock(&m->mu);
	m->left = true;
	(void)pthread_cond_broadcast(&m->changed);
	(void)pthread_mutex_unlock(&m->mu);
}

/* Others are told that we leave before we stop to answer. */
static void deregister(struct mesh *m)
{
	int64_t until_us = mesh__mono_us(&m->env) + LEAVE_MS * 1000;

	mesh__control_leave(m->control, on_left, m);
	(void)pthread_mutex_lock(&m->mu);
	while (!m->left && mesh__cond_wait_until(&m->changed, &m->mu, &m->env, until_us)) {
	}
	(void)pthread_mutex_unlock(&m->mu);
}

/* From here on a renewal of credentials finds no server to give them to. */
static struct mesh_server *take_server(struct mesh *m)
{
	struct mesh_server *server;

	(void)pthread_mutex_lock(&m->mu);
	server = m->server;
	m->server = NULL;
	(void)pthread_mutex_unlock(&m->mu);
	return server;
}

static void abandon(struct mesh *m)
{
	mesh__endpoint_list_abandon(&m->endpoints);
	mesh__identity_abandon(m->identity);
	mesh__control_abandon(m->control);
	mesh__serving_abandon(m->server);
	mesh__loop_abandon(m->loop);
	mesh__state_dir_close(m->state); /* the lock is the parent's for as long as it has its own descriptor */
}

int32_t mesh_close(mesh *m, int64_t drain_ms)
{
	int64_t deadline_us;
	bool drained = true;

	if (m == NULL) {
		return MESH_OK;
	}
	if (mesh__handle_check(m) != MESH_OK) {
		abandon(m);
		return MESH_E_FORKED;
	}
	if (mesh__handle_is_current(m, true)) {
		return MESH_E_WOULD_BLOCK;
	}
	drain_ms = sensible_ms(drain_ms);
	deadline_us = mesh__mono_us(&m->env) + drain_ms * 1000;
	deregister(m);
	if (m->server != NULL) {
		drained = mesh__serving_drain(m->server, drain_ms);
	}
	drained = mesh__running_wait(&m->outbound.running, &m->env, deadline_us) && drained;
	atomic_store(&m->outbound.closed, true);
	mesh__running_close(&m->outbound.running);
	(void)mesh__running_wait(&m->outbound.running, &m->env, INT64_MAX);
	mesh__serving_free(take_server(m));
	mesh__loop_stop(m->loop);
	mesh__loop_join(m->loop);
	free_rooms(m);
	mesh__handle_unref(m);
	return drained ? MESH_OK : MESH_E_TIMEOUT;
}
