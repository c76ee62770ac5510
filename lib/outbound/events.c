#include "outbound/events.h"

#include "base/wait.h"
#include "outbound/call.h"

void mesh__events_init(struct mesh__events *e, const struct mesh__env *env)
{
	*e = (struct mesh__events){.env = env};
	mesh__event_fd_init(&e->fd);
	(void)pthread_mutex_init(&e->mu, NULL);
	mesh__cond_init(&e->changed);
}

void mesh__events_fini(struct mesh__events *e)
{
	mesh__event_fd_fini(&e->fd);
	(void)pthread_cond_destroy(&e->changed);
	(void)pthread_mutex_destroy(&e->mu);
}

/* ---- The entries: the lock is held ---- */

static void wake_locked(struct mesh__events *e)
{
	if (e->n_waiting > 0) {
		(void)pthread_cond_broadcast(&e->changed);
	}
}

static void add_locked(struct mesh__events *e, struct mesh_request *r, int32_t kind)
{
	if (r->telling.pending == 0) {
		r->telling.prev = e->last;
		r->telling.next = NULL;
		*(e->last != NULL ? &e->last->telling.next : &e->first) = r;
		e->last = r;
		mesh__event_fd_set(&e->fd, true);
	}
	r->telling.pending |= UINT32_C(1) << kind;
}

static void remove_locked(struct mesh__events *e, struct mesh_request *r)
{
	if (r->telling.pending != 0) {
		*(r->telling.prev != NULL ? &r->telling.prev->telling.next : &e->first) = r->telling.next;
		*(r->telling.next != NULL ? &r->telling.next->telling.prev : &e->last) = r->telling.prev;
		r->telling.pending = 0;
		mesh__event_fd_set(&e->fd, e->first != NULL);
	}
}

/* The lowest kind of the first entry. */
static void take_locked(struct mesh__events *e, mesh_event *out)
{
	struct mesh_request *r = e->first;
	int32_t kind = (int32_t)__builtin_ctz(r->telling.pending);

	/* Before the end there is no code, and the call thread may be about to write it. */
	*out = (mesh_event){.request = r, .user = r->call.user, .kind = kind, .code = kind == MESH_EVENT_DONE ? r->call.code : MESH_OK};
	if ((r->telling.pending & (r->telling.pending - 1)) == 0) {
		remove_locked(e, r);
	} else {
		r->telling.pending &= r->telling.pending - 1;
	}
}

/* ---- A request's side ---- */

void mesh__events_begin(struct mesh__events *e, struct mesh_request *r)
{
	(void)pthread_mutex_lock(&e->mu);
	remove_locked(e, r);
	r->telling.started = true;
	r->telling.over = false;
	(void)pthread_mutex_unlock(&e->mu);
}

void mesh__events_forget(struct mesh__events *e, struct mesh_request *r)
{
	(void)pthread_mutex_lock(&e->mu);
	remove_locked(e, r);
	r->telling.started = false;
	(void)pthread_mutex_unlock(&e->mu);
}

static void done_locked(struct mesh__events *e, struct mesh_request *r)
{
	r->telling.over = true;
	if (!r->telling.muted) {
		add_locked(e, r, MESH_EVENT_DONE);
	}
}

void mesh__events_done(struct mesh__events *e, struct mesh_request *r)
{
	(void)pthread_mutex_lock(&e->mu);
	done_locked(e, r);
	wake_locked(e);
	(void)pthread_mutex_unlock(&e->mu);
}

void mesh__events_give_back(struct mesh__events *e, struct mesh_request *first)
{
	struct mesh_request *next;
	bool wake;

	(void)pthread_mutex_lock(&e->mu);
	for (struct mesh_request *r = first; r != NULL; r = next) {
		next = r->call.next; /* its own until it runs no longer; a call that begins then waits for the lock, and finds it told */
		atomic_store(&r->running, false);
		done_locked(e, r);
	}
	wake = e->n_waiting > 0;
	(void)pthread_mutex_unlock(&e->mu);
	if (wake) {
		(void)pthread_cond_broadcast(&e->changed); /* not under the lock, which is what those who wake need first */
	}
}

void mesh__events_tell(struct mesh__events *e, struct mesh_request *r, int32_t kind)
{
	(void)pthread_mutex_lock(&e->mu);
	if (!r->telling.muted) {
		add_locked(e, r, kind);
		wake_locked(e);
	}
	(void)pthread_mutex_unlock(&e->mu);
}

void mesh__events_mute(struct mesh__events *e, struct mesh_request *r)
{
	(void)pthread_mutex_lock(&e->mu);
	remove_locked(e, r);
	r->telling.muted = true;
	(void)pthread_mutex_unlock(&e->mu);
}

/* ---- Those who ask ---- */

int mesh__events_await(struct mesh__events *e, struct mesh_request *r)
{
	int code = MESH_E_STATE;

	(void)pthread_mutex_lock(&e->mu);
	if (r->telling.started && !r->telling.over && mesh__call_on_own_thread(r->outbound)) {
		code = MESH_E_WOULD_BLOCK;
	} else if (r->telling.started) {
		e->n_waiting++;
		while (!r->telling.over) {
			(void)mesh__cond_wait_until(&e->changed, &e->mu, e->env, INT64_MAX);
		}
		e->n_waiting--;
		remove_locked(e, r);
		code = r->call.code;
	}
	(void)pthread_mutex_unlock(&e->mu);
	return code;
}

int32_t mesh__events_take(struct mesh__events *e, mesh_event *out, int32_t n, int64_t deadline_us)
{
	int32_t taken = 0;

	(void)pthread_mutex_lock(&e->mu);
	e->n_waiting++;
	while (e->first == NULL && !e->closed && mesh__cond_wait_until(&e->changed, &e->mu, e->env, deadline_us)) {
	}
	e->n_waiting--;
	while (e->first != NULL && taken < n) {
		take_locked(e, &out[taken++]);
	}
	if (taken == 0 && e->closed) {
		taken = -MESH_E_CLOSED;
	}
	(void)pthread_mutex_unlock(&e->mu);
	return taken;
}

int32_t mesh__events_fd(struct mesh__events *e)
{
	int32_t fd;

	(void)pthread_mutex_lock(&e->mu);
	fd = mesh__event_fd_get(&e->fd, NULL);
	(void)pthread_mutex_unlock(&e->mu);
	return fd;
}

void mesh__events_close(struct mesh__events *e)
{
	(void)pthread_mutex_lock(&e->mu);
	e->closed = true;
	(void)pthread_cond_broadcast(&e->changed);
	(void)pthread_mutex_unlock(&e->mu);
}

void mesh__events_abandon(struct mesh__events *e)
{
	mesh__event_fd_fini(&e->fd);
}
