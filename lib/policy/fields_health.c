/* What documents say of endpoints' health: how they are asked. */
#include <string.h>

#include "policy/fields.h"
#include "policy/forms.h"

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, CHECKS_MAX = 100 };

static const char off[] = "off";

static bool check_path(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (strcmp(text, off) == 0) {
		memcpy(normal, off, sizeof(off));
		return true;
	}
	return mesh__form_path.check(r, at, text, normal);
}

static const struct mesh__text_form form_path = {MESH__TEXT_MAX, check_path, "^(off|/[^?# ]*)$"};

static const struct mesh__field_rule health_rules[] = {
	{.name = "path", .type = MESH__FIELD_TEXT, .form = &form_path, MESH__AT(struct mesh__health_check, path), .says = "what each endpoint is asked for, by GET; off: no checks"},
	{.name = "interval", .type = MESH__FIELD_DURATION, .min = 100, .max = HOUR_MS, MESH__AT(struct mesh__health_check, interval_ms), .says = "from one check of an endpoint to its next"},
	{.name = "timeout", .type = MESH__FIELD_DURATION, .min = 1, .max = MINUTE_MS, MESH__AT(struct mesh__health_check, timeout_ms), .says = "of a check, to the end of the answer"},
	{.name = "unhealthyAfter", .type = MESH__FIELD_COUNT, .min = 1, .max = CHECKS_MAX, MESH__AT(struct mesh__health_check, unhealthy_after), .says = "failed checks in a row"},
	{.name = "healthyAfter", .type = MESH__FIELD_COUNT, .min = 1, .max = CHECKS_MAX, MESH__AT(struct mesh__health_check, healthy_after), .says = "passed checks in a row"},
};

/* That it is said switches it on. */
static void check_health(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__health_check *check = base;

	(void)r;
	(void)at;
	check->on = strcmp(check->path, off) != 0;
}

const struct mesh__fields mesh__fields_of_health = {MESH__RULES(health_rules), .check = check_health};
