/* When a call may have a second try, after how long, and how many there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "policy/hedge.h"
#include "policy/retry.h"

enum { SECOND_US = 1000000 };

static struct mesh__hedge_counts counts;

static int set_up(void **state)
{
	(void)state;
	memset(&counts, 0, sizeof(counts));
	return 0;
}

static void only_the_first_try_of_a_call_that_does_no_harm_twice_and_has_somewhere_to_go_may_have_a_second(void **state)
{
	static const struct mesh__hedging rule = {.on = true, .delay_ms = 50, .max_extra = 1}, none = {.on = true, .delay_ms = 50};
	static const struct mesh__hedge_view good = {.idempotent = true, .n_endpoints = 2, .body_len = MESH__RETRY_BODY_MAX};
	struct mesh__hedge_view v;

	(void)state;
	assert_true(mesh__hedge_may(&rule, &good));
	assert_false(mesh__hedge_may(&none, &good));
	v = good, v.idempotent = false;
	assert_false(mesh__hedge_may(&rule, &v));
	v = good, v.parent_retried = true;
	assert_false(mesh__hedge_may(&rule, &v));
	v = good, v.streams = true;
	assert_false(mesh__hedge_may(&rule, &v));
	v = good, v.body_len++;
	assert_false(mesh__hedge_may(&rule, &v));
	v = good, v.tries = 1;
	assert_false(mesh__hedge_may(&rule, &v));
	v = good, v.n_endpoints = 1;
	assert_false(mesh__hedge_may(&rule, &v));
}

static void the_delay_is_a_time_or_a_percentile_of_what_was_counted(void **state)
{
	static const struct mesh__hedging fixed = {.on = true, .delay_ms = 50}, p95 = {.on = true, .percentile = 950000};

	(void)state;
	assert_int_equal(mesh__hedge_delay_us(&fixed, &counts, 0), 50000);
	assert_int_equal(mesh__hedge_delay_us(&p95, &counts, 0), -1);
	for (int i = 0; i < 20; i++) {
		mesh__latencies_add(&counts.latencies, i < 19 ? 7 : 3000, 0);
	}
	assert_int_equal(mesh__hedge_delay_us(&p95, &counts, 0), 7);
	assert_int_equal(mesh__hedge_delay_us(&fixed, &counts, 0), 50000);
}

/* Of 1,000 calls, a second try wanted by each of `per` of a hundred. */
static int made(const struct mesh__hedging *rule, int per)
{
	int n = 0;

	memset(&counts, 0, sizeof(counts));
	for (int i = 0; i < 1000; i++) {
		int64_t now_us = (int64_t)i * SECOND_US / 100;

		mesh__hedge_deposit(&counts, rule, now_us);
		n += i % 100 < per && mesh__hedge_withdraw(&counts, rule, now_us);
	}
	return n;
}

static void there_are_never_more_than_the_share_and_there_is_no_floor(void **state)
{
	static const struct {
		int32_t max_extra;
		int per, least, most;
	} rows[] = {{50000, 2, 18, 20}, {50000, 5, 40, 50}, {50000, 100, 50, 50}, {1000000, 100, 1000, 1000}, {0, 100, 0, 0}, {5000, 100, 5, 5}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__hedging rule = {.on = true, .delay_ms = 1, .max_extra = rows[i].max_extra};

		assert_in_range(made(&rule, rows[i].per), rows[i].least, rows[i].most);
	}
}

static void the_first_comes_with_the_call_that_makes_it_due_and_what_is_old_gives_none(void **state)
{
	static const struct mesh__hedging rule = {.on = true, .delay_ms = 1, .max_extra = 50000};

	(void)state;
	for (int i = 0; i < 19; i++) {
		mesh__hedge_deposit(&counts, &rule, 0);
	}
	assert_false(mesh__hedge_withdraw(&counts, &rule, 0));
	mesh__hedge_deposit(&counts, &rule, 0);
	assert_false(mesh__hedge_withdraw(&counts, &rule, 10 * SECOND_US)); /* ten seconds later nobody has called */
	assert_true(mesh__hedge_withdraw(&counts, &rule, 9 * SECOND_US));
	assert_false(mesh__hedge_withdraw(&counts, &rule, 9 * SECOND_US));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_the_first_try_of_a_call_that_does_no_harm_twice_and_has_somewhere_to_go_may_have_a_second, set_up),
		cmocka_unit_test_setup(the_delay_is_a_time_or_a_percentile_of_what_was_counted, set_up),
		cmocka_unit_test_setup(there_are_never_more_than_the_share_and_there_is_no_floor, set_up),
		cmocka_unit_test_setup(the_first_comes_with_the_call_that_makes_it_due_and_what_is_old_gives_none, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
