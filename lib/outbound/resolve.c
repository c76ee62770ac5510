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

static void set_deadline(struct mesh_request *r, const struct mesh__service_policy *policy, int64_t now_us)
{
	struct mesh__deadline_inputs in = {.caller_ms = r->timeout_ms, .policy_ms = policy->timeout_ms, .policy_set = policy->timeout_set, .parent_left_ms = -1};

	if (r->parent_deadline_us != 0) {
		in.parent_left_ms = mesh__deadline_left_ms(r->parent_deadline_us, now_us);
	}
	r->deadline_us = mesh__deadline_decide(&in, now_us);
}

int mesh__step_resolve(struct mesh_request *r)
{
	int code = check(r);

	if (code != MESH_OK) {
		return code;
	}
	r->snapshot = mesh__control_snapshot(r->outbound->control);
	r->service = r->snapshot == NULL || r->snapshot->creds == NULL ? NULL : mesh__snapshot_find(r->snapshot, r->key);
	r->now_us = r->begun_us;
	if (r->service != NULL) {
		set_deadline(r, &r->service->policy, r->begun_us);
	} else {
		struct mesh__service_policy built_in; /* bounds the wait for what the service's own policy is */
		mesh__service_policy_default(&built_in);
		set_deadline(r, &built_in, r->begun_us);
		mesh__snapshot_unref(r->snapshot);
		r->snapshot = NULL;
	}
	return MESH_OK;
}

int mesh__step_await(struct mesh_request *r)
{
	int code = r->parked ? mesh__parked_await(r) : mesh__control_await(r->outbound->control, r->key, r->deadline_us, r->cancel, &r->snapshot, &r->err);

	if (code == MESH_OK) {
		r->now_us = mesh__mono_us(r->outbound->env);
		r->service = mesh__snapshot_find(r->snapshot, r->key);
		set_deadline(r, &r->service->policy, r->begun_us);
	}
	return code;
}
