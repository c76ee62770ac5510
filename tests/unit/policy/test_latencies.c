/* Percentiles of what was counted in the last half minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "policy/latencies.h"

enum { P50 = 500000, P95 = 950000, P99 = 990000 };

static struct mesh__latencies latencies;

static int set_up(void **state)
{
	(void)state;
	memset(&latencies, 0, sizeof(latencies));
	return 0;
}

static void add(int n, int64_t us, int64_t now_us)
{
	for (int i = 0; i < n; i++) {
		mesh__latencies_add(&latencies, us, now_us);
	}
}

static void a_percentile_is_at_least_the_value_and_at_most_a_sixteenth_more(void **state)
{
	for (int64_t us = 0; us <= MESH__LATENCIES_MAX_US; us += 1 + us / 7) {
		int64_t found;

		(void)set_up(state);
		add(2, us, 0);
		found = mesh__latencies_percentile(&latencies, P50, 0);
		assert_in_range(found, us, us + us / 16);
	}
}

static void what_is_out_of_range_counts_as_the_nearest_that_is_in_it(void **state)
{
	(void)state;
	add(2, -5, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 0), 0);
	add(4, INT64_MAX, 3000000);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 3000000), MESH__LATENCIES_MAX_US);
}

static void it_is_the_least_value_that_covers_its_share(void **state)
{
	static const struct {
		int fast, slow;
		int32_t millionths;
		int64_t us;
	} rows[] = {
		{95, 5, P95, 9}, {94, 6, P95, 15}, {98, 2, P95, 9}, {99, 1, P99, 9}, {98, 2, P99, 15}, {1, 1, P50, 9}, {1, 3, P50, 15}, {3, 997, 1000, 9},
	};

	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		(void)set_up(state);
		add(rows[i].fast, 9, 0);
		add(rows[i].slow, 15, 0);
		assert_int_equal(mesh__latencies_percentile(&latencies, rows[i].millionths, 0), rows[i].us);
	}
}

static void it_is_not_known_while_not_one_of_them_would_be_above_it(void **state)
{
	(void)state;
	assert_int_equal(mesh__latencies_percentile(&latencies, P95, 0), -1);
	add(19, 9, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P95, 0), -1);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 0), 9);
	add(1, 9, 0); /* what was not known is looked at again at once */
	assert_int_equal(mesh__latencies_percentile(&latencies, P95, 0), 9);
	add(79, 9, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P99, 0), -1);
	add(1, 9, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P99, 0), 9);
}

static void it_is_computed_anew_every_three_seconds(void **state)
{
	(void)state;
	add(20, 9, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 0), 9);
	add(100, 15, 0);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 2999999), 9);
	assert_int_equal(mesh__latencies_percentile(&latencies, P95, 2999999), 15); /* another, not asked for before */
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 3000000), 15);
}

static void what_is_older_than_half_a_minute_counts_no_more(void **state)
{
	(void)state;
	add(100, 15, 0);
	add(20, 9, 15000000);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 29999999), 15);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 30000000), 9);
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 45000000), -1);
}

static void a_slice_begins_anew_when_its_turn_has_come_again(void **state)
{
	(void)state;
	add(100, 15, 0);
	add(2, 9, 30000000); /* the same slice, ten periods later */
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 30000000), 9);
	add(2, 12, 3600000000); /* an hour in which nothing was called */
	assert_int_equal(mesh__latencies_percentile(&latencies, P50, 3600000000), 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_percentile_is_at_least_the_value_and_at_most_a_sixteenth_more, set_up),
		cmocka_unit_test_setup(what_is_out_of_range_counts_as_the_nearest_that_is_in_it, set_up),
		cmocka_unit_test_setup(it_is_the_least_value_that_covers_its_share, set_up),
		cmocka_unit_test_setup(it_is_not_known_while_not_one_of_them_would_be_above_it, set_up),
		cmocka_unit_test_setup(it_is_computed_anew_every_three_seconds, set_up),
		cmocka_unit_test_setup(what_is_older_than_half_a_minute_counts_no_more, set_up),
		cmocka_unit_test_setup(a_slice_begins_anew_when_its_turn_has_come_again, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
