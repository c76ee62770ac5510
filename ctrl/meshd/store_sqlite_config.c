#include "meshd/store_sqlite.h"

#include <string.h>

#include "base/str.h"

static const char *const change_names[] = {
#define X(name, text) text,
	MESHD_CHANGES(X)
#undef X
};

const char *meshd_change_name(enum meshd_change change)
{
	return change_names[change];
}

int meshd_store_generation(struct meshd_store *store, uint64_t *generation, struct mesh__err *err)
{
	return meshd_store_counter(store, "generation", generation, err);
}

int meshd_store_history_from(struct meshd_store *store, uint64_t *generation, struct mesh__err *err)
{
	return meshd_store_counter(store, "history", generation, err);
}

/* ---- Writing. ---- */

static int put_row(struct meshd_store *store, const struct meshd_config_row *row, struct mesh__err *err)
{
	struct meshd_query config = meshd_query(store, STMT_CONFIG_PUT);
	struct meshd_query revision = meshd_query(store, STMT_REVISION_ADD);
	int code;

	meshd_query_text(&config, mesh__kind_name(row->kind));
	meshd_query_text(&config, row->name.ns);
	meshd_query_text(&config, row->name.service);
	meshd_query_text(&config, row->text);
	meshd_query_int(&config, (int64_t)row->generation);
	meshd_query_int(&config, row->updated_ms);
	code = meshd_query_run(&config, "write a document", err);
	if (code != MESH_OK) {
		return code;
	}
	meshd_query_int(&revision, (int64_t)row->generation);
	meshd_query_text(&revision, row->name.ns);
	meshd_query_text(&revision, row->name.service);
	meshd_query_text(&revision, mesh__kind_name(row->kind));
	meshd_query_text(&revision, row->text);
	meshd_query_text(&revision, meshd_change_name(row->change));
	return meshd_query_run(&revision, "write the history", err);
}

static int add_generation(struct meshd_store *store, const struct meshd_generation *generation, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_GENERATION_ADD);

	meshd_query_int(&q, (int64_t)generation->number);
	meshd_query_int(&q, generation->at_ms);
	meshd_query_text(&q, generation->who);
	meshd_query_text(&q, generation->operator);
	if (generation->rollback) {
		meshd_query_int(&q, (int64_t)generation->restored);
	}
	return meshd_query_run(&q, "write the history", err);
}

/* The history begins a generation later: what was said before and is said anew there goes, and so do old deletions. What else was said before still stands there. */
static int forget_one(struct meshd_store *store, uint64_t from, struct mesh__err *err)
{
	struct meshd_query generations = meshd_query(store, STMT_GENERATION_FORGET);
	struct meshd_query revisions = meshd_query(store, STMT_REVISION_FORGET);
	int code;

	meshd_query_int(&generations, (int64_t)from);
	meshd_query_int(&revisions, (int64_t)from);
	code = meshd_query_run(&generations, "shorten the history", err);
	code = code == MESH_OK ? meshd_query_run(&revisions, "shorten the history", err) : code;
	return code == MESH_OK ? meshd_store_counter_set(store, "history", from, err) : code;
}

static int forget(struct meshd_store *store, uint64_t newest, struct mesh__err *err)
{
	uint64_t from = 0;
	int code = meshd_store_history_from(store, &from, err);

	while (code == MESH_OK && from + MESHD_HISTORY_MAX <= newest) {
		code = forget_one(store, ++from, err);
	}
	return code;
}

int meshd_store_config_put(struct meshd_store *store, const struct meshd_generation *generation, const struct meshd_config_row *rows, size_t n, struct mesh__err *err)
{
	int code = meshd_store_begin(store, err);

	if (code != MESH_OK) {
		return code;
	}
	for (size_t i = 0; i < n && code == MESH_OK; i++) {
		code = put_row(store, &rows[i], err);
	}
	code = code == MESH_OK ? add_generation(store, generation, err) : code;
	code = code == MESH_OK ? meshd_store_counter_set(store, "generation", generation->number, err) : code;
	code = code == MESH_OK ? forget(store, generation->number, err) : code;
	return meshd_store_end(store, code, err);
}

/* ---- Reading. ---- */

/* Three columns from `first` on: kind, namespace, name. False for a kind that a newer meshd wrote: it is kept, and means nothing here. */
static bool read_subject(struct meshd_query *q, int first, struct meshd_config_row *row)
{
	char kind[32];

	meshd_query_column(q, first, kind, sizeof(kind));
	meshd_query_column(q, first + 1, row->name.ns, sizeof(row->name.ns));
	meshd_query_column(q, first + 2, row->name.service, sizeof(row->name.service));
	return mesh__kind_parse(kind, &row->kind);
}

/* Rows that begin with kind, namespace, name, text, generation; the sixth column, where there is one, says when. */
static int read_rows(struct meshd_query *q, meshd_config_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_config_row row = {.text = NULL};

	while (meshd_query_step(q)) {
		if (!read_subject(q, 0, &row)) {
			continue;
		}
		row.generation = (uint64_t)sqlite3_column_int64(q->stmt, 4);
		row.updated_ms = sqlite3_column_int64(q->stmt, 5);
		row.text = meshd_query_copy(q, 3);
		if ((row.text == NULL && sqlite3_column_type(q->stmt, 3) != SQLITE_NULL) || !fn(user, &row)) {
			q->rc = SQLITE_NOMEM;
		}
		mesh__free(row.text);
	}
	return meshd_query_done(q, "list documents", err);
}

int meshd_store_config(struct meshd_store *store, meshd_config_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_CONFIG);

	return read_rows(&q, fn, user, err);
}

int meshd_store_config_at(struct meshd_store *store, uint64_t generation, meshd_config_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_REVISIONS_AT);

	meshd_query_int(&q, (int64_t)generation);
	return read_rows(&q, fn, user, err);
}

static enum meshd_change read_change(struct meshd_query *q, int column)
{
	enum meshd_change change = MESHD_CHANGE_UPDATED;
	char text[16];

	meshd_query_column(q, column, text, sizeof(text));
	for (size_t i = 0; i < MESH__COUNT(change_names); i++) {
		change = strcmp(text, change_names[i]) == 0 ? (enum meshd_change)i : change;
	}
	return change;
}

int meshd_store_history(struct meshd_store *store, const struct meshd_history_query *wanted, meshd_history_fn fn, void *user, struct mesh__err *err)
{
	struct meshd_query q = meshd_query(store, STMT_HISTORY);
	struct meshd_config_row change = {.text = NULL};
	struct meshd_generation generation;

	meshd_query_text(&q, wanted->kind);
	meshd_query_text(&q, wanted->ns);
	meshd_query_text(&q, wanted->name);
	meshd_query_int(&q, wanted->limit);
	while (meshd_query_step(&q)) {
		if (!read_subject(&q, 5, &change)) {
			continue;
		}
		generation = (struct meshd_generation){.number = (uint64_t)sqlite3_column_int64(q.stmt, 0), .at_ms = sqlite3_column_int64(q.stmt, 1),
			.rollback = sqlite3_column_type(q.stmt, 4) != SQLITE_NULL, .restored = (uint64_t)sqlite3_column_int64(q.stmt, 4)};
		meshd_query_column(&q, 2, generation.who, sizeof(generation.who));
		meshd_query_column(&q, 3, generation.operator, sizeof(generation.operator));
		change.change = read_change(&q, 8);
		change.generation = generation.number;
		change.updated_ms = generation.at_ms;
		if (!fn(user, &generation, &change)) {
			q.rc = SQLITE_NOMEM;
		}
	}
	return meshd_query_done(&q, "read the history", err);
}
