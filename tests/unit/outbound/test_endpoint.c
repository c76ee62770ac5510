#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/endpoint.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/test_peer.h"

static struct fake_env fake;
static struct mesh__endpoint_list list;
static struct mesh__endpoint_source source;
static struct mesh__destination *destination;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	mesh__endpoint_list_init(&list, &fake.env);
	source = mesh__endpoint_source(&list);
	destination = source.destination(source.ctx, "payments.default");
	assert_non_null(destination);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_null(list.first);
	assert_int_equal(atomic_load(&destination->refs), 1); /* endpoints have let go of it */
	source.destination_unref(destination);
	assert_null(list.destinations.first);
	mesh__endpoint_list_fini(&list);
	return 0;
}

static struct mesh__endpoint *make_at(const char *instance, uint16_t port)
{
	static const struct mesh__name name = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"};
	struct mesh__endpoint_spec spec = {.destination = destination, .service = &name, .instance = instance, .version = "v1"};
	char text[32];

	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(mesh__addr_parse("address", text, false, &spec.address, NULL), MESH_OK);
	return source.make(source.ctx, &spec);
}

static double cost(const struct mesh__endpoint *e)
{
	return mesh__endpoint_cost(e, 1, mesh__mono_us(&fake.env));
}

static void sample(struct mesh__endpoint *e, int64_t rtt_us, bool failed)
{
	mesh__endpoint_sample(e, rtt_us, failed, mesh__mono_us(&fake.env));
}

static void knows_its_name_its_address_and_whom_to_expect_there(void **state)
{
	struct mesh__endpoint *e = make_at("abc", 4711);

	(void)state;
	assert_string_equal(e->instance, "abc");
	assert_string_equal(e->version, "v1");
	assert_null(e->zone);
	assert_string_equal(e->address, "127.0.0.1:4711");
	assert_string_equal(e->target.host, "payments.default.mesh.local");
	assert_string_equal(e->target.spiffe, "spiffe://mesh.local/ns/default/svc/payments");
	assert_false(e->target.insecure_plaintext);
	mesh__endpoint_unref(e);
}

/* One word of 64 bits holds what the pure function keeps in two: to a float's precision, and to the millisecond. */
static void the_packed_latency_follows_the_pure_one(void **state)
{
	static const struct {
		int64_t wait_ms, rtt_us;
		bool failed;
	} rows[] = {{0, 1000, false}, {1, 900, false}, {50, 250000, false}, {1000, 1000, false}, {10000, 1000, false}, {3, 100, true}, {100, 20000000, true}, {60000, 1, false}, {3600000, 77, false}, {0, 0, false}};
	struct mesh__endpoint *e = make_at("a", 1);
	struct mesh__ewma pure = {0};

	(void)state;
	assert_true(cost(e) == 0.0);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		fake_env_advance_ms(&fake, rows[i].wait_ms);
		pure = mesh__ewma_sample(pure, rows[i].rtt_us, rows[i].failed, mesh__mono_us(&fake.env));
		sample(e, rows[i].rtt_us, rows[i].failed);
		assert_true(fabs(cost(e) - mesh__ewma_cost(pure, 0, 1, mesh__mono_us(&fake.env))) <= 1e-4 * pure.value_us);
	}
	mesh__endpoint_unref(e);
}

static void calls_under_way_cost(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);

	(void)state;
	atomic_store(&e->inflight, 1);
	assert_true(cost(e) == 60000.0); /* no sample yet: 30 ms a call */
	sample(e, 1000, false);
	assert_true(cost(e) == 2000.0);
	atomic_store(&e->inflight, 0);
	assert_true(cost(e) == 1000.0);
	mesh__endpoint_unref(e);
}

static void decays_in_use_and_long_after_the_stamp_has_wrapped(void **state)
{
	static const int64_t days = INT64_C(86400000);
	struct mesh__endpoint *e = make_at("a", 1);

	(void)state;
	fake_env_advance_ms(&fake, 48 * days);
	sample(e, 1000000, false);
	fake_env_advance_ms(&fake, 10000);
	assert_true(fabs(cost(e) - 1000000 * exp(-1.0)) < 1000);
	fake_env_advance_ms(&fake, 3 * days); /* past 2^32 ms of the endpoint's life */
	assert_true(cost(e) < 1.0);
	sample(e, 5000, false);
	assert_true(cost(e) == 5000.0);
	fake_env_advance_ms(&fake, 10000);
	assert_true(fabs(cost(e) - 5000 * exp(-1.0)) < 5);
	mesh__endpoint_unref(e);
}

/* A thread that read its clock a moment before another one's sample sees a stamp of the future: that is no reason to forget what was learned. */
static void a_clock_read_a_moment_early_forgets_nothing(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);
	int64_t early_us = mesh__mono_us(&fake.env);

	(void)state;
	fake_env_advance_ms(&fake, 5);
	sample(e, 800000, false);
	assert_true(fabs(mesh__endpoint_cost(e, 1, early_us) - 800000) < 1);
	mesh__endpoint_sample(e, 100, false, early_us);
	assert_true(cost(e) > 799000);
	mesh__endpoint_unref(e);
}

/* Of the same identity. */
static void two_generations(struct mesh__creds **one, struct mesh__creds **two)
{
	struct test_peer cart;
	struct test_ca ca;

	test_ca_init(&ca, &fake.env, "mesh.local");
	test_peer_init(&cart, &ca, "cart");
	*one = test_creds(&cart, &ca, 1);
	*two = test_creds(&cart, &ca, 2);
	test_peer_fini(&cart);
	test_ca_fini(&ca);
}

static void a_newer_generation_replaces_the_pool_and_an_older_one_does_not(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);
	struct mesh__pool *first, *same, *newer, *late;
	struct mesh__creds *one, *two;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	two_generations(&one, &two);
	assert_int_equal(mesh__endpoint_pool(e, one, &first, &err), MESH_OK);
	assert_int_equal(mesh__endpoint_pool(e, one, &same, &err), MESH_OK);
	assert_ptr_equal(first, same);
	assert_int_equal(mesh__endpoint_pool(e, two, &newer, &err), MESH_OK);
	assert_ptr_not_equal(first, newer);
	assert_int_equal(mesh__endpoint_pool(e, one, &late, &err), MESH_OK); /* a call on an older snapshot makes do with the newer */
	assert_ptr_equal(newer, late);
	mesh__pool_unref(first);
	mesh__pool_unref(same);
	mesh__pool_unref(newer);
	mesh__pool_unref(late);
	mesh__endpoint_list_sweep(&list);
	source.leave(e);
	mesh__endpoint_unref(e);
	mesh__creds_unref(one);
	mesh__creds_unref(two);
}

static struct mesh__pool *pool_of(struct mesh__endpoint *e, struct mesh__creds *creds)
{
	struct mesh__pool *pool;

	assert_int_equal(mesh__endpoint_pool(e, creds, &pool, NULL), MESH_OK);
	mesh__pool_unref(pool); /* the endpoint has it still */
	return pool;
}

/* What speaks HTTP/1.1 must not be given to a call that wants gRPC. */
static void another_protocol_replaces_the_pool_but_never_by_older_credentials(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);
	struct mesh__service_policy policy;
	struct mesh__creds *one, *two;
	struct mesh__pool *newer;

	(void)state;
	two_generations(&one, &two);
	mesh__service_policy_default(&policy);
	(void)pool_of(e, one);
	assert_int_equal(e->proto, MESH__HTTP_1);
	policy.protocol = MESH__PROTOCOL_HTTP2;
	source.tune(destination, &policy);
	newer = pool_of(e, two);
	assert_int_equal(e->proto, MESH__HTTP_2);
	assert_ptr_equal(pool_of(e, two), newer);
	policy.protocol = MESH__PROTOCOL_GRPC;
	source.tune(destination, &policy);
	assert_ptr_equal(pool_of(e, one), newer);
	assert_int_equal(e->proto, MESH__HTTP_2);
	(void)pool_of(e, two);
	assert_int_equal(e->proto, MESH__HTTP_2_ONLY);
	assert_int_equal(e->generation, 2);
	source.leave(e);
	mesh__endpoint_unref(e);
	mesh__creds_unref(one);
	mesh__creds_unref(two);
}

static void endpoints_leave_the_list_in_any_order(void **state)
{
	static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(orders); i++) {
		struct mesh__endpoint *e[3] = {make_at("a", 1), make_at("b", 2), make_at("c", 3)};
		for (size_t k = 0; k < 3; k++) {
			mesh__endpoint_ref(e[orders[i][k]]);
			mesh__endpoint_unref(e[orders[i][k]]);
			mesh__endpoint_list_sweep(&list);
			mesh__endpoint_unref(e[orders[i][k]]);
		}
		assert_null(list.first);
	}
	mesh__endpoint_unref(NULL);
}

static uint32_t epoch(void)
{
	return atomic_load(&destination->health_epoch);
}

static void it_is_healthy_when_no_reason_is_left_and_every_change_moves_the_epoch(void **state)
{
	static const struct {
		enum mesh__unhealthy reason;
		bool on, changes, healthy;
	} rows[] = {
		{MESH__UNHEALTHY_EJECTED, false, false, true},
		{MESH__UNHEALTHY_EJECTED, true, true, false},
		{MESH__UNHEALTHY_EJECTED, true, false, false},
		{MESH__UNHEALTHY_CHECK, true, true, false},
		{MESH__UNHEALTHY_EJECTED, false, true, false},
		{MESH__UNHEALTHY_CHECK, false, true, true},
	};
	struct mesh__endpoint *e = make_at("a", 1), *other = make_at("b", 2);

	(void)state;
	assert_true(mesh__endpoint_mark(other, MESH__UNHEALTHY_CHECK, true));
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		uint32_t before = epoch();
		assert_int_equal(mesh__endpoint_mark(e, rows[i].reason, rows[i].on), rows[i].changes);
		assert_int_equal(epoch() - before, rows[i].changes);
		assert_int_equal(mesh__endpoint_is_healthy(e), rows[i].healthy);
		assert_int_equal(atomic_load(&destination->n_unhealthy), rows[i].healthy ? 1 : 2);
	}
	mesh__endpoint_unref(e);
	mesh__endpoint_unref(other);
	assert_int_equal(atomic_load(&destination->n_unhealthy), 0);
}

static void an_endpoint_that_leaves_counts_as_unhealthy_no_more_and_late_marks_go_with_it(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);
	uint32_t before;

	(void)state;
	assert_true(mesh__endpoint_mark(e, MESH__UNHEALTHY_EJECTED, true));
	assert_true(mesh__endpoint_mark(e, MESH__UNHEALTHY_CHECK, true));
	before = epoch();
	source.leave(e);
	assert_true(mesh__endpoint_is_healthy(e));
	assert_int_equal(atomic_load(&destination->n_unhealthy), 0);
	assert_int_equal(epoch() - before, 1);
	assert_true(mesh__endpoint_mark(e, MESH__UNHEALTHY_EJECTED, true)); /* by a call on an older snapshot */
	mesh__endpoint_unref(e);
	assert_int_equal(atomic_load(&destination->n_unhealthy), 0);
}

/* ---- One endpoint, marked and cleared by many at once ---- */

enum { MARKERS = 4, MARKS = 2000 };

static void *mark_often(void *arg)
{
	for (int i = 0; i < MARKS; i++) {
		(void)mesh__endpoint_mark(arg, i % 3 == 0 ? MESH__UNHEALTHY_CHECK : MESH__UNHEALTHY_EJECTED, i % 2 == 0);
	}
	return NULL;
}

static void what_many_threads_mark_at_once_adds_up(void **state)
{
	struct mesh__endpoint *e = make_at("a", 1);
	pthread_t threads[MARKERS];

	(void)state;
	for (size_t i = 0; i < MARKERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, mark_often, e), 0);
	}
	for (size_t i = 0; i < MARKERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(atomic_load(&destination->n_unhealthy), !mesh__endpoint_is_healthy(e));
	mesh__endpoint_unref(e);
	assert_int_equal(atomic_load(&destination->n_unhealthy), 0);
}

static void making_one_with_each_allocation_failing_leaves_nothing(void **state)
{
	struct mesh__mem own = fake.env.mem;
	struct fail_mem f;

	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__endpoint *e;
		fail_mem_init(&f);
		f.fail_at = n;
		fake.env.mem = f.mem;
		e = make_at("a", 1);
		done = f.count < n;
		assert_int_equal(e != NULL, done);
		mesh__endpoint_unref(e);
		assert_int_equal(f.live, 0);
	}
	fake.env.mem = own; /* what was made before it goes after it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_its_name_its_address_and_whom_to_expect_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_packed_latency_follows_the_pure_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(calls_under_way_cost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(decays_in_use_and_long_after_the_stamp_has_wrapped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_clock_read_a_moment_early_forgets_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_generation_replaces_the_pool_and_an_older_one_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_protocol_replaces_the_pool_but_never_by_older_credentials, set_up, tear_down),
		cmocka_unit_test_setup_teardown(endpoints_leave_the_list_in_any_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_healthy_when_no_reason_is_left_and_every_change_moves_the_epoch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_endpoint_that_leaves_counts_as_unhealthy_no_more_and_late_marks_go_with_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_many_threads_mark_at_once_adds_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(making_one_with_each_allocation_failing_leaves_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
