/*
 * Many small things with one end: what is allocated from an arena is freed with it, never before. Counted, so that what was built once may be shared: it is filled by one thread, and then
 * read by any; references may be taken and given back by any thread.
 */
#ifndef MESH__BASE_ARENA_H
#define MESH__BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct mesh__arena;

/* An empty one with one reference; NULL when out of memory. */
struct mesh__arena *mesh__arena_new(const struct mesh__mem *mem) MESH__MUST_USE;

/* Both accept NULL. The last unref frees everything. */
struct mesh__arena *mesh__arena_ref(struct mesh__arena *arena);
void mesh__arena_unref(struct mesh__arena *arena);

/* `count` zeroed elements of `size` bytes, aligned for anything; NULL when out of memory or when the product overflows. None of either gives a block that must not be written to. */
void *mesh__arena_alloc(struct mesh__arena *arena, size_t count, size_t size) MESH__MUST_USE;

/* A copy of a string; NULL when out of memory. */
char *mesh__arena_strdup(struct mesh__arena *arena, const char *text) MESH__MUST_USE;

/* Has `release` called with `thing` when everything is freed, the last one given first. False when out of memory: `thing` stays the caller's. */
bool mesh__arena_take(struct mesh__arena *arena, void *thing, void (*release)(void *thing)) MESH__MUST_USE;

#endif
