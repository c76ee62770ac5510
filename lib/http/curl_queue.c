#include "http/curl_queue.h"

#include "base/wait.h"
#include "http/cancel.h"
#include "http/circuit.h"

/* ---- The queue: the pool's lock is held ---- */

static void enqueue_locked(struct mesh__pool *pool, struct mesh__waiter *w, bool front)
{
	w->prev = front ? NULL : pool->last;
	w->next = front ? pool->first : NULL;
	*(w->prev != NULL ? &w->prev->next : &pool->first) = w;
	*(w->next != NULL ? &w->next->prev : &pool->last) = w;
	w->queued = true;
}

static void dequeue_locked(struct mesh__waiter *w)
{
	struct mesh__pool *pool = w->pool;

	*(w->prev != NULL ? &w->prev->next : &pool->first) = w->next;
	*(w->next != NULL ? &w->next->prev : &pool->last) = w->prev;
	w->queued = false;
	atomic_fetch_sub(&pool->n_waiting, 1);
	mesh__circuit_waited_locked(pool);
	if (pool->first == NULL) {
		mesh__circuit_sated_locked(pool);
	}
}

/* An idle connection, else leave to dial, else false. */
static bool grant_locked(struct mesh__pool *pool, struct mesh__slot **slot)
{
	int64_t now_us;

	*slot = mesh__shelves_take(&pool->shelves);
	if (*slot != NULL) {
		return true;
	}
	now_us = mesh__mono_us(pool->env);
	if (pool->n_connections >= pool->options.max_connections || !mesh__dials_may_begin(&pool->dials, now_us) || !mesh__circuit_connect_locked(pool)) {
		return false;
	}
	mesh__dials_begin(&pool->dials, now_us, pool->first != NULL);
	return true;
}

void mesh__queue_serve_locked(struct mesh__pool *pool)
{
	while (pool->first != NULL) {
		struct mesh__waiter *w = pool->first;

		if (!grant_locked(pool, &w->slot)) {
			return;
		}
		dequeue_locked(w);
		w->settled(w);
	}
}

void mesh__queue_dismiss_locked(struct mesh__pool *pool)
{
	while (pool->first != NULL) {
		struct mesh__waiter *w = pool->first;

		dequeue_locked(w);
		w->hopeless = true;
		w->settled(w);
	}
}

/* ---- One who waits ---- */

int mesh__queue_fail(struct mesh__pool *pool, int code, const char *how, struct mesh__err *err)
{
	const char *host = pool->options.target.host;
	char address[MESH__ADDR_TEXT];

	mesh__addr_format(&pool->options.target.address, address);
	return mesh__fail_at(err, code == MESH_E_CONNECT ? MESH__ORIGIN_CONNECT : MESH__ORIGIN_LOCAL, code, "%s%s%s: %s; nothing was sent", host, host[0] != '\0' ? " at " : "", address, how);
}

/* Counted where it is in order; else *code says of whom it is too much. */
static bool may_wait_locked(struct mesh__pool *pool, bool front, int n_waiting, int *code, struct mesh__err *err)
{
	*code = MESH_E_WOULD_BLOCK;
	if (!front && n_waiting >= pool->options.max_pending) {
		*code = mesh__queue_fail(pool, MESH_E_OVERLOADED, "as many calls as maxPending allows wait for a connection", err);
	} else if (!mesh__circuit_wait_locked(pool, front)) {
		*code = mesh__circuit_fail(pool, err);
	}
	return *code == MESH_E_WOULD_BLOCK;
}

int mesh__queue_join(struct mesh__pool *pool, struct mesh__waiter *w, bool front, struct mesh__slot **slot, struct mesh__err *err)
{
	int n_waiting, code = MESH_OK;
	bool granted;

	w->pool = pool;
	w->slot = NULL;
	w->hopeless = false;
	(void)pthread_mutex_lock(&pool->mu);
	n_waiting = atomic_fetch_add(&pool->n_waiting, 1);
	granted = (front || pool->first == NULL) && grant_locked(pool, slot);
	if (!granted && may_wait_locked(pool, front, n_waiting, &code, err)) {
		enqueue_locked(pool, w, front);
	} else {
		atomic_fetch_sub(&pool->n_waiting, 1);
		if (pool->first == NULL) {
			mesh__circuit_sated_locked(pool);
		}
	}
	(void)pthread_mutex_unlock(&pool->mu);
	if (code == MESH_E_WOULD_BLOCK) {
		mesh__circuit_make_room(pool);
	}
	return code;
}

bool mesh__queue_leave(struct mesh__waiter *w)
{
	struct mesh__pool *pool = w->pool;
	bool queued;

	(void)pthread_mutex_lock(&pool->mu);
	queued = w->queued;
	if (queued) {
		dequeue_locked(w);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	return queued;
}

void mesh__queue_serve(struct mesh__pool *pool)
{
	(void)pthread_mutex_lock(&pool->mu);
	mesh__queue_serve_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
}

static int64_t open_us_locked(struct mesh__pool *pool)
{
	int64_t open_us = mesh__dials_open_us(&pool->dials);

	return open_us > mesh__mono_us(pool->env) ? open_us : INT64_MAX;
}

int64_t mesh__queue_open_us(struct mesh__pool *pool)
{
	int64_t open_us;

	(void)pthread_mutex_lock(&pool->mu);
	open_us = open_us_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
	return open_us;
}

/* ---- A thread, on its own stack ---- */

struct sleeper {
	struct mesh__waiter waiter; /* first */
	pthread_cond_t woken;
};

static void wake_settled(struct mesh__waiter *w)
{
	(void)pthread_cond_signal(&((struct sleeper *)w)->woken);
}

static void wake_cancelled(void *arg)
{
	struct sleeper *s = arg;
	struct mesh__pool *pool = s->waiter.pool;

	(void)pthread_mutex_lock(&pool->mu);
	(void)pthread_cond_signal(&s->woken);
	(void)pthread_mutex_unlock(&pool->mu);
}

/* Sleeps once: for a signal, for the deadline, or for the moment from which more may dial. False after the deadline. */
static bool sleep_once_locked(struct sleeper *s, int64_t deadline_us)
{
	struct mesh__pool *pool = s->waiter.pool;
	int64_t open_us = open_us_locked(pool);

	if (open_us >= deadline_us) {
		return mesh__cond_wait_until(&s->woken, &pool->mu, pool->env, deadline_us);
	}
	(void)mesh__cond_wait_until(&s->woken, &pool->mu, pool->env, open_us);
	if (mesh__mono_us(pool->env) >= open_us) {
		mesh__queue_serve_locked(pool);
	}
	return true;
}

/* Sleeps once, and does what is due. False after the deadline. */
static bool wait_once_locked(struct sleeper *s, struct mesh__client_wait *wait)
{
	struct mesh__pool *pool = s->waiter.pool;
	bool due = wait->due != NULL && wait->due_us < wait->deadline_us;

	if (sleep_once_locked(s, mesh__wait_until_us(wait))) {
		return true;
	}
	if (due) {
		(void)pthread_mutex_unlock(&pool->mu);
		mesh__wait_do_due(wait, INT64_MAX);
		(void)pthread_mutex_lock(&pool->mu);
	}
	return due;
}

/* Until there is a grant, or no more time or wish for one. True when it was settled. */
static bool sleep_until_settled(struct sleeper *s, struct mesh__client_wait *wait)
{
	struct mesh__pool *pool = s->waiter.pool;
	bool settled;

	mesh__cancel_watch(wait->cancel, wake_cancelled, s);
	(void)pthread_mutex_lock(&pool->mu);
	while (s->waiter.queued && !mesh__cancel_fired(wait->cancel) && wait_once_locked(s, wait)) {
	}
	settled = !s->waiter.queued;
	if (!settled) {
		dequeue_locked(&s->waiter);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__cancel_unwatch(wait->cancel);
	return settled;
}

int mesh__queue_await(struct mesh__pool *pool, bool front, struct mesh__client_wait *wait, struct mesh__slot **slot, struct mesh__err *err)
{
	struct sleeper s = {.waiter = {.settled = wake_settled}};
	bool settled;
	int code;

	mesh__cond_init(&s.woken);
	code = mesh__queue_join(pool, &s.waiter, front, slot, err);
	if (code == MESH_E_WOULD_BLOCK) {
		settled = sleep_until_settled(&s, wait);
		*slot = s.waiter.slot;
		code = settled ? MESH_OK : mesh__pool_check(pool, mesh__mono_us(pool->env), wait->deadline_us, wait->cancel, err);
		if (s.waiter.hopeless) {
			code = mesh__queue_fail(pool, MESH_E_CONNECT, "cannot connect: one dial after the other has failed", err);
		} else if (!settled && code == MESH_OK) {
			/* Under a clock that was moved back meanwhile there is still no grant. */
			code = mesh__queue_fail(pool, MESH_E_TIMEOUT, "the deadline passed before there was a connection", err);
		}
	}
	(void)pthread_cond_destroy(&s.woken);
	return code;
}
