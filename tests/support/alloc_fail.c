#include "support/alloc_fail.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool fails_now(struct fail_mem *f)
{
	return atomic_fetch_add(&f->count, 1) + 1 == atomic_load(&f->fail_at);
}

static void *fail_alloc(void *user, size_t size)
{
	struct fail_mem *f = user;
	void *block = fails_now(f) ? NULL : malloc(size);

	if (block != NULL) {
		memset(block, 0xa5, size); /* who forgets to initialise shall notice */
		atomic_fetch_add(&f->live, 1);
	}
	return block;
}

static void *fail_resize(void *user, void *block, size_t size)
{
	return fails_now(user) ? NULL : realloc(block, size);
}

static void fail_release(void *user, void *block)
{
	struct fail_mem *f = user;

	atomic_fetch_sub(&f->live, 1);
	free(block);
}

void fail_mem_init(struct fail_mem *f)
{
	f->mem = (struct mesh__mem){fail_alloc, fail_resize, fail_release, f};
	atomic_init(&f->fail_at, 0);
	atomic_init(&f->count, 0);
	atomic_init(&f->live, 0);
}

void fail_mem_next(struct fail_mem *f, long n)
{
	atomic_store(&f->count, 0);
	atomic_store(&f->fail_at, n);
}
