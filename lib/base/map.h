/*
 * A map from strings to pointers. The hash is seeded from the environment's dice, so that names chosen by a stranger do not collide on purpose.
 * Keys are copied; values are borrowed. Removing during iteration is allowed for the entry at hand; adding is not. One thread at a time.
 */
#ifndef MESH__BASE_MAP_H
#define MESH__BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

struct mesh__map_entry {
	struct mesh__map_entry *next;
	uint64_t hash;
	void *value;
	char key[];
};

struct mesh__map {
	const struct mesh__env *env;
	struct mesh__map_entry **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t n;
	uint64_t seed;
};

void mesh__map_init(struct mesh__map *map, const struct mesh__env *env);

/* Frees the entries, not the values. A zeroed map is accepted. */
void mesh__map_fini(struct mesh__map *map);

/* The value of `key`, or NULL. */
void *mesh__map_get(const struct mesh__map *map, const char *key);

/* Sets `key` to `value` (not NULL), replacing what was there (*old, when not NULL, gets it). False when out of memory: nothing changed. */
bool mesh__map_put(struct mesh__map *map, const char *key, void *value, void **old) MESH__MUST_USE;

/* Removes `key` and returns its value, or NULL. */
void *mesh__map_remove(struct mesh__map *map, const char *key);

/* Iterates in no order: for (e = mesh__map_next(m, NULL); e != NULL; e = mesh__map_next(m, e)). To remove the entry at hand, take its next first. */
struct mesh__map_entry *mesh__map_next(const struct mesh__map *map, const struct mesh__map_entry *after);

#endif
