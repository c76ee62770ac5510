#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "meshctl/upstream_check.h"

static void a_second_failure_a_moment_later_makes_it_absent(void **state)
{
	static const struct {
		bool taken, changed, ready;
		int64_t next_ms;
	} steps[] = {
		{false, false, false, 500}, /* at the start it is absent until it is there */
		{false, false, false, 500},
		{true, true, true, 3000},
		{true, false, true, 3000},
		{false, false, true, 100},  /* once is never */
		{true, false, true, 3000},
		{false, false, true, 100},
		{false, true, false, 500},
		{false, false, false, 500},
		{true, true, true, 3000},
	};
	struct ctl_health health = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(ctl_health_note(&health, steps[i].taken), steps[i].changed);
		assert_int_equal(health.ready, steps[i].ready);
		assert_int_equal(ctl_health_next_ms(&health), steps[i].next_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_second_failure_a_moment_later_makes_it_absent)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
