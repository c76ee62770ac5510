/* What hashing balancers look keys up in: made for a group, and shared with the group as it was where nothing in it has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "control/tables.h"
#include "policy/hash.h"
#include "support/alloc_fail.h"

enum { MOST = 4, KEYS = 200, SHARED_ALLOCATIONS = 2 /* a list to sort, and an order */ };

struct mesh__endpoint {
	struct mesh__hash_host host;
};

static struct mesh__endpoint a = {{"a", 1}}, b = {{"b", 1}}, c = {{"c", 2}}, d = {{"d", 1}}, heavy_b = {{"b", 3}};

static struct fail_mem mem;

static const enum mesh__balancer hashing[] = {MESH__BALANCER_RING_HASH, MESH__BALANCER_MAGLEV};

static void host(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out)
{
	*out = (struct mesh__hash_host){.key = endpoint->host.key, .weight = endpoint->host.weight};
}

static const struct mesh__endpoint_source source = {.host = host};

static int set_up(void **state)
{
	(void)state;
	fail_mem_init(&mem);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mem.live, 0);
	return 0;
}

/* The endpoints in their order, up to NULL. */
struct members {
	struct mesh__endpoint *of[MOST + 1];
};

static struct mesh__group group_of(const struct members *members)
{
	struct mesh__group group = {.endpoints = members->of};

	while (members->of[group.n] != NULL) {
		group.n++;
	}
	return group;
}

/* Prepared; *allocations: what that took. */
static struct mesh__group prepared(const struct members *members, const struct mesh__group *before, enum mesh__balancer balancer, long *allocations)
{
	struct mesh__group group = group_of(members);

	fail_mem_next(&mem, 0);
	assert_true(mesh__tables_prepare(&group, before, &source, balancer, &mem.mem));
	*allocations = mem.count;
	return group;
}

static uint32_t idle(const void *ctx, size_t i)
{
	(void)ctx;
	(void)i;
	return 0;
}

/* The id of the endpoint that the n-th key leads to. */
static const char *led_to(const struct mesh__group *group, unsigned n)
{
	const struct mesh__balance_view view = {.n = group->n, .load = idle};
	int64_t i = mesh__tables_pick(group->tables, &view, mesh__spread(n));

	assert_in_range(i, 0, group->n - 1);
	return group->endpoints[i]->host.key;
}

static void the_same_ids_and_weights_share_what_there_is_in_whatever_order_they_stand(void **state)
{
	static const struct members first = {{&c, &a, &b}}, then = {{&b, &c, &a}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(hashing); i++) {
		const char *led[KEYS];
		unsigned seen[3] = {0};
		long made, shared;
		struct mesh__group before = prepared(&first, NULL, hashing[i], &made), after = prepared(&then, &before, hashing[i], &shared);
		assert_true(made > SHARED_ALLOCATIONS);
		assert_int_equal(shared, SHARED_ALLOCATIONS);
		for (unsigned k = 0; k < KEYS; k++) {
			led[k] = led_to(&before, k);
			seen[led[k][0] - 'a']++;
		}
		assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > seen[0] && seen[2] > seen[1]); /* c weighs two */
		mesh__tables_free(before.tables); /* what is shared stays */
		for (unsigned k = 0; k < KEYS; k++) {
			assert_string_equal(led_to(&after, k), led[k]);
		}
		mesh__tables_free(after.tables);
	}
}

static void anything_else_makes_them_anew(void **state)
{
	static const struct members first = {{&a, &b, &c}};
	static const struct {
		struct members then;
		bool other_balancer;
	} rows[] = {{{{&a, &b, &d}}, false}, {{{&a, &heavy_b, &c}}, false}, {{{&a, &b}}, false}, {{{&a, &b, &c, &d}}, false}, {{{&a, &b, &c}}, true}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(hashing) * MESH__COUNT(rows); i++) {
		const struct members *then = &rows[i / 2].then;
		enum mesh__balancer now = hashing[rows[i / 2].other_balancer ? 1 - i % 2 : i % 2];
		long made, anew, alone;
		struct mesh__group before = prepared(&first, NULL, hashing[i % 2], &made), after = prepared(then, &before, now, &anew), fresh = prepared(then, NULL, now, &alone);
		assert_int_equal(anew, alone);
		assert_true(anew > SHARED_ALLOCATIONS);
		mesh__tables_free(before.tables);
		for (unsigned k = 0; k < KEYS; k++) {
			assert_string_equal(led_to(&after, k), led_to(&fresh, k)); /* as a process that knows nothing else */
		}
		mesh__tables_free(after.tables);
		mesh__tables_free(fresh.tables);
	}
}

static void a_group_that_was_hashed_and_is_empty_or_not_hashed_now_has_none(void **state)
{
	static const struct members first = {{&a, &b}}, nobody = {{NULL}};
	static const struct {
		const struct members *then;
		enum mesh__balancer balancer;
	} rows[] = {{&nobody, MESH__BALANCER_RING_HASH}, {&nobody, MESH__BALANCER_MAGLEV}, {&first, MESH__BALANCER_PEAK_EWMA}, {&first, MESH__BALANCER_LEAST_REQUEST}, {&first, MESH__BALANCER_ROUND_ROBIN}, {&first, MESH__BALANCER_RANDOM}};
	long allocations;
	struct mesh__group before = prepared(&first, NULL, MESH__BALANCER_MAGLEV, &allocations);

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__group after = prepared(rows[i].then, &before, rows[i].balancer, &allocations);
		const struct mesh__balance_view view = {.n = after.n, .load = idle};
		assert_null(after.tables);
		assert_int_equal(allocations, 0);
		assert_int_equal(mesh__tables_pick(after.tables, &view, 1), MESH__BALANCE_NONE);
		mesh__tables_free(after.tables);
	}
	mesh__tables_free(before.tables);
}

static void every_failing_allocation_leaves_the_group_without_and_the_one_before_as_it_was(void **state)
{
	static const struct members first = {{&a, &b, &c}};
	static const struct members rows[] = {{{&a, &b, &c}}, {{&a, &b, &d}}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(hashing) * MESH__COUNT(rows); i++) {
		long made, live;
		struct mesh__group before = prepared(&first, NULL, hashing[i % 2], &made);
		live = mem.live;
		for (long n = 1, done = 0; !done; n++) {
			struct mesh__group after = group_of(&rows[i / 2]);
			fail_mem_next(&mem, n);
			done = mesh__tables_prepare(&after, &before, &source, hashing[i % 2], &mem.mem);
			assert_int_equal(done, mem.count < n);
			assert_int_equal(done, after.tables != NULL);
			mesh__tables_free(after.tables);
			assert_int_equal(mem.live, live);
			(void)led_to(&before, (unsigned)n);
		}
		mesh__tables_free(before.tables);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_ids_and_weights_share_what_there_is_in_whatever_order_they_stand, set_up, tear_down),
		cmocka_unit_test_setup_teardown(anything_else_makes_them_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_that_was_hashed_and_is_empty_or_not_hashed_now_has_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_failing_allocation_leaves_the_group_without_and_the_one_before_as_it_was, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
