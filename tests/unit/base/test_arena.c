#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "support/alloc_fail.h"

static void what_is_allocated_is_zeroed_aligned_and_apart(void **state)
{
	struct mesh__arena *arena = mesh__arena_new(mesh__mem_libc());
	char *blocks[200];

	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i < 200; i++) {
		size_t size = i * 37 % 5000;
		blocks[i] = mesh__arena_alloc(arena, 1, size);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		for (size_t at = 0; at < size; at++) {
			assert_int_equal(blocks[i][at], 0);
		}
		memset(blocks[i], (int)i, size);
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t at = 0; at < i * 37 % 5000; at++) {
			assert_int_equal((unsigned char)blocks[i][at], i);
		}
	}
	mesh__arena_unref(arena);
}

static void a_product_that_overflows_is_out_of_memory(void **state)
{
	struct mesh__arena *arena = mesh__arena_new(mesh__mem_libc());

	(void)state;
	assert_null(mesh__arena_alloc(arena, SIZE_MAX / 8, 16));
	assert_null(mesh__arena_alloc(arena, SIZE_MAX, 1));
	assert_non_null(mesh__arena_alloc(arena, 0, 16));
	mesh__arena_unref(arena);
}

static void note(void *thing)
{
	char **at = thing;

	*(*at)++ = 'x';
}

static void what_it_took_is_released_with_the_last_reference(void **state)
{
	struct mesh__arena *arena = mesh__arena_new(mesh__mem_libc());
	char released[3] = "", *at = released;

	(void)state;
	assert_string_equal(mesh__arena_strdup(arena, "kept"), "kept");
	assert_true(mesh__arena_take(arena, &at, note));
	assert_true(mesh__arena_take(arena, &at, note));
	assert_ptr_equal(mesh__arena_ref(arena), arena);
	mesh__arena_unref(arena);
	assert_string_equal(released, "");
	mesh__arena_unref(arena);
	assert_string_equal(released, "xx");
	assert_null(mesh__arena_ref(NULL));
	mesh__arena_unref(NULL);
}

static void every_allocation_may_fail_and_nothing_leaks(void **state)
{
	struct fail_mem mem;

	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		char released[2] = "", *at = released;
		struct mesh__arena *arena;
		bool all = false;

		fail_mem_init(&mem);
		mem.fail_at = n;
		arena = mesh__arena_new(&mem.mem);
		if (arena != NULL) {
			all = mesh__arena_alloc(arena, 1, 2000) != NULL && mesh__arena_strdup(arena, "a text that needs a second chunk by now, as the first has no room for it") != NULL &&
				mesh__arena_alloc(arena, 3, 4000) != NULL && mesh__arena_take(arena, &at, note);
		}
		mesh__arena_unref(arena);
		done = mem.count < n;
		assert_int_equal(all, done);
		assert_string_equal(released, all ? "x" : "");
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_allocated_is_zeroed_aligned_and_apart),
		cmocka_unit_test(a_product_that_overflows_is_out_of_memory),
		cmocka_unit_test(what_it_took_is_released_with_the_last_reference),
		cmocka_unit_test(every_allocation_may_fail_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
