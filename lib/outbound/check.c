#include "outbound/check.h"

#include <stdio.h>

#include "base/wait.h"
#include "control/control.h"
#include "outbound/endpoint.h"
#include "policy/health.h"

enum {
	ANSWER_MAX_BYTES = 64 * 1024,
	CLOSE_MS = 2000,
	KEEP_MS = 45000 /* longer than that the server may have closed it: its idle limit is 90 s, ours 60 s */
};

/* The checks of one endpoint. One is under way, or stands in the queue, or its timer runs. */
struct mesh__check {
	struct mesh__checks *checks;
	struct mesh__checked *of;       /* NULL: it has ended, and goes when what is under way is over */
	struct mesh__check *next;       /* of the service's */
	struct mesh__check *next_waiting;
	struct mesh__endpoint *endpoint; /* one reference */
	struct mesh__health health;
	struct mesh__timer *timer;
	struct mesh__pool *pool;        /* of its own: a check takes no place of a call, and waits for none */
	uint64_t generation;            /* of the pool's credentials */
	int proto;                      /* the pool's */
	struct mesh__flight *flight;
	struct mesh__client_response response;
	bool waits, seen, kept;
	bool again;                     /* on a new connection: the kept one had ended */
};

struct mesh__checked {
	struct mesh__checked *next;
	struct mesh__service *service;  /* one reference; of the newest snapshot */
	int64_t used_us;
	struct mesh__check *first;
	bool seen;
};

static void on_due(void *arg);
static void on_wake(void *arg);

/* ---- Connections ---- */

static void let_connections_go(struct mesh__check *k)
{
	if (k->kept) {
		k->kept = false;
		k->checks->n_kept--;
	}
	if (k->pool != NULL) {
		mesh__pool_sweep(k->pool, true);
	}
}

static void drop_pool(struct mesh__check *k)
{
	struct mesh__pool *pool = k->pool;

	let_connections_go(k);
	k->pool = NULL;
	if (pool != NULL) {
		mesh__pool_retire(pool);
		mesh__pool_unref(pool);
	}
}

static bool keeps_connection(struct mesh__check *k)
{
	struct mesh__checks *c = k->checks;

	if (k->of->service->policy.health.interval_ms > KEEP_MS || (!k->kept && c->n_kept == MESH__CHECKS_KEPT)) {
		return false;
	}
	c->n_kept += k->kept ? 0 : 1;
	k->kept = true;
	return true;
}

/* Of the newest credentials, as calls' are (mesh__endpoint_pool()). */
static int renew_pool(struct mesh__check *k, struct mesh__creds *creds, struct mesh__err *err)
{
	const struct mesh__endpoint *e = k->endpoint;
	uint64_t generation = mesh__creds_generation(creds);
	int proto = atomic_load_explicit(&e->destination->proto, memory_order_relaxed);
	struct mesh__pool_options options;

	if (k->pool != NULL && k->generation >= generation && k->proto == proto) {
		return MESH_OK;
	}
	drop_pool(k);
	mesh__pool_options_default(&options);
	options.target = e->target;
	options.creds = e->target.insecure_plaintext ? NULL : creds;
	options.proto = (enum mesh__http_proto)proto;
	k->generation = generation;
	k->proto = proto;
	return mesh__pool_new(k->checks->env, &options, &k->pool, err);
}

/* ---- The end of an endpoint's checks ---- */

static void free_check(struct mesh__check *k)
{
	drop_pool(k);
	mesh__timer_free(k->timer);
	mesh__client_response_fini(&k->response);
	mesh__endpoint_unref(k->endpoint);
	mesh__free(k);
}

static void leave_queue(struct mesh__check *k)
{
	struct mesh__checks *c = k->checks;
	struct mesh__check **at = &c->waiting;

	while (*at != k) {
		at = &(*at)->next_waiting;
	}
	*at = k->next_waiting;
	if (*at == NULL) {
		c->last_waiting = at;
	}
	k->waits = false;
}

/* It is off the service's list. */
static void end_check(struct mesh__check *k)
{
	k->of = NULL;
	k->endpoint->check = NULL;
	(void)mesh__endpoint_mark(k->endpoint, MESH__UNHEALTHY_CHECK, false);
	mesh__timer_stop(k->timer);
	if (k->waits) {
		leave_queue(k);
	}
	if (k->flight != NULL) {
		mesh__flight_stop(k->flight, MESH_E_CANCELLED, "the endpoint is no longer checked");
	} else {
		free_check(k);
	}
}

static void end_service(struct mesh__checks *c, struct mesh__checked *s)
{
	struct mesh__checked **at = &c->first;

	while (*at != s) {
		at = &(*at)->next;
	}
	*at = s->next;
	while (s->first != NULL) {
		struct mesh__check *k = s->first;
		s->first = k->next;
		end_check(k);
	}
	s->service->destination->checked = NULL;
	mesh__service_unref(s->service);
	mesh__free(s);
}

/* ---- One check ---- */

static void tell_change(const struct mesh__check *k, const char *reason)
{
	const struct mesh__endpoint *e = k->endpoint;
	bool fell = k->health.unhealthy;

	mesh__log(k->checks->env, fell ? MESH__LOG_WARN : MESH__LOG_INFO, fell ? "endpoint fails its health checks" : "endpoint passes its health checks again", "service", k->of->service->key,
		"instance", e->instance, "endpoint", e->address, "reason", fell ? reason : NULL, (char *)NULL);
}

static void judge(struct mesh__check *k, bool passed, const char *reason)
{
	mesh__count(passed ? k->checks->passed : k->checks->failed, 1);
	if (mesh__health_judge(&k->health, &k->of->service->policy.health, passed)) {
		(void)mesh__endpoint_mark(k->endpoint, MESH__UNHEALTHY_CHECK, k->health.unhealthy);
		tell_change(k, reason);
	}
}

static void wait_for_next(struct mesh__check *k)
{
	mesh__timer_start(k->timer, mesh__health_next_ms(&k->of->service->policy.health, mesh__dice(k->checks->env)), 0);
}

static void begin(struct mesh__check *k);

static void begin_next(struct mesh__checks *c)
{
	while (c->waiting != NULL && c->n_running < c->at_once) {
		struct mesh__check *k = c->waiting;
		leave_queue(k);
		begin(k);
	}
}

static void tell_closed(struct mesh__checks *c)
{
	if (c->closed && c->n_running == 0) {
		(void)pthread_mutex_lock(&c->mu);
		c->over = true;
		(void)pthread_cond_broadcast(&c->ended);
		(void)pthread_mutex_unlock(&c->mu);
	}
}

/* Whether the endpoint has anything to do with it: what this process lacked, or ended by itself, says nothing of it. */
static bool is_verdict(int code)
{
	return code != MESH_E_NO_MEMORY && code != MESH_E_CANCELLED && code != MESH_E_OVERLOADED && code != MESH_E_INVALID;
}

static void conclude(struct mesh__check *k, int code, const struct mesh__err *err)
{
	char reason[32];

	if (code == MESH_OK) {
		(void)snprintf(reason, sizeof(reason), "answered %d", k->response.status);
		judge(k, mesh__health_passes(k->response.status), reason);
	} else if (is_verdict(code)) {
		judge(k, false, err->message);
	}
	if (code != MESH_OK || !keeps_connection(k)) {
		let_connections_go(k);
	}
	wait_for_next(k);
}

static void on_done(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh__check *k = arg;
	struct mesh__checks *c = k->checks;

	k->flight = NULL;
	c->n_running--;
	if (k->of == NULL) {
		free_check(k);
	} else if (code != MESH_OK && code != MESH_E_TIMEOUT && result->reused && !k->again) {
		let_connections_go(k); /* it may have been closed between two checks, which says nothing */
		k->again = true;
		begin(k);
	} else {
		k->again = false;
		conclude(k, code, err);
	}
	begin_next(c);
	tell_closed(c);
}

static int start(struct mesh__check *k, struct mesh__err *err)
{
	static const struct mesh__client_field fields[] = {{"user-agent", "meshlib-health-check"}};
	const struct mesh__service_policy *policy = &k->of->service->policy;
	struct mesh__snapshot *snapshot = mesh__control_snapshot(k->checks->control);
	struct mesh__flight_options o = {.request = {.method = "GET", .target = policy->health.path, .fields = fields, .n_fields = MESH__COUNT(fields), .max_response_bytes = ANSWER_MAX_BYTES},
		.response = &k->response, .connect_timeout_ms = policy->connect_timeout_ms, .deadline_us = mesh__mono_us(k->checks->env) + policy->health.timeout_ms * 1000, .streamed = true, .done = on_done, .arg = k};
	int code = renew_pool(k, snapshot->creds, err);

	mesh__snapshot_unref(snapshot);
	return code == MESH_OK ? mesh__flight_start(k->pool, k->checks->loop, &o, &k->flight, err) : code;
}

static void begin(struct mesh__check *k)
{
	struct mesh__err err = MESH__NO_ERR;

	if (start(k, &err) == MESH_OK) {
		k->checks->n_running++;
	} else {
		mesh__log(k->checks->env, MESH__LOG_WARN, "health check not made", "service", k->of->service->key, "endpoint", k->endpoint->address, "reason", err.message, (char *)NULL);
		wait_for_next(k);
	}
}

/* ---- Whether it is called ---- */

static bool is_used(const struct mesh__checks *c, struct mesh__checked *s)
{
	struct mesh__destination *d = s->service->destination;
	int64_t now_us = mesh__mono_us(c->env);
	int unused = MESH__USE_NONE;

	if (atomic_exchange_explicit(&d->use, MESH__USE_NONE, memory_order_relaxed) == MESH__USE_NOTED || atomic_load_explicit(&d->requests, memory_order_relaxed) > 0) {
		s->used_us = now_us;
	}
	return now_us - s->used_us <= (c->idle_ms + s->service->policy.health.interval_ms) * 1000 || !atomic_compare_exchange_strong_explicit(&d->use, &unused, MESH__USE_UNWATCHED, memory_order_relaxed, memory_order_relaxed);
}

static void on_due(void *arg)
{
	struct mesh__check *k = arg;
	struct mesh__checks *c = k->checks;

	if (!is_used(c, k->of)) {
		end_service(c, k->of);
	} else if (c->n_running < c->at_once) {
		begin(k);
	} else {
		k->waits = true;
		k->next_waiting = NULL;
		*c->last_waiting = k;
		c->last_waiting = &k->next_waiting;
	}
}

void mesh__checks_used(struct mesh__checks *c, struct mesh__destination *d)
{
	if (atomic_exchange_explicit(&d->use, MESH__USE_NOTED, memory_order_relaxed) == MESH__USE_UNWATCHED && !atomic_exchange(&c->wake_posted, true)) {
		mesh__loop_post(c->loop, &c->wake_post, on_wake, c);
	}
}

/* ---- What the snapshot says ---- */

static struct mesh__check *new_check(struct mesh__checked *s, struct mesh__endpoint *e, struct mesh__checks *c)
{
	struct mesh__check *k = mesh__alloc(&c->env->mem, sizeof(*k));

	if (k == NULL || mesh__timer_new(c->loop, on_due, k, &k->timer) != MESH_OK) {
		mesh__free(k);
		return NULL;
	}
	k->checks = c;
	k->of = s;
	k->endpoint = e;
	mesh__endpoint_ref(e);
	e->check = k;
	mesh__client_response_init(&k->response, c->env, ANSWER_MAX_BYTES);
	k->next = s->first;
	s->first = k;
	mesh__timer_start(k->timer, mesh__health_first_ms(&s->service->policy.health, mesh__dice(c->env)), 0);
	return k;
}

static void end_unseen(struct mesh__checked *s)
{
	struct mesh__check **at = &s->first;

	while (*at != NULL) {
		struct mesh__check *k = *at;
		if (k->seen) {
			at = &k->next;
		} else {
			*at = k->next;
			end_check(k);
		}
	}
}

static bool add_checks(struct mesh__checks *c, struct mesh__checked *s)
{
	for (size_t i = 0; i < s->service->n; i++) {
		struct mesh__endpoint *e = s->service->endpoints[i];
		if (e->check == NULL && new_check(s, e, c) == NULL) {
			return false;
		}
		e->check->seen = true;
	}
	return true;
}

/* What is known of those that stay is kept, whatever else has changed. */
static bool update(struct mesh__checks *c, struct mesh__checked *s, struct mesh__service *service)
{
	struct mesh__service *before = s->service;
	bool sooner = service->policy.health.interval_ms != before->policy.health.interval_ms;

	s->service = mesh__service_ref(service);
	for (struct mesh__check *k = s->first; k != NULL; k = k->next) {
		k->seen = false;
		if (sooner && !k->waits && k->flight == NULL) {
			mesh__timer_start(k->timer, mesh__health_first_ms(&service->policy.health, mesh__dice(c->env)), 0);
		}
	}
	if (!add_checks(c, s)) {
		mesh__service_unref(before);
		return false;
	}
	end_unseen(s);
	mesh__service_unref(before);
	return true;
}

static struct mesh__checked *new_service(struct mesh__checks *c, struct mesh__service *service)
{
	struct mesh__checked *s = mesh__alloc(&c->env->mem, sizeof(*s));

	if (s != NULL) {
		s->service = mesh__service_ref(service);
		s->used_us = mesh__mono_us(c->env);
		s->next = c->first;
		c->first = s;
		service->destination->checked = s;
	}
	return s;
}

/* What there is no memory for is looked at again with the next call. */
static void look_at(struct mesh__checks *c, struct mesh__service *service)
{
	struct mesh__destination *d = service->destination;
	struct mesh__checked *s = d->checked;
	bool done = true;

	if (!service->policy.health.on || atomic_load_explicit(&d->use, memory_order_relaxed) == MESH__USE_UNWATCHED) {
		return;
	}
	if (s == NULL) {
		s = new_service(c, service);
		done = s != NULL && add_checks(c, s);
	} else if (s->service != service) {
		done = update(c, s, service);
	}
	if (s != NULL) {
		s->seen = done;
	}
	if (!done) {
		atomic_store_explicit(&d->use, MESH__USE_UNWATCHED, memory_order_relaxed);
	}
}

void mesh__checks_look(struct mesh__checks *c)
{
	struct mesh__snapshot *snapshot = c->closed ? NULL : mesh__control_snapshot(c->control);
	struct mesh__checked *next;

	if (snapshot == NULL || snapshot->creds == NULL) {
		mesh__snapshot_unref(snapshot);
		return;
	}
	for (struct mesh__checked *s = c->first; s != NULL; s = s->next) {
		s->seen = false;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&snapshot->services, NULL); e != NULL; e = mesh__map_next(&snapshot->services, e)) {
		look_at(c, e->value);
	}
	for (struct mesh__checked *s = c->first; s != NULL; s = next) {
		next = s->next;
		if (!s->seen) {
			atomic_store_explicit(&s->service->destination->use, MESH__USE_UNWATCHED, memory_order_relaxed);
			end_service(c, s);
		}
	}
	mesh__snapshot_unref(snapshot);
}

static void on_wake(void *arg)
{
	struct mesh__checks *c = arg;

	atomic_store(&c->wake_posted, false);
	mesh__checks_look(c);
}

/* ---- Life ---- */

void mesh__checks_init(struct mesh__checks *c, const struct mesh__env *env)
{
	c->env = env;
	c->idle_ms = MESH__CHECKS_IDLE_MS;
	c->at_once = MESH__CHECKS_AT_ONCE;
	c->last_waiting = &c->waiting;
	(void)pthread_mutex_init(&c->mu, NULL);
	mesh__cond_init(&c->ended);
}

void mesh__checks_fini(struct mesh__checks *c)
{
	(void)pthread_cond_destroy(&c->ended);
	(void)pthread_mutex_destroy(&c->mu);
}

static void end_all(void *arg)
{
	struct mesh__checks *c = arg;

	c->closed = true;
	while (c->first != NULL) {
		end_service(c, c->first);
	}
	tell_closed(c);
}

void mesh__checks_close(struct mesh__checks *c)
{
	int64_t until_us = mesh__mono_us(c->env) + CLOSE_MS * 1000;

	mesh__loop_post(c->loop, &c->close_post, end_all, c);
	(void)pthread_mutex_lock(&c->mu);
	while (!c->over && mesh__cond_wait_until(&c->ended, &c->mu, c->env, until_us)) {
	}
	(void)pthread_mutex_unlock(&c->mu);
}

void mesh__checks_abandon(struct mesh__checks *c)
{
	for (const struct mesh__checked *s = c->first; s != NULL; s = s->next) {
		for (const struct mesh__check *k = s->first; k != NULL; k = k->next) {
			if (k->pool != NULL) {
				mesh__pool_abandon(k->pool);
			}
		}
	}
}
