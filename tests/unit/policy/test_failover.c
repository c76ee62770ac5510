/* When endpoints are left for others, and when they are taken again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/failover.h"

enum { SECOND_US = 1000000, RETURN_US = MESH__FAILOVER_RETURN_MS * 1000 };

/* One group, looked at again and again. */
struct look {
	int64_t at_us;
	struct mesh__level all;
	bool in_use;
};

static void walk(const struct look *looks, size_t n)
{
	int64_t standing = MESH__STANDING_IN_USE;

	for (size_t i = 0; i < n; i++) {
		standing = mesh__failover_standing(standing, looks[i].all, 7 * SECOND_US + looks[i].at_us);
		if ((standing == MESH__STANDING_IN_USE) != looks[i].in_use) {
			fail_msg("look %zu: %lld", i, (long long)standing);
		}
	}
}

static void a_group_is_left_when_none_is_healthy_and_not_before(void **state)
{
	static const struct look looks[] = {{0, {4, 4}, true}, {1, {4, 1}, true}, {2, {4, 0}, false}};
	static const struct look empty[] = {{0, {0, 0}, false}};

	(void)state;
	walk(looks, MESH__COUNT(looks));
	walk(empty, MESH__COUNT(empty));
}

static void it_is_taken_again_when_half_have_been_healthy_for_the_time(void **state)
{
	static const struct look looks[] = {
		{0, {4, 0}, false}, {1, {4, 1}, false}, {60 * SECOND_US, {4, 1}, false}, /* a quarter, for whatever time, is not half */
		{61 * SECOND_US, {4, 2}, false}, {61 * SECOND_US + RETURN_US - 1, {4, 3}, false}, {61 * SECOND_US + RETURN_US, {4, 2}, true},
		{64 * SECOND_US + RETURN_US, {4, 1}, true}, /* and stays so */
	};

	(void)state;
	walk(looks, MESH__COUNT(looks));
}

static void a_break_begins_the_time_anew(void **state)
{
	static const struct look looks[] = {
		{0, {2, 0}, false}, {1, {2, 1}, false}, {RETURN_US - 1, {2, 0}, false}, {RETURN_US + 1, {2, 1}, false}, {2 * RETURN_US, {2, 2}, false}, {2 * RETURN_US + 1, {2, 2}, true},
	};
	static const struct look fewer[] = {{0, {3, 0}, false}, {1, {3, 2}, false}, {2, {3, 1}, false}, {3, {3, 2}, false}, {RETURN_US + 2, {3, 2}, false}, {RETURN_US + 3, {3, 2}, true}};

	(void)state;
	walk(looks, MESH__COUNT(looks));
	walk(fewer, MESH__COUNT(fewer));
}

/* One that is readmitted every second and fails at once takes the calls with it no oftener than that. */
static void what_comes_and_goes_within_the_time_is_never_taken(void **state)
{
	int64_t standing = MESH__STANDING_LEFT;

	(void)state;
	for (int64_t at_us = SECOND_US; at_us < 600 * (int64_t)SECOND_US; at_us += SECOND_US / 10) {
		struct mesh__level all = {1, at_us % (2 * SECOND_US) < SECOND_US};
		standing = mesh__failover_standing(standing, all, at_us);
		assert_true(standing != MESH__STANDING_IN_USE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_is_left_when_none_is_healthy_and_not_before),
		cmocka_unit_test(it_is_taken_again_when_half_have_been_healthy_for_the_time),
		cmocka_unit_test(a_break_begins_the_time_anew),
		cmocka_unit_test(what_comes_and_goes_within_the_time_is_never_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
