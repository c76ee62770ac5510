#include "http/curl_pool.h"

#include "base/wait.h"
#include "http/cancel.h"
#include "http/curl_peer.h"
#include "http/curl_slot.h"

/* A thread in the queue, on its own stack. It leaves the queue when it is granted something, or by itself. */
struct mesh__waiter {
	struct mesh__waiter *prev, *next;
	struct mesh__pool *pool;
	pthread_cond_t granted_cond;
	bool granted;
	bool hopeless;           /* out of the queue without a grant: mesh__pool_dial_failed() */
	struct mesh__slot *slot; /* NULL: leave to dial */
};

/* ---- A pool ---- */

void mesh__pool_options_default(struct mesh__pool_options *options)
{
	*options = (struct mesh__pool_options){.max_dials = 8, .max_pending = 1024, .max_connections = 1024, .idle_ms = 60000};
}

static void pool_free(struct mesh__pool *pool)
{
	mesh__share_unref(pool->share);
	mesh__creds_unref(pool->options.creds);
	mesh__shelves_fini(&pool->shelves);
	(void)pthread_mutex_destroy(&pool->mu);
	mesh__free(pool);
}

int mesh__pool_new(const struct mesh__env *env, const struct mesh__pool_options *options, struct mesh__pool **out, struct mesh__err *err)
{
	struct mesh__pool *pool;

	*out = NULL;
	if (options->max_dials < 1 || options->max_connections < 1 || options->max_pending < 0) {
		return mesh__fail(err, MESH_E_INVALID, "a pool of connections needs room for one connection and one dial");
	}
	if (options->target.insecure_plaintext != (options->creds == NULL)) {
		return mesh__fail(err, MESH_E_INVALID, "a pool of connections needs credentials, and without TLS none");
	}
	pool = mesh__alloc(&env->mem, sizeof(*pool));
	if (pool == NULL || pthread_mutex_init(&pool->mu, NULL) != 0) {
		mesh__free(pool);
		return mesh__fail_memory(err);
	}
	pool->env = env;
	mesh__shelves_init(&pool->shelves);
	atomic_init(&pool->refs, 1);
	pool->options = *options;
	pool->dials = (struct mesh__dials){.resumable = options->creds != NULL && mesh__curl_peer_readable(), .max = options->max_dials};
	if (options->creds != NULL) {
		(void)mesh__creds_ref(options->creds);
	}
	*out = pool;
	return MESH_OK;
}

struct mesh__pool *mesh__pool_ref(struct mesh__pool *pool)
{
	(void)atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
	return pool;
}

void mesh__pool_unref(struct mesh__pool *pool)
{
	if (pool != NULL && atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) == 1) {
		mesh__pool_sweep(pool, true);
		pool_free(pool);
	}
}

/* ---- Lists: the pool's lock is held ---- */

static void link_slot_locked(struct mesh__pool *pool, struct mesh__slot *slot)
{
	slot->prev = NULL;
	slot->next = pool->all;
	if (pool->all != NULL) {
		pool->all->prev = slot;
	}
	pool->all = slot;
}

static void unlink_slot_locked(struct mesh__pool *pool, struct mesh__slot *slot)
{
	if (slot->prev != NULL) {
		slot->prev->next = slot->next;
	} else {
		pool->all = slot->next;
	}
	if (slot->next != NULL) {
		slot->next->prev = slot->prev;
	}
}

static void enqueue_locked(struct mesh__pool *pool, struct mesh__waiter *w, bool front)
{
	w->prev = front ? NULL : pool->last;
	w->next = front ? pool->first : NULL;
	*(w->prev != NULL ? &w->prev->next : &pool->first) = w;
	*(w->next != NULL ? &w->next->prev : &pool->last) = w;
}

static void dequeue_locked(struct mesh__pool *pool, struct mesh__waiter *w)
{
	*(w->prev != NULL ? &w->prev->next : &pool->first) = w->next;
	*(w->next != NULL ? &w->next->prev : &pool->last) = w->prev;
	atomic_fetch_sub(&pool->n_waiting, 1);
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
	if (pool->n_connections >= pool->options.max_connections || !mesh__dials_may_begin(&pool->dials, now_us)) {
		return false;
	}
	mesh__dials_begin(&pool->dials, now_us, pool->first != NULL);
	pool->n_connections++;
	return true;
}

/* Something has become free: it goes to those who have waited longest. */
static void serve_queue_locked(struct mesh__pool *pool)
{
	while (pool->first != NULL) {
		struct mesh__waiter *w = pool->first;

		if (!grant_locked(pool, &w->slot)) {
			return;
		}
		dequeue_locked(pool, w);
		w->granted = true;
		(void)pthread_cond_signal(&w->granted_cond);
	}
}

/* ---- Waiting ---- */

static void wake_waiter(void *arg)
{
	struct mesh__waiter *w = arg;

	(void)pthread_mutex_lock(&w->pool->mu);
	(void)pthread_cond_signal(&w->granted_cond);
	(void)pthread_mutex_unlock(&w->pool->mu);
}

/* Waits once: for a signal, for the deadline, or for the moment from which more may dial. False after the deadline. */
static bool wait_once_locked(struct mesh__waiter *w, int64_t deadline_us)
{
	struct mesh__pool *pool = w->pool;
	int64_t open_us = mesh__dials_open_us(&pool->dials);

	if (open_us >= deadline_us || open_us <= mesh__mono_us(pool->env)) {
		return mesh__cond_wait_until(&w->granted_cond, &pool->mu, pool->env, deadline_us);
	}
	(void)mesh__cond_wait_until(&w->granted_cond, &pool->mu, pool->env, open_us);
	if (mesh__mono_us(pool->env) >= open_us) {
		serve_queue_locked(pool);
	}
	return true;
}

/* Until there is a grant, or no more time or wish for one. */
static void wait_for_grant(struct mesh__waiter *w, int64_t deadline_us, struct mesh__cancel *cancel)
{
	struct mesh__pool *pool = w->pool;

	mesh__cancel_watch(cancel, wake_waiter, w);
	(void)pthread_mutex_lock(&pool->mu);
	while (!w->granted && !w->hopeless && !mesh__cancel_fired(cancel) && wait_once_locked(w, deadline_us)) {
	}
	if (!w->granted && !w->hopeless) {
		dequeue_locked(pool, w);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__cancel_unwatch(cancel);
}

static int fail_for(struct mesh__pool *pool, int code, const char *how, struct mesh__err *err)
{
	const char *host = pool->options.target.host;
	char address[MESH__ADDR_TEXT];

	mesh__addr_format(&pool->options.target.address, address);
	return mesh__fail_at(err, code == MESH_E_CONNECT ? MESH__ORIGIN_CONNECT : MESH__ORIGIN_LOCAL, code, "%s%s%s: %s; nothing was sent", host, host[0] != '\0' ? " at " : "", address, how);
}

static int check_time(struct mesh__pool *pool, int64_t now_us, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err)
{
	if (mesh__cancel_fired(cancel)) {
		return fail_for(pool, MESH_E_CANCELLED, "cancelled while waiting for a connection", err);
	}
	if (now_us >= deadline_us) {
		return fail_for(pool, MESH_E_TIMEOUT, "the deadline passed before there was a connection", err);
	}
	return MESH_OK;
}

/* One slot, or leave to dial (*slot NULL). */
static int stand_in_queue(struct mesh__pool *pool, bool front, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__slot **slot, struct mesh__err *err)
{
	struct mesh__waiter w = {.pool = pool};
	bool granted, queued = false;
	int n_waiting, code = MESH_OK;

	(void)pthread_mutex_lock(&pool->mu);
	n_waiting = atomic_fetch_add(&pool->n_waiting, 1);
	granted = (front || pool->first == NULL) && grant_locked(pool, slot);
	if (!granted && (front || n_waiting < pool->options.max_pending)) {
		mesh__cond_init(&w.granted_cond);
		enqueue_locked(pool, &w, front);
		queued = true;
	} else {
		atomic_fetch_sub(&pool->n_waiting, 1);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	if (granted) {
		return MESH_OK;
	}
	if (!queued) {
		return fail_for(pool, MESH_E_OVERLOADED, "as many calls as maxPending allows wait for a connection", err);
	}
	wait_for_grant(&w, deadline_us, cancel);
	(void)pthread_cond_destroy(&w.granted_cond);
	*slot = w.slot;
	if (w.hopeless) {
		return fail_for(pool, MESH_E_CONNECT, "cannot connect: one dial after the other has failed", err);
	}
	if (!w.granted) {
		code = check_time(pool, mesh__mono_us(pool->env), deadline_us, cancel, err);
		/* Under a clock that was moved back meanwhile there is still no grant. */
		code = code != MESH_OK ? code : fail_for(pool, MESH_E_TIMEOUT, "the deadline passed before there was a connection", err);
	}
	return code;
}

/* ---- Taking and giving ---- */

/* The slot is with nobody from here on: its places go to others. `alive_us`: its connection was found dead, and was alive then; 0: it was not found so. */
static void discard(struct mesh__pool *pool, struct mesh__slot *slot, int64_t alive_us)
{
	(void)pthread_mutex_lock(&pool->mu);
	unlink_slot_locked(pool, slot);
	pool->n_connections--;
	if (slot->dialling) {
		mesh__dials_end(&pool->dials);
	}
	if (alive_us != 0) {
		mesh__dials_lost(&pool->dials, alive_us);
	}
	serve_queue_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__slot_free(slot);
}

static struct mesh__share *good_share_locked(struct mesh__pool *pool)
{
	return pool->share != NULL && mesh__share_good(pool->share) ? mesh__share_ref(pool->share) : NULL;
}

int mesh__pool_share(struct mesh__pool *pool, struct mesh__share **out, struct mesh__err *err)
{
	struct mesh__share *fresh, *old;
	int code;

	(void)pthread_mutex_lock(&pool->mu);
	*out = good_share_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
	if (*out != NULL || !pool->dials.resumable) {
		return MESH_OK;
	}
	code = mesh__share_new(pool->env, &fresh, err);
	if (code != MESH_OK || fresh == NULL) {
		return code;
	}
	(void)pthread_mutex_lock(&pool->mu);
	*out = good_share_locked(pool);
	old = fresh; /* another thread was faster */
	if (*out == NULL) {
		old = pool->share;
		pool->share = fresh;
		*out = mesh__share_ref(fresh);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__share_unref(old);
	return MESH_OK;
}

/* Leave to dial becomes a slot, or is given back. */
static int new_slot(struct mesh__pool *pool, struct mesh__slot **out, struct mesh__err *err)
{
	struct mesh__slot *slot = NULL;
	int code = mesh__slot_new(pool, &slot, err);

	(void)pthread_mutex_lock(&pool->mu);
	if (code == MESH_OK) {
		slot->dialling = true;
		link_slot_locked(pool, slot);
	} else {
		pool->n_connections--;
		mesh__dials_end(&pool->dials);
		serve_queue_locked(pool);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	*out = slot;
	return code;
}

/* A server that closed a kept connection is the usual end of a rolling restart: seen here, it costs a dial; seen by libcurl after sending, it would cost the call. */
static bool dead(const struct mesh__slot *slot)
{
	return slot->conns.first == NULL || !mesh__conns_quiet(&slot->conns);
}

static bool usable(const struct mesh__pool *pool, const struct mesh__slot *slot, int64_t now_us)
{
	return now_us - slot->idle_since_us < pool->options.idle_ms * 1000 && !mesh__conns_expired(&slot->conns) && !dead(slot);
}

int mesh__pool_take(struct mesh__pool *pool, bool again, int64_t now_us, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__slot **out, struct mesh__err *err)
{
	*out = NULL;
	for (;;) {
		struct mesh__slot *slot = NULL;
		int code = check_time(pool, now_us, deadline_us, cancel, err);

		if (code == MESH_OK && (again || atomic_load(&pool->n_waiting) == 0)) {
			slot = mesh__shelves_take(&pool->shelves);
		}
		if (code == MESH_OK && slot == NULL) {
			code = stand_in_queue(pool, again, deadline_us, cancel, &slot, err);
			now_us = mesh__mono_us(pool->env);
		}
		if (code != MESH_OK) {
			return code;
		}
		if (slot == NULL) {
			return new_slot(pool, out, err);
		}
		if (usable(pool, slot, now_us)) {
			*out = slot;
			return MESH_OK;
		}
		discard(pool, slot, dead(slot) ? slot->idle_since_us : 0);
		again = true;
	}
}

void mesh__pool_dialled(struct mesh__slot *slot)
{
	struct mesh__pool *pool = slot->pool;

	if (!slot->dialling) {
		return;
	}
	(void)pthread_mutex_lock(&pool->mu);
	slot->dialling = false;
	mesh__dials_succeeded(&pool->dials, mesh__mono_us(pool->env));
	mesh__dials_end(&pool->dials);
	pool->n_failed = 0;
	serve_queue_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
}

void mesh__pool_dial_failed(struct mesh__slot *slot)
{
	struct mesh__pool *pool = slot->pool;

	if (!slot->dialling) {
		return;
	}
	(void)pthread_mutex_lock(&pool->mu);
	mesh__dials_failed(&pool->dials);
	pool->n_failed += pool->n_failed < pool->options.max_dials;
	/* Who waits for a first dial alone may dial himself when it has failed, and has his own answer; only behind a full number of them is there nothing to hope for. */
	if (pool->n_failed >= pool->options.max_dials && pool->dials.n >= pool->options.max_dials && pool->n_connections == pool->dials.n) {
		while (pool->first != NULL) {
			struct mesh__waiter *w = pool->first;

			dequeue_locked(pool, w);
			w->hopeless = true;
			(void)pthread_cond_signal(&w->granted_cond);
		}
	}
	(void)pthread_mutex_unlock(&pool->mu);
}

void mesh__pool_give(struct mesh__slot *slot, int64_t now_us, bool keep)
{
	struct mesh__pool *pool = slot->pool;

	slot->idle_since_us = now_us;
	if (!keep || !mesh__shelves_put(&pool->shelves, slot)) {
		/* What was sent on was alive when it was taken. */
		discard(pool, slot, slot->easy.dial_refused || slot->easy.again ? slot->easy.begun_us : 0);
	} else if (atomic_load(&pool->n_waiting) > 0) {
		(void)pthread_mutex_lock(&pool->mu);
		serve_queue_locked(pool);
		(void)pthread_mutex_unlock(&pool->mu);
	}
}

/* ---- Closing ---- */

static void close_idle(struct mesh__pool *pool, bool all, bool retire)
{
	int64_t limit_us = all ? INT64_MAX : mesh__mono_us(pool->env) - pool->options.idle_ms * 1000;
	struct mesh__slot *cut = mesh__shelves_cut(&pool->shelves, limit_us, retire);

	while (cut != NULL) {
		struct mesh__slot *slot = cut;

		cut = slot->next_idle;
		discard(pool, slot, 0);
	}
}

void mesh__pool_sweep(struct mesh__pool *pool, bool all)
{
	close_idle(pool, all, false);
}

void mesh__pool_retire(struct mesh__pool *pool)
{
	close_idle(pool, true, true);
}

void mesh__pool_abandon(struct mesh__pool *pool)
{
	/*
	 * The memory stays, that of idle ones too: to free it, libcurl's TLS library takes locks of the whole process, and a thread of the parent that was making a connection may have held one.
	 */
	for (struct mesh__slot *slot = pool->all; slot != NULL; slot = slot->next) {
		mesh__conns_abandon(&slot->conns);
		mesh__wakeup_abandon(&slot->wakeup);
	}
}
