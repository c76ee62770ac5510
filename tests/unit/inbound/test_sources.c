#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "inbound/sources.h"
#include "policy/gcra.h"
#include "support/fake_env.h"

enum { MANY = 100000 };

static struct fake_env fake;
static struct mesh__sources sources;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	memset(&sources, 0, sizeof(sources));
	mesh__sources_init(&sources, &fake.env);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__sources_fini(&sources);
	return 0;
}

static _Atomic int64_t *of(int i)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "spiffe://mesh.local/ns/default/svc/caller-%d", i);
	return mesh__sources_of(&sources, name);
}

static void each_caller_has_a_number_of_its_own_and_keeps_it(void **state)
{
	enum { CALLERS = 100 };

	(void)state;
	for (int i = 0; i < CALLERS; i++) {
		assert_int_equal(atomic_load(of(i)), 0);
		atomic_store(of(i), 1000 + i);
	}
	for (int i = 0; i < CALLERS; i++) {
		assert_int_equal(atomic_load(of(i)), 1000 + i);
	}
}

/* However many come, the memory is what it was, and whoever is furthest ahead is forgotten last. */
static void the_one_who_is_furthest_ahead_is_not_forgotten_for_any_number_of_others(void **state)
{
	(void)state;
	atomic_store(of(0), INT64_MAX);
	for (int i = 1; i < MANY; i++) {
		atomic_store(of(i), i);
	}
	assert_int_equal(atomic_load(of(0)), INT64_MAX);
	assert_int_not_equal(atomic_load(of(1)), 1); /* the others were */
}

/* More callers than there are places, all of whom ask as often as they can. */
static void callers_who_drive_each_other_out_have_no_more_than_if_they_shared_a_place(void **state)
{
	enum { CALLERS = 2 * MESH__SOURCE_ROWS * MESH__SOURCES_A_ROW, ROUNDS = 20, BURST = 3 };
	const struct mesh__rate_limit limit = {.per_second = 1, .burst = BURST};
	const struct mesh__gcra gcra = mesh__gcra_of(&limit);
	int64_t taken = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CALLERS; i++) {
			taken += mesh__gcra_take(&gcra, of(i), 1000).taken;
		}
	}
	assert_true(taken <= (int64_t)MESH__SOURCE_ROWS * MESH__SOURCES_A_ROW * BURST);
	assert_true(taken >= CALLERS); /* almost all rows are full */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_caller_has_a_number_of_its_own_and_keeps_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_one_who_is_furthest_ahead_is_not_forgotten_for_any_number_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(callers_who_drive_each_other_out_have_no_more_than_if_they_shared_a_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
