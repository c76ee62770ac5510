#include "outbound/parked.h"

#include "outbound/call.h"

/* ---- Time ---- */

static void on_time(void *arg);

static bool set_timer(struct mesh_request *r, int64_t ms)
{
	if (r->call.timer == NULL && mesh__timer_new(r->outbound->async.loop, on_time, r, &r->call.timer) != MESH_OK) {
		return false;
	}
	mesh__timer_start(r->call.timer, ms, 0);
	return true;
}

static int64_t ms_until(const struct mesh_request *r, int64_t until_us)
{
	int64_t left_us = until_us - mesh__mono_us(r->outbound->env);

	return left_us > 0 ? (left_us + 999) / 1000 : 0;
}

/* For the end of the pause, or the second try, which comes before. */
static bool set_pause(struct mesh_request *r)
{
	r->call.hedges = r->hedge_due_us != 0 && r->hedge_due_us < r->call.pause_us;
	return set_timer(r, ms_until(r, r->call.hedges ? r->hedge_due_us : r->call.pause_us));
}

static void on_time(void *arg)
{
	struct mesh_request *r = arg;

	if (!r->call.hedges) {
		mesh__call_go_on(r);
		return;
	}
	r->call.hedges = false;
	mesh__hedge_second(r);
	if (r->call.flight == NULL) {
		(void)set_pause(r); /* the timer is there */
	}
}

bool mesh__parked_pause(struct mesh_request *r)
{
	r->call.pause_us = mesh__mono_us(r->outbound->env) + r->wait_ms * 1000;
	return set_pause(r);
}

static void stop_timer(struct mesh_request *r)
{
	r->call.hedges = false;
	if (r->call.timer != NULL) {
		mesh__timer_stop(r->call.timer);
	}
}

/* ---- The control plane ---- */

static void list_waiting(struct mesh_request *r)
{
	struct mesh_request **first = &r->outbound->async.waiting;

	r->call.prev = NULL;
	r->call.next = *first;
	if (r->call.next != NULL) {
		r->call.next->call.prev = r;
	}
	*first = r;
	r->call.waits = true;
}

static void unlist_waiting(struct mesh_request *r)
{
	if (r->call.waits) {
		*(r->call.prev != NULL ? &r->call.prev->call.next : &r->outbound->async.waiting) = r->call.next;
		if (r->call.next != NULL) {
			r->call.next->call.prev = r->call.prev;
		}
		r->call.waits = false;
	}
}

int mesh__parked_await(struct mesh_request *r)
{
	struct mesh__control *control = r->outbound->control;
	int64_t now_us = mesh__mono_us(r->outbound->env);
	int code = MESH_OK;

	if (!r->call.waits) {
		code = mesh__control_ask(control, r->awaited, &r->err);
	}
	if (code == MESH_OK) {
		code = mesh__control_look(control, r->awaited, r->deadline_us, r->cancel, &r->snapshot, &r->err);
	}
	if (code == MESH_E_WOULD_BLOCK && !set_timer(r, (r->deadline_us - now_us + 999) / 1000)) {
		code = mesh__fail_memory(&r->err);
	}
	if (code != MESH_E_WOULD_BLOCK) {
		unlist_waiting(r);
		stop_timer(r);
	} else if (!r->call.waits) {
		list_waiting(r);
	}
	return code;
}

/* ---- An exchange ---- */

static void on_flown(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct mesh_request *r = arg;

	r->call.flight = NULL;
	if (r->call.hedges) {
		stop_timer(r);
	}
	if (r->streamed != NULL && !mesh__streamed_landed(r, &code, err)) {
		mesh__async_landed(r);
		return;
	}
	r->try_code = code;
	r->result = *result;
	if (code != MESH_OK) {
		r->err = *err;
		mesh__streamed_explain(r, &r->err);
	}
	mesh__call_go_on(r);
}

int mesh__parked_exchange(struct mesh_request *r, struct mesh__pool *pool, const struct mesh__client_request *what)
{
	struct mesh__flight_options o = {.request = *what, .response = &r->response, .connect_timeout_ms = r->service->policy.connect_timeout_ms, .deadline_us = r->try_deadline_us,
		.done = on_flown, .arg = r};
	int code;

	if (r->streamed != NULL) {
		mesh__streamed_board(r, &o);
	}
	code = mesh__flight_start(pool, r->outbound->async.loop, &o, &r->call.flight, &r->err);
	if (code == MESH_OK && r->hedge_due_us != 0) {
		r->call.hedges = set_timer(r, ms_until(r, r->hedge_due_us)); /* where it cannot be there is no second try */
	}
	return code == MESH_OK ? MESH_E_WOULD_BLOCK : code;
}

/* ---- The end ---- */

void mesh__parked_cancel(struct mesh_request *r)
{
	if (r->call.flight != NULL) {
		mesh__flight_stop(r->call.flight, MESH_E_CANCELLED, "cancelled");
	} else {
		mesh__call_go_on(r); /* it looks at the cancel by itself */
	}
}

void mesh__parked_second_over(struct mesh_request *r)
{
	if (r->call.flight != NULL) {
		mesh__flight_stop(r->call.flight, MESH_E_CANCELLED, "the second try has answered");
	} else {
		stop_timer(r);
		mesh__call_go_on(r);
	}
}

void mesh__parked_end(struct mesh_request *r)
{
	mesh__timer_free(r->call.timer);
	r->call.timer = NULL;
}
