#include "wire/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

enum {
	DEPTH_MAX = 64,
	DIRECTIVES_MAX = 64,
	NODES_MAX = 200000 /* a byte or two can make a node of a hundred */
};

/* A list or map whose end has not come. */
struct level {
	struct mesh__node *node;
	struct mesh__node **tail; /* where its next member goes */
	char *key;                /* map: read, its value not yet */
	int key_line, key_column;
};

struct builder {
	const struct mesh__mem *mem;
	struct mesh__node *documents;
	struct mesh__node **tail; /* where the next document goes */
	struct level levels[DEPTH_MAX];
	size_t depth, n_nodes;
	struct mesh__err *err;
};

static int fault(const struct builder *b, const yaml_mark_t *at, const char *what)
{
	return mesh__fail(b->err, MESH_E_INVALID, "%zu:%zu: %s", at->line + 1, at->column + 1, what);
}

/* ---- building ---- */

/* A copy of what libyaml read; *out NULL when it cannot be. */
static int copy_scalar(const struct builder *b, const yaml_event_t *event, char **out)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	*out = NULL;
	if (memchr(value, '\0', len) != NULL) {
		return fault(b, &event->start_mark, "a NUL character is not taken");
	}
	*out = mesh__strndup(b->mem, value, len);
	return *out == NULL ? mesh__fail_memory(b->err) : MESH_OK;
}

/* The place that a value now read belongs to: the innermost open list or map, else the list of documents. */
static struct mesh__node ***tail_of(struct builder *b)
{
	return b->depth == 0 ? &b->tail : &b->levels[b->depth - 1].tail;
}

static struct level *open_map(struct builder *b)
{
	struct level *level = b->depth == 0 ? NULL : &b->levels[b->depth - 1];

	return level != NULL && level->node->kind == MESH__NODE_MAP ? level : NULL;
}

static int add_node(struct builder *b, const yaml_event_t *event, enum mesh__node_kind kind, struct mesh__node **out)
{
	struct mesh__node ***tail = tail_of(b);
	struct level *map = open_map(b);
	struct mesh__node *node;

	if (++b->n_nodes > NODES_MAX) {
		return mesh__fail(b->err, MESH_E_TOO_LARGE, "%zu:%zu: too many values", event->start_mark.line + 1, event->start_mark.column + 1);
	}
	node = mesh__alloc(b->mem, sizeof(*node));
	if (node == NULL) {
		return mesh__fail_memory(b->err);
	}
	node->kind = kind;
	node->line = (int)event->start_mark.line + 1;
	node->column = (int)event->start_mark.column + 1;
	if (map != NULL) {
		node->key = map->key;
		node->key_line = map->key_line;
		node->key_column = map->key_column;
		map->key = NULL;
	}
	**tail = node;
	*tail = &node->next;
	*out = node;
	return MESH_OK;
}

static int take_key(struct builder *b, struct level *map, const yaml_event_t *event)
{
	if (event->type != YAML_SCALAR_EVENT) {
		return fault(b, &event->start_mark, "a key must be a string");
	}
	if (event->data.scalar.length == 0) {
		return fault(b, &event->start_mark, "a key must not be empty");
	}
	map->key_line = (int)event->start_mark.line + 1;
	map->key_column = (int)event->start_mark.column + 1;
	return copy_scalar(b, event, &map->key);
}

static int take_scalar(struct builder *b, const yaml_event_t *event)
{
	bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	struct mesh__node *node;
	int code;

	if (b->depth == 0 && event->data.scalar.length == 0 && !quoted) {
		return MESH_OK; /* an empty document */
	}
	code = add_node(b, event, MESH__NODE_SCALAR, &node);
	if (code == MESH_OK) {
		node->quoted = quoted;
		code = copy_scalar(b, event, &node->text);
	}
	return code;
}

static int open_level(struct builder *b, const yaml_event_t *event, enum mesh__node_kind kind)
{
	struct mesh__node *node;
	int code;

	if (b->depth == DEPTH_MAX) {
		return fault(b, &event->start_mark, "nested too deep (64 levels at most)");
	}
	code = add_node(b, event, kind, &node);
	if (code == MESH_OK) {
		b->levels[b->depth++] = (struct level){.node = node, .tail = &node->child};
	}
	return code;
}

/* Aliases make small texts large, and tags give meanings that no field has. */
static const char *forbidden(const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return "aliases are not taken; write the value out";
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	case YAML_DOCUMENT_START_EVENT:
		return event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end ? "tags are not taken" : NULL;
	default:
		break;
	}
	return anchor != NULL ? "anchors are not taken" : tag != NULL ? "tags are not taken; quote what must be a string" : NULL;
}

/* ---- duplicate keys ---- */

static int by_key_then_place(const void *a, const void *b)
{
	const struct mesh__node *x = *(const struct mesh__node *const *)a, *y = *(const struct mesh__node *const *)b;
	int order = strcmp(x->key, y->key);

	if (order == 0) {
		order = x->key_line != y->key_line ? (x->key_line < y->key_line ? -1 : 1) : (x->key_column < y->key_column ? -1 : 1);
	}
	return order;
}

static int check_keys(const struct builder *b, const struct mesh__node *map)
{
	const struct mesh__node **sorted;
	size_t n = 0;
	int code = MESH_OK;

	for (const struct mesh__node *m = map->child; m != NULL; m = m->next) {
		n++;
	}
	if (n < 2) {
		return MESH_OK;
	}
	sorted = mesh__alloc_array(b->mem, n, sizeof(*sorted));
	if (sorted == NULL) {
		return mesh__fail_memory(b->err);
	}
	n = 0;
	for (const struct mesh__node *m = map->child; m != NULL; m = m->next) {
		sorted[n++] = m;
	}
	qsort(sorted, n, sizeof(*sorted), by_key_then_place);
	for (size_t i = 1; i < n && code == MESH_OK; i++) {
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0) {
			code = mesh__fail(b->err, MESH_E_INVALID, "%d:%d: duplicate key \"%.80s\", first at %d:%d", sorted[i]->key_line, sorted[i]->key_column,
				sorted[i]->key, sorted[i - 1]->key_line, sorted[i - 1]->key_column);
		}
	}
	mesh__free(sorted);
	return code;
}

static int close_level(struct builder *b)
{
	const struct mesh__node *node = b->levels[--b->depth].node;

	return node->kind == MESH__NODE_MAP ? check_keys(b, node) : MESH_OK;
}

/* ---- driving libyaml ---- */

static int take_event(struct builder *b, const yaml_event_t *event)
{
	const char *why = forbidden(event);
	struct level *map = open_map(b);

	if (why != NULL) {
		return fault(b, &event->start_mark, why);
	}
	if (event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT) {
		return close_level(b);
	}
	if (map != NULL && map->key == NULL) {
		return take_key(b, map, event);
	}
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return open_level(b, event, MESH__NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return open_level(b, event, MESH__NODE_MAP);
	default: /* the bounds of stream and documents */
		return MESH_OK;
	}
}

/* What libyaml has to say. Its reader knows an offset alone. */
static int parser_fault(const struct builder *b, const yaml_parser_t *parser, const char *text, size_t len)
{
	yaml_mark_t at = parser->problem_mark;
	char what[200];

	if (parser->error == YAML_MEMORY_ERROR) {
		return mesh__fail_memory(b->err);
	}
	if (parser->error == YAML_READER_ERROR) {
		at = (yaml_mark_t){0, 0, 0};
		for (size_t i = 0; i < len && i < parser->problem_offset; i++) {
			at.line += text[i] == '\n';
			at.column = text[i] == '\n' ? 0 : at.column + (((unsigned char)text[i] & 0xc0) != 0x80);
		}
	}
	(void)snprintf(what, sizeof(what), "%.90s%s%.90s", parser->problem == NULL ? "this is no YAML" : parser->problem,
		parser->context == NULL ? "" : " ", parser->context == NULL ? "" : parser->context);
	return fault(b, &at, what);
}

/* libyaml compares each %TAG with all before it, long before we see one: a text of them would take minutes. */
static int check_directives(const struct builder *b, const char *text, size_t len)
{
	static const char word[] = "%TAG";
	const char *end = text + len, *p = text;
	size_t n = 0;

	while (p != NULL && n <= DIRECTIVES_MAX) {
		p = memmem(p, (size_t)(end - p), word, sizeof(word) - 1);
		if (p != NULL) {
			p += sizeof(word) - 1;
			n++;
		}
	}
	return n > DIRECTIVES_MAX ? fault(b, &(yaml_mark_t){0, 0, 0}, "tags are not taken, let alone so many") : MESH_OK;
}

static int build(struct builder *b, yaml_parser_t *parser, const char *text, size_t len)
{
	yaml_event_t event;
	bool end = false;
	int code = MESH_OK;

	while (code == MESH_OK && !end) {
		if (!yaml_parser_parse(parser, &event)) {
			return parser_fault(b, parser, text, len);
		}
		code = take_event(b, &event);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return code;
}

int mesh__yaml_parse(const struct mesh__mem *mem, const char *text, size_t len, size_t max_bytes, struct mesh__node **out, struct mesh__err *err)
{
	struct builder b = {.mem = mem, .err = err};
	yaml_parser_t parser;
	int code;

	*out = NULL;
	if (len > max_bytes) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the text has %zu bytes and may have %zu", len, max_bytes);
	}
	if (!yaml_parser_initialize(&parser)) {
		return mesh__fail_memory(err);
	}
	b.tail = &b.documents;
	text = text == NULL ? "" : text;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING); /* or a byte order mark would choose */
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	code = check_directives(&b, text, len);
	if (code == MESH_OK) {
		code = build(&b, &parser, text, len);
	}
	yaml_parser_delete(&parser);
	for (size_t i = 0; i < b.depth; i++) {
		mesh__free(b.levels[i].key);
	}
	if (code != MESH_OK) {
		mesh__yaml_free(b.documents);
		return code;
	}
	*out = b.documents;
	return MESH_OK;
}

/* Recursive, as deep as the parser let it become. */
void mesh__yaml_free(struct mesh__node *documents)
{
	while (documents != NULL) {
		struct mesh__node *next = documents->next;
		mesh__yaml_free(documents->child);
		mesh__free(documents->key);
		mesh__free(documents->text);
		mesh__free(documents);
		documents = next;
	}
}

const struct mesh__node *mesh__node_get(const struct mesh__node *map, const char *key)
{
	if (map == NULL || map->kind != MESH__NODE_MAP) {
		return NULL;
	}
	for (const struct mesh__node *m = map->child; m != NULL; m = m->next) {
		if (strcmp(m->key, key) == 0) {
			return m;
		}
	}
	return NULL;
}
