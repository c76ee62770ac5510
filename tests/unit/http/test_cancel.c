/* An exchange ends when its time is up or when it is cancelled, at whatever stage it is; nothing leaks, and the connection is not kept. THREATS 30. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "black_hole.h"
#include "cast.h"

static struct mesh__pool *pool_to(const struct mesh__addr *address, bool tls)
{
	struct mesh__pool_options options = cast_options(NULL);

	options.target.address = *address;
	options.target.insecure_plaintext = !tls;
	return cast_pool(&cast.env, &options);
}

/* ---- The stages at which a peer can stop ---- */

static void hangs(struct raw_conn *conn)
{
	raw_hang(conn);
}

static void takes_the_request(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		raw_hang(conn);
	}
}

static void begins_a_body(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")) {
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1); /* now both halves are out */
		raw_hang(conn);
	}
}

struct stage {
	const char *name;
	raw_script script; /* NULL: a black hole */
	bool tls_client;
	bool tls_server;
	long accepted, requests; /* on the server when the exchange is at the stage */
	enum mesh__sent sent;
};

static const struct stage stages[] = {
	{"connecting", NULL, false, false, 0, 0, MESH__SENT_NOTHING},
	{"shaking hands", hangs, true, false, 1, 0, MESH__SENT_NOTHING},
	{"waiting for the response", takes_the_request, false, false, 1, 1, MESH__SENT_MAYBE},
	{"waiting for the response over TLS", takes_the_request, true, true, 1, 1, MESH__SENT_MAYBE},
	{"reading the body", begins_a_body, false, false, 1, 2, MESH__SENT_MAYBE},
};

struct set {
	struct black_hole hole;
	struct mesh__tls_conf *conf;
	struct raw_server *server;
	struct mesh__pool *pool;
	struct client_call call;
};

static void set_stage(struct set *set, const struct stage *stage)
{
	struct mesh__addr address;

	*set = (struct set){.pool = NULL};
	if (stage->script == NULL) {
		black_hole_init(&set->hole);
		address = set->hole.address;
	} else {
		set->conf = stage->tls_server ? test_tls_conf(&cast.payments, &cast.ca, false) : NULL;
		set->server = raw_server_new(set->conf, stage->script, NULL);
		raw_server_address(set->server, &address);
	}
	set->pool = pool_to(&address, stage->tls_client);
	client_call_init(&set->call, "POST", "pay");
}

static void clear_stage(struct set *set)
{
	client_call_fini(&set->call);
	mesh__pool_unref(set->pool);
	if (set->server != NULL) {
		assert_true(raw_wait(&raw_server_counts(set->server)->open, 0)); /* the connection was not kept */
		raw_server_free(set->server);
	} else {
		black_hole_fini(&set->hole);
	}
	mesh__tls_conf_unref(set->conf);
}

/* A deadline of `timeout_ms`; false when it came before the stage was reached, as on a slow machine, which proves nothing. */
static bool ends_at_the_deadline(const struct stage *stage, int64_t timeout_ms)
{
	struct set set;
	bool reached;

	set_stage(&set, stage);
	set.call.timeout_ms = timeout_ms;
	if (client_call_run(&set.call, set.pool) != MESH_E_TIMEOUT) {
		fail_msg("%s: %s: %s", stage->name, mesh__code_name(set.call.code), set.call.err.message);
	}
	reached = set.call.result.sent == stage->sent;
	assert_true(set.call.result.total_us >= timeout_ms * 1000);
	assert_non_null(strstr(set.call.err.message, "payments.default.mesh.local at 127.0.0.1:"));
	clear_stage(&set);
	return reached;
}

static void the_deadline_ends_every_stage(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(stages); i++) {
		int64_t timeout_ms = 200;

		while (!ends_at_the_deadline(&stages[i], timeout_ms)) {
			timeout_ms *= 4;
			assert_true(timeout_ms < 60000);
		}
	}
}

static void the_connect_timeout_is_a_connect_failure(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) { /* connecting and shaking hands */
		struct set set;

		set_stage(&set, &stages[i]);
		set.call.connect_timeout_ms = 200;
		assert_int_equal(client_call_run(&set.call, set.pool), MESH_E_CONNECT);
		assert_int_equal(set.call.result.sent, MESH__SENT_NOTHING);
		assert_true(set.call.result.connect_us >= 190000);
		clear_stage(&set);
	}
}

static void *run_call(void *arg)
{
	struct set *set = arg;

	(void)client_call_run(&set->call, set->pool);
	return NULL;
}

static void cancelling_ends_every_stage(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(stages); i++) {
		struct set set;
		pthread_t thread;

		set_stage(&set, &stages[i]);
		set.call.timeout_ms = 60000;
		set.call.cancel = mesh__cancel_new(&cast.env);
		assert_int_equal(pthread_create(&thread, NULL, run_call, &set), 0);
		if (set.server != NULL) {
			assert_true(raw_wait(&raw_server_counts(set.server)->accepted, stages[i].accepted));
			assert_true(raw_wait(&raw_server_counts(set.server)->requests, stages[i].requests));
		}
		mesh__cancel_fire(set.call.cancel);
		(void)pthread_join(thread, NULL);
		assert_int_equal(set.call.code, MESH_E_CANCELLED);
		assert_int_equal(set.call.result.sent, stages[i].sent);
		assert_true(set.call.result.total_us < 30000000);
		clear_stage(&set);
	}
}

static void a_cancel_that_came_first_sticks_until_it_is_reset(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__addr address;
	struct mesh__pool *pool;
	struct client_call call;

	(void)state;
	raw_server_address(server, &address);
	pool = pool_to(&address, false);
	client_call_init(&call, "GET", NULL);
	call.cancel = mesh__cancel_new(&cast.env);
	mesh__cancel_fire(call.cancel);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_call_run(&call, pool), MESH_E_CANCELLED);
		assert_int_equal(call.result.sent, MESH__SENT_NOTHING);
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 0);
	mesh__cancel_reset(call.cancel);
	assert_int_equal(client_call_run(&call, pool), MESH_OK);
	mesh__cancel_fire(call.cancel); /* of no effect on what has ended */
	assert_int_equal(call.code, MESH_OK);
	client_call_fini(&call);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

struct canceller {
	struct mesh__cancel *cancel;
	_Atomic bool stop;
};

static void *fire_again_and_again(void *arg)
{
	struct canceller *c = arg;

	while (!atomic_load(&c->stop)) {
		mesh__cancel_fire(c->cancel);
	}
	return NULL;
}

static void a_cancel_may_come_at_any_moment(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__addr address;
	struct mesh__pool *pool;
	struct client_call call;
	struct canceller canceller = {.stop = false};
	pthread_t thread;

	(void)state;
	raw_server_address(server, &address);
	pool = pool_to(&address, false);
	client_call_init(&call, "GET", NULL);
	call.cancel = canceller.cancel = mesh__cancel_new(&cast.env);
	assert_int_equal(pthread_create(&thread, NULL, fire_again_and_again, &canceller), 0);
	for (int i = 0; i < 300; i++) {
		mesh__cancel_reset(call.cancel);
		(void)client_call_run(&call, pool);
		assert_true(call.code == MESH_OK || call.code == MESH_E_CANCELLED);
	}
	atomic_store(&canceller.stop, true);
	(void)pthread_join(thread, NULL);
	client_call_fini(&call);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deadline_ends_every_stage),
		cmocka_unit_test(the_connect_timeout_is_a_connect_failure),
		cmocka_unit_test(cancelling_ends_every_stage),
		cmocka_unit_test(a_cancel_that_came_first_sticks_until_it_is_reset),
		cmocka_unit_test(a_cancel_may_come_at_any_moment),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
