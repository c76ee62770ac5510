#include "base/arena.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { CHUNK_BYTES = 2048 };

struct chunk {
	struct chunk *next;
	size_t used, cap;
	max_align_t bytes[];
};

struct taken {
	struct taken *next;
	void *thing;
	void (*release)(void *thing);
};

struct mesh__arena {
	const struct mesh__mem *mem;
	_Atomic int refs;
	struct chunk *chunks; /* the one with room comes first */
	struct taken *taken;
};

struct mesh__arena *mesh__arena_new(const struct mesh__mem *mem)
{
	struct mesh__arena *arena = mesh__alloc(mem, sizeof(*arena));

	if (arena != NULL) {
		arena->mem = mem;
		atomic_init(&arena->refs, 1);
	}
	return arena;
}

struct mesh__arena *mesh__arena_ref(struct mesh__arena *arena)
{
	if (arena != NULL) {
		atomic_fetch_add_explicit(&arena->refs, 1, memory_order_relaxed);
	}
	return arena;
}

void mesh__arena_unref(struct mesh__arena *arena)
{
	if (arena == NULL || atomic_fetch_sub_explicit(&arena->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	for (struct taken *t = arena->taken; t != NULL; t = t->next) { /* they stand in the chunks */
		t->release(t->thing);
	}
	while (arena->chunks != NULL) {
		struct chunk *chunk = arena->chunks;
		arena->chunks = chunk->next;
		mesh__free(chunk);
	}
	mesh__free(arena);
}

/* One that is larger than a chunk has its own, behind the first: the room there is left to others. */
static struct chunk *add_chunk(struct mesh__arena *arena, size_t size)
{
	size_t cap = size > CHUNK_BYTES ? size : CHUNK_BYTES;
	struct chunk *chunk = mesh__alloc(arena->mem, sizeof(*chunk) + cap);

	if (chunk == NULL) {
		return NULL;
	}
	chunk->cap = cap;
	if (size > CHUNK_BYTES && arena->chunks != NULL) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *mesh__arena_alloc(struct mesh__arena *arena, size_t count, size_t size)
{
	struct chunk *chunk = arena->chunks;
	size_t bytes;

	if (size != 0 && count > (SIZE_MAX / 2) / size) {
		return NULL;
	}
	bytes = (count * size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (chunk == NULL || bytes > chunk->cap - chunk->used) {
		chunk = add_chunk(arena, bytes);
	}
	if (chunk == NULL) {
		return NULL;
	}
	chunk->used += bytes;
	return (char *)chunk->bytes + chunk->used - bytes;
}

char *mesh__arena_strdup(struct mesh__arena *arena, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = mesh__arena_alloc(arena, size, 1);

	return copy == NULL ? NULL : memcpy(copy, text, size);
}

bool mesh__arena_take(struct mesh__arena *arena, void *thing, void (*release)(void *thing))
{
	struct taken *taken = mesh__arena_alloc(arena, 1, sizeof(*taken));

	if (taken == NULL) {
		return false;
	}
	*taken = (struct taken){.next = arena->taken, .thing = thing, .release = release};
	arena->taken = taken;
	return true;
}
