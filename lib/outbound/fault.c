/* The faults that are injected into tries (policy/fault.h). Whatever is told of one says whose it is: nobody shall look for it at the endpoint. */
#include "policy/fault.h"

#include <stdio.h>
#include <string.h>

#include "http/cancel.h"
#include "outbound/answer.h"
#include "outbound/steps.h"

enum { WHOSE_MAX = 2 * MESH__SERVICE_KEY_MAX + 32 };

/* "route default of payments.default", "Fault payments.default" */
static const char *whose(const struct mesh_request *r, char out[WHOSE_MAX])
{
	if (r->route != NULL && r->fault == &r->route->fault) {
		(void)snprintf(out, WHOSE_MAX, "route %s of %s", r->route->name, r->key);
	} else {
		(void)snprintf(out, WHOSE_MAX, "Fault %s", r->key);
	}
	return out;
}

static void tell(const struct mesh_request *r, const char *what)
{
	char by[WHOSE_MAX];

	mesh__log(r->outbound->env, MESH__LOG_DEBUG, "fault injected", "fault", what, "by", whose(r, by), "service", r->service->key, "instance", r->endpoint->instance, "endpoint", r->endpoint->address, (char *)NULL);
}

static uint64_t draw(const struct mesh_request *r, int32_t share)
{
	return share > 0 ? mesh__dice_below(r->outbound->env, MESH__WHOLE) : MESH__WHOLE;
}

int mesh__step_fault(struct mesh_request *r)
{
	const struct mesh__fault *fault = r->fault;
	uint64_t delay_dice = draw(r, fault->delay.share), abort_dice = draw(r, fault->abort.share);
	struct mesh__fault_verdict verdict = mesh__fault_decide(fault, r->is_grpc, delay_dice, abort_dice);
	int64_t left_ms = (r->try_deadline_us - r->now_us + 999) / 1000;
	bool slow = verdict.abort && fault->abort.slow_body;

	r->aborts = verdict.abort;
	r->injected = false;
	r->delayed_us = 0;
	if (verdict.delay_ms > 0) {
		mesh__count(r->faulted->delays, 1);
		tell(r, "delay");
	}
	if (verdict.delay_ms == 0 && !slow) {
		return MESH_OK;
	}
	r->wait_ms = slow || verdict.delay_ms > left_ms ? left_ms : verdict.delay_ms;
	r->delayed_us = -r->now_us; /* until the wait is over */
	return mesh__step_pause(r);
}

/* ---- Ends ---- */

static int fail(struct mesh_request *r, int code, const char *how)
{
	char by[WHOSE_MAX];

	r->injected = true;
	r->result.sent = MESH__SENT_MAYBE; /* by a real one it would have been */
	return mesh__fail_at(&r->err, MESH__ORIGIN_POLICY, code, "%s %s: %s; injected by %s, and nothing was sent", r->endpoint->instance, r->endpoint->address, how, whose(r, by));
}

static void say(struct mesh_request *r)
{
	const struct mesh__fault_abort *abort = &r->fault->abort;
	char by[WHOSE_MAX];

	(void)whose(r, by);
	if (r->is_grpc) {
		mesh__answer_grpc(r, abort->grpc_status != 0 ? (enum mesh__grpc_status)abort->grpc_status : mesh__grpc_status_of_http(abort->status), "injected by ", by);
	} else {
		r->response.status = abort->status;
		mesh__client_response_add(&r->response, "content-type", "text/plain");
		if (strcmp(r->method, "HEAD") != 0) {
			mesh__buf_printf(&r->response.body, "injected by %s\n", by);
		}
	}
	mesh__client_response_add(&r->response, "x-fault-injected", by);
}

/* An answer from nobody, as if it had come over the wire. */
static int answer(struct mesh_request *r)
{
	int code;

	r->injected = true;
	r->result.sent = MESH__SENT_MAYBE;
	say(r);
	code = mesh__buf_error(&r->response.fields, "an injected answer", &r->err);
	code = code == MESH_OK ? mesh__buf_error(&r->response.body, "an injected answer", &r->err) : code;
	return code == MESH_OK && r->streamed != NULL ? mesh__streamed_answer(r) : code;
}

static int abort_try(struct mesh_request *r)
{
	const struct mesh__fault_abort *abort = &r->fault->abort;

	mesh__count(r->faulted->aborts, 1);
	tell(r, abort->reset ? "reset" : abort->slow_body ? "slowBody" : "abort");
	if (abort->slow_body) {
		return fail(r, MESH_E_TIMEOUT, "the answer was not whole in time");
	}
	return abort->reset ? fail(r, MESH_E_RESET, "the connection broke") : answer(r);
}

bool mesh__step_inject(struct mesh_request *r)
{
	bool late = r->now_us >= r->try_deadline_us;

	r->try_code = MESH_OK;
	if (r->delayed_us < 0) {
		r->delayed_us += r->now_us;
	}
	if (mesh__cancel_fired(r->cancel) || mesh__hedge_has_won(r)) {
		r->try_code = mesh__fail(&r->err, MESH_E_CANCELLED, "cancelled while a fault held it up; nothing was sent");
	} else if (r->aborts && (!late || r->fault->abort.slow_body)) {
		r->try_code = abort_try(r);
	} else if (late) {
		r->try_code = fail(r, MESH_E_TIMEOUT, "it was delayed for longer than it had time");
	}
	return r->aborts || r->try_code != MESH_OK;
}
