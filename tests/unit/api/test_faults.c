/* What a route injects into the tries of a call, in each of the ways to make one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "patience.h"
#include "two_meshes.h"
#include "ways.h"

enum { LONG_MS = 30000, BODY = 1024, SHORT_MS = 20, LATE_MS = 5000, HELD = 8 };

#define EACH_TRY "percent: 100"
#define ROUTE(name, fault, more) "- {name: " name ", match: [{path: {exact: /" name "}}], fault: " fault more "}\n"

static const char fields[] =
	"subsets: [{name: v1, labels: {version: v1}}]\n"
	"retries: {attempts: 2, retryOn: [reset, gateway-error, unavailable], backoff: {base: 1ms, max: 1ms}, budget: {percent: 100, minPerSecond: 1000}}\n"
	"routes:\n"
	ROUTE("status", "{abort: {" EACH_TRY ", status: 503}}", ", headers: {response: {set: {x-set: route}}}")
	ROUTE("grpc", "{abort: {" EACH_TRY ", grpcStatus: 8}}", "")
	ROUTE("reset", "{abort: {" EACH_TRY ", reset: true}}", "")
	ROUTE("slow", "{abort: {" EACH_TRY ", slowBody: true}}", "")
	ROUTE("slow-tries", "{abort: {" EACH_TRY ", slowBody: true}}", ", retries: {perTryTimeout: 8ms}")
	ROUTE("delay", "{delay: {" EACH_TRY ", duration: 20ms}}", "")
	ROUTE("both", "{delay: {" EACH_TRY ", duration: 20ms}, abort: {" EACH_TRY ", status: 500}}", "")
	ROUTE("late", "{delay: {" EACH_TRY ", duration: 1h}, abort: {" EACH_TRY ", status: 500}}", "")
	ROUTE("late-tries", "{delay: {" EACH_TRY ", duration: 1h}}", ", retries: {perTryTimeout: 8ms}")
	ROUTE("never", "{delay: {percent: 0, duration: 1h}, abort: {percent: 0, reset: true}}", "")
	ROUTE("mirrored", "{delay: {" EACH_TRY ", duration: 1h}}", ", mirror: {subset: v1}");

static struct two_meshes meshes;
static mesh *cart;
static _Atomic int n_handled, n_copies;

static void reply(void *user, mesh_inbound *in)
{
	(void)user;
	atomic_fetch_add(mesh_inbound_mirrored(in) == 1 ? &n_copies : &n_handled, 1);
	(void)mesh_reply(in, 200, "ok", 2);
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&meshes, "pool", reply, NULL);
	cart = two_meshes_open_cart(&meshes, fields);
	atomic_store(&n_handled, 0);
	atomic_store(&n_copies, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	two_meshes_fini(&meshes);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

/* ---- Answers ---- */

static void an_injected_answer_says_whose_it_is_and_no_server_hears_of_it(void **state)
{
	char text[BODY];

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = way_request(cart, way, "POST", "/status");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 503);
		assert_string_equal(mesh_response_header(r, "x-fault-injected"), "route status of payments.default");
		assert_string_equal(mesh_response_header(r, "x-set"), "route");
		assert_string_equal(way_body(r, way, text, sizeof(text)), "injected by route status of payments.default\n");
		assert_null(mesh_response_instance(r));
		assert_int_equal(mesh_request_tries(r), 1); /* it was sent, as far as anybody knows */
		mesh_request_free(r);
	}
	assert_int_equal(n_handled, 0);
}

static void to_grpc_an_injected_status_is_one_in_trailers_alone(void **state)
{
	static const struct {
		const char *path, *status;
		int32_t tries;
	} rows[] = {{"/grpc", "8", 1}, {"/status", "14", 3}};

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			mesh_request *r = way_request(cart, way, "POST", rows[i].path);
			char text[BODY];

			assert_int_equal(mesh_request_header(r, "content-type", "application/grpc"), MESH_OK);
			assert_int_equal(mesh_request_idempotent(r, 1), MESH_OK);
			assert_int_equal(way_make(r, way), MESH_OK);
			assert_int_equal(mesh_response_status(r), 200);
			assert_string_equal(mesh_response_header(r, "grpc-status"), rows[i].status);
			assert_ptr_equal(strstr(mesh_response_header(r, "grpc-message"), "injected by route "), mesh_response_header(r, "grpc-message"));
			assert_string_equal(way_body(r, way, text, sizeof(text)), "");
			assert_int_equal(mesh_request_tries(r), rows[i].tries);
			mesh_request_free(r);
		}
	}
	assert_int_equal(n_handled, 0);
}

static void a_status_of_grpc_is_not_met_by_other_calls(void **state)
{
	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = way_request(cart, way, "POST", "/grpc");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 200);
		assert_null(mesh_response_header(r, "x-fault-injected"));
		mesh_request_free(r);
	}
	assert_int_equal(n_handled, N_WAYS);
}

static void faults_stand_below_retries(void **state)
{
	char text[BODY];

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = way_request(cart, way, "PUT", "/status");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 503);
		assert_string_equal(way_body(r, way, text, sizeof(text)), "injected by route status of payments.default\n"); /* of the last try alone */
		assert_int_equal(mesh_request_tries(r), 3);
		mesh_request_free(r);
	}
	assert_int_equal(n_handled, 0);
}

static void nothing_is_injected_at_no_percent(void **state)
{
	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = way_request(cart, way, "POST", "/never");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 200);
		mesh_request_free(r);
	}
}

/* ---- Errors ---- */

static void an_injected_error_says_whose_it_is_and_a_post_that_met_one_is_not_repeated(void **state)
{
	static const struct {
		const char *method, *path;
		int64_t timeout_ms; /* 0: all the time */
		int32_t code, tries;
	} rows[] = {
		{"POST", "/reset", 0, MESH_E_RESET, 1},         {"PUT", "/reset", 0, MESH_E_RESET, 3},
		{"POST", "/slow", SHORT_MS, MESH_E_TIMEOUT, 1}, {"PUT", "/slow", SHORT_MS, MESH_E_TIMEOUT, 1},
		{"POST", "/slow-tries", 0, MESH_E_TIMEOUT, 1},  {"PUT", "/slow-tries", 0, MESH_E_TIMEOUT, 3},
		{"POST", "/late", SHORT_MS, MESH_E_TIMEOUT, 1}, {"POST", "/late-tries", 0, MESH_E_TIMEOUT, 1},
		{"PUT", "/late-tries", 0, MESH_E_TIMEOUT, 3},
	};

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			mesh_request *r = way_request(cart, way, rows[i].method, rows[i].path);
			char whose[BODY];

			if (rows[i].timeout_ms != 0 && way != WAY_WAITED_FOR && way != WAY_STREAMED) {
				mesh_request_free(r); /* one that waits, and one that is parked: it is waited for in earnest */
				continue;
			}
			(void)snprintf(whose, sizeof(whose), "injected by route %s of payments.default", rows[i].path + 1);
			if (rows[i].timeout_ms != 0) {
				assert_int_equal(mesh_request_timeout(r, patience(rows[i].timeout_ms)), MESH_OK);
			}
			assert_int_equal(way_make(r, way), rows[i].code);
			assert_int_equal(mesh_request_tries(r), rows[i].tries);
			assert_non_null(strstr(mesh_error_message(mesh_request_error(r)), whose));
			assert_string_equal(mesh_error_origin(mesh_request_error(r)), "policy");
			assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r)), 1);
			mesh_request_free(r);
		}
	}
	assert_int_equal(n_handled, 0);
}

/* ---- Delays ---- */

static void a_delayed_try_is_sent_when_it_has_waited(void **state)
{
	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *delayed = way_request(cart, way, "POST", "/delay"), *both = way_request(cart, way, "POST", "/both");
		int64_t from_ms = now_ms();

		assert_int_equal(way_make(delayed, way), MESH_OK);
		assert_true(now_ms() - from_ms >= SHORT_MS - 1);
		assert_int_equal(mesh_response_status(delayed), 200);
		assert_int_equal(n_handled, (int)way + 1);
		from_ms = now_ms();
		assert_int_equal(way_make(both, way), MESH_OK);
		assert_true(now_ms() - from_ms >= SHORT_MS - 1);
		assert_int_equal(mesh_response_status(both), 500);
		assert_int_equal(n_handled, (int)way + 1);
		mesh_request_free(delayed);
		mesh_request_free(both);
	}
}

static void *cancel(void *request)
{
	mesh_cancel(request);
	return NULL;
}

static void a_delay_ends_when_the_call_is_cancelled(void **state)
{
	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = way_request(cart, way, "POST", "/late");
		bool waits = way == WAY_WAITED_FOR || way == WAY_DOWNLOADED;
		pthread_t thread;

		if (waits) {
			assert_int_equal(pthread_create(&thread, NULL, cancel, r), 0);
		} else {
			assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
			mesh_cancel(r);
		}
		assert_int_equal(waits ? mesh_call(r) : mesh_call_wait(r), MESH_E_CANCELLED);
		if (waits) {
			(void)pthread_join(thread, NULL);
		}
		mesh_request_free(r);
	}
	assert_int_equal(n_handled, 0);
}

/* An hour of delay: whoever waited for one of them on the call thread would never be told of the last. */
static void started_calls_that_are_delayed_hold_up_no_other(void **state)
{
	mesh_request *held[HELD], *r = way_request(cart, WAY_STARTED, "POST", "/never");

	(void)state;
	for (size_t i = 0; i < HELD; i++) {
		held[i] = way_request(cart, WAY_STARTED, "POST", "/late");
		assert_int_equal(mesh_call_start(held[i], NULL, NULL), MESH_OK);
	}
	assert_int_equal(way_make(r, WAY_STARTED), MESH_OK);
	assert_int_equal(n_handled, 1);
	mesh_request_free(r);
	for (size_t i = 0; i < HELD; i++) {
		mesh_cancel(held[i]);
		assert_int_equal(mesh_call_wait(held[i]), MESH_E_CANCELLED);
		mesh_request_free(held[i]);
	}
}

static void closing_the_mesh_ends_a_delay(void **state)
{
	mesh_request *r = way_request(cart, WAY_STARTED, "POST", "/late");

	(void)state;
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	(void)mesh_close(cart, 1);
	assert_int_equal(mesh_call_wait(r), MESH_E_CLOSED);
	mesh_request_free(r);
	cart = two_meshes_open_cart(&meshes, fields);
}

/* ---- Around them ---- */

static void a_mirrors_copy_meets_none(void **state)
{
	mesh_request *r = way_request(cart, WAY_STARTED, "POST", "/mirrored");
	int64_t until_ms = now_ms() + patience(LATE_MS);

	(void)state;
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	while (atomic_load(&n_copies) == 0 && now_ms() < until_ms) {
		(void)usleep(1000); /* lint: waits for an event */
	}
	assert_int_equal(n_copies, 1);
	assert_int_equal(n_handled, 0);
	mesh_cancel(r);
	assert_int_equal(mesh_call_wait(r), MESH_E_CANCELLED);
	mesh_request_free(r);
}

static void what_is_injected_is_counted_by_service_and_kind(void **state)
{
	static const char *const paths[] = {"/status", "/reset", "/both", "/delay", "/never"};
	char *metrics;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(paths); i++) {
		mesh_request *r = way_request(cart, WAY_WAITED_FOR, "POST", paths[i]);

		(void)mesh_call(r);
		mesh_request_free(r);
	}
	metrics = mesh_metrics(cart);
	assert_non_null(strstr(metrics, "\nmesh_faults_injected_total{fault=\"payments.default/abort\"} 3\n"));
	assert_non_null(strstr(metrics, "\nmesh_faults_injected_total{fault=\"payments.default/delay\"} 2\n"));
	assert_non_null(strstr(metrics, "\nmesh_tries_total 5\n"));
	assert_non_null(strstr(metrics, "\nmesh_circuit_requests{service=\"payments.default\"} 0\n"));
	mesh_string_free(metrics);
}

#define FOR_A_WHILE(until) "---\napiVersion: mesh/v1\nkind: Fault\nname: payments\nfault: {until: \"" until "\", match: [{source: {service: cart}}], abort: {" EACH_TRY ", status: 503}}\n---\napiVersion: mesh/v1\nkind: Service\nname: other\n"

/* The service has no route at all. */
static void a_fault_for_a_while_is_injected_until_its_time_is_over(void **state)
{
	mesh *own = cart;
	char text[BODY];

	(void)state;
	for (enum way way = WAY_WAITED_FOR; way < N_WAYS; way += WAY_STREAMED - WAY_WAITED_FOR) {
		mesh_request *r;

		cart = two_meshes_open_cart(&meshes, FOR_A_WHILE("9999-12-31T23:59:59Z"));
		r = way_request(cart, way, "POST", "/pay");
		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 503);
		assert_string_equal(mesh_response_header(r, "x-fault-injected"), "Fault payments.default");
		assert_string_equal(way_body(r, way, text, sizeof(text)), "injected by Fault payments.default\n");
		mesh_request_free(r);
		assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	}
	assert_int_equal(n_handled, 0);
	cart = two_meshes_open_cart(&meshes, FOR_A_WHILE("2026-01-01T00:00:00Z"));
	{
		mesh_request *r = way_request(cart, WAY_WAITED_FOR, "POST", "/pay");

		assert_int_equal(way_make(r, WAY_WAITED_FOR), MESH_OK);
		assert_int_equal(mesh_response_status(r), 200);
		mesh_request_free(r);
	}
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	cart = own;
}

/* Streamed, so that the answer goes the longest way; anew for each call, so that all of it is allocated in it. */
static void with_each_allocation_of_an_injected_answer_failing_it_says_so_and_leaves_nothing(void **state)
{
	struct mesh__addr address;
	mesh_options *o;
	mesh *own = cart;
	int failed = 0;

	(void)state;
	two_meshes_address(&meshes, &address);
	o = two_meshes_options_with(&meshes, "cart", &address, 1, fields);
	mesh_options_allocator(o, meshes.mem.mem.alloc, meshes.mem.mem.resize, meshes.mem.mem.release, meshes.mem.mem.user);
	cart = two_meshes_open(o);
	for (long n = 1, done = 0; !done; n += done ? 0 : walk_stride()) {
		mesh_request *r = way_request(cart, WAY_DOWNLOADED, "POST", "/status");
		int32_t code;

		fail_mem_next(&meshes.mem, n);
		code = mesh_call(r);
		done = meshes.mem.count < n;
		fail_mem_next(&meshes.mem, 0);
		assert_true(code == MESH_OK || code == MESH_E_NO_MEMORY);
		assert_int_equal(mesh_response_status(r), code == MESH_OK ? 503 : 0);
		failed += code != MESH_OK;
		mesh_request_free(r);
	}
	assert_true(failed > 0);
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	assert_int_equal(meshes.mem.live, 0);
	cart = own;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_injected_answer_says_whose_it_is_and_no_server_hears_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(to_grpc_an_injected_status_is_one_in_trailers_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_status_of_grpc_is_not_met_by_other_calls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(faults_stand_below_retries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_injected_at_no_percent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_injected_error_says_whose_it_is_and_a_post_that_met_one_is_not_repeated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_delayed_try_is_sent_when_it_has_waited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_delay_ends_when_the_call_is_cancelled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(started_calls_that_are_delayed_hold_up_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(closing_the_mesh_ends_a_delay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mirrors_copy_meets_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_injected_is_counted_by_service_and_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fault_for_a_while_is_injected_until_its_time_is_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(with_each_allocation_of_an_injected_answer_failing_it_says_so_and_leaves_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
