#include "meshctl/upstream.h"

#include <stdio.h>

#include "meshctl/upstream_pass.h"
#include "meshctl/upstream_target.h"

enum { SWEEP_MS = 5000 };

/* ---- Readiness: this instance serves while the server behind takes connections ---- */

static void on_check(void *arg, const char *why)
{
	struct ctl_upstream *up = arg;
	char reason[400];

	(void)snprintf(reason, sizeof(reason), "the upstream %s takes no connection: %s", up->url, why != NULL ? why : "");
	if (mesh_set_ready(up->m, why == NULL, reason) == MESH_OK) {
		mesh__log(up->env, why == NULL ? MESH__LOG_INFO : MESH__LOG_WARN, why == NULL ? "the upstream takes connections" : "not ready", "upstream", up->url, "reason", why, (char *)NULL);
	}
}

static void on_sweep(void *arg)
{
	struct ctl_upstream *up = arg;

	mesh__pool_sweep(up->pool, false);
}

/* ---- Requests: from the connection's loop to this one ---- */

void ctl_upstream_handle(void *user, mesh_inbound *inbound)
{
	struct ctl_upstream *up = user;
	struct ctl_pass *pass = ctl_pass_new(up, inbound);

	if (pass == NULL) {
		(void)mesh_reply_refuse(inbound, "out of memory");
	} else {
		ctl_pass_begin(pass);
	}
}

/* ---- Life ---- */

int ctl_upstream_new(const struct mesh__env *env, const char *url, bool http2, struct ctl_upstream **out, struct mesh__err *err)
{
	struct mesh__pool_options options;
	struct ctl_upstream *up;
	int code;

	*out = NULL;
	mesh__pool_options_default(&options);
	options.proto = http2 ? MESH__HTTP_2_ONLY : MESH__HTTP_1;
	code = ctl_upstream_target(url, &options.target, err);
	if (code != MESH_OK) {
		return code;
	}
	up = mesh__alloc(&env->mem, sizeof(*up));
	if (up == NULL) {
		return mesh__fail_memory(err);
	}
	up->env = env;
	up->http2 = http2;
	up->target = options.target;
	(void)snprintf(up->url, sizeof(up->url), "%s", url);
	(void)pthread_mutex_init(&up->mu, NULL);
	code = mesh__pool_new(env, &options, &up->pool, err);
	if (code != MESH_OK) {
		ctl_upstream_free(up);
		return code;
	}
	*out = up;
	return MESH_OK;
}

int ctl_upstream_start(struct ctl_upstream *up, mesh *m, struct mesh__err *err)
{
	int code;

	up->m = m;
	if (mesh_set_ready(m, 0, "the upstream was not looked at yet") != MESH_OK) {
		return mesh__fail(err, MESH_E_CLOSED, "the mesh is closed");
	}
	code = mesh__loop_new(up->env, &up->loop, err);
	if (code == MESH_OK) {
		code = ctl_check_new(up->loop, &up->target, on_check, up, &up->check, err);
	}
	if (code == MESH_OK && mesh__timer_new(up->loop, on_sweep, up, &up->sweep) != MESH_OK) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK) {
		mesh__timer_start(up->sweep, SWEEP_MS, SWEEP_MS);
		code = mesh__loop_start(up->loop, "mesh-up", err);
		up->runs = code == MESH_OK;
	}
	return code;
}

static void on_stop(void *arg)
{
	struct ctl_upstream *up = arg;

	up->stopping = true;
	ctl_pass_stop_all(up);
	if (up->n_under_way == 0) {
		mesh__loop_stop(up->loop);
	}
}

void ctl_upstream_free(struct ctl_upstream *up)
{
	if (up == NULL) {
		return;
	}
	if (up->runs) {
		mesh__loop_post(up->loop, &up->stop_post, on_stop, up);
		mesh__loop_join(up->loop);
	}
	ctl_pass_free_timers(up);
	ctl_check_free(up->check);
	mesh__timer_free(up->sweep);
	mesh__loop_free(up->loop);
	ctl_pass_free_all(up);
	mesh__pool_unref(up->pool);
	mesh_string_free(up->own);
	(void)pthread_mutex_destroy(&up->mu);
	mesh__free(up);
}
