/* circuitBreaker holds over started and waited-for calls together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "patience.h"
#include "raw_server.h"
#include "test_peer.h"
#include "two_meshes.h"

enum { LONG_MS = 30000, STARTED = 5 };

static struct {
	struct two_meshes meshes;
	struct test_peer payments;
	struct mesh__tls_conf *tls;
	struct raw_server *server;
	mesh *cart;
	mesh_request *started[STARTED];
	pthread_mutex_t mu; /* guards open */
	pthread_cond_t opened;
	bool open;
} stage = {.mu = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static void await_gate(void)
{
	(void)pthread_mutex_lock(&stage.mu);
	while (!stage.open) {
		(void)pthread_cond_wait(&stage.opened, &stage.mu);
	}
	(void)pthread_mutex_unlock(&stage.mu);
}

/* Holds each request until the gate is open. */
static void holds(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0)) {
		await_gate();
		if (!raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
			return;
		}
	}
}

static void let_go(void)
{
	(void)pthread_mutex_lock(&stage.mu);
	stage.open = true;
	(void)pthread_cond_broadcast(&stage.opened);
	(void)pthread_mutex_unlock(&stage.mu);
}

/* Half a body at once, the rest when the gate is open. */
static void holds_half(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")) {
		await_gate();
		if (!raw_say(conn, "lf")) {
			return;
		}
	}
}

static void open_stage(raw_script script, const char *fields)
{
	struct mesh__addr address;

	two_meshes_init(&stage.meshes, NULL, NULL, NULL);
	test_peer_init(&stage.payments, &stage.meshes.ca, "payments");
	stage.tls = test_tls_conf(&stage.payments, &stage.meshes.ca, false);
	stage.open = false;
	stage.server = raw_server_new(stage.tls, script, NULL);
	raw_server_address(stage.server, &address);
	stage.cart = two_meshes_open(two_meshes_options_with(&stage.meshes, "cart", &address, 1, fields));
}

static void close_stage(void)
{
	for (size_t i = 0; i < STARTED; i++) {
		mesh_request_free(stage.started[i]);
	}
	assert_int_equal(mesh_close(stage.cart, 1000), MESH_OK);
	raw_server_free(stage.server);
	mesh__tls_conf_unref(stage.tls);
	test_peer_fini(&stage.payments);
	two_meshes_fini(&stage.meshes);
}

static mesh_request *new_call(void)
{
	mesh_request *r = mesh_request_new(stage.cart, "payments", "GET", "/");

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	return r;
}

static void expect_refusal(const mesh_request *r, const char *limit)
{
	const mesh_error *error = mesh_request_error(r);

	assert_non_null(strstr(mesh_error_message(error), limit));
	assert_string_equal(mesh_error_origin(error), "policy");
	assert_int_equal(mesh_error_may_be_processed(error), 0);
}

static bool under_way(const char *n)
{
	char *text = mesh_metrics(stage.cart), *at = strstr(text, "mesh_circuit_requests{service=\"payments.default\"} ");
	bool there = at != NULL && strncmp(strchr(at, ' ') + 1, n, strlen(n)) == 0;

	mesh_string_free(text);
	return there;
}

/* Starts all; those that are refused are told at once, and the rest is on its way. */
static void start(size_t refused, const char *limit)
{
	mesh_event events[STARTED];
	size_t n = 0;

	for (size_t i = 0; i < STARTED; i++) {
		stage.started[i] = new_call();
		assert_int_equal(mesh_call_start(stage.started[i], NULL, NULL), MESH_OK);
	}
	while (n < refused) {
		int32_t more = mesh_poll(stage.cart, events, STARTED, patience(LONG_MS));

		assert_true(more > 0);
		for (int32_t i = 0; i < more; i++, n++) {
			assert_int_equal(events[i].code, MESH_E_OVERLOADED);
			expect_refusal(events[i].request, limit);
		}
	}
	assert_int_equal(n, refused);
	assert_int_equal(mesh_poll(stage.cart, events, STARTED, 0), 0);
}

static void call_is_refused(const char *limit)
{
	mesh_request *r = new_call();

	assert_int_equal(mesh_call(r), MESH_E_OVERLOADED);
	expect_refusal(r, limit);
	mesh_request_free(r);
}

static void call_is_answered(void)
{
	mesh_request *r = new_call();

	assert_int_equal(mesh_call(r), MESH_OK);
	mesh_request_free(r);
}

static void the_rest_is_answered(size_t n)
{
	mesh_event events[STARTED];

	let_go();
	while (n > 0) {
		int32_t more = mesh_poll(stage.cart, events, STARTED, patience(LONG_MS));

		assert_true(more > 0 && (size_t)more <= n);
		for (int32_t i = 0; i < more; i++) {
			assert_int_equal(events[i].code, MESH_OK);
		}
		n -= (size_t)more;
	}
}

static void no_more_than_max_requests_are_under_way(void **state)
{
	(void)state;
	open_stage(holds, "circuitBreaker: {maxRequests: 3}\n");
	start(STARTED - 3, "payments.default: circuitBreaker.maxRequests: 3 calls");
	call_is_refused("circuitBreaker.maxRequests");
	the_rest_is_answered(3);
	call_is_answered();
	close_stage();
}

static void a_started_call_that_is_cancelled_makes_room(void **state)
{
	mesh_event event;

	(void)state;
	open_stage(holds, "circuitBreaker: {maxRequests: 5}\n");
	start(0, "");
	for (int64_t ms = 0; !under_way("5\n") && ms < patience(LONG_MS); ms += 10) {
		assert_int_equal(mesh_poll(stage.cart, &event, 1, 10), 0); /* none ends */
	}
	call_is_refused("circuitBreaker.maxRequests: 5 calls");
	(void)mesh_cancel(stage.started[2]);
	assert_int_equal(mesh_poll(stage.cart, &event, 1, patience(LONG_MS)), 1);
	assert_ptr_equal(event.request, stage.started[2]);
	assert_int_equal(event.code, MESH_E_CANCELLED);
	let_go();
	call_is_answered();
	the_rest_is_answered(4);
	close_stage();
}

static void no_more_than_max_pending_wait_for_a_connection(void **state)
{
	(void)state;
	open_stage(holds, "circuitBreaker: {maxConnections: 1, maxPending: 2}\n");
	start(STARTED - 3, "payments.default: circuitBreaker.maxPending: 2 calls");
	call_is_refused("circuitBreaker.maxPending");
	the_rest_is_answered(3);
	assert_int_equal(atomic_load(&raw_server_counts(stage.server)->accepted), 1);
	call_is_answered();
	close_stage();
}

/* A call whose body streams is told at its head, and is under way until its end. */
static void a_body_that_streams_is_under_way_to_its_end(void **state)
{
	mesh_request *r;
	char body[8];
	size_t n, got = 0;

	(void)state;
	memset(stage.started, 0, sizeof(stage.started));
	open_stage(holds_half, "circuitBreaker: {maxRequests: 1}\n");
	r = new_call();
	assert_int_equal(mesh_request_download(r), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_OK);
	assert_true(under_way("1\n"));
	call_is_refused("circuitBreaker.maxRequests: 1 calls");
	let_go();
	do {
		assert_int_equal(mesh_response_read(r, body + got, sizeof(body) - got, &n, patience(LONG_MS)), MESH_OK);
		got += n;
	} while (n > 0);
	assert_memory_equal(body, "half", 4);
	mesh_request_free(r);
	for (int64_t ms = 0; !under_way("0\n") && ms < patience(LONG_MS); ms += 10) {
		mesh_event none;
		assert_int_equal(mesh_poll(stage.cart, &none, 1, 10), 0);
	}
	call_is_answered();
	assert_true(under_way("0\n"));
	close_stage();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_than_max_requests_are_under_way),
		cmocka_unit_test(a_started_call_that_is_cancelled_makes_room),
		cmocka_unit_test(a_body_that_streams_is_under_way_to_its_end),
		cmocka_unit_test(no_more_than_max_pending_wait_for_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
