#include "meshd/config.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { ENTRY_KEY_MAX = 32 + MESH__SERVICE_KEY_MAX };

static const enum mesh__kind kinds[] = {MESH__KIND_SERVICE, MESH__KIND_ENDPOINTS};

struct meshd_config {
	const struct mesh__env *env;
	struct meshd_store *store;
	meshd_config_changed changed;
	void *user;
	struct mesh__map entries; /* by "Kind/name.namespace" */
	uint64_t generation;
};

static void entry_key(enum mesh__kind kind, const char *key, char *out)
{
	(void)snprintf(out, ENTRY_KEY_MAX, "%s/%s", mesh__kind_name(kind), key);
}

static void free_entry(struct meshd_config_entry *entry)
{
	if (entry != NULL) {
		mesh__documents_free(entry->document);
		mesh__free(entry->row.text);
		mesh__free(entry);
	}
}

/* Puts an entry (taken over) into the map, in the place of what was there. */
static bool put_entry(struct meshd_config *config, struct meshd_config_entry *entry)
{
	char service[MESH__SERVICE_KEY_MAX];
	char key[ENTRY_KEY_MAX];
	void *old = NULL;

	mesh__service_key(&entry->row.name, service);
	entry_key(entry->row.kind, service, key);
	if (!mesh__map_put(&config->entries, key, entry, &old)) {
		free_entry(entry);
		return false;
	}
	free_entry(old);
	return true;
}

static struct meshd_config_entry *new_entry(struct meshd_config *config, const struct meshd_config_row *row)
{
	struct meshd_config_entry *entry = mesh__alloc(&config->env->mem, sizeof(*entry));

	if (entry != NULL) {
		entry->row = *row;
		entry->row.text = mesh__strdup(&config->env->mem, row->text);
		if (entry->row.text == NULL && row->text != NULL) {
			mesh__free(entry);
			entry = NULL;
		}
	}
	return entry;
}

/* ---- Reading the store at the start. ---- */

struct loading {
	struct meshd_config *config;
	struct mesh__err err;
};

static bool load_entry(void *user, const struct meshd_config_row *row)
{
	struct loading *loading = user;
	struct meshd_config_entry *entry = new_entry(loading->config, row);

	if (entry == NULL) {
		return false;
	}
	if (row->text != NULL && mesh__documents_parse(&loading->config->env->mem, "store", row->text, strlen(row->text), row->name.ns,
		&entry->document, NULL, NULL, &loading->err) != MESH_OK) {
		(void)mesh__wrap(&loading->err, "the stored %s %s.%s", mesh__kind_name(row->kind), row->name.service, row->name.ns);
		free_entry(entry);
		return false;
	}
	return put_entry(loading->config, entry);
}

int meshd_config_new(const struct mesh__env *env, struct meshd_store *store, meshd_config_changed changed, void *user, struct meshd_config **out, struct mesh__err *err)
{
	struct meshd_config *config = mesh__alloc(&env->mem, sizeof(*config));
	struct loading loading = {.config = config, .err = MESH__NO_ERR};
	int code;

	*out = NULL;
	if (config == NULL) {
		return mesh__fail_memory(err);
	}
	config->env = env;
	config->store = store;
	config->changed = changed;
	config->user = user;
	mesh__map_init(&config->entries, env);
	code = meshd_store_generation(store, &config->generation, err);
	code = code == MESH_OK ? meshd_store_config(store, load_entry, &loading, err) : code;
	if (loading.err.code != MESH_OK) {
		code = mesh__fail(err, loading.err.code, "%s", loading.err.message);
	}
	if (code != MESH_OK) {
		meshd_config_free(config);
		return code;
	}
	*out = config;
	return MESH_OK;
}

void meshd_config_free(struct meshd_config *config)
{
	if (config == NULL) {
		return;
	}
	for (struct mesh__map_entry *e = mesh__map_next(&config->entries, NULL); e != NULL; e = mesh__map_next(&config->entries, e)) {
		free_entry(e->value);
	}
	mesh__map_fini(&config->entries);
	mesh__free(config);
}

/* ---- Reading. ---- */

uint64_t meshd_config_generation(const struct meshd_config *config)
{
	return config->generation;
}

const struct mesh__map *meshd_config_entries(const struct meshd_config *config)
{
	return &config->entries;
}

static const struct meshd_config_entry *find_any(const struct meshd_config *config, enum mesh__kind kind, const char *key)
{
	char full[ENTRY_KEY_MAX];

	entry_key(kind, key, full);
	return mesh__map_get(&config->entries, full);
}

const struct meshd_config_entry *meshd_config_find(const struct meshd_config *config, enum mesh__kind kind, const char *key)
{
	const struct meshd_config_entry *entry = find_any(config, kind, key);

	return entry != NULL && entry->row.text != NULL ? entry : NULL;
}

uint64_t meshd_config_changed_at(const struct meshd_config *config, const char *key)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < MESH__COUNT(kinds); i++) {
		const struct meshd_config_entry *entry = find_any(config, kinds[i], key);

		newest = entry != NULL && entry->row.generation > newest ? entry->row.generation : newest;
	}
	return newest;
}

static void document_key(const struct mesh__document *document, char *key)
{
	(void)snprintf(key, MESH__SERVICE_KEY_MAX, "%s.%s", document->name, document->ns);
}

enum meshd_change meshd_config_compare(const struct meshd_config *config, const struct mesh__document *document)
{
	const struct meshd_config_entry *entry;
	char key[MESH__SERVICE_KEY_MAX];

	document_key(document, key);
	entry = meshd_config_find(config, document->kind, key);
	if (entry == NULL) {
		return MESHD_CHANGE_CREATED;
	}
	return strcmp(entry->row.text, document->text) == 0 ? MESHD_CHANGE_UNCHANGED : MESHD_CHANGE_UPDATED;
}

/* ---- Writing. ---- */

/* Everything that can fail is made before the store commits; then the new entries only have to be put in. */
struct batch {
	struct meshd_config_entry **entries;
	struct meshd_config_row *rows; /* the same, borrowed, as the store wants them */
	size_t n;
};

static void free_batch(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		free_entry(batch->entries[i]);
	}
	mesh__free(batch->entries);
	mesh__free(batch->rows);
}

static bool batch_room(struct meshd_config *config, struct batch *batch, size_t n)
{
	batch->entries = mesh__alloc_array(&config->env->mem, n, sizeof(struct meshd_config_entry *));
	batch->rows = mesh__alloc_array(&config->env->mem, n, sizeof(*batch->rows));
	return batch->entries != NULL && batch->rows != NULL;
}

/* Adds a row and, unless it is a deletion, its document (taken over when true comes back). A place in the map is made now, because it cannot be after the commit. */
static bool batch_add(struct meshd_config *config, struct batch *batch, const struct meshd_config_row *row, struct mesh__document *document)
{
	struct meshd_config_entry *entry = new_entry(config, row);
	struct meshd_config_row empty = {.kind = row->kind, .name = row->name};
	char key[MESH__SERVICE_KEY_MAX];

	if (entry == NULL) {
		return false;
	}
	mesh__service_key(&row->name, key);
	if (find_any(config, row->kind, key) == NULL) {
		struct meshd_config_entry *placeholder = new_entry(config, &empty);

		if (placeholder == NULL || !put_entry(config, placeholder)) {
			free_entry(entry);
			return false;
		}
	}
	entry->document = document;
	batch->entries[batch->n] = entry;
	batch->rows[batch->n++] = entry->row;
	return true;
}

/* Exchanges the entry with what stands in its place: no allocation, so it cannot fail after the commit. */
static void swap_in(struct meshd_config *config, struct meshd_config_entry *entry)
{
	char service[MESH__SERVICE_KEY_MAX];
	char key[ENTRY_KEY_MAX];
	struct meshd_config_entry *there, old;

	mesh__service_key(&entry->row.name, service);
	entry_key(entry->row.kind, service, key);
	there = mesh__map_get(&config->entries, key);
	old = *there;
	*there = *entry;
	*entry = old;
}

static int commit(struct meshd_config *config, struct batch *batch, struct mesh__err *err)
{
	int code = meshd_store_config_put(config->store, batch->rows, batch->n, config->generation + 1, err);
	char key[MESH__SERVICE_KEY_MAX];

	if (code != MESH_OK) {
		return code;
	}
	config->generation++;
	for (size_t i = 0; i < batch->n; i++) {
		swap_in(config, batch->entries[i]);
	}
	for (size_t i = 0; i < batch->n; i++) {
		mesh__service_key(&batch->rows[i].name, key);
		config->changed(config->user, key);
	}
	return MESH_OK;
}

static struct meshd_config_row row_of(struct meshd_config *config, const struct mesh__document *document)
{
	struct meshd_config_row row = {.kind = document->kind, .text = document->text, .generation = config->generation + 1, .updated_ms = mesh__wall_ms(config->env)};

	(void)snprintf(row.name.service, sizeof(row.name.service), "%s", document->name);
	(void)snprintf(row.name.ns, sizeof(row.name.ns), "%s", document->ns);
	return row;
}

int meshd_config_apply(struct meshd_config *config, struct mesh__document *documents, struct mesh__err *err)
{
	struct batch batch = {.n = 0};
	size_t n = 0;
	int code = MESH_OK;

	for (const struct mesh__document *d = documents; d != NULL; d = d->next) {
		n++;
	}
	if (n > 0 && !batch_room(config, &batch, n)) {
		code = mesh__fail_memory(err);
	}
	while (documents != NULL && code == MESH_OK) {
		struct mesh__document *document = documents;
		struct meshd_config_row row = row_of(config, document);

		if (meshd_config_compare(config, document) != MESHD_CHANGE_UNCHANGED && !batch_add(config, &batch, &row, document)) {
			code = mesh__fail_memory(err);
			break;
		}
		documents = document->next;
		document->next = NULL;
		if (batch.n == 0 || batch.entries[batch.n - 1]->document != document) {
			mesh__documents_free(document);
		}
	}
	if (code == MESH_OK && batch.n > 0) {
		code = commit(config, &batch, err);
	}
	free_batch(&batch);
	mesh__documents_free(documents);
	return code;
}

int meshd_config_delete(struct meshd_config *config, enum mesh__kind kind, const struct mesh__name *name, struct mesh__err *err)
{
	struct meshd_config_row row = {.kind = kind, .name = *name, .generation = config->generation + 1, .updated_ms = mesh__wall_ms(config->env)};
	struct batch batch = {.n = 0};
	char key[MESH__SERVICE_KEY_MAX];
	int code;

	mesh__service_key(name, key);
	if (meshd_config_find(config, kind, key) == NULL) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "there is no %s %s", mesh__kind_name(kind), key);
	}
	if (!batch_room(config, &batch, 1) || !batch_add(config, &batch, &row, NULL)) {
		code = mesh__fail_memory(err);
	} else {
		code = commit(config, &batch, err);
	}
	free_batch(&batch);
	return code;
}
