/* Active health checks: how many it takes, what passes, and when the next one is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/str.h"
#include "policy/health.h"

/* '+' a check that passes, '-' one that fails; what is known after each: 'h' healthy, 'u' unhealthy. */
static void it_takes_so_many_in_a_row(void **state)
{
	static const struct {
		int32_t unhealthy_after, healthy_after;
		const char *checks, *known;
	} rows[] = {
		{3, 2, "++++", "hhhh"},
		{3, 2, "---", "hhu"},
		{3, 2, "--+--+---", "hhhhhhhhu"},
		{3, 2, "---++", "hhuuh"},
		{3, 2, "---+-+-++", "hhuuuuuuh"},
		{3, 2, "---++--", "hhuuhhh"},
		{3, 2, "---++---", "hhuuhhhu"},
		{1, 1, "-+-+", "uhuh"},
		{1, 3, "-++-+++", "uuuuuuh"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__health_check check = {.unhealthy_after = rows[i].unhealthy_after, .healthy_after = rows[i].healthy_after};
		struct mesh__health health = {.unhealthy = false};
		for (size_t k = 0; rows[i].checks[k] != '\0'; k++) {
			bool before = health.unhealthy, changed = mesh__health_judge(&health, &check, rows[i].checks[k] == '+');
			if (health.unhealthy != (rows[i].known[k] == 'u') || changed != (health.unhealthy != before)) {
				fail_msg("%s: after %zu checks", rows[i].checks, k + 1);
			}
		}
	}
}

static void fewer_are_enough_once_a_document_says_so(void **state)
{
	struct mesh__health_check check = {.unhealthy_after = 5, .healthy_after = 2};
	struct mesh__health health = {.unhealthy = false};

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_false(mesh__health_judge(&health, &check, false));
	}
	check.unhealthy_after = 2;
	assert_true(mesh__health_judge(&health, &check, false));
}

static void only_a_status_of_200_to_299_passes(void **state)
{
	(void)state;
	for (int status = 0; status < 600; status++) {
		assert_int_equal(mesh__health_passes(status), status / 100 == 2);
	}
}

static void the_next_is_due_within_a_tenth_of_the_interval_and_the_first_within_a_second(void **state)
{
	static const int64_t intervals_ms[] = {100, 999, 1000, 10000, 3600000};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(intervals_ms); i++) {
		struct mesh__health_check check = {.interval_ms = intervals_ms[i]};
		int64_t tenth = check.interval_ms / 10, least = INT64_MAX, most = 0, first_most = 0;
		for (uint64_t draw = 0; draw < 2000; draw++) {
			uint64_t spread = draw * UINT64_C(0x9e3779b97f4a7c15) >> 16;
			int64_t next = mesh__health_next_ms(&check, spread), first = mesh__health_first_ms(&check, spread);
			least = next < least ? next : least;
			most = next > most ? next : most;
			first_most = first > first_most ? first : first_most;
			assert_in_range(first, 0, (check.interval_ms < 1000 ? check.interval_ms : 1000) - 1);
		}
		assert_in_range(least, check.interval_ms - tenth, check.interval_ms - tenth * 9 / 10);
		assert_in_range(most, check.interval_ms + tenth * 9 / 10, check.interval_ms + tenth);
		assert_true(first_most > check.interval_ms / 2 || first_most > 900);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_so_many_in_a_row),
		cmocka_unit_test(fewer_are_enough_once_a_document_says_so),
		cmocka_unit_test(only_a_status_of_200_to_299_passes),
		cmocka_unit_test(the_next_is_due_within_a_tenth_of_the_interval_and_the_first_within_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
