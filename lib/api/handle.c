#include "api/handle.h"

#include "base/str.h"

enum { METRICS_MAX_BYTES = 4 * 1024 * 1024 };

void mesh__opened_ref(struct mesh__opened *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void mesh__opened_free_rooms(struct mesh__opened *m)
{
	mesh__probe_close(&m->probe);
	mesh__timer_free(m->sweep);
	mesh__identity_free(m->identity);
	mesh__control_free(m->control);
	mesh__async_free_loop(&m->outbound.async);
	mesh__loop_free(m->loop);
	mesh__state_dir_close(m->state);
	mesh__documents_free(m->documents);
	mesh__creds_unref(m->creds);
	m->probe.http = NULL;
	m->sweep = NULL;
	m->identity = NULL;
	m->control = NULL;
	m->loop = NULL;
	m->state = NULL;
	m->documents = NULL;
	m->creds = NULL;
}

void mesh__opened_unref(struct mesh__opened *m)
{
	struct mesh__mem mem;

	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	mesh__opened_free_rooms(m);
	mesh__metrics_free(m->metrics);
	mesh__endpoint_list_fini(&m->endpoints);
	mesh__running_fini(&m->outbound.running);
	mesh__async_fini(&m->outbound.async);
	mesh__checks_fini(&m->outbound.checks);
	mesh__fork_mark_fini(&m->fork_mark);
	mesh__free(m->instance);
	mesh__settings_fini(&m->settings);
	(void)pthread_cond_destroy(&m->changed);
	(void)pthread_mutex_destroy(&m->mu);
	mem = m->env.mem;
	mem.release(mem.user, m);
}

bool mesh__opened_is_parents(const struct mesh__opened *m)
{
	return mesh__forked_since(&m->fork_mark);
}

struct mesh__opened *mesh__opened_enter(mesh *handle, struct mesh__err *err)
{
	struct mesh__opened *m;

	if (handle == NULL) {
		(void)mesh__fail(err, MESH_E_INVALID, "no mesh: NULL");
		return NULL;
	}
	m = mesh__registry_enter(handle);
	if (m == NULL) {
		(void)mesh__fail(err, MESH_E_CLOSED, "the mesh is closed");
		return NULL;
	}
	if (mesh__opened_is_parents(m)) {
		mesh__registry_leave(handle);
		(void)mesh__fail(err, MESH_E_FORKED, "the mesh was opened before fork(), by the parent process; open one here");
		return NULL;
	}
	return m;
}

void mesh__opened_leave(struct mesh__opened *m)
{
	mesh__registry_leave(m->handle);
}

bool mesh__opened_on_loop(struct mesh__opened *m)
{
	bool current = mesh__loop_is_current(m->loop) || mesh__async_is_current(&m->outbound.async);

	(void)pthread_mutex_lock(&m->mu);
	current = current || (m->server != NULL && mesh__loops_is_current(&m->server->loops));
	(void)pthread_mutex_unlock(&m->mu);
	return current;
}

int32_t mesh_wait_ready(mesh *handle, int64_t timeout_ms, mesh_error **error)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__opened *m = mesh__opened_enter(handle, &err);
	int code = err.code;

	if (error != NULL) {
		*error = NULL;
	}
	if (m != NULL) {
		if (mesh__opened_on_loop(m)) {
			code = mesh__fail(&err, MESH_E_WOULD_BLOCK, "mesh_wait_ready() waits, and this is the mesh's own loop thread");
		} else {
			code = mesh__control_await_ready(m->control, mesh__mono_us(&m->env) + mesh__sensible_ms(timeout_ms) * 1000, &err);
		}
		mesh__opened_leave(m);
	}
	return mesh__error_give(mesh__mem_libc(), code, &err, error);
}

char *mesh_identity(mesh *handle)
{
	struct mesh__opened *m = mesh__opened_enter(handle, NULL);
	char *spiffe = NULL;

	if (m != NULL) {
		spiffe = mesh__control_spiffe(m->control);
		mesh__opened_leave(m);
	}
	return spiffe;
}

char *mesh_instance(mesh *handle)
{
	struct mesh__opened *m = mesh__opened_enter(handle, NULL);
	char *copy = NULL;

	if (m != NULL) {
		copy = mesh__strdup(mesh__mem_libc(), m->instance); /* as all strings that are given away: they may outlive the mesh, and its allocator */
		mesh__opened_leave(m);
	}
	return copy;
}

char *mesh_metrics(mesh *handle)
{
	struct mesh__opened *m = mesh__opened_enter(handle, NULL);
	struct mesh__buf text;

	if (m == NULL) {
		return NULL;
	}
	mesh__buf_init(&text, mesh__mem_libc(), METRICS_MAX_BYTES);
	mesh__metrics_text(m->metrics, &text);
	mesh__opened_leave(m);
	return mesh__buf_take(&text);
}
