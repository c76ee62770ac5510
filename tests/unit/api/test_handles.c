/* THREATS 32: what a function makes of a handle that is NULL, closed, being closed, or the one whose callback this is: an error, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "patience.h"
#include "two_meshes.h"

enum { CLOSERS = 8, ROUNDS = 10, USERS = 3 };

static struct two_meshes t;

static void reply(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, "ok", 2);
}

/* ---- NULL ---- */

static void no_sink(void *user, int32_t level, const char *line)
{
	(void)user;
	(void)level;
	(void)line;
}

static void threat_32_null_errors_and_options_are_taken_for_none(void **state)
{
	mesh_error *error = NULL;

	(void)state;
	mesh_string_free(NULL);
	mesh_error_free(NULL);
	assert_int_equal(mesh_error_code(NULL), MESH_OK);
	assert_string_equal(mesh_error_name(NULL), "MESH_OK");
	assert_string_equal(mesh_error_origin(NULL), "local");
	assert_string_equal(mesh_error_message(NULL), "");
	assert_int_equal(mesh_error_may_be_processed(NULL), 0);
	assert_int_equal(mesh_error_tries(NULL), 0);
	assert_null(mesh_error_endpoint(NULL, 0));
	mesh_options_free(NULL);
	assert_int_equal(mesh_options_set(NULL, "log", "off"), MESH_E_INVALID);
	assert_null(mesh_options_get(NULL, "log"));
	assert_string_equal(mesh_options_message(NULL), "");
	mesh_options_log(NULL, no_sink, NULL);
	mesh_options_allocator(NULL, NULL, NULL, NULL, NULL);
	mesh_options_clock(NULL, NULL, NULL, NULL);
	mesh_options_dice(NULL, NULL, NULL);
	assert_int_equal(mesh_open(NULL, NULL, &error), MESH_E_INVALID);
	assert_int_equal(mesh_error_code(error), MESH_E_INVALID);
	mesh_error_free(error);
}

static void threat_32_null_requests_are_refused(void **state)
{
	const char *name = "", *value = "";
	size_t len = 1;

	(void)state;
	mesh_request_free(NULL);
	assert_int_equal(mesh_request_header(NULL, "a", "b"), MESH_E_INVALID);
	assert_int_equal(mesh_request_body(NULL, "a", 1), MESH_E_INVALID);
	assert_int_equal(mesh_request_timeout(NULL, 1), MESH_E_INVALID);
	assert_int_equal(mesh_request_parent(NULL, NULL), MESH_E_INVALID);
	assert_int_equal(mesh_request_idempotent(NULL, 1), MESH_E_INVALID);
	assert_int_equal(mesh_call(NULL), MESH_E_INVALID);
	mesh_cancel(NULL);
	assert_int_equal(mesh_response_status(NULL), 0);
	assert_null(mesh_response_header(NULL, "a"));
	assert_int_equal(mesh_response_field(NULL, 0, &name, &value), 0);
	assert_true(name == NULL && value == NULL);
	assert_int_equal(mesh_response_field(NULL, 0, NULL, NULL), 0);
	assert_null(mesh_response_trailer(NULL, "a"));
	assert_int_equal(mesh_response_trailer_field(NULL, 0, &name, &value), 0);
	assert_int_equal(mesh_response_trailer_field(NULL, 0, NULL, NULL), 0);
	assert_string_equal(mesh_response_body(NULL, &len), "");
	assert_int_equal(len, 0);
	assert_null(mesh_response_instance(NULL));
	assert_null(mesh_response_version(NULL));
	assert_int_equal(mesh_request_tries(NULL), 0);
	assert_null(mesh_request_error(NULL));
}

static void threat_32_null_inbound_requests_are_refused(void **state)
{
	const char *name = "", *value = "";
	char buf[1];
	size_t len = 1;

	(void)state;
	assert_null(mesh_inbound_method(NULL));
	assert_null(mesh_inbound_path(NULL));
	assert_null(mesh_inbound_query(NULL));
	assert_null(mesh_inbound_header(NULL, "a"));
	assert_int_equal(mesh_inbound_field(NULL, 0, &name, &value), 0);
	assert_true(name == NULL && value == NULL);
	assert_null(mesh_inbound_body(NULL, &len));
	assert_int_equal(len, 0);
	assert_null(mesh_inbound_peer(NULL));
	assert_null(mesh_inbound_peer_service(NULL));
	assert_null(mesh_inbound_peer_namespace(NULL));
	assert_int_equal(mesh_inbound_try(NULL), 0);
	assert_int_equal(mesh_inbound_remaining_ms(NULL), -1);
	assert_int_equal(mesh_inbound_mirrored(NULL), 0);
	assert_int_equal(mesh_reply_header(NULL, "a", "b"), MESH_E_INVALID);
	assert_int_equal(mesh_reply(NULL, 200, NULL, 0), MESH_E_INVALID);
	assert_int_equal(mesh_inbound_read(NULL, buf, sizeof(buf), &len, 0), MESH_E_INVALID);
	assert_int_equal(len, 0);
	assert_int_equal(mesh_inbound_read(NULL, buf, sizeof(buf), NULL, 0), MESH_E_INVALID);
	assert_int_equal(mesh_inbound_collect(NULL, 0), MESH_E_INVALID);
	assert_null(mesh_inbound_trailer(NULL, "a"));
	assert_int_equal(mesh_inbound_trailer_field(NULL, 0, NULL, NULL), 0);
	assert_int_equal(mesh_inbound_gone(NULL), 0);
	assert_int_equal(mesh_inbound_http_version(NULL), 0);
	assert_int_equal(mesh_inbound_on_stream(NULL, NULL, NULL), MESH_E_INVALID);
	assert_int_equal(mesh_reply_trailer(NULL, "a", "b"), MESH_E_INVALID);
	assert_int_equal(mesh_reply_begin(NULL, 200), MESH_E_INVALID);
	assert_int_equal(mesh_reply_write(NULL, "a", 1, NULL, 0), MESH_E_INVALID);
	assert_int_equal(mesh_reply_end(NULL), MESH_E_INVALID);
	assert_int_equal(mesh_reply_abort(NULL), MESH_E_INVALID);
}

/* ---- A handle that is none ---- */

/* Every function that takes a mesh. */
static void refuses(mesh *m, mesh_server *server, int32_t code)
{
	mesh_error *error = NULL;

	assert_int_equal(mesh_wait_ready(m, patience(60000), &error), code);
	assert_int_equal(mesh_error_code(error), code);
	assert_string_not_equal(mesh_error_message(error), "");
	mesh_error_free(error);
	assert_null(mesh_identity(m));
	assert_null(mesh_instance(m));
	assert_null(mesh_metrics(m));
	assert_null(mesh_request_new(m, "payments", "GET", "/"));
	assert_int_equal(mesh_serve(m, "pool", reply, NULL, &server, &error), code);
	assert_null(server);
	assert_int_equal(mesh_error_code(error), code);
	mesh_error_free(error);
}

static void threat_32_a_closed_mesh_is_told_from_every_other(void **state)
{
	mesh *first, *second;

	(void)state;
	refuses(NULL, NULL, MESH_E_INVALID);
	assert_int_equal(mesh_close(NULL, 0), MESH_OK);
	assert_null(mesh_server_address(NULL));
	two_meshes_init(&t, "pool", reply, NULL);
	first = two_meshes_open(two_meshes_cart(&t));
	assert_int_equal(mesh_close(first, 0), MESH_OK);
	second = two_meshes_open(two_meshes_cart(&t)); /* very likely where the first was */
	refuses(first, NULL, MESH_E_CLOSED);
	assert_int_equal(mesh_close(first, 0), MESH_E_CLOSED);
	assert_int_equal(mesh_wait_ready(second, patience(10000), NULL), MESH_OK);
	assert_int_equal(mesh_close(second, 0), MESH_OK);
	assert_int_equal(mesh_close(t.payments, 0), MESH_OK);
	t.payments = NULL;
	assert_null(mesh_server_address(t.server));
	two_meshes_fini(&t);
}

/* ---- Closing at once ---- */

static mesh *shared;
static atomic_int closed_by, told_closed;
static pthread_barrier_t go;

static void *close_shared(void *arg)
{
	int32_t code;

	(void)arg;
	(void)pthread_barrier_wait(&go);
	code = mesh_close(shared, patience(5000));
	atomic_fetch_add(&closed_by, code == MESH_OK);
	atomic_fetch_add(&told_closed, code == MESH_E_CLOSED);
	return NULL;
}

/* Whatever it finds, it finds nothing freed. */
static void *use_shared(void *arg)
{
	(void)arg;
	(void)pthread_barrier_wait(&go);
	for (int32_t code = MESH_OK; code != MESH_E_CLOSED;) {
		mesh_request *r = mesh_request_new(shared, "payments", "GET", "/");

		mesh_string_free(mesh_metrics(shared));
		mesh_string_free(mesh_identity(shared));
		code = r == NULL ? MESH_E_CLOSED : mesh_call(r);
		mesh_request_free(r);
	}
	return NULL;
}

static void threat_32_of_many_that_close_at_once_one_does(void **state)
{
	(void)state;
	two_meshes_init(&t, "pool", reply, NULL);
	assert_int_equal(pthread_barrier_init(&go, NULL, CLOSERS + USERS), 0);
	for (int round = 0; round < (slowed_down() ? 2 : ROUNDS); round++) {
		pthread_t threads[CLOSERS + USERS];

		shared = two_meshes_open(two_meshes_cart(&t));
		atomic_store(&closed_by, 0);
		atomic_store(&told_closed, 0);
		for (int i = 0; i < CLOSERS + USERS; i++) {
			assert_int_equal(pthread_create(&threads[i], NULL, i < CLOSERS ? close_shared : use_shared, NULL), 0);
		}
		for (int i = 0; i < CLOSERS + USERS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		}
		assert_int_equal(closed_by, 1);
		assert_int_equal(told_closed, CLOSERS - 1);
		assert_int_equal(t.mem.live, 0);
	}
	(void)pthread_barrier_destroy(&go);
	two_meshes_fini(&t);
}

/* ---- Closing from callbacks ---- */

static _Atomic(mesh *) logging;
static atomic_int sink_code;

static void close_in_sink(void *user, int32_t level, const char *line)
{
	(void)user;
	(void)level;
	(void)line;
	if (logging != NULL) {
		atomic_store(&sink_code, mesh_close(logging, 60000));
	}
}

/* The refusal of a peer is logged on the thread that calls. */
static void threat_32_a_log_sink_closes_nothing(void **state)
{
	mesh_options *o;
	mesh_request *r;

	(void)state;
	two_meshes_init(&t, "pool", reply, NULL);
	o = two_meshes_options(&t, "cart");
	assert_int_equal(mesh_options_set(o, "log", "debug"), MESH_OK);
	mesh_options_log(o, close_in_sink, NULL);
	logging = NULL;
	assert_int_equal(mesh_open(o, &shared, NULL), MESH_OK);
	logging = shared;
	atomic_store(&sink_code, MESH_OK);
	/* Nobody listens where payments was: every try is logged. */
	assert_int_equal(mesh_close(t.payments, 0), MESH_OK);
	t.payments = NULL;
	r = mesh_request_new(shared, "payments", "GET", "/");
	assert_int_equal(mesh_call(r), MESH_E_CONNECT);
	mesh_request_free(r);
	assert_int_equal(atomic_load(&sink_code), MESH_E_WOULD_BLOCK);
	logging = NULL;
	assert_int_equal(mesh_close(shared, 0), MESH_OK);
	mesh_options_free(o);
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_32_null_errors_and_options_are_taken_for_none),
		cmocka_unit_test(threat_32_null_requests_are_refused),
		cmocka_unit_test(threat_32_null_inbound_requests_are_refused),
		cmocka_unit_test(threat_32_a_closed_mesh_is_told_from_every_other),
		cmocka_unit_test(threat_32_of_many_that_close_at_once_one_does),
		cmocka_unit_test(threat_32_a_log_sink_closes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
