/* Exchanges of a pool that a loop drives: they share the pool with threads, and end at every stage. What is streamed: test_flight_streams.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "black_hole.h"
#include "client_call.h"
#include "patience.h"
#include "trip.h"
#include "http/curl_pool.h"

/* ---- Whole exchanges ---- */

static void threads_and_flights_share_connections(void **state)
{
	struct trip_stage s;
	struct client_call call;

	(void)state;
	trip_stage_open(&s, &cast.payments, raw_answer_ok, NULL);
	trip_expect_ok(&s, false);
	trip_expect_ok(&s, true);
	client_call_init(&call, "GET", NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
		assert_true(call.result.reused);
		trip_expect_ok(&s, true);
	}
	client_call_fini(&call);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	trip_stage_close(&s);
}

static void *call_repeatedly(void *arg)
{
	struct client_call call;
	intptr_t ok = 0;

	client_call_init(&call, "GET", NULL);
	for (int i = 0; i < 50; i++) {
		ok += client_call_run(&call, arg) == MESH_OK;
	}
	client_call_fini(&call);
	return (void *)ok;
}

/* A wake-up that were lost would leave somebody waiting until his deadline. */
static void they_stand_in_one_queue(void **state)
{
	enum { FLIGHTS = 100, THREADS = 4 };
	static struct trip trips[FLIGHTS];
	pthread_t threads[THREADS];
	struct trip_stage s;

	(void)state;
	trip_stage_open_narrow(&s, &cast.payments, raw_answer_ok, NULL, 2, FLIGHTS + THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, call_repeatedly, s.pool), 0);
	}
	for (size_t i = 0; i < FLIGHTS; i++) {
		trip_init(&trips[i], &s, "GET", NULL);
		trip_start(&trips[i]);
	}
	mesh__loop_run(s.loop);
	for (size_t i = 0; i < FLIGHTS; i++) {
		assert_int_equal(trips[i].dones, 1);
		assert_int_equal(trips[i].code, MESH_OK);
		trip_fini(&trips[i]);
	}
	for (size_t i = 0; i < THREADS; i++) {
		void *ok;
		(void)pthread_join(threads[i], &ok);
		assert_int_equal((intptr_t)ok, 50);
	}
	assert_true(atomic_load(&raw_server_counts(s.server)->accepted) <= 2);
	trip_stage_close(&s);
}

static void over_max_pending_a_flight_does_not_start(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__flight *none;
	struct trip first, waiting, refused;
	struct trip_stage s;

	(void)state;
	trip_stage_open_narrow(&s, &cast.payments, raw_answer_ok, NULL, 1, 1);
	trip_init(&first, &s, "GET", NULL);
	trip_init(&waiting, &s, "GET", NULL);
	trip_init(&refused, &s, "GET", NULL);
	trip_start(&first);
	trip_start(&waiting);
	assert_int_equal(mesh__flight_start(s.pool, s.loop, &refused.options, &none, &err), MESH_E_OVERLOADED);
	assert_null(none);
	assert_non_null(strstr(err.message, "nothing was sent"));
	mesh__loop_run(s.loop);
	assert_int_equal(first.code, MESH_OK);
	assert_int_equal(waiting.code, MESH_OK);
	assert_true(waiting.result.reused);
	assert_int_equal(refused.dones, 0);
	trip_fini(&first);
	trip_fini(&waiting);
	trip_fini(&refused);
	trip_stage_close(&s);
}

static void who_waits_for_a_dead_endpoint_fails_with_its_dials(void **state)
{
	enum { FLIGHTS = 10 };
	struct trip trips[FLIGHTS];
	struct mesh__pool_options options;
	struct black_hole hole;
	struct trip_stage s;

	(void)state;
	trip_stage_open(&s, NULL, trip_hang, NULL);
	mesh__pool_unref(s.pool);
	black_hole_init(&hole);
	options = cast_options(s.server);
	options.target.address = hole.address;
	options.target.insecure_plaintext = true;
	options.max_dials = 2;
	s.pool = cast_pool(&cast.env, &options);
	for (size_t i = 0; i < FLIGHTS; i++) {
		trip_init(&trips[i], &s, "GET", NULL);
		trips[i].options.connect_timeout_ms = 200;
		trip_start(&trips[i]);
	}
	mesh__loop_run(s.loop);
	for (size_t i = 0; i < FLIGHTS; i++) {
		assert_int_equal(trips[i].code, MESH_E_CONNECT);
		assert_int_equal(trips[i].result.sent, MESH__SENT_NOTHING);
		trip_fini(&trips[i]);
	}
	black_hole_fini(&hole);
	trip_stage_close(&s);
}

static void answers_once_and_closes(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_kept_connection_that_has_gone_costs_no_flight(void **state)
{
	struct trip_stage s;

	(void)state;
	trip_stage_open(&s, &cast.payments, answers_once_and_closes, NULL);
	for (int i = 0; i < 5; i++) {
		trip_expect_ok(&s, false);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 5);
	trip_stage_close(&s);
}

static void a_peer_with_another_name_gets_nothing(void **state)
{
	static const struct test_peer *const shown[] = {&cast.ledger, &cast.payments}; /* libcurl refuses another DNS name; ledger's SPIFFE ID is expected of both */
	struct trip_stage s;
	struct trip t;

	(void)state;
	for (size_t row = 0; row < MESH__COUNT(shown); row++) {
		trip_stage_open(&s, shown[row], raw_answer_ok, NULL);
		trip_stage_expect(&s, cast.ledger.spiffe);
		for (int i = 0; i < 2; i++) {
			trip_init(&t, &s, "POST", "secret");
			trip_run(&t);
			assert_int_equal(t.code, MESH_E_IDENTITY);
			assert_int_equal(t.result.sent, MESH__SENT_NOTHING);
			trip_fini(&t);
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
		trip_stage_close(&s);
	}
}

static void done_may_start_the_next(void **state)
{
	struct trip first, second;
	struct trip_stage s;

	(void)state;
	trip_stage_open(&s, &cast.payments, raw_answer_ok, NULL);
	trip_init(&first, &s, "GET", NULL);
	trip_init(&second, &s, "GET", NULL);
	first.then = &second;
	s.left = 1;
	trip_run(&first);
	assert_int_equal(second.dones, 1);
	assert_int_equal(second.code, MESH_OK);
	assert_true(second.result.reused);
	trip_fini(&first);
	trip_fini(&second);
	trip_stage_close(&s);
}

/* ---- Ended at every stage ---- */

enum stage_of_end { END_QUEUED, END_DIALLING, END_SENT, END_READING, END_WRITING, END_PAUSED, N_ENDS };

struct ending {
	struct trip trip, first;
	struct mesh__timer *poll;
	enum stage_of_end at;
	bool told;
};

static bool has_come_to(struct ending *e)
{
	struct raw_counts *counts = raw_server_counts(e->trip.stage->server);

	switch (e->at) {
	case END_QUEUED:
	case END_DIALLING:
		return atomic_load(&counts->accepted) > 0;
	case END_SENT:
	case END_WRITING:
	case END_READING:
		return atomic_load(&counts->requests) > 0;
	case END_PAUSED:
		return e->trip.refused > 0;
	case N_ENDS:
		break;
	}
	return true;
}

static void on_poll(void *arg)
{
	struct ending *e = arg;

	if (!e->told && has_come_to(e)) {
		e->told = true;
		mesh__timer_stop(e->poll);
		mesh__flight_stop(e->trip.flight, MESH_E_CANCELLED, "cancelled");
		mesh__flight_stop(e->trip.flight, MESH_E_CLOSED, "only the first counts");
		mesh__flight_resume(e->trip.flight);
		if (e->first.flight != NULL) {
			mesh__flight_stop(e->first.flight, MESH_E_CANCELLED, "cancelled");
		}
	}
}

static int refuse_data(void *arg, const char *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	((struct trip *)arg)->refused++;
	return MESH_E_WOULD_BLOCK;
}

static void takes_a_head(struct raw_conn *conn)
{
	char text[4096];
	const char *body;
	size_t n;

	(void)trip_read_head(conn, text, sizeof(text), &body, &n);
	atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
	if (conn->arg != NULL) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nX-Kind: slow\r\nContent-Length: 1000\r\n\r\nsome");
	}
	raw_hang(conn);
}

static void end_at(enum stage_of_end at, bool by_deadline)
{
	static int answers;
	struct ending e = {.at = at};
	struct trip_stage s;
	bool streamed = at >= END_READING;

	trip_stage_open_narrow(&s, at <= END_DIALLING ? NULL : &cast.payments, at <= END_DIALLING ? trip_hang : takes_a_head, at >= END_WRITING ? &answers : NULL, 1, 4);
	if (streamed) {
		trip_init_streamed(&e.trip, &s, 1000, true);
		e.trip.options.read = at == END_READING ? trip_read_later : trip_read;
		e.trip.options.data = at == END_PAUSED ? refuse_data : trip_take;
	} else {
		trip_init(&e.trip, &s, "POST", "pay");
	}
	trip_init(&e.first, &s, "GET", NULL);
	if (at == END_QUEUED) {
		trip_start(&e.first); /* it holds the one connection */
	}
	if (by_deadline) {
		e.trip.options.deadline_us = mesh__mono_us(&cast.env) + patience(300000);
	}
	trip_start(&e.trip);
	assert_int_equal(mesh__timer_new(s.loop, on_poll, &e, &e.poll), MESH_OK);
	if (!by_deadline) {
		mesh__timer_start(e.poll, 1, 1);
	} else if (at == END_QUEUED) {
		s.left--; /* that one goes on */
	}
	mesh__loop_run(s.loop);
	assert_int_equal(e.trip.dones, 1);
	assert_int_equal(e.trip.code, by_deadline ? MESH_E_TIMEOUT : MESH_E_CANCELLED);
	assert_int_equal(e.trip.result.sent, at <= END_DIALLING ? MESH__SENT_NOTHING : MESH__SENT_MAYBE);
	assert_non_null(strstr(e.trip.message, by_deadline ? "deadline" : "cancelled"));
	if (e.first.flight != NULL) {
		s.left = 1;
		mesh__flight_stop(e.first.flight, MESH_E_CANCELLED, "cancelled");
		mesh__loop_run(s.loop);
	}
	assert_int_equal(e.first.dones, at == END_QUEUED);
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0)); /* its connection is closed, not kept */
	mesh__timer_free(e.poll);
	trip_fini(&e.trip);
	trip_fini(&e.first);
	trip_stage_close(&s);
}

static void stopping_ends_it_once_at_every_stage(void **state)
{
	(void)state;
	for (int at = 0; at < N_ENDS; at++) {
		end_at((enum stage_of_end)at, false);
	}
}

static void the_deadline_ends_it_at_every_stage(void **state)
{
	(void)state;
	for (int at = 0; at < N_ENDS; at++) {
		end_at((enum stage_of_end)at, true);
	}
}

static bool stop_in_head(void *arg)
{
	struct trip *t = arg;

	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return true;
}

static int64_t stop_in_read(void *arg, char *buf, size_t size)
{
	struct trip *t = arg;

	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return trip_read(arg, buf, size);
}

static int stop_in_data(void *arg, const char *bytes, size_t len)
{
	struct trip *t = arg;

	(void)bytes;
	(void)len;
	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return MESH_E_WOULD_BLOCK;
}

static void it_may_be_stopped_in_its_own_callbacks(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, trip_echo, NULL);
	for (int i = 0; i < 3; i++) {
		trip_init_streamed(&t, &s, 300000, true);
		t.options.head = i == 0 ? stop_in_head : trip_head;
		t.options.read = i == 1 ? stop_in_read : trip_read;
		t.options.data = i == 2 ? stop_in_data : trip_take;
		trip_run(&t);
		assert_int_equal(t.code, MESH_E_CANCELLED);
		trip_fini(&t);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	trip_stage_close(&s);
}

/* ---- Memory ---- */

static void every_failing_allocation_is_told(void **state)
{
	struct mesh__tls_conf *conf = test_tls_conf(&cast.payments, &cast.ca, false);
	struct raw_server *server = raw_server_new(conf, trip_echo, NULL);
	struct mesh__creds *creds = test_creds(&cast.cart, &cast.ca, 1);
	bool done = false;

	(void)state;
	for (long n = 1; !done; n += walk_stride()) {
		struct trip_stage s = {.server = server};
		struct mesh__pool_options options = cast_options(s.server);
		struct mesh__env own;
		struct fail_mem f;
		struct trip t;
		int code = MESH_OK;

		fail_mem_init(&f);
		mesh__env_init(&own);
		own.mem = f.mem;
		options.creds = creds;
		assert_int_equal(mesh__pool_new(&own, &options, &s.pool, NULL), MESH_OK);
		assert_int_equal(mesh__loop_new(&own, &s.loop, NULL), MESH_OK);
		trip_init_streamed(&t, &s, 30000, true);
		mesh__client_response_fini(&t.response);
		mesh__client_response_init(&t.response, &own, 1 << 20);
		t.options.request.fields = (const struct mesh__client_field[]){{"traceparent", "00-1"}};
		t.options.request.n_fields = 1;
		t.options.data = NULL;
		s.left = 1;
		fail_mem_next(&f, n);
		code = mesh__flight_start(s.pool, s.loop, &t.options, &t.flight, NULL);
		if (code == MESH_OK) {
			mesh__loop_run(s.loop);
			assert_int_equal(t.dones, 1);
			code = t.code;
		}
		done = atomic_load(&f.count) < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__pool_unref(s.pool);
		trip_fini(&t);
		mesh__loop_free(s.loop);
		assert_int_equal(atomic_load(&f.live), 0);
		assert_true(n < 100);
	}
	mesh__creds_unref(creds);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_and_flights_share_connections),
		cmocka_unit_test(they_stand_in_one_queue),
		cmocka_unit_test(over_max_pending_a_flight_does_not_start),
		cmocka_unit_test(who_waits_for_a_dead_endpoint_fails_with_its_dials),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_flight),
		cmocka_unit_test(a_peer_with_another_name_gets_nothing),
		cmocka_unit_test(done_may_start_the_next),
		cmocka_unit_test(stopping_ends_it_once_at_every_stage),
		cmocka_unit_test(the_deadline_ends_it_at_every_stage),
		cmocka_unit_test(it_may_be_stopped_in_its_own_callbacks),
		cmocka_unit_test(every_failing_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
