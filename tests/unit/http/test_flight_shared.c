/* Flights that share connections: streams of HTTP/2, and what the end of one, of a connection or of a peer's good name means for the others. */
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
#include "client_call.h"
#include "h2_peer.h"
#include "patience.h"
#include "trip.h"
#include "http/curl_pool.h"

enum { MANY = 2000, SOME = 20 };

static struct trip trips[MANY];

static void start_many(struct trip_stage *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		trip_init(&trips[i], s, "POST", "pay");
		trip_start(&trips[i]);
	}
}

static void fini_many(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		trip_fini(&trips[i]);
	}
}

static size_t count(size_t n, int code, enum mesh__sent sent)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(trips[i].dones, 1);
		found += trips[i].code == code && trips[i].result.sent == sent;
	}
	return found;
}

static void all_ok(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (trips[i].dones != 1 || trips[i].code != MESH_OK) {
			fail_msg("%zu: %s: %s", i, mesh__code_name(trips[i].code), trips[i].message);
		}
		assert_int_equal(trips[i].response.status, 200);
		assert_string_equal(trips[i].response.body.data, "ok");
	}
}

/* So many, to their ends. */
static void fly(struct trip_stage *s, raw_script script, void *arg, size_t n)
{
	trip_stage_open_http2(s, &cast.payments, true, script, arg, MANY);
	start_many(s, n);
	mesh__loop_run(s->loop);
}

static void thousands_go_over_a_few_connections(void **state)
{
	const size_t many = MANY / (size_t)walk_stride(); /* and still over two hundred: more than one connection has streams for */
	struct trip_stage s;

	(void)state;
	fly(&s, h2_answer_ok, NULL, many);
	all_ok(many);
	assert_true(trips[0].result.http2 && trips[many - 1].result.http2);
	assert_true(trips[many - 1].result.reused && trips[many - 1].result.connect_us == 0);
	assert_in_range(atomic_load(&raw_server_counts(s.server)->accepted), 2, 8);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), many);
	fini_many(many);
	trip_stage_close(&s);
}

static void over_max_pending_a_flight_does_not_start(void **state)
{
	struct mesh__flight *none;
	struct trip_stage s;
	struct trip refused;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, h2_answer_ok, NULL, 3);
	start_many(&s, 4);
	trip_init(&refused, &s, "GET", NULL);
	assert_int_equal(mesh__flight_start(s.pool, s.loop, &refused.options, &none, NULL), MESH_E_OVERLOADED);
	mesh__loop_run(s.loop);
	all_ok(4);
	fini_many(4);
	trip_fini(&refused);
	trip_stage_close(&s);
}

/* For scripts: the first request is answered; what is asked at once goes over its connection. */
static bool begin_with_one(struct h2_peer *peer, struct raw_conn *conn)
{
	uint32_t stream;

	h2_peer_init(peer, conn);
	return h2_peer_greet(peer, NULL, 0) && h2_peer_ended(peer, &stream) && h2_peer_answer(peer, stream, 200, "ok");
}

/* Answers the first request, then gathers `*arg` more before it answers any. */
static void gathers(struct raw_conn *conn)
{
	uint32_t streams[128];
	size_t n = 0, wanted = *(const size_t *)conn->arg;
	struct h2_peer peer;

	if (begin_with_one(&peer, conn)) {
		while (n < wanted && h2_peer_ended(&peer, &streams[n])) {
			n++;
		}
		for (size_t i = 0; n == wanted && i < n && h2_peer_answer(&peer, streams[i], 200, "ok"); i++) {
		}
		raw_hang(conn);
	}
	h2_peer_fini(&peer);
}

static void they_are_under_way_at_once(void **state)
{
	size_t wanted = 60;
	struct trip_stage s;

	(void)state;
	fly(&s, gathers, &wanted, wanted + 1);
	all_ok(wanted + 1);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	fini_many(wanted + 1);
	trip_stage_close(&s);
}

static void behind_a_peer_with_another_name_all_are_refused(void **state)
{
	static const struct test_peer *const shown[] = {&cast.ledger, &cast.payments}; /* libcurl refuses another DNS name; ledger's SPIFFE ID is expected of both */
	struct trip_stage s;

	(void)state;
	for (size_t row = 0; row < MESH__COUNT(shown); row++) {
		trip_stage_open_http2(&s, shown[row], true, h2_count_requests, NULL, MANY);
		trip_stage_expect(&s, cast.ledger.spiffe);
		for (int i = 0; i < 2; i++) {
			start_many(&s, SOME);
			mesh__loop_run(s.loop);
			assert_int_equal(count(SOME, MESH_E_IDENTITY, MESH__SENT_NOTHING), SOME);
			fini_many(SOME);
			assert_true(raw_wait(&raw_server_counts(s.server)->open, 0)); /* such a connection is not kept */
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 2);
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
		trip_stage_close(&s);
	}
}

static void with_a_peer_of_http1_each_has_a_connection_of_its_own(void **state)
{
	struct trip_stage s;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, false, raw_answer_ok, NULL, MANY);
	for (int i = 0; i < 2; i++) {
		start_many(&s, SOME);
		mesh__loop_run(s.loop);
		all_ok(SOME);
		assert_false(trips[0].result.http2);
		fini_many(SOME);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 2 * SOME);
	trip_stage_close(&s);
}

static void an_unreachable_peer_is_found_so_by_a_few_dials(void **state)
{
	struct trip_stage s;
	struct mesh__pool_options options;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, h2_answer_ok, NULL, MANY);
	mesh__pool_unref(s.pool);
	options = cast_options(s.server);
	options.proto = MESH__HTTP_2;
	options.target.address.port = 1; /* nobody listens there */
	s.pool = cast_pool(&cast.env, &options);
	start_many(&s, SOME);
	mesh__loop_run(s.loop);
	assert_int_equal(count(SOME, MESH_E_CONNECT, MESH__SENT_NOTHING), SOME);
	fini_many(SOME);
	trip_stage_close(&s);
}

static void stop_the_others(struct trip *first)
{
	for (struct trip *t = trips; t < trips + SOME - 1; t++) {
		if (t != first && t->flight != NULL) {
			mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
		}
	}
}

static void one_that_is_stopped_leaves_the_others_their_connection(void **state)
{
	size_t wanted = SOME - 1;
	struct trip_stage s;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, h2_answer_ok, NULL, MANY);
	trip_init(&trips[0], &s, "GET", NULL);
	trip_run(&trips[0]);
	trip_fini(&trips[0]);
	start_many(&s, SOME);
	for (size_t i = 0; i < SOME; i += 2) {
		mesh__flight_stop(trips[i].flight, MESH_E_CANCELLED, "cancelled");
	}
	mesh__loop_run(s.loop);
	for (size_t i = 0; i < SOME; i++) {
		assert_int_equal(trips[i].dones, 1);
		assert_int_equal(trips[i].code, i % 2 == 0 ? MESH_E_CANCELLED : MESH_OK);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	fini_many(SOME);
	trip_stage_close(&s);
	/* While the first dials, and all others wait; then while the answers do not come. */
	trip_stage_open_http2(&s, &cast.payments, true, gathers, &wanted, MANY);
	start_many(&s, SOME);
	for (size_t i = 0; i < SOME; i++) {
		mesh__flight_stop(trips[i].flight, MESH_E_CANCELLED, "cancelled");
	}
	mesh__loop_run(s.loop);
	assert_int_equal(count(SOME, MESH_E_CANCELLED, MESH__SENT_NOTHING), SOME);
	fini_many(SOME);
	start_many(&s, SOME - 1); /* one less than the server gathers */
	for (size_t i = 0; i < SOME - 1; i++) {
		trips[i].after = stop_the_others;
	}
	mesh__loop_run(s.loop);
	assert_int_equal(count(SOME - 1, MESH_OK, MESH__SENT_MAYBE), 1);
	assert_int_equal(count(SOME - 1, MESH_E_CANCELLED, MESH__SENT_MAYBE), SOME - 2);
	fini_many(SOME - 1);
	trip_stage_close(&s);
}

/* Answers one, reads as many more as wanted, and is gone; the answer may be lost with it. */
static void dies_with_all(struct raw_conn *conn)
{
	uint32_t stream;
	size_t left = *(const size_t *)conn->arg;
	struct h2_peer peer;

	if (begin_with_one(&peer, conn)) {
		while (left-- > 0 && h2_peer_ended(&peer, &stream)) {
			atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
		}
	}
	h2_peer_fini(&peer);
}

static void a_connection_that_dies_takes_its_own_with_it_and_nothing_is_sent_twice(void **state)
{
	size_t wanted = SOME - 1;
	struct trip_stage s;

	(void)state;
	fly(&s, dies_with_all, &wanted, SOME);
	assert_in_range(count(SOME, MESH_E_RESET, MESH__SENT_MAYBE), SOME - 1, SOME);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), SOME - 1);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	fini_many(SOME);
	trip_init(&trips[0], &s, "GET", NULL);
	trip_run(&trips[0]);
	assert_int_equal(trips[0].code, MESH_OK);
	trip_fini(&trips[0]);
	trip_stage_close(&s);
}

static int by_number(const void *a, const void *b)
{
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

/* Answers one; of the next ones it takes half, and says that it has taken no more. */
static void goes_away(struct raw_conn *conn)
{
	uint32_t streams[SOME];
	size_t n = 0;
	struct h2_peer peer;

	if (begin_with_one(&peer, conn)) {
		while (n < SOME - 1 && h2_peer_ended(&peer, &streams[n])) {
			n++;
		}
		qsort(streams, n, sizeof(streams[0]), by_number);
		if (n == SOME - 1) {
			h2_goaway(&peer.out, streams[n / 2], H2_NO_ERROR);
			for (size_t i = 0; i <= n / 2 && h2_peer_answer(&peer, streams[i], 200, "ok"); i++) {
			}
		}
		raw_hang(conn);
	}
	h2_peer_fini(&peer);
}

static void above_the_last_stream_of_a_goaway_nothing_was_processed(void **state)
{
	struct trip_stage s;
	size_t ok;

	(void)state;
	fly(&s, goes_away, NULL, SOME);
	ok = count(SOME, MESH_OK, MESH__SENT_MAYBE);
	assert_int_equal(ok, 1 + (SOME - 1) / 2 + 1);
	assert_int_equal(count(SOME, MESH_E_RESET, MESH__SENT_NOTHING), SOME - ok);
	fini_many(SOME);
	trip_stage_close(&s);
}

static bool answer_or_refuse(struct h2_peer *peer, uint32_t stream)
{
	if (stream / 2 % 3 == 2) {
		h2_rst_stream(&peer->out, stream, H2_REFUSED_STREAM);
		return h2_peer_flush(peer);
	}
	return h2_peer_answer(peer, stream, 200, "ok");
}

static void refuses_some(struct raw_conn *conn)
{
	h2_serve(conn, answer_or_refuse);
}

static void a_refused_stream_was_surely_not_processed(void **state)
{
	struct trip_stage s;
	size_t ok;

	(void)state;
	fly(&s, refuses_some, NULL, SOME);
	ok = count(SOME, MESH_OK, MESH__SENT_MAYBE);
	assert_in_range(ok, SOME / 2, SOME - 1);
	assert_int_equal(count(SOME, MESH_E_RESET, MESH__SENT_NOTHING), SOME - ok);
	fini_many(SOME);
	trip_stage_close(&s);
}

/* Closes when the answer was taken, which `arg` counts: what the client writes behind it would else meet a connection that has gone, in the middle of its reading. */
static void answers_one(struct raw_conn *conn)
{
	struct h2_peer peer;

	if (begin_with_one(&peer, conn)) {
		(void)raw_wait(conn->arg, conn->index + 1);
	}
	h2_peer_fini(&peer);
}

static void a_kept_connection_that_has_gone_costs_no_flight(void **state)
{
	_Atomic long n_taken = 0;
	struct trip_stage s;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, answers_one, &n_taken, MANY);
	for (int i = 0; i < 5; i++) {
		trip_init(&trips[0], &s, "POST", "pay");
		trip_run(&trips[0]);
		assert_int_equal(trips[0].code, MESH_OK);
		trip_fini(&trips[0]);
		n_taken++;
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	trip_stage_close(&s);
}

static void *retire_and_stop(void *arg)
{
	struct trip_stage *s = arg;

	mesh__pool_retire(s->pool);
	(void)raw_wait(&raw_server_counts(s->server)->open, 0);
	mesh__loop_stop(s->loop);
	return NULL;
}

static void what_is_shared_goes_with_the_pool(void **state)
{
	struct trip_stage s;
	pthread_t thread;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, h2_answer_ok, NULL, MANY);
	trip_init(&trips[0], &s, "GET", NULL);
	trip_run(&trips[0]);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->open), 1);
	assert_non_null(s.pool->shared);
	assert_int_equal(s.pool->n_connections, 1);
	assert_int_equal(pthread_create(&thread, NULL, retire_and_stop, &s), 0);
	mesh__loop_run(s.loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_null(s.pool->shared);
	assert_int_equal(s.pool->n_connections, 0);
	trip_fini(&trips[0]);
	trip_stage_close(&s);
}

static void on_end(void *arg)
{
	mesh__loop_stop(arg);
}

static void what_nobody_uses_is_closed_after_a_time(void **state)
{
	struct trip_stage s;
	struct mesh__timer *end;

	(void)state;
	trip_stage_open_http2(&s, &cast.payments, true, h2_answer_ok, NULL, MANY);
	s.pool->options.idle_ms = 20;
	trip_init(&trips[0], &s, "GET", NULL);
	trip_run(&trips[0]);
	assert_int_equal(mesh__timer_new(s.loop, on_end, s.loop, &end), MESH_OK);
	while (s.pool->shared != NULL) {
		mesh__timer_start(end, 10, 0);
		mesh__loop_run(s.loop);
	}
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	mesh__timer_free(end);
	trip_fini(&trips[0]);
	trip_stage_close(&s);
}

static void every_failing_allocation_is_told(void **state)
{
	struct mesh__tls_conf *conf = test_tls_conf_http2(&cast.payments, &cast.ca);
	struct raw_server *server = raw_server_new(conf, h2_answer_ok, NULL);
	struct mesh__creds *creds = test_creds(&cast.cart, &cast.ca, 1);
	bool over = false;

	(void)state;
	for (long n = 1; !over; n += walk_stride()) {
		struct trip_stage s = {.server = server};
		struct mesh__pool_options options = cast_options(s.server);
		struct mesh__env own;
		struct fail_mem f;
		int failed = 0;

		fail_mem_init(&f);
		mesh__env_init(&own);
		own.mem = f.mem;
		options.creds = creds;
		options.proto = MESH__HTTP_2;
		assert_int_equal(mesh__pool_new(&own, &options, &s.pool, NULL), MESH_OK);
		assert_int_equal(mesh__loop_new(&own, &s.loop, NULL), MESH_OK);
		fail_mem_next(&f, n);
		for (int i = 0; i < 3; i++) {
			int code;

			trip_init(&trips[i], &s, "POST", "pay");
			code = mesh__flight_start(s.pool, s.loop, &trips[i].options, &trips[i].flight, NULL);
			assert_true(code == MESH_OK || code == MESH_E_NO_MEMORY);
			failed += code != MESH_OK;
			s.left += code == MESH_OK;
		}
		if (s.left > 0) {
			mesh__loop_run(s.loop);
		}
		for (int i = 0; i < 3; i++) {
			assert_true(trips[i].code == MESH_OK || trips[i].code == MESH_E_NO_MEMORY);
			failed += trips[i].code != MESH_OK;
			trip_fini(&trips[i]);
		}
		over = atomic_load(&f.count) < n;
		assert_true(over ? failed == 0 : failed > 0);
		mesh__pool_leave(s.pool, s.loop);
		mesh__pool_unref(s.pool);
		mesh__loop_free(s.loop);
		assert_int_equal(atomic_load(&f.live), 0);
		assert_true(n < 200);
	}
	mesh__creds_unref(creds);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_go_over_a_few_connections),
		cmocka_unit_test(over_max_pending_a_flight_does_not_start),
		cmocka_unit_test(they_are_under_way_at_once),
		cmocka_unit_test(behind_a_peer_with_another_name_all_are_refused),
		cmocka_unit_test(with_a_peer_of_http1_each_has_a_connection_of_its_own),
		cmocka_unit_test(an_unreachable_peer_is_found_so_by_a_few_dials),
		cmocka_unit_test(one_that_is_stopped_leaves_the_others_their_connection),
		cmocka_unit_test(a_connection_that_dies_takes_its_own_with_it_and_nothing_is_sent_twice),
		cmocka_unit_test(above_the_last_stream_of_a_goaway_nothing_was_processed),
		cmocka_unit_test(a_refused_stream_was_surely_not_processed),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_flight),
		cmocka_unit_test(what_is_shared_goes_with_the_pool),
		cmocka_unit_test(what_nobody_uses_is_closed_after_a_time),
		cmocka_unit_test(every_failing_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
