#include "inbound/limits.h"

#include <stdio.h>
#include <strings.h>

#include "inbound/server.h"
#include "wire/grpc.h"
#include "wire/name.h"

enum { REASON_MAX = 320, NS_A_US = 1000, NS_A_MS = 1000000, PATIENCE_MS = 1000 };

void mesh__inbound_limits_init(struct mesh__inbound_limits *l, const struct mesh__env *env, struct mesh__metrics *metrics)
{
	l->metrics = metrics;
	mesh__sources_init(&l->sources, env);
	l->refused = mesh__metrics_counter(metrics, "mesh_inbound_concurrency_limited_total", "Requests refused because as many were under way as concurrencyLimit had found.", NULL, NULL);
	l->limit = mesh__metrics_gauge(metrics, "mesh_inbound_concurrency_limit", "How many requests may be under way by concurrencyLimit; 0: none has ended under it.", NULL, NULL);
}

void mesh__inbound_limits_fini(struct mesh__inbound_limits *l)
{
	mesh__sources_fini(&l->sources);
}

/* ---- The rate ---- */

static bool refuse_rate(struct mesh_inbound *in, const struct mesh__rate_limit *limit, int64_t wait_ns)
{
	struct mesh__inbound_limits *l = &in->server->limits;
	char source[MESH__SERVICE_KEY_MAX], rate[16], reason[REASON_MAX];

	mesh__service_key(&in->peer->name, source);
	mesh__rate_format(limit->per_second, rate);
	(void)snprintf(reason, sizeof(reason), "rateLimit: %s requests a second are taken of %s, %d at once", rate, limit->total ? "all callers together" : source, (int)limit->burst);
	mesh__count(mesh__metrics_counter(l->metrics, "mesh_inbound_rate_limited_total", "Requests refused because there were more than rateLimit says, by the service that made them.", "source", source), 1);
	mesh__inbound_refuse_for(in, 429, "rate-limited", reason, wait_ns / NS_A_MS + 1);
	return false;
}

bool mesh__inbound_within_rate(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__rate_limit *limit)
{
	struct mesh__inbound_limits *l = &server->limits;
	struct mesh__gcra_verdict verdict;
	struct mesh__gcra gcra;

	if (limit->per_second == 0) {
		return true;
	}
	gcra = mesh__gcra_of(limit);
	verdict = mesh__gcra_take(&gcra, limit->total ? &l->all_arrival_ns : mesh__sources_of(&l->sources, in->peer->spiffe), mesh__mono_us(server->env) * NS_A_US);
	return verdict.taken || refuse_rate(in, limit, verdict.wait_ns);
}

/* ---- How many at once ---- */

/* Whether it came with time enough to tell of the server when it passes: half of what callers have by the document, or a second. A deadline is its caller's to choose, and hasty ones would talk everybody's limit down. */
static bool is_patient(const struct mesh_inbound *in, int64_t timeout_ms)
{
	int64_t enough_ms = timeout_ms / 2 < PATIENCE_MS ? timeout_ms / 2 : PATIENCE_MS;

	return in->deadline_us != 0 && in->deadline_us - in->limited_us >= enough_ms * 1000;
}

bool mesh__inbound_within_concurrency(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__service_policy *own)
{
	const struct mesh__concurrency_limit *limit = &own->concurrency;
	struct mesh__inbound_limits *l = &server->limits;
	char reason[REASON_MAX];
	int32_t most;

	if (!limit->on) {
		return true;
	}
	if (mesh__aimd_enter(&l->concurrency, limit, &most)) {
		in->limited = true;
		in->limit = *limit;
		in->limited_us = mesh__mono_us(server->env);
		in->patient = is_patient(in, own->timeout_ms);
		return true;
	}
	(void)snprintf(reason, sizeof(reason), "concurrencyLimit: %d requests are under way, and no more are taken at present (from %d to %d)", (int)most, (int)limit->min, (int)limit->max);
	mesh__count(l->refused, 1);
	(void)mesh__inbound_refuse(in, 503, "overloaded", reason);
	return false;
}

/* Whether a gRPC handler says that it is overloaded, or was too late: in the trailers, or with trailers alone in the head. */
static bool says_overload(const struct mesh__field_list *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		if (strcasecmp(fields->list[i].name, "grpc-status") == 0) {
			enum mesh__grpc_status status = mesh__grpc_status_parse(fields->list[i].value);
			return status == MESH__GRPC_UNAVAILABLE || status == MESH__GRPC_RESOURCE_EXHAUSTED || status == MESH__GRPC_DEADLINE_EXCEEDED;
		}
	}
	return false;
}

static enum mesh__aimd_outcome outcome_of(const struct mesh_inbound *in, int64_t now_us)
{
	bool late = in->deadline_us != 0 && now_us >= in->deadline_us;

	if ((late && in->patient) || in->status == 503 || says_overload(&in->fields) || says_overload(&in->trailers)) {
		return MESH__AIMD_OVERLOAD;
	}
	return in->status == 0 || late ? MESH__AIMD_UNTOLD : MESH__AIMD_WELL; /* 0: its caller has gone */
}

void mesh__inbound_limits_leave(struct mesh_inbound *in)
{
	struct mesh__inbound_limits *l = &in->server->limits;
	int64_t now_us;

	if (in->limited) {
		now_us = mesh__mono_us(in->server->env);
		mesh__aimd_leave(&l->concurrency, &in->limit, &(struct mesh__aimd_sample){outcome_of(in, now_us), in->limited_us, now_us});
		mesh__gauge_set(l->limit, atomic_load_explicit(&l->concurrency.limit, memory_order_relaxed));
	}
}
