#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/attr.h"
#include "policy/gcra.h"

static const int64_t second_ns = 1000000000;
static const int64_t year_ns = 31536000000000000;

static void a_limit_as_times_is_within_its_bounds_whatever_is_said(void **state)
{
	static const struct {
		int32_t per_second, burst;
		int64_t interval_ns, tolerance_ns;
	} rows[] = {
		{1000000, 50, 10000000, 490000000}, /* 100 a second */
		{5000, 1, 2000000000, 0},           /* 0.5 a second, one at a time */
		{15000, 2, 666666666, 666666666},
		{1, 1, 10000000000000, 0},          /* one in 10,000 s */
		{MESH__RATE_MOST, MESH__BURST_MOST, 5000, 4999995000},
		{1, MESH__BURST_MOST, 10000000000000, 1000000000000000000}, /* 317 years of them would be 1e19 ns */
		{9, MESH__BURST_MOST, 1111111111111, 1000000000000000000},
		{10, MESH__BURST_MOST, 1000000000000, 999999000000000000},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__gcra g = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = rows[i].per_second, .burst = rows[i].burst});
		assert_int_equal(g.interval_ns, rows[i].interval_ns);
		assert_int_equal(g.tolerance_ns, rows[i].tolerance_ns);
	}
}

static void one_request_is_decided_by_how_far_it_is_ahead(void **state)
{
	static const struct {
		int64_t interval_ns, tolerance_ns, arrival_ns, now_ns;
		bool taken;
		int64_t then_ns; /* the arrival time after it; or how long to wait */
	} rows[] = {
		{10, 40, 0, 0, true, 10},
		{10, 40, 0, 1000, true, 1010},    /* what was not used in time is not kept */
		{10, 40, 1000, 1000, true, 1010},
		{10, 40, 1001, 1000, true, 1011},
		{10, 40, 1040, 1000, true, 1050}, /* the last of the burst */
		{10, 40, 1041, 1000, false, 1},
		{10, 40, 1050, 1000, false, 10},
		{10, 40, 1050, 1009, false, 1},
		{10, 40, 1050, 1010, true, 1060}, /* the wait that was told is enough */
		{10, 40, 1000001050, 1000, false, 1000000010},
		{10, 40, 1000001051, 1000, false, 10}, /* of a slower limit that held before: no further ahead than this one's furthest */
		{10, 0, 1000, 1000, true, 1010},
		{10, 0, 1001, 1000, false, 1},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__gcra_verdict v = mesh__gcra_decide(&(struct mesh__gcra){rows[i].interval_ns, rows[i].tolerance_ns}, rows[i].arrival_ns, rows[i].now_ns);
		assert_int_equal(v.taken, rows[i].taken);
		assert_int_equal(v.taken ? v.arrival_ns : v.wait_ns, rows[i].then_ns);
	}
}

static void the_largest_values_do_not_overflow(void **state)
{
	struct mesh__gcra g = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = 1, .burst = MESH__BURST_MOST});
	int64_t now_ns = 200 * year_ns, arrival_ns = 0;

	(void)state;
	for (int i = 0; i < 100001; i++) { /* more than 1e18 ns of them: 100,000 are the bound's */
		struct mesh__gcra_verdict v = mesh__gcra_decide(&g, arrival_ns, now_ns);
		assert_true(v.taken);
		assert_true(v.arrival_ns > arrival_ns);
		arrival_ns = v.arrival_ns;
	}
	assert_false(mesh__gcra_decide(&g, arrival_ns, now_ns).taken);
	assert_int_equal(mesh__gcra_decide(&g, INT64_MAX, now_ns).wait_ns, g.interval_ns);
}

/* So many of `n` that come at the same moment are taken. */
static int taken_of(const struct mesh__gcra *g, _Atomic int64_t *arrival_ns, int n, int64_t now_ns)
{
	int taken = 0;

	while (n-- > 0) {
		taken += mesh__gcra_take(g, arrival_ns, now_ns).taken;
	}
	return taken;
}

static void a_clock_that_stands_still_gives_the_burst_and_no_more(void **state)
{
	struct mesh__gcra g = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = 1000000, .burst = 50});
	_Atomic int64_t arrival_ns = 0;

	(void)state;
	assert_int_equal(taken_of(&g, &arrival_ns, 1000, 0), 50);
	assert_int_equal(taken_of(&g, &arrival_ns, 1000, 0), 0);
	assert_int_equal(taken_of(&g, &arrival_ns, 1000, 9999999), 0);
	assert_int_equal(taken_of(&g, &arrival_ns, 1000, 10000000), 1);
	assert_int_equal(taken_of(&g, &arrival_ns, 1000, 3600 * second_ns), 50); /* an hour of nothing gives no more either */
}

/* In t seconds of more than there may be: burst + t * rate, to the request, at whatever rhythm they come. */
static void over_time_it_is_exact(void **state)
{
	static const struct {
		int32_t per_second, burst;
		int64_t every_ns, seconds, taken;
	} rows[] = {
		{1000000, 50, 1000000, 10, 1050},       /* 100 a second of 1000 a second */
		{1000000, 50, 20000000, 10, 501},       /* of fewer: all */
		{15000, 2, 1000000, 100, 152},          /* 1.5 a second */
		{30000, 2, 100000, 100, 302},           /* a third of a second is no whole number of ns: nothing is lost by it */
		{2500, 2, 50000000, 40, 12},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__gcra g = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = rows[i].per_second, .burst = rows[i].burst});
		_Atomic int64_t arrival_ns = 0;
		int64_t taken = 0;
		for (int64_t now_ns = 7 * second_ns; now_ns <= (7 + rows[i].seconds) * second_ns; now_ns += rows[i].every_ns) {
			taken += mesh__gcra_take(&g, &arrival_ns, now_ns).taken;
		}
		assert_int_equal(taken, rows[i].taken);
	}
}

static void a_new_limit_holds_at_once_whatever_the_old_one_left(void **state)
{
	struct mesh__gcra slow = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = 1, .burst = 1000}), fast = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = 1000000, .burst = 50});
	_Atomic int64_t arrival_ns = 0;

	(void)state;
	assert_int_equal(taken_of(&slow, &arrival_ns, 2000, 0), 1000); /* months ahead */
	assert_int_equal(taken_of(&fast, &arrival_ns, 1000, 0), 0);
	assert_int_equal(taken_of(&fast, &arrival_ns, 1000, second_ns / 10), 10); /* as after a burst of its own */
	assert_int_equal(taken_of(&fast, &arrival_ns, 1000, second_ns), 50);
}

enum { THREADS = 4, ASKS = 20000 };

static struct {
	struct mesh__gcra g;
	_Atomic int64_t arrival_ns;
	_Atomic int64_t clock_ns;
	_Atomic int64_t taken;
} shared;

static void *ask(void *arg)
{
	(void)arg;
	for (int i = 0; i < ASKS; i++) {
		int64_t now_ns = atomic_fetch_add(&shared.clock_ns, 1000);
		atomic_fetch_add(&shared.taken, mesh__gcra_take(&shared.g, &shared.arrival_ns, now_ns).taken);
	}
	return NULL;
}

static void threads_that_ask_at_once_get_no_more_and_no_less(void **state)
{
	pthread_t threads[THREADS];
	int64_t elapsed_ns = (int64_t)THREADS * ASKS * 1000, allowed;

	(void)state;
	shared.g = mesh__gcra_of(&(struct mesh__rate_limit){.per_second = MESH__RATE_MOST / 2, .burst = 100}); /* 100,000 a second of a million */
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	allowed = 100 + elapsed_ns / shared.g.interval_ns;
	assert_true(atomic_load(&shared.taken) <= allowed); /* never more: each is decided by what those before it left */
	assert_true(atomic_load(&shared.taken) >= allowed - allowed / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_as_times_is_within_its_bounds_whatever_is_said),
		cmocka_unit_test(one_request_is_decided_by_how_far_it_is_ahead),
		cmocka_unit_test(the_largest_values_do_not_overflow),
		cmocka_unit_test(a_clock_that_stands_still_gives_the_burst_and_no_more),
		cmocka_unit_test(over_time_it_is_exact),
		cmocka_unit_test(a_new_limit_holds_at_once_whatever_the_old_one_left),
		cmocka_unit_test(threads_that_ask_at_once_get_no_more_and_no_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
