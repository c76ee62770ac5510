#include "outbound/endpoint.h"

#include <stdio.h>
#include <string.h>

enum { EARLY_MAX_MS = 60000 };

static const int64_t cost_max_us = INT64_C(1000000) * 86400; /* what is told of one */

/*
 * The latency is one 64-bit word, so that callers read and change it without a lock: the value in microseconds as a float above, the moment of the last sample in milliseconds since the endpoint was made
 * below. Those wrap after 49 days, which decay has forgotten long before.
 */
static struct mesh__ewma unpack(const struct mesh__endpoint *e, uint64_t word, int64_t now_us)
{
	uint32_t high = (uint32_t)(word >> 32), stamp_ms = (uint32_t)word;
	uint32_t now_ms = (uint32_t)((now_us - e->made_us) / 1000);
	uint32_t age_ms = now_ms - stamp_ms;
	struct mesh__ewma ewma;
	float value;

	/* Another thread's sample, made after this one read its clock, is not one of 49 days ago. */
	if (age_ms > UINT32_MAX - EARLY_MAX_MS) {
		age_ms = 0;
	}
	ewma.stamp_us = now_us - (int64_t)age_ms * 1000;
	memcpy(&value, &high, sizeof(value));
	ewma.value_us = (double)value;
	return ewma;
}

static uint64_t pack(const struct mesh__endpoint *e, struct mesh__ewma ewma)
{
	float value = (float)ewma.value_us;
	uint32_t high, stamp_ms = (uint32_t)((ewma.stamp_us - e->made_us) / 1000);

	memcpy(&high, &value, sizeof(high));
	return (uint64_t)high << 32 | stamp_ms;
}

double mesh__endpoint_weight(const struct mesh__endpoint *e, int64_t window_ms, int64_t now_us)
{
	if (window_ms == 0) {
		return (double)e->weight;
	}
	return mesh__slow_start((double)e->weight, now_us - atomic_load_explicit(&e->fresh_us, memory_order_relaxed), window_ms);
}

double mesh__endpoint_cost(const struct mesh__endpoint *e, double weight, int64_t now_us)
{
	struct mesh__ewma ewma = unpack(e, atomic_load_explicit(&e->latency, memory_order_relaxed), now_us);

	return mesh__ewma_cost(ewma, atomic_load_explicit(&e->inflight, memory_order_relaxed), weight, now_us);
}

void mesh__endpoint_sample(struct mesh__endpoint *e, int64_t rtt_us, bool failed, int64_t now_us)
{
	uint64_t before = atomic_load_explicit(&e->latency, memory_order_relaxed), after;

	do {
		after = pack(e, mesh__ewma_sample(unpack(e, before, now_us), rtt_us, failed, now_us));
	} while (!atomic_compare_exchange_weak_explicit(&e->latency, &before, after, memory_order_relaxed, memory_order_relaxed));
}

void mesh__endpoint_outlasted(struct mesh__endpoint *e, int64_t rtt_us, int64_t now_us)
{
	if ((double)rtt_us > unpack(e, atomic_load_explicit(&e->latency, memory_order_relaxed), now_us).value_us) {
		mesh__endpoint_sample(e, rtt_us, false, now_us);
	}
}

/* What was marked is seen by whoever sees the epoch, and who counted too early counts again. */
static void tell_health(struct mesh__endpoint *e, uint32_t before, uint32_t after)
{
	struct mesh__destination *d = e->destination;

	if (after == 0) { /* what was cold may be so again */
		atomic_store_explicit(&e->fresh_us, mesh__mono_us(e->env), memory_order_relaxed);
	}
	if ((before == 0) != (after == 0)) {
		atomic_fetch_add_explicit(&d->n_unhealthy, after != 0 ? 1 : -1, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&d->health_epoch, 1, memory_order_release);
}

bool mesh__endpoint_mark(struct mesh__endpoint *e, enum mesh__unhealthy reason, bool on)
{
	uint32_t bit = (uint32_t)reason, before, after;

	before = on ? atomic_fetch_or_explicit(&e->unhealthy, bit, memory_order_relaxed) : atomic_fetch_and_explicit(&e->unhealthy, ~bit, memory_order_relaxed);
	after = on ? before | bit : before & ~bit;
	if (after == before) {
		return false;
	}
	tell_health(e, before, after);
	return true;
}

static void mark_healthy(struct mesh__endpoint *e)
{
	uint32_t before = atomic_exchange_explicit(&e->unhealthy, 0, memory_order_relaxed);

	if (before != 0) {
		tell_health(e, before, 0);
	}
}

void mesh__endpoint_list_init(struct mesh__endpoint_list *list, const struct mesh__env *env)
{
	list->env = env;
	list->first = NULL;
	mesh__destination_list_init(&list->destinations, env);
	(void)pthread_mutex_init(&list->mu, NULL);
}

void mesh__endpoint_list_fini(struct mesh__endpoint_list *list)
{
	mesh__destination_list_fini(&list->destinations);
	(void)pthread_mutex_destroy(&list->mu);
}

/* Its pool, referenced, or NULL. */
static struct mesh__pool *pool_of(struct mesh__endpoint *e)
{
	struct mesh__pool *pool;

	(void)pthread_mutex_lock(&e->mu);
	pool = e->pool == NULL ? NULL : mesh__pool_ref(e->pool);
	(void)pthread_mutex_unlock(&e->mu);
	return pool;
}

void mesh__endpoint_list_sweep(struct mesh__endpoint_list *list)
{
	(void)pthread_mutex_lock(&list->mu);
	for (struct mesh__endpoint *e = list->first; e != NULL; e = e->next) {
		struct mesh__pool *pool = pool_of(e);
		if (pool != NULL) {
			mesh__pool_sweep(pool, false); /* closes connections: no call waits for that */
			mesh__pool_unref(pool);
		}
	}
	(void)pthread_mutex_unlock(&list->mu);
}

void mesh__endpoint_list_leave(struct mesh__endpoint_list *list, struct mesh__loop *loop)
{
	(void)pthread_mutex_lock(&list->mu);
	for (struct mesh__endpoint *e = list->first; e != NULL; e = e->next) {
		struct mesh__pool *pool = pool_of(e);
		if (pool != NULL) {
			mesh__pool_leave(pool, loop);
			mesh__pool_unref(pool);
		}
	}
	(void)pthread_mutex_unlock(&list->mu);
}

void mesh__endpoint_list_abandon(struct mesh__endpoint_list *list)
{
	for (struct mesh__endpoint *e = list->first; e != NULL; e = e->next) {
		if (e->pool != NULL) {
			mesh__pool_abandon(e->pool);
		}
	}
}

static void fini(struct mesh__endpoint *e)
{
	if (e->pool != NULL) {
		mesh__pool_retire(e->pool);
		mesh__pool_unref(e->pool);
	}
	if (!e->left) {
		mesh__outlier_leave(e);
		mesh__circuit_seat(e->destination->circuit, -1);
	}
	mark_healthy(e); /* whatever was marked after it left */
	mesh__destination_unref(e->destination);
	(void)pthread_mutex_destroy(&e->mu);
	mesh__free(e->instance);
	mesh__free(e->version);
	mesh__free(e->zone);
	mesh__free(e);
}

void mesh__endpoint_ref(struct mesh__endpoint *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

bool mesh__endpoint_try_ref(struct mesh__endpoint *e)
{
	int refs = atomic_load_explicit(&e->refs, memory_order_relaxed);

	while (refs > 0 && !atomic_compare_exchange_weak_explicit(&e->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed)) {
	}
	return refs > 0;
}

void mesh__endpoint_unref(struct mesh__endpoint *e)
{
	if (e == NULL || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	(void)pthread_mutex_lock(&e->list->mu);
	*e->link = e->next;
	if (e->next != NULL) {
		e->next->link = e->link;
	}
	(void)pthread_mutex_unlock(&e->list->mu);
	fini(e);
}

static void aim(struct mesh__endpoint *e, const struct mesh__endpoint_spec *spec)
{
	e->target.address = spec->address;
	e->target.insecure_plaintext = spec->insecure_plaintext;
	mesh__addr_format(&spec->address, e->address);
	mesh__dns_format(spec->service, e->target.host);
	mesh__spiffe_format(spec->service, e->target.spiffe);
}

static struct mesh__endpoint *make(void *ctx, const struct mesh__endpoint_spec *spec)
{
	struct mesh__endpoint_list *list = ctx;
	const struct mesh__mem *mem = &list->env->mem;
	struct mesh__endpoint *e = mesh__alloc(mem, sizeof(*e));

	if (e == NULL) {
		return NULL;
	}
	atomic_init(&e->refs, 1);
	e->list = list;
	e->env = list->env;
	e->made_us = mesh__mono_us(list->env);
	atomic_init(&e->fresh_us, e->made_us);
	e->weight = spec->weight == 0 ? 1 : spec->weight;
	(void)pthread_mutex_init(&e->mu, NULL);
	aim(e, spec);
	e->destination = spec->destination;
	mesh__destination_ref(e->destination);
	mesh__circuit_seat(e->destination->circuit, 1);
	mesh__outlier_join(e);
	e->instance = mesh__strdup(mem, spec->instance);
	e->version = mesh__strdup(mem, spec->version);
	e->zone = mesh__strdup(mem, spec->zone);
	if (e->instance == NULL || (spec->version != NULL && e->version == NULL) || (spec->zone != NULL && e->zone == NULL)) {
		fini(e);
		return NULL;
	}
	(void)pthread_mutex_lock(&list->mu);
	e->next = list->first;
	e->link = &list->first;
	if (e->next != NULL) {
		e->next->link = &e->next;
	}
	list->first = e;
	(void)pthread_mutex_unlock(&list->mu);
	return e;
}

static void leave(struct mesh__endpoint *e)
{
	(void)pthread_mutex_lock(&e->mu);
	e->left = true;
	if (e->pool != NULL) {
		mesh__pool_retire(e->pool);
	}
	(void)pthread_mutex_unlock(&e->mu);
	mesh__outlier_leave(e);
	mark_healthy(e);
	mesh__circuit_seat(e->destination->circuit, -1);
}

static void labels(const struct mesh__endpoint *e, struct mesh__labels *out)
{
	*out = (struct mesh__labels){.version = e->version, .zone = e->zone};
}

static void view(const struct mesh__endpoint *e, struct mesh__endpoint_view *out)
{
	uint32_t unhealthy = atomic_load_explicit(&e->unhealthy, memory_order_relaxed);
	double cost_us = mesh__endpoint_cost(e, (double)e->weight, mesh__mono_us(e->env));

	*out = (struct mesh__endpoint_view){.instance = e->instance, .ejected = (unhealthy & MESH__UNHEALTHY_EJECTED) != 0, .failed_check = (unhealthy & MESH__UNHEALTHY_CHECK) != 0};
	if (atomic_load_explicit(&e->latency, memory_order_relaxed) >> 32 != 0) {
		out->cost_us = cost_us < 1 ? 1 : cost_us < (double)cost_max_us ? (int64_t)cost_us : cost_max_us;
	}
}

static uint32_t health_epoch(const struct mesh__destination *d)
{
	return atomic_load_explicit(&d->health_epoch, memory_order_relaxed);
}

static void host(const struct mesh__endpoint *e, struct mesh__hash_host *out)
{
	*out = (struct mesh__hash_host){.key = e->instance, .weight = e->weight};
}

static struct mesh__counter *routed(void *ctx, const char *to)
{
	struct mesh__endpoint_list *list = ctx;

	return list->destinations.metrics == NULL ? NULL : mesh__metrics_counter(list->destinations.metrics, "mesh_routed_calls_total", "Calls that a route sent somewhere, by service, route and side.", "to", to);
}

static struct mesh__counter *faulted(void *ctx, const char *fault)
{
	const struct mesh__endpoint_list *list = ctx;

	return list->destinations.metrics == NULL ? NULL : mesh__metrics_counter(list->destinations.metrics, "mesh_faults_injected_total", "Tries that a fault was injected into, by the service that was called and the kind of fault.", "fault", fault);
}

static struct mesh__destination *make_destination(void *ctx, const char *key)
{
	struct mesh__endpoint_list *list = ctx;

	return mesh__destination_new(&list->destinations, key);
}

struct mesh__endpoint_source mesh__endpoint_source(struct mesh__endpoint_list *list)
{
	return (struct mesh__endpoint_source){.destination = make_destination, .destination_ref = mesh__destination_ref, .destination_unref = mesh__destination_unref, .tune = mesh__destination_tune,
		.make = make, .ref = mesh__endpoint_ref, .unref = mesh__endpoint_unref, .leave = leave, .labels = labels, .host = host, .view = view, .health_epoch = health_epoch, .routed = routed, .faulted = faulted, .ctx = list};
}

/* *old is the pool that was replaced, to be retired once the lock is free: that closes connections. */
static int renew_pool_locked(struct mesh__endpoint *e, struct mesh__creds *creds, uint64_t generation, enum mesh__http_proto proto, struct mesh__pool **old, struct mesh__err *err)
{
	struct mesh__pool_options options;
	struct mesh__pool *pool;
	int code;

	mesh__pool_options_default(&options);
	options.target = e->target;
	options.creds = e->target.insecure_plaintext ? NULL : creds;
	options.proto = proto;
	options.circuit = e->destination->circuit;
	options.max_connections = options.max_pending = INT32_MAX; /* of all endpoints together: the circuit's */
	code = mesh__pool_new(e->env, &options, &pool, err);
	if (code != MESH_OK) {
		return code;
	}
	if (e->left) {
		mesh__pool_retire(pool);
	}
	*old = e->pool;
	e->pool = pool;
	e->generation = generation;
	e->proto = proto;
	return MESH_OK;
}

int mesh__endpoint_pool(struct mesh__endpoint *e, struct mesh__creds *creds, struct mesh__pool **out, struct mesh__err *err)
{
	uint64_t generation = mesh__creds_generation(creds);
	enum mesh__http_proto proto;
	struct mesh__pool *old = NULL;
	int code = MESH_OK;

	*out = NULL;
	(void)pthread_mutex_lock(&e->mu);
	proto = (enum mesh__http_proto)atomic_load_explicit(&e->destination->proto, memory_order_relaxed);
	/* A call on an older snapshot makes do with the newer pool: what matters is that no pool spans two generations. */
	if (e->pool == NULL || generation > e->generation || (generation == e->generation && proto != e->proto)) {
		code = renew_pool_locked(e, creds, generation, proto, &old, err);
	}
	if (code == MESH_OK) {
		*out = mesh__pool_ref(e->pool);
	}
	(void)pthread_mutex_unlock(&e->mu);
	if (old != NULL) {
		mesh__pool_retire(old);
		mesh__pool_unref(old);
	}
	return code;
}
