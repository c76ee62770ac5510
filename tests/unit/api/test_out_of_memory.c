/*
 * THREATS 31, memory: every function of the public header with the n-th allocation failing, for every n: an error or an answer, no leak, no crash, in bounded time, and what failed once works the next time. The options, which exist before there
 * is an allocator, fail by malloc itself; a mesh by the allocator that it was given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/file.h"
#include "patience.h"
#include "support/fail_malloc.h"
#include "two_meshes.h"

/* ---- Which functions were walked: the header says which there are ---- */

enum { MAX_FUNCTIONS = 128, NAME_MAX_BYTES = 64 };

static struct {
	char name[NAME_MAX_BYTES];
	atomic_bool walked;
} functions[MAX_FUNCTIONS];
static size_t n_functions;

/* The name before the parenthesis of each prototype. */
static int read_header(void **state)
{
	const char *root = getenv("MESH_SRC");
	char path[512], *text, *at, *open, *name;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/include/meshlib/mesh.h", root == NULL ? "." : root);
	assert_int_equal(mesh__file_read(mesh__mem_libc(), path, 1024 * 1024, &text, NULL, NULL), MESH_OK);
	for (at = text; (at = strstr(at, "\nMESH_API ")) != NULL; at = open) {
		open = strchr(at, '(');
		assert_true(open != NULL && n_functions < MAX_FUNCTIONS);
		for (name = open; isalnum((unsigned char)name[-1]) || name[-1] == '_'; name--) {
		}
		assert_in_range(open - name, 1, NAME_MAX_BYTES - 1);
		memcpy(functions[n_functions++].name, name, (size_t)(open - name));
	}
	mesh__free(text);
	assert_in_range(n_functions, 50, MAX_FUNCTIONS);
	return 0;
}

static void walked(const char *name)
{
	for (size_t i = 0; i < n_functions; i++) {
		if (strcmp(functions[i].name, name) == 0) {
			atomic_store(&functions[i].walked, true);
			return;
		}
	}
	abort(); /* no function of the header, or its name is read wrongly */
}

/* A call of the walk. */
#define CALL(function) (walked(#function), function)

static void threat_31_out_of_memory_no_public_function_is_left_out(void **state)
{
	size_t missing = 0;

	(void)state;
	for (size_t i = 0; i < n_functions; i++) {
		if (!atomic_load(&functions[i].walked)) {
			print_error("%s() is in no walk\n", functions[i].name);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
}

/* ---- The options ---- */

static void log_nothing(void *user, int32_t level, const char *line)
{
	(void)user;
	(void)level;
	(void)line;
}

/* MESH_OK, or what the first function that failed said. Memory may be failing: no assertion. */
static int32_t use_options(void)
{
	static const char *const values[][2] = {{"service", "cart"}, {"zone", "a"}, {"service", "a-longer-name"}, {"zone", NULL}};
	mesh_options *o = CALL(mesh_options_new)();
	int32_t code = o == NULL ? MESH_E_NO_MEMORY : MESH_OK;

	for (size_t i = 0; code == MESH_OK && i < MESH__COUNT(values); i++) {
		code = CALL(mesh_options_set)(o, values[i][0], values[i][1]);
	}
	if (code == MESH_OK && (strcmp(CALL(mesh_options_get)(o, "service"), "a-longer-name") != 0 || CALL(mesh_options_get)(o, "zone") != NULL)) {
		code = MESH_E_INTERNAL;
	}
	if (o != NULL) {
		(void)CALL(mesh_options_set)(o, "colour", "red");
		if (CALL(mesh_options_message)(o)[0] == '\0') {
			code = MESH_E_INTERNAL;
		}
		CALL(mesh_options_log)(o, log_nothing, NULL);
		CALL(mesh_options_clock)(o, NULL, NULL, NULL);
		CALL(mesh_options_dice)(o, NULL, NULL);
	}
	CALL(mesh_options_free)(o);
	return CALL(mesh_version)() == NULL || CALL(mesh_code_name)(code) == NULL ? MESH_E_INTERNAL : code;
}

static void threat_31_out_of_memory_in_the_options(void **state)
{
	struct fail_malloc was = {.count = 0};

	(void)state;
	for (long at = 1; was.count >= at - 1; at++) {
		int32_t code;

		fail_malloc_arm(at, false);
		code = use_options();
		was = fail_malloc_disarm();
		assert_int_equal(was.live, 0);
		assert_int_equal(code, was.count < at ? MESH_OK : MESH_E_NO_MEMORY);
	}
	assert_true(was.count > 3 || slowed_down()); /* sanitizers have malloc to themselves */
}

/* ---- A mesh that calls ---- */

static long n; /* the allocation that fails */

enum { PATIENCE_MS = 5000, SLACK_MS = 5000 };

static void look_at_request(mesh_inbound *in)
{
	const char *name, *value;

	if (strcmp(CALL(mesh_inbound_method)(in), "POST") != 0 || strcmp(CALL(mesh_inbound_path)(in), "/make-payment") != 0 || strcmp(CALL(mesh_inbound_query)(in), "fast=yes") != 0 ||
		strcmp(CALL(mesh_inbound_header)(in, "x-order"), "7") != 0 || CALL(mesh_inbound_field)(in, 0, &name, &value) != 1 || strcmp(CALL(mesh_inbound_peer_service)(in), "cart") != 0 ||
		strcmp(CALL(mesh_inbound_peer_namespace)(in), "default") != 0 || strstr(CALL(mesh_inbound_peer)(in), "/svc/cart") == NULL || CALL(mesh_inbound_try)(in) < 1 || CALL(mesh_inbound_mirrored)(in) != 0 || CALL(mesh_inbound_remaining_ms)(in) <= 0 || CALL(mesh_inbound_http_version)(in) != 1) {
		abort(); /* what is there is whole, on whatever thread */
	}
}

/* `user` is the mesh that serves, through whose own failing memory a call of the handler's goes too; NULL: it makes none. */
static void answer(void *user, mesh_inbound *in)
{
	mesh *const *self = user;
	mesh_request *onward = self == NULL ? NULL : mesh_request_new(*self, "nobody", "GET", "/");
	size_t len;
	const char *body = CALL(mesh_inbound_body)(in, &len);

	look_at_request(in);
	if (onward != NULL && CALL(mesh_request_parent)(onward, in) == MESH_OK && mesh_call(onward) == MESH_OK) {
		abort(); /* there is no such service */
	}
	mesh_request_free(onward);
	(void)CALL(mesh_reply_header)(in, "x-paid", "yes");
	(void)CALL(mesh_reply)(in, 200, body, len);
}

static void look_at_error(const mesh_error *error)
{
	assert_non_null(error);
	assert_int_not_equal(CALL(mesh_error_code)(error), MESH_OK);
	assert_string_equal(CALL(mesh_error_name)(error), mesh_code_name(mesh_error_code(error)));
	assert_true(CALL(mesh_error_origin)(error)[0] != '\0' && CALL(mesh_error_message)(error)[0] != '\0');
	assert_in_range(CALL(mesh_error_may_be_processed)(error), 0, 1);
	(void)CALL(mesh_error_endpoint)(error, 0);
	assert_null(mesh_error_endpoint(error, CALL(mesh_error_tries)(error)));
}

static void look_at_response(const mesh_request *r)
{
	const char *name, *value;
	size_t len;

	assert_string_equal(CALL(mesh_response_body)(r, &len), "five");
	assert_int_equal(len, 5);
	assert_string_equal(CALL(mesh_response_header)(r, "x-paid"), "yes");
	assert_int_equal(CALL(mesh_response_field)(r, 0, &name, &value), 1);
	assert_null(CALL(mesh_response_trailer)(r, "x-sum"));
	assert_int_equal(CALL(mesh_response_trailer_field)(r, 0, &name, &value), 0);
	(void)CALL(mesh_response_instance)(r);
	(void)CALL(mesh_response_version)(r);
	assert_true(CALL(mesh_request_tries)(r) >= 1);
}

static bool call(mesh *m)
{
	mesh_request *r = CALL(mesh_request_new)(m, "payments", "POST", "/make-payment?fast=yes");
	bool done = false;

	if (r == NULL) {
		return false;
	}
	assert_int_equal(CALL(mesh_request_timeout)(r, patience(PATIENCE_MS)), MESH_OK);
	assert_int_equal(CALL(mesh_request_idempotent)(r, 0), MESH_OK);
	if (CALL(mesh_request_header)(r, "x-order", "7") == MESH_OK && CALL(mesh_request_body)(r, "five", 5) == MESH_OK) {
		bool answered = CALL(mesh_call)(r) == MESH_OK;

		done = answered && CALL(mesh_response_status)(r) == 200;
		if (done) {
			look_at_response(r);
		} else if (answered) {
			assert_in_range(mesh_response_status(r), 500, 503);
		} else {
			look_at_error(CALL(mesh_request_error)(r));
		}
	}
	CALL(mesh_request_free)(r);
	return done;
}

/* A call that was cancelled before it began ends so, or for want of memory. */
static void cancel(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/");

	if (r != NULL) {
		CALL(mesh_cancel)(r);
		assert_int_not_equal(mesh_call(r), MESH_OK);
	}
	mesh_request_free(r);
}

static atomic_int n_done;

static void on_done(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	(void)code;
	CALL(mesh_request_free)(r);
	atomic_fetch_add(&n_done, 1);
}

/* A call that was started ends, and is told, whatever fails; one that was not is told of by the code. True: it was answered. */
static bool start(mesh *m, bool by_event)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/make-payment?fast=yes");
	bool answered = false;
	mesh_event event;
	int32_t code;

	if (r == NULL || mesh_request_timeout(r, patience(PATIENCE_MS)) != MESH_OK || mesh_request_header(r, "x-order", "7") != MESH_OK || mesh_request_body(r, "five", 5) != MESH_OK) {
		mesh_request_free(r);
		return false;
	}
	code = CALL(mesh_call_start)(r, NULL, NULL);
	if (code != MESH_OK) {
		assert_true(code == MESH_E_NO_MEMORY || code == MESH_E_IO);
		look_at_error(mesh_request_error(r));
		mesh_request_free(r);
		return false;
	}
	if (by_event) {
		assert_true(CALL(mesh_event_fd)(m) >= 0);
		assert_int_equal(CALL(mesh_poll)(m, &event, 1, patience(PATIENCE_MS + SLACK_MS)), 1);
		assert_ptr_equal(event.request, r);
		code = event.code;
	}
	assert_int_equal(CALL(mesh_call_wait)(r), by_event ? code : mesh_call_wait(r));
	answered = mesh_call_wait(r) == MESH_OK && mesh_response_status(r) == 200;
	n_done = 0;
	if (mesh_call_start(r, on_done, NULL) == MESH_OK) {
		while (atomic_load(&n_done) == 0) {
			(void)sched_yield();
		}
	} else {
		mesh_request_free(r);
	}
	return answered;
}

static void on_call_stream(void *user, mesh_request *r, int32_t kind)
{
	(void)user;
	(void)r;
	(void)kind;
}

/* The same, with bodies that stream. */
static bool stream(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/make-payment?fast=yes");
	bool answered = false;
	size_t now = 0, len = 0;
	char body[16];

	if (r == NULL || mesh_request_timeout(r, patience(PATIENCE_MS)) != MESH_OK || mesh_request_header(r, "x-order", "7") != MESH_OK || CALL(mesh_request_upload)(r, -1) != MESH_OK ||
		CALL(mesh_request_download)(r) != MESH_OK || CALL(mesh_request_on_stream)(r, on_call_stream, NULL) != MESH_OK || mesh_call_start(r, NULL, NULL) != MESH_OK) {
		mesh_request_free(r);
		return false;
	}
	if (CALL(mesh_request_write)(r, "five", 5, &now, patience(PATIENCE_MS)) == MESH_OK && CALL(mesh_request_trailer)(r, "x-sum", "5") == MESH_OK &&
		CALL(mesh_request_end)(r) == MESH_OK && mesh_call_wait(r) == MESH_OK) {
		while (len < sizeof(body) && CALL(mesh_response_read)(r, body + len, sizeof(body) - len, &now, patience(PATIENCE_MS)) == MESH_OK && now > 0) {
			len += now;
		}
		answered = mesh_response_status(r) == 200 && len == 5;
	}
	mesh_request_free(r);
	return answered;
}

/* NULL is what each of them says when there is no memory. */
static void ask(mesh *m)
{
	char *identity = CALL(mesh_identity)(m), *instance = CALL(mesh_instance)(m), *metrics = CALL(mesh_metrics)(m);

	assert_true(identity == NULL || strstr(identity, "/svc/cart") != NULL);
	assert_true(metrics == NULL || strstr(metrics, "# TYPE") != NULL);
	CALL(mesh_string_free)(identity);
	mesh_string_free(instance);
	mesh_string_free(metrics);
}

/* True when the mesh opened. What fails in the background is done again, so that an opened mesh becomes ready. */
static bool run(const mesh_options *o)
{
	mesh_error *error = NULL;
	mesh *m = NULL;
	bool answered;
	int32_t code = CALL(mesh_open)(o, &m, &error);

	if (code != MESH_OK) {
		assert_null(m);
		assert_int_equal(mesh_error_code(error), code);
		look_at_error(error);
		CALL(mesh_error_free)(error);
		return false;
	}
	code = CALL(mesh_wait_ready)(m, patience(PATIENCE_MS), &error);
	if (code != MESH_OK) {
		print_message("allocation %ld: not ready: %s\n", n, mesh_error_message(error));
	}
	assert_int_equal(code, MESH_OK);
	answered = call(m);
	assert_true(call(m) || answered); /* there is but one failure, and it leaves nothing behind */
	cancel(m);
	answered = start(m, true);
	assert_true(start(m, false) || answered);
	answered = stream(m);
	assert_true(stream(m) || answered);
	ask(m);
	assert_int_equal(CALL(mesh_close)(m, patience(PATIENCE_MS)), MESH_OK);
	return true;
}

/* What a mesh says of itself comes in libc's memory. */
static void threat_31_out_of_memory_in_what_a_mesh_says(void **state)
{
	struct fail_malloc was = {.count = 0};
	struct two_meshes t;
	mesh_options *o;
	mesh *m;

	(void)state;
	two_meshes_init(&t, "pool", answer, NULL);
	o = two_meshes_cart(&t);
	assert_int_equal(mesh_open(o, &m, NULL), MESH_OK);
	assert_int_equal(mesh_wait_ready(m, patience(PATIENCE_MS), NULL), MESH_OK);
	for (long at = 1; was.count >= at - 1; at++) {
		fail_malloc_arm(at, false);
		ask(m);
		mesh_string_free(mesh_server_address(t.server));
		was = fail_malloc_disarm();
		assert_int_equal(was.live, 0);
	}
	assert_true(was.count >= 4 || slowed_down());
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	mesh_options_free(o);
	two_meshes_fini(&t);
}

/* The next n of a walk, unless all were walked. */
static bool walk_on(struct two_meshes *t)
{
	long most = t->mem.count;

	if (t->mem.live != 0) {
		fail_msg("allocation %ld: %ld blocks are left", n, (long)t->mem.live);
	}
	n += walk_stride();
	return n - walk_stride() <= most;
}

static void threat_31_out_of_memory_in_a_mesh_that_calls(void **state)
{
	struct two_meshes t;
	mesh_options *o;

	(void)state;
	n = 1;
	two_meshes_init(&t, "pool", answer, NULL);
	o = two_meshes_cart(&t);
	do {
		int64_t begun_ms = mesh__mono_ms(&t.env);

		fail_mem_next(&t.mem, n);
		(void)run(o);
		assert_true(mesh__mono_ms(&t.env) - begun_ms < patience(PATIENCE_MS + SLACK_MS));
	} while (walk_on(&t));
	mesh_options_free(o);
	two_meshes_fini(&t);
}

/* ---- A mesh that serves ---- */

static int32_t start_serving(struct two_meshes *t, const mesh_options *o)
{
	mesh_error *error = NULL;
	int32_t code = mesh_open(o, &t->payments, &error);

	if (code == MESH_OK) {
		code = mesh_wait_ready(t->payments, patience(PATIENCE_MS), &error);
		assert_int_equal(code, MESH_OK);
		code = CALL(mesh_serve)(t->payments, "pool", answer, &t->payments, &t->server, &error);
	}
	if (code != MESH_OK) {
		assert_int_equal(mesh_error_code(error), code);
		mesh_error_free(error);
	}
	return code;
}

/* Under a caller with memory: what does not open says so; what serves answers the second call, whatever became of the first. */
static void serve(struct two_meshes *t, const mesh_options *o)
{
	mesh_options *caller;
	char *address;
	bool answered;
	mesh *cart;

	if (start_serving(t, o) != MESH_OK) {
		(void)mesh_close(t->payments, 0);
		return;
	}
	address = CALL(mesh_server_address)(t->server);
	if (address != NULL) {
		caller = two_meshes_options(t, "cart");
		assert_int_equal(mesh_open(caller, &cart, NULL), MESH_OK);
		answered = call(cart);
		if (!call(cart) && !answered) {
			fail_msg("allocation %ld: two calls went unanswered", n);
		}
		assert_int_equal(mesh_close(cart, 0), MESH_OK);
		mesh_options_free(caller);
	}
	mesh_string_free(address);
	assert_int_equal(mesh_close(t->payments, 0), MESH_OK);
}

static void threat_31_out_of_memory_in_a_mesh_that_serves(void **state)
{
	struct two_meshes t;
	mesh_options *o;

	(void)state;
	n = 1;
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	CALL(mesh_options_allocator)(o, t.mem.mem.alloc, t.mem.mem.resize, t.mem.mem.release, t.mem.mem.user);
	do {
		fail_mem_next(&t.mem, n);
		serve(&t, o);
		t.payments = NULL;
	} while (walk_on(&t));
	mesh_options_free(o);
	two_meshes_fini(&t);
}

/* ---- A mesh that serves what streams, to a thread that takes its requests ---- */

enum order { ORDER_STREAM = '1', ORDER_COLLECT, ORDER_REFUSE, ORDER_ABORT };

static void on_stream(void *user, mesh_inbound *in, int32_t kind)
{
	(void)user;
	(void)in;
	(void)kind;
}

static void reply_in_pieces(mesh_inbound *in)
{
	char piece[3];
	const char *name, *value;
	size_t got = 1;
	int32_t code = MESH_OK;

	while (code == MESH_OK && got > 0) {
		code = CALL(mesh_inbound_read)(in, piece, sizeof(piece), &got, patience(PATIENCE_MS));
	}
	(void)CALL(mesh_inbound_trailer)(in, "x-sum");
	(void)CALL(mesh_inbound_trailer_field)(in, 0, &name, &value);
	(void)CALL(mesh_reply_trailer)(in, "x-sum", "1");
	if (code == MESH_OK && CALL(mesh_reply_begin)(in, 200) == MESH_OK && CALL(mesh_reply_write)(in, "five", 5, &got, patience(PATIENCE_MS)) == MESH_OK) {
		(void)CALL(mesh_reply_end)(in);
	} else {
		(void)CALL(mesh_reply_abort)(in);
	}
}

/* No assertion: memory may be failing, and it is another thread's test. */
static void carry_out(mesh_inbound *in)
{
	const char *order = mesh_inbound_header(in, "x-order"), *body;
	size_t len;

	mesh_string_free(CALL(mesh_inbound_address)(in));
	(void)CALL(mesh_inbound_on_stream)(in, on_stream, NULL);
	(void)CALL(mesh_inbound_gone)(in);
	if (order == NULL || *order == ORDER_ABORT) {
		(void)mesh_reply_abort(in);
	} else if (*order == ORDER_REFUSE) {
		(void)CALL(mesh_reply_refuse)(in, "not now");
	} else if (*order == ORDER_STREAM) {
		reply_in_pieces(in);
	} else if (CALL(mesh_inbound_collect)(in, patience(PATIENCE_MS)) == MESH_OK) {
		body = mesh_inbound_body(in, &len);
		(void)mesh_reply(in, 200, body, len);
	} else {
		(void)mesh_reply(in, 500, NULL, 0);
	}
}

static void *take_requests(void *arg)
{
	mesh_inbound *in;
	int32_t code = MESH_OK;

	while (code != MESH_E_CLOSED && code != MESH_E_STATE) {
		code = CALL(mesh_server_next)(arg, &in, patience(PATIENCE_MS));
		if (code == MESH_OK) {
			carry_out(in);
		}
	}
	return NULL;
}

/* True when it was answered as it should be. */
static bool order(mesh *m, enum order what)
{
	char text[2] = {(char)what, '\0'};
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/make-payment");
	bool done;

	assert_int_equal(mesh_request_timeout(r, patience(PATIENCE_MS)), MESH_OK);
	assert_int_equal(mesh_request_header(r, "x-order", text), MESH_OK);
	assert_int_equal(mesh_request_body(r, "five", 5), MESH_OK);
	done = mesh_call(r) == MESH_OK && mesh_response_status(r) == 200 && strcmp(mesh_response_body(r, NULL), "five") == 0 &&
		(what != ORDER_STREAM || strcmp(mesh_response_trailer(r, "x-sum"), "1") == 0);
	mesh_request_free(r);
	return done;
}

static void order_all(mesh *m)
{
	bool streamed = order(m, ORDER_STREAM), collected = order(m, ORDER_COLLECT);

	assert_false(order(m, ORDER_REFUSE));
	assert_false(order(m, ORDER_ABORT));
	if ((!order(m, ORDER_STREAM) && !streamed) || (!order(m, ORDER_COLLECT) && !collected)) {
		fail_msg("allocation %ld: two calls went unanswered", n);
	}
}

static void threat_31_out_of_memory_in_a_mesh_that_serves_what_streams(void **state)
{
	mesh_options *o, *caller;
	struct two_meshes t;
	pthread_t thread;
	mesh *cart;

	(void)state;
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	assert_int_equal(mesh_options_set(o, "request_bodies", "streamed"), MESH_OK);
	mesh_options_allocator(o, t.mem.mem.alloc, t.mem.mem.resize, t.mem.mem.release, t.mem.mem.user);
	t.payments = two_meshes_open(o);
	assert_int_equal(mesh_serve(t.payments, "pull", NULL, NULL, &t.server, NULL), MESH_OK);
	assert_int_equal(pthread_create(&thread, NULL, take_requests, t.server), 0);
	caller = two_meshes_options(&t, "cart");
	assert_int_equal(mesh_open(caller, &cart, NULL), MESH_OK);
	order_all(cart); /* warm, so that what is walked is the requests */
	n = 1;
	do {
		fail_mem_next(&t.mem, n);
		(void)CALL(mesh_set_ready)(t.payments, 0, "walked");
		while (mesh_set_ready(t.payments, 1, NULL) != MESH_OK) {
		}
		(void)CALL(mesh_server_event_fd)(t.server);
		order_all(cart);
		n += walk_stride();
	} while (n - walk_stride() <= t.mem.count);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	mesh_options_free(caller);
	assert_int_equal(mesh_close(t.payments, 0), MESH_OK);
	t.payments = NULL;
	(void)pthread_join(thread, NULL);
	assert_int_equal(t.mem.live, 0);
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_31_out_of_memory_in_the_options),
		cmocka_unit_test(threat_31_out_of_memory_in_what_a_mesh_says),
		cmocka_unit_test(threat_31_out_of_memory_in_a_mesh_that_calls),
		cmocka_unit_test(threat_31_out_of_memory_in_a_mesh_that_serves),
		cmocka_unit_test(threat_31_out_of_memory_in_a_mesh_that_serves_what_streams),
		cmocka_unit_test(threat_31_out_of_memory_no_public_function_is_left_out),
	};

	return cmocka_run_group_tests(tests, read_header, NULL);
}
