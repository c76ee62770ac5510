#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Stands before every block; its size keeps the block aligned for anything. */
union header {
	const struct mesh__mem *mem;
	max_align_t align;
};

static void *libc_alloc(void *user, size_t size)
{
	(void)user;
	return malloc(size);
}

static void *libc_resize(void *user, void *block, size_t size)
{
	(void)user;
	return realloc(block, size);
}

static void libc_release(void *user, void *block)
{
	(void)user;
	free(block);
}

const struct mesh__mem *mesh__mem_libc(void)
{
	static const struct mesh__mem libc = {libc_alloc, libc_resize, libc_release, NULL};

	return &libc;
}

/* As it comes from the allocator: whoever fills it at once need not have it zeroed, which for a body of a megabyte is a pass over memory of its own. */
static void *alloc_raw(const struct mesh__mem *mem, size_t size)
{
	union header *h;

	if (size > SIZE_MAX - sizeof(*h)) {
		return NULL;
	}
	h = mem->alloc(mem->user, sizeof(*h) + size);
	if (h == NULL) {
		return NULL;
	}
	h->mem = mem;
	return h + 1;
}

void *mesh__alloc(const struct mesh__mem *mem, size_t size)
{
	void *block = alloc_raw(mem, size);

	return block != NULL ? memset(block, 0, size) : NULL;
}

void *mesh__alloc_array(const struct mesh__mem *mem, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size) {
		return NULL;
	}
	return mesh__alloc(mem, count * size);
}

void *mesh__resize(const struct mesh__mem *mem, void *block, size_t size)
{
	union header *h = block;

	if (h == NULL) {
		return alloc_raw(mem, size);
	}
	if (size > SIZE_MAX - sizeof(*h)) {
		return NULL;
	}
	h = mem->resize(mem->user, h - 1, sizeof(*h) + size);
	return h == NULL ? NULL : h + 1;
}

char *mesh__strdup(const struct mesh__mem *mem, const char *text)
{
	return text == NULL ? NULL : mesh__memdup(mem, text, strlen(text) + 1);
}

char *mesh__strndup(const struct mesh__mem *mem, const char *text, size_t len)
{
	char *copy;

	if (text == NULL) {
		return NULL;
	}
	len = strnlen(text, len);
	copy = len == SIZE_MAX ? NULL : mesh__alloc(mem, len + 1);
	if (copy != NULL) {
		memcpy(copy, text, len);
	}
	return copy;
}

void *mesh__memdup(const struct mesh__mem *mem, const void *bytes, size_t len)
{
	void *copy = bytes == NULL ? NULL : alloc_raw(mem, len);

	if (copy != NULL) {
		memcpy(copy, bytes, len);
	}
	return copy;
}

void mesh__free(void *block)
{
	if (block != NULL) {
		union header *h = (union header *)block - 1;
		h->mem->release(h->mem->user, h);
	}
}

void mesh__wipe(void *bytes, size_t len)
{
	if (bytes != NULL) {
		explicit_bzero(bytes, len);
	}
}

void mesh__free_secret(char *text)
{
	if (text != NULL) {
		mesh__wipe(text, strlen(text));
		mesh__free(text);
	}
}
