#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "outbound/destination.h"
#include "outbound/mirror.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

enum { THREADS = 8, ROUNDS = 20000, LIMIT = 3 };

static struct fake_env fake;
static struct mesh__metrics *metrics;
static struct mesh__destination_list list;
static struct mesh__destination *payments;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	metrics = mesh__metrics_new(&fake.env);
	mesh__destination_list_init(&list, &fake.env);
	mesh__destination_list_show(&list, metrics);
	payments = mesh__destination_new(&list, "payments.default");
	return payments == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__destination_unref(payments);
	assert_null(list.first);
	mesh__destination_list_fini(&list);
	mesh__metrics_free(metrics);
	return 0;
}

/* "name{service} value" is in the text. */
static void expect_metric(const char *line)
{
	struct mesh__buf text;

	mesh__buf_init(&text, mesh__mem_libc(), 65536);
	mesh__metrics_text(metrics, &text);
	if (strstr(text.data, line) == NULL) {
		fail_msg("no \"%s\" in\n%s", line, text.data);
	}
	mesh__buf_fini(&text);
}

static void over_max_requests_a_call_is_refused_by_name_and_one_that_ends_makes_room(void **state)
{
	static const struct mesh__breaker breaker = {9, 2, 9};
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__destination_enter(payments, &breaker, &err), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &breaker, &err), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &breaker, &err), MESH_E_OVERLOADED);
	assert_int_equal(err.origin, MESH__ORIGIN_POLICY);
	assert_string_equal(err.message, "payments.default: circuitBreaker.maxRequests: 2 calls are under way, and no more may be; nothing was sent");
	assert_int_equal(mesh__destination_enter(payments, &breaker, &err), MESH_E_OVERLOADED);
	expect_metric("mesh_circuit_open_total{limit=\"maxRequests\"} 2\n");
	mesh__destination_leave(payments);
	assert_int_equal(mesh__destination_enter(payments, &breaker, &err), MESH_OK);
	mesh__destination_leave(payments);
	mesh__destination_leave(payments);
}

/* Each call goes by the limits of its own snapshot. */
static void another_limit_holds_for_the_next_call(void **state)
{
	static const struct mesh__breaker narrow = {9, 1, 9}, wide = {9, 2, 9};

	(void)state;
	assert_int_equal(mesh__destination_enter(payments, &wide, NULL), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &narrow, NULL), MESH_E_OVERLOADED);
	assert_int_equal(mesh__destination_enter(payments, &wide, NULL), MESH_OK);
	mesh__destination_leave(payments);
	mesh__destination_leave(payments);
}

static void gauges_say_what_is_under_way_when_they_are_asked(void **state)
{
	static const struct mesh__breaker breaker = {9, 9, 9};

	(void)state;
	expect_metric("mesh_circuit_requests{service=\"payments.default\"} 0\n");
	assert_int_equal(mesh__destination_enter(payments, &breaker, NULL), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &breaker, NULL), MESH_OK);
	expect_metric("mesh_circuit_requests{service=\"payments.default\"} 2\n");
	mesh__destination_leave(payments);
	expect_metric("mesh_circuit_requests{service=\"payments.default\"} 1\n");
	expect_metric("mesh_circuit_pending{service=\"payments.default\"} 0\n");
	expect_metric("mesh_circuit_connections{service=\"payments.default\"} 0\n");
	mesh__destination_leave(payments);
}

static void a_mirrors_copy_takes_no_place_that_a_call_wants_and_gets_one_only_beside_them(void **state)
{
	static const struct mesh__breaker breaker = {9, 2, 9};

	(void)state;
	assert_int_equal(mesh__destination_enter_copy(payments, &breaker, NULL), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &breaker, NULL), MESH_OK);
	assert_int_equal(mesh__destination_enter_copy(payments, &breaker, NULL), MESH_E_OVERLOADED);
	expect_metric("mesh_circuit_requests{service=\"payments.default\"} 2\n");
	assert_int_equal(mesh__destination_enter(payments, &breaker, NULL), MESH_OK);
	assert_int_equal(mesh__destination_enter(payments, &breaker, NULL), MESH_E_OVERLOADED);
	mesh__destination_leave_copy(payments);
	assert_int_equal(mesh__destination_enter_copy(payments, &breaker, NULL), MESH_E_OVERLOADED);
	mesh__destination_leave(payments);
	assert_int_equal(mesh__destination_enter_copy(payments, &breaker, NULL), MESH_OK);
	mesh__destination_leave_copy(payments);
	mesh__destination_leave(payments);
	expect_metric("mesh_circuit_requests{service=\"payments.default\"} 0\n");
	expect_metric("mesh_circuit_open_total{limit=\"maxRequests\"} 1\n"); /* of calls */
}

static void copies_of_a_services_calls_are_bounded_in_number_and_in_what_they_hold(void **state)
{
	(void)state;
	for (int i = 0; i < MESH__MIRROR_COPIES_MAX; i++) {
		assert_true(mesh__destination_begin_copy(payments, 1));
	}
	assert_false(mesh__destination_begin_copy(payments, 0));
	mesh__destination_end_copy(payments, 1);
	assert_false(mesh__destination_begin_copy(payments, MESH__MIRROR_BYTES_MAX - MESH__MIRROR_COPIES_MAX + 2));
	assert_true(mesh__destination_begin_copy(payments, MESH__MIRROR_BYTES_MAX - MESH__MIRROR_COPIES_MAX + 1));
	mesh__destination_end_copy(payments, MESH__MIRROR_BYTES_MAX - MESH__MIRROR_COPIES_MAX + 1);
	for (int i = 1; i < MESH__MIRROR_COPIES_MAX; i++) {
		mesh__destination_end_copy(payments, 1);
	}
	assert_int_equal(atomic_load(&payments->mirrored), 0);
	assert_int_equal(atomic_load(&payments->mirrored_bytes), 0);
}

static _Atomic int32_t inside, most;

static void *hammer(void *arg)
{
	static const struct mesh__breaker breaker = {9, LIMIT, 9};

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (mesh__destination_enter(payments, &breaker, NULL) != MESH_OK) {
			continue;
		}
		int32_t now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
		while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now)) {
		}
		atomic_fetch_sub(&inside, 1);
		mesh__destination_leave(payments);
	}
	return NULL;
}

static void threads_together_never_pass_the_limit_and_all_leave(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_true(atomic_load(&most) <= LIMIT);
	assert_int_equal(atomic_load(&payments->requests), 0);
}

static void making_one_with_each_allocation_failing_leaves_nothing(void **state)
{
	struct mesh__mem own = fake.env.mem;
	struct fail_mem f;

	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__destination *d;
		fail_mem_init(&f);
		f.fail_at = n;
		fake.env.mem = f.mem;
		d = mesh__destination_new(&list, "ledger.default");
		done = f.count < n;
		assert_true(d != NULL || !done);
		mesh__destination_unref(d);
	}
	fake.env.mem = own; /* what was made before it goes after it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(over_max_requests_a_call_is_refused_by_name_and_one_that_ends_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_limit_holds_for_the_next_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gauges_say_what_is_under_way_when_they_are_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mirrors_copy_takes_no_place_that_a_call_wants_and_gets_one_only_beside_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copies_of_a_services_calls_are_bounded_in_number_and_in_what_they_hold, set_up, tear_down),
		cmocka_unit_test_setup_teardown(threads_together_never_pass_the_limit_and_all_leave, set_up, tear_down),
		cmocka_unit_test_setup_teardown(making_one_with_each_allocation_failing_leaves_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
