#include "meshd/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"

enum { CAP_MIN = 16, SOURCE_MAX = 40 };

/* ---- Its entries. ---- */

static const struct mesh__mem *mem_of(const struct meshd_plan *plan)
{
	return &meshd_config_env(plan->config)->mem;
}

static bool room_for_one(struct meshd_plan *plan)
{
	size_t cap = plan->cap == 0 ? CAP_MIN : plan->cap * 2;
	struct meshd_config_entry **entries;

	if (plan->n < plan->cap) {
		return true;
	}
	entries = mesh__resize(mem_of(plan), plan->entries, cap * sizeof(struct meshd_config_entry *));
	if (entries == NULL) {
		return false;
	}
	plan->entries = entries;
	plan->cap = cap;
	return true;
}

static enum meshd_change change_of(const struct meshd_plan *plan, const struct meshd_config_row *row)
{
	const struct meshd_config_entry *there;
	char key[MESH__SERVICE_KEY_MAX];

	mesh__service_key(&row->name, key);
	there = meshd_config_find(plan->config, row->kind, key);
	if (there == NULL) {
		return row->text == NULL ? MESHD_CHANGE_UNCHANGED : MESHD_CHANGE_CREATED;
	}
	if (row->text == NULL) {
		return MESHD_CHANGE_DELETED;
	}
	return strcmp(there->row.text, row->text) == 0 ? MESHD_CHANGE_UNCHANGED : MESHD_CHANGE_UPDATED;
}

/* Adds a row and its document (taken over, also on failure; NULL: a deletion). */
static int add(struct meshd_plan *plan, struct meshd_config_row *row, struct mesh__document *document, struct mesh__err *err)
{
	struct meshd_config_entry *entry = NULL;

	row->change = change_of(plan, row);
	if (room_for_one(plan)) {
		entry = meshd_config_entry_new(meshd_config_env(plan->config), row);
	}
	if (entry == NULL) {
		mesh__documents_free(document);
		return mesh__fail_memory(err);
	}
	entry->document = document;
	plan->entries[plan->n++] = entry;
	plan->n_changes += row->change != MESHD_CHANGE_UNCHANGED ? 1 : 0;
	return MESH_OK;
}

void meshd_plan_free(struct meshd_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		meshd_config_entry_free(plan->entries[i]);
	}
	mesh__free(plan->entries);
	plan->entries = NULL;
	plan->n = plan->cap = plan->n_changes = 0;
}

/* ---- Apply and delete. ---- */

int meshd_plan_apply(struct meshd_config *config, struct mesh__document *documents, struct meshd_plan *out, struct mesh__err *err)
{
	int code = MESH_OK;

	*out = (struct meshd_plan){.config = config};
	while (documents != NULL && code == MESH_OK) {
		struct mesh__document *document = documents;
		struct meshd_config_row row = {.kind = document->kind, .text = document->text};

		(void)snprintf(row.name.service, sizeof(row.name.service), "%s", document->name);
		(void)snprintf(row.name.ns, sizeof(row.name.ns), "%s", document->ns);
		documents = document->next;
		document->next = NULL;
		code = add(out, &row, document, err);
	}
	mesh__documents_free(documents);
	return code;
}

int meshd_plan_delete(struct meshd_config *config, enum mesh__kind kind, const struct mesh__name *name, struct meshd_plan *out, struct mesh__err *err)
{
	struct meshd_config_row row = {.kind = kind, .name = *name};
	char key[MESH__SERVICE_KEY_MAX], subject[MESH__SUBJECT_MAX];

	*out = (struct meshd_plan){.config = config};
	mesh__service_key(name, key);
	if (meshd_config_find(config, kind, key) == NULL) {
		mesh__document_subject(kind, name->service, name->ns, subject);
		return mesh__fail(err, MESH_E_NOT_FOUND, "there is no %s", subject);
	}
	return add(out, &row, NULL, err);
}

/* ---- Rollback. ---- */

/* While the contents of `to` are read. */
struct going_back {
	struct meshd_plan *plan;
	uint64_t to;
	struct mesh__map kept; /* "Kind/name.namespace" of what was there then */
	struct mesh__err err;
};

static void subject(const struct meshd_config_row *row, char out[SOURCE_MAX + MESH__SERVICE_KEY_MAX])
{
	char key[MESH__SERVICE_KEY_MAX];

	mesh__service_key(&row->name, key);
	(void)snprintf(out, SOURCE_MAX + MESH__SERVICE_KEY_MAX, "%s/%s", mesh__kind_name(row->kind), key);
}

/* A Fault whose time has come meanwhile: to bring it back would be to have it taken away at once. */
static bool is_over(const struct going_back *going, const struct meshd_config_row *then)
{
	struct mesh__document *document = NULL;
	bool over;

	if (then->kind != MESH__KIND_FAULT || then->text == NULL) {
		return false;
	}
	over = mesh__documents_parse(mem_of(going->plan), "then", then->text, strlen(then->text), then->name.ns, &document, NULL, NULL, NULL) == MESH_OK &&
		document->service.injection.until_ms <= mesh__wall_ms(meshd_config_env(going->plan->config));
	mesh__documents_free(document);
	return over;
}

static bool bring_back(void *user, const struct meshd_config_row *then)
{
	struct going_back *going = user;
	struct meshd_config_row row = {.kind = then->kind, .name = then->name};
	char key[SOURCE_MAX + MESH__SERVICE_KEY_MAX], source[SOURCE_MAX];
	struct mesh__document *document = NULL;

	subject(then, key);
	if (then->text == NULL || is_over(going, then)) {
		return true;
	}
	if (!mesh__map_put(&going->kept, key, going, NULL)) {
		return false;
	}
	row.text = then->text;
	if (change_of(going->plan, &row) == MESHD_CHANGE_UNCHANGED) {
		return true;
	}
	(void)snprintf(source, sizeof(source), "generation %llu", (unsigned long long)going->to);
	if (mesh__documents_parse(mem_of(going->plan), source, then->text, strlen(then->text), then->name.ns, &document, NULL, NULL, &going->err) != MESH_OK) {
		(void)mesh__wrap(&going->err, "%s", key);
		return false;
	}
	row.text = document->text;
	return add(going->plan, &row, document, &going->err) == MESH_OK;
}

/* What is there now, and was not then. */
static int take_away(struct going_back *going)
{
	const struct mesh__map *entries = meshd_config_entries(going->plan->config);
	int code = MESH_OK;

	for (const struct mesh__map_entry *e = mesh__map_next(entries, NULL); e != NULL && code == MESH_OK; e = mesh__map_next(entries, e)) {
		const struct meshd_config_entry *entry = e->value;
		struct meshd_config_row row = {.kind = entry->row.kind, .name = entry->row.name};

		if (entry->row.text != NULL && mesh__map_get(&going->kept, e->key) == NULL) {
			code = add(going->plan, &row, NULL, &going->err);
		}
	}
	return code;
}

static int check_kept(const struct meshd_config *config, struct meshd_store *store, uint64_t to, struct mesh__err *err)
{
	uint64_t newest = meshd_config_generation(config), oldest = 0;
	int code = meshd_store_history_from(store, &oldest, err);

	if (code == MESH_OK && to > newest) {
		code = mesh__fail(err, MESH_E_NOT_FOUND, "there is no generation %llu yet; the newest is %llu", (unsigned long long)to, (unsigned long long)newest);
	} else if (code == MESH_OK && to < oldest) {
		code = mesh__fail(err, MESH_E_NOT_FOUND, "generation %llu is no longer kept; the oldest one to go back to is %llu", (unsigned long long)to, (unsigned long long)oldest);
	}
	return code;
}

int meshd_plan_rollback(struct meshd_config *config, struct meshd_store *store, uint64_t to, struct meshd_plan *out, struct mesh__err *err)
{
	struct going_back going = {.plan = out, .to = to, .err = MESH__NO_ERR};
	int code;

	*out = (struct meshd_plan){.config = config, .rollback = true, .restored = to};
	code = check_kept(config, store, to, err);
	if (code != MESH_OK) {
		return code;
	}
	mesh__map_init(&going.kept, meshd_config_env(config));
	code = meshd_store_config_at(store, to, bring_back, &going, err);
	code = code == MESH_OK ? take_away(&going) : code;
	if (going.err.code != MESH_OK) {
		code = mesh__fail(err, going.err.code, "%s", going.err.message);
	}
	mesh__map_fini(&going.kept);
	return code;
}

/* ---- Whether it may, and the write. ---- */

int meshd_plan_check(const struct meshd_plan *plan, uint64_t seen, struct mesh__err *err)
{
	uint64_t newest = meshd_config_generation(plan->config);

	if (seen > newest) {
		return mesh__fail(err, MESH_E_INVALID, "there is no generation %llu yet; the newest is %llu", (unsigned long long)seen, (unsigned long long)newest);
	}
	for (size_t i = 0; i < plan->n; i++) {
		const struct meshd_config_row *row = &plan->entries[i]->row;
		const struct meshd_config_entry *there;
		char key[MESH__SERVICE_KEY_MAX], subject[MESH__SUBJECT_MAX];

		mesh__service_key(&row->name, key);
		there = meshd_config_find_any(plan->config, row->kind, key);
		mesh__document_subject(row->kind, row->name.service, row->name.ns, subject);
		if (row->change != MESHD_CHANGE_UNCHANGED && there != NULL && there->row.generation > seen) {
			return mesh__fail(err, MESH_E_STATE, "%s was changed in generation %llu, after generation %llu; nothing was changed now",
				subject, (unsigned long long)there->row.generation, (unsigned long long)seen);
		}
	}
	return MESH_OK;
}

/* The changes to the front; the order of the others does not matter any more. */
static void changes_first(struct meshd_plan *plan)
{
	size_t front = 0;

	for (size_t i = 0; i < plan->n; i++) {
		struct meshd_config_entry *entry = plan->entries[i];

		if (entry->row.change != MESHD_CHANGE_UNCHANGED) {
			plan->entries[i] = plan->entries[front];
			plan->entries[front++] = entry;
		}
	}
}

int meshd_plan_commit(struct meshd_plan *plan, const struct meshd_writer *writer, struct mesh__err *err)
{
	struct meshd_generation generation = {.rollback = plan->rollback, .restored = plan->restored};

	if (plan->n_changes == 0) {
		return MESH_OK;
	}
	(void)snprintf(generation.who, sizeof(generation.who), "%s", writer->who);
	(void)snprintf(generation.operator, sizeof(generation.operator), "%s", writer->operator == NULL ? "" : writer->operator);
	changes_first(plan);
	return meshd_config_write(plan->config, plan->entries, plan->n_changes, &generation, err);
}
