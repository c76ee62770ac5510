/* The calling thread's pool: reuse, the re-send that is stopped, rationed dialling, waiting, retiring. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_call.h"
#include "raw_server.h"

static struct mesh__env env;

static struct mesh__pool *plain_pool(struct raw_server *server, int32_t max_dials, int32_t max_pending)
{
	struct mesh__pool_options options;
	struct mesh__pool *pool = NULL;

	mesh__pool_options_default(&options);
	raw_server_address(server, &options.target.address);
	strcat(options.target.host, "payments.default.mesh.local"); /* lint: the buffer is zeroed and larger */
	options.target.insecure_plaintext = true;
	options.max_dials = max_dials;
	options.max_pending = max_pending;
	assert_int_equal(mesh__pool_new(&env, &options, &pool, NULL), MESH_OK);
	return pool;
}

static void expect_ok(struct mesh__pool *pool, const char *method, const char *body, bool reused)
{
	struct client_call call;

	client_call_init(&call, method, body);
	assert_int_equal(client_call_run(&call, pool), MESH_OK);
	assert_int_equal(call.response.status, 200);
	assert_string_equal(call.response.body.data, "ok");
	assert_int_equal(call.result.reused, reused);
	client_call_fini(&call);
}

static void a_connection_serves_again(void **state)
{
	struct raw_server *server = raw_server_new(NULL, raw_answer_ok, NULL);
	struct mesh__pool *pool = plain_pool(server, 8, 16);

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
		struct mesh__pool *pool = plain_pool(server, 8, 16);

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
		struct mesh__pool *pool = plain_pool(server, 8, 16);

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
	struct mesh__pool *pool = plain_pool(server, 8, 16);

	(void)state;
	for (int i = 0; i < 20; i++) {
		expect_ok(pool, "POST", "pay", false);
		assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 20);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	return mesh__client_init(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_again),
		cmocka_unit_test(sends_nothing_twice_on_a_reused_connection),
		cmocka_unit_test(sends_nothing_twice_on_a_fresh_connection),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_call),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
