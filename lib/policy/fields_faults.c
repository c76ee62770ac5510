/* Injected faults: a route's, and what a Fault says. */
#include "policy/fields.h"
#include "policy/forms.h"
#include "wire/utc.h"

enum { HOUR_MS = 3600000, STATUS_MIN = 400, STATUS_MAX = 599, GRPC_MIN = 1, GRPC_MAX = 16 };

static const struct mesh__field_rule abort_rules[] = {
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .required = true, .max = MESH__WHOLE, MESH__AT(struct mesh__fault_abort, share), .says = "of the tries"},
	{.name = "status", .type = MESH__FIELD_COUNT, .min = STATUS_MIN, .max = STATUS_MAX, MESH__AT(struct mesh__fault_abort, status), .says = "an answer with this status; to gRPC the status that it means there"},
	{.name = "grpcStatus", .type = MESH__FIELD_COUNT, .min = GRPC_MIN, .max = GRPC_MAX, MESH__AT(struct mesh__fault_abort, grpc_status), .says = "of calls of gRPC alone: an answer with this status"},
	{.name = "reset", .type = MESH__FIELD_BOOL, MESH__AT(struct mesh__fault_abort, reset), .says = "true: it was sent, and its connection broke"},
	{.name = "slowBody", .type = MESH__FIELD_BOOL, MESH__AT(struct mesh__fault_abort, slow_body), .says = "true: an answer that does not end before the try's time does"},
};

static void check_abort(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__fault_abort *abort = base;

	if ((abort->status != 0) + (abort->grpc_status != 0) + abort->reset + abort->slow_body != 1) {
		mesh__reading_fault(r, at, "wants exactly one of status, grpcStatus, reset, slowBody beside percent");
	}
}

static const struct mesh__fields abort_fields = {MESH__RULES(abort_rules), .check = check_abort};

static const struct mesh__field_rule delay_rules[] = {
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .required = true, .max = MESH__WHOLE, MESH__AT(struct mesh__fault_delay, share), .says = "of the tries"},
	{.name = "duration", .type = MESH__FIELD_DURATION, .required = true, .min = 1, .max = HOUR_MS, MESH__AT(struct mesh__fault_delay, duration_ms), .says = "before it is sent"},
};

static const struct mesh__fields delay_fields = {MESH__RULES(delay_rules)};

static const struct mesh__field_rule fault_rules[] = {
	{.name = "delay", .type = MESH__FIELD_MAP, .fields = &delay_fields, MESH__AT(struct mesh__fault, delay), .says = "how many tries wait, and how long"},
	{.name = "abort", .type = MESH__FIELD_MAP, .fields = &abort_fields, MESH__AT(struct mesh__fault, abort), .says = "how many tries end without an endpoint, and how"},
};

static void check_fault(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	(void)base;
	if (mesh__node_get(at->node, "delay") == NULL && mesh__node_get(at->node, "abort") == NULL) {
		mesh__reading_fault(r, at, "injects nothing; say delay, abort or both");
	}
}

const struct mesh__fields mesh__fields_of_fault = {MESH__RULES(fault_rules), .check = check_fault};

/* ---- For a while ---- */

static void read_until(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	const char *text;
	int64_t ms = 0;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	if (!mesh__utc_parse(text, &ms) || ms == 0) {
		mesh__reading_fault(r, at, "\"%.40s\" is no time; write it in UTC, as in 2026-01-31T23:59:59Z", text);
	} else if (slot != NULL) {
		*(int64_t *)slot = ms;
	}
}

static void write_until(struct mesh__json_out *out, const char *name, const void *slot)
{
	char text[MESH__UTC_TEXT];

	mesh__utc_format(*(const int64_t *)slot, text);
	mesh__json_put_text(out, name, text);
}

static const struct mesh__custom_field until = {read_until, write_until, "\"type\":\"string\",\"pattern\":\"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$\""};

static const struct mesh__field_rule injection_rules[] = {
	{.name = "until", .type = MESH__FIELD_CUSTOM, .required = true, .custom = &until, MESH__AT(struct mesh__injection, until_ms), .says = "when it ends by itself, in UTC"},
	{.name = "route", .type = MESH__FIELD_TEXT, .form = &mesh__form_label, MESH__AT(struct mesh__injection, route), .says = "a route of the service, for calls that take it; left out: for all"},
	{.name = "match", .type = MESH__FIELD_LIST, .min = 1, .max = MESH__MATCHES_MAX, .item = &mesh__route_match_item, .item_size = sizeof(struct mesh__route_match), MESH__AT(struct mesh__injection, matches), .example = "[{source: {service: cart}}]", .says = "one of these is enough; left out: every request"},
};

/* The fault stands at the beginning of the base. */
const struct mesh__fields mesh__fields_of_injection = {MESH__RULES(injection_rules), .more = &mesh__fields_of_fault, .check = check_fault};
