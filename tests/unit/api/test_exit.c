/*
 * THREATS 32: exit() without mesh_close(), from anywhere: it ends in its time, and before the handlers run that were registered before the mesh was opened, such as the one of libcurl's TLS library, no loop of ours runs and no call
 * is under way. Each case is a process of its own; sanitizers add that there was no race and no leak.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "h1_client.h"
#include "patience.h"
#include "two_meshes.h"

enum { CALLERS = 50, PATIENCE_MS = 60000, BOUND_MS = 1900, FINE = 0, STILL_RUNS = 71, STILL_WORKS = 72, WRONG = 73 };

static struct two_meshes t;
static mesh *cart;
static atomic_int n_answered, n_inside;

static void must(bool holds)
{
	if (!holds) {
		_exit(WRONG);
	}
}

/* ---- What is left at the end: asked by a handler that runs after the library's ---- */

/* Whether a loop's thread of the library is there; not this one, which is at rest in here. */
static bool a_loop_runs(void)
{
	DIR *tasks = opendir("/proc/self/task");
	bool found = false;

	must(tasks != NULL);
	for (struct dirent *task; (task = readdir(tasks)) != NULL && !found;) {
		char path[300], name[32] = "";
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		f = task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == syscall(SYS_gettid) ? NULL : fopen(path, "r");
		if (f != NULL) {
			must(fgets(name, sizeof(name), f) != NULL);
			(void)fclose(f);
		}
		found = strcmp(name, "mesh\n") == 0 || strncmp(name, "mesh-in", 7) == 0 || strcmp(name, "mesh-out\n") == 0;
	}
	(void)closedir(tasks);
	return found;
}

static int64_t begun_ms;

static void look_around(void)
{
	mesh *another;
	mesh_request *r;

	/* On a machine that is too busy the bound is what holds. */
	if (a_loop_runs() && mesh__mono_ms(&t.env) - begun_ms < BOUND_MS) {
		_exit(STILL_RUNS);
	}
	if (cart != NULL) {
		/* Functions still can be called; what would wait or use the network says that it is over. */
		r = mesh_request_new(cart, "payments", "GET", "/");
		if (r == NULL || mesh_call(r) != MESH_E_CLOSED || mesh_close(cart, 60000) != MESH_E_CLOSED || mesh_open(NULL, &another, NULL) == MESH_OK) {
			_exit(STILL_WORKS);
		}
		mesh_request_free(r);
	}
}

static void note_the_begin(void)
{
	begun_ms = mesh__mono_ms(&t.env);
}

/* Registered before a mesh is open, one handler runs after the library's; registered after, the other runs before it. */
static void look_around_at_the_end(void)
{
	must(atexit(look_around) == 0);
	mesh__env_init(&t.env);
}

/* ---- The stage ---- */

static void reply(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, "ok", 2);
}

static void stay_until_the_end(void)
{
	for (;;) {
		(void)pause();
	}
}

/* It does not end: a thread's end beside exit() is an affair of libcurl's TLS library alone, which has a destructor for its own things of a thread. */
static void *call_on(void *arg)
{
	for (int32_t code = MESH_OK; code != MESH_E_CLOSED;) {
		mesh_request *r = mesh_request_new(arg, "payments", "GET", "/");

		code = r == NULL ? MESH_E_CLOSED : mesh_call(r);
		n_answered += code == MESH_OK;
		mesh_request_free(r);
	}
	stay_until_the_end();
	return NULL;
}

static void call_in_background(int n)
{
	for (int i = 0; i < n; i++) {
		pthread_t thread;

		must(pthread_create(&thread, NULL, call_on, cart) == 0 && pthread_detach(thread) == 0);
	}
}

static void wait_for(atomic_int *what, int n)
{
	while (atomic_load(what) < n) {
		(void)poll(NULL, 0, 1);
	}
}

static mesh *open_with(mesh_options *o)
{
	mesh *m;

	must(mesh_open(o, &m, NULL) == MESH_OK && mesh_wait_ready(m, patience(10000), NULL) == MESH_OK && atexit(note_the_begin) == 0);
	mesh_options_free(o);
	return m;
}

static void set_up(const char *mode, mesh_handler_fn handler)
{
	look_around_at_the_end();
	two_meshes_init(&t, mode, handler, NULL);
	cart = open_with(two_meshes_options(&t, "cart"));
}

/* ---- From where exit() is called ---- */

static void from_main(void)
{
	set_up("pool", reply);
	call_in_background(1);
	wait_for(&n_answered, 3);
	exit(FINE);
}

static void before_anything_was_called(void)
{
	mesh_options *o;

	look_around_at_the_end();
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_identity(&t, "cart");
	must(mesh_open(o, &cart, NULL) == MESH_OK && atexit(note_the_begin) == 0);
	mesh_options_free(o);
	exit(FINE);
}

static void while_fifty_threads_call(void)
{
	set_up("pool", reply);
	call_in_background(CALLERS);
	wait_for(&n_answered, 3);
	exit(FINE);
}

static void exit_in_handler(void *user, mesh_inbound *in)
{
	(void)user;
	(void)in;
	if (atomic_fetch_add(&n_inside, 1) == 2) {
		exit(FINE);
	}
	(void)mesh_reply(in, 200, "ok", 2);
}

static void from_a_handler_on_a_worker(void)
{
	set_up("pool", exit_in_handler);
	call_in_background(4);
	stay_until_the_end();
}

static void from_a_handler_on_the_loop(void)
{
	set_up("inline", exit_in_handler);
	call_in_background(4);
	stay_until_the_end();
}

static void exit_in_sink(void *user, int32_t level, const char *line)
{
	(void)user;
	(void)level;
	(void)line;
	exit(FINE);
}

/* The failed try is logged on the calling thread, in the middle of its call. */
static void from_a_log_sink_in_a_call(void)
{
	mesh_options *o;

	set_up("pool", reply);
	o = two_meshes_options(&t, "stock");
	must(mesh_options_set(o, "log", "debug") == MESH_OK);
	mesh_options_log(o, exit_in_sink, NULL);
	must(mesh_close(t.payments, 0) == MESH_OK);
	(void)call_on(open_with(o));
}

/* The refusal of a caller of another mesh is logged on the serving loop. */
static void from_a_log_sink_on_the_loop(void)
{
	struct two_meshes stranger;
	mesh_options *o;

	look_around_at_the_end();
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	mesh_options_log(o, exit_in_sink, NULL);
	t.payments = open_with(o);
	must(mesh_serve(t.payments, "pool", reply, NULL, &t.server, NULL) == MESH_OK);
	two_meshes_init(&stranger, NULL, NULL, NULL);
	stranger.server = t.server;
	(void)call_on(open_with(two_meshes_options(&stranger, "cart")));
}

static atomic_bool out_of_memory;

static void *alloc_or_exit(void *user, size_t size)
{
	(void)user;
	if (atomic_exchange(&out_of_memory, false)) {
		exit(FINE);
	}
	return malloc(size);
}

static void *resize_or_exit(void *user, void *block, size_t size)
{
	(void)user;
	return realloc(block, size);
}

static void release(void *user, void *block)
{
	(void)user;
	free(block);
}

/* With whatever locks are held there, one of which a loop may wait for: it ends in its time all the same. */
static void from_the_allocator(void)
{
	mesh_options *o;
	mesh *m;

	two_meshes_init(&t, "pool", reply, NULL);
	o = two_meshes_options(&t, "cart");
	mesh_options_allocator(o, alloc_or_exit, resize_or_exit, release, NULL);
	must(mesh_options_set(o, "listen", "127.0.0.1:0") == MESH_OK);
	m = open_with(o);
	atomic_store(&out_of_memory, true);
	(void)mesh_serve(m, "pool", reply, NULL, NULL, NULL);
	stay_until_the_end(); /* the loop's thread may have been the one */
}

static void *close_slowly(void *arg)
{
	n_inside = 100;
	must(mesh_close(arg, 60000) == MESH_E_CLOSED);
	return NULL;
}

static mesh_inbound *kept[16];

static void keep(void *user, mesh_inbound *in)
{
	(void)user;
	kept[atomic_fetch_add(&n_inside, 1) % 16] = in;
}

/* The drain would last a minute. */
static void while_another_thread_closes(void)
{
	pthread_t thread;

	set_up("pool", keep);
	call_in_background(1);
	wait_for(&n_inside, 1);
	must(pthread_create(&thread, NULL, close_slowly, t.payments) == 0 && pthread_detach(thread) == 0);
	wait_for(&n_inside, 100);
	exit(FINE);
}

static atomic_int n_pulling, n_told;

static void *pull(void *arg)
{
	mesh_inbound *in;

	(void)arg;
	while (mesh_server_next(t.server, &in, 0) != MESH_E_WOULD_BLOCK) {
	}
	n_pulling++;
	n_told += mesh_server_next(t.server, &in, 60000) == MESH_E_CLOSED;
	stay_until_the_end();
	return NULL;
}

/* After the library's. */
static void await_told(void)
{
	wait_for(&n_told, 2);
}

static void while_threads_wait_for_requests(void)
{
	pthread_t thread;

	must(atexit(await_told) == 0);
	set_up("pull", NULL);
	for (int i = 0; i < 2; i++) {
		must(pthread_create(&thread, NULL, pull, NULL) == 0 && pthread_detach(thread) == 0);
	}
	wait_for(&n_pulling, 2);
	exit(FINE);
}

/* ---- Calls that no thread waits for ---- */

static void note_done(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	must(code == MESH_E_CLOSED && mesh_error_code(mesh_request_error(r)) == MESH_E_CLOSED && mesh_call_start(r, note_done, NULL) == MESH_E_CLOSED);
	n_told++;
	mesh_request_free(r);
}

static void start_calls(mesh_done_fn done, int n)
{
	for (int i = 0; i < n; i++) {
		mesh_request *r = mesh_request_new(cart, "payments", "GET", "/");

		must(r != NULL && mesh_request_timeout(r, 60000) == MESH_OK && mesh_call_start(r, done, NULL) == MESH_OK);
	}
}

/* After the library's: by then each of them was told. */
static void all_were_told(void)
{
	must(n_told == 10 || slowed_down()); /* the library waits two seconds at most */
}

static void while_calls_are_under_way_that_no_thread_waits_for(void)
{
	must(atexit(all_were_told) == 0);
	set_up("pool", keep);
	start_calls(note_done, 10);
	wait_for(&n_inside, 10);
	exit(FINE);
}

static void exit_in_done(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	(void)r;
	(void)code;
	exit(FINE);
}

static void from_a_callback_on_the_call_thread(void)
{
	set_up("pool", reply);
	call_in_background(4);
	start_calls(exit_in_done, 4);
	stay_until_the_end();
}

/* On workers: in the middle of a request's body, and of a reply's. They are not waited for. */
static void read_for_ever(void *user, mesh_inbound *in)
{
	char buf[16];
	size_t n;

	(void)user;
	must(mesh_reply_begin(in, 200) == MESH_OK && mesh_reply_write(in, "begun", 5, NULL, 60000) == MESH_OK);
	n_inside++;
	(void)mesh_inbound_read(in, buf, sizeof(buf), &n, 60000);
	stay_until_the_end();
}

static void while_a_handler_streams(void)
{
	struct h1_client client;
	mesh_options *o;

	look_around_at_the_end();
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	must(mesh_options_set(o, "request_bodies", "streamed") == MESH_OK);
	t.payments = open_with(o);
	must(mesh_serve(t.payments, "pool", read_for_ever, NULL, &t.server, NULL) == MESH_OK);
	h1_open(&client, &t, "cart");
	must(h1_say(&client, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nx") && h1_head(&client) == 200);
	wait_for(&n_inside, 1);
	exit(FINE);
}

/* A leak checker at the exit of a forked child does not see what the parent's threads hold. */
static bool is_child;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return is_child;
}

/* The child has none of the threads: it waits for none. The parent goes on. */
static void in_a_forked_child(void)
{
	int status = -1;
	pid_t pid;

	set_up("pool", reply);
	call_in_background(4);
	wait_for(&n_answered, 4);
	pid = fork();
	if (pid == 0) {
		is_child = true;
		cart = NULL;
		exit(FINE);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
	n_answered = 0;
	wait_for(&n_answered, 4);
	exit(FINE);
}

/* ---- Each in a process of its own ---- */

static void ends_well(void (*scene)(void))
{
	int status = -1, life[2]; /* the child's end of the pipe closes with its process: valgrind knows no pidfd */
	pid_t pid;
	struct pollfd end = {.events = POLLIN};

	(void)fflush(NULL);
	assert_int_equal(pipe(life), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(life[0]);
		scene();
		exit(WRONG);
	}
	assert_true(pid > 0);
	(void)close(life[1]);
	end.fd = life[0];
	if (poll(&end, 1, (int)patience(PATIENCE_MS)) != 1) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		fail_msg("the exit hangs");
	}
	(void)close(end.fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0) {
		fail_msg("it ended with %s %d", WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
}

#define CASE(scene) static void threat_32_exit_##scene(void **state) { (void)state; ends_well(scene); }

CASE(from_main)
CASE(before_anything_was_called)
CASE(while_fifty_threads_call)
CASE(from_a_handler_on_a_worker)
CASE(from_a_handler_on_the_loop)
CASE(from_a_log_sink_in_a_call)
CASE(from_a_log_sink_on_the_loop)
CASE(from_the_allocator)
CASE(while_another_thread_closes)
CASE(while_threads_wait_for_requests)
CASE(while_a_handler_streams)
CASE(while_calls_are_under_way_that_no_thread_waits_for)
CASE(from_a_callback_on_the_call_thread)
CASE(in_a_forked_child)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_32_exit_from_main),
		cmocka_unit_test(threat_32_exit_before_anything_was_called),
		cmocka_unit_test(threat_32_exit_while_fifty_threads_call),
		cmocka_unit_test(threat_32_exit_from_a_handler_on_a_worker),
		cmocka_unit_test(threat_32_exit_from_a_handler_on_the_loop),
		cmocka_unit_test(threat_32_exit_from_a_log_sink_in_a_call),
		cmocka_unit_test(threat_32_exit_from_a_log_sink_on_the_loop),
		cmocka_unit_test(threat_32_exit_from_the_allocator),
		cmocka_unit_test(threat_32_exit_while_another_thread_closes),
		cmocka_unit_test(threat_32_exit_while_threads_wait_for_requests),
		cmocka_unit_test(threat_32_exit_while_a_handler_streams),
		cmocka_unit_test(threat_32_exit_while_calls_are_under_way_that_no_thread_waits_for),
		cmocka_unit_test(threat_32_exit_from_a_callback_on_the_call_thread),
		cmocka_unit_test(threat_32_exit_in_a_forked_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
