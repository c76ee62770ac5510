/*
 * THREATS 32: fork(), with and without exec, while other threads are in the middle of anything. The parent goes on with the connections it has; in the child every function says whose the handle is, takes no lock and frees safely; a
 * program that the child becomes finds no descriptor of ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "patience.h"
#include "two_meshes.h"

enum { CALLERS = 4, FORKS = 24, HANGS_S = 60, WRONG = 73 };

static struct two_meshes t;
static mesh *cart;
static atomic_int n_answered, n_failed;
static atomic_bool over;
static char self[4096];    /* this program's file: by its name, for valgrind is what /proc/self/exe would start */
static char inherited[16]; /* descriptors that this program had when it began, as a number; under valgrind one more, the log that it opens for each child */

static void must(bool holds, int line)
{
	if (!holds) {
		(void)fprintf(stderr, "%s:%d: does not hold in the child\n", __FILE__, line);
		_exit(WRONG);
	}
}

#define MUST(condition) must((condition), __LINE__)

static void reply(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, "ok", 2);
}

static int32_t call(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/");
	int32_t code = r == NULL ? MESH_E_NO_MEMORY : mesh_request_timeout(r, 60000);

	code = code == MESH_OK ? mesh_call(r) : code;
	mesh_request_free(r);
	return code;
}

static void wait_for(atomic_int *what, int n)
{
	while (atomic_load(what) < n) {
		(void)poll(NULL, 0, 1);
	}
}

/* What the process of `pid` ended with must be 0. */
static void ends_well(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- What the child does ---- */

static void use_and_close(mesh *m, mesh_server *server, mesh_request *r)
{
	mesh_request *own = mesh_request_new(m, "payments", "GET", "/");
	mesh_error *error = NULL;
	mesh_event event;
	char *text;

	MUST(own != NULL && mesh_request_header(own, "a", "b") == MESH_OK && mesh_request_body(own, "c", 1) == MESH_OK);
	MUST(mesh_call(own) == MESH_E_FORKED && mesh_call(r) == MESH_E_FORKED);
	MUST(mesh_response_status(own) == 0 && mesh_response_header(own, "a") == NULL && mesh_request_error(own) == NULL);
	MUST(mesh_call_start(own, NULL, NULL) == MESH_E_FORKED && mesh_call_start(r, NULL, NULL) == MESH_E_FORKED && mesh_call_wait(r) == MESH_E_FORKED);
	MUST(mesh_poll(m, &event, 1, 60000) == -MESH_E_FORKED && mesh_event_fd(m) == -MESH_E_FORKED);
	mesh_cancel(own);
	mesh_request_free(own);
	MUST(mesh_wait_ready(m, 60000, &error) == MESH_E_FORKED && mesh_error_code(error) == MESH_E_FORKED);
	mesh_error_free(error);
	MUST(mesh_identity(m) == NULL && mesh_instance(m) == NULL && mesh_metrics(m) == NULL);
	MUST(mesh_serve(m, "pool", reply, NULL, NULL, NULL) == MESH_E_FORKED);
	text = mesh_server_address(server);
	MUST(text == NULL);
	MUST(mesh_close(m, 60000) == MESH_E_FORKED);
	MUST(mesh_close(m, 60000) == MESH_E_CLOSED);
	MUST(mesh_wait_ready(m, 60000, NULL) == MESH_E_CLOSED);
	mesh_request_free(r); /* it outlives its mesh here too */
}

/* Beside the standard ones. */
static int count_descriptors(void)
{
	DIR *fds = opendir("/proc/self/fd");
	int n = 0;

	MUST(fds != NULL);
	for (struct dirent *fd; (fd = readdir(fds)) != NULL;) {
		n += strtol(fd->d_name, NULL, 10) > 2 && strtol(fd->d_name, NULL, 10) != dirfd(fds);
	}
	(void)closedir(fds);
	return n;
}

/* A leak checker at the exit of a forked child does not see what the parent's threads hold. */
static bool is_child;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return is_child;
}

/* What a sanitizer's allocator locks for a thread of the parent stays locked in its child, who may then allocate and free nothing: there the child does no more than to become another program. */
static int kind_of_child(int i)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)i;
	return 2;
#else
	return i % 3;
#endif
}

static void child(int kind, mesh_request *held)
{
	(void)alarm((unsigned)patience(HANGS_S));
	is_child = true;
	if (kind == 0) {
		use_and_close(cart, t.server, held);
		MUST(mesh_close(t.payments, 0) == MESH_E_FORKED);
		_exit(0);
	}
	if (kind == 1) {
		exit(0); /* the handlers of exit() find nothing to wait for */
	}
	(void)execl(self, "test_fork", "look", inherited, (char *)NULL);
	_exit(WRONG);
}

/* ---- While others are in the middle of something ---- */

static void *call_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		int32_t code = call(cart);

		n_failed += code != MESH_OK;
		n_answered += code == MESH_OK;
	}
	return NULL;
}

/* Each time a mesh of its own: dialling, shaking hands, closing. */
static void *open_and_call_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		mesh *m = two_meshes_open(two_meshes_options(&t, "stock"));

		n_failed += call(m) != MESH_OK;
		n_failed += mesh_close(m, 60000) != MESH_OK;
		n_answered++;
	}
	return NULL;
}

static void fork_beside(void *(*other)(void *arg), int n_threads)
{
	pthread_t threads[CALLERS];
	mesh_request *held;

	two_meshes_init(&t, "pool", reply, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	held = mesh_request_new(cart, "payments", "GET", "/");
	atomic_store(&n_answered, 0);
	atomic_store(&n_failed, 0);
	atomic_store(&over, false);
	for (int i = 0; i < n_threads; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, other, NULL), 0);
	}
	for (int i = 0; i < FORKS; i++) {
		pid_t pid;

		wait_for(&n_answered, i);
		pid = fork();
		if (pid == 0) {
			child(kind_of_child(i), held);
		}
		ends_well(pid);
	}
	atomic_store(&over, true);
	for (int i = 0; i < n_threads; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(n_failed, 0);
	assert_int_equal(mesh_call(held), MESH_OK);
	mesh_request_free(held);
}

static void close_all(void)
{
	assert_int_equal(mesh_close(cart, 5000), MESH_OK);
	two_meshes_fini(&t);
}

static void threat_32_fork_beside_calls_leaves_the_parent_its_connections(void **state)
{
	(void)state;
	fork_beside(call_on, CALLERS);
	assert_in_range(two_meshes_connections(&t), 1, CALLERS); /* those of the beginning serve to the end */
	close_all();
}

/* The call thread is one of those that are not in the child; the calls on it go on in the parent. */
static void call_again(void *user, mesh_request *r, int32_t code)
{
	(void)user;
	n_failed += code != MESH_OK;
	n_answered += code == MESH_OK;
	if (atomic_load(&over) || mesh_call_start(r, call_again, NULL) != MESH_OK) {
		mesh_request_free(r);
	}
}

static void *start_calls(void *arg)
{
	(void)arg;
	(void)mesh_event_fd(cart);
	for (int i = 0; i < CALLERS; i++) {
		mesh_request *r = mesh_request_new(cart, "payments", "POST", "/");

		n_failed += r == NULL || mesh_request_timeout(r, 60000) != MESH_OK || mesh_call_start(r, call_again, NULL) != MESH_OK;
	}
	return NULL;
}

static void threat_32_fork_beside_calls_that_no_thread_waits_for(void **state)
{
	(void)state;
	fork_beside(start_calls, 1);
	assert_in_range(two_meshes_connections(&t), 1, CALLERS + 1);
	close_all();
}

static void threat_32_fork_beside_dialling_and_closing_does_no_harm(void **state)
{
	(void)state;
	fork_beside(open_and_call_on, 1);
	close_all();
}

/* ---- From a handler ---- */

static _Atomic pid_t forked;

static void fork_in_handler(void *user, mesh_inbound *in)
{
	pid_t pid = fork();

	(void)user;
	if (pid == 0) {
		(void)alarm((unsigned)patience(HANGS_S));
		MUST(strcmp(mesh_inbound_method(in), "POST") == 0 && mesh_reply_header(in, "a", "b") == MESH_OK);
		MUST(mesh_reply(in, 500, "child", 5) == MESH_E_FORKED);
		MUST(mesh_close(t.payments, 60000) == MESH_E_FORKED);
		_exit(0);
	}
	atomic_store(&forked, pid);
	(void)mesh_reply(in, 200, "ok", 2);
}

static void fork_from(const char *mode)
{
	two_meshes_init(&t, mode, fork_in_handler, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(call(cart), MESH_OK);
		ends_well(atomic_load(&forked));
	}
	assert_int_equal(two_meshes_connections(&t), 1);
	close_all();
}

static void threat_32_fork_from_a_handler_on_a_worker(void **state)
{
	(void)state;
	fork_from("pool");
}

static void threat_32_fork_from_a_handler_on_the_loop(void **state)
{
	(void)state;
	fork_from("inline");
}

/* ---- A mesh of the child's own ---- */

static void threat_32_fork_and_the_child_opens_a_mesh_of_its_own(void **state)
{
	mesh_options *o;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* it lets no child start threads */
#endif
	two_meshes_init(&t, "pool", reply, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	assert_int_equal(call(cart), MESH_OK);
	o = two_meshes_options(&t, "cart");
	pid = fork();
	if (pid == 0) {
		mesh *own = two_meshes_open(o);

		(void)alarm((unsigned)patience(HANGS_S));
		is_child = true;
		MUST(call(own) == MESH_OK);
		MUST(mesh_close(cart, 60000) == MESH_E_FORKED);
		MUST(call(own) == MESH_OK);
		exit(0); /* and it may leave its own open */
	}
	ends_well(pid);
	mesh_options_free(o);
	assert_int_equal(call(cart), MESH_OK);
	assert_int_equal(two_meshes_connections(&t), 2);
	close_all();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_32_fork_beside_calls_leaves_the_parent_its_connections),
		cmocka_unit_test(threat_32_fork_beside_calls_that_no_thread_waits_for),
		cmocka_unit_test(threat_32_fork_beside_dialling_and_closing_does_no_harm),
		cmocka_unit_test(threat_32_fork_from_a_handler_on_a_worker),
		cmocka_unit_test(threat_32_fork_from_a_handler_on_the_loop),
		cmocka_unit_test(threat_32_fork_and_the_child_opens_a_mesh_of_its_own),
	};
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (argc == 3 && strcmp(argv[1], "look") == 0) {
		return count_descriptors() > strtol(argv[2], NULL, 10) ? WRONG : 0;
	}
	if (len < 0) {
		return WRONG;
	}
	self[len] = '\0';
	(void)snprintf(inherited, sizeof(inherited), "%d", count_descriptors() + under_valgrind());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
