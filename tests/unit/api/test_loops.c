/* A server on several loops: handlers on all of them at once, each reply to its own caller, nothing that waits on any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/wait.h"
#include "two_meshes.h"

enum { LOOPS = 3, CALLS = 2 * LOOPS, PATIENCE_US = 30000000 };

static struct two_meshes t;
static mesh *cart;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed;
static int inside, most_inside, call_codes[LOOPS], close_codes[LOOPS];
static char names[LOOPS][16];
static mesh_inbound *kept[CALLS];
static int n_kept;

/* Stays until as many are inside as there are loops, which one loop could not bring about. */
static void meet_inline(void *user, mesh_inbound *in)
{
	int64_t until_us = mesh__mono_us(&t.env) + PATIENCE_US;
	mesh_request *r = mesh_request_new(t.payments, "payments", "GET", "/");
	int call_code = mesh_call(r), close_code = mesh_close(t.payments, 0);

	(void)user;
	mesh_request_free(r);
	(void)pthread_mutex_lock(&mu);
	if (inside < LOOPS) {
		(void)pthread_getname_np(pthread_self(), names[inside], sizeof(names[inside]));
		call_codes[inside] = call_code;
		close_codes[inside] = close_code;
	}
	inside++;
	most_inside = inside > most_inside ? inside : most_inside;
	(void)pthread_cond_broadcast(&changed);
	while (most_inside < LOOPS && mesh__cond_wait_until(&changed, &mu, &t.env, until_us)) {
	}
	(void)pthread_mutex_unlock(&mu);
	(void)mesh_reply(in, 200, NULL, 0);
}

static void keep(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&mu);
	assert_true(n_kept < CALLS);
	kept[n_kept++] = in;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static void serve(const char *loops, const char *mode, mesh_handler_fn handler)
{
	mesh_options *o = two_meshes_payments(&t);

	assert_int_equal(mesh_options_set(o, "loops", loops), MESH_OK);
	assert_int_equal(mesh_open(o, &t.payments, NULL), MESH_OK);
	mesh_options_free(o);
	assert_int_equal(mesh_wait_ready(t.payments, PATIENCE_US / 1000, NULL), MESH_OK);
	assert_int_equal(mesh_serve(t.payments, mode, handler, NULL, &t.server, NULL), MESH_OK);
	o = two_meshes_options(&t, "cart");
	assert_int_equal(mesh_open(o, &cart, NULL), MESH_OK);
	mesh_options_free(o);
}

/* One call, with what is to come back as its path. */
struct one_call {
	pthread_t thread;
	char path[16];
};

static void *call(void *arg)
{
	struct one_call *c = arg;
	mesh_request *r = mesh_request_new(cart, "payments", "GET", c->path);

	assert_int_equal(mesh_request_timeout(r, PATIENCE_US / 1000), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_OK);
	assert_int_equal(mesh_response_status(r), 200);
	(void)snprintf(c->path, sizeof(c->path), "%s", mesh_response_body(r, NULL));
	mesh_request_free(r);
	return NULL;
}

/* Each once the one before it is with its handler: several handshakes at once may take longer than the connect timeout under sanitizers. */
static void start_calls(struct one_call *calls, int n)
{
	int64_t until_us = mesh__mono_us(&t.env) + PATIENCE_US;

	for (int i = 0; i < n; i++) {
		(void)snprintf(calls[i].path, sizeof(calls[i].path), "/%d", i);
		assert_int_equal(pthread_create(&calls[i].thread, NULL, call, &calls[i]), 0);
		(void)pthread_mutex_lock(&mu);
		while (inside + n_kept <= i) {
			assert_true(mesh__cond_wait_until(&changed, &mu, &t.env, until_us));
		}
		(void)pthread_mutex_unlock(&mu);
	}
}

static void join_calls(struct one_call *calls, int n)
{
	for (int i = 0; i < n; i++) {
		assert_int_equal(pthread_join(calls[i].thread, NULL), 0);
	}
}

static int set_up(void **state)
{
	(void)state;
	inside = most_inside = n_kept = 0;
	mesh__cond_init(&changed);
	two_meshes_init(&t, NULL, NULL, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)mesh_close(cart, 0);
	two_meshes_fini(&t);
	(void)pthread_cond_destroy(&changed);
	return 0;
}

static void inline_handlers_run_on_all_loops_at_once_and_may_wait_on_none(void **state)
{
	struct one_call calls[LOOPS];

	(void)state;
	serve("3", "inline", meet_inline);
	start_calls(calls, LOOPS);
	join_calls(calls, LOOPS);
	assert_int_equal(most_inside, LOOPS);
	for (int i = 0; i < LOOPS; i++) {
		assert_int_equal(call_codes[i], MESH_E_WOULD_BLOCK);
		assert_int_equal(close_codes[i], MESH_E_WOULD_BLOCK);
		assert_memory_equal(names[i], "mesh-in-", 8);
		assert_in_range(names[i][8], '0', '0' + LOOPS - 1);
		for (int k = 0; k < i; k++) {
			assert_string_not_equal(names[k], names[i]);
		}
	}
}

static void a_reply_from_another_thread_finds_its_caller(void **state)
{
	struct one_call calls[CALLS];
	char path[16];

	(void)state;
	serve("3", "inline", keep);
	start_calls(calls, CALLS);
	for (int i = CALLS; i-- > 0;) {
		(void)snprintf(path, sizeof(path), "%s!", mesh_inbound_path(kept[i]));
		assert_int_equal(mesh_reply(kept[i], 200, path, strlen(path)), MESH_OK);
	}
	join_calls(calls, CALLS);
	for (int i = 0; i < CALLS; i++) {
		(void)snprintf(path, sizeof(path), "/%d!", i);
		assert_string_equal(calls[i].path, path);
	}
}

static void note_name(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&mu);
	(void)pthread_getname_np(pthread_self(), names[inside++ % LOOPS], sizeof(names[0]));
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
	(void)mesh_reply(in, 200, NULL, 0);
}

static void one_loop_where_one_is_asked_for(void **state)
{
	struct one_call calls[LOOPS];

	(void)state;
	serve("1", "inline", note_name);
	start_calls(calls, LOOPS);
	join_calls(calls, LOOPS);
	assert_int_equal(inside, LOOPS);
	for (int i = 0; i < LOOPS; i++) {
		assert_string_equal(names[i], "mesh-in-0");
	}
}

/* Another server must not get a share of the calls because it chose the same address. */
static void an_address_that_is_served_is_in_use(void **state)
{
	mesh_options *o = two_meshes_identity(&t, "other");
	mesh_server *server = NULL;
	mesh_error *error = NULL;
	char *address;
	mesh *other;

	(void)state;
	serve("3", "inline", note_name);
	address = mesh_server_address(t.server);
	assert_int_equal(mesh_options_set(o, "listen", address), MESH_OK);
	assert_int_equal(mesh_options_set(o, "loops", "3"), MESH_OK);
	assert_int_equal(mesh_open(o, &other, NULL), MESH_OK);
	assert_int_equal(mesh_serve(other, "inline", note_name, NULL, &server, &error), MESH_E_IO);
	assert_null(server);
	assert_non_null(strstr(mesh_error_message(error), address));
	assert_non_null(strstr(mesh_error_message(error), "in use"));
	mesh_error_free(error);
	mesh_string_free(address);
	mesh_options_free(o);
	assert_int_equal(mesh_close(other, 0), MESH_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(inline_handlers_run_on_all_loops_at_once_and_may_wait_on_none),
		T(a_reply_from_another_thread_finds_its_caller),
		T(one_loop_where_one_is_asked_for),
		T(an_address_that_is_served_is_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
