#include "policy/service.h"

#include "base/str.h"

static const int64_t timeout_default_ms = 15000;
static const int64_t connect_timeout_default_ms = 1000;

void mesh__service_policy_default(struct mesh__service_policy *policy)
{
	*policy = (struct mesh__service_policy){
		.protocol = MESH__PROTOCOL_HTTP,
		.timeout_ms = timeout_default_ms,
		.connect_timeout_ms = connect_timeout_default_ms,
		.load_balancer = {.balancer = MESH__BALANCER_PEAK_EWMA, .panic_threshold = MESH__WHOLE / 2, .zone_aware = true},
		.retries = {
			.attempts = 2,
			.on = 1u << MESH__RETRY_ON_UNSENT | 1u << MESH__RETRY_ON_CONNECT_FAILURE | 1u << MESH__RETRY_ON_RESET | 1u << MESH__RETRY_ON_GATEWAY_ERROR,
			.backoff = {.base_ms = 25, .max_ms = 250},
			.budget = {.share = MESH__WHOLE / 5, .min_per_second = 10, .window_ms = 10000},
		},
		.hedging = {.max_extra = MESH__WHOLE / 20},
	};
	policy->concurrency = (struct mesh__concurrency_limit){.min = MESH__CONCURRENCY_MIN_BUILT_IN, .max = MESH__CONCURRENCY_MAX_BUILT_IN};
	policy->rate.burst = MESH__BURST_BUILT_IN;
	mesh__breaker_default(&policy->breaker);
	mesh__outlier_default(&policy->outlier);
	mesh__health_check_default(&policy->health);
}

void mesh__service_policy_copy(struct mesh__service_policy *to, const struct mesh__service_policy *from)
{
	*to = *from;
	(void)mesh__arena_ref(to->arena);
}

void mesh__service_policy_fini(struct mesh__service_policy *policy)
{
	mesh__arena_unref(policy->arena);
	policy->arena = NULL;
}

const char *mesh__protocol_name(enum mesh__protocol protocol)
{
	static const char *const names[] = {
		[MESH__PROTOCOL_HTTP] = "http", [MESH__PROTOCOL_HTTP2] = "http2", [MESH__PROTOCOL_GRPC] = "grpc",
	};

	return (unsigned)protocol < MESH__COUNT(names) ? names[protocol] : "unknown";
}

const char *mesh__balancer_name(enum mesh__balancer balancer)
{
	static const char *const names[] = {
#define X(name, text) text,
		MESH__BALANCERS(X)
#undef X
	};

	return (unsigned)balancer < MESH__COUNT(names) ? names[balancer] : "unknown";
}
