/* What documents say of endpoints that fail: when they are left alone, for how long, and how many of them. */
#include "policy/fields.h"

enum { HOUR_MS = 3600000, TEN_THOUSAND = 10000, MILLION = 1000000 };

#define COMMON_RULES                                                                                                                                                            \
	{.name = "minHosts", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION, MESH__AT(struct mesh__outlier_rate_rule, min_hosts), .says = "nobody is ejected where fewer endpoints have had minRequests"},  \
	{.name = "minRequests", .type = MESH__FIELD_COUNT, .min = 1, .max = MILLION, MESH__AT(struct mesh__outlier_rate_rule, min_requests), .says = "in an interval; who has had fewer is not looked at"},    \
	{.name = "interval", .type = MESH__FIELD_DURATION, .min = 100, .max = HOUR_MS, MESH__AT(struct mesh__outlier_rate_rule, interval_ms), .says = "after which endpoints are compared"}

static const struct mesh__field_rule success_rules[] = {
	{.name = "stdevFactor", .type = MESH__FIELD_DECIMAL, .max = 100 * TEN_THOUSAND, MESH__AT(struct mesh__outlier_rate_rule, limit), .says = "so many standard deviations under the mean success rate; 0: off"},
	COMMON_RULES,
};

static const struct mesh__field_rule failure_rules[] = {
	{.name = "threshold", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__outlier_rate_rule, limit), .says = "of its requests, in percent, more than which have failed; 100: off"},
	COMMON_RULES,
};

/* That it is said switches it on. */
static void check_success(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__outlier_rate_rule *rule = base;

	(void)r;
	(void)at;
	rule->on = rule->limit > 0;
}

static void check_failure(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__outlier_rate_rule *rule = base;

	(void)r;
	(void)at;
	rule->on = rule->limit < MESH__WHOLE;
}

static const struct mesh__fields success_fields = {MESH__RULES(success_rules), .check = check_success};
static const struct mesh__fields failure_fields = {MESH__RULES(failure_rules), .check = check_failure};

static const struct mesh__field_rule outlier_rules[] = {
	{.name = "consecutiveFailures", .type = MESH__FIELD_COUNT, .max = MILLION, MESH__AT(struct mesh__outlier, consecutive_failures), .says = "so many in a row eject an endpoint; 0: none does"},
	{.name = "baseEjection", .type = MESH__FIELD_DURATION, .min = 1, .max = HOUR_MS, MESH__AT(struct mesh__outlier, base_ejection_ms), .says = "how long it is left alone at first"},
	{.name = "maxEjection", .type = MESH__FIELD_DURATION, .min = 1, .max = HOUR_MS, MESH__AT(struct mesh__outlier, max_ejection_ms), .says = "up to which each failed probe doubles that"},
	{.name = "maxEjectionPercent", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__outlier, max_ejected), .says = "of the endpoints, how many at once; one may always be"},
	{.name = "successRate", .type = MESH__FIELD_MAP, .fields = &success_fields, MESH__AT(struct mesh__outlier, rates[MESH__OUTLIER_SUCCESS_RATE]), .says = "who succeeds clearly less than the others"},
	{.name = "failurePercent", .type = MESH__FIELD_MAP, .fields = &failure_fields, MESH__AT(struct mesh__outlier, rates[MESH__OUTLIER_FAILURE_PERCENT]), .says = "whose requests fail too often"},
};

const struct mesh__fields mesh__fields_of_outlier = {MESH__RULES(outlier_rules)};
