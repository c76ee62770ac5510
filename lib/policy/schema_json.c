#include "policy/schema_json.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/fields.h"

static void put_type(struct mesh__json_out *out, const struct mesh__field_rule *rule, const void *built_in);

/* Members that stand as they are written in a table. */
static void put_members(struct mesh__json_out *out, const char *members)
{
	if (members != NULL) {
		mesh__buf_printf(out->buf, "%s%s", out->comma ? "," : "", members);
		out->comma = true;
	}
}

static void put_form(struct mesh__json_out *out, const struct mesh__text_form *form)
{
	mesh__json_put_text(out, "type", "string");
	mesh__json_put_int(out, "minLength", 1);
	mesh__json_put_int(out, "maxLength", (int64_t)form->max_bytes);
	mesh__json_put_text(out, "pattern", form->pattern);
}

static void put_words(struct mesh__json_out *out, const struct mesh__word *words)
{
	mesh__json_open(out, "enum", '[');
	for (; words->text != NULL; words++) {
		if (words->value != MESH__WORD_NOT_YET) {
			mesh__json_put_text(out, NULL, words->text);
		}
	}
	mesh__json_close(out, ']');
}

static void put_bounds(struct mesh__json_out *out, const struct mesh__field_rule *rule)
{
	char text[16];

	if (rule->type == MESH__FIELD_COUNT) {
		mesh__json_put_text(out, "type", "integer");
		mesh__json_put_int(out, "minimum", rule->min);
		mesh__json_put_int(out, "maximum", rule->max);
	} else {
		mesh__json_put_text(out, "type", "number");
		mesh__decimal_format((int32_t)rule->min, text);
		mesh__json_put_literal(out, "minimum", text);
		mesh__decimal_format((int32_t)rule->max, text);
		mesh__json_put_literal(out, "maximum", text);
	}
}

/* ---- Maps ---- */

static bool is_shown(const struct mesh__field_rule *rule)
{
	return !rule->not_yet && rule->elsewhere == NULL && rule->type != MESH__FIELD_ELSEWHERE;
}

static void put_property(struct mesh__json_out *out, const struct mesh__field_rule *rule, const void *built_in)
{
	char least[24], most[24], text[256];

	mesh__json_open(out, rule->name, '{');
	if (rule->type == MESH__FIELD_DURATION) { /* a text's bounds are beyond JSON Schema */
		mesh__duration_format(rule->min, least);
		mesh__duration_format(rule->max, most);
		(void)snprintf(text, sizeof(text), "%s; from %s to %s", rule->says, least, most);
		mesh__json_put_text(out, "description", text);
	} else {
		mesh__json_put_text(out, "description", rule->says);
	}
	put_type(out, rule, built_in);
	mesh__json_close(out, '}');
}

static void put_object(struct mesh__json_out *out, const struct mesh__fields *fields, const void *built_in)
{
	const struct mesh__field_rule *rule;

	mesh__json_put_text(out, "type", "object");
	mesh__json_open(out, "properties", '{');
	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		if (is_shown(rule)) {
			put_property(out, rule, built_in);
		}
	}
	mesh__json_close(out, '}');
	mesh__json_open(out, "required", '[');
	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		if (rule->required) {
			mesh__json_put_text(out, NULL, rule->name);
		}
	}
	mesh__json_close(out, ']');
	mesh__json_put_bool(out, "additionalProperties", false);
	if (fields->one_of) {
		mesh__json_put_int(out, "minProperties", 1);
		mesh__json_put_int(out, "maxProperties", 1);
	}
}

static void put_map(struct mesh__json_out *out, const struct mesh__fields *fields, const void *built_in)
{
	if (fields->scalar == NULL) {
		put_object(out, fields, built_in);
		return;
	}
	mesh__json_open(out, "anyOf", '[');
	mesh__json_open(out, NULL, '{');
	put_type(out, mesh__rule_find(fields, fields->scalar), NULL);
	mesh__json_close(out, '}');
	mesh__json_open(out, NULL, '{');
	put_object(out, fields, built_in);
	mesh__json_close(out, '}');
	mesh__json_close(out, ']');
}

/* ---- Lists, and maps with names of the document's own ---- */

static void put_items(struct mesh__json_out *out, const struct mesh__field_rule *rule)
{
	bool list = rule->type == MESH__FIELD_LIST;

	mesh__json_put_text(out, "type", list ? "array" : "object");
	mesh__json_put_int(out, list ? "minItems" : "minProperties", rule->min);
	mesh__json_put_int(out, list ? "maxItems" : "maxProperties", rule->max);
	if (!list) {
		mesh__json_open(out, "propertyNames", '{');
		put_form(out, rule->form);
		mesh__json_close(out, '}');
	}
	mesh__json_open(out, list ? "items" : "additionalProperties", '{');
	put_type(out, rule->item, NULL);
	mesh__json_close(out, '}');
}

/* ---- Any value ---- */

/* `built_in`: the base of what is built in; NULL: nothing is. */
static void put_type(struct mesh__json_out *out, const struct mesh__field_rule *rule, const void *built_in)
{
	switch (rule->type) {
	case MESH__FIELD_TEXT:
		put_form(out, rule->form);
		break;
	case MESH__FIELD_MAP:
		put_map(out, rule->fields, built_in == NULL || rule->size == 0 ? NULL : (const char *)built_in + rule->offset);
		return;
	case MESH__FIELD_LIST:
	case MESH__FIELD_DICT:
		put_items(out, rule);
		return;
	case MESH__FIELD_WORD:
		put_words(out, rule->words);
		break;
	case MESH__FIELD_BOOL:
		mesh__json_put_text(out, "type", "boolean");
		break;
	case MESH__FIELD_COUNT:
	case MESH__FIELD_DECIMAL:
		put_bounds(out, rule);
		break;
	case MESH__FIELD_DURATION:
		mesh__json_put_text(out, "type", "string");
		mesh__json_put_text(out, "pattern", "^[0-9]+([.][0-9]+)?(us|ms|s|m|h|d)$");
		break;
	case MESH__FIELD_CUSTOM:
		put_members(out, rule->custom->schema);
		break;
	case MESH__FIELD_ELSEWHERE:
		return;
	}
	if (built_in != NULL && mesh__rule_is_written(rule)) {
		mesh__write_leaf(out, "default", rule, built_in);
	}
}

/* ---- The kinds ---- */

static void put_kind_name(struct mesh__json_out *out, enum mesh__kind kind)
{
	mesh__json_open(out, "properties", '{');
	mesh__json_open(out, "kind", '{');
	mesh__json_put_text(out, "const", mesh__kind_name(kind));
	mesh__json_close(out, '}');
	mesh__json_close(out, '}');
}

/* "if" the kind is this one, "then" the document is as its table says. */
static void put_choice(struct mesh__json_out *out, enum mesh__kind kind)
{
	char ref[64];

	(void)snprintf(ref, sizeof(ref), "#/$defs/%s", mesh__kind_name(kind));
	mesh__json_open(out, NULL, '{');
	mesh__json_open(out, "if", '{');
	put_kind_name(out, kind);
	mesh__json_close(out, '}');
	mesh__json_open(out, "then", '{');
	mesh__json_put_text(out, "$ref", ref);
	mesh__json_close(out, '}');
	mesh__json_close(out, '}');
}

/* What is built in is a service's; of what a Namespace or a Mesh leaves out, a service may still say what it wants. */
static void put_kind(struct mesh__json_out *out, enum mesh__kind kind)
{
	struct mesh__document built_in = {.kind = kind};

	mesh__service_policy_default(&built_in.service);
	mesh__json_open(out, mesh__kind_name(kind), '{');
	put_object(out, mesh__fields_of_kind(kind), kind == MESH__KIND_SERVICE ? &built_in : NULL);
	mesh__json_close(out, '}');
}

void mesh__policy_schema(struct mesh__buf *buf)
{
	struct mesh__json_out out = {.buf = buf};
	const struct mesh__word *kinds = mesh__kind_words();

	mesh__json_open(&out, NULL, '{');
	mesh__json_put_text(&out, "$schema", "https://json-schema.org/draft/2020-12/schema");
	mesh__json_put_text(&out, "title", "meshlib: a configuration document, mesh/v1");
	mesh__json_put_text(&out, "type", "object");
	mesh__json_open(&out, "properties", '{');
	mesh__json_open(&out, "kind", '{');
	put_words(&out, kinds);
	mesh__json_close(&out, '}');
	mesh__json_close(&out, '}');
	mesh__json_open(&out, "required", '[');
	mesh__json_put_text(&out, NULL, "kind");
	mesh__json_close(&out, ']');
	mesh__json_open(&out, "allOf", '[');
	for (const struct mesh__word *w = kinds; w->text != NULL; w++) {
		if (w->value != MESH__WORD_NOT_YET) {
			put_choice(&out, (enum mesh__kind)w->value);
		}
	}
	mesh__json_close(&out, ']');
	mesh__json_open(&out, "$defs", '{');
	for (const struct mesh__word *w = kinds; w->text != NULL; w++) {
		if (w->value != MESH__WORD_NOT_YET) {
			put_kind(&out, (enum mesh__kind)w->value);
		}
	}
	mesh__json_close(&out, '}');
	mesh__json_close(&out, '}');
}
