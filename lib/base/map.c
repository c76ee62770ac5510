#include "base/map.h"

#include <string.h>

#include "base/str.h"

enum { FIRST_BUCKETS = 16 };

static uint64_t hash_of(const struct mesh__map *map, const char *key)
{
	return mesh__str_hash(key, map->seed);
}

void mesh__map_init(struct mesh__map *map, const struct mesh__env *env)
{
	*map = (struct mesh__map){.env = env, .seed = mesh__dice(env)};
}

void mesh__map_fini(struct mesh__map *map)
{
	for (size_t i = 0; i < map->n_buckets; i++) {
		struct mesh__map_entry *e = map->buckets[i];
		while (e != NULL) {
			struct mesh__map_entry *next = e->next;
			mesh__free(e);
			e = next;
		}
	}
	mesh__free(map->buckets);
	map->buckets = NULL;
	map->n_buckets = map->n = 0;
}

static struct mesh__map_entry **find(const struct mesh__map *map, const char *key, uint64_t hash)
{
	struct mesh__map_entry **at = &map->buckets[hash & (map->n_buckets - 1)];

	while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0)) {
		at = &(*at)->next;
	}
	return at;
}

void *mesh__map_get(const struct mesh__map *map, const char *key)
{
	struct mesh__map_entry *e = map->n == 0 ? NULL : *find(map, key, hash_of(map, key));

	return e == NULL ? NULL : e->value;
}

static bool grow(struct mesh__map *map)
{
	size_t n = map->n_buckets == 0 ? FIRST_BUCKETS : map->n_buckets * 2;
	struct mesh__map_entry **buckets = mesh__alloc_array(&map->env->mem, n, sizeof(struct mesh__map_entry *));

	if (buckets == NULL) {
		return map->n_buckets > 0; /* slower, but right */
	}
	for (size_t i = 0; i < map->n_buckets; i++) {
		struct mesh__map_entry *e = map->buckets[i];
		while (e != NULL) {
			struct mesh__map_entry *next = e->next;
			e->next = buckets[e->hash & (n - 1)];
			buckets[e->hash & (n - 1)] = e;
			e = next;
		}
	}
	mesh__free(map->buckets);
	map->buckets = buckets;
	map->n_buckets = n;
	return true;
}

bool mesh__map_put(struct mesh__map *map, const char *key, void *value, void **old)
{
	uint64_t hash = hash_of(map, key);
	size_t len = strlen(key);
	struct mesh__map_entry **at, *e;

	if (old != NULL) {
		*old = NULL;
	}
	if (map->n >= map->n_buckets && !grow(map)) {
		return false;
	}
	at = find(map, key, hash);
	if (*at != NULL) {
		if (old != NULL) {
			*old = (*at)->value;
		}
		(*at)->value = value;
		return true;
	}
	e = mesh__alloc(&map->env->mem, sizeof(*e) + len + 1);
	if (e == NULL) {
		return false;
	}
	memcpy(e->key, key, len + 1);
	e->hash = hash;
	e->value = value;
	*at = e;
	map->n++;
	return true;
}

void *mesh__map_remove(struct mesh__map *map, const char *key)
{
	struct mesh__map_entry **at, *e;
	void *value;

	if (map->n == 0) {
		return NULL;
	}
	at = find(map, key, hash_of(map, key));
	e = *at;
	if (e == NULL) {
		return NULL;
	}
	value = e->value;
	*at = e->next;
	mesh__free(e);
	map->n--;
	return value;
}

struct mesh__map_entry *mesh__map_next(const struct mesh__map *map, const struct mesh__map_entry *after)
{
	size_t i = 0;

	if (after != NULL) {
		if (after->next != NULL) {
			return after->next;
		}
		i = (after->hash & (map->n_buckets - 1)) + 1;
	}
	for (; i < map->n_buckets; i++) {
		if (map->buckets[i] != NULL) {
			return map->buckets[i];
		}
	}
	return NULL;
}
