#include <string.h>

#include "outbound/steps.h"
#include "policy/deadline.h"
#include "wire/url.h"

static int check(struct mesh_request *r)
{
	struct mesh__name name;
	int code;

	if (r->checked) {
		return MESH_OK;
	}
	if (!mesh__method_valid(r->method)) {
		return mesh__fail(&r->err, MESH_E_INVALID, "method \"%.40s\": not an HTTP method; CONNECT is not carried", r->method);
	}
	if (!mesh__target_valid(r->path, strlen(r->path))) {
		return mesh__fail(&r->err, MESH_E_INVALID, "path \"%.100s\": it must begin with '/' and be percent-encoded, without '#', at most 8192 bytes", r->path);
	}
	code = mesh__service_parse(r->service_text, r->outbound->ns, &name, &r->err);
	if (code == MESH_OK) {
		mesh__service_key(&name, r->key);
		r->checked = true;
	}
	return code;
}

void mesh__resolve_deadline(struct mesh_request *r, const struct mesh__service_policy *policy, const struct mesh__route *route)
{
	bool routed = route != NULL && route->timeout_ms != 0;
	struct mesh__deadline_inputs in = {.caller_ms = r->timeout_ms, .policy_ms = routed ? route->timeout_ms : policy->timeout_ms, .policy_set = routed || policy->timeout_set, .parent_left_ms = -1};

	if (r->parent_deadline_us != 0) {
		in.parent_left_ms = mesh__deadline_left_ms(r->parent_deadline_us, r->begun_us);
	}
	r->deadline_us = mesh__deadline_decide(&in, r->begun_us);
}

static void found(struct mesh_request *r, struct mesh__service *service)
{
	struct mesh__group *group = r->copy.of == NULL || r->copy.to->subset == NULL ? &service->all : mesh__service_subset(service, r->copy.to->subset);

	r->called = service;
	mesh__request_lead(r, service, group, r->copy.of == NULL ? &service->told : NULL);
	mesh__resolve_deadline(r, &service->policy, NULL);
}

int mesh__step_resolve(struct mesh_request *r)
{
	struct mesh__service *service;
	int code;

	if (r->second_of != NULL) {
		mesh__hedge_resolve(r);
		return MESH_OK;
	}
	code = check(r);
	if (code != MESH_OK) {
		return code;
	}
	r->snapshot = r->copy.of == NULL ? mesh__control_snapshot(r->outbound->control) : mesh__snapshot_ref(r->copy.from);
	service = r->snapshot == NULL || r->snapshot->creds == NULL ? NULL : mesh__snapshot_find(r->snapshot, r->key);
	r->now_us = r->begun_us;
	if (service != NULL) {
		found(r, service);
	} else {
		struct mesh__service_policy built_in; /* bounds the wait for what the service's own policy is */
		mesh__service_policy_default(&built_in);
		mesh__resolve_deadline(r, &built_in, NULL);
		mesh__request_let_go(r);
		r->awaited = r->key;
	}
	return MESH_OK;
}

int mesh__step_await(struct mesh_request *r)
{
	int code = r->parked ? mesh__parked_await(r) : mesh__control_await(r->outbound->control, r->awaited, r->deadline_us, r->cancel, &r->snapshot, &r->err);

	if (code == MESH_OK) {
		r->now_us = mesh__mono_us(r->outbound->env);
		found(r, mesh__snapshot_find(r->snapshot, r->key)); /* it is there, also when another was awaited: none that was known is forgotten */
	}
	return code;
}
