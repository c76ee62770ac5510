#include "meshd/config.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { ENTRY_KEY_MAX = 32 + MESH__SERVICE_KEY_MAX };

static const enum mesh__kind kinds[] = {
#define X(name, text, several) MESH__KIND_##name,
	MESH__KINDS(X)
#undef X
};

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

void meshd_config_entry_free(struct meshd_config_entry *entry)
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
		meshd_config_entry_free(entry);
		return false;
	}
	meshd_config_entry_free(old);
	return true;
}

struct meshd_config_entry *meshd_config_entry_new(const struct mesh__env *env, const struct meshd_config_row *row)
{
	struct meshd_config_entry *entry = mesh__alloc(&env->mem, sizeof(*entry));

	if (entry != NULL) {
		entry->row = *row;
		entry->row.text = mesh__strdup(&env->mem, row->text);
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
	struct meshd_config_entry *entry = meshd_config_entry_new(loading->config->env, row);

	if (entry == NULL) {
		return false;
	}
	if (row->text != NULL && mesh__documents_parse(&loading->config->env->mem, "store", row->text, strlen(row->text), row->name.ns,
		&entry->document, NULL, NULL, &loading->err) != MESH_OK) {
		(void)mesh__wrap(&loading->err, "the stored %s %s.%s", mesh__kind_name(row->kind), row->name.service, row->name.ns);
		meshd_config_entry_free(entry);
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
		meshd_config_entry_free(e->value);
	}
	mesh__map_fini(&config->entries);
	mesh__free(config);
}

/* ---- Reading. ---- */

const struct mesh__env *meshd_config_env(const struct meshd_config *config)
{
	return config->env;
}

uint64_t meshd_config_generation(const struct meshd_config *config)
{
	return config->generation;
}

const struct mesh__map *meshd_config_entries(const struct meshd_config *config)
{
	return &config->entries;
}

const struct meshd_config_entry *meshd_config_find_any(const struct meshd_config *config, enum mesh__kind kind, const char *key)
{
	char full[ENTRY_KEY_MAX];

	entry_key(kind, key, full);
	return mesh__map_get(&config->entries, full);
}

const struct meshd_config_entry *meshd_config_find(const struct meshd_config *config, enum mesh__kind kind, const char *key)
{
	const struct meshd_config_entry *entry = meshd_config_find_any(config, kind, key);

	return entry != NULL && entry->row.text != NULL ? entry : NULL;
}

const struct meshd_config_entry *meshd_config_applying(const struct meshd_config *config, enum mesh__kind kind, const char *key)
{
	char own[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;

	if (mesh__kind_is_of_a_service(kind)) {
		return meshd_config_find_any(config, kind, key);
	}
	if (mesh__service_parse(key, "default", &name, NULL) != MESH_OK) {
		return NULL;
	}
	(void)snprintf(name.service, sizeof(name.service), "%s", kind == MESH__KIND_MESH ? "mesh" : name.ns);
	(void)snprintf(name.ns, sizeof(name.ns), "%s", mesh__kind_namespace(kind, name.service, NULL));
	mesh__service_key(&name, own);
	return meshd_config_find_any(config, kind, own);
}

uint64_t meshd_config_changed_at(const struct meshd_config *config, const char *key)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < MESH__COUNT(kinds); i++) {
		const struct meshd_config_entry *entry = meshd_config_applying(config, kinds[i], key);

		newest = entry != NULL && entry->row.generation > newest ? entry->row.generation : newest;
	}
	return newest;
}

/* ---- Writing: everything that can fail is made before the store commits; then the entries only have to change places. ---- */

/* A place in the map, which cannot be made after the commit. */
static bool make_place(struct meshd_config *config, const struct meshd_config_row *row)
{
	const struct meshd_config_row empty = {.kind = row->kind, .name = row->name};
	struct meshd_config_entry *entry;
	char key[MESH__SERVICE_KEY_MAX];

	mesh__service_key(&row->name, key);
	if (meshd_config_find_any(config, row->kind, key) != NULL) {
		return true;
	}
	entry = meshd_config_entry_new(config->env, &empty);
	return entry != NULL && put_entry(config, entry);
}

/* Exchanges the entry with what stands in its place: no allocation. */
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

int meshd_config_write(struct meshd_config *config, struct meshd_config_entry **entries, size_t n, struct meshd_generation *generation, struct mesh__err *err)
{
	struct meshd_config_row *rows = mesh__alloc_array(&config->env->mem, n, sizeof(*rows));
	bool room = rows != NULL;
	int code;

	generation->number = config->generation + 1;
	generation->at_ms = mesh__wall_ms(config->env);
	for (size_t i = 0; i < n && room; i++) {
		entries[i]->row.generation = generation->number;
		entries[i]->row.updated_ms = generation->at_ms;
		rows[i] = entries[i]->row;
		room = make_place(config, &rows[i]);
	}
	code = room ? meshd_store_config_put(config->store, generation, rows, n, err) : mesh__fail_memory(err);
	if (code == MESH_OK) {
		config->generation = generation->number;
		for (size_t i = 0; i < n; i++) {
			swap_in(config, entries[i]);
		}
		for (size_t i = 0; i < n; i++) {
			config->changed(config->user, rows[i].kind, &rows[i].name);
		}
	}
	mesh__free(rows);
	return code;
}
