#include "http/circuit.h"

#include <stdio.h>

#include "http/curl_queue.h"
#include "telemetry/metrics.h"

struct mesh__circuit {
	struct mesh__counter *short_of_places, *pending_refused; /* NULL: nobody counts */
	char name[MESH__CIRCUIT_NAME];
	_Atomic int32_t max_connections, max_pending;
	_Atomic int32_t n_connections, n_places; /* change with a connection's life, not with a call's */
	_Atomic int32_t n_hungry;                /* changed under the lock, and before he who is hungry looks for a place again: whoever frees one sees him, or he the place */
	char apart[MESH__APART];
	_Atomic int32_t n_pending;
	_Atomic int refs;
	pthread_mutex_t mu;                      /* guards what follows, and what pools say is guarded by it */
	struct mesh__pool *first;
	int32_t n_pools, n_seats;
	int32_t n_kept;                          /* places of their own: the more of the two */
};

/* ---- Its life ---- */

int mesh__circuit_new(const struct mesh__env *env, const struct mesh__circuit_options *options, struct mesh__circuit **out, struct mesh__err *err)
{
	struct mesh__circuit *c = mesh__alloc(&env->mem, sizeof(*c));

	*out = NULL;
	if (c == NULL || pthread_mutex_init(&c->mu, NULL) != 0) {
		mesh__free(c);
		return mesh__fail_memory(err);
	}
	atomic_init(&c->refs, 1);
	(void)snprintf(c->name, sizeof(c->name), "%s", options->name);
	if (options->metrics != NULL) {
		c->short_of_places = mesh__metrics_counter(options->metrics, MESH__CIRCUIT_METRIC, MESH__CIRCUIT_HELP, "limit", "maxConnections");
		c->pending_refused = mesh__metrics_counter(options->metrics, MESH__CIRCUIT_METRIC, MESH__CIRCUIT_HELP, "limit", "maxPending");
	}
	mesh__circuit_limit(c, options->max_connections, options->max_pending);
	*out = c;
	return MESH_OK;
}

struct mesh__circuit *mesh__circuit_ref(struct mesh__circuit *c)
{
	(void)atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void mesh__circuit_unref(struct mesh__circuit *c)
{
	if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
		(void)pthread_mutex_destroy(&c->mu);
		mesh__free(c);
	}
}

void mesh__circuit_limit(struct mesh__circuit *c, int32_t max_connections, int32_t max_pending)
{
	atomic_store(&c->max_connections, max_connections);
	atomic_store(&c->max_pending, max_pending);
	mesh__circuit_relieve(c);
}

int32_t mesh__circuit_connections(const struct mesh__circuit *c)
{
	return atomic_load_explicit(&c->n_connections, memory_order_relaxed);
}

int32_t mesh__circuit_pending(const struct mesh__circuit *c)
{
	return atomic_load_explicit(&c->n_pending, memory_order_relaxed);
}

static void count(struct mesh__counter *counter)
{
	if (counter != NULL) {
		mesh__count(counter, 1);
	}
}

/* ---- The pools in it: the circuit's lock is held ---- */

static void link_locked(struct mesh__circuit *c, struct mesh__pool *pool)
{
	struct mesh__pool **end = &c->first;

	while (*end != NULL) {
		end = &(*end)->circuit_next;
	}
	pool->circuit_next = NULL;
	*end = pool;
}

static void unlink_locked(struct mesh__circuit *c, struct mesh__pool *pool)
{
	struct mesh__pool **at = &c->first;

	while (*at != pool) {
		at = &(*at)->circuit_next;
	}
	*at = pool->circuit_next;
}

static void set_hungry_locked(struct mesh__circuit *c, struct mesh__pool *pool, bool hungry)
{
	if (pool->hungry != hungry) {
		pool->hungry = hungry;
		atomic_fetch_add(&c->n_hungry, hungry ? 1 : -1);
	}
}

/* One whose last reference has just gone is on its way out of the list. */
static bool ref_living(struct mesh__pool *pool)
{
	int refs = atomic_load_explicit(&pool->refs, memory_order_relaxed);

	while (refs > 0) {
		if (atomic_compare_exchange_weak_explicit(&pool->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed)) {
			return true;
		}
	}
	return false;
}

/* For each endpoint one, whether there is a pool yet or not: else the connections of the first would leave none to who comes later. And for each pool, as an endpoint has two while its credentials change. */
static void keep_places_locked(struct mesh__circuit *c, int32_t seats, int32_t pools)
{
	int32_t kept;

	c->n_seats += seats;
	c->n_pools += pools;
	kept = c->n_seats > c->n_pools ? c->n_seats : c->n_pools;
	atomic_fetch_add(&c->n_places, kept - c->n_kept);
	c->n_kept = kept;
}

void mesh__circuit_seat(struct mesh__circuit *c, int32_t n)
{
	(void)pthread_mutex_lock(&c->mu);
	keep_places_locked(c, n, 0);
	(void)pthread_mutex_unlock(&c->mu);
	mesh__circuit_relieve(c);
}

void mesh__circuit_join(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;

	if (c != NULL) {
		(void)mesh__circuit_ref(c);
		(void)pthread_mutex_lock(&c->mu);
		link_locked(c, pool);
		keep_places_locked(c, 0, 1);
		(void)pthread_mutex_unlock(&c->mu);
	}
}

void mesh__circuit_leave(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;

	if (c != NULL) {
		(void)pthread_mutex_lock(&c->mu);
		unlink_locked(c, pool);
		set_hungry_locked(c, pool, false);
		keep_places_locked(c, 0, -1);
		(void)pthread_mutex_unlock(&c->mu);
		mesh__circuit_relieve(c);
		mesh__circuit_unref(c);
	}
}

/* ---- Places ---- */

static bool has_room(const struct mesh__circuit *c)
{
	return atomic_load(&c->n_places) < atomic_load(&c->max_connections);
}

/* Not added first and taken back: what is refused must not be counted, be it for a moment, against what is within the limit. */
static bool count_below(_Atomic int32_t *n, const _Atomic int32_t *max)
{
	int32_t now = atomic_load(n);

	while (now < atomic_load(max)) {
		if (atomic_compare_exchange_weak(n, &now, now + 1)) {
			return true;
		}
	}
	return false;
}

static bool take_place(struct mesh__circuit *c)
{
	return count_below(&c->n_places, &c->max_connections);
}

/* Hungry first, then looked again: see n_hungry. */
static bool take_place_or_starve(struct mesh__circuit *c, struct mesh__pool *pool)
{
	bool taken;

	if (take_place(c)) {
		return true;
	}
	(void)pthread_mutex_lock(&c->mu);
	set_hungry_locked(c, pool, true);
	taken = take_place(c);
	if (taken) {
		set_hungry_locked(c, pool, false);
	}
	(void)pthread_mutex_unlock(&c->mu);
	return taken;
}

bool mesh__circuit_connect_locked(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;

	if (c != NULL) {
		if (pool->n_connections > 0 && !take_place_or_starve(c, pool)) {
			return false;
		}
		atomic_fetch_add(&c->n_connections, 1);
	}
	pool->n_connections++;
	return true;
}

void mesh__circuit_disconnect_locked(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;

	pool->n_connections--;
	if (c != NULL) {
		atomic_fetch_sub(&c->n_connections, 1);
		if (pool->n_connections > 0) {
			atomic_fetch_sub(&c->n_places, 1);
		}
	}
}

/* The one that is hungry for longest, referenced, and not hungry any more: should it still be, it says so again, behind the others. */
static struct mesh__pool *next_hungry(struct mesh__circuit *c)
{
	struct mesh__pool *pool;

	(void)pthread_mutex_lock(&c->mu);
	for (pool = c->first; pool != NULL && !(pool->hungry && ref_living(pool)); pool = pool->circuit_next) {
	}
	if (pool != NULL) {
		set_hungry_locked(c, pool, false);
		unlink_locked(c, pool);
		link_locked(c, pool);
	}
	(void)pthread_mutex_unlock(&c->mu);
	return pool;
}

void mesh__circuit_relieve(struct mesh__circuit *c)
{
	struct mesh__pool *pool;

	while (c != NULL && atomic_load(&c->n_hungry) > 0 && has_room(c) && (pool = next_hungry(c)) != NULL) {
		mesh__queue_serve(pool);
		mesh__pool_unref(pool);
	}
}

bool mesh__circuit_wanted(const struct mesh__circuit *c)
{
	return c != NULL && (atomic_load(&c->n_hungry) > 0 || atomic_load(&c->n_places) > atomic_load(&c->max_connections));
}

/* Another pool that nobody waits in, referenced, at the end of the list from here on; NULL: none. */
static struct mesh__pool *next_idle(struct mesh__circuit *c, const struct mesh__pool *but)
{
	struct mesh__pool *pool;

	(void)pthread_mutex_lock(&c->mu);
	for (pool = c->first; pool != NULL && !(pool != but && atomic_load(&pool->n_waiting) == 0 && ref_living(pool)); pool = pool->circuit_next) {
	}
	if (pool != NULL) {
		unlink_locked(c, pool);
		link_locked(c, pool);
	}
	(void)pthread_mutex_unlock(&c->mu);
	return pool;
}

/* How many pools there are; 0 when this one is not hungry. */
static size_t n_to_ask(struct mesh__circuit *c, const struct mesh__pool *pool)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&c->mu);
	for (const struct mesh__pool *p = pool->hungry ? c->first : NULL; p != NULL; p = p->circuit_next) {
		n++;
	}
	(void)pthread_mutex_unlock(&c->mu);
	return n;
}

void mesh__circuit_make_room(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;
	bool made = false;
	size_t n;

	if (c == NULL || atomic_load(&c->n_hungry) == 0 || (n = n_to_ask(c, pool)) == 0) {
		return;
	}
	count(c->short_of_places);
	for (; n > 0 && !made; n--) {
		struct mesh__pool *other = next_idle(c, pool);
		made = other == NULL || mesh__pool_give_way(other);
		mesh__pool_unref(other);
	}
}

/* ---- Who waits ---- */

bool mesh__circuit_wait_locked(struct mesh__pool *pool, bool anyway)
{
	struct mesh__circuit *c = pool->options.circuit;

	if (c == NULL || count_below(&c->n_pending, &c->max_pending)) {
		return true;
	}
	if (anyway) {
		atomic_fetch_add(&c->n_pending, 1);
		return true;
	}
	count(c->pending_refused);
	return false;
}

void mesh__circuit_waited_locked(struct mesh__pool *pool)
{
	if (pool->options.circuit != NULL) {
		atomic_fetch_sub(&pool->options.circuit->n_pending, 1);
	}
}

void mesh__circuit_sated_locked(struct mesh__pool *pool)
{
	struct mesh__circuit *c = pool->options.circuit;

	if (c != NULL && atomic_load(&c->n_hungry) > 0) {
		(void)pthread_mutex_lock(&c->mu);
		set_hungry_locked(c, pool, false);
		(void)pthread_mutex_unlock(&c->mu);
	}
}

int mesh__circuit_fail(const struct mesh__pool *pool, struct mesh__err *err)
{
	const struct mesh__circuit *c = pool->options.circuit;

	return mesh__fail_at(err, MESH__ORIGIN_POLICY, MESH_E_OVERLOADED, "%s: circuitBreaker.maxPending: %d calls wait for a connection, and no more may; nothing was sent", c->name,
		atomic_load_explicit(&c->max_pending, memory_order_relaxed));
}
