/* A call's second try beside its first: waited for and started, with servers that answer or do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "patience.h"
#include "raw_server.h"
#include "test_peer.h"
#include "two_meshes.h"

enum { LONG_MS = 30000, SHORT_MS = 400, DELAY_US = 10000 };

static struct {
	struct two_meshes meshes;
	struct test_peer payments;
	struct mesh__tls_conf *tls;
	struct raw_server *servers[2];
	mesh *cart;
} stage;

static void answers(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
	}
}

static void fails(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) {
	}
}

static void stalls(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		raw_hang(conn);
	}
}

/* Answers /first at once; breaks off what else comes, once a second try has been due for long. */
static void breaks_late(struct raw_conn *conn)
{
	char request[2048];

	while (raw_request(conn, request, sizeof(request))) {
		int64_t until_us = mesh__mono_us(&stage.meshes.env) + 5 * DELAY_US;

		if (strncmp(request, "GET /first ", 11) != 0) {
			while (mesh__mono_us(&stage.meshes.env) < until_us) {
				(void)sched_yield();
			}
			return;
		}
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void open_stage(raw_script first, raw_script second)
{
	struct mesh__addr addresses[2];

	two_meshes_init(&stage.meshes, NULL, NULL, NULL);
	test_peer_init(&stage.payments, &stage.meshes.ca, "payments");
	stage.tls = test_tls_conf(&stage.payments, &stage.meshes.ca, false);
	stage.servers[0] = raw_server_new(stage.tls, first, NULL);
	stage.servers[1] = raw_server_new(stage.tls, second, NULL);
	raw_server_address(stage.servers[0], &addresses[0]);
	raw_server_address(stage.servers[1], &addresses[1]);
	stage.cart = two_meshes_open(two_meshes_options_with(&stage.meshes, "cart", addresses, 2,
		"loadBalancer: {policy: roundRobin}\nretries: {attempts: 0}\nhedging: {delay: 10ms, maxExtraPercent: 100}\n"));
}

static void close_stage(void)
{
	assert_int_equal(mesh_close(stage.cart, patience(LONG_MS)), MESH_OK);
	raw_server_free(stage.servers[0]);
	raw_server_free(stage.servers[1]);
	mesh__tls_conf_unref(stage.tls);
	test_peer_fini(&stage.payments);
	two_meshes_fini(&stage.meshes);
}

static long metric(const char *name)
{
	char *text = mesh_metrics(stage.cart), *at = strstr(text, name);
	long n = at == NULL ? 0 : strtol(at + strlen(name), NULL, 10);

	mesh_string_free(text);
	return n;
}

/* A try that has lost may end after its call. The program's own time limit bounds the wait. */
static void await_metric(const char *name, long n)
{
	while (metric(name) != n) {
		(void)sched_yield();
	}
}

/* Until so many are under way. */
static void await_tries(long n)
{
	await_metric("mesh_circuit_requests{service=\"payments.default\"} ", n);
}

static mesh_request *new_call(const char *method, int64_t timeout_ms)
{
	mesh_request *r = mesh_request_new(stage.cart, "payments", method, "/");

	assert_int_equal(mesh_request_timeout(r, timeout_ms), MESH_OK);
	return r;
}

static int32_t finish(mesh_request *r, bool started)
{
	if (!started) {
		return mesh_call(r);
	}
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	return mesh_call_wait(r);
}

static void a_call_whose_first_try_hangs_has_the_answer_of_the_second(void **state)
{
	int32_t hedged = 0;

	(void)state;
	open_stage(stalls, answers);
	for (int i = 0; i < 8; i++) {
		mesh_request *r = new_call("GET", patience(LONG_MS));

		assert_int_equal(finish(r, i % 4 > 1), MESH_OK);
		assert_int_equal(mesh_response_status(r), 200);
		assert_in_range(mesh_request_tries(r), 1, 2);
		hedged += mesh_request_tries(r) - 1;
		mesh_request_free(r);
	}
	assert_true(hedged > 0);
	await_tries(0);
	assert_int_equal(metric("mesh_hedges_total{result=\"won\"} ") + metric("mesh_hedges_total{result=\"lost\"} "), hedged);
	await_metric("\nmesh_tries_total ", 8 + hedged);
	assert_int_equal(metric("\nmesh_retries_total "), 0);
	await_tries(0);
	close_stage();
}

static void the_deadline_ends_both_tries_and_the_error_names_both_but_a_post_has_one(void **state)
{
	static const struct {
		const char *method;
		bool started;
		int32_t tries;
	} rows[] = {{"GET", false, 2}, {"GET", true, 2}, {"POST", false, 1}, {"POST", true, 1}};

	(void)state;
	open_stage(stalls, stalls);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mesh_request *r = new_call(rows[i].method, patience(SHORT_MS));
		const mesh_error *error;

		assert_int_equal(finish(r, rows[i].started), MESH_E_TIMEOUT);
		error = mesh_request_error(r);
		assert_int_equal(mesh_request_tries(r), rows[i].tries);
		assert_int_equal(mesh_error_may_be_processed(error), 1);
		assert_int_equal(mesh_error_endpoint(error, 1) != NULL, rows[i].tries == 2);
		mesh_request_free(r);
	}
	close_stage();
}

static void where_both_fail_the_call_has_failed_once_and_where_one_does_the_other_is_waited_for(void **state)
{
	(void)state;
	open_stage(stalls, fails);
	for (int i = 0; i < 4; i++) {
		mesh_request *r = new_call("GET", patience(SHORT_MS));
		int32_t code = finish(r, i > 1);

		/* The 503 alone, where its try was the first and over before a second was due, or where the other has not answered in time. */
		assert_true(code == MESH_OK ? mesh_response_status(r) == 503 : code == MESH_E_TIMEOUT);
		mesh_request_free(r);
	}
	await_tries(0);
	close_stage();
}

static void a_cancel_and_the_close_end_both_tries(void **state)
{
	(void)state;
	open_stage(stalls, stalls);
	for (int i = 0; i < 2; i++) {
		mesh_request *r = new_call("GET", patience(LONG_MS));

		assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
		await_tries(2);
		if (i == 0) {
			mesh_cancel(r);
			assert_int_equal(mesh_call_wait(r), MESH_E_CANCELLED);
			await_tries(0);
		} else {
			assert_int_equal(mesh_close(stage.cart, 0), MESH_E_TIMEOUT); /* it had to end them */
			assert_int_equal(mesh_call_wait(r), MESH_E_CLOSED);
		}
		mesh_request_free(r);
	}
	stage.cart = NULL;
	raw_server_free(stage.servers[0]);
	raw_server_free(stage.servers[1]);
	mesh__tls_conf_unref(stage.tls);
	test_peer_fini(&stage.payments);
	two_meshes_fini(&stage.meshes);
}

static struct {
	atomic_bool held, let_go;
} callback;

static void hold(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	(void)r;
	(void)code;
	atomic_store(&callback.held, true);
	while (!atomic_load(&callback.let_go)) {
		(void)sched_yield();
	}
}

/* By the application, whose callback does not return. */
static void a_first_try_that_fails_while_the_call_thread_is_held_up_waits_for_no_second(void **state)
{
	mesh_request *holds, *r;

	(void)state;
	open_stage(breaks_late, breaks_late);
	holds = mesh_request_new(stage.cart, "payments", "GET", "/first");
	assert_int_equal(mesh_call_start(holds, hold, NULL), MESH_OK);
	while (!atomic_load(&callback.held)) {
		(void)sched_yield();
	}
	r = new_call("GET", patience(LONG_MS));
	if (mesh_call(r) != MESH_E_RESET) {
		fail_msg("%s", mesh_error_message(mesh_request_error(r)));
	}
	assert_int_equal(mesh_request_tries(r), 1);
	mesh_request_free(r);
	atomic_store(&callback.let_go, true);
	await_tries(0);
	assert_int_equal(mesh_close(stage.cart, patience(LONG_MS)), MESH_OK);
	mesh_request_free(holds);
	stage.cart = NULL;
	close_stage();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_whose_first_try_hangs_has_the_answer_of_the_second),
		cmocka_unit_test(the_deadline_ends_both_tries_and_the_error_names_both_but_a_post_has_one),
		cmocka_unit_test(where_both_fail_the_call_has_failed_once_and_where_one_does_the_other_is_waited_for),
		cmocka_unit_test(a_cancel_and_the_close_end_both_tries),
		cmocka_unit_test(a_first_try_that_fails_while_the_call_thread_is_held_up_waits_for_no_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
