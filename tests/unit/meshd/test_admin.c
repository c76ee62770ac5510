#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meshd/admin.h"
#include "meshd/identity.h"

static void threat_23_only_names_of_this_machine_are_hosts(void **state)
{
	static const struct {
		const char *host;
		bool valid;
	} cases[] = {
		{"127.0.0.1:7441", true},
		{"127.8.9.10:7441", true},
		{"[::1]:7441", true},
		{"localhost:7441", true},
		{"localhost:7442", false},
		{"127.0.0.1:80", false},
		{"127.0.0.1", false},
		{"localhost", false},
		{"evil.example:7441", false},
		{"localhost.evil.example:7441", false},
		{"127.0.0.1.evil.example:7441", false},
		{"10.0.0.1:7441", false},
		{"0.0.0.0:7441", false},
		{"[::ffff:10.0.0.1]:7441", false},
		{"localhost:7441@evil.example", false},
		{"localhost:07441", false},
		{"", false},
		{NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		assert_int_equal(meshd_admin_host_valid(cases[i].host, 7441), cases[i].valid);
	}
}

static void threat_23_only_its_own_page_is_an_origin(void **state)
{
	static const struct {
		const char *origin;
		bool valid;
	} cases[] = {
		{NULL, true},
		{"http://127.0.0.1:7441", true},
		{"https://127.0.0.1:7441", false},
		{"http://127.0.0.1:7442", false},
		{"http://127.0.0.1:7441.evil.example", false},
		{"http://evil.example", false},
		{"null", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		assert_int_equal(meshd_admin_origin_valid(cases[i].origin, "127.0.0.1:7441"), cases[i].valid);
	}
}

static void meshd_renews_between_25_and_45_percent_of_its_leafs_life(void **state)
{
	(void)state;
	for (uint64_t dice = 0; dice < 5000; dice += 7) {
		int64_t in = meshd_identity_renew_in(10000, dice);

		assert_in_range(in, 2500, 4500);
	}
	assert_int_equal(meshd_identity_renew_in(10000, 0), 2500);
	assert_int_equal(meshd_identity_renew_in(10000, 2000), 4500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_23_only_names_of_this_machine_are_hosts),
		cmocka_unit_test(threat_23_only_its_own_page_is_an_origin),
		cmocka_unit_test(meshd_renews_between_25_and_45_percent_of_its_leafs_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
