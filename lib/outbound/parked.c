#include "outbound/parked.h"

#include "outbound/call.h"

/* ---- Time ---- */

static void on_time(void *arg)
{
	mesh__call_go_on(arg);
}

static bool set_timer(struct mesh_request *r, int64_t ms)
{
	if (r->call.timer == NULL && mesh__timer_new(r->outbound->async.loop, on_time, r, &r->call.timer) != MESH_OK) {
		return false;
	}
	mesh__timer_start(r->call.timer, ms, 0);
	return true;
}

bool mesh__parked_pause(struct mesh_request *r)
{
	return set_timer(r, r->wait_ms);
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
		if (r->call.timer != NULL) {
			mesh__timer_stop(r->call.timer);
		}
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

void mesh__parked_end(struct mesh_request *r)
{
	mesh__timer_free(r->call.timer);
	r->call.timer = NULL;
}
