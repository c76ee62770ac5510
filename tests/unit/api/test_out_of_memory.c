/* THREATS 31: a mesh that is opened, calls and is closed, with the n-th of its allocations failing, for every n: an error or an answer, no leak, no crash, in bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "two_meshes.h"

static long n; /* the allocation that fails */

enum { PATIENCE_MS = 5000, SLACK_MS = 5000 };

static void answer(void *user, mesh_inbound *in)
{
	size_t len;
	const char *body = mesh_inbound_body(in, &len);

	(void)user;
	(void)mesh_reply_header(in, "x-paid", "yes");
	(void)mesh_reply(in, 200, body, len);
}

static bool call(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/make-payment");
	bool done = false;

	if (r == NULL) {
		return false;
	}
	assert_int_equal(mesh_request_timeout(r, PATIENCE_MS), MESH_OK);
	if (mesh_request_header(r, "x-order", "7") == MESH_OK && mesh_request_body(r, "five", 4) == MESH_OK) {
		bool answered = mesh_call(r) == MESH_OK;
		done = answered && mesh_response_status(r) == 200;
		if (done) {
			assert_string_equal(mesh_response_body(r, NULL), "five");
			assert_string_equal(mesh_response_header(r, "x-paid"), "yes");
		} else if (answered) {
			assert_in_range(mesh_response_status(r), 500, 503);
		} else {
			assert_non_null(mesh_request_error(r));
			assert_int_not_equal(mesh_error_code(mesh_request_error(r)), MESH_OK);
		}
	}
	mesh_request_free(r);
	return done;
}

/* True when the mesh opened. What fails in the background is done again, so that an opened mesh becomes ready. */
static bool run(const mesh_options *o)
{
	mesh_error *error = NULL;
	mesh *m = NULL;
	bool answered;
	int32_t code = mesh_open(o, &m, &error);

	if (code != MESH_OK) {
		assert_null(m);
		assert_int_equal(mesh_error_code(error), code);
		mesh_error_free(error);
		return false;
	}
	code = mesh_wait_ready(m, PATIENCE_MS, &error);
	if (code != MESH_OK) {
		print_message("allocation %ld: not ready: %s\n", n, mesh_error_message(error));
	}
	assert_int_equal(code, MESH_OK);
	answered = call(m);
	assert_true(call(m) || answered); /* there is but one failure, and it leaves nothing behind */
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	return true;
}

static void every_failing_allocation_is_survived(void **state)
{
	struct two_meshes t;
	mesh_options *o;
	long most;

	(void)state;
	n = 0;
	two_meshes_init(&t, "pool", answer, NULL);
	o = two_meshes_cart(&t);
	do {
		int64_t begun_ms = mesh__mono_ms(&t.env);
		fail_mem_next(&t.mem, ++n);
		(void)run(o);
		most = t.mem.count;
		if (t.mem.live != 0) {
			print_message("allocation %ld: %ld blocks are left\n", n, (long)t.mem.live);
		}
		assert_int_equal(t.mem.live, 0);
		assert_true(mesh__mono_ms(&t.env) - begun_ms < PATIENCE_MS + SLACK_MS);
	} while (n <= most);
	mesh_options_free(o);
	two_meshes_fini(&t);
}

/* The serving side, under a caller with memory: what does not open says so; what serves answers the second call, whatever became of the first. */
static void serve(struct two_meshes *t, const mesh_options *o)
{
	mesh_error *error = NULL;
	int32_t code = mesh_open(o, &t->payments, &error);
	mesh_options *caller;
	bool answered;
	mesh *cart;

	if (code == MESH_OK) {
		code = mesh_wait_ready(t->payments, PATIENCE_MS, &error);
		assert_int_equal(code, MESH_OK);
		code = mesh_serve(t->payments, "pool", answer, NULL, &t->server, &error);
	}
	if (code != MESH_OK) {
		assert_int_equal(mesh_error_code(error), code);
		mesh_error_free(error);
		(void)mesh_close(t->payments, 0);
		return;
	}
	caller = two_meshes_options(t, "cart");
	assert_int_equal(mesh_open(caller, &cart, NULL), MESH_OK);
	answered = call(cart);
	assert_true(call(cart) || answered);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	mesh_options_free(caller);
	assert_int_equal(mesh_close(t->payments, 0), MESH_OK);
}

static void every_failing_allocation_of_the_serving_side_is_survived(void **state)
{
	struct two_meshes t;
	mesh_options *o;
	long most;

	(void)state;
	n = 0;
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	mesh_options_allocator(o, t.mem.mem.alloc, t.mem.mem.resize, t.mem.mem.release, t.mem.mem.user);
	do {
		fail_mem_next(&t.mem, ++n);
		serve(&t, o);
		t.payments = NULL;
		most = t.mem.count;
		if (t.mem.live != 0) {
			print_message("allocation %ld: %ld blocks are left\n", n, (long)t.mem.live);
		}
		assert_int_equal(t.mem.live, 0);
	} while (n <= most);
	mesh_options_free(o);
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(every_failing_allocation_of_the_serving_side_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
