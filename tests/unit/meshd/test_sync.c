#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meshd/sync.h"
#include "support/fake_env.h"

static struct fake_env fake;

static int setup(void **state)
{
	struct meshd_sync *sync = NULL;

	fake_env_init(&fake);
	if (meshd_sync_new(&fake.env, &sync, NULL) != MESH_OK) {
		return -1;
	}
	*state = sync;
	return 0;
}

static int teardown(void **state)
{
	meshd_sync_free(*state);
	return 0;
}

/* One client is told of a generation that was just committed at 0, and takes it after so long. */
static void take(struct meshd_sync *sync, uint64_t generation, int64_t after_us)
{
	struct meshd_sync_client client = {.n_due = 0};

	meshd_sync_told(sync, &client, generation, 3);
	meshd_sync_answered(sync, &client, generation, 3, false, after_us);
	assert_int_equal(client.n_due, 0);
}

static void percentiles_are_by_rank_and_at_most_a_sixteenth_too_long(void **state)
{
	static const int64_t sizes_us[] = {1, 63, 64, 1000, 1023, 1024, 50000, 999999, 20000000, 600000000};
	struct meshd_sync *sync = *state;

	for (size_t i = 0; i < MESH__COUNT(sizes_us); i++) {
		uint64_t generation = i + 1;
		int64_t size = sizes_us[i], p50, p99;

		meshd_sync_begin(sync, generation, 0, 0);
		for (int n = 1; n <= 98; n++) {
			take(sync, generation, size);
		}
		take(sync, generation, 5 * size);
		take(sync, generation, 10 * size);
		p50 = meshd_spread_percentile_us(meshd_sync_find(sync, generation), 50);
		p99 = meshd_spread_percentile_us(meshd_sync_find(sync, generation), 99);
		assert_true(p50 >= size && (size > 100000000 || p50 <= (size < 64 ? 68 : size + size / 16 + 1)));
		if (size < 100000000) { /* beyond the last bucket there is the longest one alone */
			assert_in_range(p99, 5 * size, size < 64 ? 5 * size + 68 : 5 * size + 5 * size / 16 + 1);
		}
		assert_int_equal(meshd_spread_percentile_us(meshd_sync_find(sync, generation), 100), 10 * size);
	}
}

static void who_has_several_records_has_answered_when_all_are(void **state)
{
	struct meshd_sync_client client = {.n_due = 0};
	struct meshd_sync *sync = *state;
	const struct meshd_spread *spread;

	meshd_sync_begin(sync, 7, 0, 0);
	spread = meshd_sync_find(sync, 7);
	for (uint64_t sequence = 4; sequence <= 6; sequence++) {
		meshd_sync_told(sync, &client, 7, sequence);
	}
	assert_int_equal(spread->told, 1);
	meshd_sync_answered(sync, &client, 7, 5, false, 10);
	meshd_sync_answered(sync, &client, 7, 9, false, 10);  /* never sent */
	meshd_sync_answered(sync, &client, 6, 4, false, 10);  /* of another generation */
	meshd_sync_answered(sync, &client, 7, 4, true, 10);
	assert_int_equal(meshd_spread_waiting(spread), 1);
	meshd_sync_answered(sync, &client, 7, 6, false, 10);
	assert_int_equal(spread->refused, 1); /* one part refused is the whole not taken */
	assert_int_equal(spread->acknowledged, 0);
	assert_int_equal(meshd_spread_waiting(spread), 0);
	assert_int_equal(meshd_spread_percentile_us(spread, 99), 0);
}

static void whoever_answers_nothing_costs_a_bounded_memory(void **state)
{
	struct meshd_sync_client client = {.n_due = 0};
	struct meshd_sync *sync = *state;

	for (uint64_t g = 1; g <= MESHD_SYNC_GENERATIONS + 10; g++) {
		meshd_sync_begin(sync, g, 0, 0);
		meshd_sync_told(sync, &client, g, g);
		assert_true(client.n_due <= MESHD_SYNC_DUE);
	}
	assert_null(meshd_sync_find(sync, 10));
	assert_int_equal(meshd_sync_find(sync, 11)->superseded, 1);
	assert_int_equal(meshd_sync_nth(sync, 0)->generation, MESHD_SYNC_GENERATIONS + 10);
	assert_int_equal(meshd_sync_nth(sync, MESHD_SYNC_DUE)->superseded, 1);
	assert_int_equal(meshd_spread_waiting(meshd_sync_nth(sync, MESHD_SYNC_DUE - 1)), 1);
	assert_null(meshd_sync_nth(sync, MESHD_SYNC_GENERATIONS));
	meshd_sync_gone(sync, &client);
	for (size_t i = 0; i < MESHD_SYNC_GENERATIONS; i++) {
		assert_int_equal(meshd_spread_waiting(meshd_sync_nth(sync, i)), 0);
	}
}

static void a_generation_of_before_the_start_is_not_followed(void **state)
{
	struct meshd_sync_client client = {.n_due = 0};
	struct meshd_sync *sync = *state;

	meshd_sync_told(sync, &client, 57, 1);
	assert_int_equal(client.n_due, 0);
	assert_null(meshd_sync_nth(sync, 0));
	meshd_sync_begin(sync, 58, 0, 0);
	assert_non_null(meshd_sync_nth(sync, 0));
	assert_null(meshd_sync_nth(sync, 1));
	assert_null(meshd_sync_find(sync, 0));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(percentiles_are_by_rank_and_at_most_a_sixteenth_too_long),
		T(who_has_several_records_has_answered_when_all_are),
		T(whoever_answers_nothing_costs_a_bounded_memory),
		T(a_generation_of_before_the_start_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
