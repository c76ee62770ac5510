#include "outbound/choose.h"

#include <string.h>

#include "control/tables.h"
#include "outbound/steps.h"
#include "policy/hash.h"

struct view {
	const struct mesh_request *request;
	struct mesh__endpoint *const *endpoints; /* the candidates */
	int64_t now_us, slow_start_ms;
	size_t n_near;      /* the first so many are in the own zone */
	bool stay;          /* in it, where an endpoint has not been tried */
	bool healthy_alone; /* where there is one that is */
};

static bool is_tried(const struct mesh_request *r, const struct mesh__endpoint *e)
{
	for (int32_t t = 0; t < r->tries && t < MESH__TRIES_MAX; t++) {
		if (r->tried[t] == e) {
			return true;
		}
	}
	return false;
}

/* What should be left alone comes last of all, whatever was tried. Of a retry: before that what was tried, and another zone. */
static unsigned avoid(const void *ctx, size_t i)
{
	const struct view *v = ctx;
	const struct mesh__endpoint *e = v->endpoints[i];

	if (v->healthy_alone && !mesh__endpoint_is_healthy(e)) {
		return MESH__AVOID_MOST;
	}
	return is_tried(v->request, e) || (v->stay && i >= v->n_near);
}

static bool may_stay(const struct view *v)
{
	for (size_t i = 0; i < v->n_near; i++) {
		if (!is_tried(v->request, v->endpoints[i]) && (!v->healthy_alone || mesh__endpoint_is_healthy(v->endpoints[i]))) {
			return true;
		}
	}
	return false;
}

static double weight(const void *ctx, size_t i)
{
	const struct view *v = ctx;

	return mesh__endpoint_weight(v->endpoints[i], v->slow_start_ms, v->now_us);
}

static uint32_t load(const void *ctx, size_t i)
{
	const struct view *v = ctx;

	return atomic_load_explicit(&v->endpoints[i]->inflight, memory_order_relaxed);
}

static double cost_by_latency(const void *ctx, size_t i)
{
	const struct view *v = ctx;

	return mesh__endpoint_cost(v->endpoints[i], weight(ctx, i), v->now_us);
}

static double cost_by_load(const void *ctx, size_t i)
{
	return mesh__load_cost(load(ctx, i), weight(ctx, i));
}

static uint64_t dice(void *ctx, uint64_t n)
{
	return mesh__dice_below(ctx, n);
}

static struct mesh__balance_view view_of(const struct mesh_request *r, const struct mesh__candidates *c, struct view *v)
{
	const struct mesh__load_balancer *how = &r->service->policy.load_balancer;
	bool some_unhealthy = atomic_load_explicit(&r->service->destination->n_unhealthy, memory_order_relaxed) != 0;

	*v = (struct view){.request = r, .endpoints = r->group->endpoints + c->from, .now_us = r->now_us, .slow_start_ms = how->slow_start_ms, .n_near = c->from == 0 ? r->group->n_near : 0, .healthy_alone = !c->unhealthy_too};
	v->stay = r->tries > 0 && may_stay(v);
	return (struct mesh__balance_view){.n = c->n, .ctx = v, .avoid = r->tries > 0 || (some_unhealthy && !c->unhealthy_too) ? avoid : NULL, .cost = cost_by_latency,
		.weight = r->group->weighted || how->slow_start_ms > 0 ? weight : NULL, .load = load, .dice = dice, .dice_ctx = (void *)(uintptr_t)r->outbound->env};
}

/* A key has its place among all of the group. Without one, any place is as good. */
static int64_t choose_by_key(const struct mesh_request *r, const struct mesh__candidates *c)
{
	const struct mesh__candidates all = {.from = 0, .n = r->group->n, .unhealthy_too = c->unhealthy_too};
	char room[MESH__TARGET_MAX + 1];
	struct view v;
	struct mesh__balance_view view = view_of(r, &all, &v);
	size_t len;
	const char *key = mesh__request_key(r, &r->service->policy.load_balancer.hash_on, room, sizeof(room), &len);
	uint64_t hash = key != NULL ? mesh__hash(key, len, 0) : mesh__dice(r->outbound->env);

	v.slow_start_ms = 0; /* a key that moves away from a new endpoint for a while would move twice */
	return mesh__tables_pick(r->group->tables, &view, hash);
}

int64_t mesh__choose(const struct mesh_request *r, const struct mesh__candidates *c)
{
	struct view v;
	struct mesh__balance_view view = view_of(r, c, &v);
	int64_t i = MESH__BALANCE_NONE;

	switch (r->service->policy.load_balancer.balancer) {
	case MESH__BALANCER_LEAST_REQUEST:
		view.cost = cost_by_load;
		/* fallthrough */
	case MESH__BALANCER_PEAK_EWMA:
		i = mesh__balance_p2c(&view);
		break;
	case MESH__BALANCER_ROUND_ROBIN:
		i = mesh__balance_round_robin(&view, atomic_fetch_add_explicit(&r->group->turn, 1, memory_order_relaxed));
		break;
	case MESH__BALANCER_RANDOM:
		i = mesh__balance_random(&view);
		break;
	case MESH__BALANCER_RING_HASH:
	case MESH__BALANCER_MAGLEV:
		return choose_by_key(r, c);
	}
	return i == MESH__BALANCE_NONE ? i : (int64_t)c->from + i;
}
