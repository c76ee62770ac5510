#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "support/alloc_fail.h"

static void blocks_come_zeroed_and_aligned(void **state)
{
	struct fail_mem f;

	(void)state;
	fail_mem_init(&f); /* fills with 0xa5 what it gives */
	for (size_t size = 0; size < 70; size++) {
		unsigned char *p = mesh__alloc(&f.mem, size);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++) {
			assert_int_equal(p[i], 0);
		}
		mesh__free(p);
	}
	assert_int_equal(f.live, 0);
}

static void sizes_that_overflow_are_out_of_memory(void **state)
{
	static const struct {
		size_t count, size;
	} rows[] = {{SIZE_MAX, 1}, {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX - 4, 1}};
	struct fail_mem f;

	(void)state;
	fail_mem_init(&f);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_null(mesh__alloc_array(&f.mem, rows[i].count, rows[i].size));
	}
	assert_null(mesh__alloc(&f.mem, SIZE_MAX));
	assert_int_equal(f.count, 0); /* refused before the allocator saw a wrapped size */
}

static void a_resized_block_keeps_its_bytes_and_its_allocator(void **state)
{
	struct fail_mem f;
	char *p, *q;

	(void)state;
	fail_mem_init(&f);
	p = mesh__resize(&f.mem, NULL, 4);
	memcpy(p, "abc", 4);
	p = mesh__resize(&f.mem, p, 10000);
	assert_string_equal(p, "abc");
	fail_mem_next(&f, 1);
	q = mesh__resize(&f.mem, p, 20000);
	assert_null(q);
	assert_null(mesh__resize(&f.mem, p, SIZE_MAX));
	assert_string_equal(p, "abc");
	mesh__free(p);
	assert_int_equal(f.live, 0);
}

static void copies_are_exact_and_take_null(void **state)
{
	const struct mesh__mem *mem = mesh__mem_libc();
	static const char unterminated[3] = {'a', 'b', 'c'};
	char *text = mesh__strdup(mem, "hello");
	char *part = mesh__strndup(mem, unterminated, sizeof(unterminated));
	char *shorter = mesh__strndup(mem, "ab\0cd", 5);
	unsigned char *bytes = mesh__memdup(mem, "x\0y", 3);
	void *nothing = mesh__memdup(mem, "", 0);

	(void)state;
	assert_string_equal(text, "hello");
	assert_string_equal(part, "abc");
	assert_string_equal(shorter, "ab");
	assert_memory_equal(bytes, "x\0y", 3);
	assert_non_null(nothing);
	assert_null(mesh__strdup(mem, NULL));
	assert_null(mesh__strndup(mem, NULL, 3));
	assert_null(mesh__memdup(mem, NULL, 3));
	mesh__free(text);
	mesh__free(part);
	mesh__free(shorter);
	mesh__free(bytes);
	mesh__free(nothing);
	mesh__free(NULL);
	mesh__free_secret(NULL);
	mesh__wipe(NULL, 0);
}

/* An allocator that looks at what it is given back. */
static void *spy_alloc(void *user, size_t size)
{
	void *block = mesh__mem_libc()->alloc(user, size);

	memset(block, 0, size); /* the padding too is looked at */
	return block;
}

static void *spy_resize(void *user, void *block, size_t size)
{
	return mesh__mem_libc()->resize(user, block, size);
}

static char seen[512];

static void spy_release(void *user, void *block)
{
	memcpy(seen, block, 64);
	mesh__mem_libc()->release(user, block);
}

static void a_secret_is_wiped_before_it_is_freed(void **state)
{
	static const struct mesh__mem spy = {spy_alloc, spy_resize, spy_release, NULL};
	static const char secret[] = "correct horse battery staple, and then some";
	char *text = mesh__strdup(&spy, secret);
	bool found = false;

	(void)state;
	mesh__free_secret(text);
	for (size_t i = 0; i + 5 < 64; i++) {
		found |= memcmp(seen + i, "horse", 5) == 0;
	}
	assert_false(found);
}

static void the_failing_allocator_fails_exactly_the_nth(void **state)
{
	struct fail_mem f;
	void *a, *b, *c;

	(void)state;
	fail_mem_init(&f);
	f.fail_at = 2;
	a = mesh__alloc(&f.mem, 1);
	b = mesh__alloc(&f.mem, 1);
	c = mesh__alloc(&f.mem, 1);
	assert_non_null(a);
	assert_null(b);
	assert_non_null(c);
	assert_int_equal(f.live, 2);
	assert_int_equal(f.count, 3);
	mesh__free(a);
	mesh__free(c);
	assert_int_equal(f.live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_zeroed_and_aligned),
		cmocka_unit_test(sizes_that_overflow_are_out_of_memory),
		cmocka_unit_test(a_resized_block_keeps_its_bytes_and_its_allocator),
		cmocka_unit_test(copies_are_exact_and_take_null),
		cmocka_unit_test(a_secret_is_wiped_before_it_is_freed),
		cmocka_unit_test(the_failing_allocator_fails_exactly_the_nth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
