#include "control/routed.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "control/tables.h"
#include "policy/fault.h"
#include "policy/match.h"

static void set_turn(_Atomic uint64_t *turn, const _Atomic uint64_t *before, const struct mesh__env *env)
{
	/* The first is drawn: of many processes that begin together, each with a few calls, not all send them the same way. */
	atomic_init(turn, before == NULL ? mesh__dice(env) >> 1 : atomic_load_explicit(before, memory_order_relaxed));
}

/* What calls have found out of the group goes on with it. */
static void set_group(struct mesh__group *group, const struct mesh__group *before, const struct mesh__env *env)
{
	set_turn(&group->turn, before == NULL ? NULL : &before->turn, env);
	if (before != NULL) {
		atomic_init(&group->standing, atomic_load_explicit(&before->standing, memory_order_relaxed));
	}
}

static void set_told(struct mesh__told *told, const struct mesh__told *before)
{
	atomic_init(&told->failover, atomic_load_explicit(&before->failover, memory_order_relaxed));
	atomic_init(&told->panic, atomic_load_explicit(&before->panic, memory_order_relaxed));
}

/* ---- Zones ---- */

static bool is_near(const struct mesh__service *s, size_t i)
{
	struct mesh__labels labels = {.version = NULL};

	s->source->labels(s->endpoints[i], &labels);
	return mesh__str_eq(labels.zone, s->source->zone);
}

/* Those of the own zone first, so that a level is a range of any group; both otherwise in their order. */
static size_t put_near_first(struct mesh__service *s)
{
	size_t n_near = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (is_near(s, i)) {
			struct mesh__endpoint *near = s->endpoints[i];
			memmove(&s->endpoints[n_near + 1], &s->endpoints[n_near], (i - n_near) * sizeof(near));
			s->endpoints[n_near++] = near;
		}
	}
	return n_near;
}

/* ---- Groups ---- */

static bool is_weighted(const struct mesh__service *s, const struct mesh__group *group)
{
	struct mesh__hash_host first, host;

	for (size_t i = 0; i < group->n; i++) {
		s->source->host(group->endpoints[i], &host);
		if (i == 0) {
			first = host;
		} else if (host.weight != first.weight) {
			return true;
		}
	}
	return false;
}

/* What a balancer needs of a group beside its endpoints; `old` NULL: there was none of that name. */
static bool finish_group(struct mesh__service *s, struct mesh__group *group, const struct mesh__group *old, const struct mesh__env *env)
{
	set_group(group, old, env);
	group->weighted = is_weighted(s, group);
	return mesh__tables_prepare(group, old, s->source, s->policy.load_balancer.balancer, &env->mem);
}

/* ---- Subsets ---- */

static bool is_of(const struct mesh__service *s, const struct mesh__subset *subset, size_t i)
{
	struct mesh__labels labels = {.version = NULL};

	s->source->labels(s->endpoints[i], &labels);
	return mesh__match_labels(&subset->labels, &labels);
}

static bool fill_group(struct mesh__service *s, const struct mesh__subset *subset, struct mesh__group *group)
{
	struct mesh__endpoint **list;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		n += is_of(s, subset, i);
	}
	list = mesh__arena_alloc(s->prepared, n, sizeof(struct mesh__endpoint *));
	if (list == NULL) {
		return false;
	}
	group->subset = subset->name;
	group->endpoints = list;
	for (size_t i = 0; i < s->n; i++) {
		if (is_of(s, subset, i)) {
			group->n_near += i < s->all.n_near;
			list[group->n++] = s->endpoints[i];
		}
	}
	return true;
}

static bool prepare_subsets(struct mesh__service *s, const struct mesh__service *before, const struct mesh__env *env)
{
	s->subsets = mesh__arena_alloc(s->prepared, s->policy.n_subsets, sizeof(struct mesh__group));
	for (size_t i = 0; s->subsets != NULL && i < s->policy.n_subsets; i++) {
		const struct mesh__group *old = before == NULL ? NULL : mesh__service_subset(before, s->policy.subsets[i].name);
		if (!fill_group(s, &s->policy.subsets[i], &s->subsets[i]) || !finish_group(s, &s->subsets[i], old, env)) {
			return false;
		}
	}
	return s->subsets != NULL;
}

/* ---- Routes ---- */

/* "payments.default/canary/v2": where the route "canary" sends to subset v2. */
static struct mesh__counter *counter_of(const struct mesh__service *s, const struct mesh__route *route, const struct mesh__side *side)
{
	const char *to = side == NULL ? NULL : side->subset != NULL ? side->subset : side->service;
	char label[MESH__SERVICE_KEY_MAX + 2 * (MESH__LABEL_MAX + 1) + MESH__SERVICE_KEY_MAX];

	(void)snprintf(label, sizeof(label), "%s/%s%s%s", s->key, route->name, to == NULL ? "" : "/", to == NULL ? "" : to);
	return s->source->routed(s->source->ctx, label);
}

static bool fill_routed(struct mesh__service *s, const struct mesh__route *route, const struct mesh__routed *before, struct mesh__routed *routed)
{
	routed->n_sides = route->n_sides == 0 ? 1 : route->n_sides;
	routed->sides = mesh__arena_alloc(s->prepared, routed->n_sides, sizeof(struct mesh__routed_side));
	if (routed->sides == NULL) {
		return false;
	}
	for (size_t i = 0; i < routed->n_sides; i++) {
		const struct mesh__side *side = route->n_sides == 0 ? NULL : &route->sides[i];
		struct mesh__routed_side *to = &routed->sides[i];
		to->calls = counter_of(s, route, side);
		if (before != NULL && before->n_sides == routed->n_sides) {
			set_told(&to->told, &before->sides[i].told);
		}
		if (side != NULL && side->service != NULL) {
			to->service = side->service;
		} else {
			to->group = side == NULL || side->subset == NULL ? &s->all : mesh__service_subset(s, side->subset);
		}
	}
	return true;
}

static const struct mesh__routed *find_routed(const struct mesh__service *s, const char *name)
{
	for (size_t i = 0; s != NULL && i < s->policy.n_routes; i++) {
		if (strcmp(s->policy.routes[i].name, name) == 0) {
			return &s->routes[i];
		}
	}
	return NULL;
}

static bool prepare_routes(struct mesh__service *s, const struct mesh__service *before, const struct mesh__env *env)
{
	s->routes = mesh__arena_alloc(s->prepared, s->policy.n_routes, sizeof(struct mesh__routed));
	for (size_t i = 0; s->routes != NULL && i < s->policy.n_routes; i++) {
		const struct mesh__routed *old = find_routed(before, s->policy.routes[i].name);
		set_turn(&s->routes[i].turn, old == NULL ? NULL : &old->turn, env);
		if (!fill_routed(s, &s->policy.routes[i], old, &s->routes[i])) {
			return false;
		}
	}
	return s->routes != NULL;
}

/* ---- Faults ---- */

/* "payments.default/abort" */
static struct mesh__counter *faulted(const struct mesh__service *s, const char *kind)
{
	char label[MESH__SERVICE_KEY_MAX + 8];

	(void)snprintf(label, sizeof(label), "%s/%s", s->key, kind);
	return s->source->faulted(s->source->ctx, label);
}

static void prepare_faults(struct mesh__service *s)
{
	if (mesh__fault_is_possible(&s->policy)) {
		s->faulted = (struct mesh__faulted){.on = true, .delays = faulted(s, "delay"), .aborts = faulted(s, "abort")};
	}
}

bool mesh__service_prepare(struct mesh__service *s, const struct mesh__service *before, const struct mesh__env *env)
{
	s->all.n = s->n;
	s->all.endpoints = s->endpoints;
	s->all.n_near = s->policy.load_balancer.zone_aware && s->source->zone != NULL ? put_near_first(s) : 0;
	if (!finish_group(s, &s->all, before == NULL ? NULL : &before->all, env)) {
		return false;
	}
	if (before != NULL) {
		set_told(&s->told, &before->told);
	}
	prepare_faults(s);
	if (s->policy.n_subsets == 0 && s->policy.n_routes == 0) {
		return true;
	}
	s->prepared = mesh__arena_new(&env->mem);
	return s->prepared != NULL && prepare_subsets(s, before, env) && prepare_routes(s, before, env);
}
