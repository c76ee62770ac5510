/*
 * The configuration: documents by kind, namespace and name, in memory and behind it in the store. Each write is one new generation, whole or not at all. A deleted document leaves its
 * generation behind, so that a client's resume can tell. Loop's thread.
 */
#ifndef MESHD_CONFIG_H
#define MESHD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "meshd/store.h"
#include "policy/document.h"

struct meshd_config;

/* One document, or what is left of a deleted one (text NULL). */
struct meshd_config_entry {
	struct meshd_config_row row;
	struct mesh__document *document; /* parsed; NULL when deleted */
};

/* Reads what the store has. A document that this meshd would refuse is an error that names it: the store was written by another version. `changed` runs for each document that a write changed. */
typedef void (*meshd_config_changed)(void *user, enum mesh__kind kind, const struct mesh__name *name);
int meshd_config_new(const struct mesh__env *env, struct meshd_store *store, meshd_config_changed changed, void *user, struct meshd_config **out, struct mesh__err *err) MESH__MUST_USE;
void meshd_config_free(struct meshd_config *config);

const struct mesh__env *meshd_config_env(const struct meshd_config *config);

uint64_t meshd_config_generation(const struct meshd_config *config);

/* An entry with a copy of the row's text; its document is the caller's to set. NULL when out of memory. */
struct meshd_config_entry *meshd_config_entry_new(const struct mesh__env *env, const struct meshd_config_row *row) MESH__MUST_USE;
void meshd_config_entry_free(struct meshd_config_entry *entry);

/*
 * Writes the entries as one new generation, all or none: what they hold changes places with what is in force, so the caller frees what was there. Number and time are filled in here, in `generation` and in the entries.
 * Errors: the store's, MESH_E_NO_MEMORY.
 */
int meshd_config_write(struct meshd_config *config, struct meshd_config_entry **entries, size_t n, struct meshd_generation *generation, struct mesh__err *err) MESH__MUST_USE;

/* The document, or NULL when there is none. */
const struct meshd_config_entry *meshd_config_find(const struct meshd_config *config, enum mesh__kind kind, const char *key);

/* The same, or what is left of one that was deleted. */
const struct meshd_config_entry *meshd_config_find_any(const struct meshd_config *config, enum mesh__kind kind, const char *key);

/* The document of that kind that applies to the service `key`: its own (a Service, its Endpoints, its Fault), or its namespace's, or the mesh's; also what is left of a deleted one. NULL: there never was any. */
const struct meshd_config_entry *meshd_config_applying(const struct meshd_config *config, enum mesh__kind kind, const char *key);

/* The generation that last changed what applies to the service `key`; 0: nothing ever did. */
uint64_t meshd_config_changed_at(const struct meshd_config *config, const char *key);

/* All entries, deleted ones too: for (e = mesh__map_next(m, NULL); …), values struct meshd_config_entry. */
const struct mesh__map *meshd_config_entries(const struct meshd_config *config);

#endif
