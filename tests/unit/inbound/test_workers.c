/* The worker pool: bounded, started as needed, and nothing that was taken is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

#include "base/wait.h"
#include "inbound/workers.h"

struct bench {
	struct mesh__env env;
	struct mesh__workers workers;
	pthread_mutex_t mu; /* guards open, begun, ended */
	pthread_cond_t changed;
	bool open;          /* jobs may end */
	int begun, ended;
	int most;           /* at once */
	bool in_worker;     /* what mesh__workers_is_current() said inside */
};

static struct bench b;

static void run(void *arg, struct mesh__job *job)
{
	bool in_worker = mesh__workers_is_current(&b.workers);

	(void)arg;
	(void)job;
	(void)pthread_mutex_lock(&b.mu);
	b.in_worker = in_worker;
	b.begun++;
	b.most = b.begun - b.ended > b.most ? b.begun - b.ended : b.most;
	(void)pthread_cond_broadcast(&b.changed);
	while (!b.open) {
		(void)pthread_cond_wait(&b.changed, &b.mu);
	}
	b.ended++;
	(void)pthread_cond_broadcast(&b.changed);
	(void)pthread_mutex_unlock(&b.mu);
}

static void set_up(int32_t threads, int32_t queued, bool open)
{
	memset(&b, 0, sizeof(b));
	mesh__env_init(&b.env);
	(void)pthread_mutex_init(&b.mu, NULL);
	mesh__cond_init(&b.changed);
	b.open = open;
	mesh__workers_init(&b.workers, &b.env, threads, queued, run, NULL);
}

static void open_gate(void)
{
	(void)pthread_mutex_lock(&b.mu);
	b.open = true;
	(void)pthread_cond_broadcast(&b.changed);
	(void)pthread_mutex_unlock(&b.mu);
}

static void await(const int *count, int n)
{
	int64_t until_us = mesh__mono_us(&b.env) + 10000000;

	(void)pthread_mutex_lock(&b.mu);
	while (*count < n) {
		assert_true(mesh__cond_wait_until(&b.changed, &b.mu, &b.env, until_us));
	}
	(void)pthread_mutex_unlock(&b.mu);
}

static void tear_down(void)
{
	open_gate();
	mesh__workers_fini(&b.workers);
	(void)pthread_cond_destroy(&b.changed);
	(void)pthread_mutex_destroy(&b.mu);
}

static void starts_no_thread_before_the_first_job(void **state)
{
	(void)state;
	set_up(4, 4, true);
	assert_int_equal(b.workers.n_threads, 0);
	assert_false(mesh__workers_is_current(&b.workers));
	tear_down();
}

static void runs_as_many_at_once_as_it_has_threads_and_no_more(void **state)
{
	struct mesh__job jobs[5];

	(void)state;
	set_up(3, 8, false);
	for (size_t i = 0; i < 5; i++) {
		assert_true(mesh__workers_give(&b.workers, &jobs[i]));
	}
	await(&b.begun, 3);
	open_gate();
	await(&b.ended, 5);
	assert_int_equal(b.most, 3);
	assert_true(b.in_worker);
	tear_down();
}

static void refuses_what_its_queue_has_no_room_for(void **state)
{
	struct mesh__job jobs[4];

	(void)state;
	set_up(1, 2, false);
	assert_true(mesh__workers_give(&b.workers, &jobs[0]));
	await(&b.begun, 1);
	assert_true(mesh__workers_give(&b.workers, &jobs[1]));
	assert_true(mesh__workers_give(&b.workers, &jobs[2]));
	assert_false(mesh__workers_give(&b.workers, &jobs[3]));
	open_gate();
	await(&b.ended, 3);
	tear_down();
}

static void runs_what_it_has_taken_before_it_ends(void **state)
{
	struct mesh__job jobs[16];

	(void)state;
	set_up(2, 16, true);
	for (size_t i = 0; i < 16; i++) {
		assert_true(mesh__workers_give(&b.workers, &jobs[i]));
	}
	tear_down();
	assert_int_equal(b.ended, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_no_thread_before_the_first_job),
		cmocka_unit_test(runs_as_many_at_once_as_it_has_threads_and_no_more),
		cmocka_unit_test(refuses_what_its_queue_has_no_room_for),
		cmocka_unit_test(runs_what_it_has_taken_before_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
