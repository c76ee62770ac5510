#include "policy/effective.h"

#include <stdio.h>
#include <string.h>

#include "policy/fields.h"

enum { PATH_MAX_TEXT = 128 };

/* The texts as trees: NULL where there is none. */
struct layers {
	struct mesh__node *documents[MESH__LAYERS];
};

static void layers_fini(struct layers *layers)
{
	for (size_t i = 0; i < MESH__LAYERS; i++) {
		mesh__yaml_free(layers->documents[i]);
	}
}

static int layers_init(struct layers *layers, const struct mesh__mem *mem, const char *const texts[MESH__LAYERS], struct mesh__err *err)
{
	int code = MESH_OK;

	*layers = (struct layers){.documents = {NULL}};
	for (size_t i = 0; code == MESH_OK && i < MESH__LAYERS; i++) {
		if (texts[i] != NULL) {
			code = mesh__yaml_parse(mem, texts[i], strlen(texts[i]), MESH__DOCUMENT_MAX_BYTES, &layers->documents[i], err);
		}
		if (code == MESH_OK && layers->documents[i] != NULL && layers->documents[i]->kind != MESH__NODE_MAP) {
			code = mesh__fail(err, MESH_E_INVALID, "a document is a map");
		}
	}
	if (code != MESH_OK) {
		layers_fini(layers);
	}
	return code;
}

/* ---- One field of the layers ---- */

/* The member of each layer; false when none has it. */
static bool members(const struct mesh__node *const from[MESH__LAYERS], const char *name, const struct mesh__node *to[MESH__LAYERS])
{
	bool any = false;

	for (size_t i = 0; i < MESH__LAYERS; i++) {
		to[i] = from[i] == NULL ? NULL : mesh__node_get(from[i], name);
		any |= to[i] != NULL;
	}
	return any;
}

static enum mesh__layer nearest(const struct mesh__node *const said[MESH__LAYERS])
{
	size_t i = 0;

	while (i < MESH__LAYERS && said[i] == NULL) {
		i++;
	}
	return (enum mesh__layer)i;
}

/* Whether layers are merged within it, and not one of them taken whole. */
static bool is_merged(const struct mesh__field_rule *rule)
{
	return rule->type == MESH__FIELD_MAP && rule->elsewhere == NULL && !rule->fields->one_of && rule->fields->scalar == NULL;
}

/* What is said canonically, said again: a scalar without quotes is a number or a truth value of JSON. */
static void put_node(struct mesh__json_out *out, const char *name, const struct mesh__node *node)
{
	if (node->kind == MESH__NODE_SCALAR && node->quoted) {
		mesh__json_put_text(out, name, node->text);
	} else if (node->kind == MESH__NODE_SCALAR) {
		mesh__json_put_literal(out, name, node->text);
	} else {
		char bracket = node->kind == MESH__NODE_LIST ? '[' : '{';
		mesh__json_open(out, name, bracket);
		for (const struct mesh__node *child = node->child; child != NULL; child = child->next) {
			put_node(out, child->key, child);
		}
		mesh__json_close(out, bracket == '[' ? ']' : '}');
	}
}

/* ---- The document ---- */

static void put_fields(struct mesh__json_out *out, const struct mesh__fields *fields, const struct mesh__node *const from[MESH__LAYERS])
{
	const struct mesh__node *said[MESH__LAYERS];
	const struct mesh__field_rule *rule;

	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		if (!mesh__rule_is_written(rule) || !members(from, rule->name, said)) {
			continue;
		}
		if (is_merged(rule)) {
			mesh__json_open(out, rule->name, '{');
			put_fields(out, rule->fields, said);
			mesh__json_close(out, '}');
		} else {
			put_node(out, rule->name, said[nearest(said)]);
		}
	}
}

int mesh__effective(const struct mesh__mem *mem, const struct mesh__name *name, const char *const texts[MESH__LAYERS], struct mesh__buf *out, struct mesh__err *err)
{
	struct mesh__json_out json = {.buf = out};
	struct layers layers;
	const struct mesh__node *from[MESH__LAYERS];
	int code = layers_init(&layers, mem, texts, err);

	if (code != MESH_OK) {
		return code;
	}
	memcpy(from, layers.documents, sizeof(from));
	if (nearest(from) != MESH__LAYER_BUILT_IN) {
		mesh__json_open(&json, NULL, '{');
		mesh__document_put_head(&json, MESH__KIND_SERVICE, name->service, name->ns);
		put_fields(&json, mesh__fields_of_kind(MESH__KIND_SERVICE), from);
		mesh__json_close(&json, '}');
	}
	layers_fini(&layers);
	return mesh__buf_error(out, "the effective document", err);
}

/* ---- Who says what ---- */

struct telling {
	struct mesh__buf value;
	mesh__effective_fn fn;
	void *ctx;
	bool no_memory;
};

static void tell(struct telling *t, const char *path, const struct mesh__field_rule *rule, const void *built_in, const struct mesh__node *const said[MESH__LAYERS])
{
	enum mesh__layer layer = nearest(said);
	struct mesh__json_out json = {.buf = &t->value};

	mesh__buf_clear(&t->value);
	if (layer != MESH__LAYER_BUILT_IN) {
		put_node(&json, NULL, said[layer]);
	} else if (rule->type != MESH__FIELD_LIST && rule->elsewhere == NULL) {
		mesh__write_leaf(&json, NULL, rule, built_in);
	}
	t->no_memory |= t->value.error != MESH_OK;
	if (t->value.len > 0 && !t->no_memory) {
		t->fn(t->ctx, path, t->value.data, layer);
	}
}

static void tell_fields(struct telling *t, const char *path, const struct mesh__fields *fields, const void *built_in, const struct mesh__node *const from[MESH__LAYERS])
{
	const struct mesh__node *said[MESH__LAYERS];
	const struct mesh__field_rule *rule;

	for (size_t i = 0; (rule = mesh__rule_at(fields, i)) != NULL; i++) {
		char own[PATH_MAX_TEXT];
		if (!mesh__rule_is_written(rule) || rule->not_yet) {
			continue;
		}
		(void)members(from, rule->name, said);
		(void)snprintf(own, sizeof(own), "%s%s%s", path, path[0] == '\0' ? "" : ".", rule->name);
		if (is_merged(rule)) {
			tell_fields(t, own, rule->fields, (const char *)built_in + rule->offset, said);
		} else {
			tell(t, own, rule, built_in, said);
		}
	}
}

int mesh__effective_fields(const struct mesh__mem *mem, const char *const texts[MESH__LAYERS], mesh__effective_fn fn, void *ctx, struct mesh__err *err)
{
	struct mesh__document built_in = {.kind = MESH__KIND_SERVICE};
	struct telling t = {.fn = fn, .ctx = ctx};
	struct layers layers;
	const struct mesh__node *from[MESH__LAYERS];
	int code = layers_init(&layers, mem, texts, err);

	if (code != MESH_OK) {
		return code;
	}
	mesh__service_policy_default(&built_in.service);
	mesh__buf_init(&t.value, mem, MESH__DOCUMENT_MAX_BYTES);
	memcpy(from, layers.documents, sizeof(from));
	tell_fields(&t, "", mesh__fields_of_kind(MESH__KIND_SERVICE), &built_in, from);
	mesh__buf_fini(&t.value);
	layers_fini(&layers);
	return t.no_memory ? mesh__fail_memory(err) : MESH_OK;
}
