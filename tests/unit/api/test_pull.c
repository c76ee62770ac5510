/* Mode "pull": the program's own threads take the requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/handle.h"
#include "patience.h"
#include "two_meshes.h"

enum { LONG_MS = 20000, PULLERS = 4, CALLS = 40 };

static struct two_meshes t;
static mesh *cart;

/* ---- The caller's side ---- */

struct call {
	pthread_t thread;
	int32_t code, status;
	char body[64];
};

static void *make_call(void *arg)
{
	struct call *c = arg;
	mesh_request *r = mesh_request_new(cart, "payments", "POST", "/");

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	c->code = mesh_call(r);
	c->status = mesh_response_status(r);
	(void)snprintf(c->body, sizeof(c->body), "%s", mesh_response_body(r, NULL));
	mesh_request_free(r);
	return NULL;
}

static void begin(struct call *c)
{
	assert_int_equal(pthread_create(&c->thread, NULL, make_call, c), 0);
}

static void finish(struct call *c, int32_t status)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	assert_int_equal(c->code, MESH_OK);
	assert_int_equal(c->status, status);
}

/* ---- The server's ---- */

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&t, "pull", NULL, NULL);
	/* A call that fails is one that is waited for in vain. */
	cart = two_meshes_open_cart(&t, "connectTimeout: 60s\n");
	return 0;
}

/* A thread that dawdles stops where it next gives memory of payments back, until it is let go. */
static _Thread_local bool dawdles;
static sem_t let_go;

static void *slow_alloc(void *user, size_t size)
{
	(void)user;
	return malloc(size);
}

static void *slow_resize(void *user, void *block, size_t size)
{
	(void)user;
	return realloc(block, size);
}

static void slow_release(void *user, void *block)
{
	(void)user;
	while (dawdles && sem_wait(&let_go) != 0) {
	}
	dawdles = false;
	free(block);
}

static int set_up_slow(void **state)
{
	mesh_options *o;

	(void)state;
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	mesh_options_allocator(o, slow_alloc, slow_resize, slow_release, NULL);
	t.payments = two_meshes_open(o);
	assert_int_equal(mesh_serve(t.payments, "pull", NULL, NULL, &t.server, NULL), MESH_OK);
	cart = two_meshes_open_cart(&t, "connectTimeout: 60s\n");
	assert_int_equal(sem_init(&let_go, 0, 0), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mesh_close(cart, 2000), MESH_OK);
	two_meshes_fini(&t);
	return 0;
}

static mesh_inbound *next(void)
{
	mesh_inbound *in;

	assert_int_equal(mesh_server_next(t.server, &in, patience(LONG_MS)), MESH_OK);
	return in;
}

static bool readable(int timeout_ms)
{
	struct pollfd p = {.fd = mesh_server_event_fd(t.server), .events = POLLIN};

	assert_true(p.fd >= 0);
	return poll(&p, 1, timeout_ms) == 1;
}

static void a_request_is_taken_and_replied_to(void **state)
{
	struct call c;
	mesh_inbound *in;

	(void)state;
	begin(&c);
	in = next();
	assert_string_equal(mesh_inbound_method(in), "POST");
	assert_string_equal(mesh_inbound_peer_service(in), "cart");
	assert_int_equal(mesh_reply(in, 200, "pulled", 6), MESH_OK);
	finish(&c, 200);
	assert_string_equal(c.body, "pulled");
}

/* ---- What the functions say where there is nothing to take ---- */

static void handle(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, NULL, 0);
}

static void a_mode_has_a_handler_or_is_pull(void **state)
{
	static const struct { const char *mode; mesh_handler_fn handler; const char *says; } cases[] = {{"pull", handle, "mesh_server_next"}, {"pool", NULL, "no handler"}, {NULL, NULL, "no handler"}, {"push", handle, "\"pull\""}};
	mesh *m = two_meshes_open(two_meshes_payments(&t));
	mesh_server *server;
	mesh_inbound *in;
	mesh_error *error;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		assert_int_equal(mesh_serve(m, cases[i].mode, cases[i].handler, NULL, &server, &error), MESH_E_INVALID);
		assert_non_null(strstr(mesh_error_message(error), cases[i].says));
		mesh_error_free(error);
	}
	assert_int_equal(mesh_serve(m, "inline", handle, NULL, &server, NULL), MESH_OK);
	assert_int_equal(mesh_server_next(server, &in, 0), MESH_E_STATE);
	assert_null(in);
	assert_int_equal(mesh_server_event_fd(server), -MESH_E_STATE);
	assert_int_equal(mesh_close(m, 0), MESH_OK);
	assert_int_equal(mesh_server_next(server, &in, 0), MESH_E_CLOSED);
	assert_int_equal(mesh_server_event_fd(server), -MESH_E_CLOSED);
}

static void nothing_to_take_is_told_at_once_or_after_the_time(void **state)
{
	mesh_inbound *in;

	(void)state;
	assert_int_equal(mesh_server_next(t.server, &in, 0), MESH_E_WOULD_BLOCK);
	assert_null(in);
	assert_int_equal(mesh_server_next(t.server, &in, -5), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_server_next(t.server, &in, 1), MESH_E_TIMEOUT);
	assert_int_equal(mesh_server_next(t.server, NULL, 1), MESH_E_INVALID);
	assert_int_equal(mesh_server_next(NULL, &in, 1), MESH_E_INVALID);
	assert_int_equal(mesh_server_event_fd(NULL), -MESH_E_INVALID);
}

struct on_loop {
	struct mesh__post post;
	_Atomic int32_t waiting, looking;
};

static void ask_on_loop(void *arg)
{
	struct on_loop *on = arg;
	mesh_inbound *in;

	atomic_store(&on->looking, mesh_server_next(t.server, &in, 0));
	if (in != NULL) {
		(void)mesh_reply(in, 200, NULL, 0);
	}
	atomic_store(&on->waiting, mesh_server_next(t.server, &in, LONG_MS));
}

static void nobody_waits_on_a_loop(void **state)
{
	struct mesh__opened *m = mesh__registry_enter(t.payments);
	struct on_loop on = {.waiting = -1};
	struct call c;

	(void)state;
	begin(&c);
	assert_true(readable((int)patience(LONG_MS)));
	mesh__loop_post(m->loop, &on.post, ask_on_loop, &on);
	finish(&c, 200);
	while (atomic_load(&on.waiting) == -1) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_int_equal(on.looking, MESH_OK);
	assert_int_equal(on.waiting, MESH_E_WOULD_BLOCK);
	mesh__registry_leave(t.payments);
}

/* ---- The descriptor ---- */

static void the_descriptor_is_readable_while_requests_wait(void **state)
{
	struct call c[2];
	int fd = mesh_server_event_fd(t.server);

	(void)state;
	assert_false(readable(0));
	for (int i = 0; i < 2; i++) {
		begin(&c[i]);
		assert_true(readable((int)patience(LONG_MS)));
	}
	(void)mesh_reply(next(), 200, NULL, 0);
	(void)mesh_reply(next(), 200, NULL, 0);
	assert_false(readable(0));
	finish(&c[0], 200);
	finish(&c[1], 200);
	assert_int_equal(mesh_server_event_fd(t.server), fd);
}

static void a_descriptor_asked_for_late_tells_of_what_waits_already(void **state)
{
	struct mesh__opened *m = mesh__registry_enter(t.payments);
	struct call c;
	int32_t n = 0;

	(void)state;
	begin(&c);
	while (n == 0) {
		(void)pthread_mutex_lock(&m->server->pull.mu);
		n = m->server->pull.jobs.n;
		(void)pthread_mutex_unlock(&m->server->pull.mu);
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	mesh__registry_leave(t.payments);
	assert_true(readable(0));
	(void)mesh_reply(next(), 200, NULL, 0);
	finish(&c, 200);
}

/* ---- Several at once, and too many ---- */

static _Atomic int taken;

static void *pull_on(void *arg)
{
	mesh_inbound *in;
	int32_t code;

	while ((code = mesh_server_next(t.server, &in, patience(LONG_MS))) == MESH_OK) {
		(void)atomic_fetch_add(&taken, 1);
		(void)mesh_reply(in, 200, "ok", 2);
	}
	*(int32_t *)arg = code;
	return NULL;
}

static void each_request_goes_to_one_of_those_who_pull_until_the_mesh_is_closed(void **state)
{
	pthread_t threads[PULLERS];
	int32_t codes[PULLERS];
	struct call c[CALLS];

	(void)state;
	atomic_store(&taken, 0);
	for (int i = 0; i < PULLERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, pull_on, &codes[i]), 0);
	}
	for (int i = 0; i < CALLS; i++) {
		begin(&c[i]);
	}
	for (int i = 0; i < CALLS; i++) {
		finish(&c[i], 200);
	}
	assert_int_equal(taken, CALLS);
	assert_int_equal(mesh_close(t.payments, patience(2000)), MESH_OK);
	t.payments = NULL;
	for (int i = 0; i < PULLERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(codes[i], MESH_E_CLOSED);
	}
}

static void what_the_queue_has_no_room_for_is_refused_as_not_processed(void **state)
{
	struct mesh__opened *m = mesh__registry_enter(t.payments);
	struct call waits, refused;

	(void)state;
	m->server->pull.max_queued = 1;
	mesh__registry_leave(t.payments);
	begin(&waits);
	assert_true(readable((int)patience(LONG_MS)));
	begin(&refused);
	finish(&refused, 503);
	assert_non_null(strstr(refused.body, "overloaded"));
	(void)mesh_reply(next(), 200, NULL, 0);
	finish(&waits, 200);
}

/* ---- Too late ---- */

static _Atomic int64_t ahead_us;

static int64_t clock_ahead(void *user)
{
	return mesh__mono_us(user) + atomic_load(&ahead_us);
}

static int64_t wall(void *user)
{
	return mesh__wall_ms(user);
}

static void a_request_whose_deadline_has_passed_is_not_given(void **state)
{
	mesh_options *o = two_meshes_payments(&t);
	mesh_inbound *in;
	struct call c;

	(void)state;
	assert_int_equal(mesh_close(t.payments, 0), MESH_OK);
	mesh_options_clock(o, clock_ahead, wall, &t.env);
	t.payments = two_meshes_open(o);
	assert_int_equal(mesh_serve(t.payments, "pull", NULL, NULL, &t.server, NULL), MESH_OK);
	assert_int_equal(mesh_close(cart, 0), MESH_OK);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	begin(&c);
	assert_true(readable((int)patience(LONG_MS)));
	atomic_store(&ahead_us, patience(LONG_MS) * 1000 + 1000000);
	assert_int_equal(mesh_server_next(t.server, &in, 0), MESH_E_WOULD_BLOCK);
	assert_null(in);
	finish(&c, 504);
	assert_non_null(strstr(c.body, "late"));
}

/* ---- The end ---- */

static int32_t close_code;

static void *close_slowly(void *arg)
{
	close_code = mesh_close(arg, patience(LONG_MS));
	return NULL;
}

static void in_the_drain_what_waits_is_still_given(void **state)
{
	pthread_t closer;
	struct call c;
	mesh_inbound *in;

	(void)state;
	begin(&c);
	assert_true(readable((int)patience(LONG_MS)));
	assert_int_equal(pthread_create(&closer, NULL, close_slowly, t.payments), 0);
	in = NULL;
	while (mesh_serve(t.payments, NULL, handle, NULL, NULL, NULL) != MESH_E_CLOSED) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	in = next();
	assert_int_equal(mesh_reply(in, 200, "drained", 7), MESH_OK);
	finish(&c, 200);
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(close_code, MESH_OK);
	t.payments = NULL;
	assert_int_equal(mesh_server_next(t.server, &in, LONG_MS), MESH_E_CLOSED);
}

static void what_nobody_took_is_cut_and_what_was_kept_may_be_replied_to(void **state)
{
	struct call c[2];
	mesh_inbound *kept;

	(void)state;
	begin(&c[0]);
	kept = next();
	begin(&c[1]);
	assert_true(readable((int)patience(LONG_MS)));
	assert_int_equal(mesh_close(t.payments, 0), MESH_E_TIMEOUT);
	t.payments = NULL;
	assert_int_equal(mesh_reply(kept, 200, NULL, 0), MESH_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(c[i].thread, NULL), 0);
		assert_int_not_equal(c[i].code, MESH_OK);
	}
}

static void *reply_and_dawdle(void *unused)
{
	mesh_inbound *in = next();

	dawdles = true;
	assert_int_equal(mesh_reply(in, 200, "early", 5), MESH_OK);
	return unused;
}

/* Its caller has the answer: who closes has lost nothing, however late the one who gave it goes on. */
static void an_answer_that_was_had_does_not_cut_the_drain_short(void **state)
{
	pthread_t slow;
	struct call c;

	(void)state;
	assert_int_equal(pthread_create(&slow, NULL, reply_and_dawdle, NULL), 0);
	begin(&c);
	finish(&c, 200);
	assert_int_equal(mesh_close(t.payments, 0), MESH_OK);
	t.payments = NULL;
	assert_int_equal(sem_post(&let_go), 0);
	assert_int_equal(pthread_join(slow, NULL), 0);
}

static void a_forked_child_takes_nothing(void **state)
{
	int fd = mesh_server_event_fd(t.server), status;
	struct call c;
	pid_t pid;

	(void)state;
	begin(&c);
	assert_true(readable((int)patience(LONG_MS)));
	pid = fork();
	if (pid == 0) {
		mesh_inbound *in;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		bool ok = mesh_server_next(t.server, &in, LONG_MS) == MESH_E_FORKED && mesh_server_event_fd(t.server) == -MESH_E_FORKED && mesh_close(t.payments, 0) == MESH_E_FORKED;

		ok = ok && poll(&p, 1, 0) == 1 && (p.revents & POLLNVAL) != 0;
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(readable(0));
	(void)mesh_reply(next(), 200, NULL, 0);
	finish(&c, 200);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_request_is_taken_and_replied_to),
		T(a_mode_has_a_handler_or_is_pull),
		T(nothing_to_take_is_told_at_once_or_after_the_time),
		T(nobody_waits_on_a_loop),
		T(the_descriptor_is_readable_while_requests_wait),
		T(a_descriptor_asked_for_late_tells_of_what_waits_already),
		T(each_request_goes_to_one_of_those_who_pull_until_the_mesh_is_closed),
		T(what_the_queue_has_no_room_for_is_refused_as_not_processed),
		T(a_request_whose_deadline_has_passed_is_not_given),
		T(in_the_drain_what_waits_is_still_given),
		T(what_nobody_took_is_cut_and_what_was_kept_may_be_replied_to),
		cmocka_unit_test_setup_teardown(an_answer_that_was_had_does_not_cut_the_drain_short, set_up_slow, tear_down),
		T(a_forked_child_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
