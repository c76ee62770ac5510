/* Closing ends in its time whatever handlers do, and what the mesh gave away outlives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/wait.h"
#include "two_meshes.h"
#include "patience.h"

static struct two_meshes t;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards kept */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static mesh_inbound *kept;
static mesh *calls_on;   /* the inline handler calls on this one */
static int32_t call_code;

static void keep(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&mu);
	kept = in;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static void *call_once(void *arg)
{
	mesh_request *r = mesh_request_new(arg, "payments", "POST", "/");

	assert_non_null(r);
	assert_int_equal(mesh_request_timeout(r, 60000), MESH_OK);
	call_code = mesh_call(r);
	mesh_request_free(r);
	return NULL;
}

static void a_request_that_is_never_replied_to_does_not_keep_closing_waiting(void **state)
{
	int64_t begun_ms;
	pthread_t caller;
	mesh *cart;

	(void)state;
	kept = NULL;
	two_meshes_init(&t, "pool", keep, NULL);
	cart = two_meshes_open(two_meshes_cart(&t));
	assert_int_equal(pthread_create(&caller, NULL, call_once, cart), 0);
	(void)pthread_mutex_lock(&mu);
	while (kept == NULL) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	(void)pthread_mutex_unlock(&mu);
	begun_ms = mesh__mono_ms(&t.env);
	assert_int_equal(mesh_close(t.payments, 200), MESH_E_TIMEOUT);
	t.payments = NULL;
	assert_in_range(mesh__mono_ms(&t.env) - begun_ms, 0, 10000);
	assert_int_equal(pthread_join(caller, NULL), 0);
	assert_int_equal(call_code, MESH_E_RESET);
	/* The handler's own time: it is still whole, and its reply goes nowhere. */
	assert_string_equal(mesh_inbound_path(kept), "/");
	assert_int_equal(mesh_reply_header(kept, "a", "b"), MESH_OK);
	assert_int_equal(mesh_reply(kept, 200, "late", 4), MESH_OK);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	two_meshes_fini(&t);
}

static void call_inline(void *user, mesh_inbound *in)
{
	mesh_request *r = mesh_request_new(calls_on, "payments", "GET", "/");

	(void)user;
	call_code = mesh_call(r);
	assert_non_null(mesh_request_error(r));
	mesh_request_free(r);
	(void)mesh_reply(in, 200, NULL, 0);
}

static void a_call_on_the_serving_loop_would_block(void **state)
{
	mesh_request *r;
	mesh *cart;

	(void)state;
	two_meshes_init(&t, "inline", call_inline, NULL);
	calls_on = t.payments;
	cart = two_meshes_open(two_meshes_cart(&t));
	r = mesh_request_new(cart, "payments", "GET", "/");
	assert_int_equal(mesh_call(r), MESH_OK);
	assert_int_equal(call_code, MESH_E_WOULD_BLOCK);
	mesh_request_free(r);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	two_meshes_fini(&t);
}

static void strings_and_requests_outlive_the_mesh(void **state)
{
	char *identity, *instance, *metrics;
	mesh_request *r;
	mesh *cart;

	(void)state;
	two_meshes_init(&t, "inline", call_inline, NULL);
	cart = two_meshes_open(two_meshes_cart(&t));
	identity = mesh_identity(cart);
	instance = mesh_instance(cart);
	metrics = mesh_metrics(cart);
	r = mesh_request_new(cart, "payments", "GET", "/");
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	assert_int_equal(mesh_call(r), MESH_E_CLOSED);
	mesh_request_free(r);
	assert_int_equal(t.mem.live, 0);
	assert_string_equal(identity, "spiffe://mesh.local/ns/default/svc/cart");
	assert_int_equal(strlen(instance), 12);
	assert_non_null(strstr(metrics, "mesh_calls_total"));
	mesh_string_free(identity);
	mesh_string_free(instance);
	mesh_string_free(metrics);
	two_meshes_fini(&t);
}

static void waits_without_end_are_waits(void **state)
{
	mesh *cart;

	(void)state;
	two_meshes_init(&t, "inline", call_inline, NULL);
	cart = two_meshes_open(two_meshes_cart(&t));
	assert_int_equal(mesh_wait_ready(cart, INT64_MAX, NULL), MESH_OK);
	assert_int_equal(mesh_close(cart, INT64_MAX), MESH_OK);
	assert_int_equal(mesh_close(t.payments, INT64_MAX), MESH_OK);
	t.payments = NULL;
	two_meshes_fini(&t);
}

static int32_t header_code;

static void many_headers(void *user, mesh_inbound *in)
{
	static char value[40 * 1024];

	(void)user;
	memset(value, 'v', sizeof(value) - 1);
	assert_int_equal(mesh_reply_header(in, "a", value), MESH_OK);
	header_code = mesh_reply_header(in, "b", value);
	(void)mesh_reply(in, 200, NULL, 0);
}

static void a_reply_takes_no_more_header_bytes_than_it_says(void **state)
{
	mesh_request *r;
	mesh *cart;

	(void)state;
	two_meshes_init(&t, "pool", many_headers, NULL);
	cart = two_meshes_open(two_meshes_cart(&t));
	r = mesh_request_new(cart, "payments", "GET", "/");
	assert_int_equal(mesh_call(r), MESH_OK);
	assert_int_equal(header_code, MESH_E_TOO_LARGE);
	mesh_request_free(r);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_is_never_replied_to_does_not_keep_closing_waiting),
		cmocka_unit_test(a_call_on_the_serving_loop_would_block),
		cmocka_unit_test(strings_and_requests_outlive_the_mesh),
		cmocka_unit_test(waits_without_end_are_waits),
		cmocka_unit_test(a_reply_takes_no_more_header_bytes_than_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
