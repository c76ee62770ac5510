#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/load.h"
#include "meshctl/stats.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "wire/json.h"

static void percentiles_are_exact_by_nearest_rank(void **state)
{
	static const struct {
		size_t n;
		double p50, p90, p99, max;
	} rows[] = {
		{1, 1, 1, 1, 1}, {2, 1, 2, 2, 2}, {3, 2, 3, 3, 3}, {10, 5, 9, 10, 10}, {11, 6, 10, 11, 11}, {100, 50, 90, 99, 100}, {101, 51, 91, 100, 101}, {1000, 500, 900, 990, 1000},
	};
	int64_t times_us[1000];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct ctl_latency latency;
		for (size_t k = 0; k < rows[i].n; k++) {
			times_us[k] = (int64_t)(rows[i].n - k) * 1000; /* the worst order */
		}
		ctl_latency_of(times_us, rows[i].n, &latency);
		assert_true(latency.p50 == rows[i].p50);
		assert_true(latency.p90 == rows[i].p90);
		assert_true(latency.p99 == rows[i].p99);
		assert_true(latency.max == rows[i].max);
	}
}

static void no_calls_have_no_latency(void **state)
{
	struct ctl_latency latency;

	(void)state;
	ctl_latency_of(NULL, 0, &latency);
	assert_true(latency.p50 == 0 && latency.p90 == 0 && latency.p99 == 0 && latency.max == 0);
}

static void add_some(struct ctl_stats *stats)
{
	static const struct ctl_outcome outcomes[] = {
		{MESH_OK, 200, 1, "b2", "v1"}, {MESH_OK, 204, 1, "a1", "v2"}, {MESH_OK, 302, 2, "a1", "v2"}, {MESH_OK, 404, 1, "a1", NULL},
		{MESH_OK, 503, 3, "b2", "v1"}, {MESH_E_TIMEOUT, 0, 2, NULL, NULL}, {MESH_E_RESET, 0, 1, NULL, NULL}, {MESH_E_RESET, 0, 1, NULL, NULL},
	};

	for (size_t i = 0; i < MESH__COUNT(outcomes); i++) {
		assert_true(ctl_stats_add(stats, &outcomes[i]));
	}
}

static const char expected[] =
	"{\"calls\":8,\"ok\":3,\"failed\":5,\"status\":{\"200\":1,\"204\":1,\"302\":1,\"404\":1,\"503\":1},\"errors\":{\"MESH_E_TIMEOUT\":1,\"MESH_E_RESET\":2},"
	"\"instances\":{\"a1\":3,\"b2\":2},\"versions\":{\"v1\":2,\"v2\":2},\"tries\":12,\"latencyMs\":{\"p50\":1.000,\"p90\":2.000,\"p99\":3.000,\"max\":4.500},\"seconds\":0.250}\n";

static void writes_the_object_that_scripts_rely_on(void **state)
{
	static const struct ctl_latency latency = {1, 2, 3, 4.5};
	struct fake_env fake;
	struct ctl_stats stats;
	struct mesh__buf out;

	(void)state;
	fake_env_init(&fake);
	ctl_stats_init(&stats, &fake.env);
	mesh__buf_init(&out, &fake.env.mem, 65536);
	add_some(&stats);
	ctl_stats_json(&stats, &latency, 0.25, &out);
	assert_string_equal(out.data, expected);
	mesh__buf_fini(&out);
	ctl_stats_fini(&stats);
}

static void adds_up_what_threads_counted(void **state)
{
	static const struct ctl_latency latency = {1, 2, 3, 4};
	struct fake_env fake;
	struct ctl_stats once, sum, part;
	struct mesh__buf a, b;

	(void)state;
	fake_env_init(&fake);
	ctl_stats_init(&once, &fake.env);
	ctl_stats_init(&sum, &fake.env);
	ctl_stats_init(&part, &fake.env);
	add_some(&once);
	add_some(&once);
	add_some(&part);
	assert_true(ctl_stats_merge(&sum, &part));
	assert_true(ctl_stats_merge(&sum, &part));
	mesh__buf_init(&a, &fake.env.mem, 65536);
	mesh__buf_init(&b, &fake.env.mem, 65536);
	ctl_stats_json(&once, &latency, 1, &a);
	ctl_stats_json(&sum, &latency, 1, &b);
	assert_string_equal(a.data, b.data);
	mesh__buf_fini(&a);
	mesh__buf_fini(&b);
	ctl_stats_fini(&once);
	ctl_stats_fini(&sum);
	ctl_stats_fini(&part);
}

static void text_names_every_count(void **state)
{
	static const struct ctl_latency latency = {1, 2, 3, 4.5};
	static const char *const parts[] = {"8 calls in 0.25 s (32 a second): 3 ok, 5 failed, 12 tries", "p99 3.000 ms",
		"MESH_E_RESET", "404", "a1", "(37.5 %)", "v2"};
	struct fake_env fake;
	struct ctl_stats stats;
	struct mesh__buf out;

	(void)state;
	fake_env_init(&fake);
	ctl_stats_init(&stats, &fake.env);
	mesh__buf_init(&out, &fake.env.mem, 65536);
	add_some(&stats);
	ctl_stats_text(&stats, &latency, 0.25, &out);
	for (size_t i = 0; i < MESH__COUNT(parts); i++) {
		assert_non_null(strstr(out.data, parts[i]));
	}
	mesh__buf_fini(&out);
	ctl_stats_fini(&stats);
}

static void counts_what_no_table_has_room_for(void **state)
{
	static const struct ctl_outcome odd[] = {{9999, 0, 1, NULL, NULL}, {-1, 0, 1, NULL, NULL},
		{MESH_OK, 999, 1, "", ""}, {MESH_OK, -5, 1, NULL, NULL}};
	struct fake_env fake;
	struct ctl_stats stats;

	(void)state;
	fake_env_init(&fake);
	ctl_stats_init(&stats, &fake.env);
	for (size_t i = 0; i < MESH__COUNT(odd); i++) {
		assert_true(ctl_stats_add(&stats, &odd[i]));
	}
	assert_int_equal(stats.calls, 4);
	assert_int_equal(stats.failed, 4);
	assert_int_equal(stats.instances.n, 0);
	ctl_stats_fini(&stats);
}

static void survives_every_failing_allocation(void **state)
{
	static const struct ctl_outcome outcome = {MESH_OK, 200, 1, "a1", "v1"};
	static const struct ctl_latency latency = {1, 1, 1, 1};

	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct fake_env fake;
		struct fail_mem f;
		struct ctl_stats stats, sum;
		struct mesh__buf out;
		fail_mem_init(&f);
		fake_env_init(&fake);
		fake.env.mem = f.mem;
		fail_mem_next(&f, n);
		ctl_stats_init(&stats, &fake.env);
		ctl_stats_init(&sum, &fake.env);
		mesh__buf_init(&out, &fake.env.mem, 65536);
		(void)!ctl_stats_add(&stats, &outcome);
		(void)!ctl_stats_merge(&sum, &stats);
		ctl_stats_json(&sum, &latency, 1, &out);
		assert_int_equal(sum.calls, 1);
		done = f.count < n;
		mesh__buf_fini(&out);
		ctl_stats_fini(&stats);
		ctl_stats_fini(&sum);
		assert_int_equal(f.live, 0);
	}
}

static void a_rate_spaces_calls_evenly(void **state)
{
	static const struct {
		int64_t index, rate_thousandths, due_us;
	} rows[] = {
		{0, 10000, 0}, {1, 10000, 100000}, {600, 10000, 60000000}, {1, 500, 2000000}, {1000000, 1000000000, 1000000}, {5, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(ctl_load_due_us(rows[i].index, rows[i].rate_thousandths), rows[i].due_us);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_exact_by_nearest_rank),
		cmocka_unit_test(no_calls_have_no_latency),
		cmocka_unit_test(writes_the_object_that_scripts_rely_on),
		cmocka_unit_test(adds_up_what_threads_counted),
		cmocka_unit_test(text_names_every_count),
		cmocka_unit_test(counts_what_no_table_has_room_for),
		cmocka_unit_test(survives_every_failing_allocation),
		cmocka_unit_test(a_rate_spaces_calls_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
