#include "outbound/failover.h"

#include <stdio.h>
#include <string.h>

#include "policy/failover.h"

/* Endpoints that a call may be sent to. */
struct place {
	struct mesh__service *service;
	struct mesh__group *group; /* of it */
	struct mesh__levels levels;
	struct mesh__level all; /* of them */
};

static bool has_others(const struct mesh_request *r)
{
	return r->copy.of == NULL && (r->called->policy.n_failover > 0 || (r->route != NULL && r->route->other_subsets));
}

/*
 * The next that may take over, in their order; false behind the last. *at begins with 0. `place->service` NULL: a service that nothing is known of yet, whose key is *unknown.
 */
static bool next_other(const struct mesh_request *r, size_t *at, struct place *place, const char **unknown)
{
	struct mesh__service *called = r->called;
	size_t n_subsets = r->route != NULL && r->route->other_subsets ? called->policy.n_subsets : 0;

	while (*at < n_subsets) {
		place->service = called;
		place->group = &called->subsets[(*at)++];
		if (place->group != r->home.group) {
			return true;
		}
	}
	while (*at - n_subsets < called->policy.n_failover) {
		const char *key = called->policy.failover[(*at)++ - n_subsets].service;
		place->service = mesh__snapshot_find(r->snapshot, key);
		place->group = place->service == NULL ? NULL : &place->service->all;
		*unknown = key;
		if (place->service != r->home.service) {
			return true;
		}
	}
	return false;
}

static void count_healthy(struct place *place)
{
	place->levels = mesh__levels_of(place->group, place->service->destination);
	place->all = mesh__levels_all(&place->levels);
}

/* True: it is what is called, and not left or recovering. */
static bool is_in_use(struct place *place, int64_t now_us)
{
	struct mesh__group *group = place->group;
	int64_t before = atomic_load_explicit(&group->standing, memory_order_relaxed), after;

	after = mesh__failover_standing(before, place->all, now_us);
	if (after != before) { /* who is too late with it has looked no later */
		(void)atomic_compare_exchange_strong_explicit(&group->standing, &before, after, memory_order_relaxed, memory_order_relaxed);
	}
	return after == MESH__STANDING_IN_USE;
}

/* ---- What is told ---- */

static void count_one(struct mesh__counter *counter)
{
	if (counter != NULL) {
		mesh__count(counter, 1);
	}
}

/* True for the one that changes it. */
static bool flip(_Atomic bool *flag, bool to)
{
	bool was = !to;

	return atomic_load_explicit(flag, memory_order_relaxed) != to && atomic_compare_exchange_strong_explicit(flag, &was, to, memory_order_relaxed, memory_order_relaxed);
}

static void tell_failover(const struct mesh_request *r, const struct place *to)
{
	bool away = to->group != r->home.group;

	if (away) {
		count_one(r->called->destination->failed_over);
	}
	if (r->home.told != NULL && flip(&r->home.told->failover, away)) {
		mesh__log(r->outbound->env, away ? MESH__LOG_WARN : MESH__LOG_INFO, away ? "failover begins" : "failover ends", "service", r->home.service->key, "subset", r->home.group->subset,
			"to", away ? to->service->key : NULL, "to-subset", away ? to->group->subset : NULL, (char *)NULL);
	}
}

static void tell_panic(const struct mesh_request *r, const struct place *place, bool panic)
{
	char healthy[2 * MESH__DECIMAL_TEXT + sizeof(" of ")];

	if (panic) {
		count_one(place->service->destination->panicked);
	}
	if (r->home.told != NULL && flip(&r->home.told->panic, panic)) {
		(void)snprintf(healthy, sizeof(healthy), "%zu of %zu", place->all.healthy, place->all.n);
		mesh__log(r->outbound->env, panic ? MESH__LOG_WARN : MESH__LOG_INFO, panic ? "panic begins" : "panic ends", "service", place->service->key, "subset", place->group->subset, "healthy", healthy,
			"calls", panic ? "to all, healthy or not" : "to the healthy", (char *)NULL);
	}
}

/* ---- Where it goes ---- */

static bool panics(const struct place *place)
{
	return mesh__panic_is_due(place->levels.at, MESH__N_LEVELS, place->service->policy.load_balancer.panic_threshold);
}

/* What a walk through the places has found. */
struct found {
	struct place best;        /* the first that is in use, else the first with a healthy endpoint; service NULL: there is none */
	bool in_use;              /* `best` is */
	int n_healthy;            /* places with a healthy endpoint */
	struct place last_resort; /* the first that would be used in panic; service NULL: none would */
	const char *unknown;      /* the first service that nothing is known of yet; NULL: there is none */
};

static void weigh(struct found *f, struct place *place, int64_t now_us)
{
	bool in_use;

	count_healthy(place);
	in_use = is_in_use(place, now_us);
	if (place->all.healthy == 0) {
		if (f->last_resort.service == NULL && panics(place)) {
			f->last_resort = *place;
		}
		return;
	}
	f->n_healthy++;
	if (f->best.service == NULL || (in_use && !f->in_use)) {
		f->best = *place;
		f->in_use = in_use;
	}
}

/* As far as it matters: up to the first in use, and on where so few of its endpoints are healthy that it matters whether anybody else has one. */
static void look_around(const struct mesh_request *r, struct place *home, struct found *f)
{
	struct place place;
	const char *unknown;

	weigh(f, home, r->now_us);
	for (size_t at = 0; (!f->in_use || (f->n_healthy == 1 && panics(&f->best))) && next_other(r, &at, &place, &unknown);) {
		if (place.service != NULL) {
			mesh__checks_note(&r->outbound->checks, place.service);
			weigh(f, &place, r->now_us);
		} else if (f->unknown == NULL) {
			f->unknown = unknown;
		}
	}
}

static void lead_to(struct mesh_request *r, const struct place *place, bool panic, struct mesh__lead *out)
{
	r->service = place->service;
	r->group = place->group;
	*out = (struct mesh__lead){.healthy = place->all.healthy, .levels = place->levels, .panic = panic};
	tell_panic(r, place, panic);
}

static bool is_told(const struct mesh__told *told)
{
	return told != NULL && (atomic_load_explicit(&told->failover, memory_order_relaxed) || atomic_load_explicit(&told->panic, memory_order_relaxed));
}

/* Nothing is the matter, nor was: so it is almost always. */
static bool is_calm(const struct mesh_request *r)
{
	const struct mesh__home *home = &r->home;

	return atomic_load_explicit(&home->service->destination->n_unhealthy, memory_order_relaxed) == 0 && home->group->n > 0 && !is_told(home->told) &&
		(atomic_load_explicit(&home->group->standing, memory_order_relaxed) == MESH__STANDING_IN_USE || !has_others(r));
}

/* Something is the matter, or was. */
static MESH__NOINLINE void lead(struct mesh_request *r, struct mesh__lead *out)
{
	struct place home = {.service = r->home.service, .group = r->home.group};
	struct found f = {.in_use = false};

	if (!has_others(r)) {
		count_healthy(&home);
		lead_to(r, &home, panics(&home), out);
		return;
	}
	look_around(r, &home, &f);
	if (f.best.service == NULL && f.last_resort.service == NULL && f.unknown != NULL && r->tries == 0) {
		mesh__request_await(r, f.unknown);
		return;
	}
	if (f.best.service != NULL) {
		lead_to(r, &f.best, f.n_healthy == 1 && panics(&f.best), out);
	} else {
		lead_to(r, f.last_resort.service != NULL ? &f.last_resort : &home, f.last_resort.service != NULL, out);
	}
	tell_failover(r, &(struct place){.service = r->service, .group = r->group});
}

void mesh__failover_lead(struct mesh_request *r, struct mesh__lead *out)
{
	out->whole = is_calm(r);
	if (out->whole) {
		r->service = r->home.service;
		r->group = r->home.group;
	} else {
		lead(r, out);
	}
}

/* ---- What is said where it goes nowhere ---- */

static void explain_place(struct mesh__err *err, const struct place *place, const char *key)
{
	const char *subset = place->service == NULL || place->group->subset == NULL ? "" : place->group->subset;

	if (place->service == NULL) {
		mesh__err_more(err, "failover to %s: nothing is known of it yet", key);
	} else if (!place->service->known) {
		mesh__err_more(err, "failover to %s: it has never registered", place->service->key);
	} else if (place->group->n == 0) {
		mesh__err_more(err, "failover to %s%s%s: it has no endpoint at present", subset, *subset == '\0' ? "" : " of ", place->service->key);
	} else {
		mesh__err_more(err, "failover to %s%s%s: none of its %zu endpoints is healthy", subset, *subset == '\0' ? "" : " of ", place->service->key, place->group->n);
	}
}

void mesh__failover_explain(struct mesh_request *r)
{
	struct place place;
	const char *key = NULL;

	for (size_t at = 0; has_others(r) && next_other(r, &at, &place, &key);) {
		explain_place(&r->err, &place, key);
	}
}
