#include "inbound/server.h"

#include <stdio.h>
#include <string.h>

#include "base/wait.h"

enum {
	MAX_QUEUED = 4096,
	DRAIN_GRACE_MS = 1000 /* for word of our leaving to reach those who call */
};

/* ---- Rotation ---- */

static void rotate(void *arg)
{
	struct mesh_server *s = arg;
	struct mesh__tls_conf *tls;
	struct mesh__trust *trust;

	(void)pthread_mutex_lock(&s->mu);
	tls = s->next_tls;
	trust = s->next_trust;
	s->next_tls = NULL;
	s->next_trust = NULL;
	s->rotate_posted = false;
	(void)pthread_mutex_unlock(&s->mu);
	if (tls != NULL) {
		mesh__http_server_rotate(s->http, tls, trust);
	}
	mesh__tls_conf_unref(tls);
	mesh__trust_unref(trust);
}

void mesh__serving_rotate(struct mesh_server *s, struct mesh__tls_conf *tls, struct mesh__trust *trust)
{
	struct mesh__tls_conf *old_tls;
	struct mesh__trust *old_trust;
	bool post;

	(void)pthread_mutex_lock(&s->mu);
	old_tls = s->next_tls;
	old_trust = s->next_trust;
	s->next_tls = mesh__tls_conf_ref(tls);
	s->next_trust = mesh__trust_ref(trust);
	post = !s->rotate_posted;
	s->rotate_posted = true;
	(void)pthread_mutex_unlock(&s->mu);
	if (post) {
		mesh__loop_post(s->loop, &s->rotate_post, rotate, s);
	}
	mesh__tls_conf_unref(old_tls);
	mesh__trust_unref(old_trust);
}

/* ---- Drain ---- */

static void on_drained(void *arg)
{
	struct mesh_server *s = arg;

	(void)pthread_mutex_lock(&s->mu);
	s->drained = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mu);
}

static void drain(void *arg)
{
	struct mesh_server *s = arg;

	mesh__http_server_drain(s->http, s->drain_ms, on_drained, s);
}

bool mesh__serving_drain(struct mesh_server *s, int64_t drain_ms)
{
	int64_t begun_ms = mesh__mono_ms(s->env);

	s->drain_ms = drain_ms;
	mesh__loop_post(s->loop, &s->drain_post, drain, s);
	(void)pthread_mutex_lock(&s->mu);
	while (!s->drained) {
		(void)pthread_cond_wait(&s->changed, &s->mu);
	}
	(void)pthread_mutex_unlock(&s->mu);
	return mesh__mono_ms(s->env) - begun_ms < drain_ms || atomic_load(&s->refs) == 1;
}

void mesh__serving_hurry(struct mesh_server *s)
{
	on_drained(s);
}

/* ---- Life ---- */

static int register_instance(struct mesh_server *s, const struct mesh__serving_options *o, struct mesh__err *err)
{
	char address[MESH__ADDR_TEXT];
	struct mesh__msg_instance info = {.instance = (char *)(uintptr_t)o->instance, .n_addresses = 1, .version = (char *)(uintptr_t)o->version, .zone = (char *)(uintptr_t)o->zone};

	if (o->advertise[0] != '\0') {
		(void)snprintf(address, sizeof(address), "%s", o->advertise);
	} else {
		mesh__addr_format(&s->address, address);
	}
	info.addresses[0] = address;
	return mesh__control_serve(s->control, &info, err);
}

static void tell_thread(void *arg)
{
	struct mesh_server *s = arg;

	atomic_store_explicit(s->inbound_thread, (uintptr_t)pthread_self(), memory_order_relaxed);
}

static int listen_and_start(struct mesh_server *s, const struct mesh__serving_options *o, struct mesh__err *err)
{
	struct mesh__http_options http = {.address = o->listen, .name = "inbound", .tls = o->tls, .tls_required = true, .handler = mesh__dispatch, .user = s, .metrics = o->metrics};
	int code = mesh__loop_new(s->env, &s->loop, err);

	mesh__http_limits_default(&http.limits);
	http.limits.max_body_bytes = (int64_t)o->max_body_bytes;
	http.limits.drain_grace_ms = DRAIN_GRACE_MS;
	if (code == MESH_OK) {
		code = mesh__http_server_new(s->loop, &http, &s->http, err);
	}
	if (code == MESH_OK) {
		mesh__http_server_address(s->http, &s->address);
		if (o->tls != NULL) {
			mesh__http_server_rotate(s->http, o->tls, o->trust);
		}
		mesh__loop_post(s->loop, &s->thread_post, tell_thread, s); /* the first that runs there */
		code = mesh__loop_start(s->loop, "mesh-in", err);
	}
	return code;
}

int mesh__serving_new(const struct mesh__serving_options *o, struct mesh_server **out, struct mesh__err *err)
{
	struct mesh_server *s = mesh__alloc(&o->env->mem, sizeof(*s));
	int code;

	*out = NULL;
	if (s == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&s->refs, 1);
	s->env = o->env;
	s->control = o->control;
	s->handler = o->handler;
	s->user = o->user;
	s->inline_handler = o->inline_handler;
	s->inbound_thread = o->inbound_thread;
	s->requests = mesh__metrics_counter(o->metrics, "mesh_inbound_requests_total", "Requests that reached dispatch.", NULL, NULL);
	s->late = mesh__metrics_counter(o->metrics, "mesh_inbound_late_total", "Requests whose deadline had passed before the handler.", NULL, NULL);
	s->overloaded = mesh__metrics_counter(o->metrics, "mesh_inbound_overloaded_total", "Requests refused because the handlers' queue was full.", NULL, NULL);
	(void)pthread_mutex_init(&s->mu, NULL);
	mesh__cond_init(&s->changed);
	mesh__workers_init(&s->workers, o->env, o->workers, MAX_QUEUED, mesh__dispatch_job, s);
	code = listen_and_start(s, o, err);
	if (code == MESH_OK) {
		code = register_instance(s, o, err);
	}
	if (code != MESH_OK) {
		mesh__serving_free(s);
		return code;
	}
	s->gone = o->gone;
	s->gone_arg = o->gone_arg;
	*out = s;
	return MESH_OK;
}

void mesh__serving_ref(struct mesh_server *s)
{
	(void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void mesh__serving_unref(struct mesh_server *s)
{
	mesh__loop_fn gone;
	void *arg;

	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	gone = s->gone;
	arg = s->gone_arg;
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mu);
	mesh__free(s);
	if (gone != NULL) {
		gone(arg);
	}
}

void mesh__serving_free(struct mesh_server *s)
{
	if (s == NULL) {
		return;
	}
	atomic_store(&s->stopping, true);
	if (s->loop != NULL) {
		mesh__loop_stop(s->loop);
		mesh__loop_join(s->loop);
		mesh__http_server_free(s->http);
		atomic_store_explicit(s->inbound_thread, 0, memory_order_relaxed);
	}
	mesh__workers_fini(&s->workers); /* after the loop, which gives them work */
	mesh__loop_free(s->loop);
	mesh__tls_conf_unref(s->next_tls);
	mesh__trust_unref(s->next_trust);
	mesh__serving_unref(s);
}

void mesh__serving_park(struct mesh_server *s, const struct mesh__env *env, int64_t deadline_us)
{
	atomic_store(&s->stopping, true);
	mesh__loop_stop(s->loop);
	(void)mesh__loop_join_until(s->loop, env, deadline_us);
}

void mesh__serving_abandon(struct mesh_server *s)
{
	if (s != NULL) {
		mesh__loop_abandon(s->loop);
	}
}

bool mesh__serving_is_current(struct mesh_server *s)
{
	return mesh__loop_is_current(s->loop) || mesh__workers_is_current(&s->workers);
}
