#include "outbound/grpc.h"
#include "outbound/steps.h"

enum { TELL_EVERY_US = 1000000 };

static bool is_failure(struct mesh_request *r)
{
	bool by_grpc = mesh__grpc_observe(r);

	return by_grpc || r->end != MESH__TRY_ANSWERED || r->response.status >= 500;
}

/* A try that we ended ourselves, or that never left this process, says nothing of the endpoint. */
static bool is_sample(const struct mesh_request *r)
{
	return r->end != MESH__TRY_LOCAL && r->err.code != MESH_E_CANCELLED && r->err.code != MESH_E_CLOSED;
}

/* A refusal that a retry made good is one all the same: whoever stands at that address with the wrong name must show. The line is not repeated for every call. */
static void tell_refusal(struct mesh_request *r)
{
	struct mesh__endpoint *e = r->endpoint;
	int64_t now_us = r->now_us, told_us = atomic_load_explicit(&e->told_us, memory_order_relaxed);

	if ((told_us == 0 || now_us - told_us >= TELL_EVERY_US) &&
		atomic_compare_exchange_strong_explicit(&e->told_us, &told_us, now_us, memory_order_relaxed, memory_order_relaxed)) {
		mesh__log(r->outbound->env, MESH__LOG_WARN, "peer refused", "service", r->service->key, "instance", e->instance, "endpoint", e->address, "code", mesh__code_name(r->err.code),
			"message", r->err.message, (char *)NULL);
	}
}

static void observe_failure(struct mesh_request *r)
{
	if (r->copy.of == NULL) {
		mesh__count(mesh__metrics_counter(r->outbound->metrics, "mesh_try_failures_total", "Tries that ended without a response, by code.", "code", mesh__code_name(r->err.code)), 1);
	}
	mesh__log(r->outbound->env, MESH__LOG_DEBUG, "try failed", "service", r->service->key, "instance", r->endpoint->instance, "endpoint", r->endpoint->address, "code", mesh__code_name(r->err.code),
		"message", r->err.message, (char *)NULL);
	if (r->err.code == MESH_E_IDENTITY || r->err.code == MESH_E_TLS) {
		tell_refusal(r);
	}
}

bool mesh__observe_later(const struct mesh_request *r)
{
	return r->parked && r->call.flight != NULL;
}

/* The call lets go of its snapshot when it is told. */
static void stream_on(struct mesh_request *r)
{
	r->streams_on = r->endpoint;
	mesh__endpoint_ref(r->streams_on);
	mesh__destination_ref(r->held);
}

void mesh__observe_landed(struct mesh_request *r, bool failed)
{
	struct mesh__endpoint *e = r->streams_on;

	if (e == NULL) {
		return;
	}
	if (failed) {
		mesh__endpoint_sample(e, 0, true, mesh__mono_us(r->outbound->env));
	}
	atomic_fetch_sub_explicit(&e->inflight, 1, memory_order_relaxed);
	mesh__destination_leave(r->held);
	mesh__destination_unref(r->held);
	mesh__endpoint_unref(e);
	r->held = NULL;
	r->streams_on = NULL;
}

static void leave(struct mesh_request *r)
{
	if (r->copy.of == NULL) {
		mesh__destination_leave(r->held);
	} else {
		mesh__destination_leave_copy(r->held);
	}
	r->held = NULL;
}

static void count_try(const struct mesh_request *r)
{
	mesh__count(r->outbound->tries, 1);
	if (r->tries > 1) {
		mesh__count(r->outbound->retries, 1);
	}
}

void mesh__step_observe(struct mesh_request *r)
{
	int64_t rtt_us = r->result.total_us - r->result.connect_us;
	bool failed = is_failure(r);

	if (mesh__observe_later(r)) {
		stream_on(r);
	} else {
		leave(r);
	}
	r->now_us = mesh__mono_us(r->outbound->env);
	if (r->err.code != MESH_OK) {
		observe_failure(r);
	}
	if (is_sample(r)) {
		mesh__endpoint_sample(r->endpoint, rtt_us, failed, r->now_us);
	}
	if (r->tries < MESH__TRIES_MAX) {
		r->tried[r->tries] = r->endpoint;
	}
	r->last_tried = r->endpoint;
	r->tries++;
	if (r->copy.of == NULL) {
		count_try(r);
	}
}
