/* THREATS 32: signals while functions wait: none ends early, fails or outlasts its deadline. The library's own threads take no signal, and it changes nobody's disposition; a peer that hangs up while we write raises no SIGPIPE. */
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
#include <time.h>
#include <unistd.h>

#include "base/wait.h"
#include "patience.h"
#include "two_meshes.h"

enum { CALLS = 60, DEADLINE_MS = 300, LATE_MS = 5000, BIG_BYTES = 8 * 1024 * 1024, STORM_NS = 500000 };

static struct two_meshes t;
static mesh *cart;
static atomic_int n_signals;

static void on_signal(int signum)
{
	(void)signum;
	atomic_fetch_add(&n_signals, 1);
}

static void handle(int signum, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	assert_int_equal(sigaction(signum, &action, NULL), 0);
}

static int32_t call(mesh *m, const char *path, int64_t timeout_ms)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", path);
	int32_t code;

	assert_int_equal(mesh_request_timeout(r, timeout_ms), MESH_OK);
	code = mesh_call(r);
	mesh_request_free(r);
	return code;
}

static _Atomic(mesh_inbound *) kept[64];
static atomic_int n_kept;

static void reply_or_keep(void *user, mesh_inbound *in)
{
	(void)user;
	if (strcmp(mesh_inbound_path(in), "/keep") == 0) {
		atomic_store(&kept[atomic_load(&n_kept)], in); /* one at a time */
		atomic_fetch_add(&n_kept, 1);
	} else {
		(void)mesh_reply(in, 200, "ok", 2);
	}
}

static void reply_to_kept(void)
{
	for (int n = atomic_exchange(&n_kept, 0); n > 0; n--) {
		(void)mesh_reply(kept[n - 1], 200, "ok", 2);
	}
}

/* ---- The storm: at the thread that waits, by its own name ---- */

#ifndef sigev_notify_thread_id /* glibc before 2.38 has the field, and no name for it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void under_storm(int flags, void (*what)(void))
{
	struct sigevent at_this_thread = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	const struct itimerspec storm = {.it_interval = {.tv_nsec = STORM_NS}, .it_value = {.tv_nsec = STORM_NS}};
	timer_t timer;

	at_this_thread.sigev_notify_thread_id = gettid();
	handle(SIGUSR1, flags);
	atomic_store(&n_signals, 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &at_this_thread, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &storm, NULL), 0);
	what();
	assert_int_equal(timer_delete(timer), 0);
	assert_true(n_signals > 20);
	(void)signal(SIGUSR1, SIG_DFL);
}

static void waits_to_its_deadline(int64_t begun_ms)
{
	int64_t took_ms = mesh__mono_ms(&t.env) - begun_ms;

	assert_true(took_ms >= patience(DEADLINE_MS));
	assert_true(took_ms < patience(DEADLINE_MS + LATE_MS));
}

static void wait_in_every_way(void)
{
	int64_t begun_ms;

	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(call(cart, "/", patience(15000)), MESH_OK);
	}
	/* A signal is no reason to take a kept connection for dead. */
	assert_int_equal(two_meshes_connections(&t), 1);
	begun_ms = mesh__mono_ms(&t.env);
	assert_int_equal(call(cart, "/keep", patience(DEADLINE_MS)), MESH_E_TIMEOUT);
	waits_to_its_deadline(begun_ms);
}

static void storm(int flags)
{
	two_meshes_init(&t, "pool", reply_or_keep, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	under_storm(flags, wait_in_every_way);
	reply_to_kept();
	assert_int_equal(mesh_close(cart, 5000), MESH_OK);
	two_meshes_fini(&t);
}

static void threat_32_signals_end_no_call(void **state)
{
	(void)state;
	storm(0);
}

static void threat_32_signals_whose_handlers_restart_end_no_call(void **state)
{
	(void)state;
	storm(SA_RESTART);
}

/* ---- The other waits ---- */

static mesh *waiting;

static void wait_for_readiness(void)
{
	int64_t begun_ms = mesh__mono_ms(&t.env);

	assert_int_equal(mesh_wait_ready(waiting, patience(DEADLINE_MS), NULL), MESH_E_TIMEOUT);
	waits_to_its_deadline(begun_ms);
}

/* A control plane that nobody listens at. */
static void threat_32_signals_do_not_end_the_wait_for_readiness(void **state)
{
	mesh_options *o;

	(void)state;
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_identity(&t, "cart");
	assert_int_equal(mesh_options_set(o, "control", "https://127.0.0.1:1"), MESH_OK);
	assert_int_equal(mesh_open(o, &waiting, NULL), MESH_OK);
	mesh_options_free(o);
	under_storm(0, wait_for_readiness);
	assert_int_equal(mesh_close(waiting, 0), MESH_OK);
	two_meshes_fini(&t);
}

static void *call_and_wait(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)call(cart, "/keep", patience(60000));
}

static void close_with_a_drain(void)
{
	int64_t begun_ms = mesh__mono_ms(&t.env);

	assert_int_equal(mesh_close(cart, patience(DEADLINE_MS)), MESH_E_TIMEOUT);
	waits_to_its_deadline(begun_ms);
}

static void threat_32_signals_do_not_cut_the_drain_short(void **state)
{
	pthread_t caller;
	void *code;

	(void)state;
	two_meshes_init(&t, "pool", reply_or_keep, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	assert_int_equal(pthread_create(&caller, NULL, call_and_wait, NULL), 0);
	while (atomic_load(&n_kept) == 0) {
		(void)poll(NULL, 0, 1);
	}
	under_storm(0, close_with_a_drain);
	assert_int_equal(pthread_join(caller, &code), 0);
	assert_int_equal((intptr_t)code, MESH_E_CLOSED);
	reply_to_kept();
	two_meshes_fini(&t);
}

/* ---- What is the application's stays so ---- */

static void each_thread_of_ours(void (*look)(const char *status))
{
	DIR *tasks = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(tasks);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
		char path[300], text[4096];
		FILE *f;
		size_t len;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		f = task->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f != NULL) {
			len = fread(text, 1, sizeof(text) - 1, f);
			text[len] = '\0';
			(void)fclose(f);
			if (strncmp(text, "Name:\tmesh", 10) == 0) {
				look(text);
				n++;
			}
		}
	}
	(void)closedir(tasks);
	assert_true(n >= 4); /* two loops of control, one that serves, one worker */
}

#define BIT(signum) (1ull << ((signum) - 1))

/* All that can be: not SIGKILL and SIGSTOP, nor the two that libc keeps for itself; valgrind keeps the last of all, and of a thread that runs those that an instruction may raise. */
static void blocks_all(const char *status)
{
	const char *at = strstr(status, "SigBlk:");
	unsigned long long mask = strtoull(at + 7, NULL, 16), cannot = BIT(SIGKILL) | BIT(SIGSTOP) | 3ull << 31;

	if (under_valgrind()) {
		cannot |= BIT(64) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV);
	}
	assert_true((mask | cannot) == ~0ull);
}

static void threat_32_the_library_leaves_signals_to_the_application(void **state)
{
	struct sigaction before[NSIG], after;
	sigset_t mask_before, mask_after;

	(void)state;
	memset(before, 0, sizeof(before));
	for (int i = 1; i < NSIG; i++) {
		(void)sigaction(i, NULL, &before[i]);
	}
	(void)sigemptyset(&mask_before);
	(void)sigemptyset(&mask_after);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask_before), 0);
	two_meshes_init(&t, "pool", reply_or_keep, NULL);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	assert_int_equal(call(cart, "/", patience(15000)), MESH_OK);
	each_thread_of_ours(blocks_all);
	for (int i = 1; i < NSIG; i++) {
		memset(&after, 0, sizeof(after));
		if (sigaction(i, NULL, &after) == 0) {
			assert_true(after.sa_handler == before[i].sa_handler && after.sa_flags == before[i].sa_flags);
		}
	}
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask_after), 0);
	for (int i = 1; i < NSIG; i++) {
		assert_int_equal(sigismember(&mask_before, i), sigismember(&mask_after, i));
	}
	assert_int_equal(mesh_close(cart, 5000), MESH_OK);
	two_meshes_fini(&t);
}

/* ---- SIGPIPE ---- */

static char *big;

static void reply_much(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, big, BIG_BYTES);
}

/* The caller goes away with megabytes on their way to it, and to others the server closes while they send megabytes. Any SIGPIPE is counted; and by default it would kill. */
static void threat_32_a_peer_that_hangs_up_raises_no_sigpipe(void **state)
{
	mesh_request *r;

	(void)state;
	big = calloc(1, BIG_BYTES);
	assert_non_null(big);
	handle(SIGPIPE, 0);
	atomic_store(&n_signals, 0);
	for (int i = 0; i < 8; i += (int)walk_stride()) { /* at a stride too either end is closed, and either sends much */
		two_meshes_init(&t, "pool", i < 4 ? reply_much : reply_or_keep, NULL);
		cart = two_meshes_open(two_meshes_options(&t, "cart"));
		assert_int_equal(call(cart, "/", patience(15000)), MESH_OK);
		r = mesh_request_new(cart, "payments", "POST", "/");
		assert_int_equal(mesh_request_body(r, big, BIG_BYTES), MESH_OK);
		assert_int_equal(mesh_request_timeout(r, 1 + i), MESH_OK);
		(void)mesh_call(r);
		assert_int_equal(mesh_close(i % 2 == 0 ? cart : t.payments, 0) == MESH_E_CLOSED, 0);
		t.payments = i % 2 == 0 ? t.payments : NULL;
		assert_int_equal(mesh_request_timeout(r, 2000), MESH_OK);
		assert_int_not_equal(mesh_call(r), MESH_OK);
		mesh_request_free(r);
		(void)mesh_close(cart, 0);
		two_meshes_fini(&t);
	}
	assert_int_equal(n_signals, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_32_signals_end_no_call),
		cmocka_unit_test(threat_32_signals_whose_handlers_restart_end_no_call),
		cmocka_unit_test(threat_32_signals_do_not_end_the_wait_for_readiness),
		cmocka_unit_test(threat_32_signals_do_not_cut_the_drain_short),
		cmocka_unit_test(threat_32_the_library_leaves_signals_to_the_application),
		cmocka_unit_test(threat_32_a_peer_that_hangs_up_raises_no_sigpipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
