#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "base/buf.h"
#include "support/alloc_fail.h"

static void appends_of_every_kind_follow_each_other(void **state)
{
	struct mesh__buf b;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), 1000);
	mesh__buf_str(&b, "one ");
	mesh__buf_chr(&b, '2');
	mesh__buf_add(&b, " three!", 6);
	mesh__buf_add(&b, NULL, 0);
	mesh__buf_printf(&b, " %d %s", 4, "five");
	assert_string_equal(b.data, "one 2 three 4 five");
	assert_int_equal(b.len, strlen(b.data));
	mesh__buf_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.max_bytes, 1000);
}

static void grows_to_its_bound_and_not_a_byte_further(void **state)
{
	(void)state;
	for (size_t max = 0; max < 600; max += 37) {
		struct mesh__buf b;
		mesh__buf_init(&b, mesh__mem_libc(), max);
		for (size_t i = 0; i < max; i++) {
			mesh__buf_chr(&b, 'a');
		}
		assert_int_equal(b.error, MESH_OK);
		assert_int_equal(b.len, max);
		mesh__buf_chr(&b, 'b');
		assert_int_equal(b.error, MESH_E_TOO_LARGE);
		assert_int_equal(b.len, max);
		mesh__buf_fini(&b);
	}
}

static void a_failure_sticks_and_keeps_what_was_there(void **state)
{
	struct mesh__buf b;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), 5);
	mesh__buf_str(&b, "abc");
	mesh__buf_str(&b, "defg");
	mesh__buf_str(&b, "d"); /* would fit, but the text would have a hole */
	mesh__buf_printf(&b, "%d", 1);
	assert_string_equal(b.data, "abc");
	assert_null(mesh__buf_reserve(&b, 1));
	assert_int_equal(mesh__buf_error(&b, "the name", &err), MESH_E_TOO_LARGE);
	assert_string_equal(err.message, "the name is larger than 5 bytes");
	mesh__buf_clear(&b);
	mesh__buf_str(&b, "12345");
	assert_int_equal(mesh__buf_error(&b, "the name", &err), MESH_OK);
	assert_string_equal(b.data, "12345");
	mesh__buf_fini(&b);
}

static void lengths_near_the_end_of_size_t_do_not_wrap(void **state)
{
	struct mesh__buf b;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), SIZE_MAX);
	assert_null(mesh__buf_reserve(&b, SIZE_MAX));
	assert_int_equal(b.error, MESH_E_TOO_LARGE);
	mesh__buf_clear(&b);
	mesh__buf_str(&b, "abc");
	assert_null(mesh__buf_reserve(&b, SIZE_MAX - 3));
	assert_int_equal(b.error, MESH_E_TOO_LARGE);
	mesh__buf_clear(&b);
	assert_null(mesh__buf_reserve(&b, SIZE_MAX - 4));
	assert_int_equal(b.error, MESH_E_NO_MEMORY);
	mesh__buf_fini(&b);
}

static void a_print_that_libc_refuses_fails_and_sticks(void **state)
{
	struct mesh__buf b;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), SIZE_MAX);
	mesh__buf_printf(&b, "a%lc", (wint_t)0x10ffff); /* none in the C locale; refused as are texts over INT_MAX, but faster */
	assert_int_equal(b.error, MESH_E_TOO_LARGE);
	mesh__buf_fini(&b);
}

static void reserved_room_is_the_callers_to_fill(void **state)
{
	struct mesh__buf b;
	char *room;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), 100000);
	mesh__buf_str(&b, "head");
	room = mesh__buf_reserve(&b, 90000);
	memset(room, 'x', 90000);
	b.len += 90000;
	b.data[b.len] = '\0';
	assert_int_equal(strlen(b.data), 90004);
	mesh__buf_fini(&b);
}

static void consuming_keeps_the_rest(void **state)
{
	static const struct {
		size_t n;
		const char *rest;
	} rows[] = {{0, "abcdef"}, {2, "cdef"}, {6, ""}, {7, ""}, {SIZE_MAX, ""}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf b;
		mesh__buf_init(&b, mesh__mem_libc(), 100);
		mesh__buf_consume(&b, rows[i].n); /* of an empty one: nothing */
		mesh__buf_str(&b, "abcdef");
		mesh__buf_consume(&b, rows[i].n);
		assert_string_equal(b.data, rows[i].rest);
		assert_int_equal(b.len, strlen(rows[i].rest));
		mesh__buf_fini(&b);
	}
}

static void what_is_taken_is_the_callers(void **state)
{
	struct mesh__buf b;
	char *text;

	(void)state;
	mesh__buf_init(&b, mesh__mem_libc(), 100);
	text = mesh__buf_take(&b);
	assert_string_equal(text, "");
	mesh__free(text);
	mesh__buf_str(&b, "abc");
	text = mesh__buf_take(&b);
	assert_string_equal(text, "abc");
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.error, MESH_OK);
	mesh__buf_str(&b, "again");
	assert_string_equal(b.data, "again");
	mesh__buf_fini(&b);
	mesh__free(text);
}

static void a_failed_take_says_why(void **state)
{
	struct fail_mem f;
	struct mesh__buf b;

	(void)state;
	fail_mem_init(&f);
	mesh__buf_init(&b, &f.mem, 4);
	mesh__buf_str(&b, "12345");
	assert_null(mesh__buf_take(&b));
	assert_int_equal(mesh__buf_error(&b, "it", NULL), MESH_E_TOO_LARGE);
	assert_null(b.data);
	mesh__buf_clear(&b);
	fail_mem_next(&f, 1);
	assert_null(mesh__buf_take(&b)); /* even "" needs memory */
	assert_int_equal(mesh__buf_error(&b, "it", NULL), MESH_E_NO_MEMORY);
	mesh__buf_fini(&b);
	assert_int_equal(f.live, 0);
}

static void memory_that_runs_out_sticks(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem f;
		struct mesh__buf b;
		fail_mem_init(&f);
		f.fail_at = n;
		mesh__buf_init(&b, &f.mem, 100000);
		for (int i = 0; i < 1000; i++) {
			mesh__buf_printf(&b, "line %d\n", i);
		}
		done = f.count < n;
		assert_int_equal(b.error, done ? MESH_OK : MESH_E_NO_MEMORY);
		assert_true(b.data == NULL || strlen(b.data) == b.len);
		mesh__buf_fini_secret(&b);
		assert_int_equal(f.live, 0);
	}
}

static void zeroed_buffers_may_be_ended(void **state)
{
	struct mesh__buf b = {0};

	(void)state;
	mesh__buf_fini(&b);
	mesh__buf_fini_secret(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_of_every_kind_follow_each_other),
		cmocka_unit_test(grows_to_its_bound_and_not_a_byte_further),
		cmocka_unit_test(a_failure_sticks_and_keeps_what_was_there),
		cmocka_unit_test(lengths_near_the_end_of_size_t_do_not_wrap),
		cmocka_unit_test(a_print_that_libc_refuses_fails_and_sticks),
		cmocka_unit_test(reserved_room_is_the_callers_to_fill),
		cmocka_unit_test(consuming_keeps_the_rest),
		cmocka_unit_test(what_is_taken_is_the_callers),
		cmocka_unit_test(a_failed_take_says_why),
		cmocka_unit_test(memory_that_runs_out_sticks),
		cmocka_unit_test(zeroed_buffers_may_be_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
