/* What documents say of limits: how often a service may be called, and how much of it is under way at once. */
#include <string.h>

#include "policy/fields.h"
#include "policy/forms.h"

/* ---- The rate limit ---- */

static void read_rate(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	int32_t *per_second = slot;

	if (at->node->kind == MESH__NODE_SCALAR && strcmp(at->node->text, "off") == 0) {
		*per_second = 0;
	} else {
		(void)mesh__read_decimal(r, at, 1, MESH__RATE_MOST, per_second);
	}
}

static void write_rate(struct mesh__json_out *out, const char *name, const void *slot)
{
	const int32_t *per_second = slot;
	char text[16];

	if (*per_second == 0) {
		mesh__json_put_text(out, name, "off");
	} else {
		mesh__decimal_format(*per_second, text);
		mesh__json_put_literal(out, name, text);
	}
}

static const struct mesh__custom_field rate = {read_rate, write_rate, "\"anyOf\":[{\"const\":\"off\"},{\"type\":\"number\",\"minimum\":0.0001,\"maximum\":200000}]"};
static const struct mesh__word per_words[] = {{"source", false}, {"total", true}, {NULL, 0}};

static const struct mesh__field_rule rate_rules[] = {
	{.name = "requestsPerSecond", .type = MESH__FIELD_CUSTOM, .custom = &rate, MESH__AT(struct mesh__rate_limit, per_second), .says = "in the long run, of one instance; off: no limit"},
	{.name = "burst", .type = MESH__FIELD_COUNT, .min = 1, .max = MESH__BURST_MOST, MESH__AT(struct mesh__rate_limit, burst), .says = "so many may come at once"},
	{.name = "per", .type = MESH__FIELD_WORD, .words = per_words, MESH__AT(struct mesh__rate_limit, total), .says = "source: each calling service by itself; total: all together"},
};

/* The rate may stand in the namespace's document or in the mesh's. */
static void check_rate(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	(void)base;
	if (mesh__node_get(at->node, "requestsPerSecond") == NULL) {
		mesh__reading_warn(r, at, "is no limit unless the namespace or the mesh says requestsPerSecond");
	}
}


/* ---- The concurrency limit ---- */

static const struct mesh__word mode_words[] = {{"off", false}, {"aimd", true}, {NULL, 0}};

static const struct mesh__field_rule concurrency_rules[] = {
	{.name = "mode", .type = MESH__FIELD_WORD, .words = mode_words, MESH__AT(struct mesh__concurrency_limit, on), .says = "aimd: one more while there is room, a tenth less on a timeout or an overload; off: no limit"},
	{.name = "min", .type = MESH__FIELD_COUNT, .min = 1, .max = MESH__CONCURRENCY_MOST, MESH__AT(struct mesh__concurrency_limit, min), .says = "it is no less"},
	{.name = "max", .type = MESH__FIELD_COUNT, .min = 1, .max = MESH__CONCURRENCY_MOST, MESH__AT(struct mesh__concurrency_limit, max), .says = "it is no more"},
};

/* What one layer says may cross what another does: no layer is at fault then, and max holds. */
static void check_concurrency(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__concurrency_limit *limit = base;
	const struct mesh__node *min = mesh__node_get(at->node, "min");

	if (min != NULL && limit->min > limit->max) {
		struct mesh__place place = mesh__place_of(at, min);
		mesh__reading_warn(r, &place, "is more than max, %d, which holds", (int)limit->max);
	}
	if (mesh__node_get(at->node, "mode") == NULL) {
		mesh__reading_warn(r, at, "is no limit unless the namespace or the mesh says mode");
	}
}

const struct mesh__fields mesh__fields_of_rate = {MESH__RULES(rate_rules), .check = check_rate};
const struct mesh__fields mesh__fields_of_concurrency = {MESH__RULES(concurrency_rules), .check = check_concurrency};

