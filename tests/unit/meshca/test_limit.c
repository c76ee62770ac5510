#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meshca/limit.h"

/* How many of `asked` pass at `now_us`. */
static int take(struct meshca_limit *limit, int asked, int64_t now_us)
{
	int passed = 0;

	for (int i = 0; i < asked; i++) {
		passed += meshca_limit_take(limit, now_us);
	}
	return passed;
}

static void lets_one_seconds_worth_pass_at_once(void **state)
{
	static const int64_t rates[] = {1, 3, 7, 200, 1000000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct meshca_limit limit;
		meshca_limit_init(&limit, rates[i], 5000000);
		assert_int_equal(take(&limit, (int)rates[i] + 10, 5000000), rates[i]);
	}
}

static void fills_again_with_the_time(void **state)
{
	struct meshca_limit limit;

	(void)state;
	meshca_limit_init(&limit, 200, 0);
	assert_int_equal(take(&limit, 1000, 0), 200);
	assert_int_equal(take(&limit, 10, 4999), 0);
	assert_int_equal(take(&limit, 10, 5000), 1);
	assert_int_equal(take(&limit, 1000, 505000), 100);
}

static void saves_up_no_more_than_a_second(void **state)
{
	struct meshca_limit limit;

	(void)state;
	meshca_limit_init(&limit, 10, 0);
	assert_int_equal(take(&limit, 100, INT64_C(3600000000)), 10);
	assert_int_equal(take(&limit, 100, INT64_MAX), 10);
}

static void a_refusal_costs_nothing(void **state)
{
	struct meshca_limit limit;

	(void)state;
	meshca_limit_init(&limit, 1, 0);
	assert_int_equal(take(&limit, 1, 0), 1);
	for (int64_t now_us = 1000; now_us < 1000000; now_us += 1000) {
		assert_int_equal(take(&limit, 1, now_us), 0);
	}
	assert_int_equal(take(&limit, 1, 1000000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lets_one_seconds_worth_pass_at_once),
		cmocka_unit_test(fills_again_with_the_time),
		cmocka_unit_test(saves_up_no_more_than_a_second),
		cmocka_unit_test(a_refusal_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
