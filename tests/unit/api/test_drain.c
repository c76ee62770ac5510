/* What the drain of mesh_close() gives to calls that wait for the control plane, against a meshd under the test's hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fake_meshd.h"
#include "two_meshes.h"
#include "patience.h"

enum { LONG_MS = 20000 };

static struct two_meshes t;
static struct fake_meshd meshd;
static int32_t call_code, wait_code, close_code;

static mesh *open_cart(void)
{
	mesh_options *o = two_meshes_identity(&t, "cart");
	char address[MESH__ADDR_TEXT], url[96];
	mesh *cart;

	mesh__addr_format(&meshd.address, address);
	(void)snprintf(url, sizeof(url), "https://%s", address);
	assert_int_equal(mesh_options_set(o, "control", url), MESH_OK);
	assert_int_equal(mesh_open(o, &cart, NULL), MESH_OK);
	mesh_options_free(o);
	return cart;
}

static void *call(void *arg)
{
	mesh_request *r = arg;

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	call_code = mesh_call(r);
	return NULL;
}

static void *wait_ready(void *arg)
{
	wait_code = mesh_wait_ready(arg, LONG_MS, NULL);
	return NULL;
}

static void *close_slowly(void *arg)
{
	close_code = mesh_close(arg, patience(LONG_MS));
	return NULL;
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&t, NULL, NULL, NULL);
	fake_meshd_init(&meshd, &t.ca);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_meshd_fini(&meshd);
	two_meshes_fini(&t);
	return 0;
}

static void a_call_that_waits_for_the_control_plane_has_the_time_of_the_drain(void **state)
{
	static char service[] = "payments.default";
	struct mesh__record unknown = {.type = MESH__RECORD_ENDPOINTS, .version = 1, .service = service, .full = true, .known = false};
	char body[FAKE_MESHD_TEXT] = "";
	pthread_t caller, waiter, closer;
	mesh *cart = open_cart();
	mesh_request *r = mesh_request_new(cart, "payments", "GET", "/");

	(void)state;
	assert_int_equal(pthread_create(&waiter, NULL, wait_ready, cart), 0);
	assert_int_equal(pthread_create(&caller, NULL, call, r), 0);
	for (size_t i = 1; strstr(body, service) == NULL; i++) {
		fake_meshd_await_post(&meshd, "subscribe", i, body);
	}
	assert_int_equal(pthread_create(&closer, NULL, close_slowly, cart), 0);
	assert_int_equal(pthread_join(waiter, NULL), 0); /* it is closing from here on */
	assert_int_equal(wait_code, MESH_E_CLOSED);
	fake_meshd_send(&meshd, &unknown);
	assert_int_equal(pthread_join(caller, NULL), 0);
	assert_int_equal(call_code, MESH_E_NO_SERVICE);
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(close_code, MESH_OK);
	mesh_request_free(r);
}

static void after_the_drain_it_ends_as_closed(void **state)
{
	char body[FAKE_MESHD_TEXT] = "";
	mesh *cart = open_cart();
	mesh_request *r = mesh_request_new(cart, "payments", "GET", "/");
	pthread_t caller;

	(void)state;
	assert_int_equal(pthread_create(&caller, NULL, call, r), 0);
	for (size_t i = 1; strstr(body, "payments.default") == NULL; i++) {
		fake_meshd_await_post(&meshd, "subscribe", i, body);
	}
	assert_int_equal(mesh_close(cart, 0), MESH_E_TIMEOUT);
	assert_int_equal(pthread_join(caller, NULL), 0);
	assert_int_equal(call_code, MESH_E_CLOSED);
	mesh_request_free(r);
}

/* The handler's side of a mesh that is registered, with a meshd that hangs from then on. */
static void ignore(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, NULL, 0);
}

static void a_meshd_that_hangs_does_not_keep_closing_waiting(void **state)
{
	mesh_options *o = two_meshes_payments(&t);
	static char service[] = "payments.default";
	struct mesh__record own = {.type = MESH__RECORD_CONFIG, .version = 1, .service = service};
	char address[MESH__ADDR_TEXT], url[96], body[FAKE_MESHD_TEXT];
	int64_t begun_ms;
	mesh *payments;

	(void)state;
	fake_meshd_greet(&meshd, &own);
	mesh__addr_format(&meshd.address, address);
	(void)snprintf(url, sizeof(url), "https://%s", address);
	assert_int_equal(mesh_options_set(o, "control", url), MESH_OK);
	assert_int_equal(mesh_open(o, &payments, NULL), MESH_OK);
	mesh_options_free(o);
	assert_int_equal(mesh_serve(payments, NULL, ignore, NULL, NULL, NULL), MESH_OK);
	fake_meshd_await_post(&meshd, "register", 1, body);
	fake_meshd_hang(&meshd);
	begun_ms = mesh__mono_ms(&t.env);
	(void)mesh_close(payments, 0);
	assert_in_range(mesh__mono_ms(&t.env) - begun_ms, 0, 8000); /* two seconds for the goodbye; slow machines have more */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_call_that_waits_for_the_control_plane_has_the_time_of_the_drain),
		T(after_the_drain_it_ends_as_closed),
		T(a_meshd_that_hangs_does_not_keep_closing_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
