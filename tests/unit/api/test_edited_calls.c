/* What a route does to a call besides choosing where it goes, in each of the ways to make one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "patience.h"
#include "two_meshes.h"
#include "ways.h"

enum { LONG_MS = 30000, BODY = 1024, WARM = 3, CALLS = 20 };

static const char routes[] =
	"routes:\n"
	"- name: v1\n"
	"  match: [{path: {prefix: /v1}}]\n"
	"  rewrite: {prefix: /v2}\n"
	"  headers:\n"
	"    request: {set: {x-set: new}, add: {x-twice: \"2\"}, remove: [x-gone]}\n"
	"    response: {set: {x-set: route}, add: {x-twice: \"2\"}, remove: [x-secret]}\n"
	"- name: moved\n"
	"  match: [{path: {prefix: /moved}}]\n"
	"  redirect: {status: 308, prefix: /new}\n"
	"  headers: {response: {set: {cache-control: no-store}}}\n"
	"- name: closed\n"
	"  match: [{path: {exact: /closed}}]\n"
	"  directResponse: {status: 503, body: '{\"closed\":true}', contentType: application/json}\n";

static struct two_meshes meshes;
static mesh *cart;
static _Atomic int n_handled;

static const char *field(const mesh_inbound *in, const char *name)
{
	const char *value = mesh_inbound_header(in, name);

	return value != NULL ? value : "-";
}

/* How often a field of that name came. */
static int count(const mesh_inbound *in, const char *wanted)
{
	const char *name, *value;
	int n = 0;

	for (size_t i = 0; mesh_inbound_field(in, i, &name, &value) == 1; i++) {
		n += strcmp(name, wanted) == 0;
	}
	return n;
}

/* Answers with what it saw. */
static void tell(void *user, mesh_inbound *in)
{
	char text[BODY];
	int n = snprintf(text, sizeof(text), "%s?%s set=%s gone=%s twice=%d body=%s", mesh_inbound_path(in), mesh_inbound_query(in), field(in, "x-set"), field(in, "x-gone"), count(in, "x-twice"), mesh_inbound_body(in, NULL));

	(void)user;
	atomic_fetch_add(&n_handled, 1);
	(void)mesh_reply_header(in, "x-secret", "1");
	(void)mesh_reply_header(in, "x-set", "server");
	(void)mesh_reply_header(in, "x-twice", "1");
	(void)mesh_reply(in, 200, text, (size_t)n);
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&meshes, "pool", tell, NULL);
	cart = two_meshes_open_cart(&meshes, routes);
	atomic_store(&n_handled, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	two_meshes_fini(&meshes);
	return 0;
}

/* A POST of "sent", with fields that a route edits. */
static mesh_request *new_call(enum way way, const char *path)
{
	mesh_request *r = way_request(cart, way, "POST", path);

	assert_int_equal(mesh_request_header(r, "X-Set", "old"), MESH_OK);
	assert_int_equal(mesh_request_header(r, "x-gone", "1"), MESH_OK);
	assert_int_equal(mesh_request_header(r, "x-twice", "1"), MESH_OK);
	return r;
}

/* "name: value" lines of those that the mesh or the server's library did not add by themselves. */
static const char *fields_of(const mesh_request *r, char text[BODY])
{
	const char *name, *value;
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; mesh_response_field(r, i, &name, &value) == 1; i++) {
		if (strcmp(name, "date") != 0 && strcmp(name, "content-length") != 0 && strcmp(name, "connection") != 0) {
			len += (size_t)snprintf(text + len, BODY - len, "%s: %s\n", name, value);
		}
	}
	return text;
}

static void the_server_and_the_caller_see_what_the_route_makes_of_request_and_response(void **state)
{
	char text[BODY], fields[BODY];

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = new_call(way, "/v1/pay?q=1");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_int_equal(mesh_response_status(r), 200);
		assert_string_equal(fields_of(r, fields), "x-twice: 1\nx-set: route\nx-twice: 2\n");
		assert_string_equal(mesh_response_header(r, "X-Set"), "route");
		assert_null(mesh_response_header(r, "x-secret"));
		assert_string_equal(way_body(r, way, text, sizeof(text)), "/v2/pay?q=1 set=new gone=- twice=2 body=sent");
		mesh_request_free(r);
	}
}

static void a_request_of_no_route_is_sent_as_it_is(void **state)
{
	char text[BODY], fields[BODY];

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		mesh_request *r = new_call(way, "/v10/pay?q=1");

		assert_int_equal(way_make(r, way), MESH_OK);
		assert_string_equal(fields_of(r, fields), "x-secret: 1\nx-set: server\nx-twice: 1\n");
		assert_string_equal(way_body(r, way, text, sizeof(text)), "/v10/pay?q=1 set=old gone=1 twice=1 body=sent");
		mesh_request_free(r);
	}
}

static void what_a_route_answers_by_itself_is_an_answer_and_no_server_hears_of_it(void **state)
{
	static const struct {
		const char *path;
		int32_t status;
		const char *fields, *body;
	} rows[] = {
		{"/moved/a?q=1", 308, "location: /new/a?q=1\ncache-control: no-store\n", ""},
		{"/closed?q=1", 503, "content-type: application/json\n", "{\"closed\":true}"},
	};
	char text[BODY], fields[BODY], *metrics;

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			mesh_request *r = new_call(way, rows[i].path);

			assert_int_equal(way_make(r, way), MESH_OK);
			assert_int_equal(mesh_response_status(r), rows[i].status);
			assert_string_equal(fields_of(r, fields), rows[i].fields);
			assert_string_equal(way_body(r, way, text, sizeof(text)), rows[i].body);
			assert_int_equal(mesh_request_tries(r), 0);
			assert_null(mesh_response_instance(r));
			assert_null(mesh_request_error(r));
			if (way_is_uploaded(way)) {
				assert_int_equal(mesh_request_write(r, "more", 4, NULL, 0), MESH_E_RESET);
			}
			mesh_request_free(r);
		}
	}
	assert_int_equal(n_handled, 0);
	metrics = mesh_metrics(cart);
	assert_non_null(strstr(metrics, "mesh_route_answers_total{how=\"redirect\"}"));
	assert_non_null(strstr(metrics, "\nmesh_routed_calls_total{to=\"payments.default/moved\"} 0\n"));
	mesh_string_free(metrics);
}

static void to_grpc_it_is_a_status_alone(void **state)
{
	static const struct {
		const char *path, *fields;
	} rows[] = {
		{"/moved/Pay", "content-type: application/grpc\ngrpc-status: 2\ngrpc-message: redirected to /new/Pay\ncache-control: no-store\n"},
		{"/closed", "content-type: application/grpc\ngrpc-status: 14\ngrpc-message: {\"closed\":true}\n"},
	};
	char text[BODY], fields[BODY];

	(void)state;
	for (enum way way = 0; way < N_WAYS; way++) {
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			mesh_request *r = new_call(way, rows[i].path);

			assert_int_equal(mesh_request_header(r, "content-type", "application/grpc"), MESH_OK);
			assert_int_equal(way_make(r, way), MESH_OK);
			assert_int_equal(mesh_response_status(r), 200);
			assert_string_equal(fields_of(r, fields), rows[i].fields);
			assert_string_equal(way_body(r, way, text, sizeof(text)), "");
			mesh_request_free(r);
		}
	}
	assert_int_equal(n_handled, 0);
}

/* The request is called again and again: its first call of a route makes room for what that edits, and keeps it. */
static void a_warm_call_that_is_edited_or_answered_allocates_nothing(void **state)
{
	static const char *const paths[] = {"/v1/pay?q=1", "/moved/a", "/closed"};
	mesh_options *o;
	struct mesh__addr address;

	(void)state;
	two_meshes_address(&meshes, &address);
	for (size_t i = 0; i < MESH__COUNT(paths); i++) {
		mesh *own = cart;

		o = two_meshes_options_with(&meshes, "cart", &address, 1, routes);
		mesh_options_allocator(o, meshes.mem.mem.alloc, meshes.mem.mem.resize, meshes.mem.mem.release, meshes.mem.mem.user);
		cart = two_meshes_open(o);
		mesh_request *r = new_call(WAY_WAITED_FOR, paths[i]);
		for (int n = 0; n < WARM; n++) {
			assert_int_equal(mesh_call(r), MESH_OK);
		}
		fail_mem_next(&meshes.mem, 0);
		for (int n = 0; n < CALLS; n++) {
			assert_int_equal(mesh_call(r), MESH_OK);
		}
		assert_int_equal(meshes.mem.count, 0);
		mesh_request_free(r);
		assert_int_equal(mesh_close(cart, 1000), MESH_OK);
		assert_int_equal(meshes.mem.live, 0);
		cart = own;
	}
}

/* Streamed, so that the header is edited while the body is on its way; made anew for each call, so that all of it is allocated in it. */
static void with_each_allocation_of_an_edited_call_failing_it_says_so_and_leaves_nothing(void **state)
{
	struct mesh__addr address;
	mesh_options *o;
	mesh *own = cart;
	int failed = 0;

	(void)state;
	two_meshes_address(&meshes, &address);
	o = two_meshes_options_with(&meshes, "cart", &address, 1, routes);
	mesh_options_allocator(o, meshes.mem.mem.alloc, meshes.mem.mem.resize, meshes.mem.mem.release, meshes.mem.mem.user);
	cart = two_meshes_open(o);
	for (long n = 1, done = 0; !done; n += done ? 0 : walk_stride()) {
		mesh_request *r = new_call(WAY_DOWNLOADED, "/v1/pay");
		char text[BODY];
		int32_t code;

		fail_mem_next(&meshes.mem, n);
		code = mesh_call(r);
		done = meshes.mem.count < n;
		if (code == MESH_OK) {
			assert_string_equal(mesh_response_header(r, "x-set"), "route");
			code = way_download(r, text, sizeof(text));
		} else {
			assert_int_equal(mesh_response_status(r), 0);
		}
		fail_mem_next(&meshes.mem, 0);
		assert_true(code == MESH_OK || code == MESH_E_NO_MEMORY);
		if (code == MESH_OK) {
			assert_string_equal(text, "/v2/pay? set=new gone=- twice=2 body=sent");
		}
		failed += code != MESH_OK;
		mesh_request_free(r);
	}
	assert_true(failed > 0);
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	assert_int_equal(meshes.mem.live, 0);
	cart = own;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_server_and_the_caller_see_what_the_route_makes_of_request_and_response, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_of_no_route_is_sent_as_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_route_answers_by_itself_is_an_answer_and_no_server_hears_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(to_grpc_it_is_a_status_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_warm_call_that_is_edited_or_answered_allocates_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(with_each_allocation_of_an_edited_call_failing_it_says_so_and_leaves_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
