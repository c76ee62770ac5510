#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/attr.h"
#include "policy/budget.h"

enum { SECOND_US = 1000000 };

static const struct mesh__retry_budget a_fifth = {.share = 200000, .window_ms = 10000};

static int64_t withdraw_all(struct mesh__budget *b, const struct mesh__retry_budget *rule, int64_t now_us)
{
	int64_t n = 0;

	while (mesh__budget_withdraw(b, rule, now_us)) {
		assert_true(n < 1000000);
		n++;
	}
	assert_false(mesh__budget_has(b, rule, now_us));
	return n;
}

static void deposit(struct mesh__budget *b, const struct mesh__retry_budget *rule, int32_t n, int64_t now_us)
{
	for (int32_t i = 0; i < n; i++) {
		mesh__budget_deposit(b, rule, now_us);
	}
}

static void there_are_so_many_percent_of_the_calls_and_the_floor(void **state)
{
	static const struct {
		int32_t share, min_per_second;
		int64_t window_ms;
		int32_t calls;
		int64_t retries;
	} rows[] = {
		{200000, 0, 10000, 0, 0}, {200000, 0, 10000, 4, 0}, {200000, 0, 10000, 5, 1}, {200000, 0, 10000, 9, 1}, {200000, 0, 10000, 1000, 200},
		{200000, 10, 10000, 0, 100}, {200000, 10, 10000, 50, 110}, /* the floor is there besides, from the first call on */
		{0, 10, 10000, 1000, 100}, {0, 0, 10000, 1000, 0},           /* 0%: the floor alone */
		{0, 1, 1000, 7, 1}, {0, 1, 1500, 7, 1}, {0, 1, 2000, 7, 2},
		{1000000, 0, 10000, 7, 7}, {15000, 0, 10000, 200, 3}, {1, 0, 10000, 999, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__retry_budget rule = {.share = rows[i].share, .min_per_second = rows[i].min_per_second, .window_ms = rows[i].window_ms};
		struct mesh__budget b;
		memset(&b, 0, sizeof(b));
		deposit(&b, &rule, rows[i].calls, 77 * SECOND_US);
		assert_int_equal(withdraw_all(&b, &rule, 77 * SECOND_US), rows[i].retries);
	}
}

static void a_call_counts_for_a_window_and_so_does_a_retry(void **state)
{
	struct mesh__budget b;

	(void)state;
	memset(&b, 0, sizeof(b));
	deposit(&b, &a_fifth, 100, 0);
	assert_int_equal(withdraw_all(&b, &a_fifth, 5 * SECOND_US), 20);
	assert_int_equal(withdraw_all(&b, &a_fifth, 9 * SECOND_US + 999999), 0);
	deposit(&b, &a_fifth, 100, 10 * SECOND_US); /* the calls of second 0 are forgotten, not yet the retries of second 5 */
	assert_int_equal(withdraw_all(&b, &a_fifth, 10 * SECOND_US), 0);
	assert_int_equal(withdraw_all(&b, &a_fifth, 14 * SECOND_US + 999999), 0);
	assert_int_equal(withdraw_all(&b, &a_fifth, 15 * SECOND_US), 20);
	assert_int_equal(withdraw_all(&b, &a_fifth, 1000 * (int64_t)SECOND_US), 0);
}

/* Whatever the pace, and wherever the slices end. */
static void over_time_retries_are_never_more_than_the_share(void **state)
{
	static const int64_t steps_us[] = {1000, 37000, 999999, 1000001, 4300000};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(steps_us); i++) {
		struct mesh__budget b;
		int64_t calls = 0, retries = 0;
		memset(&b, 0, sizeof(b));
		for (int64_t now_us = 0; calls < 20000; now_us += steps_us[i]) {
			mesh__budget_deposit(&b, &a_fifth, now_us);
			calls++;
			retries += withdraw_all(&b, &a_fifth, now_us + steps_us[i] / 2);
			assert_true(retries * 5 <= calls);
		}
		/* A slow caller's calls are forgotten before they make up a whole retry. */
		assert_true(steps_us[i] > 100000 || retries * 5 > calls / 20 * 19);
	}
}

static void another_rule_counts_what_was_counted_and_another_window_begins_anew(void **state)
{
	struct mesh__retry_budget half = {.share = 500000, .window_ms = 10000}, longer = {.share = 500000, .window_ms = 60000};
	struct mesh__budget b;

	(void)state;
	memset(&b, 0, sizeof(b));
	deposit(&b, &a_fifth, 100, 777 * (int64_t)SECOND_US);
	assert_int_equal(withdraw_all(&b, &a_fifth, 777 * (int64_t)SECOND_US), 20);
	assert_int_equal(withdraw_all(&b, &half, 777 * (int64_t)SECOND_US), 30);
	assert_int_equal(withdraw_all(&b, &a_fifth, 777 * (int64_t)SECOND_US), 0);
	assert_int_equal(withdraw_all(&b, &longer, 778 * (int64_t)SECOND_US), 0);
	for (int32_t round = 0; round < 30; round++) { /* each slice is taken over, whatever number it had */
		deposit(&b, &longer, 10, (779 + 6 * round) * (int64_t)SECOND_US);
		assert_int_equal(withdraw_all(&b, &longer, (779 + 6 * round) * (int64_t)SECOND_US), 5);
	}
}

enum { THREADS = 4, CALLS_EACH = 20000 };

struct crowd {
	struct mesh__budget budget;
	_Atomic int64_t now_us, retries;
};

static void *call_and_retry(void *arg)
{
	struct crowd *c = arg;

	for (int32_t i = 0; i < CALLS_EACH; i++) {
		int64_t now_us = atomic_fetch_add(&c->now_us, 5);
		mesh__budget_deposit(&c->budget, &a_fifth, now_us);
		while (mesh__budget_withdraw(&c->budget, &a_fifth, now_us)) {
			atomic_fetch_add(&c->retries, 1);
		}
	}
	return NULL;
}

static void threads_together_get_no_more_than_one_alone(void **state)
{
	struct crowd c;
	pthread_t threads[THREADS];

	(void)state;
	memset(&c, 0, sizeof(c));
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, call_and_retry, &c), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_true(c.retries <= THREADS * CALLS_EACH / 5);
	assert_true(c.retries >= THREADS * CALLS_EACH / 5 - THREADS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_are_so_many_percent_of_the_calls_and_the_floor),
		cmocka_unit_test(a_call_counts_for_a_window_and_so_does_a_retry),
		cmocka_unit_test(over_time_retries_are_never_more_than_the_share),
		cmocka_unit_test(another_rule_counts_what_was_counted_and_another_window_begins_anew),
		cmocka_unit_test(threads_together_get_no_more_than_one_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
