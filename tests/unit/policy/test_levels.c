/* How calls are shared among levels, and when health is looked at no longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/levels.h"
#include "policy/service.h"

/* The tables of Envoy's documentation, "Priority levels": percent of each level's endpoints that are healthy, and percent of the calls. */
static void the_share_of_each_level_is_that_of_envoys_tables(void **state)
{
	static const struct {
		size_t n;
		uint32_t healthy[3], load[3];
	} rows[] = {
		{2, {100, 100}, {100, 0}}, {2, {72, 100}, {100, 0}}, {2, {71, 100}, {99, 1}}, {2, {50, 100}, {70, 30}}, {2, {25, 100}, {35, 65}}, {2, {0, 100}, {0, 100}},
		{2, {72, 72}, {100, 0}}, {2, {71, 71}, {99, 1}}, {2, {50, 50}, {70, 30}}, {2, {25, 25}, {50, 50}},
		{3, {100, 100, 100}, {100, 0, 0}}, {3, {72, 72, 100}, {100, 0, 0}}, {3, {71, 71, 100}, {99, 1, 0}}, {3, {50, 50, 100}, {70, 30, 0}}, {3, {25, 100, 100}, {35, 65, 0}},
		{3, {25, 25, 100}, {35, 35, 30}}, {3, {25, 25, 20}, {36, 36, 28}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__level levels[3];
		uint32_t load[3];
		for (size_t k = 0; k < rows[i].n; k++) {
			levels[k] = (struct mesh__level){.n = 100, .healthy = rows[i].healthy[k]};
		}
		mesh__levels_load(levels, rows[i].n, load);
		for (size_t k = 0; k < rows[i].n; k++) {
			if (load[k] != rows[i].load[k]) {
				fail_msg("row %zu, level %zu: %u, not %u", i, k, load[k], rows[i].load[k]);
			}
		}
	}
}

static void health_is_140_percent_of_the_healthy_share_in_whole_percent(void **state)
{
	static const struct {
		struct mesh__level level;
		uint32_t health;
	} rows[] = {
		{{0, 0}, 0}, {{1, 0}, 0}, {{1, 1}, 100}, {{4, 4}, 100}, {{4, 3}, 100}, {{4, 2}, 70}, {{4, 1}, 35}, {{3, 2}, 93}, {{3, 1}, 46}, {{7, 5}, 100}, {{1000000, 714285}, 99}, {{1000000, 714286}, 100},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__level_health(rows[i].level), rows[i].health);
	}
}

static void the_shares_are_of_100_whatever_is_healthy_and_of_nothing_where_nothing_is(void **state)
{
	(void)state;
	for (size_t a = 0; a <= 7; a++) {
		for (size_t b = 0; b <= 7; b++) {
			struct mesh__level levels[2] = {{7, a}, {7, b}};
			uint32_t load[2];
			mesh__levels_load(levels, 2, load);
			assert_int_equal(load[0] + load[1], a + b == 0 ? 0 : 100);
			assert_true((a > 0 || load[0] == 0) && (b > 0 || load[1] == 0)); /* nobody is sent where nobody is well */
		}
	}
}

static void a_level_without_endpoints_has_no_share(void **state)
{
	struct mesh__level levels[2] = {{0, 0}, {3, 1}};
	uint32_t load[2];

	(void)state;
	mesh__levels_load(levels, 2, load);
	assert_int_equal(load[0], 0);
	assert_int_equal(load[1], 100);
	levels[0] = (struct mesh__level){4, 2};
	levels[1] = (struct mesh__level){0, 0};
	mesh__levels_load(levels, 2, load);
	assert_int_equal(load[0], 100);
	assert_int_equal(load[1], 0);
}

static void panic_is_when_fewer_than_the_threshold_are_healthy(void **state)
{
	static const struct {
		struct mesh__level all;
		int32_t threshold;
		bool due;
	} rows[] = {
		{{10, 5}, MESH__WHOLE / 2, false}, {{10, 4}, MESH__WHOLE / 2, true}, {{10, 0}, MESH__WHOLE / 2, true}, {{10, 10}, MESH__WHOLE / 2, false}, {{3, 1}, MESH__WHOLE / 2, true}, {{3, 2}, MESH__WHOLE / 2, false},
		{{10, 0}, 0, false}, {{0, 0}, MESH__WHOLE / 2, false}, {{10, 7}, MESH__WHOLE, true}, {{10, 9}, MESH__WHOLE, false}, {{10, 10}, MESH__WHOLE, false}, {{1000, 0}, 1, true}, {{1000, 1}, 1, false}, {{3, 1}, 333333, false}, {{3, 1}, 333334, true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		if (mesh__panic_is_due(&rows[i].all, 1, rows[i].threshold) != rows[i].due) {
			fail_msg("row %zu", i);
		}
	}
	assert_false(mesh__panic_is_due(NULL, 0, MESH__WHOLE));
}

static void a_level_that_is_down_is_no_panic_while_the_others_can_take_all_calls(void **state)
{
	static const struct {
		struct mesh__level levels[2];
		bool due;
	} rows[] = {
		{{{4, 0}, {2, 2}}, false}, {{{8, 0}, {2, 2}}, false}, {{{100, 25}, {100, 100}}, false}, {{{100, 10}, {10, 7}}, false}, /* 14 and 98: together 100 */
		{{{100, 25}, {100, 25}}, true}, {{{4, 0}, {2, 1}}, true}, {{{4, 2}, {2, 1}}, false}, {{{0, 0}, {6, 2}}, true}, {{{6, 2}, {0, 0}}, true}, {{{4, 0}, {2, 0}}, true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		if (mesh__panic_is_due(rows[i].levels, 2, MESH__WHOLE / 2) != rows[i].due) {
			fail_msg("row %zu", i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_share_of_each_level_is_that_of_envoys_tables),
		cmocka_unit_test(health_is_140_percent_of_the_healthy_share_in_whole_percent),
		cmocka_unit_test(the_shares_are_of_100_whatever_is_healthy_and_of_nothing_where_nothing_is),
		cmocka_unit_test(a_level_without_endpoints_has_no_share),
		cmocka_unit_test(a_level_that_is_down_is_no_panic_while_the_others_can_take_all_calls),
		cmocka_unit_test(panic_is_when_fewer_than_the_threshold_are_healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
