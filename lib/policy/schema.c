#include "policy/schema.h"

#include <string.h>

#include "base/str.h"

/* ---- The rules ---- */

const struct mesh__field_rule *mesh__rule_at(const struct mesh__fields *fields, size_t i)
{
	for (; fields != NULL; fields = fields->more) {
		if (i < fields->n) {
			return &fields->rules[i];
		}
		i -= fields->n;
	}
	return NULL;
}

const struct mesh__field_rule *mesh__rule_find(const struct mesh__fields *fields, const char *name)
{
	const struct mesh__field_rule *rule;

	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		if (strcmp(rule->name, name) == 0) {
			return rule;
		}
	}
	return NULL;
}

/* ---- Where a value is kept ---- */

static void *slot_of(const struct mesh__field_rule *rule, void *base)
{
	return base == NULL || rule->size == 0 ? NULL : (char *)base + rule->offset;
}

static void keep(const struct mesh__field_rule *rule, void *base, const void *value, size_t size)
{
	if (rule->size == size && base != NULL) {
		memcpy((char *)base + rule->offset, value, size);
	}
}

static void keep_text(struct mesh__reading *r, const struct mesh__field_rule *rule, void *base, const char *text)
{
	const char *copy;

	if (rule->size != sizeof(copy) || base == NULL) {
		return;
	}
	copy = mesh__arena_strdup(r->arena, text);
	r->no_memory |= copy == NULL;
	keep(rule, base, &copy, sizeof(copy));
}

/* ---- Scalars ---- */

/* True with the text's normal form. */
static bool check_form(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__text_form *form, const char *text, char *normal, const char **taken)
{
	if (strlen(text) > form->max_bytes) {
		mesh__reading_fault(r, at, "is longer than %zu bytes", form->max_bytes);
		return false;
	}
	*taken = form->check != NULL ? normal : text;
	return form->check == NULL || form->check(r, at, text, normal);
}

static void read_text(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	char normal[MESH__FORM_TEXT];
	const char *text;

	if (mesh__read_text(r, at, &text) && check_form(r, at, rule->form, text, normal, &text)) {
		keep_text(r, rule, base, text);
	}
}

static void read_word(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	int value;

	if (mesh__read_word(r, at, rule->words, &value)) {
		bool truth = value != 0;
		keep(rule, base, &value, sizeof(value));
		keep(rule, base, &truth, sizeof(truth));
	}
}

static void read_number(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	int32_t value;
	bool ok = rule->type == MESH__FIELD_COUNT ? mesh__read_count(r, at, (int32_t)rule->min, (int32_t)rule->max, &value)
						  : mesh__read_decimal(r, at, (int32_t)rule->min, (int32_t)rule->max, &value);

	if (ok) {
		keep(rule, base, &value, sizeof(value));
	}
}

static void read_duration(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	int64_t ms;

	if (mesh__read_duration(r, at, rule->min, rule->max, &ms)) {
		keep(rule, base, &ms, sizeof(ms));
	}
}

static void read_bool(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	bool value;

	if (mesh__read_bool(r, at, &value)) {
		keep(rule, base, &value, sizeof(value));
	}
}

/* ---- Lists, and maps with names of the document's own ---- */

static void read_value(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base);

/* What the items are read into: NULL when they are kept nowhere, or told in r->no_memory. Their number stands behind the pointer. */
static char *make_items(struct mesh__reading *r, const struct mesh__field_rule *rule, void *base, size_t n)
{
	char *items = NULL, *slot = slot_of(rule, base);

	if (rule->item_size == 0 || slot == NULL) {
		return NULL;
	}
	items = mesh__arena_alloc(r->arena, n, rule->item_size);
	if (items == NULL) {
		r->no_memory = true;
		return NULL;
	}
	memcpy(slot, &items, sizeof(items));
	memcpy(slot + sizeof(items), &n, sizeof(n));
	return items;
}

static bool count_items(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, size_t *n)
{
	*n = 0;
	if (rule->type == MESH__FIELD_LIST && at->node->kind != MESH__NODE_LIST) {
		mesh__reading_fault(r, at, "wants a list%s%s", rule->example != NULL ? " such as " : "", rule->example != NULL ? rule->example : "");
		return false;
	}
	if (rule->type == MESH__FIELD_DICT && at->node->kind != MESH__NODE_MAP) {
		mesh__reading_fault(r, at, "wants a map%s%s", rule->example != NULL ? " such as " : "", rule->example != NULL ? rule->example : "");
		return false;
	}
	for (const struct mesh__node *item = at->node->child; item != NULL; item = item->next) {
		(*n)++;
	}
	if (*n < (size_t)rule->min) {
		mesh__reading_fault(r, at, "is empty; name at least %lld%s", (long long)rule->min, rule->required ? "" : ", or leave it out");
		return false;
	}
	if (*n > (size_t)rule->max) {
		mesh__reading_fault(r, at, "has %zu members; at most %lld are taken", *n, (long long)rule->max);
		return false;
	}
	return true;
}

static const char *name_of(const char *item)
{
	const char *name;

	memcpy(&name, item, sizeof(name));
	return name;
}

/* Compares the i-th item with those before it. */
static void refuse_twice(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__place *list, const char *items, size_t size, size_t i)
{
	const char *name = name_of(items + i * size);

	for (size_t k = 0; name != NULL && k < i; k++) {
		if (mesh__str_eq(name, name_of(items + k * size))) {
			mesh__reading_fault(r, at, "\"%.100s\" stands in %s[%zu] already", name, list->name, k);
			return;
		}
	}
}

/* Where an item's own name stands: its member `name`, or the item itself. */
static struct mesh__place place_of_name(const struct mesh__place *item)
{
	const struct mesh__node *node = item->node->kind == MESH__NODE_MAP ? mesh__node_get(item->node, "name") : NULL;

	return node == NULL ? *item : mesh__place_of(item, node);
}

static void read_list(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	char *items;
	size_t n, i = 0;

	if (!count_items(r, at, rule, &n)) {
		return;
	}
	items = make_items(r, rule, base, n);
	for (const struct mesh__node *node = at->node->child; node != NULL && !mesh__reading_full(r) && !r->no_memory; node = node->next, i++) {
		struct mesh__place place = mesh__place_of_item(at, node, i), name = place_of_name(&place);
		read_value(r, &place, rule->item, items == NULL ? NULL : items + i * rule->item_size);
		if (rule->unique && items != NULL) {
			name.up = name.node == place.node ? at : &place;
			refuse_twice(r, &name, at, items, rule->item_size, i);
		}
	}
}

static void read_name(struct mesh__reading *r, const struct mesh__place *key, const struct mesh__field_rule *rule, char *items, size_t i)
{
	static const struct mesh__field_rule name_rule = {.size = sizeof(const char *)};
	char normal[MESH__FORM_TEXT];
	const char *name;

	if (!check_form(r, key, rule->form, key->name, normal, &name) || items == NULL) {
		return;
	}
	keep_text(r, &name_rule, items + i * rule->item_size, name);
	for (size_t k = 0; k < i; k++) {
		if (mesh__str_eq(name, name_of(items + k * rule->item_size))) {
			mesh__reading_fault(r, key, "is there already, in other letters");
			return;
		}
	}
}

static void read_dict(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	char *items;
	size_t n, i = 0;

	if (!count_items(r, at, rule, &n)) {
		return;
	}
	items = make_items(r, rule, base, n);
	for (const struct mesh__node *node = at->node->child; node != NULL && !mesh__reading_full(r) && !r->no_memory; node = node->next, i++) {
		struct mesh__place key = mesh__place_of_key(at, node), value = mesh__place_of(at, node);
		read_name(r, &key, rule, items, i);
		read_value(r, &value, rule->item, items == NULL ? NULL : items + i * rule->item_size);
	}
}

/* ---- Maps ---- */

static void tell_unknown(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields)
{
	const char *names[MESH__NAMES_MAX];
	const struct mesh__field_rule *rule;
	char hint[96];
	size_t n = 0;

	for (size_t i = 0; n < MESH__NAMES_MAX && (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		names[n++] = rule->name;
	}
	mesh__suggest(at->name, names, n, hint);
	mesh__reading_fault(r, at, "%s%s", fields->unknown != NULL ? fields->unknown : "unknown field", hint);
}

static void read_member(struct mesh__reading *r, const struct mesh__place *key, const struct mesh__place *value, const struct mesh__fields *fields, void *base)
{
	const struct mesh__field_rule *rule = mesh__rule_find(fields, key->name);

	if (rule == NULL) {
		if (!fields->ignores_unknown) {
			tell_unknown(r, key, fields);
		}
		return;
	}
	if (rule->type == MESH__FIELD_ELSEWHERE || (rule->elsewhere != NULL && !r->effective)) {
		mesh__reading_fault(r, key, "%s", rule->type == MESH__FIELD_ELSEWHERE ? rule->says : rule->elsewhere);
		return;
	}
	if (rule->not_yet) {
		mesh__reading_fault(r, key, "not in force yet: this version would do nothing with it");
		r->n_not_yet++;
	}
	read_value(r, value, rule, base);
}

static void tell_missing(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields)
{
	const struct mesh__field_rule *rule;

	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		if (rule->required && mesh__node_get(at->node, rule->name) == NULL) {
			struct mesh__place place = {.up = at, .name = rule->name, .line = at->line, .column = at->column};
			mesh__reading_fault(r, &place, "is missing");
		}
	}
}

static void tell_not_one(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields)
{
	const struct mesh__field_rule *rule;
	struct mesh__buf names;

	if (at->node->child != NULL && at->node->child->next == NULL) {
		return;
	}
	mesh__buf_init(&names, r->mem, 256);
	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		mesh__buf_printf(&names, "%s%s", i > 0 ? ", " : "", rule->name);
	}
	r->no_memory |= names.error == MESH_E_NO_MEMORY;
	mesh__reading_fault(r, at, "wants exactly one of %s", names.data != NULL ? names.data : "its members");
	mesh__buf_fini(&names);
}

void mesh__read_fields(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields, void *base)
{
	size_t wrong_before = r->n_faults - r->n_not_yet;

	if (at->node->kind == MESH__NODE_SCALAR && fields->scalar != NULL) {
		read_value(r, at, mesh__rule_find(fields, fields->scalar), base);
	} else if (at->node->kind != MESH__NODE_MAP) {
		mesh__reading_fault(r, at, "wants a map of fields");
		return;
	} else {
		for (const struct mesh__node *member = at->node->child; member != NULL && !mesh__reading_full(r); member = member->next) {
			struct mesh__place key = mesh__place_of_key(at, member), value = mesh__place_of(at, member);
			read_member(r, &key, &value, fields, base);
		}
		tell_missing(r, at, fields);
		if (fields->one_of) {
			tell_not_one(r, at, fields);
		}
	}
	if (fields->check != NULL && r->n_faults - r->n_not_yet == wrong_before && !r->no_memory && !mesh__reading_full(r)) {
		fields->check(r, at, base);
	}
}

static void read_value(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__field_rule *rule, void *base)
{
	switch (rule->type) {
	case MESH__FIELD_TEXT:
		read_text(r, at, rule, base);
		break;
	case MESH__FIELD_WORD:
		read_word(r, at, rule, base);
		break;
	case MESH__FIELD_BOOL:
		read_bool(r, at, rule, base);
		break;
	case MESH__FIELD_COUNT:
	case MESH__FIELD_DECIMAL:
		read_number(r, at, rule, base);
		break;
	case MESH__FIELD_DURATION:
		read_duration(r, at, rule, base);
		break;
	case MESH__FIELD_MAP:
		mesh__read_fields(r, at, rule->fields, slot_of(rule, base));
		break;
	case MESH__FIELD_LIST:
		read_list(r, at, rule, base);
		break;
	case MESH__FIELD_DICT:
		read_dict(r, at, rule, base);
		break;
	case MESH__FIELD_CUSTOM:
		rule->custom->read(r, at, slot_of(rule, base));
		break;
	case MESH__FIELD_ELSEWHERE:
		break;
	}
}
