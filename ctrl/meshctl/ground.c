#include "meshctl/ground.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshctl/print.h"

enum { TEXT_MAX_BYTES = 8 * MESH__DOCUMENT_MAX_BYTES, STEP_MAX = 256 };

/* ---- Handing it to the arena ---- */

static void free_json(void *thing)
{
	mesh__json_free(thing);
}

static void free_nodes(void *thing)
{
	mesh__yaml_free(thing);
}

static void free_documents(void *thing)
{
	mesh__documents_free(thing);
}

/* `thing` is freed in any case. */
static bool keep(struct mesh__arena *arena, void *thing, void (*release)(void *thing))
{
	if (!mesh__arena_take(arena, thing, release)) {
		release(thing);
		return false;
	}
	return true;
}

static int parse_json(struct mesh__arena *arena, const struct mesh__mem *mem, const char *text, const struct mesh__json **out, struct mesh__err *err)
{
	struct mesh__json *json;
	int code = mesh__json_parse(mem, text, strlen(text), TEXT_MAX_BYTES, &json, err);

	if (code == MESH_OK && !keep(arena, json, free_json)) {
		code = mesh__fail_memory(err);
	}
	*out = code == MESH_OK ? json : NULL;
	return code;
}

static int parse_nodes(struct mesh__arena *arena, const struct mesh__mem *mem, const struct mesh__buf *text, const struct mesh__node **out, struct mesh__err *err)
{
	struct mesh__node *nodes;
	int code = mesh__yaml_parse(mem, text->data != NULL ? text->data : "", text->len, TEXT_MAX_BYTES, &nodes, err);

	if (code == MESH_OK && nodes != NULL && !keep(arena, nodes, free_nodes)) {
		code = mesh__fail_memory(err);
	}
	*out = code == MESH_OK ? nodes : NULL;
	return code;
}

/* ---- Documents ---- */

static struct ctl_source *new_source(struct mesh__arena *arena, enum mesh__kind kind, const char *name, const char *ns)
{
	struct ctl_source *source = mesh__arena_alloc(arena, 1, sizeof(*source));

	if (source != NULL) {
		source->kind = kind;
		source->name = mesh__arena_strdup(arena, name);
		source->ns = mesh__arena_strdup(arena, ns);
	}
	return source != NULL && source->name != NULL && source->ns != NULL ? source : NULL;
}

/* Its text is canonical as meshd keeps it, on one line; its lines are those that `meshctl get` shows: indented JSON is YAML. */
static int read_in_force(struct mesh__arena *arena, const struct mesh__mem *mem, const struct mesh__json *document, struct ctl_source *source, struct mesh__err *err)
{
	struct mesh__buf text;
	int code;

	mesh__buf_init(&text, mem, TEXT_MAX_BYTES);
	ctl_print_json(&text, document);
	code = mesh__buf_error(&text, "a document", err);
	if (code == MESH_OK) {
		source->text = mesh__arena_strdup(arena, text.data);
		code = source->text == NULL ? mesh__fail_memory(err) : parse_json(arena, mem, text.data, &source->json, err);
	}
	mesh__buf_clear(&text);
	ctl_print_pretty(&text, document, 0);
	if (code == MESH_OK) {
		code = mesh__buf_error(&text, "a document", err);
	}
	if (code == MESH_OK) {
		code = parse_nodes(arena, mem, &text, &source->node, err);
	}
	mesh__buf_fini(&text);
	return code;
}

int ctl_source_in_force(struct mesh__arena *arena, const struct mesh__mem *mem, const struct mesh__json *item, const struct ctl_source **out, struct mesh__err *err)
{
	const char *kind_text = mesh__json_text(mesh__json_get(item, "kind")), *name = mesh__json_text(mesh__json_get(item, "name")), *ns = mesh__json_text(mesh__json_get(item, "namespace"));
	struct ctl_source *source;
	enum mesh__kind kind;
	int code;

	*out = NULL;
	if (kind_text == NULL || name == NULL || ns == NULL || !mesh__kind_parse(kind_text, &kind)) {
		return mesh__fail(err, MESH_E_INVALID, "meshd tells of a document of kind \"%.40s\"; is it of another version than meshctl?", kind_text != NULL ? kind_text : "");
	}
	source = new_source(arena, kind, name, ns);
	if (source == NULL) {
		return mesh__fail_memory(err);
	}
	(void)mesh__json_u64(mesh__json_get(item, "generation"), &source->generation);
	code = read_in_force(arena, mem, mesh__json_get(item, "document"), source, err);
	*out = code == MESH_OK ? source : NULL;
	return code;
}

int ctl_sources_of_file(struct mesh__arena *arena, const struct mesh__mem *mem, const char *file, const struct mesh__buf *text, const char *default_ns, const struct ctl_source **out, struct mesh__buf *faults, struct mesh__err *err)
{
	const struct ctl_source *list = NULL;
	const struct mesh__node *node = NULL;
	struct mesh__document *documents;
	int code = mesh__documents_parse(mem, file, text->data, text->len, default_ns, &documents, faults, NULL, err);

	*out = NULL;
	if (code == MESH_OK && documents != NULL && !keep(arena, documents, free_documents)) {
		code = mesh__fail_memory(err);
	}
	if (code == MESH_OK) {
		code = parse_nodes(arena, mem, text, &node, err);
	}
	for (const struct mesh__document *d = documents; code == MESH_OK && d != NULL && node != NULL; d = d->next, node = node->next) {
		struct ctl_source *source = new_source(arena, d->kind, d->name, d->ns);
		if (source == NULL) {
			return mesh__fail_memory(err);
		}
		source->next = list;
		source->file = file;
		source->text = d->text;
		source->node = node;
		code = parse_json(arena, mem, d->text, &source->json, err);
		list = source;
	}
	*out = code == MESH_OK ? list : NULL;
	return code;
}

enum mesh__kind ctl_layer_kind(enum mesh__layer layer)
{
	static const enum mesh__kind kinds[MESH__LAYERS] = {[MESH__LAYER_SERVICE] = MESH__KIND_SERVICE, [MESH__LAYER_NAMESPACE] = MESH__KIND_NAMESPACE, [MESH__LAYER_MESH] = MESH__KIND_MESH, [MESH__LAYER_FAULT] = MESH__KIND_FAULT};

	return kinds[layer];
}

const struct ctl_source *ctl_source_find(const struct ctl_source *list, enum mesh__kind kind, const struct mesh__name *name)
{
	const char *of = kind == MESH__KIND_MESH ? "mesh" : kind == MESH__KIND_NAMESPACE ? name->ns : name->service;
	const char *ns = mesh__kind_namespace(kind, of, name->ns);

	while (list != NULL && (list->kind != kind || strcmp(list->name, of) != 0 || strcmp(list->ns, ns) != 0)) {
		list = list->next;
	}
	return list;
}

/* ---- What they make together ---- */

struct noting {
	struct mesh__arena *arena;
	const struct ctl_field **tail;
	bool no_memory;
};

static void note(void *ctx, const char *path, const char *value, enum mesh__layer layer)
{
	struct noting *n = ctx;
	struct ctl_field *field = mesh__arena_alloc(n->arena, 1, sizeof(*field));

	if (field == NULL) {
		n->no_memory = true;
		return;
	}
	*field = (struct ctl_field){.path = mesh__arena_strdup(n->arena, path), .value = mesh__arena_strdup(n->arena, value), .layer = layer};
	n->no_memory |= field->path == NULL || field->value == NULL;
	*n->tail = field;
	n->tail = &field->next;
}

static int read_policy(struct mesh__arena *arena, const struct mesh__mem *mem, const char *const texts[MESH__LAYERS], struct ctl_ground *ground, struct mesh__err *err)
{
	struct mesh__service_policy *built_in = mesh__arena_alloc(arena, 1, sizeof(*built_in));
	struct mesh__document *document = NULL;
	struct mesh__buf text;
	int code;

	if (built_in == NULL) {
		return mesh__fail_memory(err);
	}
	mesh__service_policy_default(built_in);
	ground->policy = built_in;
	mesh__buf_init(&text, mem, TEXT_MAX_BYTES);
	code = mesh__effective(mem, &ground->name, texts, &text, err);
	if (code == MESH_OK && text.len > 0) {
		code = mesh__effective_parse(mem, ground->key, text.data, ground->name.ns, &document, err);
	}
	if (code == MESH_OK && document != NULL) {
		ground->policy = &document->service;
		code = keep(arena, document, free_documents) ? MESH_OK : mesh__fail_memory(err);
	}
	mesh__buf_fini(&text);
	return code;
}

int ctl_ground_merge(struct mesh__arena *arena, const struct mesh__mem *mem, struct ctl_ground *ground, struct mesh__err *err)
{
	struct noting noting = {.arena = arena, .tail = &ground->fields};
	const char *texts[MESH__LAYERS] = {NULL};
	int code;

	for (size_t i = 0; i < MESH__LAYERS; i++) {
		texts[i] = ground->sources[i] == NULL ? NULL : ground->sources[i]->text;
	}
	ground->fields = NULL;
	code = read_policy(arena, mem, texts, ground, err);
	if (code == MESH_OK) {
		code = mesh__effective_fields(mem, texts, note, &noting, err);
	}
	return code == MESH_OK && noting.no_memory ? mesh__fail_memory(err) : code;
}

/* ---- Endpoints ---- */

/* "" is none. */
static const char *label_of(const struct mesh__json *from, const char *key)
{
	const char *text = mesh__json_text(mesh__json_get(from, key));

	return text == NULL || text[0] == '\0' ? NULL : text;
}

/* As meshd tells it. */
static struct ctl_endpoint told_endpoint(const struct mesh__json *e)
{
	return (struct ctl_endpoint){.instance = label_of(e, "instance"), .address = label_of(e, "address"), .state = label_of(e, "state"), .labels = {.version = label_of(e, "version"), .zone = label_of(e, "zone")}};
}

/* As a document names it: one that does not register is known by its address. */
static struct ctl_endpoint static_endpoint(const struct mesh__json *e)
{
	const char *address = label_of(e, "address");

	return (struct ctl_endpoint){.instance = address, .address = address, .state = "static", .labels = {.version = label_of(mesh__json_get(e, "labels"), "version"), .zone = label_of(e, "zone")}};
}

int ctl_ground_endpoints(struct mesh__arena *arena, struct ctl_ground *ground, const struct mesh__json *list, const struct ctl_source *statics, struct mesh__err *err)
{
	const struct mesh__json *named = statics == NULL ? NULL : mesh__json_get(statics->json, "endpoints");
	struct ctl_endpoint *endpoints = mesh__arena_alloc(arena, mesh__json_count(list) + mesh__json_count(named), sizeof(*endpoints));

	if (endpoints == NULL) {
		return mesh__fail_memory(err);
	}
	ground->known = list != NULL || statics != NULL;
	ground->endpoints = endpoints;
	ground->n_endpoints = 0;
	for (const struct mesh__json *e = mesh__json_first(list); e != NULL; e = mesh__json_next(e)) {
		struct ctl_endpoint endpoint = told_endpoint(e);
		if (statics == NULL || !mesh__str_eq(endpoint.state, "static")) {
			endpoints[ground->n_endpoints++] = endpoint;
		}
	}
	for (const struct mesh__json *e = mesh__json_first(named); e != NULL; e = mesh__json_next(e)) {
		endpoints[ground->n_endpoints++] = static_endpoint(e);
	}
	return MESH_OK;
}

/* ---- What is reported of them ---- */

static void add_report(struct ctl_endpoint *e, const struct mesh__json *said)
{
	bool ejected = false, failed = false;
	double cost;

	(void)mesh__json_bool(mesh__json_get(said, "ejected"), &ejected);
	(void)mesh__json_bool(mesh__json_get(said, "failedCheck"), &failed);
	e->ejected_by += ejected;
	e->failed_check_of += failed;
	e->unhealthy_of += ejected || failed;
	if (mesh__json_double(mesh__json_get(said, "costMs"), &cost)) {
		e->cost_least_ms = e->costed == 0 || cost < e->cost_least_ms ? cost : e->cost_least_ms;
		e->cost_most_ms = e->costed == 0 || cost > e->cost_most_ms ? cost : e->cost_most_ms;
		e->costed++;
	}
}

static bool is_from(const struct mesh__json *report, const struct mesh__name *from)
{
	const char *spiffe = mesh__json_text(mesh__json_get(report, "spiffeId"));
	struct mesh__name name;

	return spiffe != NULL && mesh__spiffe_parse(spiffe, strlen(spiffe), &name) && strcmp(name.service, from->service) == 0 && strcmp(name.ns, from->ns) == 0;
}

void ctl_ground_reports(struct ctl_ground *ground, const struct mesh__json *reports, const struct mesh__name *from)
{
	for (const struct mesh__json *report = mesh__json_first(reports); report != NULL; report = mesh__json_next(report)) {
		for (size_t i = 0; is_from(report, from) && i < ground->n_endpoints; i++) {
			struct ctl_endpoint *e = &ground->endpoints[i];
			const struct mesh__json *said = mesh__json_first(mesh__json_get(report, "endpoints"));
			while (said != NULL && !mesh__str_eq(mesh__json_text(mesh__json_get(said, "instance")), e->instance)) {
				said = mesh__json_next(said);
			}
			e->callers++;
			add_report(e, said);
		}
	}
}

/* ---- Where what stands ---- */

/* The next step of a path: a member's name, or the index of an item ("[1]": *name is ""). False at its end. */
static bool next_step(const char **path, char name[STEP_MAX], size_t *index)
{
	size_t len = 0;

	*path += **path == '.';
	*index = 0;
	name[0] = '\0';
	if (**path == '[') {
		for (++*path; **path >= '0' && **path <= '9'; ++*path) {
			*index = *index * 10 + (size_t)(**path - '0');
		}
		*path += **path == ']';
		return true;
	}
	len = strcspn(*path, ".[");
	if (len == 0 || len >= STEP_MAX) {
		return false;
	}
	memcpy(name, *path, len);
	name[len] = '\0';
	*path += len;
	return true;
}

const struct mesh__json *ctl_source_value(const struct ctl_source *source, const char *path)
{
	const struct mesh__json *at = source->json;
	char name[STEP_MAX];
	size_t index;

	while (at != NULL && next_step(&path, name, &index)) {
		if (name[0] != '\0') {
			at = mesh__json_get(at, name);
			continue;
		}
		for (at = mesh__json_first(at); at != NULL && index > 0; index--) {
			at = mesh__json_next(at);
		}
	}
	return at;
}

/* NULL: it has no such member. */
static const struct mesh__node *step_into(const struct mesh__node *at, const char *name, size_t index)
{
	if (name[0] != '\0') {
		return at->kind == MESH__NODE_MAP ? mesh__node_get(at, name) : NULL;
	}
	for (at = at->kind == MESH__NODE_LIST ? at->child : NULL; at != NULL && index > 0; index--) {
		at = at->next;
	}
	return at;
}

struct ctl_origin ctl_source_origin(const struct ctl_source *source, const char *path)
{
	const struct mesh__node *at = source->node;
	struct ctl_origin origin = {source, at == NULL ? 0 : at->line};
	char name[STEP_MAX];
	size_t index;

	while (at != NULL && next_step(&path, name, &index)) {
		at = step_into(at, name, index);
		if (at != NULL) {
			origin.line = at->key != NULL ? at->key_line : at->line;
		}
	}
	return origin;
}

struct ctl_origin ctl_field_origin(const struct ctl_ground *ground, const struct ctl_field *field)
{
	return field->layer == MESH__LAYER_BUILT_IN ? (struct ctl_origin){NULL, 0} : ctl_source_origin(ground->sources[field->layer], field->path);
}

const struct ctl_field *ctl_ground_field(const struct ctl_ground *ground, const char *path)
{
	const struct ctl_field *field = ground->fields;

	while (field != NULL && strcmp(field->path, path) != 0) {
		field = field->next;
	}
	return field;
}

void ctl_origin_format(const struct ctl_origin *origin, char *out)
{
	const struct ctl_source *source = origin->source;
	char subject[MESH__SUBJECT_MAX];

	if (source == NULL) {
		(void)snprintf(out, CTL_ORIGIN_TEXT, "built in");
	} else if (source->file != NULL) {
		(void)snprintf(out, CTL_ORIGIN_TEXT, "%.400s:%d", source->file, origin->line);
	} else {
		mesh__document_subject(source->kind, source->name, source->ns, subject);
		(void)snprintf(out, CTL_ORIGIN_TEXT, "%s, generation %llu, line %d", subject, (unsigned long long)source->generation, origin->line);
	}
}
