#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/outlier.h"

enum { SECOND_US = 1000000, START_US = 1000 * SECOND_US };

static struct mesh__outlier built_in(void)
{
	struct mesh__outlier outlier;

	mesh__outlier_default(&outlier);
	return outlier;
}

static void never_more_than_the_share_but_always_one(void **state)
{
	static const struct {
		int32_t percent, n, most;
	} rows[] = {{50, 0, 1}, {50, 1, 1}, {50, 2, 1}, {50, 3, 1}, {50, 4, 2}, {50, 5, 2}, {50, 101, 50}, {0, 10, 1}, {100, 10, 10}, {100, 1, 1}, {10, 19, 1}, {10, 20, 2}, {50, INT32_MAX, INT32_MAX / 2}};
	struct mesh__outlier outlier = built_in();

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		outlier.max_ejected = rows[i].percent * 10000;
		assert_int_equal(mesh__outlier_most(&outlier, rows[i].n), rows[i].most);
	}
}

/* What each event makes of each state. */
static void an_event_that_its_state_does_not_know_changes_nothing(void **state)
{
	static const struct {
		enum mesh__ejection_state from;
		enum mesh__ejection_event event;
		bool changes;
		enum mesh__ejection_state to;
	} rows[] = {
		{MESH__EJECTION_IN, MESH__EJECTION_FAILED, true, MESH__EJECTION_OUT},
		{MESH__EJECTION_IN, MESH__EJECTION_OUTLYING, true, MESH__EJECTION_OUT},
		{MESH__EJECTION_IN, MESH__EJECTION_SERVED, false, MESH__EJECTION_IN},
		{MESH__EJECTION_IN, MESH__EJECTION_INTERVAL, false, MESH__EJECTION_IN},
		{MESH__EJECTION_OUT, MESH__EJECTION_OUTLYING, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_OUT, MESH__EJECTION_SERVED, false, MESH__EJECTION_OUT}, /* no rate has put it out */
		{MESH__EJECTION_OUT, MESH__EJECTION_INTERVAL, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_PROBED, MESH__EJECTION_OUTLYING, false, MESH__EJECTION_PROBED},
		{MESH__EJECTION_PROBED, MESH__EJECTION_SERVED, false, MESH__EJECTION_PROBED},
		{MESH__EJECTION_IN, MESH__EJECTION_PROBE, false, MESH__EJECTION_IN},
		{MESH__EJECTION_IN, MESH__EJECTION_PROBE_PASSED, false, MESH__EJECTION_IN},
		{MESH__EJECTION_IN, MESH__EJECTION_PROBE_FAILED, false, MESH__EJECTION_IN},
		{MESH__EJECTION_IN, MESH__EJECTION_PROBE_UNTOLD, false, MESH__EJECTION_IN},
		{MESH__EJECTION_IN, MESH__EJECTION_ENDED, false, MESH__EJECTION_IN},
		{MESH__EJECTION_OUT, MESH__EJECTION_FAILED, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_OUT, MESH__EJECTION_PROBE, true, MESH__EJECTION_PROBED},
		{MESH__EJECTION_OUT, MESH__EJECTION_PROBE_PASSED, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_OUT, MESH__EJECTION_PROBE_FAILED, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_OUT, MESH__EJECTION_PROBE_UNTOLD, false, MESH__EJECTION_OUT},
		{MESH__EJECTION_OUT, MESH__EJECTION_ENDED, true, MESH__EJECTION_IN},
		{MESH__EJECTION_PROBED, MESH__EJECTION_FAILED, false, MESH__EJECTION_PROBED},
		{MESH__EJECTION_PROBED, MESH__EJECTION_PROBE, false, MESH__EJECTION_PROBED},
		{MESH__EJECTION_PROBED, MESH__EJECTION_PROBE_PASSED, true, MESH__EJECTION_IN},
		{MESH__EJECTION_PROBED, MESH__EJECTION_PROBE_FAILED, true, MESH__EJECTION_OUT},
		{MESH__EJECTION_PROBED, MESH__EJECTION_PROBE_UNTOLD, true, MESH__EJECTION_OUT},
		{MESH__EJECTION_PROBED, MESH__EJECTION_ENDED, true, MESH__EJECTION_IN},
	};
	struct mesh__outlier outlier = built_in();

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__ejection e = {.state = rows[i].from};
		assert_int_equal(mesh__ejection_step(&e, rows[i].event, &outlier, START_US, 0), rows[i].changes);
		assert_int_equal(e.state, rows[i].to);
	}
}

static void it_is_out_for_the_base_and_probed_no_earlier(void **state)
{
	struct mesh__outlier outlier = built_in();
	struct mesh__ejection e = {.state = MESH__EJECTION_IN};

	(void)state;
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_FAILED, &outlier, START_US, UINT64_MAX));
	assert_int_equal(e.length_us, SECOND_US); /* nothing at random: that is for those that a probe prolongs */
	assert_false(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, START_US + SECOND_US - 1, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, START_US + SECOND_US, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE_PASSED, &outlier, START_US + SECOND_US, 0));
	assert_int_equal(e.state, MESH__EJECTION_IN);
}

/* Its probe fails, `draw` times over; returns the length of each ejection. */
static int64_t after_failed_probes(const struct mesh__outlier *outlier, int failed, uint64_t draw, struct mesh__ejection *e)
{
	int64_t now_us = START_US;

	*e = (struct mesh__ejection){.state = MESH__EJECTION_IN};
	assert_true(mesh__ejection_step(e, MESH__EJECTION_FAILED, outlier, now_us, draw));
	for (int i = 0; i < failed; i++) {
		now_us = e->until_us;
		assert_true(mesh__ejection_step(e, MESH__EJECTION_PROBE, outlier, now_us, draw));
		assert_true(mesh__ejection_step(e, MESH__EJECTION_PROBE_FAILED, outlier, now_us, draw));
		assert_int_equal(e->until_us, now_us + e->length_us);
	}
	return e->length_us;
}

static void each_failed_probe_doubles_the_penalty_to_a_minute_and_adds_up_to_half_at_random(void **state)
{
	static const int64_t seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
	struct mesh__outlier outlier = built_in();
	struct mesh__ejection e;

	(void)state;
	for (int i = 0; i < (int)MESH__COUNT(seconds); i++) {
		int64_t us = seconds[i] * SECOND_US;
		assert_int_equal(after_failed_probes(&outlier, i, 0, &e), us);
		assert_int_equal(after_failed_probes(&outlier, i, (uint64_t)us / 2, &e), i == 0 ? us : us + us / 2);
		assert_int_equal(after_failed_probes(&outlier, i, (uint64_t)us / 2 + 1, &e), us);
		assert_in_range(after_failed_probes(&outlier, i, UINT64_MAX, &e), us, us + us / 2);
	}
	assert_int_equal(after_failed_probes(&outlier, 1000, 0, &e), 60 * SECOND_US);
}

static void the_longest_holds_also_where_the_base_is_longer(void **state)
{
	struct mesh__outlier outlier = built_in();
	struct mesh__ejection e;

	(void)state;
	outlier.base_ejection_ms = 5000;
	outlier.max_ejection_ms = 3000;
	assert_int_equal(after_failed_probes(&outlier, 0, 0, &e), 3 * SECOND_US);
	assert_int_equal(after_failed_probes(&outlier, 3, 0, &e), 3 * SECOND_US);
}

static void success_forgets_what_came_before_and_a_probe_that_says_nothing_leaves_it_as_it_was(void **state)
{
	struct mesh__outlier outlier = built_in();
	struct mesh__ejection e;
	int64_t now_us;

	(void)state;
	(void)after_failed_probes(&outlier, 3, 0, &e);
	now_us = e.until_us;
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, now_us, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE_UNTOLD, &outlier, now_us + 5, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, now_us + 5, 0)); /* at once, by the next */
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE_FAILED, &outlier, now_us + 5, 0));
	assert_int_equal(e.length_us, 16 * SECOND_US); /* as if the one between had not been */
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, e.until_us, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE_PASSED, &outlier, e.until_us, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_FAILED, &outlier, now_us, 0));
	assert_int_equal(e.length_us, SECOND_US);
}

/* ---- Rates ---- */

enum { HOSTS_MAX = 10 };

/* A letter each: who is out by the rule ('x'), and who is not ('.'). */
struct crowd {
	enum mesh__outlier_rate rate;
	const char *out;
	struct mesh__outlier_window windows[HOSTS_MAX];
	struct mesh__outlier_rate_rule rule;
};

static void check_crowd(const struct crowd *row)
{
	struct mesh__outlier_crowd crowd = {0};

	for (size_t i = 0; row->out[i] != '\0'; i++) {
		mesh__outlier_crowd_add(&crowd, &row->rule, row->windows[i]);
	}
	for (size_t i = 0; row->out[i] != '\0'; i++) {
		assert_int_equal(mesh__outlier_is_out(row->rate, &row->rule, &crowd, row->windows[i]), row->out[i] == 'x');
	}
}

static void by_success_rate_who_is_clearly_under_the_mean_of_enough_hosts_is_out(void **state)
{
	/* Of four at 100% and one at 0% the mean is 80%, and the deviation 40%: that one is two deviations off. */
	static const struct crowd rows[] = {
		{MESH__OUTLIER_SUCCESS_RATE, "....x", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}}, {true, 19000, 5, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, "....x", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}}, {true, 19999, 5, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, ".....", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}}, {true, 20000, 5, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, ".....", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}}, {false, 19000, 5, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, ".....", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}}, {true, 19000, 6, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, ".....", {{10, 0}, {10, 0}, {10, 0}, {9, 0}, {10, 10}}, {true, 19000, 5, 10, 1}}, /* four with enough requests */
		{MESH__OUTLIER_SUCCESS_RATE, "....x.", {{10, 0}, {10, 0}, {10, 0}, {10, 0}, {10, 10}, {9, 9}}, {true, 19000, 5, 10, 1}},
		{MESH__OUTLIER_SUCCESS_RATE, "....", {{10, 5}, {10, 0}, {10, 0}, {10, 0}}, {true, 19000, 4, 10, 1}}, /* sqrt(3) deviations off */
		{MESH__OUTLIER_SUCCESS_RATE, ".x....", {{1000, 10}, {1000, 30}, {1000, 10}, {1000, 10}, {1000, 10}, {1000, 10}}, {true, 19000, 5, 10, 1}}, /* not bad, but the worst */
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		check_crowd(&rows[i]);
	}
}

static void equal_rates_eject_nobody_whatever_they_are(void **state)
{
	(void)state;
	for (uint32_t requests = 1; requests <= 60; requests++) {
		for (uint32_t failures = 0; failures <= requests; failures++) {
			struct crowd row = {MESH__OUTLIER_SUCCESS_RATE, "..........", {{0, 0}}, {true, 1, 5, 1, 1}};
			for (uint32_t i = 0; i < HOSTS_MAX; i++) { /* 1/3, 2/6, 3/9 …: equal, each rounded from another division */
				row.windows[i] = (struct mesh__outlier_window){requests * (i + 1), failures * (i + 1)};
			}
			check_crowd(&row);
		}
	}
}

static void by_failure_percentage_who_is_over_the_threshold_is_out_however_the_others_are(void **state)
{
	static const struct crowd rows[] = {
		{MESH__OUTLIER_FAILURE_PERCENT, ".x...", {{100, 85}, {100, 86}, {100, 0}, {100, 0}, {100, 50}}, {true, 850000, 5, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, "xx", {{100, 100}, {100, 100}}, {true, 850000, 2, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, "..", {{100, 100}, {100, 100}}, {true, 850000, 3, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, "..", {{100, 100}, {49, 49}}, {true, 850000, 2, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, ".x", {{100, 0}, {100, 1}}, {true, 0, 2, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, "..", {{100, 100}, {100, 100}}, {false, 850000, 2, 50, 1}},
		{MESH__OUTLIER_FAILURE_PERCENT, "x.", {{UINT32_MAX, UINT32_MAX}, {UINT32_MAX, 0}}, {true, 999999, 2, 50, 1}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		check_crowd(&rows[i]);
	}
}

static void by_a_rate_it_is_out_once_more_the_base_each_time_comes_back_unprobed_and_a_clean_interval_takes_one_off(void **state)
{
	struct mesh__outlier outlier = built_in();
	struct mesh__ejection e = {.state = MESH__EJECTION_IN};
	int64_t now_us = START_US;

	(void)state;
	for (int times = 1; times <= 3; times++) {
		assert_true(mesh__ejection_step(&e, MESH__EJECTION_OUTLYING, &outlier, now_us, 0));
		assert_int_equal(e.length_us, times * SECOND_US);
		assert_int_equal(e.until_us, now_us + times * SECOND_US);
		assert_false(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, e.until_us, 0));
		assert_false(mesh__ejection_step(&e, MESH__EJECTION_SERVED, &outlier, e.until_us - 1, 0));
		assert_true(mesh__ejection_step(&e, MESH__EJECTION_SERVED, &outlier, e.until_us, 0));
		assert_int_equal(e.state, MESH__EJECTION_IN);
		now_us += 10 * SECOND_US;
	}
	(void)mesh__ejection_step(&e, MESH__EJECTION_INTERVAL, &outlier, now_us, 0); /* it was out in it */
	assert_int_equal(e.times, 3);
	(void)mesh__ejection_step(&e, MESH__EJECTION_INTERVAL, &outlier, now_us, 0);
	assert_int_equal(e.times, 2);
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_FAILED, &outlier, now_us, 0)); /* in a row: the base, and a probe */
	assert_int_equal(e.length_us, SECOND_US);
	(void)mesh__ejection_step(&e, MESH__EJECTION_INTERVAL, &outlier, now_us, 0);
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE, &outlier, e.until_us, 0));
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_PROBE_PASSED, &outlier, e.until_us, 0));
	assert_int_equal(e.times, 2);
	for (int i = 0; i < 5; i++) {
		(void)mesh__ejection_step(&e, MESH__EJECTION_INTERVAL, &outlier, now_us, 0);
	}
	assert_int_equal(e.times, 0);
	outlier.max_ejection_ms = 500;
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_OUTLYING, &outlier, now_us, 0));
	assert_int_equal(e.length_us, SECOND_US / 2);
	assert_true(mesh__ejection_step(&e, MESH__EJECTION_ENDED, &outlier, now_us, 0));
	assert_int_equal(e.times, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_more_than_the_share_but_always_one),
		cmocka_unit_test(an_event_that_its_state_does_not_know_changes_nothing),
		cmocka_unit_test(it_is_out_for_the_base_and_probed_no_earlier),
		cmocka_unit_test(each_failed_probe_doubles_the_penalty_to_a_minute_and_adds_up_to_half_at_random),
		cmocka_unit_test(the_longest_holds_also_where_the_base_is_longer),
		cmocka_unit_test(by_success_rate_who_is_clearly_under_the_mean_of_enough_hosts_is_out),
		cmocka_unit_test(equal_rates_eject_nobody_whatever_they_are),
		cmocka_unit_test(by_failure_percentage_who_is_over_the_threshold_is_out_however_the_others_are),
		cmocka_unit_test(by_a_rate_it_is_out_once_more_the_base_each_time_comes_back_unprobed_and_a_clean_interval_takes_one_off),
		cmocka_unit_test(success_forgets_what_came_before_and_a_probe_that_says_nothing_leaves_it_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
