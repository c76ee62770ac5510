/* The canonical form: the values as they were read, the members in the order of the rules. */
#include <string.h>

#include "base/str.h"
#include "policy/schema.h"

static void write_value(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const struct mesh__field_rule *rule, const void *base);

static const char *text_at(const void *slot)
{
	const char *text;

	memcpy(&text, slot, sizeof(text));
	return text;
}

static int32_t int32_at(const void *slot)
{
	int32_t value;

	memcpy(&value, slot, sizeof(value));
	return value;
}

static void write_word(struct mesh__json_out *out, const char *name, const struct mesh__field_rule *rule, const void *slot)
{
	int value = rule->size == sizeof(bool) ? *(const bool *)slot : int32_at(slot);

	for (const struct mesh__word *w = rule->words; w->text != NULL; w++) {
		if (w->value == value) {
			mesh__json_put_text(out, name, w->text);
			return;
		}
	}
}

static void write_duration(struct mesh__json_out *out, const char *name, const void *slot)
{
	char text[24];
	int64_t ms;

	memcpy(&ms, slot, sizeof(ms));
	mesh__duration_format(ms, text);
	mesh__json_put_text(out, name, text);
}

/* With as many places as it needs. */
static void write_decimal(struct mesh__json_out *out, const char *name, int32_t value)
{
	int places = 4;

	for (int32_t rest = value; places > 0 && rest % 10 == 0; rest /= 10) {
		places--;
	}
	mesh__json_put_double(out, name, value / 10000.0, places);
}

/* The items, and beside each the node that it was read from. */
static void write_items(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const struct mesh__field_rule *rule, const char *slot)
{
	bool list = rule->type == MESH__FIELD_LIST;
	const char *items = text_at(slot);
	size_t n, i = 0;

	memcpy(&n, slot + sizeof(items), sizeof(n));
	mesh__json_open(out, name, list ? '[' : '{');
	for (const struct mesh__node *child = node->child; child != NULL && i < n; child = child->next, i++) {
		const char *item = items + i * rule->item_size;
		write_value(out, list ? NULL : text_at(item), child, rule->item, item);
	}
	mesh__json_close(out, list ? ']' : '}');
}

static void write_map(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const struct mesh__field_rule *rule, const void *slot)
{
	const struct mesh__fields *fields = rule->fields;

	mesh__json_open(out, name, '{');
	if (node->kind == MESH__NODE_SCALAR) {
		write_value(out, fields->scalar, node, mesh__rule_find(fields, fields->scalar), slot);
	} else {
		mesh__write_fields(out, node, fields, slot);
	}
	mesh__json_close(out, '}');
}

void mesh__write_leaf(struct mesh__json_out *out, const char *name, const struct mesh__field_rule *rule, const void *base)
{
	const char *slot = (const char *)base + rule->offset;

	switch (rule->type) {
	case MESH__FIELD_TEXT:
		mesh__json_put_text(out, name, text_at(slot));
		break;
	case MESH__FIELD_WORD:
		write_word(out, name, rule, slot);
		break;
	case MESH__FIELD_BOOL:
		mesh__json_put_bool(out, name, *(const bool *)slot);
		break;
	case MESH__FIELD_COUNT:
		mesh__json_put_int(out, name, int32_at(slot));
		break;
	case MESH__FIELD_DECIMAL:
		write_decimal(out, name, int32_at(slot));
		break;
	case MESH__FIELD_DURATION:
		write_duration(out, name, slot);
		break;
	case MESH__FIELD_CUSTOM:
		rule->custom->write(out, name, slot);
		break;
	case MESH__FIELD_MAP:
	case MESH__FIELD_LIST:
	case MESH__FIELD_DICT:
	case MESH__FIELD_ELSEWHERE:
		break;
	}
}

static void write_value(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const struct mesh__field_rule *rule, const void *base)
{
	const char *slot = (const char *)base + rule->offset;

	if (rule->type == MESH__FIELD_MAP) {
		write_map(out, name, node, rule, slot);
	} else if (rule->type == MESH__FIELD_LIST || rule->type == MESH__FIELD_DICT) {
		write_items(out, name, node, rule, slot);
	} else {
		mesh__write_leaf(out, name, rule, base);
	}
}

bool mesh__rule_is_written(const struct mesh__field_rule *rule)
{
	return rule->size > 0 && (rule->type != MESH__FIELD_CUSTOM || rule->custom->write != NULL);
}

void mesh__write_fields(struct mesh__json_out *out, const struct mesh__node *node, const struct mesh__fields *fields, const void *base)
{
	const struct mesh__field_rule *rule;

	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		const struct mesh__node *member = mesh__node_get(node, rule->name);
		if (member != NULL && mesh__rule_is_written(rule)) {
			write_value(out, rule->name, member, rule, base);
		}
	}
}
