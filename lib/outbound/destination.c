#include "outbound/destination.h"

#include <stdio.h>

#include "outbound/mirror.h"

void mesh__destination_list_init(struct mesh__destination_list *list, const struct mesh__env *env)
{
	list->env = env;
	list->metrics = NULL;
	list->first = NULL;
	(void)pthread_mutex_init(&list->mu, NULL);
}

void mesh__destination_list_fini(struct mesh__destination_list *list)
{
	(void)pthread_mutex_destroy(&list->mu);
}

/* Told as a difference: of more services than a family shows, the rest add up under one name. */
static void tell_locked(struct mesh__destination_gauge *gauge, int32_t now)
{
	mesh__count(gauge->counter, now - gauge->told);
	gauge->told = now;
}

static void refresh(void *arg)
{
	struct mesh__destination_list *list = arg;

	(void)pthread_mutex_lock(&list->mu);
	for (struct mesh__destination *d = list->first; d != NULL; d = d->next) {
		tell_locked(&d->requests_gauge, atomic_load_explicit(&d->requests, memory_order_relaxed) + atomic_load_explicit(&d->copies, memory_order_relaxed));
		tell_locked(&d->limit_gauge, atomic_load_explicit(&d->concurrency.limit, memory_order_relaxed));
		tell_locked(&d->pending_gauge, mesh__circuit_pending(d->circuit));
		tell_locked(&d->connections_gauge, mesh__circuit_connections(d->circuit));
		tell_locked(&d->ejected_gauge, atomic_load_explicit(&d->outlier.n_ejected, memory_order_relaxed));
	}
	(void)pthread_mutex_unlock(&list->mu);
}

void mesh__destination_list_show(struct mesh__destination_list *list, struct mesh__metrics *metrics)
{
	list->metrics = metrics;
	mesh__metrics_on_text(metrics, refresh, list);
}

/* Here and not when they are asked for: what is asked then leaves no memory behind. */
static void make_counters(struct mesh__destination *d)
{
	if (d->list->metrics != NULL) {
#define X(name, metric, help) d->name = mesh__metrics_counter(d->list->metrics, metric, help, "service", d->key);
		MESH__DESTINATION_COUNTERS(X)
#undef X
#define X(name, metric, help) d->name##_gauge.counter = mesh__metrics_gauge(d->list->metrics, metric, help, "service", d->key);
		MESH__DESTINATION_GAUGES(X)
#undef X
	}
}

struct mesh__destination *mesh__destination_new(struct mesh__destination_list *list, const char *key)
{
	struct mesh__circuit_options options = {.name = key, .metrics = list->metrics, .max_connections = MESH__BREAKER_BUILT_IN, .max_pending = MESH__BREAKER_BUILT_IN};
	struct mesh__destination *d = mesh__alloc(&list->env->mem, sizeof(*d));

	if (d == NULL || mesh__circuit_new(list->env, &options, &d->circuit, NULL) != MESH_OK) {
		mesh__free(d);
		return NULL;
	}
	atomic_init(&d->refs, 1);
	atomic_init(&d->proto, MESH__HTTP_1);
	d->list = list;
	(void)snprintf(d->key, sizeof(d->key), "%s", key);
	make_counters(d);
	mesh__outlier_init(&d->outlier, list->metrics, key);
	(void)pthread_mutex_lock(&list->mu);
	d->next = list->first;
	d->link = &list->first;
	if (d->next != NULL) {
		d->next->link = &d->next;
	}
	list->first = d;
	(void)pthread_mutex_unlock(&list->mu);
	return d;
}

void mesh__destination_ref(struct mesh__destination *d)
{
	(void)atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
}

void mesh__destination_unref(struct mesh__destination *d)
{
	if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	(void)pthread_mutex_lock(&d->list->mu);
	*d->link = d->next;
	if (d->next != NULL) {
		d->next->link = d->link;
	}
	(void)pthread_mutex_unlock(&d->list->mu);
	mesh__outlier_fini(&d->outlier);
	mesh__circuit_unref(d->circuit);
	mesh__free(atomic_load(&d->hedge));
	mesh__free(d);
}

/* gRPC is HTTP/2 or nothing. */
static enum mesh__http_proto proto_of(enum mesh__protocol protocol)
{
	switch (protocol) {
	case MESH__PROTOCOL_HTTP2:
		return MESH__HTTP_2;
	case MESH__PROTOCOL_GRPC:
		return MESH__HTTP_2_ONLY;
	case MESH__PROTOCOL_HTTP:
		break;
	}
	return MESH__HTTP_1;
}

void mesh__destination_tune(struct mesh__destination *d, const struct mesh__service_policy *policy)
{
	atomic_store_explicit(&d->proto, (int)proto_of(policy->protocol), memory_order_relaxed);
	mesh__circuit_limit(d->circuit, policy->breaker.max_connections, policy->breaker.max_pending);
	mesh__outlier_tune(d, &policy->outlier);
}

/* One more of `count`, beside `others`. Not added first and taken back: those that are refused must not be counted, be it for a moment, against one that is within the limit. */
static int enter(struct mesh__destination *d, _Atomic int32_t *count, int32_t others, const struct mesh__breaker *breaker, struct mesh__err *err)
{
	int32_t under_way = atomic_load_explicit(count, memory_order_relaxed);

	while (mesh__breaker_admits(breaker, MESH__BREAKER_REQUESTS, under_way + others)) {
		if (atomic_compare_exchange_weak_explicit(count, &under_way, under_way + 1, memory_order_relaxed, memory_order_relaxed)) {
			return MESH_OK;
		}
	}
	if (d->list->metrics != NULL && count == &d->requests) { /* it tells of calls */
		mesh__count(mesh__metrics_counter(d->list->metrics, MESH__CIRCUIT_METRIC, MESH__CIRCUIT_HELP, "limit", mesh__breaker_name(MESH__BREAKER_REQUESTS)), 1);
	}
	return mesh__fail_at(err, MESH__ORIGIN_POLICY, MESH_E_OVERLOADED, "%s: circuitBreaker.%s: %d calls are under way, and no more may be; nothing was sent", d->key,
		mesh__breaker_name(MESH__BREAKER_REQUESTS), breaker->max_requests);
}

void mesh__destination_leave(struct mesh__destination *d)
{
	(void)atomic_fetch_sub_explicit(&d->requests, 1, memory_order_relaxed);
}

int mesh__destination_enter(struct mesh__destination *d, const struct mesh__breaker *breaker, struct mesh__err *err)
{
	return enter(d, &d->requests, 0, breaker, err);
}

int mesh__destination_enter_copy(struct mesh__destination *d, const struct mesh__breaker *breaker, struct mesh__err *err)
{
	return enter(d, &d->copies, atomic_load_explicit(&d->requests, memory_order_relaxed), breaker, err);
}

void mesh__destination_leave_copy(struct mesh__destination *d)
{
	(void)atomic_fetch_sub_explicit(&d->copies, 1, memory_order_relaxed);
}

struct mesh__hedge_counts *mesh__destination_hedge(struct mesh__destination *d)
{
	struct mesh__hedge_counts *counts = atomic_load_explicit(&d->hedge, memory_order_acquire), *made;

	if (counts != NULL) {
		return counts;
	}
	made = mesh__alloc(&d->list->env->mem, sizeof(*made));
	if (made != NULL && !atomic_compare_exchange_strong(&d->hedge, &counts, made)) {
		mesh__free(made); /* another thread was first */
		return counts;
	}
	return made;
}

bool mesh__destination_begin_copy(struct mesh__destination *d, size_t body_len)
{
	int32_t others = atomic_fetch_add_explicit(&d->mirrored, 1, memory_order_relaxed);
	int64_t bytes = atomic_fetch_add_explicit(&d->mirrored_bytes, (int64_t)body_len, memory_order_relaxed);

	if (others < MESH__MIRROR_COPIES_MAX && bytes + (int64_t)body_len <= MESH__MIRROR_BYTES_MAX) {
		return true;
	}
	mesh__destination_end_copy(d, body_len);
	return false;
}

void mesh__destination_end_copy(struct mesh__destination *d, size_t body_len)
{
	(void)atomic_fetch_sub_explicit(&d->mirrored_bytes, (int64_t)body_len, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(&d->mirrored, 1, memory_order_relaxed);
}
