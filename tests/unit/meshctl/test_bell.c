#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/env.h"
#include "meshctl/bell.h"

enum { FIRST = 1, SECOND = 2, AGAIN = 4, LAST = 8, N_RINGS = 20000 };

static struct mesh__env env;

struct listener {
	struct mesh__loop *loop;
	struct ctl_bell bell;
	int n_heard;
	unsigned all;
	bool inside; /* while it is heard */
};

static void heard(void *arg, unsigned what)
{
	struct listener *l = arg;

	assert_false(l->inside);
	assert_true(what != 0);
	l->inside = true;
	l->n_heard++;
	if (what & FIRST) {
		ctl_bell_ring(&l->bell, AGAIN); /* heard later, not now */
	}
	l->all |= what;
	if (what & LAST) {
		mesh__loop_stop(l->loop);
	}
	l->inside = false;
}

static void listener_init(struct listener *l)
{
	*l = (struct listener){0};
	assert_int_equal(mesh__loop_new(&env, &l->loop, NULL), MESH_OK);
	ctl_bell_init(&l->bell, l->loop, heard, l);
}

static void many_rings_before_it_is_heard_are_one(void **state)
{
	struct listener l;

	(void)state;
	listener_init(&l);
	for (int i = 0; i < N_RINGS; i++) {
		ctl_bell_ring(&l.bell, i % 2 == 0 ? FIRST : SECOND);
	}
	ctl_bell_ring(&l.bell, LAST);
	mesh__loop_run(l.loop);
	mesh__loop_free(l.loop); /* hears what was rung from inside */
	assert_int_equal(l.n_heard, 2);
	assert_int_equal(l.all, FIRST | SECOND | AGAIN | LAST);
}

static void *ring(void *arg)
{
	struct listener *l = arg;

	for (int i = 0; i < N_RINGS; i++) {
		ctl_bell_ring(&l->bell, SECOND);
	}
	ctl_bell_ring(&l->bell, LAST);
	return NULL;
}

static void no_ring_of_another_thread_is_lost(void **state)
{
	struct listener l;
	pthread_t thread;

	(void)state;
	listener_init(&l);
	assert_int_equal(pthread_create(&thread, NULL, ring, &l), 0);
	mesh__loop_run(l.loop); /* until the last one was heard */
	(void)pthread_join(thread, NULL);
	mesh__loop_free(l.loop);
	assert_int_equal(l.all, SECOND | LAST);
	assert_true(l.n_heard >= 1 && l.n_heard <= N_RINGS + 1);
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_rings_before_it_is_heard_are_one),
		cmocka_unit_test(no_ring_of_another_thread_is_lost),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
