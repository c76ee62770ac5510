#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/deadline.h"

static void the_smallest_of_caller_policy_and_parent_holds(void **state)
{
	static const struct {
		struct mesh__deadline_inputs in;
		int64_t ms;
	} rows[] = {
		/* caller, policy, set, parent */
		{{0, 15000, false, -1}, 15000},    /* built in */
		{{2000, 15000, false, -1}, 2000},
		{{60000, 15000, false, -1}, 60000}, /* built in, it yields to the caller's own */
		{{60000, 15000, true, -1}, 15000},  /* from a document, it bounds the caller's */
		{{2000, 15000, true, -1}, 2000},
		{{0, 15000, true, 500}, 500},
		{{100, 15000, false, 500}, 100},
		{{60000, 15000, false, 30000}, 30000},
		{{0, 15000, false, 0}, 0},          /* the parent's time is up */
		{{5000, 100, true, 0}, 0},
		{{-7, 15000, false, -1}, 15000},    /* nonsense says nothing */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__deadline_decide(&rows[i].in, 0), rows[i].ms * 1000);
		assert_int_equal(mesh__deadline_decide(&rows[i].in, 123456789), 123456789 + rows[i].ms * 1000);
	}
}

static void a_deadline_beyond_the_clock_is_its_end(void **state)
{
	static const int64_t huge[] = {INT64_MAX, INT64_MAX / 1000, INT64_MAX / 1000 + 1};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(huge); i++) {
		struct mesh__deadline_inputs in = {.caller_ms = huge[i], .policy_ms = 1, .parent_left_ms = -1};
		assert_int_equal(mesh__deadline_decide(&in, 5000000), INT64_MAX);
	}
}

static void a_try_ends_at_its_own_time_or_with_the_call(void **state)
{
	static const struct {
		int64_t deadline_us, per_try_ms, now_us, try_us;
	} rows[] = {
		{1000000, 0, 0, 1000000}, {1000000, 100, 0, 100000}, {1000000, 100, 850000, 950000}, {1000000, 100, 900000, 1000000}, {1000000, 100, 999999, 1000000},
		{1000000, 100, 2000000, 1000000}, {1000000, 5000, 0, 1000000}, {INT64_MAX, 100, 7, 100007}, {INT64_MAX, INT64_MAX, 7, INT64_MAX}, {1000000, -1, 0, 1000000},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__deadline_of_try(rows[i].deadline_us, rows[i].per_try_ms, rows[i].now_us), rows[i].try_us);
	}
}

static void what_is_left_is_rounded_up_and_never_negative(void **state)
{
	static const struct {
		int64_t deadline_us, now_us, left_ms;
	} rows[] = {
		{1000000, 0, 1000}, {1000000, 1, 1000}, {1000000, 999000, 1}, {1000000, 999001, 1}, {1000000, 999999, 1}, {1000000, 1000000, 0}, {1000000, 1000001, 0},
		{0, INT64_MAX, 0}, {INT64_MAX, 0, INT64_MAX / 1000 + 1},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__deadline_left_ms(rows[i].deadline_us, rows[i].now_us), rows[i].left_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_of_caller_policy_and_parent_holds),
		cmocka_unit_test(a_deadline_beyond_the_clock_is_its_end),
		cmocka_unit_test(a_try_ends_at_its_own_time_or_with_the_call),
		cmocka_unit_test(what_is_left_is_rounded_up_and_never_negative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
