/* How much is taken, by every way to serve and both protocols: the handler is not entered for what is too much, and a place is given back once, however a request ends. Without a control plane: the limits stand in the serving side's own file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "inbound/server.h"
#include "outbound/steps.h"
#include "patience.h"
#include "serving.h"

enum { LONG_MS = 20000 };

static struct serving s;
static atomic_int n_handled;
static _Atomic(mesh_inbound *) held;

/* /hold: the test's thread will say how it ends. */
static void handle(void *user, mesh_inbound *in)
{
	(void)user;
	(void)atomic_fetch_add(&n_handled, 1);
	if (strcmp(mesh_inbound_path(in), "/hold") == 0) {
		atomic_store(&held, in);
	} else {
		(void)mesh_reply(in, 200, NULL, 0);
	}
}

/* ---- Each way to serve ---- */

static void open_with(size_t way, const char *policy)
{
	static const char *const modes[] = {"inline", "pool", "pull"}, *const bodies[] = {"whole", "streamed"};
	char path[] = "/tmp/mesh-limits-XXXXXX";
	const char *const more[] = {"endpoints", path, NULL};
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	assert_true(fprintf(f, "apiVersion: mesh/v1\nkind: Service\nname: payments\n%s\n", policy) > 0);
	assert_int_equal(fclose(f), 0);
	serving_open(&s, modes[way / 2], bodies[way % 2], handle, NULL, more);
	(void)unlink(path);
}

enum { WAYS = 6 };

static const char *const protocols[] = {"http", "http2"};

static mesh *open_caller(const char *service, const char *protocol)
{
	struct mesh__addr address;
	char fields[128];

	two_meshes_address(&s.t, &address);
	(void)snprintf(fields, sizeof(fields), "protocol: %s\nretries: {attempts: 0}\noutlierDetection: {maxEjectionPercent: 0}\n", protocol);
	return two_meshes_open(two_meshes_options_with(&s.t, service, &address, 1, fields));
}

static mesh_request *request(mesh *caller, const char *path, const char *type)
{
	mesh_request *r = mesh_request_new(caller, "payments", "POST", path);

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	assert_int_equal(mesh_request_header(r, "content-type", type), MESH_OK);
	return r;
}

static mesh_request *answered(mesh *caller, const char *type, int32_t status)
{
	mesh_request *r = request(caller, "/", type);

	if (mesh_call(r) != MESH_OK || mesh_response_status(r) != status) {
		fail_msg("%s: %d %s", s.mode, (int)mesh_response_status(r), mesh_error_message(mesh_request_error(r)));
	}
	return r;
}

static void must_take(mesh *caller)
{
	mesh_request_free(answered(caller, "text/plain", 200));
}

/* In JSON, and to gRPC in trailers alone; neither reaches the handler, and both are told so. */
static void must_refuse(mesh *caller, int32_t status, const char *said, const char *grpc_status, const char *waits)
{
	int before = atomic_load(&n_handled);
	mesh_request *r = answered(caller, "text/plain", status);
	size_t len;

	assert_non_null(strstr(mesh_response_body(r, NULL), said));
	assert_true(mesh__response_not_processed(&r->response));
	assert_int_equal(mesh_response_header(r, "retry-after") != NULL, waits != NULL);
	mesh_request_free(r);
	r = answered(caller, "application/grpc", 200);
	(void)mesh_response_body(r, &len);
	assert_int_equal(len, 0);
	assert_string_equal(mesh_response_header(r, "grpc-status"), grpc_status);
	assert_true(mesh__response_not_processed(&r->response));
	assert_int_equal(waits != NULL && mesh_response_header(r, waits) == NULL, 0);
	mesh_request_free(r);
	assert_int_equal(atomic_load(&n_handled), before);
}

static void the_rate_holds_by_every_way_to_serve(void **state)
{
	static const char *const callers[] = {"cart", "web"};

	(void)state;
	for (size_t way = 0; way < WAYS; way++) {
		open_with(way, "rateLimit: {requestsPerSecond: 0.001, burst: 2}");
		for (size_t p = 0; p < MESH__COUNT(protocols); p++) {
			mesh *caller = open_caller(callers[p], protocols[p]);

			must_take(caller);
			must_take(caller);
			must_refuse(caller, 429, "\"error\":\"rate-limited\",\"message\":\"rateLimit: 0.001 requests a second", "8", "grpc-retry-pushback-ms");
			assert_int_equal(mesh_close(caller, patience(LONG_MS)), MESH_OK);
		}
		assert_int_equal(serving_close(&s, patience(LONG_MS)), MESH_OK);
		serving_fini(&s);
	}
}

/* ---- A place ---- */

static struct mesh_server *server; /* of the request that was held last; until it is closed */

static int under_way(void)
{
	return atomic_load(&server->limits.concurrency.under_way);
}

static void wait_for_place(void)
{
	for (int64_t ms = 0; under_way() != 0; ms++) {
		if (ms > patience(LONG_MS)) {
			fail_msg("%s: %d are under way", s.mode, under_way());
		}
		(void)poll(NULL, 0, 1); /* lint: waits for an event: the server has let go of the request */
	}
}

/* One is under way, which the handler has. */
static mesh_request *hold(mesh *caller)
{
	mesh_request *r = request(caller, "/hold", "text/plain");

	atomic_store(&held, NULL);
	assert_int_equal(mesh_call_start(r, NULL, NULL), MESH_OK);
	for (int64_t ms = 0; atomic_load(&held) == NULL; ms++) {
		assert_true(ms < patience(LONG_MS));
		(void)poll(NULL, 0, 1); /* lint: waits for an event: the handler has it */
	}
	server = atomic_load(&held)->server;
	assert_int_equal(under_way(), 1);
	return r;
}

static void reply(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply(in, 200, "x", 1), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
}

static void reply_streamed(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_write(in, "x", 1, NULL, patience(LONG_MS)), MESH_OK);
	assert_int_equal(under_way(), 1);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
}

static void refuse(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply_refuse(in, "not now"), MESH_OK);
	assert_int_equal(mesh_call_wait(r), MESH_OK);
	assert_int_equal(mesh_response_status(r), 503);
}

static void cut(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
	assert_int_not_equal(mesh_call_wait(r), MESH_OK);
}

static void cut_in_the_reply(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	cut(r, in);
}

/* The handler still works for nobody. */
static void reply_to_a_caller_who_has_gone(mesh_request *r, mesh_inbound *in)
{
	mesh_cancel(r);
	assert_int_equal(mesh_call_wait(r), MESH_E_CANCELLED);
	assert_int_equal(under_way(), 1);
	(void)mesh_reply(in, 200, "x", 1);
}

static void stream_to_a_caller_who_goes(mesh_request *r, mesh_inbound *in)
{
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	mesh_cancel(r);
	assert_int_equal(mesh_call_wait(r), MESH_E_CANCELLED);
	assert_int_equal(under_way(), 1);
	(void)mesh_reply_end(in);
}

static void (*const ends[])(mesh_request *r, mesh_inbound *in) = {reply, reply_streamed, refuse, cut, cut_in_the_reply, reply_to_a_caller_who_has_gone, stream_to_a_caller_who_goes};

static void each_end_gives_the_place_back(mesh *cart, mesh *web)
{
	for (size_t i = 0; i < MESH__COUNT(ends); i++) {
		mesh_request *r = hold(cart);

		if (i == 0) {
			must_refuse(web, 503, "\"error\":\"overloaded\",\"message\":\"concurrencyLimit: 1 requests are under way", "14", NULL);
			assert_int_equal(under_way(), 1);
		}
		ends[i](r, atomic_load(&held));
		mesh_request_free(r);
		wait_for_place();
	}
	must_take(web);
	wait_for_place();
}

/* It is replied to when the server has been closed already. */
static void the_close_leaves_it_its_place_until_it_ends(void)
{
	mesh *cart = open_caller("cart", "http");
	mesh_request *r = hold(cart);

	mesh__serving_ref(server);
	(void)serving_close(&s, 0);
	assert_int_equal(under_way(), 1);
	(void)mesh_reply(atomic_load(&held), 200, NULL, 0);
	wait_for_place();
	mesh__serving_unref(server);
	(void)mesh_call_wait(r);
	mesh_request_free(r);
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
}

static void a_place_is_given_back_once_however_a_request_ends_by_every_way_to_serve(void **state)
{
	(void)state;
	for (size_t way = 0; way < WAYS; way++) {
		open_with(way, "concurrencyLimit: {mode: aimd, min: 1, max: 1}");
		for (size_t p = 0; p < MESH__COUNT(protocols); p++) {
			mesh *cart = open_caller("cart", protocols[p]), *web = open_caller("web", protocols[p]);

			each_end_gives_the_place_back(cart, web);
			assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
			assert_int_equal(mesh_close(web, patience(LONG_MS)), MESH_OK);
		}
		the_close_leaves_it_its_place_until_it_ends();
		serving_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_holds_by_every_way_to_serve),
		cmocka_unit_test(a_place_is_given_back_once_however_a_request_ends_by_every_way_to_serve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
