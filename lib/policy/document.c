#include "policy/document.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/fields.h"
#include "policy/reading.h"
#include "wire/json.h"
#include "wire/yaml.h"

/* ---- Words ---- */

const char *mesh__kind_name(enum mesh__kind kind)
{
	static const char *const names[] = {
#define X(name, text, several) text,
		MESH__KINDS(X)
#undef X
	};

	return (unsigned)kind < MESH__COUNT(names) ? names[kind] : "unknown";
}

bool mesh__kind_parse(const char *text, enum mesh__kind *kind)
{
	static const char *const names[][2] = {
#define X(name, text, several) {text, several},
		MESH__KINDS(X)
#undef X
	};

	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		if (mesh__str_eq_nocase(text, strlen(text), names[i][0]) || mesh__str_eq_nocase(text, strlen(text), names[i][1])) {
			*kind = (enum mesh__kind)i;
			return true;
		}
	}
	return false;
}

/* Kinds whose namespace follows from what they are. */
static bool is_named_by_kind(enum mesh__kind kind)
{
	return kind == MESH__KIND_NAMESPACE || kind == MESH__KIND_MESH;
}

bool mesh__kind_is_of_a_service(enum mesh__kind kind)
{
	return !is_named_by_kind(kind);
}

const char *mesh__kind_namespace(enum mesh__kind kind, const char *name, const char *said)
{
	return kind == MESH__KIND_MESH ? "mesh-system" : kind == MESH__KIND_NAMESPACE ? name : said;
}

void mesh__document_subject(enum mesh__kind kind, const char *name, const char *ns, char *out)
{
	bool alone = is_named_by_kind(kind);

	(void)snprintf(out, MESH__SUBJECT_MAX, "%s %s%s%s", mesh__kind_name(kind), name, alone ? "" : ".", alone ? "" : ns);
}

/* ---- One document ---- */

static void document_free(struct mesh__document *doc)
{
	mesh__arena_unref(doc->arena);
	mesh__free(doc->text);
	mesh__free(doc);
}

static struct mesh__document *document_new(struct mesh__reading *r)
{
	struct mesh__document *doc = mesh__alloc(r->mem, sizeof(*doc));

	if (doc == NULL) {
		return NULL;
	}
	doc->arena = mesh__arena_new(r->mem);
	if (doc->arena == NULL) {
		mesh__free(doc);
		return NULL;
	}
	mesh__service_policy_default(&doc->service);
	doc->service.arena = doc->arena;
	r->arena = doc->arena;
	r->n_regexes = 0;
	r->referred = r->warnings == NULL ? NULL : &doc->references;
	return doc;
}

void mesh__document_put_head(struct mesh__json_out *out, enum mesh__kind kind, const char *name, const char *ns)
{
	mesh__json_put_text(out, "apiVersion", "mesh/v1");
	mesh__json_put_text(out, "kind", mesh__kind_name(kind));
	mesh__json_put_text(out, "name", name);
	if (!is_named_by_kind(kind)) {
		mesh__json_put_text(out, "namespace", ns);
	}
}

/* Others go by the text alone, the control server after its next start among them: what they could not read is not taken. */
static void read_back(struct mesh__reading *r, const struct mesh__place *at, const char *text)
{
	struct mesh__node *nodes;
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__yaml_parse(r->mem, text, strlen(text), MESH__DOCUMENT_MAX_BYTES, &nodes, &err);

	mesh__yaml_free(nodes);
	if (code == MESH_E_NO_MEMORY) {
		r->no_memory = true;
	} else if (code != MESH_OK) {
		mesh__reading_fault(r, at, "written out in full it cannot be read again (%s)", err.message);
	}
}

/* What a service's, its namespace's, the mesh's and its Fault make together fits into one document: the head is written once, and each field is of one of them. */
static size_t canonical_max(enum mesh__kind kind)
{
	switch (kind) {
	case MESH__KIND_SERVICE:
		return MESH__SERVICE_TEXT_MAX_BYTES;
	case MESH__KIND_NAMESPACE:
	case MESH__KIND_MESH:
	case MESH__KIND_FAULT:
		return MESH__COMMON_TEXT_MAX_BYTES;
	default:
		return MESH__DOCUMENT_MAX_BYTES;
	}
}

/* The text says everything that matters by itself: it does not depend on whose default namespace it is read with. */
static void write_canonical(struct mesh__reading *r, const struct mesh__place *at, struct mesh__document *doc)
{
	struct mesh__buf text;
	struct mesh__json_out out = {.buf = &text};

	mesh__buf_init(&text, r->mem, canonical_max(doc->kind));
	mesh__json_open(&out, NULL, '{');
	mesh__document_put_head(&out, doc->kind, doc->name, doc->ns);
	mesh__write_fields(&out, at->node, mesh__fields_of_kind(doc->kind), doc);
	mesh__json_close(&out, '}');
	doc->text = mesh__buf_take(&text);
	if (text.error == MESH_E_TOO_LARGE) {
		mesh__reading_fault(r, at, "written out in full it is larger than %zu bytes, and no %s may be", text.max_bytes, mesh__kind_name(doc->kind));
	} else {
		r->no_memory |= doc->text == NULL;
	}
	mesh__buf_fini(&text);
	if (doc->text != NULL) {
		read_back(r, at, doc->text);
	}
}

/* Whether the namespace comes from the document or from the caller. */
static void check_namespace(struct mesh__reading *r, const struct mesh__place *at, const char *ns)
{
	const struct mesh__node *said = mesh__node_get(at->node, "namespace");

	if (strcmp(ns, "mesh-system") == 0) {
		struct mesh__place place = said != NULL ? mesh__place_of(at, said) : *at;
		mesh__reading_fault(r, &place, "mesh-system belongs to the mesh itself");
	}
}

/* What the names in the document are of, wherever its namespace stands in it; one that is none is told where it is read. */
static void read_namespace(struct mesh__reading *r, const struct mesh__node *map, struct mesh__document *doc, const char *default_ns)
{
	const struct mesh__node *said = mesh__node_get(map, "namespace");
	const char *ns = said != NULL && said->kind == MESH__NODE_SCALAR && mesh__label_valid(said->text, strlen(said->text)) ? said->text : default_ns;

	memcpy(doc->ns, ns, strlen(ns) + 1);
	r->ns = doc->ns;
}

/* False when the kind, and with it the meaning of the rest, is not known. */
static bool read_fields(struct mesh__reading *r, const struct mesh__place *at, struct mesh__document *doc)
{
	const struct mesh__node *kind = mesh__node_get(at->node, "kind");
	bool known = false;

	if (kind != NULL) {
		struct mesh__place place = mesh__place_of(at, kind);
		known = mesh__read_kind(r, &place, &doc->kind);
	}
	mesh__read_fields(r, at, known ? mesh__fields_of_kind(doc->kind) : mesh__fields_of_head(), doc);
	if (!known || doc->kind != MESH__KIND_MESH) {
		check_namespace(r, at, known ? mesh__kind_namespace(doc->kind, doc->name, doc->ns) : doc->ns);
	}
	if (known && doc->kind == MESH__KIND_SERVICE) {
		mesh__check_subsets(r, at);
	}
	if (known && is_named_by_kind(doc->kind)) {
		(void)snprintf(doc->ns, sizeof(doc->ns), "%s", mesh__kind_namespace(doc->kind, doc->name, NULL));
	}
	return known;
}

/* NULL when it has no kind or no memory was left; else it may have told faults, and then has no text. */
static struct mesh__document *read_document(struct mesh__reading *r, const struct mesh__node *node, const char *default_ns)
{
	struct mesh__place at = mesh__place_of(NULL, node);
	struct mesh__document *doc;
	size_t faults_before = r->n_faults;

	if (node->kind != MESH__NODE_MAP) {
		mesh__reading_fault(r, &at, "a document is a map that begins with `apiVersion: mesh/v1`, not a %s",
			node->kind == MESH__NODE_LIST ? "list" : "scalar");
		return NULL;
	}
	doc = document_new(r);
	if (doc == NULL) {
		r->no_memory = true;
		return NULL;
	}
	doc->line = node->line;
	read_namespace(r, node, doc, default_ns);
	if (!read_fields(r, &at, doc)) {
		document_free(doc);
		return NULL;
	}
	if (r->n_faults == faults_before && !r->no_memory) {
		write_canonical(r, &at, doc);
	}
	return doc;
}

/* ---- All of them ---- */

static bool same_subject(const struct mesh__document *a, const struct mesh__document *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && strcmp(a->ns, b->ns) == 0;
}

static void refuse_twice(struct mesh__reading *r, const struct mesh__node *node, const struct mesh__document *list,
	const struct mesh__document *doc)
{
	for (const struct mesh__document *d = list; doc->name[0] != '\0' && d != NULL; d = d->next) {
		if (same_subject(d, doc)) {
			struct mesh__place at = mesh__place_of(NULL, node);
			mesh__reading_fault(r, &at, "%s %s in namespace %s stands in line %d already", mesh__kind_name(doc->kind),
				doc->name, doc->ns, d->line);
			return;
		}
	}
}

static struct mesh__document *read_all(struct mesh__reading *r, const struct mesh__node *nodes, const char *default_ns)
{
	struct mesh__document *list = NULL, **tail = &list;
	const struct mesh__node *node;
	size_t n = 0;

	for (node = nodes; node != NULL && !mesh__reading_full(r) && !r->no_memory; node = node->next) {
		struct mesh__document *doc;
		if (++n > MESH__DOCUMENTS_MAX) {
			struct mesh__place at = mesh__place_of(NULL, node);
			mesh__reading_fault(r, &at, "more than %d documents", MESH__DOCUMENTS_MAX);
			break;
		}
		doc = read_document(r, node, default_ns);
		if (doc != NULL) {
			refuse_twice(r, node, list, doc);
			*tail = doc;
			tail = &doc->next;
		}
	}
	return list;
}

/* The text is no YAML: one fault, which carries its place already. */
static int tell_yaml_fault(const char *file, struct mesh__buf *faults, const struct mesh__err *yaml, struct mesh__err *err)
{
	if (yaml->code == MESH_E_NO_MEMORY) {
		return mesh__fail_memory(err);
	}
	if (faults != NULL) {
		mesh__buf_printf(faults, "%s:%s\n", file, yaml->message);
	}
	return mesh__fail(err, yaml->code, "%.200s:%s", file, yaml->message);
}

static int verdict(const struct mesh__reading *r, struct mesh__err *err)
{
	if (r->no_memory || (r->faults != NULL && r->faults->error == MESH_E_NO_MEMORY)) {
		return mesh__fail_memory(err);
	}
	if (r->n_faults == 0) {
		return MESH_OK;
	}
	if (r->faults != NULL && mesh__reading_full(r)) {
		mesh__buf_printf(r->faults, "%s: too many faults; there may be more\n", r->file);
	}
	if (r->n_faults == 1) {
		return mesh__fail(err, MESH_E_INVALID, "%s", r->first.message);
	}
	return mesh__fail(err, MESH_E_INVALID, "%.440s (the first of %zu faults)", r->first.message, r->n_faults);
}

static int parse(struct mesh__reading *r, const char *text, size_t len, const char *default_ns, struct mesh__document **out, struct mesh__err *err)
{
	struct mesh__document *list = NULL;
	struct mesh__node *nodes = NULL;
	struct mesh__err yaml = MESH__NO_ERR;
	int code;

	*out = NULL;
	if (!mesh__label_valid(default_ns, strlen(default_ns))) {
		return mesh__fail(err, MESH_E_INVALID, "namespace \"%.100s\" is no name", default_ns);
	}
	code = mesh__yaml_parse(r->mem, text, len, MESH__DOCUMENT_MAX_BYTES, &nodes, &yaml);
	if (code != MESH_OK) {
		return tell_yaml_fault(r->file, r->faults, &yaml, err);
	}
	list = read_all(r, nodes, default_ns);
	code = verdict(r, err);
	if (code != MESH_OK) {
		mesh__documents_free(list);
		list = NULL;
	}
	mesh__yaml_free(nodes);
	*out = list;
	return code;
}

int mesh__documents_parse(const struct mesh__mem *mem, const char *file, const char *text, size_t len, const char *default_ns,
	struct mesh__document **out, struct mesh__buf *faults, struct mesh__buf *warnings, struct mesh__err *err)
{
	struct mesh__reading r = {.mem = mem, .file = file, .faults = faults, .warnings = warnings, .first = MESH__NO_ERR};

	return parse(&r, text, len, default_ns, out, err);
}

int mesh__effective_parse(const struct mesh__mem *mem, const char *file, const char *text, const char *default_ns, struct mesh__document **out, struct mesh__err *err)
{
	struct mesh__reading r = {.mem = mem, .file = file, .effective = true, .first = MESH__NO_ERR};

	return parse(&r, text, strlen(text), default_ns, out, err);
}

void mesh__documents_free(struct mesh__document *documents)
{
	while (documents != NULL) {
		struct mesh__document *next = documents->next;
		document_free(documents);
		documents = next;
	}
}
