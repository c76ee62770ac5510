#include "http/curl_pool.h"

#include "http/cancel.h"
#include "http/circuit.h"
#include "http/curl_peer.h"
#include "http/curl_queue.h"
#include "http/curl_shared.h"
#include "http/curl_slot.h"

/* ---- A pool ---- */

void mesh__pool_options_default(struct mesh__pool_options *options)
{
	*options = (struct mesh__pool_options){.max_dials = 8, .max_pending = 1024, .max_connections = 1024, .idle_ms = 60000};
}

static void pool_free(struct mesh__pool *pool)
{
	mesh__circuit_leave(pool);
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
	mesh__circuit_join(pool);
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

/* ---- Taking and giving ---- */

int mesh__pool_check(struct mesh__pool *pool, int64_t now_us, int64_t deadline_us, struct mesh__cancel *cancel, struct mesh__err *err)
{
	if (mesh__cancel_fired(cancel)) {
		return mesh__queue_fail(pool, MESH_E_CANCELLED, "cancelled while waiting for a connection", err);
	}
	if (now_us >= deadline_us) {
		return mesh__queue_fail(pool, MESH_E_TIMEOUT, "the deadline passed before there was a connection", err);
	}
	return MESH_OK;
}

/* The slot is with nobody from here on: its places go to others. `alive_us`: its connection was found dead, and was alive then; 0: it was not found so. */
static void discard(struct mesh__pool *pool, struct mesh__slot *slot, int64_t alive_us)
{
	(void)pthread_mutex_lock(&pool->mu);
	unlink_slot_locked(pool, slot);
	if (slot->dialling) {
		mesh__dials_end(&pool->dials);
	}
	if (alive_us != 0) {
		mesh__dials_lost(&pool->dials, alive_us);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__slot_free(slot); /* closed before its place is free: never is there one more than may be */
	(void)pthread_mutex_lock(&pool->mu);
	mesh__circuit_disconnect_locked(pool);
	mesh__queue_serve_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__circuit_relieve(pool->options.circuit);
}

bool mesh__pool_give_way(struct mesh__pool *pool)
{
	struct mesh__slot *slot;
	bool may;

	(void)pthread_mutex_lock(&pool->mu);
	may = pool->n_connections > 1 && pool->first == NULL;
	(void)pthread_mutex_unlock(&pool->mu);
	slot = may ? mesh__shelves_take(&pool->shelves) : NULL;
	if (slot != NULL) {
		discard(pool, slot, 0);
	}
	return slot != NULL;
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

/* Leave to dial that led to no slot. */
static void give_leave_back_locked(struct mesh__pool *pool)
{
	mesh__circuit_disconnect_locked(pool);
	mesh__dials_end(&pool->dials);
	mesh__queue_serve_locked(pool);
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
		give_leave_back_locked(pool);
	}
	(void)pthread_mutex_unlock(&pool->mu);
	if (code != MESH_OK) {
		mesh__circuit_relieve(pool->options.circuit);
	}
	*out = slot;
	return code;
}

/* A server that closed a kept connection is the usual end of a rolling restart: seen here, it costs a dial; seen by libcurl after sending, it would cost the call. */
static bool dead(struct mesh__slot *slot)
{
	return slot->conns.first == NULL || !mesh__conns_quiet(&slot->conns);
}

static bool usable(const struct mesh__pool *pool, struct mesh__slot *slot, int64_t now_us)
{
	return now_us - slot->idle_since_us < pool->options.idle_ms * 1000 && !mesh__conns_expired(&slot->conns) && !dead(slot);
}

/* What was granted, made ready for an exchange. False: it had died, and is no more; ask again, at the front of the queue. */
static bool ready(struct mesh__pool *pool, struct mesh__slot *slot, int64_t now_us, struct mesh__slot **out, int *code, struct mesh__err *err)
{
	*out = slot;
	*code = MESH_OK;
	if (slot == NULL) {
		*code = new_slot(pool, out, err);
	} else if (!usable(pool, slot, now_us)) {
		discard(pool, slot, dead(slot) ? slot->idle_since_us : 0);
		*out = NULL;
		return false;
	}
	return true;
}

void mesh__wait_do_due(struct mesh__client_wait *wait, int64_t now_us)
{
	void (*due)(void *arg) = wait->due;

	if (due != NULL && now_us >= wait->due_us) {
		wait->due = NULL;
		due(wait->arg);
	}
}

int mesh__pool_take(struct mesh__pool *pool, bool again, int64_t now_us, struct mesh__client_wait *wait, struct mesh__slot **out, struct mesh__err *err)
{
	struct mesh__slot *slot;
	int code;

	*out = NULL;
	do {
		slot = NULL;
		code = mesh__pool_check(pool, now_us, wait->deadline_us, wait->cancel, err);
		if (code == MESH_OK && (again || atomic_load(&pool->n_waiting) == 0)) {
			slot = mesh__shelves_take(&pool->shelves);
		}
		if (code == MESH_OK && slot == NULL) {
			code = mesh__queue_await(pool, again, wait, &slot, err);
			now_us = mesh__mono_us(pool->env);
		}
		if (code != MESH_OK) {
			return code;
		}
		again = true;
	} while (!ready(pool, slot, now_us, out, &code, err));
	return code;
}

int mesh__pool_ask(struct mesh__pool *pool, struct mesh__waiter *w, bool again, struct mesh__slot **out, struct mesh__err *err)
{
	struct mesh__slot *slot;
	int code;

	*out = NULL;
	do {
		slot = again || atomic_load(&pool->n_waiting) == 0 ? mesh__shelves_take(&pool->shelves) : NULL;
		code = slot == NULL ? mesh__queue_join(pool, w, again, &slot, err) : MESH_OK;
		if (code != MESH_OK) {
			return code;
		}
		again = true;
	} while (!ready(pool, slot, mesh__mono_us(pool->env), out, &code, err));
	return code;
}

int mesh__pool_accept(struct mesh__waiter *w, struct mesh__slot **out, struct mesh__err *err)
{
	struct mesh__pool *pool = w->pool;
	int code;

	*out = NULL;
	if (w->hopeless) {
		return mesh__queue_fail(pool, MESH_E_CONNECT, "cannot connect: one dial after the other has failed", err);
	}
	return ready(pool, w->slot, mesh__mono_us(pool->env), out, &code, err) ? code : mesh__pool_ask(pool, w, true, out, err);
}

void mesh__pool_decline(struct mesh__waiter *w)
{
	struct mesh__pool *pool = w->pool;

	if (w->hopeless) {
		return;
	}
	if (w->slot != NULL) {
		mesh__pool_give(w->slot, w->slot->idle_since_us, true);
		return;
	}
	(void)pthread_mutex_lock(&pool->mu);
	give_leave_back_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
	mesh__circuit_relieve(pool->options.circuit);
}

void mesh__pool_dialled(struct mesh__slot *slot)
{
	struct mesh__pool *pool = slot->pool;

	if (!slot->dialling || slot->easy.session_later) {
		return;
	}
	(void)pthread_mutex_lock(&pool->mu);
	slot->dialling = false;
	mesh__dials_succeeded(&pool->dials, mesh__mono_us(pool->env));
	mesh__dials_end(&pool->dials);
	pool->n_failed = 0;
	mesh__queue_serve_locked(pool);
	(void)pthread_mutex_unlock(&pool->mu);
}

void mesh__pool_heard(struct mesh__slot *slot)
{
	if (slot->easy.session_later && mesh__easy_session_came(&slot->easy)) {
		mesh__pool_dialled(slot);
	}
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
		mesh__queue_dismiss_locked(pool);
	}
	(void)pthread_mutex_unlock(&pool->mu);
}

void mesh__pool_give(struct mesh__slot *slot, int64_t now_us, bool keep)
{
	struct mesh__pool *pool = slot->pool;

	slot->idle_since_us = now_us;
	if (!keep || !mesh__shelves_put(&pool->shelves, slot)) {
		/* What was sent on was alive when it was taken. */
		discard(pool, slot, slot->easy.lost ? slot->easy.begun_us : 0);
	} else if (atomic_load(&pool->n_waiting) > 0) {
		(void)pthread_mutex_lock(&pool->mu);
		mesh__queue_serve_locked(pool);
		(void)pthread_mutex_unlock(&pool->mu);
	} else if (mesh__circuit_wanted(pool->options.circuit)) {
		(void)mesh__pool_give_way(pool);
	}
}

bool mesh__pool_finish(struct mesh__slot *slot, int code, int64_t now_us)
{
	bool again = code != MESH_OK && mesh__easy_unsent_stale(&slot->easy);

	if (code == MESH_E_CONNECT || code == MESH_E_TLS || code == MESH_E_IDENTITY) {
		mesh__pool_dial_failed(slot);
	}
	if (code == MESH_OK) {
		slot->easy.session_later = false; /* it has come with the answer, or comes not at all */
		mesh__pool_dialled(slot);
	}
	mesh__pool_give(slot, now_us, code == MESH_OK && mesh__easy_keeps_connection(&slot->easy));
	return again;
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
	while (mesh__circuit_wanted(pool->options.circuit) && mesh__pool_give_way(pool)) {
	}
}

void mesh__pool_retire(struct mesh__pool *pool)
{
	close_idle(pool, true, true);
	mesh__shared_retire(pool);
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
	mesh__shared_abandon(pool);
}
