#include "meshd/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/faults.h"
#include "meshd/plan.h"
#include "meshd/reply.h"
#include "wire/url.h"

enum { NOTES_MAX_BYTES = 1024 * 1024, FILE_NAME_MAX = 512, NUMBER_TEXT = 24 };

/* ---- What every write has in common. ---- */

struct write {
	const char *event; /* of the audit log */
	char operator[MESHD_WHO_MAX];
	bool dry_run;
	bool guarded;      /* nothing is written that changed after `seen` */
	uint64_t seen;
	struct mesh__buf warnings;
};

/* Texts of the caller's come back in answers, on a terminal maybe. */
static void make_plain(char *text)
{
	for (char *c = text; *c != '\0'; c++) {
		*c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c;
	}
}

static void write_init(struct meshd *meshd, struct mesh__exchange *x, const char *event, struct write *write)
{
	const char *operator = mesh__exchange_header(x, "x-mesh-operator");

	*write = (struct write){.event = event};
	mesh__buf_init(&write->warnings, &meshd->env->mem, NOTES_MAX_BYTES);
	(void)snprintf(write->operator, sizeof(write->operator), "%s", operator == NULL ? "" : operator);
	make_plain(write->operator);
	for (char *c = write->operator; *c != '\0'; c++) {
		*c = (unsigned char)*c > 127 ? '?' : *c; /* a name cut in the middle of a character would be no UTF-8 */
	}
}

/* dryRun and ifGeneration of a POST's body. */
static int read_terms(const struct mesh__json *body, struct write *write, struct mesh__err *err)
{
	const struct mesh__json *dry_run = mesh__json_get(body, "dryRun"), *seen = mesh__json_get(body, "ifGeneration");

	if (dry_run != NULL && !mesh__json_bool(dry_run, &write->dry_run)) {
		return mesh__fail(err, MESH_E_INVALID, "dryRun is neither true nor false");
	}
	write->guarded = seen != NULL;
	if (seen != NULL && !mesh__json_u64(seen, &write->seen)) {
		return mesh__fail(err, MESH_E_INVALID, "ifGeneration is no generation's number");
	}
	return MESH_OK;
}

/* The same of a query. */
static int read_query_terms(struct mesh__exchange *x, struct write *write, struct mesh__err *err)
{
	const char *query = mesh__exchange_query(x);
	char text[NUMBER_TEXT];

	write->dry_run = mesh__query_get(query, "dryRun", text, sizeof(text)) != MESH__QUERY_ABSENT;
	if (write->dry_run && strcmp(text, "true") != 0) {
		return mesh__fail(err, MESH_E_INVALID, "dryRun is not true");
	}
	write->guarded = mesh__query_get(query, "ifGeneration", text, sizeof(text)) != MESH__QUERY_ABSENT;
	if (write->guarded && !mesh__str_u64(text, strlen(text), INT64_MAX, &write->seen)) {
		return mesh__fail(err, MESH_E_INVALID, "ifGeneration is no generation's number");
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

void meshd_admin_put_change(struct mesh__json_out *json, const struct meshd_config_row *row)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "kind", mesh__kind_name(row->kind));
	mesh__json_put_text(json, "namespace", row->name.ns);
	mesh__json_put_text(json, "name", row->name.service);
	mesh__json_put_text(json, "change", meshd_change_name(row->change));
	mesh__json_close(json, '}');
}

/* Commits, and has it on the audit log. */
static int commit(struct meshd *meshd, struct meshd_plan *plan, const struct write *write, struct mesh__err *err)
{
	/* There is one admin token; who uses it, its user says. */
	const struct meshd_writer writer = {.who = "admin", .operator = write->operator};
	char generation[NUMBER_TEXT], restored[NUMBER_TEXT];
	int code = meshd_plan_commit(plan, &writer, err);

	if (code != MESH_OK) {
		return code;
	}
	(void)snprintf(generation, sizeof(generation), "%llu", (unsigned long long)meshd_config_generation(meshd->config));
	(void)snprintf(restored, sizeof(restored), "%llu", (unsigned long long)plan->restored);
	code = meshd_audit_allowed(meshd->audit, err, write->event, NULL, "generation", generation, "restored", plan->rollback ? restored : NULL,
		"operator", write->operator[0] == '\0' ? NULL : write->operator, (char *)NULL);
	return code == MESH_OK ? code : mesh__wrap(err, "generation %s is in force, but has no line in the audit log", generation);
}

static void refuse(struct mesh__exchange *x, const struct mesh__err *err)
{
	if (err->code == MESH_E_STATE) {
		mesh__exchange_refuse(x, 409, "conflict", err->message);
	} else {
		meshd_admin_refuse(x, err);
	}
}

/* Does what was planned (unless it is a dry run), and answers with what changed; `code` and *err say what went wrong before. */
static void conclude(struct meshd *meshd, struct mesh__exchange *x, struct meshd_plan *plan, struct write *write, int code, struct mesh__err *err)
{
	struct mesh__json_out json;
	struct mesh__buf out;

	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_open(&json, "changed", '[');
	for (size_t i = 0; i < plan->n; i++) {
		meshd_admin_put_change(&json, &plan->entries[i]->row);
	}
	mesh__json_close(&json, ']');
	mesh__json_open(&json, "warnings", '[');
	put_lines(&json, &write->warnings);
	mesh__json_close(&json, ']');
	if (code == MESH_OK && write->guarded) {
		code = meshd_plan_check(plan, write->seen, err);
	}
	if (code == MESH_OK && !write->dry_run && plan->n_changes > 0) {
		code = commit(meshd, plan, write, err);
	}
	mesh__json_put_u64(&json, "generation", meshd_config_generation(meshd->config));
	mesh__json_close(&json, '}');
	if (code == MESH_OK) {
		meshd_reply_json(x, 200, &out);
	} else {
		mesh__buf_fini(&out);
		refuse(x, err);
	}
	meshd_plan_free(plan);
	mesh__buf_fini(&write->warnings);
}

/* ---- Applying. ---- */

struct source {
	char file[FILE_NAME_MAX];
	const char *text;
	const char *ns;
};

static int read_source(const struct mesh__json *body, struct source *source, struct mesh__err *err)
{
	const char *file = mesh__json_text(mesh__json_get(body, "file"));

	*source = (struct source){.text = mesh__json_text(mesh__json_get(body, "text")), .ns = "default"};
	(void)snprintf(source->file, sizeof(source->file), "%s", file == NULL || file[0] == '\0' ? "-" : file);
	make_plain(source->file);
	if (source->text == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "text is missing: the documents, as YAML or JSON");
	}
	if (mesh__json_get(body, "namespace") != NULL) {
		source->ns = mesh__json_text(mesh__json_get(body, "namespace"));
		return mesh__label_check("namespace", source->ns, err);
	}
	return MESH_OK;
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

/* Whether somebody has registered as the service, or its endpoints are or come to be in a document. */
static bool is_known(const struct meshd *meshd, const struct mesh__document *documents, const char *key)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		char own[MESH__SERVICE_KEY_MAX];

		(void)snprintf(own, sizeof(own), "%s.%s", d->name, d->ns);
		if (d->kind == MESH__KIND_ENDPOINTS && strcmp(own, key) == 0) {
			return true;
		}
	}
	return meshd_registry_find(meshd->registry, key) != NULL || meshd_config_find(meshd->config, MESH__KIND_ENDPOINTS, key) != NULL;
}

/* A document about a service that nobody has seen, or that names one, is most often a slip of the pen; it may also be written ahead. */
static void warn_unknown(const struct meshd *meshd, const char *file, const struct mesh__document *documents, struct mesh__buf *warnings)
{
	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		char key[MESH__SERVICE_KEY_MAX];

		(void)snprintf(key, sizeof(key), "%s.%s", d->name, d->ns);
		if ((d->kind == MESH__KIND_SERVICE || d->kind == MESH__KIND_FAULT) && !is_known(meshd, documents, key)) {
			mesh__buf_printf(warnings, "%s:%d:1: name: service %s has not registered yet\n", file, d->line, key);
		}
		for (const struct mesh__reference *other = d->references; other != NULL; other = other->next) {
			if (strcmp(other->service, key) != 0 && !is_known(meshd, documents, other->service)) {
				mesh__buf_printf(warnings, "%s:%d:%d: %s: service %s has not registered yet\n", file, other->line, other->column, other->path, other->service);
			}
		}
	}
}

void meshd_admin_config_apply(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__document *documents = NULL;
	struct meshd_plan plan = {.config = meshd->config};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf faults;
	struct source source;
	struct write write;
	int code;

	(void)rest;
	write_init(meshd, x, "config-changed", &write);
	mesh__buf_init(&faults, &meshd->env->mem, NOTES_MAX_BYTES);
	code = read_source(body, &source, &err);
	code = code == MESH_OK ? read_terms(body, &write, &err) : code;
	if (code == MESH_OK) {
		code = mesh__documents_parse(&meshd->env->mem, source.file, source.text, strlen(source.text), source.ns, &documents, &faults, &write.warnings, &err);
	}
	if (code == MESH_OK) {
		meshd_faults_check(meshd, source.file, documents, &faults);
		code = faults.len == 0 ? MESH_OK : mesh__fail(&err, MESH_E_INVALID, "%.400s", faults.data);
	}
	if (code == MESH_E_INVALID && faults.len > 0) {
		reply_faults(meshd, x, &err, &faults);
		mesh__documents_free(documents);
		mesh__buf_fini(&write.warnings);
		mesh__buf_fini(&faults);
		return;
	}
	if (code == MESH_OK) {
		warn_unknown(meshd, source.file, documents, &write.warnings);
		code = meshd_plan_apply(meshd->config, documents, &plan, &err);
	}
	conclude(meshd, x, &plan, &write, code, &err);
	mesh__buf_fini(&faults);
}

/* ---- Deleting. ---- */

void meshd_admin_config_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct meshd_plan plan = {.config = meshd->config};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name = {.trust_domain = ""};
	struct meshd_admin_filter filter;
	struct write write;
	int code;

	(void)body;
	(void)rest;
	write_init(meshd, x, "config-deleted", &write);
	code = meshd_admin_filter(x, &filter, &err);
	code = code == MESH_OK ? read_query_terms(x, &write, &err) : code;
	if (code == MESH_OK && (filter.any_kind || filter.name[0] == '\0')) {
		code = mesh__fail(&err, MESH_E_INVALID, "the query must say kind=KIND and name=NAME (and namespace=NAMESPACE unless it is default)");
	}
	if (code == MESH_OK) {
		(void)snprintf(name.service, sizeof(name.service), "%s", filter.name);
		(void)snprintf(name.ns, sizeof(name.ns), "%s", mesh__kind_namespace(filter.kind, filter.name, filter.ns[0] == '\0' ? "default" : filter.ns));
		code = meshd_plan_delete(meshd->config, filter.kind, &name, &plan, &err);
	}
	conclude(meshd, x, &plan, &write, code, &err);
}

/* ---- Going back. ---- */

void meshd_admin_rollback(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct meshd_plan plan = {.config = meshd->config};
	struct mesh__err err = MESH__NO_ERR;
	struct write write;
	uint64_t to = 0;
	int code;

	(void)rest;
	write_init(meshd, x, "config-rolled-back", &write);
	code = read_terms(body, &write, &err);
	if (code == MESH_OK && !mesh__json_u64(mesh__json_get(body, "to"), &to)) {
		code = mesh__fail(&err, MESH_E_INVALID, "to must be the number of the generation to go back to");
	}
	code = code == MESH_OK ? meshd_plan_rollback(meshd->config, meshd->store, to, &plan, &err) : code;
	conclude(meshd, x, &plan, &write, code, &err);
}
