/* Retries and hedging: a service's, and a route's over it. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/fields.h"

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, DAY_MS = 86400000 };

/* ---- What is tried again: words, and codes ---- */

static const struct mesh__word retry_words[] = {
#define X(name, text) {text, MESH__RETRY_ON_##name},
	MESH__RETRY_ON(X)
#undef X
	{NULL, 0},
};

static bool is_code(const struct mesh__node *node)
{
	return node->kind == MESH__NODE_SCALAR && !node->quoted && node->text[0] != '\0' && node->text[strspn(node->text, "0123456789")] == '\0';
}

static void read_retry_on(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	struct mesh__retries *retries = slot;
	size_t i = 0;
	int32_t value;
	int word;

	if (at->node->kind != MESH__NODE_LIST) {
		mesh__reading_fault(r, at, "wants a list such as [unsent, connect-failure, 503]");
		return;
	}
	retries->on = 0;
	memset(retries->codes, 0, sizeof(retries->codes));
	for (const struct mesh__node *node = at->node->child; node != NULL && !mesh__reading_full(r); node = node->next, i++) {
		struct mesh__place item = mesh__place_of_item(at, node, i);
		if (is_code(node) && mesh__read_count(r, &item, MESH__RETRY_CODE_MIN, MESH__RETRY_CODE_MAX, &value)) {
			retries->codes[(value - MESH__RETRY_CODE_MIN) / 64] |= UINT64_C(1) << ((value - MESH__RETRY_CODE_MIN) % 64);
		} else if (!is_code(node) && mesh__read_word(r, &item, retry_words, &word)) {
			retries->on |= 1u << word;
		}
	}
}

static void write_retry_on(struct mesh__json_out *out, const char *name, const void *slot)
{
	const struct mesh__retries *retries = slot;

	mesh__json_open(out, name, '[');
	for (const struct mesh__word *w = retry_words; w->text != NULL; w++) {
		if ((retries->on & 1u << w->value) != 0) {
			mesh__json_put_text(out, NULL, w->text);
		}
	}
	for (int code = 0; code <= MESH__RETRY_CODE_MAX - MESH__RETRY_CODE_MIN; code++) {
		if ((retries->codes[code / 64] >> (code % 64) & 1) != 0) {
			mesh__json_put_int(out, NULL, code + MESH__RETRY_CODE_MIN);
		}
	}
	mesh__json_close(out, ']');
}

#define X(name, text) ",{\"const\":\"" text "\"}"
static const struct mesh__custom_field retry_on = {read_retry_on, write_retry_on,
	"\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"integer\",\"minimum\":400,\"maximum\":599}" MESH__RETRY_ON(X) "]}"};
#undef X

static const struct mesh__field_rule backoff_rules[] = {
	{.name = "base", .type = MESH__FIELD_DURATION, .max = MINUTE_MS, MESH__AT(struct mesh__retries, backoff.base_ms), .says = "the first wait is at most this long; 0s: no wait"},
	{.name = "max", .type = MESH__FIELD_DURATION, .max = MINUTE_MS, MESH__AT(struct mesh__retries, backoff.max_ms), .says = "no wait is longer"},
};

static const struct mesh__field_rule budget_rules[] = {
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__retries, budget.share), .says = "retries, of the calls of the window; 0: minPerSecond alone"},
	{.name = "minPerSecond", .type = MESH__FIELD_COUNT, .max = 1000000, MESH__AT(struct mesh__retries, budget.min_per_second), .says = "so many are allowed besides"},
	{.name = "window", .type = MESH__FIELD_DURATION, .min = 1000, .max = HOUR_MS, MESH__AT(struct mesh__retries, budget.window_ms), .says = "over which the calls are counted, in ten slices"},
};

static const struct mesh__fields backoff_fields = {MESH__RULES(backoff_rules)};
static const struct mesh__fields budget_fields = {MESH__RULES(budget_rules)};

static const struct mesh__field_rule retries_rules[] = {
	{.name = "attempts", .type = MESH__FIELD_COUNT, .max = MESH__RETRIES_MAX, MESH__AT(struct mesh__retries, attempts), .says = "retries after the first try; 0: none"},
	{.name = "perTryTimeout", .type = MESH__FIELD_DURATION, .max = DAY_MS, MESH__AT(struct mesh__retries, per_try_timeout_ms), .says = "of each try; 0s: the call's deadline alone"},
	{.name = "retryOn", .type = MESH__FIELD_CUSTOM, .custom = &retry_on, MESH__ALL_OF(struct mesh__retries), .says = "what is tried again"},
	{.name = "backoff", .type = MESH__FIELD_MAP, .fields = &backoff_fields, MESH__ALL_OF(struct mesh__retries), .says = "how long is waited before a retry, drawn at random"},
	{.name = "budget", .type = MESH__FIELD_MAP, .fields = &budget_fields, MESH__ALL_OF(struct mesh__retries), .says = "how many retries there are in all"},
};

const struct mesh__fields mesh__fields_of_retries = {MESH__RULES(retries_rules)};

/* ---- Hedging ---- */

enum { PERCENTILE_MAX = 999999 };

/* "p95", "p99.9" in millionths; 0: it is none. */
static int32_t percentile_of(struct mesh__reading *r, const char *text)
{
	struct mesh__node node = {.kind = MESH__NODE_SCALAR, .text = NULL};
	struct mesh__reading quiet = {.mem = r->mem, .file = r->file};
	struct mesh__place at = {.node = &node};
	int32_t value = 0;
	char digits[24];

	if (text[0] != 'p' || strlen(text) >= sizeof(digits)) {
		return 0;
	}
	memcpy(digits, text + 1, strlen(text));
	node.text = digits;
	return mesh__read_decimal(&quiet, &at, 1, PERCENTILE_MAX, &value) ? value : 0;
}

static void read_delay(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	struct mesh__hedging *hedging = slot;
	const char *text;
	int64_t ms;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	hedging->on = false;
	if (strcmp(text, "off") == 0) {
		return;
	}
	hedging->percentile = percentile_of(r, text);
	if (hedging->percentile == 0 && text[0] == 'p') {
		mesh__reading_fault(r, at, "\"%.60s\" is no percentile; write p and a number under 100, such as p95", text);
	} else if (hedging->percentile > 0 || mesh__read_duration(r, at, 1, MINUTE_MS, &ms)) {
		hedging->delay_ms = hedging->percentile > 0 ? 0 : ms;
		hedging->on = true;
	}
}

static void write_delay(struct mesh__json_out *out, const char *name, const void *slot)
{
	const struct mesh__hedging *hedging = slot;
	char text[24] = "p";

	if (!hedging->on) {
		(void)snprintf(text, sizeof(text), "off");
	} else if (hedging->percentile > 0) {
		mesh__decimal_format(hedging->percentile, text + 1);
	} else {
		mesh__duration_format(hedging->delay_ms, text);
	}
	mesh__json_put_text(out, name, text);
}

static const struct mesh__custom_field delay = {read_delay, write_delay, "\"type\":\"string\",\"pattern\":\"^(off|p[0-9]+([.][0-9]+)?|[0-9]+([.][0-9]+)?(us|ms|s|m|h|d))$\""};

static const struct mesh__field_rule hedging_rules[] = {
	{.name = "delay", .type = MESH__FIELD_CUSTOM, .custom = &delay, MESH__ALL_OF(struct mesh__hedging), .says = "after which a second try goes out: a duration, or a percentile of the recent latencies such as p95; off: none"},
	{.name = "maxExtraPercent", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__hedging, max_extra), .says = "second tries, of the calls; 0: none"},
};

const struct mesh__fields mesh__fields_of_hedging = {MESH__RULES(hedging_rules)};
