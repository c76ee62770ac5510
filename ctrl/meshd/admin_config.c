#include "meshd/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/url.h"

enum { FAULTS_MAX_BYTES = 1024 * 1024, FILE_NAME_MAX = 512 };

static const char *const change_names[] = {
	[MESHD_CHANGE_UNCHANGED] = "unchanged",
	[MESHD_CHANGE_CREATED] = "created",
	[MESHD_CHANGE_UPDATED] = "updated",
};

/* ---- Listing. ---- */

/* What the query asks for; an empty text: any. */
struct filter {
	bool any_kind;
	enum mesh__kind kind;
	char ns[MESH__LABEL_MAX + 1], name[MESH__LABEL_MAX + 1];
};

static int read_filter(struct mesh__exchange *x, struct filter *filter, struct mesh__err *err)
{
	const char *query = mesh__exchange_query(x);
	char kind[64];

	*filter = (struct filter){.any_kind = true};
	if (mesh__query_get(query, "kind", kind, sizeof(kind)) && kind[0] != '\0') {
		filter->any_kind = false;
		if (!mesh__kind_parse(kind, &filter->kind)) {
			return mesh__fail(err, MESH_E_INVALID, "kind \"%s\" is none; there are Service and Endpoints", kind);
		}
	}
	if (!mesh__query_get(query, "namespace", filter->ns, sizeof(filter->ns))) {
		filter->ns[0] = '\0';
	}
	if (!mesh__query_get(query, "name", filter->name, sizeof(filter->name))) {
		filter->name[0] = '\0';
	}
	return MESH_OK;
}

static bool passes(const struct filter *filter, const struct meshd_config_entry *entry)
{
	return entry->row.text != NULL && (filter->any_kind || filter->kind == entry->row.kind) && (filter->ns[0] == '\0' || strcmp(filter->ns, entry->row.name.ns) == 0)
		&& (filter->name[0] == '\0' || strcmp(filter->name, entry->row.name.service) == 0);
}

static void put_entry(struct meshd *meshd, struct mesh__json_out *json, const struct meshd_config_row *row)
{
	struct mesh__json *document = NULL;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "kind", mesh__kind_name(row->kind));
	mesh__json_put_text(json, "namespace", row->name.ns);
	mesh__json_put_text(json, "name", row->name.service);
	mesh__json_put_u64(json, "generation", row->generation);
	mesh__json_put_u64(json, "updated", (uint64_t)row->updated_ms);
	if (mesh__json_parse(&meshd->env->mem, row->text, strlen(row->text), MESH__DOCUMENT_MAX_BYTES * 2, &document, NULL) == MESH_OK) {
		mesh__json_put_value(json, "document", document);
	} else {
		json->buf->error = MESH_E_NO_MEMORY; /* canonical text always parses */
	}
	mesh__json_free(document);
	mesh__json_close(json, '}');
}

static int by_name(const void *a, const void *b)
{
	const struct meshd_config_row *left = *(const struct meshd_config_row *const *)a, *right = *(const struct meshd_config_row *const *)b;
	int order = strcmp(left->name.ns, right->name.ns);

	order = order == 0 ? strcmp(left->name.service, right->name.service) : order;
	return order == 0 ? (int)left->kind - (int)right->kind : order;
}

void meshd_admin_config_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	const struct mesh__map *entries = meshd_config_entries(meshd->config);
	struct mesh__err err = MESH__NO_ERR;
	const struct meshd_config_row **rows;
	struct mesh__json_out json;
	struct filter filter;
	struct mesh__buf out;
	size_t n = 0;

	(void)body;
	(void)rest;
	rows = mesh__alloc_array(&meshd->env->mem, entries->n + 1, sizeof(*rows));
	if (rows == NULL) {
		(void)mesh__fail_memory(&err);
	}
	if (rows == NULL || read_filter(x, &filter, &err) != MESH_OK) {
		mesh__free(rows);
		meshd_admin_refuse(x, &err);
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(entries, NULL); e != NULL; e = mesh__map_next(entries, e)) {
		const struct meshd_config_entry *entry = e->value;

		if (passes(&filter, entry)) {
			rows[n++] = &entry->row;
		}
	}
	qsort(rows, n, sizeof(*rows), by_name);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	for (size_t i = 0; i < n; i++) {
		put_entry(meshd, &json, rows[i]);
	}
	mesh__json_close(&json, ']');
	mesh__free(rows);
	meshd_reply_json(x, 200, &out);
}

/* ---- Applying. ---- */

struct request {
	char file[FILE_NAME_MAX];
	const char *text;
	const char *ns;
	bool dry_run;
};

static int read_request(const struct mesh__json *body, struct request *request, struct mesh__err *err)
{
	const char *file = mesh__json_text(mesh__json_get(body, "file"));
	const struct mesh__json *dry_run = mesh__json_get(body, "dryRun");

	*request = (struct request){.text = mesh__json_text(mesh__json_get(body, "text")), .ns = "default"};
	(void)snprintf(request->file, sizeof(request->file), "%s", file == NULL || file[0] == '\0' ? "-" : file);
	/* The file's name comes back in messages, on a terminal maybe. */
	for (char *c = request->file; *c != '\0'; c++) {
		*c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c;
	}
	if (request->text == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "text is missing: the documents, as YAML or JSON");
	}
	if (mesh__json_get(body, "namespace") != NULL) {
		request->ns = mesh__json_text(mesh__json_get(body, "namespace"));
		if (mesh__label_check("namespace", request->ns, err) != MESH_OK) {
			return MESH_E_INVALID;
		}
	}
	if (dry_run != NULL && !mesh__json_bool(dry_run, &request->dry_run)) {
		return mesh__fail(err, MESH_E_INVALID, "dryRun is neither true nor false");
	}
	return MESH_OK;
}

/* The lines of a buffer as members of an array. */
static void put_lines(struct mesh__json_out *json, struct mesh__buf *lines)
{
	char *line = lines->data;

	while (line != NULL && *line != '\0') {
		char *end = line + strcspn(line, "\n");
		bool last = *end == '\0';

		*end = '\0';
		if (*line != '\0') {
			mesh__json_put_text(json, NULL, line);
		}
		line = last ? NULL : end + 1;
	}
}

static void reply_faults(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__err *err, struct mesh__buf *faults)
{
	struct mesh__json_out json;
	struct mesh__buf out;

	meshd_audit_refused(meshd->audit, "config-refused", err->message, (char *)NULL);
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "error", "invalid-configuration");
	mesh__json_put_text(&json, "message", err->message);
	mesh__json_open(&json, "faults", '[');
	put_lines(&json, faults);
	mesh__json_close(&json, ']');
	mesh__json_close(&json, '}');
	meshd_reply_json(x, 422, &out);
}

/* A document about a service that nobody has seen is most often a slip of the pen; it may also be written ahead. */
static void warn_unknown(struct meshd *meshd, const char *file, const struct mesh__document *documents, struct mesh__buf *warnings)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		char key[MESH__SERVICE_KEY_MAX];
		bool here = d->kind == MESH__KIND_ENDPOINTS;

		(void)snprintf(key, sizeof(key), "%s.%s", d->name, d->ns);
		for (const struct mesh__document *other = documents; other != NULL && !here; other = other->next) {
			here = other->kind == MESH__KIND_ENDPOINTS && strcmp(other->name, d->name) == 0 && strcmp(other->ns, d->ns) == 0;
		}
		if (!here && meshd_registry_find(meshd->registry, key) == NULL && meshd_config_find(meshd->config, MESH__KIND_ENDPOINTS, key) == NULL) {
			mesh__buf_printf(warnings, "%s:%d:1: name: service %s has not registered yet\n", file, d->line, key);
		}
	}
}

static void put_changes(struct meshd *meshd, struct mesh__json_out *json, const struct mesh__document *documents, bool *changes)
{
	mesh__json_open(json, "changed", '[');
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		enum meshd_change change = meshd_config_compare(meshd->config, d);

		*changes = *changes || change != MESHD_CHANGE_UNCHANGED;
		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "kind", mesh__kind_name(d->kind));
		mesh__json_put_text(json, "namespace", d->ns);
		mesh__json_put_text(json, "name", d->name);
		mesh__json_put_text(json, "change", change_names[change]);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, ']');
}

/* Takes the documents over. */
static int apply(struct meshd *meshd, struct mesh__document *documents, struct mesh__err *err)
{
	char generation[24];
	int code = meshd_config_apply(meshd->config, documents, err);

	if (code != MESH_OK) {
		return code;
	}
	(void)snprintf(generation, sizeof(generation), "%llu", (unsigned long long)meshd_config_generation(meshd->config));
	code = meshd_audit_allowed(meshd->audit, err, "config-changed", NULL, "generation", generation, (char *)NULL);
	return code == MESH_OK ? code : mesh__wrap(err, "generation %s is in force, but has no line in the audit log", generation);
}

static void reply_applied(struct meshd *meshd, struct mesh__exchange *x, const struct request *request, struct mesh__document *documents, struct mesh__buf *warnings)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json_out json;
	struct mesh__buf out;
	bool changes = false;
	int code = MESH_OK;

	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	put_changes(meshd, &json, documents, &changes);
	mesh__json_open(&json, "warnings", '[');
	put_lines(&json, warnings);
	mesh__json_close(&json, ']');
	if (request->dry_run || !changes) {
		mesh__documents_free(documents);
	} else {
		code = apply(meshd, documents, &err);
	}
	mesh__json_put_u64(&json, "generation", meshd_config_generation(meshd->config));
	mesh__json_close(&json, '}');
	if (code != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	meshd_reply_json(x, 200, &out);
}

void meshd_admin_config_apply(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__document *documents = NULL;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf faults, warnings;
	struct request request;
	int code;

	(void)rest;
	mesh__buf_init(&faults, &meshd->env->mem, FAULTS_MAX_BYTES);
	mesh__buf_init(&warnings, &meshd->env->mem, FAULTS_MAX_BYTES);
	if (read_request(body, &request, &err) != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	code = mesh__documents_parse(&meshd->env->mem, request.file, request.text, strlen(request.text), request.ns, &documents, &faults, &warnings, &err);
	if (code == MESH_E_INVALID) {
		reply_faults(meshd, x, &err, &faults);
	} else if (code != MESH_OK) {
		meshd_admin_refuse(x, &err);
	} else {
		warn_unknown(meshd, request.file, documents, &warnings);
		reply_applied(meshd, x, &request, documents, &warnings);
	}
	mesh__buf_fini(&faults);
	mesh__buf_fini(&warnings);
}

/* ---- Deleting. ---- */

void meshd_admin_config_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name = {.trust_domain = ""};
	struct mesh__json_out json;
	struct mesh__buf out;
	struct filter filter;
	int code = read_filter(x, &filter, &err);

	(void)body;
	(void)rest;
	if (code == MESH_OK && (filter.any_kind || filter.name[0] == '\0')) {
		code = mesh__fail(&err, MESH_E_INVALID, "the query must say kind=KIND and name=NAME (and namespace=NAMESPACE unless it is default)");
	}
	if (code == MESH_OK) {
		(void)snprintf(name.service, sizeof(name.service), "%s", filter.name);
		(void)snprintf(name.ns, sizeof(name.ns), "%s", filter.ns[0] == '\0' ? "default" : filter.ns);
		code = meshd_config_delete(meshd->config, filter.kind, &name, &err);
	}
	if (code == MESH_OK) {
		code = meshd_audit_allowed(meshd->audit, &err, "config-deleted", NULL, "kind", mesh__kind_name(filter.kind), "namespace", name.ns,
			"name", name.service, (char *)NULL);
		code = code == MESH_OK ? code : mesh__wrap(&err, "the removal is in force, but has no line in the audit log");
	}
	if (code != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__buf_init(&out, &meshd->env->mem, 256);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_u64(&json, "generation", meshd_config_generation(meshd->config));
	mesh__json_close(&json, '}');
	meshd_reply_json(x, 200, &out);
}
