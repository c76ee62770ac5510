/* The concurrency limit: what one sample does; and against servers in a simulation, that it finds what they carry and goes on finding it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "policy/aimd.h"

enum { MS = 1000, SECOND = 1000 * MS };

static const struct mesh__concurrency_limit rule = {.on = true, .min = 4, .max = 1000};

static void one_sample_moves_the_limit_by_so_much(void **state)
{
	static const struct {
		int32_t limit, under_way;
		enum mesh__aimd_outcome outcome;
		int32_t then;
	} rows[] = {
		{0, 10, MESH__AIMD_WELL, 21},                                           /* the first limit is 20 */
		{100, 50, MESH__AIMD_WELL, 101}, {100, 49, MESH__AIMD_WELL, 100},       /* more is not tried of what is not used */
		{101, 50, MESH__AIMD_WELL, 101}, {101, 51, MESH__AIMD_WELL, 102},
		{1000, 1000, MESH__AIMD_WELL, 1000}, {5000, 1, MESH__AIMD_UNTOLD, 1000}, /* max, also of what another rule left */
		{100, 1, MESH__AIMD_OVERLOAD, 90}, {5, 5, MESH__AIMD_OVERLOAD, 4}, {4, 4, MESH__AIMD_OVERLOAD, 4}, {1, 1, MESH__AIMD_OVERLOAD, 4},
		{100, 100, MESH__AIMD_UNTOLD, 100},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__aimd_state s = {.limit = rows[i].limit};
		mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){rows[i].outcome, 9 * SECOND, 10 * SECOND}, rows[i].under_way);
		assert_int_equal(s.limit, rows[i].then);
	}
}

static void the_bounds_hold_whatever_they_are(void **state)
{
	static const struct mesh__concurrency_limit rules[] = {{true, 1, 1}, {true, 8, 2}, {true, 1, MESH__CONCURRENCY_MOST}, {true, MESH__CONCURRENCY_MOST, MESH__CONCURRENCY_MOST}};
	static const int32_t least[] = {1, 2, 1, MESH__CONCURRENCY_MOST}, first[] = {1, 2, 20, MESH__CONCURRENCY_MOST};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rules); i++) {
		struct mesh__aimd_state s = {.limit = 0};
		mesh__aimd_learn(&rules[i], &s, &(struct mesh__aimd_sample){MESH__AIMD_UNTOLD, 0, 0}, 1);
		assert_int_equal(s.limit, first[i]);
		for (int64_t now_us = SECOND; now_us < 200 * SECOND; now_us += SECOND) {
			mesh__aimd_learn(&rules[i], &s, &(struct mesh__aimd_sample){MESH__AIMD_OVERLOAD, now_us, now_us}, 1);
		}
		assert_int_equal(s.limit, least[i]);
	}
}

static void a_burst_of_overloads_makes_it_fall_once(void **state)
{
	struct mesh__aimd_state s = {.limit = 100};

	(void)state;
	for (int64_t i = 0; i < 100; i++) { /* all began before the first of them told */
		mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_OVERLOAD, 9 * SECOND, 10 * SECOND + i * 2 * MS}, 100);
	}
	assert_int_equal(s.limit, 90);
	mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_WELL, 9 * SECOND, 10 * SECOND + 201 * MS}, 100);
	assert_int_equal(s.limit, 90); /* nor do those make it grow */
	mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_OVERLOAD, 10 * SECOND + 1, 10 * SECOND + 202 * MS}, 100);
	assert_int_equal(s.limit, 81); /* one that began after it had fallen */
}

static void it_grows_by_one_in_the_first_round_trip_and_twice_as_often_in_each_that_goes_well(void **state)
{
	struct mesh__aimd_state s = {.limit = 100};
	int64_t now_us = 10 * SECOND;
	int32_t wanted = 90;

	(void)state;
	mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_OVERLOAD, now_us, now_us}, 100);
	for (int32_t steps = 1; steps <= 64; steps *= 2) {
		int64_t began_us = now_us;
		now_us += 100 * MS;
		for (int i = 0; i < 200; i++) { /* begun in the round before: its steps are used up, and the last ends it */
			mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_WELL, began_us - (steps > 1 ? 1 : -1), now_us - 60 * MS}, 1000);
		}
		wanted += steps;
		assert_int_equal(s.limit, wanted);
		mesh__aimd_learn(&rule, &s, &(struct mesh__aimd_sample){MESH__AIMD_WELL, now_us - 60 * MS, now_us}, 0);
	}
}

static void no_more_than_the_limit_are_let_in(void **state)
{
	static const struct mesh__concurrency_limit three = {true, 3, 3};
	struct mesh__aimd a;
	int32_t limit;

	(void)state;
	memset(&a, 0, sizeof(a));
	for (int i = 0; i < 3; i++) {
		assert_true(mesh__aimd_enter(&a, &three, &limit));
	}
	assert_false(mesh__aimd_enter(&a, &three, &limit));
	assert_int_equal(limit, 3);
	mesh__aimd_leave(&a, &three, &(struct mesh__aimd_sample){MESH__AIMD_UNTOLD, 0, 0});
	assert_true(mesh__aimd_enter(&a, &three, &limit));
	assert_false(mesh__aimd_enter(&a, &three, &limit));
}

/* ---- Against servers ---- */

enum { MOST = 1000, TRIES_A_TICK = 100 };

/* One that refuses at once what is more than `capacity`, or one with a queue, whose callers give up after the deadline. Each call takes `service_ms`. */
static struct server {
	bool queues;
	int32_t capacity, service_ms, deadline_ms;
	int32_t busy;
	int64_t free_us; /* when the queue will be empty */
} server;

static struct {
	int64_t began_us, ends_us;
	enum mesh__aimd_outcome outcome;
} calls[MOST];

static struct mesh__aimd aimd;
static int32_t n_calls, n_well;

static void begin(int64_t now_us)
{
	int64_t done_us = now_us + server.service_ms * MS;
	bool well = server.busy < server.capacity;

	if (server.queues) {
		int64_t each_us = (int64_t)server.service_ms * MS / server.capacity, free_us = server.free_us > now_us ? server.free_us : now_us;
		done_us = free_us + server.service_ms * MS;
		well = done_us <= now_us + server.deadline_ms * MS;
		server.free_us = well ? free_us + each_us : server.free_us; /* what is late is not begun */
	}
	server.busy += well;
	calls[n_calls].began_us = now_us;
	calls[n_calls].ends_us = well ? done_us : server.queues ? now_us + server.deadline_ms * MS : now_us + MS;
	calls[n_calls].outcome = well ? MESH__AIMD_WELL : MESH__AIMD_OVERLOAD;
	n_calls++;
}

static void tick(int64_t now_us)
{
	int32_t limit;

	for (int32_t i = n_calls - 1; i >= 0; i--) {
		if (calls[i].ends_us <= now_us) {
			bool well = calls[i].outcome == MESH__AIMD_WELL;
			mesh__aimd_leave(&aimd, &rule, &(struct mesh__aimd_sample){calls[i].outcome, calls[i].began_us, now_us});
			server.busy -= well;
			n_well += well;
			calls[i] = calls[--n_calls];
		}
	}
	for (int i = 0; i < TRIES_A_TICK && mesh__aimd_enter(&aimd, &rule, &limit); i++) {
		begin(now_us);
	}
}

/* Of what the server carries, in millionths, in the second that follows. */
static int64_t carried_in_a_second(int64_t *now_us)
{
	n_well = 0;
	for (int64_t end_us = *now_us + SECOND; *now_us < end_us; *now_us += MS) {
		tick(*now_us);
	}
	return (int64_t)n_well * 1000000 * server.service_ms / (server.capacity * 1000);
}

/* How many under way are all that it can take. */
static int32_t right_limit(void)
{
	return server.queues ? server.capacity * server.deadline_ms / server.service_ms : server.capacity;
}

/* From each capacity to the next: within ten seconds it is found, and from then on no second has less than four fifths of it; and in none of the others is it starved. */
static void finds(const struct server *like, const int32_t *capacities, size_t n)
{
	int64_t now_us = SECOND;

	memset(&aimd, 0, sizeof(aimd));
	n_calls = 0;
	server = *like;
	for (size_t i = 0; i < n; i++) {
		server.capacity = capacities[i];
		for (int second = 0; second < 14; second++) {
			int64_t carried = carried_in_a_second(&now_us);
			int32_t limit = atomic_load(&aimd.limit), right = right_limit();
			assert_true(carried >= 200000);
			if (second >= 10) {
				assert_true(carried >= 800000);
				assert_in_range(limit, right / 2, right * 3 / 2);
			}
		}
	}
}

static void it_finds_what_a_server_carries_that_refuses_what_is_more(void **state)
{
	static const int32_t capacities[] = {100, 20, 200, 8};

	(void)state;
	finds(&(struct server){.service_ms = 40}, capacities, MESH__COUNT(capacities));
	finds(&(struct server){.service_ms = 5}, capacities, MESH__COUNT(capacities));
}

static void it_finds_what_a_server_carries_that_queues_until_its_callers_give_up(void **state)
{
	static const int32_t capacities[] = {16, 4, 32};

	(void)state;
	finds(&(struct server){.queues = true, .service_ms = 40, .deadline_ms = 500}, capacities, MESH__COUNT(capacities));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_sample_moves_the_limit_by_so_much),
		cmocka_unit_test(the_bounds_hold_whatever_they_are),
		cmocka_unit_test(a_burst_of_overloads_makes_it_fall_once),
		cmocka_unit_test(it_grows_by_one_in_the_first_round_trip_and_twice_as_often_in_each_that_goes_well),
		cmocka_unit_test(no_more_than_the_limit_are_let_in),
		cmocka_unit_test(it_finds_what_a_server_carries_that_refuses_what_is_more),
		cmocka_unit_test(it_finds_what_a_server_carries_that_queues_until_its_callers_give_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
