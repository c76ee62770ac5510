/* The calling thread's pool: reuse, the re-send that is stopped, rationed dialling, waiting, retiring. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "black_hole.h"
#include "cast.h"
#include "fake_env.h"
#include "http/curl_slot.h"

static struct mesh__pool_options plain_options(struct raw_server *server)
{
	struct mesh__pool_options options = cast_options(server);

	options.target.insecure_plaintext = true;
	return options;
}

static struct mesh__pool *plain_pool(struct raw_server *server)
{
	struct mesh__pool_options options = plain_options(server);

	return cast_pool(&cast.env, &options);
}

static struct mesh__pool *tls_pool(struct raw_server *server, int32_t max_dials)
{
	struct mesh__pool_options options = cast_options(server);

	options.max_dials = max_dials;
	return cast_pool(&cast.env, &options);
}

static void expect_ok(struct mesh__pool *pool, const char *method, const char *body, bool reused)
{
	struct client_call call;

	client_call_init(&call, method, body);
	if (client_call_run(&call, pool) != MESH_OK) {
		fail_msg("%s: %s", mesh__code_name(call.code), call.err.message);
	}
	assert_int_equal(call.response.status, 200);
	assert_string_equal(call.response.body.data, "ok");
	assert_int_equal(call.result.reused, reused);
	client_call_fini(&call);
}

static void a_connection_serves_again(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool *pool = plain_pool(server);

	(void)state;
	expect_ok(pool, "GET", NULL, false);
	expect_ok(pool, "POST", "pay", true);
	expect_ok(pool, "DELETE", NULL, true);
	assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 1);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

/* Answers the first request of a connection; reads the second, then the connection dies. */
static void answers_once_then_dies(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
		(void)raw_request(conn, NULL, 0);
	}
}

static void dies_after_the_request(struct raw_conn *conn)
{
	(void)raw_request(conn, NULL, 0);
}

static void resets_after_the_request(struct raw_conn *conn)
{
	(void)raw_request(conn, NULL, 0);
	raw_reset(conn);
}

static void expect_unsure(struct mesh__pool *pool, const char *method, const char *body)
{
	struct client_call call;

	client_call_init(&call, method, body);
	assert_int_equal(client_call_run(&call, pool), MESH_E_RESET);
	assert_int_equal(call.result.sent, MESH__SENT_MAYBE);
	assert_non_null(strstr(call.err.message, "payments.default.mesh.local at 127.0.0.1:"));
	assert_non_null(strstr(call.err.message, "may have been processed"));
	client_call_fini(&call);
}

static void sends_nothing_twice_on_a_reused_connection(void **state)
{
	static const char *const methods[] = {"POST", "GET", "PUT"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(methods); i++) {
		struct raw_server *server = raw_server_new(NULL, answers_once_then_dies, NULL);
		struct mesh__pool *pool = plain_pool(server);

		expect_ok(pool, "GET", NULL, false);
		expect_unsure(pool, methods[i], i == 1 ? NULL : "pay");
		assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 2);
		assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 1);
		mesh__pool_unref(pool);
		raw_server_free(server);
	}
}

static void sends_nothing_twice_on_a_fresh_connection(void **state)
{
	static const raw_script scripts[] = {dies_after_the_request, resets_after_the_request};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(scripts); i++) {
		struct raw_server *server = raw_server_new(NULL, scripts[i], NULL);
		struct mesh__pool *pool = plain_pool(server);

		expect_unsure(pool, "POST", "pay");
		assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 1);
		assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 1);
		mesh__pool_unref(pool);
		raw_server_free(server);
	}
}

/* Without saying "Connection: close": as a server does whose process ends. */
static void answers_once_and_closes(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_kept_connection_that_has_gone_costs_no_call(void **state)
{
	struct raw_server *server = raw_server_new(NULL, answers_once_and_closes, NULL);
	struct mesh__pool *pool = plain_pool(server);

	(void)state;
	for (int i = 0; i < 20; i++) {
		expect_ok(pool, "POST", "pay", false);
		assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 20);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

/* ---- Many threads ---- */

enum { THREADS = 64 };

struct herd {
	pthread_t threads[THREADS];
	struct client_call calls[THREADS];
	struct member {
		struct herd *herd;
		size_t index;
	} members[THREADS];
	struct mesh__pool *pool;
	int rounds; /* of calls that each makes after its first */
	_Atomic long ended;
};

static void *run_member(void *arg)
{
	struct member *m = arg;

	for (int i = 0; i <= m->herd->rounds && client_call_run(&m->herd->calls[m->index], m->herd->pool) == MESH_OK; i++) {
	}
	atomic_fetch_add(&m->herd->ended, 1);
	return NULL;
}

static void herd_prepare(struct herd *herd, struct mesh__pool *pool, size_t n, int64_t timeout_ms)
{
	herd->pool = pool;
	atomic_store(&herd->ended, 0);
	for (size_t i = 0; i < n; i++) {
		client_call_init(&herd->calls[i], "GET", NULL);
		herd->calls[i].timeout_ms = timeout_ms;
		herd->calls[i].cancel = mesh__cancel_new(&cast.env);
		herd->members[i] = (struct member){.herd = herd, .index = i};
	}
}

static void herd_run(struct herd *herd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pthread_create(&herd->threads[i], NULL, run_member, &herd->members[i]), 0);
	}
}

static void herd_start(struct herd *herd, struct mesh__pool *pool, size_t n, int64_t timeout_ms)
{
	herd_prepare(herd, pool, n, timeout_ms);
	herd_run(herd, n);
}

static void herd_join(struct herd *herd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		(void)pthread_join(herd->threads[i], NULL);
	}
}

static void herd_fini(struct herd *herd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		client_call_fini(&herd->calls[i]);
	}
}

static size_t herd_count(const struct herd *herd, size_t n, int code)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		count += herd->calls[i].code == code;
	}
	return count;
}

static void hangs(struct raw_conn *conn)
{
	raw_hang(conn);
}

static int32_t waiting(struct mesh__pool *pool)
{
	int32_t n;

	(void)pthread_mutex_lock(&pool->mu);
	n = atomic_load(&pool->n_waiting);
	(void)pthread_mutex_unlock(&pool->mu);
	return n;
}

/* The server takes connections and never shakes hands: whoever may dial hangs there, the rest must be waiting. */
static void at_most_max_dials_run_at_once(void **state)
{
	enum { DIALS = 3 };
	static struct herd herd;
	struct raw_server *server = raw_server_new(NULL, hangs, NULL);
	struct mesh__pool *pool = tls_pool(server, DIALS);

	(void)state;
	herd_start(&herd, pool, THREADS, 60000);
	assert_true(raw_wait(&raw_server_counts(server)->accepted, DIALS));
	while (waiting(pool) < THREADS - DIALS) {
		(void)sched_yield();
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), DIALS);
	for (size_t i = 0; i < THREADS; i++) {
		mesh__cancel_fire(herd.calls[i].cancel);
	}
	herd_join(&herd, THREADS);
	assert_int_equal(herd_count(&herd, THREADS, MESH_E_CANCELLED), THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(herd.calls[i].result.sent, MESH__SENT_NOTHING);
	}
	herd_fini(&herd, THREADS);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static void cold_threads_are_all_served(void **state)
{
	static struct herd herd;
	struct mesh__tls_conf *conf = test_tls_conf(&cast.payments, &cast.ca, false);
	struct raw_server *server = raw_server_new(conf, raw_answer_ok, NULL);
	struct mesh__pool *pool = tls_pool(server, 8);

	(void)state;
	herd_start(&herd, pool, THREADS, 60000);
	herd_join(&herd, THREADS);
	assert_int_equal(herd_count(&herd, THREADS, MESH_OK), THREADS);
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), THREADS);
	herd_fini(&herd, THREADS);
	mesh__pool_unref(pool);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

static struct mesh__pool *narrow_pool(struct raw_server *server, int32_t max_connections, int32_t max_pending)
{
	struct mesh__pool_options options = plain_options(server);

	options.max_connections = max_connections;
	options.max_pending = max_pending;
	return cast_pool(&cast.env, &options);
}

static void over_max_pending_a_call_fails_at_once(void **state)
{
	enum { CALLS = 10, PENDING = 4 };
	static struct herd herd;
	struct raw_server *server = raw_server_new(NULL, hangs, NULL);
	struct mesh__pool *pool = narrow_pool(server, 1, PENDING);

	(void)state;
	herd_start(&herd, pool, CALLS, 30000);
	assert_true(raw_wait(&herd.ended, CALLS - PENDING - 1)); /* one has the connection, PENDING wait */
	for (size_t i = 0; i < CALLS; i++) {
		mesh__cancel_fire(herd.calls[i].cancel);
	}
	herd_join(&herd, CALLS);
	assert_int_equal(herd_count(&herd, CALLS, MESH_E_OVERLOADED), CALLS - PENDING - 1);
	assert_int_equal(herd_count(&herd, CALLS, MESH_E_CANCELLED), PENDING + 1);
	for (size_t i = 0; i < CALLS; i++) {
		bool sent = herd.calls[i].result.sent == MESH__SENT_MAYBE;
		assert_true(!sent || herd.calls[i].code == MESH_E_CANCELLED);
	}
	herd_fini(&herd, CALLS);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

/* A wake-up that were lost would leave somebody waiting until his deadline. */
static void a_returned_connection_goes_to_who_waits(void **state)
{
	static struct herd herd = {.rounds = 50};
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool *pool = narrow_pool(server, 2, THREADS);

	(void)state;
	herd_start(&herd, pool, THREADS, 60000);
	herd_join(&herd, THREADS);
	assert_int_equal(herd_count(&herd, THREADS, MESH_OK), THREADS);
	assert_true(atomic_load(&raw_server_counts(server)->accepted) <= 2);
	herd_fini(&herd, THREADS);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static void waiting_ends_at_the_deadline_with_nothing_sent(void **state)
{
	static struct herd holder, waiters;
	struct raw_server *server = raw_server_new(NULL, hangs, NULL);
	struct mesh__pool *pool = narrow_pool(server, 1, 8);

	(void)state;
	herd_start(&holder, pool, 1, 30000);
	assert_true(raw_wait(&raw_server_counts(server)->accepted, 1));
	herd_start(&waiters, pool, 4, 100);
	herd_join(&waiters, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(waiters.calls[i].code, MESH_E_TIMEOUT);
		assert_int_equal(waiters.calls[i].result.sent, MESH__SENT_NOTHING);
		assert_true(waiters.calls[i].result.total_us >= 100000);
	}
	mesh__cancel_fire(holder.calls[0].cancel);
	herd_join(&holder, 1);
	herd_fini(&holder, 1);
	herd_fini(&waiters, 4);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

/* Two dials at a time, each of which takes its 300 ms to fail: alone they would let the last of the queue wait for ten seconds. */
static void who_waits_for_a_dead_endpoint_fails_with_its_dials(void **state)
{
	enum { DIALS = 2 };
	static struct herd herd;
	struct black_hole hole;
	struct raw_server *server = raw_server_new(NULL, hangs, NULL);
	struct mesh__pool_options options = plain_options(server);
	struct mesh__pool *pool;

	(void)state;
	black_hole_init(&hole);
	options.target.address = hole.address;
	options.max_dials = DIALS;
	pool = cast_pool(&cast.env, &options);
	herd_prepare(&herd, pool, THREADS, 30000);
	for (size_t i = 0; i < THREADS; i++) {
		herd.calls[i].connect_timeout_ms = 300;
	}
	herd_run(&herd, THREADS);
	herd_join(&herd, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(herd.calls[i].code, MESH_E_CONNECT);
		assert_int_equal(herd.calls[i].result.sent, MESH__SENT_NOTHING);
		assert_true(herd.calls[i].result.total_us < 9000000);
	}
	herd_fini(&herd, THREADS);
	mesh__pool_unref(pool);
	black_hole_fini(&hole);
	raw_server_free(server);
}

/* ---- Keeping and closing ---- */

static void a_tls_connection_closed_in_order_costs_no_call(void **state)
{
	struct mesh__tls_conf *conf = test_tls_conf(&cast.payments, &cast.ca, false);
	struct raw_server *server = raw_server_new(conf, answers_once_and_closes, NULL);
	struct mesh__pool *pool = tls_pool(server, 8);

	(void)state;
	for (int i = 0; i < 5; i++) {
		expect_ok(pool, "POST", "pay", false);
		assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	}
	mesh__pool_unref(pool);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

static void a_retired_pool_keeps_no_connection(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool *pool = plain_pool(server);

	(void)state;
	expect_ok(pool, "GET", NULL, false);
	assert_int_equal(atomic_load(&raw_server_counts(server)->open), 1);
	mesh__pool_retire(pool);
	assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	expect_ok(pool, "GET", NULL, false);
	assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static void sweeping_closes_what_has_idled_too_long(void **state)
{
	static struct fake_env fake;
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool_options options = plain_options(server);
	struct mesh__pool *pool;
	struct client_call call;

	(void)state;
	fake_env_init(&fake);
	pool = cast_pool(&fake.env, &options);
	client_call_init(&call, "GET", NULL);
	call.env = fake.env;
	assert_int_equal(client_call_run(&call, pool), MESH_OK);
	fake_env_advance_ms(&fake, 59000);
	mesh__pool_sweep(pool, false);
	assert_int_equal(client_call_run(&call, pool), MESH_OK);
	assert_true(call.result.reused);
	fake_env_advance_ms(&fake, 61000);
	assert_int_equal(client_call_run(&call, pool), MESH_OK); /* not swept yet, but too old all the same */
	assert_false(call.result.reused);
	fake_env_advance_ms(&fake, 61000);
	mesh__pool_sweep(pool, false);
	assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	client_call_fini(&call);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

/* How many descriptors libcurl takes for a slot before it dials (two on 7.88, one on 8.14). */
static rlim_t handle_descriptors(struct mesh__pool *pool)
{
	struct mesh__slot *slot = NULL;
	int before = dup(0), after;

	assert_int_equal(mesh__slot_new(pool, &slot, NULL), MESH_OK);
	after = dup(0);
	assert_true(before >= 0 && after > before);
	(void)close(before);
	(void)close(after);
	mesh__slot_free(slot);
	return (rlim_t)(after - before - 1);
}

static void without_descriptors_a_call_fails_and_the_next_recovers(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool *pool = plain_pool(server);
	rlim_t taken = handle_descriptors(pool);
	struct rlimit old, none;
	struct client_call call;
	int next;

	(void)state;
	client_call_init(&call, "POST", "pay");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	next = dup(0);
	assert_true(next >= 0);
	(void)close(next);
	/* With no descriptor at all, and with enough for a handle of libcurl's but none for a socket. The server needs none until it accepts. */
	for (rlim_t room = 0; room < 2; room++) {
		none = (struct rlimit){.rlim_cur = (rlim_t)next + room * taken, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		(void)client_call_run(&call, pool);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(call.code, MESH_E_CONNECT);
		assert_int_equal(call.result.sent, MESH__SENT_NOTHING);
		assert_non_null(strstr(call.err.message, "ulimit -n"));
	}
	expect_ok(pool, "GET", NULL, false);
	client_call_fini(&call);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_again),
		cmocka_unit_test(sends_nothing_twice_on_a_reused_connection),
		cmocka_unit_test(sends_nothing_twice_on_a_fresh_connection),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_call),
		cmocka_unit_test(a_tls_connection_closed_in_order_costs_no_call),
		cmocka_unit_test(at_most_max_dials_run_at_once),
		cmocka_unit_test(cold_threads_are_all_served),
		cmocka_unit_test(over_max_pending_a_call_fails_at_once),
		cmocka_unit_test(a_returned_connection_goes_to_who_waits),
		cmocka_unit_test(waiting_ends_at_the_deadline_with_nothing_sent),
		cmocka_unit_test(who_waits_for_a_dead_endpoint_fails_with_its_dials),
		cmocka_unit_test(a_retired_pool_keeps_no_connection),
		cmocka_unit_test(sweeping_closes_what_has_idled_too_long),
		cmocka_unit_test(without_descriptors_a_call_fails_and_the_next_recovers),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
