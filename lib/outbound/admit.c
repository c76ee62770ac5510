#include <string.h>

#include "outbound/destination.h"
#include "outbound/steps.h"
#include "policy/deadline.h"

int mesh__admit_call(struct mesh_request *r)
{
	if (atomic_load_explicit(&r->outbound->closed, memory_order_relaxed)) {
		return mesh__fail(&r->err, MESH_E_CLOSED, "the mesh is closing");
	}
	if (mesh__cancel_fired(r->cancel)) {
		return mesh__fail(&r->err, MESH_E_CANCELLED, "cancelled before it was sent");
	}
	if (mesh__deadline_left_ms(r->deadline_us, r->now_us) == 0) {
		return mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, MESH_E_TIMEOUT, "the deadline passed before a try could begin");
	}
	return MESH_OK;
}

/* From here on it takes of its time, whatever holds it up. */
static void begin_try(struct mesh_request *r)
{
	mesh__client_response_clear(&r->response);
	memset(&r->result, 0, sizeof(r->result));
	mesh__err_clear(&r->err);
	r->try_deadline_us = mesh__deadline_of_try(r->deadline_us, mesh__retries_of(r)->per_try_timeout_ms, r->now_us);
	r->timed = false;
	if (mesh__hedging_of(r)->on) {
		mesh__hedge_arm(r);
	}
	atomic_fetch_add_explicit(&r->endpoint->inflight, 1, memory_order_relaxed);
}

int mesh__step_admit(struct mesh_request *r)
{
	const struct mesh__breaker *breaker = &r->service->policy.breaker;
	struct mesh__destination *d = r->service->destination;
	int code = mesh__admit_call(r);

	if (code != MESH_OK) {
		return code;
	}
	code = r->copy.of == NULL ? mesh__destination_enter(d, breaker, &r->err) : mesh__destination_enter_copy(d, breaker, &r->err);
	if (code == MESH_OK && r->second_of != NULL && (code = mesh__hedge_admit(r)) != MESH_OK) {
		mesh__destination_leave(d);
	}
	if (code != MESH_OK) {
		return code;
	}
	r->held = d;
	if (r->tries == 0 && r->copy.of == NULL) {
		const struct mesh__retry_budget budget = mesh__retry_budget_of(r);
		mesh__budget_deposit(&d->budget, &budget, r->now_us);
	}
	begin_try(r);
	return MESH_OK;
}
