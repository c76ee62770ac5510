/*
 * malloc itself under the test's hand: what the library and the third parties beneath it (mbedTLS, cJSON, libyaml, libc) ask for on one thread. Where tests/support/alloc_fail stands for the application's
 * allocator, this stands for a process that has run out of memory.
 *
 * It defines malloc, calloc, realloc and free for the whole program and hands every call on to whoever defines them next: one file of a program includes it, no archive may hold it. TSan and
 * ASan must be the first to be asked, from before there is a main(), and valgrind puts its own over every definition unless it is told not to, as tests/run does: where fail_malloc_works() is false, the test skips itself.
 */
#ifndef TESTS_SUPPORT_FAIL_MALLOC_H
#define TESTS_SUPPORT_FAIL_MALLOC_H

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct fail_malloc {
	bool armed;
	bool for_good; /* the n-th and all that follow fail; false: that one alone */
	long fail_at;  /* counted from 1; 0: none */
	long count;    /* allocations asked for since it was armed */
	long live;     /* of those, the blocks not freed yet */
};

static _Thread_local struct fail_malloc fail_malloc;

/* From here on the n-th allocation of this thread fails. */
static inline void fail_malloc_arm(long n, bool for_good)
{
	fail_malloc = (struct fail_malloc){.armed = true, .for_good = for_good, .fail_at = n};
}

/* Allocations succeed again; says what there was since it was armed. */
static inline struct fail_malloc fail_malloc_disarm(void)
{
	struct fail_malloc was = fail_malloc;

	fail_malloc.armed = false;
	return was;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FAIL_MALLOC_ABSENT
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define FAIL_MALLOC_ABSENT
#endif
#endif

#ifndef FAIL_MALLOC_ABSENT

/* The next definition of a function; found again after a lost race, which does no harm. */
static void *fail_malloc_next(_Atomic(void *) *known, const char *name)
{
	void *next = atomic_load_explicit(known, memory_order_relaxed);

	if (next == NULL) {
		next = dlsym(RTLD_NEXT, name);
		atomic_store_explicit(known, next, memory_order_relaxed);
	}
	return next;
}

static bool fail_malloc_now(void)
{
	struct fail_malloc *f = &fail_malloc;

	f->count += f->armed;
	if (!f->armed || f->fail_at == 0 || f->count < f->fail_at || (f->count > f->fail_at && !f->for_good)) {
		return false;
	}
	errno = ENOMEM;
	return true;
}

static void *fail_malloc_got(void *block)
{
	fail_malloc.live += fail_malloc.armed && block != NULL;
	return block;
}

/* Seen by the shared libraries: everything else in our objects is hidden. */
#define FAIL_MALLOC_SEEN __attribute__((visibility("default")))

/* A function's pointer out of dlsym()'s: ISO C has no cast for it. */
#define FAIL_MALLOC_NEXT(name)                                                                                         \
	static _Atomic(void *) known;                                                                                  \
	void *found = fail_malloc_next(&known, #name);                                                                 \
	__typeof__(name) *next;                                                                                        \
	memcpy(&next, &found, sizeof(next))

FAIL_MALLOC_SEEN void *malloc(size_t size);
void *malloc(size_t size)
{
	FAIL_MALLOC_NEXT(malloc);
	return fail_malloc_now() ? NULL : fail_malloc_got(next(size));
}

FAIL_MALLOC_SEEN void *calloc(size_t count, size_t size);
void *calloc(size_t count, size_t size)
{
	FAIL_MALLOC_NEXT(calloc);
	return fail_malloc_now() ? NULL : fail_malloc_got(next(count, size));
}

FAIL_MALLOC_SEEN void *realloc(void *block, size_t size);
void *realloc(void *block, size_t size)
{
	FAIL_MALLOC_NEXT(realloc);
	if (fail_malloc_now()) {
		return NULL;
	}
	return block == NULL ? fail_malloc_got(next(NULL, size)) : next(block, size);
}

FAIL_MALLOC_SEEN void free(void *block);
void free(void *block)
{
	FAIL_MALLOC_NEXT(free);
	fail_malloc.live -= fail_malloc.armed && block != NULL;
	next(block);
}

#endif

/* Whether allocations pass through here in this program; asked while nothing is armed. */
static inline bool fail_malloc_works(void)
{
	void *(*volatile ask)(size_t) = malloc; /* the compiler may not leave it out */

	fail_malloc_arm(0, false);
	free(ask(1));
	return fail_malloc_disarm().count == 1;
}

#endif
