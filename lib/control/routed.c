#include "control/routed.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/match.h"

static void set_turn(_Atomic uint64_t *turn, const _Atomic uint64_t *before, const struct mesh__env *env)
{
	/* The first is drawn: of many processes that begin together, each with a few calls, not all send them the same way. */
	atomic_init(turn, before == NULL ? mesh__dice(env) >> 1 : atomic_load_explicit(before, memory_order_relaxed));
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
		set_turn(&s->subsets[i].turn, old == NULL ? NULL : &old->turn, env);
		if (!fill_group(s, &s->policy.subsets[i], &s->subsets[i])) {
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

static bool fill_routed(struct mesh__service *s, const struct mesh__route *route, struct mesh__routed *routed)
{
	size_t n = route->n_sides == 0 ? 1 : route->n_sides;

	routed->sides = mesh__arena_alloc(s->prepared, n, sizeof(struct mesh__routed_side));
	if (routed->sides == NULL) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct mesh__side *side = route->n_sides == 0 ? NULL : &route->sides[i];
		struct mesh__routed_side *to = &routed->sides[i];
		to->calls = counter_of(s, route, side);
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
		if (!fill_routed(s, &s->policy.routes[i], &s->routes[i])) {
			return false;
		}
	}
	return s->routes != NULL;
}

bool mesh__service_prepare(struct mesh__service *s, const struct mesh__service *before, const struct mesh__env *env)
{
	s->all.n = s->n;
	s->all.endpoints = s->endpoints;
	set_turn(&s->all.turn, before == NULL ? NULL : &before->all.turn, env);
	if (s->policy.n_subsets == 0 && s->policy.n_routes == 0) {
		return true;
	}
	s->prepared = mesh__arena_new(&env->mem);
	return s->prepared != NULL && prepare_subsets(s, before, env) && prepare_routes(s, before, env);
}
