#include <string.h>

#include "outbound/steps.h"

struct view {
	const struct mesh_request *request;
	int64_t now_us;
	bool stay; /* in the own zone, where an endpoint has not been tried */
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

static bool is_near(const struct mesh_request *r, const struct mesh__endpoint *e)
{
	return r->outbound->labels.zone != NULL && e->zone != NULL && strcmp(r->outbound->labels.zone, e->zone) == 0;
}

/* Of a retry: what was tried comes last, another zone before it. */
static bool avoid(const void *ctx, size_t i)
{
	const struct view *v = ctx;
	const struct mesh__endpoint *e = v->request->group->endpoints[i];

	return is_tried(v->request, e) || (v->stay && !is_near(v->request, e));
}

static bool may_stay(const struct mesh_request *r)
{
	for (size_t i = 0; i < r->group->n; i++) {
		if (is_near(r, r->group->endpoints[i]) && !is_tried(r, r->group->endpoints[i])) {
			return true;
		}
	}
	return false;
}

static double cost(const void *ctx, size_t i)
{
	const struct view *v = ctx;

	return mesh__endpoint_cost(v->request->group->endpoints[i], v->now_us);
}

static uint64_t dice(void *ctx, uint64_t n)
{
	return mesh__dice_below(ctx, n);
}

static int no_endpoint(struct mesh_request *r)
{
	if (r->group->subset == NULL) {
		return mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "service %s has no endpoint at present", r->service->key);
	}
	if (r->route == NULL) { /* a mirror's copy */
		return mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "subset %s of service %s, to which a mirror leads, has no endpoint at present: none of %zu has its labels", r->group->subset,
			r->service->key, r->service->n);
	}
	return mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_ENDPOINT, "subset %s of service %s, to which route %s leads, has no endpoint at present: none of %zu has its labels", r->group->subset,
		r->service->key, r->route->name, r->service->n);
}

int mesh__step_pick(struct mesh_request *r)
{
	const struct mesh__env *env = r->outbound->env;
	struct mesh__service *s = r->service;
	struct mesh__group *group = r->group;
	struct view v = {.request = r, .now_us = r->now_us, .stay = r->tries > 0 && may_stay(r)};
	struct mesh__balance_view view = {.n = group->n, .ctx = &v, .avoid = r->tries > 0 ? avoid : NULL, .cost = cost, .dice = dice, .dice_ctx = (void *)(uintptr_t)env};
	int64_t i;

	if (!s->known) {
		return mesh__fail_at(&r->err, MESH__ORIGIN_CONTROL, MESH_E_NO_SERVICE, "no service %s: none has ever registered; is the name right, is its namespace?", s->key);
	}
	if (s->policy.balancer == MESH__BALANCER_ROUND_ROBIN) {
		i = mesh__balance_round_robin(&view, atomic_fetch_add_explicit(&group->turn, 1, memory_order_relaxed));
	} else {
		i = mesh__balance_p2c(&view);
	}
	if (i == MESH__BALANCE_NONE) {
		return no_endpoint(r);
	}
	r->endpoint = group->endpoints[i]; /* the call's snapshot keeps it */
	return MESH_OK;
}
