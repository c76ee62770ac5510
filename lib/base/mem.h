/*
 * Memory: every allocation of the library comes through a `struct mesh__mem`, so that an application can bring its own allocator and a test can make
 * the n-th allocation fail. A block remembers its allocator: mesh__free() needs nothing else.
 */
#ifndef MESH__BASE_MEM_H
#define MESH__BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

/* The contract of the three functions is malloc's, realloc's and free's; callable from any thread; outlives all its blocks. */
struct mesh__mem {
	void *(*alloc)(void *user, size_t size);
	void *(*resize)(void *user, void *block, size_t size);
	void (*release)(void *user, void *block);
	void *user;
};

/* libc's allocator. */
const struct mesh__mem *mesh__mem_libc(void);

/* `size` zeroed bytes, aligned for anything; NULL when out of memory. The caller frees them with mesh__free(). */
void *mesh__alloc(const struct mesh__mem *mem, size_t size) MESH__MUST_USE;

/* `count` zeroed elements of `size` bytes; NULL when out of memory or when the product overflows. */
void *mesh__alloc_array(const struct mesh__mem *mem, size_t count, size_t size) MESH__MUST_USE;

/* Grows or shrinks a block of `mem` (or NULL: a new one) to `size` bytes; what it gains is not zeroed. On failure NULL, and the block stays. */
void *mesh__resize(const struct mesh__mem *mem, void *block, size_t size) MESH__MUST_USE;

/* A copy of a string, of at most `len` bytes of one, or of bytes. NULL when out of memory, or when the source is NULL. */
char *mesh__strdup(const struct mesh__mem *mem, const char *text) MESH__MUST_USE;
char *mesh__strndup(const struct mesh__mem *mem, const char *text, size_t len) MESH__MUST_USE;
void *mesh__memdup(const struct mesh__mem *mem, const void *bytes, size_t len) MESH__MUST_USE;

/* Frees a block from any of the above; accepts NULL. */
void mesh__free(void *block);

/* Overwrites secrets in a way that no compiler removes. */
void mesh__wipe(void *bytes, size_t len);

/* Wipes a string and frees it; accepts NULL. */
void mesh__free_secret(char *text);

#endif
