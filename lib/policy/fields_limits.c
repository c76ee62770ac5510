/* What documents may say of an endpoint's health, of limits at the server and of injected faults: their names and bounds stand; what would obey them does not yet, so nothing of it is kept. */
#include "policy/fields.h"
#include "policy/forms.h"

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, TEN_THOUSAND = 10000, MILLION = 1000000 };

/* ---- The balancer's ---- */

static const struct mesh__field_rule balancer_rules[] = {
	{.name = "slowStart", .type = MESH__FIELD_DURATION, .not_yet = true, .max = HOUR_MS, .says = "over which a new endpoint's share grows"},
	{.name = "panicThreshold", .type = MESH__FIELD_DECIMAL, .not_yet = true, .max = MESH__WHOLE, .says = "percent; with fewer healthy endpoints all are used"},
	{.name = "hashOn", .type = MESH__FIELD_MAP, .not_yet = true, .fields = &mesh__fields_of_sticky, .says = "what is hashed"},
	{.name = "zoneAware", .type = MESH__FIELD_BOOL, .not_yet = true, .says = "own zone first"},
};

const struct mesh__fields mesh__fields_of_balancer_more = {MESH__RULES(balancer_rules)};

/* ---- A service's ---- */

static const struct mesh__field_rule success_rules[] = {
	{.name = "stdevFactor", .type = MESH__FIELD_DECIMAL, .max = 100 * TEN_THOUSAND},
	{.name = "minHosts", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "minRequests", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "interval", .type = MESH__FIELD_DURATION, .min = 100, .max = HOUR_MS},
};

static const struct mesh__field_rule failure_rules[] = {
	{.name = "threshold", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE},
	{.name = "minHosts", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "minRequests", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "interval", .type = MESH__FIELD_DURATION, .min = 100, .max = HOUR_MS},
};

static const struct mesh__fields success_fields = {MESH__RULES(success_rules)};
static const struct mesh__fields failure_fields = {MESH__RULES(failure_rules)};

static const struct mesh__field_rule outlier_rules[] = {
	{.name = "consecutiveFailures", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "baseEjection", .type = MESH__FIELD_DURATION, .min = 1, .max = HOUR_MS},
	{.name = "maxEjection", .type = MESH__FIELD_DURATION, .min = 1, .max = HOUR_MS},
	{.name = "maxEjectionPercent", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE},
	{.name = "successRate", .type = MESH__FIELD_MAP, .fields = &success_fields},
	{.name = "failurePercent", .type = MESH__FIELD_MAP, .fields = &failure_fields},
};

static const struct mesh__field_rule health_rules[] = {
	{.name = "path", .type = MESH__FIELD_TEXT, .form = &mesh__form_path},
	{.name = "interval", .type = MESH__FIELD_DURATION, .min = 100, .max = HOUR_MS},
	{.name = "timeout", .type = MESH__FIELD_DURATION, .min = 1, .max = MINUTE_MS},
	{.name = "unhealthyAfter", .type = MESH__FIELD_COUNT, .min = 1, .max = 100},
	{.name = "healthyAfter", .type = MESH__FIELD_COUNT, .min = 1, .max = 100},
};

static const struct mesh__word per_words[] = {{"source", 0}, {"total", 1}, {NULL, 0}};

static const struct mesh__field_rule rate_rules[] = {
	{.name = "requestsPerSecond", .type = MESH__FIELD_DECIMAL, .max = INT32_MAX - TEN_THOUSAND},
	{.name = "burst", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "per", .type = MESH__FIELD_WORD, .words = per_words},
};

static const struct mesh__word mode_words[] = {{"aimd", 0}, {NULL, 0}};

static const struct mesh__field_rule concurrency_rules[] = {
	{.name = "mode", .type = MESH__FIELD_WORD, .words = mode_words},
	{.name = "min", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
	{.name = "max", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION},
};

const struct mesh__fields mesh__fields_of_outlier = {MESH__RULES(outlier_rules)};
const struct mesh__fields mesh__fields_of_health = {MESH__RULES(health_rules)};
const struct mesh__fields mesh__fields_of_rate = {MESH__RULES(rate_rules)};
const struct mesh__fields mesh__fields_of_concurrency = {MESH__RULES(concurrency_rules)};

/* ---- Failover ---- */

static const struct mesh__field_rule failover_rules[] = {
	{.name = "service", .type = MESH__FIELD_TEXT, .required = true, .form = &mesh__form_service, .says = "where calls go when no endpoint is healthy"},
};

const struct mesh__fields mesh__fields_of_failover = {MESH__RULES(failover_rules)};

/* ---- A route's: injected faults ---- */

static const struct mesh__field_rule abort_rules[] = {
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .required = true, .max = MESH__WHOLE},
	{.name = "status", .type = MESH__FIELD_COUNT, .min = 400, .max = 599},
	{.name = "grpcStatus", .type = MESH__FIELD_COUNT, .min = 1, .max = 16},
	{.name = "reset", .type = MESH__FIELD_BOOL},
};

static const struct mesh__field_rule delay_rules[] = {
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .required = true, .max = MESH__WHOLE},
	{.name = "duration", .type = MESH__FIELD_DURATION, .required = true, .min = 1, .max = HOUR_MS},
};

static const struct mesh__fields abort_fields = {MESH__RULES(abort_rules)};
static const struct mesh__fields delay_fields = {MESH__RULES(delay_rules)};

static const struct mesh__field_rule fault_rules[] = {
	{.name = "abort", .type = MESH__FIELD_MAP, .fields = &abort_fields},
	{.name = "delay", .type = MESH__FIELD_MAP, .fields = &delay_fields},
};

const struct mesh__fields mesh__fields_of_fault = {MESH__RULES(fault_rules)};
