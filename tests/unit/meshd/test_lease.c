#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshd/lease.h"

static const struct {
	int64_t started, renewed, now;
	bool ended, expiring;
} cases[] = {
	{0, 0, 0, false, false},
	{0, 0, 6000, false, false},
	{0, 0, 6001, false, true},
	{0, 0, 10000, false, true},      /* within the grace after the start */
	{0, 0, 29999, false, true},
	{0, 0, 30000, true, true},
	{0, 25000, 30000, false, false}, /* it came back in time */
	{0, 100000, 109999, false, true},
	{0, 100000, 110000, true, true},
	{500000, 100000, 529999, false, true},
	{500000, 100000, 530000, true, true},
};

static void ends_after_ten_silent_seconds_and_never_within_the_grace(void **state)
{
	struct meshd_lease_rules rules;

	(void)state;
	meshd_lease_rules_default(&rules);
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		assert_int_equal(meshd_lease_ended(&rules, cases[i].started, cases[i].renewed, cases[i].now), cases[i].ended);
		assert_int_equal(meshd_lease_expiring(&rules, cases[i].renewed, cases[i].now), cases[i].expiring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_after_ten_silent_seconds_and_never_within_the_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
