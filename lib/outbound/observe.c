#include <stdio.h>

#include "outbound/grpc.h"
#include "outbound/steps.h"

enum { TELL_EVERY_US = 1000000 };

static bool is_failure(const struct mesh_request *r, bool grpc_failed)
{
	return grpc_failed || r->end != MESH__TRY_ANSWERED || r->response.status >= MESH__STATUS_FAILED;
}

/* A try that we ended ourselves, or that never left this process, says nothing of the endpoint. */
static bool is_sample(const struct mesh_request *r)
{
	return r->end != MESH__TRY_LOCAL && r->end != MESH__TRY_OUTRUN && r->err.code != MESH_E_CANCELLED && r->err.code != MESH_E_CLOSED;
}

/* It was ended because nobody waits for it any more: the call's other try has answered, or the call is over. */
static bool is_outlasted(const struct mesh_request *r)
{
	return r->end == MESH__TRY_OUTRUN || (r->second_of != NULL && r->err.code == MESH_E_CANCELLED);
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

/* What the end of the bodies adds to what the head has said. */
static enum mesh__blame blame_landed(const struct mesh_request *r, int code, bool failed)
{
	if (r->response.status >= MESH__STATUS_FAILED) {
		return MESH__BLAME_UNKNOWN; /* that counts already */
	}
	return failed ? MESH__BLAME_ENDPOINT : code == MESH_OK ? MESH__BLAME_NOBODY : MESH__BLAME_UNKNOWN;
}

void mesh__observe_landed(struct mesh_request *r, int code)
{
	struct mesh__endpoint *e = r->streams_on;
	int64_t now_us;
	bool failed;

	if (e == NULL) {
		return;
	}
	now_us = mesh__mono_us(r->outbound->env);
	failed = code == MESH_OK ? mesh__grpc_observe(r) : code == MESH_E_RESET || code == MESH_E_PROTOCOL;
	if (failed) {
		mesh__endpoint_sample(e, 0, true, now_us);
	}
	mesh__outlier_learn(e, blame_landed(r, code, failed), code == MESH_OK ? "its gRPC status" : mesh__code_name(code), now_us);
	atomic_fetch_sub_explicit(&e->inflight, 1, memory_order_relaxed);
	mesh__destination_leave(r->held);
	mesh__destination_unref(r->held);
	mesh__endpoint_unref(e);
	r->held = NULL;
	r->streams_on = NULL;
	mesh__limit_leave(r);
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
	if (r->tries > 1 && r->second_of == NULL) {
		mesh__count(r->outbound->retries, 1);
	}
}

/* The first try of a call that has as long as the service's documents, or what is built in, give one: its running out of time is no haste of the caller's, nor of who called that; and an upload that streams is as slow as who sends it. */
static bool had_whole_time(const struct mesh_request *r)
{
	int64_t policy_ms = r->route != NULL && r->route->timeout_ms != 0 ? r->route->timeout_ms : r->called->policy.timeout_ms;

	return r->tries == 0 && r->deadline_us - r->begun_us >= policy_ms * 1000 && (r->streamed == NULL || !r->streamed->upload);
}

/* What a failed try ended with, for people. */
static const char *end_of(const struct mesh_request *r, bool grpc_failed, char room[MESH__DECIMAL_TEXT])
{
	if (r->end != MESH__TRY_ANSWERED && r->end != MESH__TRY_NOT_PROCESSED) {
		return mesh__code_name(r->err.code);
	}
	if (grpc_failed) {
		return mesh__grpc_status_name(mesh__grpc_status_of(&r->response));
	}
	(void)snprintf(room, MESH__DECIMAL_TEXT, "%d", r->response.status);
	return room;
}

/* Who is on trial has to answer in the time that there is, be it short: were it left open, each next call would be the probe, and none would have an answer. An upload that streams is as slow as who sends it. */
static enum mesh__blame blame_probed(const struct mesh_request *r, enum mesh__blame blame)
{
	bool silent = r->end == MESH__TRY_OUTRUN || (r->err.code == MESH_E_TIMEOUT && (r->streamed == NULL || !r->streamed->upload));

	return blame == MESH__BLAME_UNKNOWN && silent ? MESH__BLAME_ENDPOINT : blame;
}

/* Of one whose bodies stream the head says less: that it came readmits an endpoint, and a 5xx counts, but whether all went well is known when they are through. */
static void teach_outlier(struct mesh_request *r, bool grpc_failed)
{
	struct mesh__blame_inputs in = {.end = r->end, .code = r->err.code, .status = r->response.status, .grpc_failed = grpc_failed, .whole_time = had_whole_time(r)};
	enum mesh__blame blame = mesh__blame_decide(&in);
	struct mesh__endpoint *probed = r->probes;
	char room[MESH__DECIMAL_TEXT];

	r->probes = NULL;
	if (probed != NULL) {
		mesh__outlier_probed(probed, blame_probed(r, blame), r->now_us);
	} else if (blame == MESH__BLAME_ENDPOINT && r->copy.of == NULL) {
		mesh__outlier_learn(r->endpoint, blame, end_of(r, grpc_failed, room), r->now_us);
	} else if (r->copy.of == NULL && !mesh__observe_later(r)) {
		mesh__outlier_learn(r->endpoint, blame, NULL, r->now_us);
	}
}

void mesh__step_observe(struct mesh_request *r)
{
	int64_t rtt_us = r->result.total_us - r->result.connect_us;
	bool grpc_failed = mesh__grpc_observe(r);

	r->failed = is_failure(r, grpc_failed);
	if (mesh__observe_later(r)) {
		stream_on(r);
	} else {
		leave(r);
	}
	r->now_us = mesh__mono_us(r->outbound->env);
	if (is_outlasted(r)) {
		mesh__endpoint_outlasted(r->endpoint, rtt_us, r->now_us);
	} else if (r->err.code != MESH_OK) {
		observe_failure(r);
	}
	if (is_sample(r)) {
		mesh__endpoint_sample(r->endpoint, rtt_us, r->failed, r->now_us);
	}
	if (r->timed) {
		mesh__hedge_time(r);
	}
	teach_outlier(r, grpc_failed);
	if (r->tries < MESH__TRIES_MAX) {
		r->tried[r->tries] = r->endpoint;
	}
	r->last_tried = r->endpoint;
	r->tries++;
	if (r->copy.of == NULL) {
		count_try(r);
	}
}
