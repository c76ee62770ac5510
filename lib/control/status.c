#include "control/status.h"

#include <stdio.h>

#include "base/wait.h"
#include "http/cancel.h"

void mesh__status_init(struct mesh__status *s, const struct mesh__env *env, bool has_servers)
{
	*s = (struct mesh__status){.env = env, .has_servers = has_servers};
	(void)pthread_mutex_init(&s->mu, NULL);
	mesh__cond_init(&s->changed);
}

void mesh__status_fini(struct mesh__status *s)
{
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mu);
}

void mesh__status_listen(struct mesh__status *s, void (*listener)(void *arg), void *arg)
{
	(void)pthread_mutex_lock(&s->mu);
	s->listener = listener;
	s->listener_arg = arg;
	(void)pthread_mutex_unlock(&s->mu);
}

static void tell_locked(struct mesh__status *s)
{
	(void)pthread_cond_broadcast(&s->changed);
	if (s->listener != NULL) {
		s->listener(s->listener_arg);
	}
}

void mesh__status_set(struct mesh__status *s, enum mesh__fact fact, bool holds)
{
	(void)pthread_mutex_lock(&s->mu);
	s->facts[fact] = holds;
	tell_locked(s);
	(void)pthread_mutex_unlock(&s->mu);
}

void mesh__status_able(struct mesh__status *s, const char *why)
{
	(void)pthread_mutex_lock(&s->mu);
	s->facts[MESH__FACT_UNABLE] = why != NULL;
	(void)snprintf(s->unable, sizeof(s->unable), "%s", why != NULL ? why : "");
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mu);
}

void mesh__status_wake(struct mesh__status *s)
{
	(void)pthread_mutex_lock(&s->mu);
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mu);
}

void mesh__status_trouble(struct mesh__status *s, const struct mesh__err *err)
{
	(void)pthread_mutex_lock(&s->mu);
	s->last = *err;
	tell_locked(s);
	(void)pthread_mutex_unlock(&s->mu);
}

static bool ready_locked(const struct mesh__status *s)
{
	const bool *f = s->facts;

	if (!s->has_servers || f[MESH__FACT_UNABLE]) {
		return f[MESH__FACT_IDENTITY] && !f[MESH__FACT_UNABLE];
	}
	return f[MESH__FACT_IDENTITY] && f[MESH__FACT_HEARD] && (!f[MESH__FACT_SERVING] || (f[MESH__FACT_GUARDED] && (f[MESH__FACT_REGISTERED] || f[MESH__FACT_APART])));
}

bool mesh__status_is_ready(struct mesh__status *s, char *why)
{
	bool ready;

	(void)pthread_mutex_lock(&s->mu);
	ready = ready_locked(s) && !s->facts[MESH__FACT_CLOSED];
	if (why != NULL) {
		(void)snprintf(why, sizeof(s->unable), "%s", s->unable);
	}
	(void)pthread_mutex_unlock(&s->mu);
	return ready;
}

/* Why a wait must end now, or MESH_OK to wait on. That the mesh is closing is no reason for a call: it has the time of the drain, and is cancelled after it. */
static int stop_locked(const struct mesh__status *s, const struct mesh__cancel *cancel, struct mesh__err *err)
{
	if (mesh__cancel_fired(cancel)) {
		return mesh__fail(err, MESH_E_CANCELLED, "cancelled while waiting for the control plane");
	}
	if (s->facts[MESH__FACT_REFUSED]) {
		return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_DENIED, "no identity: %s", s->last.message);
	}
	return MESH_OK;
}

static const char *trouble_prefix(const struct mesh__status *s)
{
	return s->last.code == MESH_OK ? "" : "; the last trouble: ";
}

static int not_ready_locked(const struct mesh__status *s, struct mesh__err *err)
{
	const char *missing;

	if (s->facts[MESH__FACT_UNABLE]) {
		return mesh__fail(err, MESH_E_TIMEOUT, "not ready: %s", s->unable);
	}
	missing = !s->facts[MESH__FACT_IDENTITY] ? "no identity yet" : !s->facts[MESH__FACT_HEARD] ? "no word from the control plane yet"
		: !s->facts[MESH__FACT_GUARDED] ? "who may call this service is not known yet" : "not registered yet";

	return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_TIMEOUT, "not ready: %s%s%.300s", missing, trouble_prefix(s), s->last.message);
}

static int not_told_locked(const struct mesh__status *s, const char *what, struct mesh__err *err)
{
	if (!s->facts[MESH__FACT_IDENTITY]) {
		return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_NOT_READY, "no identity within the deadline%s%.300s", trouble_prefix(s), s->last.message);
	}
	return mesh__fail_at(err, MESH__ORIGIN_CONTROL, MESH_E_TIMEOUT, "the control plane has not told of %s within the deadline%s%.300s", what, trouble_prefix(s), s->last.message);
}

int mesh__status_await_ready(struct mesh__status *s, int64_t deadline_us, struct mesh__err *err)
{
	int code = MESH_OK;

	(void)pthread_mutex_lock(&s->mu);
	while (code == MESH_OK && !ready_locked(s)) {
		code = s->facts[MESH__FACT_CLOSED] ? mesh__fail(err, MESH_E_CLOSED, "the mesh is closing") : stop_locked(s, NULL, err);
		if (code == MESH_OK && !mesh__cond_wait_until(&s->changed, &s->mu, s->env, deadline_us)) {
			code = not_ready_locked(s, err);
		}
	}
	(void)pthread_mutex_unlock(&s->mu);
	return code;
}

static void on_cancel(void *arg)
{
	mesh__status_wake(arg);
}

/* MESH_OK: it is there; MESH_E_WOULD_BLOCK: not yet; else why it will not be. */
static int look_locked(struct mesh__status *s, bool (*there)(void *arg, struct mesh__err *err), void *arg, struct mesh__cancel *cancel, struct mesh__err *said)
{
	int code;

	if (there(arg, said)) {
		return MESH_OK;
	}
	code = said->code != MESH_OK ? said->code : stop_locked(s, cancel, said);
	return code != MESH_OK ? code : MESH_E_WOULD_BLOCK;
}

static int give(int code, const struct mesh__err *said, struct mesh__err *err)
{
	if (code != MESH_OK && err != NULL) {
		*err = *said;
	}
	return code;
}

int mesh__status_await(struct mesh__status *s, const char *what, bool (*there)(void *arg, struct mesh__err *err), void *arg, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err)
{
	struct mesh__err said = MESH__NO_ERR;
	int code;

	mesh__cancel_watch(cancel, on_cancel, s);
	(void)pthread_mutex_lock(&s->mu);
	while ((code = look_locked(s, there, arg, cancel, &said)) == MESH_E_WOULD_BLOCK) {
		if (!mesh__cond_wait_until(&s->changed, &s->mu, s->env, deadline_us)) {
			code = not_told_locked(s, what, &said);
			break;
		}
	}
	(void)pthread_mutex_unlock(&s->mu);
	mesh__cancel_unwatch(cancel);
	return give(code, &said, err);
}

int mesh__status_look(struct mesh__status *s, const char *what, bool (*there)(void *arg, struct mesh__err *err), void *arg, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err)
{
	struct mesh__err said = MESH__NO_ERR;
	int code;

	(void)pthread_mutex_lock(&s->mu);
	code = look_locked(s, there, arg, cancel, &said);
	if (code == MESH_E_WOULD_BLOCK && mesh__mono_us(s->env) >= deadline_us) {
		code = not_told_locked(s, what, &said);
	}
	(void)pthread_mutex_unlock(&s->mu);
	return give(code, &said, err);
}
