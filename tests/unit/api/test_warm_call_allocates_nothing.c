/* DESIGN section 4, the fast path: on a warm connection libcurl makes its allocations, and we add none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "two_meshes.h"
#include "patience.h"

enum { WARM = 3, CALLS = 20 };

static void answer(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply_header(in, "Content-Type", "text/plain");
	(void)mesh_reply(in, 200, "paid", 4);
}

/* With these fields of payments' document. */
static void check(const char *fields)
{
	struct mesh__addr address;
	struct two_meshes t;
	mesh_options *o;
	mesh_request *r;
	size_t len;
	mesh *cart;

	two_meshes_init(&t, "pool", answer, NULL);
	two_meshes_address(&t, &address);
	o = two_meshes_options_with(&t, "cart", &address, 1, fields);
	mesh_options_allocator(o, t.mem.mem.alloc, t.mem.mem.resize, t.mem.mem.release, t.mem.mem.user);
	assert_int_equal(mesh_open(o, &cart, NULL), MESH_OK);
	assert_int_equal(mesh_wait_ready(cart, patience(10000), NULL), MESH_OK);
	r = mesh_request_new(cart, "payments", "GET", "/pay/%6eow?user=alice");
	assert_non_null(r);
	for (int i = 0; i < WARM; i++) {
		assert_int_equal(mesh_call(r), MESH_OK);
	}
	fail_mem_next(&t.mem, 0);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(mesh_call(r), MESH_OK);
		assert_string_equal(mesh_response_body(r, &len), "paid");
		assert_string_equal(mesh_response_version(r), "v1");
		assert_non_null(mesh_response_instance(r));
	}
	assert_int_equal(t.mem.count, 0);
	mesh_request_free(r);
	assert_int_equal(mesh_close(cart, 1000), MESH_OK);
	assert_int_equal(t.mem.live, 0);
	mesh_options_free(o);
	two_meshes_fini(&t);
}

static void a_warm_call_allocates_nothing(void **state)
{
	(void)state;
	check("");
}

static void nor_does_one_that_is_routed(void **state)
{
	(void)state;
	check("subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n"
		"routes:\n"
		"- {name: never, match: [{path: {regex: \"/(a+)+b\"}}, {headers: {x-a: {regex: .*}}}, {query: {user: {regex: bob}}}]}\n"
		"- {name: pay, match: [{path: {prefix: /pay/now}}], split: [{subset: v1, weight: 1}, {subset: v2, weight: 0}], stickyOn: {query: user}}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_warm_call_allocates_nothing), cmocka_unit_test(nor_does_one_that_is_routed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
