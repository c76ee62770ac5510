#include "outbound/call.h"

#include <stdio.h>
#include <string.h>

#include "outbound/steps.h"

/*
 * X(NAME): the states of a call, in the order of a call that goes well. FAULT and INJECT are of calls alone into which one is injected, HEDGE of those with a second try. In AWAIT, FAULT, ATTEMPT, HEDGE and PAUSE it waits: it is parked
 * in the state that comes next, or for AWAIT and HEDGE, where it looks again, in that.
 */
#define STATES(X) X(RESOLVE) X(AWAIT) X(ROUTE) X(EDIT) X(LIMIT) X(PICK) X(ADMIT) X(FAULT) X(INJECT) X(ATTEMPT) X(JUDGE) X(OBSERVE) X(HEDGE) X(RETRY) X(PAUSE) X(DONE)

#define X(name) STATE_##name,
enum state { STATES(X) };
#undef X

static enum state next_or_done(int code, enum state next)
{
	return code == MESH_OK ? next : STATE_DONE;
}

/* A mirror's copy meets no limit of calls, and a second try is in its call's place. */
static enum state before_pick(const struct mesh_request *r)
{
	return r->copy.of == NULL && r->second_of == NULL && r->called->policy.concurrency.on ? STATE_LIMIT : STATE_PICK;
}

/* A service without routes, and without a fault for all its calls, has none to look for, and a mirror's copy and a second try have been where their call's led. */
static enum state after_resolve(const struct mesh_request *r)
{
	bool routes = r->copy.of == NULL && r->second_of == NULL;

	return r->service == NULL ? STATE_AWAIT : routes && (r->service->policy.n_routes > 0 || r->service->faulted.on) ? STATE_ROUTE : before_pick(r);
}

/* An answer that no rule would have repeated, as almost all are; one whose body is on its way to the application is repeated by none, nor is a second try. */
static bool is_last_word(const struct mesh_request *r)
{
	return r->second_of != NULL || (r->end == MESH__TRY_ANSWERED && r->response.status < MESH__RETRY_CODE_MIN && !r->is_grpc) || mesh__observe_later(r);
}

/* The state after the step at hand; *parked: but the step's wait has only begun. */
static enum state step(struct mesh_request *r, bool *parked)
{
	int code;

	switch ((enum state)r->state) {
	case STATE_RESOLVE:
		code = mesh__step_resolve(r);
		return next_or_done(code, after_resolve(r));
	case STATE_AWAIT:
		code = mesh__step_await(r);
		*parked = code == MESH_E_WOULD_BLOCK;
		return *parked ? STATE_AWAIT : next_or_done(code, after_resolve(r));
	case STATE_ROUTE:
		mesh__step_route(r);
		return r->service == NULL ? STATE_AWAIT : r->route == NULL ? before_pick(r) : STATE_EDIT;
	case STATE_EDIT:
		code = mesh__step_edit(r);
		return next_or_done(code, r->answered_here ? STATE_DONE : before_pick(r));
	case STATE_LIMIT:
		return next_or_done(mesh__step_limit(r), STATE_PICK);
	case STATE_PICK:
		code = mesh__step_pick(r);
		return code == MESH_OK && r->service == NULL ? STATE_AWAIT : next_or_done(code, STATE_ADMIT);
	case STATE_ADMIT:
		code = mesh__step_admit(r);
		if (code == MESH_OK && r->route != NULL) {
			mesh__mirror_call(r);
		}
		return next_or_done(code, r->fault == NULL ? STATE_ATTEMPT : STATE_FAULT);
	case STATE_FAULT:
		*parked = mesh__step_fault(r) != MESH_OK;
		return STATE_INJECT;
	case STATE_INJECT:
		return mesh__step_inject(r) ? STATE_JUDGE : STATE_ATTEMPT;
	case STATE_ATTEMPT:
		*parked = mesh__step_attempt(r) != MESH_OK;
		return STATE_JUDGE;
	case STATE_JUDGE:
		mesh__step_judge(r);
		return STATE_OBSERVE;
	case STATE_OBSERVE:
		mesh__step_observe(r);
		return r->hedge != NULL ? STATE_HEDGE : is_last_word(r) ? STATE_DONE : STATE_RETRY;
	case STATE_HEDGE:
		*parked = mesh__step_hedge(r) != MESH_OK;
		return *parked ? STATE_HEDGE : is_last_word(r) ? STATE_DONE : STATE_RETRY;
	case STATE_RETRY:
		return !mesh__step_retry(r) ? STATE_DONE : r->wait_ms > 0 ? STATE_PAUSE : STATE_PICK;
	case STATE_PAUSE:
		*parked = mesh__step_pause(r) != MESH_OK;
		return STATE_PICK;
	case STATE_DONE:
		break;
	}
	return STATE_DONE;
}

/* As far as it gets; the only place where a call's state changes. True: to its end. (In both its callers at once it would leave every step a call of its own.) */
static MESH__NOINLINE bool advance(struct mesh_request *r)
{
	bool parked = false;

	while (r->state != STATE_DONE && !parked) {
		r->state = step(r, &parked);
	}
	return !parked;
}

/* An answer that asks for another try is still an answer: when none can be made the caller gets it as it is, unless the caller has cancelled meanwhile. */
static bool answered(const struct mesh_request *r)
{
	if (r->answered_here) {
		return true;
	}
	return r->response.status != 0 && r->tries > 0 && (r->end == MESH__TRY_ANSWERED || r->end == MESH__TRY_NOT_PROCESSED) && r->err.code != MESH_E_CANCELLED && r->err.code != MESH_E_CLOSED;
}

bool mesh__call_on_own_thread(const struct mesh__outbound *o)
{
	return mesh__loop_is_current(o->loop) || mesh__thread_set_has_this(&o->own_threads) || mesh__async_is_current(&o->async);
}

/* Both are bounded where they come into the process. */
static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	len = len < size ? len : size - 1;
	if (len > 0) {
		memcpy(out, text, len);
	}
	out[len] = '\0';
}

/* The trail of a call that failed. */
static void tell_tries(struct mesh_request *r)
{
	r->error.tries = r->tries;
	for (int32_t i = 0; i < r->tries && i < MESH__TRIES_MAX; i++) {
		(void)snprintf(r->error.endpoints[i], sizeof(r->error.endpoints[i]), "%s %s", r->tried[i]->instance, r->tried[i]->address);
	}
}

/* The header, as the route wants it. False, with why in r->err: it cannot be shown, and a response without it is none. */
static bool show_head(struct mesh_request *r)
{
	if (r->route == NULL || mesh__edit_response(r) == MESH_OK) {
		return true;
	}
	r->error.may_be_processed = !r->answered_here;
	if (r->parked && r->call.flight != NULL) {
		mesh__flight_stop(r->call.flight, MESH_E_NO_MEMORY, "the header could not be edited");
	}
	return false;
}

int mesh__call_conclude(struct mesh_request *r)
{
	if (r->second_of != NULL) {
		return r->err.code; /* its call concludes */
	}
	mesh__limit_leave(r);
	if (answered(r) && show_head(r)) {
		if (!r->answered_here && !r->injected) {
			copy_text(r->instance, sizeof(r->instance), r->last_tried->instance);
			copy_text(r->version, sizeof(r->version), r->last_tried->version);
		}
		mesh__err_clear(&r->err);
		if (r->copy.of == NULL) {
			mesh__count(r->outbound->calls_ok, 1);
		}
		return MESH_OK;
	}
	mesh__client_response_clear(&r->response); /* a part of one is none */
	if (r->err.code == MESH_E_CANCELLED && atomic_load(&r->outbound->closed)) {
		r->err.code = MESH_E_CLOSED; /* closing cancels what is still under way */
	}
	r->error.err = r->err;
	tell_tries(r);
	r->has_error = true;
	if (r->copy.of == NULL) {
		mesh__count(r->outbound->calls_failed, 1);
		mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_call_errors_total", "Calls that ended without a response, by code.", "code", mesh__code_name(r->err.code)), 1);
	}
	return r->err.code;
}

void mesh__call_prepare(struct mesh_request *r, bool parked)
{
	if (r->telling.started) {
		mesh__events_forget(&r->outbound->async.events, r);
	}
	mesh__request_clear(r);
	r->parked = parked;
	r->state = STATE_RESOLVE;
	r->begun_us = mesh__mono_us(r->outbound->env);
}

void mesh__call_go_on(struct mesh_request *r)
{
	r->now_us = mesh__mono_us(r->outbound->env);
	if (advance(r)) {
		mesh__async_end(r);
	}
}

/* The call on this thread, to its end. */
static int make(struct mesh_request *r)
{
	int code;

	if (mesh__call_on_own_thread(r->outbound)) {
		(void)mesh__fail(&r->err, MESH_E_WOULD_BLOCK, "mesh_call() waits, and this is the mesh's own loop thread; start the call, call from another thread, or serve with \"pool\"");
	} else {
		(void)advance(r);
	}
	code = mesh__call_conclude(r);
	mesh__request_let_go(r);
	return code;
}

/* The bodies of a streamed call are the call thread's affair: started, and waited for. */
static int call_streamed(struct mesh_request *r)
{
	int code = r->streamed->upload ? MESH_E_STATE : mesh__async_start(r, NULL, NULL);

	return code == MESH_OK ? mesh__events_await(&r->outbound->async.events, r) : code;
}

int mesh__call(struct mesh_request *r)
{
	bool idle = false;
	int code;

	if (r->streamed != NULL && !mesh__call_on_own_thread(r->outbound)) {
		return call_streamed(r);
	}
	if (!atomic_compare_exchange_strong(&r->running, &idle, true)) {
		return MESH_E_STATE;
	}
	mesh__call_prepare(r, false);
	if (mesh__running_enter(&r->outbound->running, r)) {
		code = make(r);
		mesh__running_leave(&r->outbound->running, r);
	} else {
		(void)mesh__fail(&r->err, MESH_E_CLOSED, "the mesh is closed");
		code = mesh__call_conclude(r);
	}
	mesh__cancel_reset(r->cancel);
	atomic_store(&r->running, false);
	return code;
}
