#include "inbound/server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inbound/authenticate.h"

enum {
	MAX_QUEUED = 4096,
	DRAIN_GRACE_MS = 1000 /* for word of our leaving to reach those who call */
};

bool mesh__serving_mode_parse(const char *text, enum mesh__serving_mode *mode)
{
#define X(name, text) text,
	static const char *const names[] = {MESH__SERVING_MODES(X)};
#undef X

	*mode = MESH__SERVE_POOL;
	for (size_t i = 0; text != NULL && i < MESH__COUNT(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*mode = (enum mesh__serving_mode)i;
			return true;
		}
	}
	return text == NULL;
}

int mesh__serving_rotate(struct mesh_server *s, struct mesh__creds *creds, struct mesh__err *err)
{
	struct mesh__tls_conf *old = s->tls, *tls;
	int code = mesh__authenticate_conf(s->env, creds, s->tls12, old, &tls, err);

	if (code == MESH_OK) {
		mesh__loops_rotate(&s->loops, tls, mesh__creds_trust(creds));
		s->tls = tls;
		mesh__tls_conf_unref(old);
	}
	return code;
}

bool mesh__serving_drain(struct mesh_server *s, int64_t drain_ms)
{
	return mesh__loops_drain(&s->loops, drain_ms);
}

void mesh__serving_hurry(struct mesh_server *s)
{
	mesh__loops_hurry(&s->loops);
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

static int listen_and_start(struct mesh_server *s, const struct mesh__serving_options *o, struct mesh__err *err)
{
	struct mesh__http_options http = {.address = o->listen, .name = "inbound", .tls_required = true, .http2 = true, .handler = mesh__dispatch, .user = s, .metrics = o->metrics};
	int code;

	mesh__http_limits_default(&http.limits);
	http.limits.max_body_bytes = (int64_t)o->max_body_bytes;
	http.limits.drain_grace_ms = DRAIN_GRACE_MS;
	http.stream_bodies = o->stream_bodies;
	code = mesh__loops_open(&s->loops, o->env, o->loops, &http, o->threads, err);
	if (code == MESH_OK) {
		mesh__loops_address(&s->loops, &s->address);
		code = o->creds == NULL ? MESH_OK : mesh__serving_rotate(s, o->creds, err);
	}
	if (code == MESH_OK) {
		code = mesh__loops_start(&s->loops, err);
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
	s->pid = getpid();
	s->env = o->env;
	s->control = o->control;
	s->handler = o->handler;
	s->user = o->user;
	s->tls12 = o->tls12;
	s->mode = o->mode;
	s->stream_bodies = o->stream_bodies;
	s->max_body_bytes = o->max_body_bytes;
	s->requests = mesh__metrics_counter(o->metrics, "mesh_inbound_requests_total", "Requests that reached dispatch.", NULL, NULL);
	s->late = mesh__metrics_counter(o->metrics, "mesh_inbound_late_total", "Requests whose deadline had passed before the handler.", NULL, NULL);
	s->overloaded = mesh__metrics_counter(o->metrics, "mesh_inbound_overloaded_total", "Requests refused because the handlers' queue was full.", NULL, NULL);
	s->unready = mesh__metrics_counter(o->metrics, "mesh_inbound_unready_total", "Requests refused because the application had said that it cannot serve, or who may call it was not known yet.", NULL, NULL);
	mesh__authz_record_init(&s->authz, o->metrics);
	mesh__inbound_limits_init(&s->limits, o->env, o->metrics);
	mesh__loops_init(&s->loops);
	mesh__workers_init(&s->workers, o->env, o->workers, MAX_QUEUED, mesh__dispatch_job, s);
	mesh__pull_init(&s->pull, o->env, MAX_QUEUED);
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
	mesh__loops_fini(&s->loops);
	mesh__tls_conf_unref(s->tls);
	mesh__inbound_limits_fini(&s->limits);
	mesh__authz_record_fini(&s->authz);
	mesh__free(s);
	if (gone != NULL) {
		gone(arg);
	}
}

void mesh__serving_free(struct mesh_server *s)
{
	struct mesh__job *job;

	if (s == NULL) {
		return;
	}
	atomic_store(&s->stopping, true);
	mesh__loops_stop(&s->loops);
	mesh__loops_close(&s->loops);    /* runs what was posted, on which a handler may wait */
	mesh__workers_fini(&s->workers); /* after the loops, which give them work */
	mesh__pull_close(&s->pull);      /* likewise */
	while (mesh__pull_take(&s->pull, 0, &job) == MESH_OK) {
		mesh__dispatch_job(s, job);
	}
	mesh__pull_fini(&s->pull);
	mesh__serving_unref(s);
}

void mesh__serving_stop(struct mesh_server *s)
{
	atomic_store(&s->stopping, true);
	mesh__pull_halt(&s->pull);
	mesh__loops_halt(&s->loops);
}

void mesh__serving_join_until(struct mesh_server *s, const struct mesh__env *env, int64_t deadline_us)
{
	mesh__loops_join_until(&s->loops, env, deadline_us);
}

void mesh__serving_abandon(struct mesh_server *s)
{
	if (s != NULL) {
		mesh__pull_abandon(&s->pull);
		mesh__loops_abandon(&s->loops);
	}
}

bool mesh__serving_is_current(struct mesh_server *s)
{
	return mesh__loops_is_current(&s->loops) || mesh__workers_is_current(&s->workers);
}
