#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/loop.h"
#include "support/alloc_fail.h"

struct bench {
	struct mesh__env env;
	struct mesh__loop *loop;
	char order[16];
	size_t n;
	struct mesh__timer *timer;
	struct mesh__watch *watch;
	int64_t fired_us;
	bool current;
	sigset_t mask;
	char thread[16];
};

static int set_up(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	mesh__env_init(&b.env);
	assert_int_equal(mesh__loop_new(&b.env, &b.loop, NULL), MESH_OK);
	*state = &b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	mesh__loop_free(b->loop);
	return 0;
}

struct letter {
	struct mesh__post post;
	struct bench *b;
	char c;
};

static void note(void *arg)
{
	struct letter *l = arg;

	l->b->order[l->b->n++] = l->c;
}

static void stop(void *arg)
{
	mesh__loop_stop(((struct bench *)arg)->loop);
}

static void runs_what_was_posted_in_order_before_it_stops(void **state)
{
	struct bench *b = *state;
	struct letter letters[3] = {{.b = b, .c = 'a'}, {.b = b, .c = 'b'}, {.b = b, .c = 'c'}};

	for (size_t i = 0; i < 3; i++) {
		mesh__loop_post(b->loop, &letters[i].post, note, &letters[i]);
	}
	mesh__loop_stop(b->loop);
	mesh__loop_run(b->loop);
	assert_string_equal(b->order, "abc");
}

static void note_and_repost(void *arg)
{
	struct letter *l = arg;

	note(l);
	if (l->c++ < 'c') {
		mesh__loop_post(l->b->loop, &l->post, note_and_repost, l);
	} else {
		stop(l->b);
	}
}

static void a_node_may_be_posted_again_by_its_own_function(void **state)
{
	struct bench *b = *state;
	struct letter l = {.b = b, .c = 'a'};

	mesh__loop_post(b->loop, &l.post, note_and_repost, &l);
	mesh__loop_run(b->loop);
	assert_string_equal(b->order, "abc");
}

static void note_and_stop(void *arg)
{
	note(arg);
	stop(((struct letter *)arg)->b);
}

struct turn {
	struct bench *b;
	struct letter first, second, last;
	struct mesh__post post;
};

/* The post that follows it runs in the same turn. */
static void defer_two(void *arg)
{
	struct turn *turn = arg;

	mesh__loop_defer(turn->b->loop, &turn->first.post, note, &turn->first);
	mesh__loop_defer(turn->b->loop, &turn->second.post, note_and_stop, &turn->second);
}

static void what_is_deferred_runs_once_behind_what_the_turn_brings(void **state)
{
	struct bench *b = *state;
	struct turn turn = {.b = b, .first = {.b = b, .c = 'b'}, .second = {.b = b, .c = 'c'}, .last = {.b = b, .c = 'a'}};

	mesh__loop_post(b->loop, &turn.post, defer_two, &turn);
	mesh__loop_post(b->loop, &turn.last.post, note, &turn.last);
	mesh__loop_run(b->loop); /* what would stop it is deferred: it does not wait first */
	assert_string_equal(b->order, "abc");
}

static void what_is_deferred_in_the_last_turn_runs_too(void **state)
{
	struct bench *b = *state;
	struct turn turn = {.b = b, .first = {.b = b, .c = 'a'}, .second = {.b = b, .c = 'b'}};

	mesh__loop_post(b->loop, &turn.post, defer_two, &turn);
	mesh__loop_stop(b->loop);
	mesh__loop_run(b->loop);
	assert_string_equal(b->order, "ab");
	mesh__loop_post(b->loop, &turn.post, defer_two, &turn);
	mesh__loop_free(b->loop);
	b->loop = NULL;
	assert_string_equal(b->order, "abab");
}

static void free_runs_what_was_posted_and_never_ran(void **state)
{
	struct bench *b = *state;
	struct letter l = {.b = b, .c = 'x'};

	mesh__loop_post(b->loop, &l.post, note, &l);
	mesh__loop_free(b->loop);
	b->loop = NULL;
	assert_string_equal(b->order, "x");
}

static void look_around(void *arg)
{
	struct bench *b = arg;

	b->current = mesh__loop_is_current(b->loop);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &b->mask);
	(void)pthread_getname_np(pthread_self(), b->thread, sizeof(b->thread));
	mesh__loop_stop(b->loop);
}

static void its_own_thread_is_named_and_has_every_signal_blocked(void **state)
{
	struct bench *b = *state;
	struct mesh__post post;
	sigset_t ours;

	assert_int_equal(mesh__loop_start(b->loop, "mesh-test", NULL), MESH_OK);
	mesh__loop_post(b->loop, &post, look_around, b);
	mesh__loop_join(b->loop);
	assert_true(b->current);
	assert_false(mesh__loop_is_current(b->loop));
	assert_int_equal(sigismember(&b->mask, SIGTERM), 1);
	assert_int_equal(sigismember(&b->mask, SIGPROF), 1);
	assert_int_equal(sigismember(&b->mask, SIGPIPE), 1);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &ours);
	assert_int_equal(sigismember(&ours, SIGTERM), 0);
}

static void fired(void *arg)
{
	struct bench *b = arg;

	b->fired_us = mesh__mono_us(&b->env);
	b->n++;
	mesh__timer_free(b->timer); /* allowed in its own callback */
	mesh__loop_stop(b->loop);
}

static void a_timer_is_never_early(void **state)
{
	struct bench *b = *state;
	int64_t began_us;

	for (int64_t delay_ms = 1; delay_ms < 6; delay_ms++) {
		assert_int_equal(mesh__timer_new(b->loop, fired, b, &b->timer), MESH_OK);
		began_us = mesh__mono_us(&b->env);
		mesh__timer_start(b->timer, delay_ms, 0);
		mesh__loop_run(b->loop);
		assert_true(b->fired_us - began_us >= delay_ms * 1000);
	}
}

static void third_time(void *arg)
{
	struct bench *b = arg;

	if (++b->n == 3) {
		mesh__timer_stop(b->timer);
		mesh__loop_stop(b->loop);
	}
}

static void a_timer_repeats_until_it_is_stopped(void **state)
{
	struct bench *b = *state;

	assert_int_equal(mesh__timer_new(b->loop, third_time, b, &b->timer), MESH_OK);
	mesh__timer_start(b->timer, 0, 1);
	mesh__loop_run(b->loop);
	assert_int_equal(b->n, 3);
}

enum { TIMES = 1000 };

/* Two timers that start themselves and each other again, at once, and work of another thread's kind from the first. */
struct busy {
	struct bench *b;
	struct mesh__timer *timers[2];
	struct mesh__post post;
	int at; /* so often had they fired when it ran */
};

static void on_posted(void *arg)
{
	struct busy *busy = arg;

	busy->at = busy->b->n;
}

static void again(void *arg)
{
	struct busy *busy = arg;

	if (busy->b->n++ == 0) {
		mesh__loop_post(busy->b->loop, &busy->post, on_posted, busy);
	}
	if (busy->b->n >= TIMES) {
		mesh__loop_stop(busy->b->loop);
		return;
	}
	mesh__timer_start(busy->timers[0], 0, 0);
	mesh__timer_stop(busy->timers[1]);
	mesh__timer_start(busy->timers[1], 0, 0);
}

static void timers_that_are_always_due_leave_the_rest_its_turn(void **state)
{
	struct busy busy = {.b = *state};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(mesh__timer_new(busy.b->loop, again, &busy, &busy.timers[i]), MESH_OK);
		mesh__timer_start(busy.timers[i], 0, 0);
	}
	mesh__loop_run(busy.b->loop);
	assert_in_range(busy.at, 1, 4);
	assert_in_range(busy.b->n, TIMES, TIMES + 4);
	for (int i = 0; i < 2; i++) {
		mesh__timer_free(busy.timers[i]);
	}
}

static void stop_it(void *arg)
{
	struct busy *busy = arg;

	mesh__timer_stop(busy->timers[1]);
	mesh__loop_stop(busy->b->loop);
}

static void free_it(void *arg)
{
	stop_it(arg);
	mesh__timer_free(((struct busy *)arg)->timers[1]);
}

static void start_the_other(void *arg)
{
	struct busy *busy = arg;

	mesh__timer_start(busy->timers[1], 0, 0);
	mesh__loop_defer(busy->b->loop, &busy->post, busy->at++ == 0 ? stop_it : free_it, busy);
}

static void a_timer_that_waits_for_its_turn_may_be_stopped_and_freed(void **state)
{
	struct busy busy = {.b = *state};

	assert_int_equal(mesh__timer_new(busy.b->loop, start_the_other, &busy, &busy.timers[0]), MESH_OK);
	assert_int_equal(mesh__timer_new(busy.b->loop, again, &busy, &busy.timers[1]), MESH_OK);
	for (int i = 0; i < 2; i++) {
		mesh__timer_start(busy.timers[0], 0, 0);
		mesh__loop_run(busy.b->loop);
	}
	assert_int_equal(busy.b->n, 0);
	mesh__timer_free(busy.timers[0]);
}

static void readable(void *arg, int fd, int events)
{
	struct bench *b = arg;

	assert_int_equal(events, MESH__READABLE);
	assert_int_equal(read(fd, b->order, 1), 1);
	mesh__watch_free(b->watch);
	b->watch = NULL;
	mesh__loop_stop(b->loop);
}

static void a_watch_tells_of_bytes_and_leaves_the_descriptor_to_its_owner(void **state)
{
	struct bench *b = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(mesh__watch_new(b->loop, fds[0], readable, b, &b->watch, NULL), MESH_OK);
	assert_int_equal(mesh__watch_set(b->watch, MESH__READABLE), MESH_OK);
	assert_int_equal(write(fds[1], "q", 1), 1);
	mesh__loop_run(b->loop);
	assert_string_equal(b->order, "q");
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(close(fds[1]), 0);
}

static void refuses_to_watch_what_is_no_descriptor(void **state)
{
	struct bench *b = *state;
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__watch_new(b->loop, 9999, readable, b, &b->watch, &err), MESH_E_IO);
	assert_non_null(strstr(err.message, "9999"));
}

static void a_signal_calls_its_function(void **state)
{
	struct bench *b = *state;
	struct mesh__signal *sig;

	assert_int_equal(mesh__signal_new(b->loop, SIGUSR1, stop, b, &sig, NULL), MESH_OK);
	assert_int_equal(raise(SIGUSR1), 0);
	mesh__loop_run(b->loop);
	mesh__signal_free(sig);
}

static void a_childs_abandon_leaves_the_parents_loop_alone(void **state)
{
	struct bench *b = *state;
	struct letter l = {.b = b, .c = 'p'};
	int fds[2];
	int status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(mesh__watch_new(b->loop, fds[0], readable, b, &b->watch, NULL), MESH_OK);
	assert_int_equal(mesh__watch_set(b->watch, MESH__READABLE), MESH_OK);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		mesh__loop_abandon(b->loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(write(fds[1], "q", 1), 1);
	mesh__loop_post(b->loop, &l.post, note, &l);
	b->n = 1;
	mesh__loop_run(b->loop);
	assert_string_equal(b->order, "qp");
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void survives_each_allocation_that_fails(void **state)
{
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem f;
		struct mesh__env env;
		struct mesh__loop *loop = NULL;
		struct mesh__timer *timer;
		struct mesh__watch *watch;

		fail_mem_init(&f);
		f.fail_at = n;
		mesh__env_init(&env);
		env.mem = f.mem;
		if (mesh__loop_new(&env, &loop, NULL) == MESH_OK) {
			int timer_rc = mesh__timer_new(loop, stop, NULL, &timer);
			int watch_rc = mesh__watch_new(loop, pipe_fds[0], readable, NULL, &watch, NULL);

			assert_true(timer_rc == MESH_OK || (timer_rc == MESH_E_NO_MEMORY && timer == NULL));
			assert_true(watch_rc == MESH_OK || (watch_rc == MESH_E_NO_MEMORY && watch == NULL));
		}
		mesh__loop_free(loop);
		done = f.count < n;
		assert_int_equal(f.live, 0);
	}
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_what_was_posted_in_order_before_it_stops, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_node_may_be_posted_again_by_its_own_function, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_deferred_runs_once_behind_what_the_turn_brings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_deferred_in_the_last_turn_runs_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(free_runs_what_was_posted_and_never_ran, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_own_thread_is_named_and_has_every_signal_blocked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_is_never_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_repeats_until_it_is_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timers_that_are_always_due_leave_the_rest_its_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_that_waits_for_its_turn_may_be_stopped_and_freed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_watch_tells_of_bytes_and_leaves_the_descriptor_to_its_owner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_to_watch_what_is_no_descriptor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_signal_calls_its_function, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_childs_abandon_leaves_the_parents_loop_alone, set_up, tear_down),
		cmocka_unit_test(survives_each_allocation_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
