#include "policy/retry.h"

#include "outbound/destination.h"
#include "outbound/grpc.h"
#include "outbound/sleep.h"
#include "outbound/steps.h"
#include "policy/deadline.h"

/* ---- The rule ---- */

const struct mesh__retries *mesh__retries_of(const struct mesh_request *r)
{
	return r->route != NULL ? &r->route->retries : &r->called->policy.retries;
}

struct mesh__retry_budget mesh__retry_budget_of(const struct mesh_request *r)
{
	struct mesh__retry_budget budget = mesh__retries_of(r)->budget;

	budget.window_ms = r->service->policy.retries.budget.window_ms;
	return budget;
}

/* How long the answer has its caller wait. */
static int64_t asked_ms(const struct mesh_request *r)
{
	const char *pushback = NULL;

	if (r->is_grpc) {
		pushback = mesh__client_response_trailer(&r->response, "grpc-retry-pushback-ms");
		pushback = pushback != NULL ? pushback : mesh__client_response_header(&r->response, "grpc-retry-pushback-ms");
	}
	if (pushback != NULL) {
		int64_t ms = mesh__grpc_pushback_parse(pushback);
		return ms >= 0 ? ms : MESH__RETRY_ASKS_NEVER;
	}
	return mesh__client_response_retry_after_ms(&r->response, mesh__wall_ms(r->outbound->env));
}

static bool body_gone(const struct mesh_request *r, enum mesh__try_end end)
{
	if (r->streamed != NULL && r->streamed->upload) {
		return r->streamed->n_gone > 0;
	}
	return r->body_len > MESH__RETRY_BODY_MAX && end != MESH__TRY_UNCONNECTED && end != MESH__TRY_UNSENT;
}

static struct mesh__retry_inputs inputs_of(const struct mesh_request *r, enum mesh__try_end end, int32_t tries, int64_t now_us)
{
	struct mesh__retry_inputs in = {.end = end, .grpc = -1, .idempotent = r->idempotent, .nothing_sent = r->result.sent == MESH__SENT_NOTHING, .body_gone = body_gone(r, end),
		.only_impostors = r->err.code == MESH_E_IDENTITY && (size_t)tries >= r->group->n,
		.parent_retried = r->parent_retried, .tries = tries - (r->hedged ? 1 : 0), .left_ms = mesh__deadline_left_ms(r->deadline_us, now_us), .asked_ms = MESH__RETRY_ASKS_NOTHING};

	if (end == MESH__TRY_ANSWERED || end == MESH__TRY_NOT_PROCESSED) {
		in.status = r->response.status;
		in.grpc = r->is_grpc ? (int)mesh__grpc_status_of(&r->response) : -1;
		in.asked_ms = asked_ms(r);
	}
	return in;
}

bool mesh__retry_would(const struct mesh_request *r)
{
	const struct mesh__retries *rule = mesh__retries_of(r);
	enum mesh__try_end end = mesh__response_not_processed(&r->response) ? MESH__TRY_NOT_PROCESSED : MESH__TRY_ANSWERED;
	const struct mesh__retry_budget budget = mesh__retry_budget_of(r);
	struct mesh__retry_inputs in;
	int64_t now_us;

	if (end == MESH__TRY_ANSWERED && r->response.status < MESH__RETRY_CODE_MIN && !r->is_grpc) {
		return false;
	}
	now_us = mesh__mono_us(r->outbound->env);
	in = inputs_of(r, end, r->tries + 1, now_us);
	return mesh__retry_decide(rule, &in, 0).again && mesh__budget_has(&r->service->destination->budget, &budget, now_us);
}

/* Counted, and where the call has an error, said in it. */
static void tell_stop(struct mesh_request *r, enum mesh__retry_stop stop)
{
	static const char *const says[] = {
		[MESH__RETRY_STOP_NOT_IDEMPOTENT] = "a handler may have processed it, and it is not idempotent",
		[MESH__RETRY_STOP_BODY] = "nobody has kept what has gone of its body",
		[MESH__RETRY_STOP_PARENT] = "what it is made for is a retry itself",
		[MESH__RETRY_STOP_IDENTITY] = "there is nobody else",
		[MESH__RETRY_STOP_DEADLINE] = "that could not begin in time",
		[MESH__RETRY_STOP_BUDGET] = "the retry budget is used up",
	};

	mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_retries_refused_total", "Retries that the rule wanted and that were not made, by what forbade them.", "reason",
		mesh__retry_stop_name(stop)), 1);
	if (r->err.code != MESH_OK && (size_t)stop < MESH__COUNT(says) && says[stop] != NULL) {
		mesh__err_more(&r->err, "not repeated: %s", says[stop]);
	}
}

bool mesh__step_retry(struct mesh_request *r)
{
	const struct mesh__retries *rule = mesh__retries_of(r);
	const struct mesh__retry_budget budget = mesh__retry_budget_of(r);
	struct mesh__retry_inputs in = inputs_of(r, r->end, r->tries, r->now_us);
	struct mesh__retry_verdict verdict = mesh__retry_decide(rule, &in, mesh__dice(r->outbound->env));

	if (r->copy.of != NULL) {
		return false; /* a mirror has what comes of one try */
	}
	r->error.may_be_processed |= verdict.may_be_processed; /* of any of its tries */
	r->wait_ms = verdict.wait_ms;
	if (verdict.again && !mesh__budget_withdraw(&r->service->destination->budget, &budget, r->now_us)) {
		verdict.again = false;
		verdict.stop = MESH__RETRY_STOP_BUDGET;
	}
	if (verdict.stop != MESH__RETRY_STOP_NONE) {
		tell_stop(r, verdict.stop);
	}
	return verdict.again;
}

/* ---- The wait ---- */

/* A try that a fault delays may have a second one beside it before it is sent. */
static void sleep_and_hedge(struct mesh_request *r, int64_t until_us)
{
	if (r->hedge_due_us != 0 && r->hedge_due_us < until_us) {
		mesh__sleep_until(r, r->hedge_due_us);
		if (!mesh__cancel_fired(r->cancel)) {
			mesh__hedge_second(r);
		}
	}
	mesh__sleep_until(r, until_us);
}

int mesh__step_pause(struct mesh_request *r)
{
	if (r->parked && mesh__parked_pause(r)) {
		return MESH_E_WOULD_BLOCK;
	}
	if (!r->parked) {
		sleep_and_hedge(r, mesh__mono_us(r->outbound->env) + r->wait_ms * 1000);
		r->now_us = mesh__mono_us(r->outbound->env);
	}
	return MESH_OK;
}
