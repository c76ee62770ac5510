/*
 * Calls that no thread waits for: their end is told exactly once, by a function, by an event or to one who waits; they are cancelled at every stage from any thread and any callback; and nothing waits on the call thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "h2_peer.h"
#include "raw_server.h"
#include "test_peer.h"
#include "patience.h"
#include "two_meshes.h"

enum { WAIT_MS = 60000 };

static struct two_meshes t;
static mesh *cart;

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static mesh_inbound *kept[64];
static int n_kept;

/* "/keep" is answered when the test says so, all else at once. */
static void serve(void *user, mesh_inbound *in)
{
	(void)user;
	if (strcmp(mesh_inbound_path(in), "/keep") != 0) {
		(void)mesh_reply(in, 200, "paid", 4);
		return;
	}
	(void)pthread_mutex_lock(&mu);
	kept[n_kept++] = in;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static void await_kept(int n)
{
	(void)pthread_mutex_lock(&mu);
	while (n_kept < n) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	(void)pthread_mutex_unlock(&mu);
}

static void reply_to_kept(void)
{
	(void)pthread_mutex_lock(&mu);
	while (n_kept > 0) {
		(void)mesh_reply(kept[--n_kept], 200, "late", 4);
	}
	(void)pthread_mutex_unlock(&mu);
}

static int set_up(void **state)
{
	(void)state;
	n_kept = 0;
	two_meshes_init(&t, "inline", serve, NULL);
	cart = two_meshes_open(two_meshes_cart(&t));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	reply_to_kept();
	if (cart != NULL) {
		assert_int_equal(mesh_close(cart, 5000), MESH_OK);
	}
	cart = NULL;
	assert_int_equal(t.mem.live, 0);
	two_meshes_fini(&t);
	return 0;
}

static mesh_request *request(const char *path)
{
	mesh_request *r = mesh_request_new(cart, "payments", "POST", path);

	assert_non_null(r);
	assert_int_equal(mesh_request_body(r, "ten", 3), MESH_OK);
	assert_int_equal(mesh_request_timeout(r, WAIT_MS), MESH_OK);
	return r;
}

/* ---- What a function is told ---- */

struct told {
	int times;
	int32_t code, status;
	char body[32];
	int32_t (*then)(struct told *told, mesh_request *r); /* in the function */
	int32_t then_code;
	int again; /* so many times more is it started from there */
	bool frees;
	mesh_request *other;
};

static void on_done(void *user, mesh_request *r, int32_t code)
{
	struct told *told = user;

	(void)pthread_mutex_lock(&mu);
	told->code = code;
	told->status = mesh_response_status(r);
	(void)snprintf(told->body, sizeof(told->body), "%s", mesh_response_body(r, NULL));
	(void)pthread_mutex_unlock(&mu);
	if (told->then != NULL) {
		told->then_code = told->then(told, r);
	}
	if (told->again > 0) {
		told->again--;
		assert_int_equal(mesh_call_start(r, on_done, told), MESH_OK);
	}
	if (told->frees) {
		mesh_request_free(r);
	}
	(void)pthread_mutex_lock(&mu);
	told->times++;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static void await_told(struct told *told, int times)
{
	(void)pthread_mutex_lock(&mu);
	while (told->times < times) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	(void)pthread_mutex_unlock(&mu);
}

static void done_is_told_once_and_may_start_it_again_and_free_it(void **state)
{
	struct told told = {.again = 9};
	mesh_request *r = request("/");

	(void)state;
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_told(&told, 10);
	assert_int_equal(told.code, MESH_OK);
	assert_int_equal(told.status, 200);
	assert_string_equal(told.body, "paid");
	assert_string_equal(mesh_response_version(r), "v1");
	assert_int_equal(mesh_request_tries(r), 1);
	assert_null(mesh_request_error(r));
	assert_int_equal(two_meshes_connections(&t), 1);
	told.frees = true;
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_told(&told, 11);
	assert_int_equal(told.code, MESH_OK);
}

static int32_t wait_there(struct told *told, mesh_request *r)
{
	mesh_event event;

	assert_int_equal(mesh_call(r), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_call_wait(told->other), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_poll(cart, &event, 1, 1000), -MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_poll(cart, &event, 1, 0), 0);
	assert_int_equal(mesh_wait_ready(cart, 1000, NULL), MESH_E_WOULD_BLOCK);
	return mesh_close(cart, 1000);
}

static void nothing_waits_on_the_call_thread(void **state)
{
	struct told told = {.then = wait_there, .other = request("/keep")};
	mesh_request *r = request("/");

	(void)state;
	assert_int_equal(mesh_call_start(told.other, NULL, NULL), MESH_OK);
	await_kept(1);
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_told(&told, 1);
	assert_int_equal(told.then_code, MESH_E_WOULD_BLOCK);
	reply_to_kept();
	assert_int_equal(mesh_call_wait(told.other), MESH_OK);
	mesh_request_free(told.other);
	mesh_request_free(r);
}

static void many_are_under_way_at_once(void **state)
{
	enum { CALLS = 40 };
	mesh_request *r[CALLS];
	struct told told = {.times = 0};

	(void)state;
	for (int i = 0; i < CALLS; i++) {
		r[i] = request("/keep");
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_OK);
	}
	await_kept(CALLS);
	assert_int_equal(told.times, 0);
	reply_to_kept();
	await_told(&told, CALLS);
	for (int i = 0; i < CALLS; i++) {
		assert_string_equal(mesh_response_body(r[i], NULL), "late");
		mesh_request_free(r[i]);
	}
}

static void both_ways_go_over_the_same_connections(void **state)
{
	mesh_request *r = request("/");

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mesh_call(r), MESH_OK);
		assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
		assert_int_equal(mesh_call_wait(r), MESH_OK);
	}
	assert_int_equal(two_meshes_connections(&t), 1);
	mesh_request_free(r);
}

static void a_dead_endpoint_is_passed_over(void **state)
{
	struct mesh__addr addresses[2];
	struct raw_server *gone = raw_server_new(NULL, raw_answer_ok, NULL);
	mesh *m;

	(void)state;
	raw_server_address(gone, &addresses[0]);
	raw_server_free(gone);
	two_meshes_address(&t, &addresses[1]);
	m = two_meshes_open(two_meshes_options_at(&t, "stock", addresses, 2, NULL));
	for (int i = 0; i < 20; i++) {
		mesh_request *r = mesh_request_new(m, "payments", "GET", "/");

		assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
		assert_int_equal(mesh_call_wait(r), MESH_OK);
		assert_in_range(mesh_request_tries(r), 1, 2);
		mesh_request_free(r);
	}
	assert_int_equal(mesh_close(m, 0), MESH_OK);
}

/* ---- Waiting and events ---- */

static void who_waits_is_told_and_no_event_is_left(void **state)
{
	mesh_request *r = request("/");
	mesh_event event;

	(void)state;
	assert_int_equal(mesh_call_wait(r), MESH_E_STATE);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	assert_int_equal(mesh_poll(cart, &event, 1, 0), 0);
	assert_int_equal(mesh_call(r), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_E_STATE);
	mesh_request_free(r);
	r = request("/nobody");
	assert_int_equal(mesh_request_timeout(r, 1), MESH_OK);
	mesh_cancel(r);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_E_CANCELLED);
	assert_int_equal(mesh_error_code(mesh_request_error(r)), MESH_E_CANCELLED);
	mesh_request_free(r);
}

static void an_event_tells_of_each_call(void **state)
{
	enum { CALLS = 10 };
	mesh_request *r[CALLS];
	bool seen[CALLS] = {false};
	mesh_event events[4];
	int32_t n, total = 0;

	(void)state;
	assert_int_equal(mesh_poll(cart, events, 4, 0), 0);
	assert_int_equal(mesh_poll(cart, events, 4, 1), 0);
	assert_int_equal(mesh_poll(cart, events, 0, 1), -MESH_E_INVALID);
	assert_int_equal(mesh_poll(cart, NULL, 4, 1), -MESH_E_INVALID);
	assert_int_equal(mesh_poll(NULL, events, 4, 1), -MESH_E_INVALID);
	for (int i = 0; i < CALLS; i++) {
		r[i] = request("/");
		assert_int_equal(mesh_call_start(r[i], NULL, &seen[i]), MESH_OK);
	}
	for (; total < CALLS; total += n) {
		n = mesh_poll(cart, events, 4, WAIT_MS);
		assert_in_range(n, 1, 4);
		for (int32_t i = 0; i < n; i++) {
			bool *mine = events[i].user;

			assert_int_equal(events[i].kind, MESH_EVENT_DONE);
			assert_int_equal(events[i].code, MESH_OK);
			assert_ptr_equal(events[i].request, r[mine - seen]);
			assert_false(*mine);
			*mine = true;
			mesh_request_free(events[i].request);
		}
	}
	assert_int_equal(mesh_poll(cart, events, 4, 0), 0);
}

enum { TOGETHER = 20 };

/* On the call thread: all of them are there when it comes to the next. Cancelled beforehand, they end where they begin. */
static int32_t start_many(struct told *told, mesh_request *r)
{
	(void)told;
	(void)r;
	for (int i = 0; i < TOGETHER; i++) {
		mesh_request *one = request("/");

		mesh_cancel(one);
		assert_int_equal(mesh_call_start(one, NULL, NULL), MESH_OK);
	}
	return MESH_OK;
}

static void what_ends_in_one_turn_of_the_loop_is_told_at_once(void **state)
{
	struct told told = {.then = start_many};
	mesh_request *r = request("/");
	mesh_event events[2 * TOGETHER];

	(void)state;
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	assert_int_equal(mesh_poll(cart, events, 2 * TOGETHER, WAIT_MS), TOGETHER);
	for (int i = 0; i < TOGETHER; i++) {
		assert_int_equal(events[i].code, MESH_E_CANCELLED);
		mesh_request_free(events[i].request);
	}
	await_told(&told, 1);
	mesh_request_free(r);
}

static void what_was_freed_or_started_anew_is_told_no_more(void **state)
{
	mesh_request *freed = request("/"), *again = request("/"), *last = request("/");
	struct pollfd ready = {.fd = mesh_event_fd(cart), .events = POLLIN};
	mesh_event events[4];

	(void)state;
	assert_int_equal(mesh_call_start(freed, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_call_start(again, NULL, NULL), MESH_OK);
	assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	while (mesh_call_start(again, NULL, "again") != MESH_OK) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_int_equal(mesh_call_wait(again), MESH_OK);
	while (mesh_call_start(freed, NULL, NULL) != MESH_OK) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_int_equal(mesh_call_wait(freed), MESH_OK);
	mesh_request_free(freed);
	mesh_request_free(again);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(mesh_call_start(last, NULL, NULL), MESH_OK);
	assert_int_equal(mesh_poll(cart, events, 4, WAIT_MS), 1);
	assert_ptr_equal(events[0].request, last);
	mesh_request_free(last);
}

static void a_foreign_loop_finds_the_descriptor_readable(void **state)
{
	struct pollfd ready = {.events = POLLIN};
	mesh_request *r = request("/keep"), *quick = request("/");
	mesh_event event;

	(void)state;
	assert_int_equal(mesh_event_fd(NULL), -MESH_E_INVALID);
	ready.fd = mesh_event_fd(cart);
	assert_true(ready.fd >= 0);
	assert_int_equal(mesh_event_fd(cart), ready.fd);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	await_kept(1);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(mesh_call_start(quick, NULL, NULL), MESH_OK);
	assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	assert_int_equal(mesh_poll(cart, &event, 1, 0), 1);
	assert_ptr_equal(event.request, quick);
	assert_int_equal(poll(&ready, 1, 0), 0);
	reply_to_kept();
	assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	assert_int_equal(mesh_poll(cart, &event, 1, 0), 1);
	assert_int_equal(poll(&ready, 1, 0), 0);
	mesh_request_free(r);
	mesh_request_free(quick);
}

static void one_call_of_a_request_at_a_time(void **state)
{
	struct told told = {.times = 0};
	mesh_request *r = request("/keep");

	(void)state;
	assert_int_equal(mesh_call_start(NULL, NULL, NULL), MESH_E_INVALID);
	assert_int_equal(mesh_call_wait(NULL), MESH_E_INVALID);
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_kept(1);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_E_STATE);
	assert_int_equal(mesh_call(r), MESH_E_STATE);
	assert_int_equal(mesh_call_wait(r), MESH_E_STATE);
	reply_to_kept();
	await_told(&told, 1);
	assert_int_equal(told.code, MESH_OK);
	mesh_request_free(r);
}

static void behind_a_wrong_name_over_http2_all_twenty_are_refused_and_nothing_is_sent(void **state)
{
	enum { CALLS = 20 };
	struct test_peer refunds;
	struct mesh__tls_conf *conf;
	struct raw_server *server;
	struct told told = {.times = 0};
	struct mesh__addr address;
	mesh_request *r[CALLS];
	mesh *m;

	(void)state;
	test_peer_init(&refunds, &t.ca, "refunds");
	conf = test_tls_conf_http2(&refunds, &t.ca);
	server = raw_server_new(conf, h2_count_requests, NULL);
	raw_server_address(server, &address);
	m = two_meshes_open(two_meshes_options_with(&t, "stock", &address, 1, "protocol: http2\n"));
	for (int i = 0; i < CALLS; i++) {
		r[i] = mesh_request_new(m, "payments", "POST", "/");
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_OK);
	}
	await_told(&told, CALLS);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(mesh_error_code(mesh_request_error(r[i])), MESH_E_IDENTITY);
		assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r[i])), 0);
		mesh_request_free(r[i]);
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 0);
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
	test_peer_fini(&refunds);
}

/* ---- Waiting for word of a service ---- */

static void it_waits_for_word_of_its_service_until_its_time_its_cancel_or_the_close(void **state)
{
	mesh_options *o = two_meshes_options(&t, "stock");
	struct told told = {.times = 0};
	mesh_request *r[3];
	mesh *m;

	(void)state;
	assert_int_equal(mesh_options_set(o, "control", "https://127.0.0.1:9"), MESH_OK); /* nobody listens there */
	assert_int_equal(mesh_open(o, &m, NULL), MESH_OK);
	mesh_options_free(o);
	for (int i = 0; i < 3; i++) {
		r[i] = mesh_request_new(m, "orders", "GET", "/");
		assert_int_equal(mesh_request_timeout(r[i], i == 0 ? 50 : WAIT_MS), MESH_OK);
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_OK);
	}
	await_told(&told, 1);
	assert_int_equal(mesh_error_code(mesh_request_error(r[0])), MESH_E_TIMEOUT);
	mesh_cancel(r[1]);
	await_told(&told, 2);
	assert_int_equal(mesh_error_code(mesh_request_error(r[1])), MESH_E_CANCELLED);
	(void)mesh_close(m, 0);
	assert_int_equal(told.times, 3);
	assert_int_equal(mesh_error_code(mesh_request_error(r[2])), MESH_E_CLOSED);
	for (int i = 0; i < 3; i++) {
		mesh_request_free(r[i]);
	}
}

/* ---- Cancelling ---- */

static void hangs(struct raw_conn *conn)
{
	raw_hang(conn);
}

static int32_t cancel_other(struct told *told, mesh_request *r)
{
	mesh_cancel(r); /* too late for itself: it meets its next call */
	mesh_cancel(told->other);
	return MESH_OK;
}

static void it_is_cancelled_from_anywhere_and_told_once(void **state)
{
	struct told told = {.times = 0}, canceller = {.then = cancel_other};
	mesh_request *r = request("/keep"), *quick = request("/");

	(void)state;
	/* Before it begins, while it is under way from another thread, and from a callback. The second of two is nothing more, but where the first may have ended the call already it is the next one's. */
	mesh_cancel(r);
	mesh_cancel(r);
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_told(&told, 1);
	assert_int_equal(told.code, MESH_E_CANCELLED);
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_kept(1);
	mesh_cancel(r);
	await_told(&told, 2);
	assert_int_equal(told.code, MESH_E_CANCELLED);
	assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r)), 1);
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	await_kept(2);
	canceller.other = r;
	assert_int_equal(mesh_call_start(quick, on_done, &canceller), MESH_OK);
	await_told(&told, 3);
	await_told(&canceller, 1);
	assert_int_equal(told.code, MESH_E_CANCELLED);
	assert_int_equal(canceller.code, MESH_OK);
	assert_int_equal(mesh_call(quick), MESH_E_CANCELLED);
	assert_int_equal(mesh_call(quick), MESH_OK);
	mesh_request_free(r);
	mesh_request_free(quick);
}

/* The server takes connections and says nothing: eight dial, the others stand in the queue. */
static void it_is_cancelled_while_it_dials_or_waits_for_a_connection(void **state)
{
	enum { CALLS = 20 };
	struct raw_server *silent = raw_server_new(NULL, hangs, NULL);
	struct told told = {.times = 0};
	struct mesh__addr address;
	mesh_request *r[CALLS];
	mesh *m;

	(void)state;
	raw_server_address(silent, &address);
	m = two_meshes_open(two_meshes_options_at(&t, "stock", &address, 1, "60s"));
	for (int i = 0; i < CALLS; i++) {
		r[i] = mesh_request_new(m, "payments", "GET", "/");
		assert_int_equal(mesh_request_timeout(r[i], WAIT_MS), MESH_OK);
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_OK);
	}
	assert_true(raw_wait(&raw_server_counts(silent)->accepted, 8));
	for (int i = CALLS; i-- > 0;) {
		mesh_cancel(r[i]);
	}
	await_told(&told, CALLS);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(mesh_error_code(mesh_request_error(r[i])), MESH_E_CANCELLED);
		assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r[i])), 0);
		mesh_request_free(r[i]);
	}
	assert_int_equal(told.times, CALLS);
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	raw_server_free(silent);
}

/* Each is cancelled by a thread of its own at whatever moment, often when it ends by itself: one end is told all the same. */
struct race {
	mesh_request *r;
	struct told told;
	pthread_t thread;
};

static void *cancel_soon(void *arg)
{
	struct race *race = arg;

	mesh_cancel(race->r);
	return NULL;
}

static void a_race_of_cancel_and_end_is_told_once(void **state)
{
	enum { RACES = 200 };
	struct mesh__addr address;
	int cancelled = 0;
	mesh *m;

	(void)state;
	two_meshes_address(&t, &address);
	m = two_meshes_open(two_meshes_options_at(&t, "stock", &address, 1, "60s")); /* who is cancelled leaves a connection to be made anew */
	for (int i = 0; i < RACES; i++) {
		struct race race = {.r = mesh_request_new(m, "payments", "GET", "/")};

		assert_int_equal(mesh_request_timeout(race.r, WAIT_MS), MESH_OK);
		assert_int_equal(mesh_call_start(race.r, on_done, &race.told), MESH_OK);
		assert_int_equal(pthread_create(&race.thread, NULL, cancel_soon, &race), 0);
		await_told(&race.told, 1);
		assert_int_equal(pthread_join(race.thread, NULL), 0);
		assert_int_equal(race.told.times, 1);
		if (race.told.code != MESH_OK && race.told.code != MESH_E_CANCELLED) {
			fail_msg("neither an answer nor cancelled: %s", mesh_error_message(mesh_request_error(race.r)));
		}
		cancelled += race.told.code == MESH_E_CANCELLED;
		mesh_request_free(race.r);
	}
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	print_message("%d of %d were cancelled\n", cancelled, RACES);
}

/* ---- Closing ---- */

static void *poll_until_closed(void *arg)
{
	mesh_event event;
	int32_t n;

	while ((n = mesh_poll(arg, &event, 1, WAIT_MS)) > 0) {
	}
	return (void *)(intptr_t)-n;
}

static void closing_ends_what_is_under_way_and_who_waits_for_it(void **state)
{
	enum { CALLS = 10 };
	mesh_request *r[CALLS], *polled = request("/keep");
	struct told told = {.times = 0};
	mesh_event event;
	pthread_t poller;
	void *code;

	(void)state;
	for (int i = 0; i < CALLS; i++) {
		r[i] = request("/keep");
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_OK);
	}
	assert_int_equal(mesh_call_start(polled, NULL, NULL), MESH_OK);
	await_kept(CALLS + 1);
	assert_int_equal(pthread_create(&poller, NULL, poll_until_closed, cart), 0);
	assert_int_equal(mesh_close(cart, 100), MESH_E_TIMEOUT);
	assert_int_equal(told.times, CALLS);
	assert_int_equal(pthread_join(poller, &code), 0);
	assert_int_equal((intptr_t)code, MESH_E_CLOSED);
	assert_int_equal(mesh_call_wait(polled), MESH_E_CLOSED);
	assert_int_equal(mesh_poll(cart, &event, 1, 1000), -MESH_E_CLOSED);
	assert_int_equal(mesh_event_fd(cart), -MESH_E_CLOSED);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(mesh_error_code(mesh_request_error(r[i])), MESH_E_CLOSED);
		assert_int_equal(mesh_call_start(r[i], on_done, &told), MESH_E_CLOSED);
		mesh_request_free(r[i]);
	}
	assert_int_equal(told.times, CALLS);
	mesh_request_free(polled);
	cart = NULL;
}

static void closing_lets_what_is_under_way_finish(void **state)
{
	mesh_request *r = request("/");
	struct told told = {.times = 0};

	(void)state;
	assert_int_equal(mesh_call_start(r, on_done, &told), MESH_OK);
	assert_int_equal(mesh_close(cart, WAIT_MS), MESH_OK);
	cart = NULL;
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, MESH_OK);
	mesh_request_free(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(done_is_told_once_and_may_start_it_again_and_free_it),
		TEST(nothing_waits_on_the_call_thread),
		TEST(many_are_under_way_at_once),
		TEST(both_ways_go_over_the_same_connections),
		TEST(a_dead_endpoint_is_passed_over),
		TEST(behind_a_wrong_name_over_http2_all_twenty_are_refused_and_nothing_is_sent),
		TEST(it_waits_for_word_of_its_service_until_its_time_its_cancel_or_the_close),
		TEST(who_waits_is_told_and_no_event_is_left),
		TEST(an_event_tells_of_each_call),
		TEST(what_ends_in_one_turn_of_the_loop_is_told_at_once),
		TEST(what_was_freed_or_started_anew_is_told_no_more),
		TEST(a_foreign_loop_finds_the_descriptor_readable),
		TEST(one_call_of_a_request_at_a_time),
		TEST(it_is_cancelled_from_anywhere_and_told_once),
		TEST(it_is_cancelled_while_it_dials_or_waits_for_a_connection),
		TEST(a_race_of_cancel_and_end_is_told_once),
		TEST(closing_ends_what_is_under_way_and_who_waits_for_it),
		TEST(closing_lets_what_is_under_way_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
