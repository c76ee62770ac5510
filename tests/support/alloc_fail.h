/*
 * An allocator that fails on request and knows what is still live. To walk every failing allocation of a path:
 *
 *	for (long n = 1, done = 0; !done; n++) {
 *		fail_mem_init(&f);
 *		f.fail_at = n;
 *		... run the path with &f.mem; it must succeed or say MESH_E_NO_MEMORY ...
 *		done = f.count < n;
 *		assert_int_equal(f.live, 0);
 *	}
 */
#ifndef TESTS_SUPPORT_ALLOC_FAIL_H
#define TESTS_SUPPORT_ALLOC_FAIL_H

#include <stdatomic.h>

#include "base/mem.h"

/* Any thread; must not move once `mem` (or a copy of it) is in use. */
struct fail_mem {
	struct mesh__mem mem;
	_Atomic long fail_at; /* the allocation, counted from 1, that fails; exactly that one; 0: none */
	_Atomic long count;   /* allocations and resizes asked for since fail_mem_init() or fail_mem_next() */
	_Atomic long live;    /* blocks not released yet */
};

void fail_mem_init(struct fail_mem *f);

/* Makes the n-th allocation from now fail; keeps `live`. */
void fail_mem_next(struct fail_mem *f, long n);

#endif
