/* THREATS 32: a thousand threads that all call at once on a mesh that has no connection yet: each is answered, at default limits. Fifty where a sanitizer or valgrind slows all down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "patience.h"
#include "two_meshes.h"

enum { THREADS = 1000, SLOW_THREADS = 50, STACK_BYTES = 256 * 1024 };

static struct two_meshes t;
static mesh *cart;
static pthread_barrier_t start;

static void reply(void *user, mesh_inbound *in)
{
	(void)user;
	(void)mesh_reply(in, 200, "ok", 2);
}

/* The request as it comes: no timeout but the default, unless all is slowed down. */
static void *call_once(void *arg)
{
	mesh_request **r = arg;

	*r = mesh_request_new(cart, "payments", "GET", "/");
	if (slowed_down()) {
		(void)mesh_request_timeout(*r, patience(15000));
	}
	(void)pthread_barrier_wait(&start);
	(void)mesh_call(*r);
	return NULL;
}

static void all_descriptors(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void threat_32_a_thousand_cold_threads_are_all_answered(void **state)
{
	static pthread_t threads[THREADS];
	static mesh_request *requests[THREADS];
	int n = slowed_down() ? SLOW_THREADS : THREADS, n_failed = 0;
	mesh_options *o;
	pthread_attr_t small;

	(void)state;
	all_descriptors();
	two_meshes_init(&t, "pool", reply, NULL);
	o = two_meshes_options(&t, "cart");
	assert_int_equal(mesh_open(o, &cart, NULL), MESH_OK);
	mesh_options_free(o);
	assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)n), 0);
	assert_int_equal(pthread_attr_init(&small), 0);
	assert_int_equal(pthread_attr_setstacksize(&small, STACK_BYTES), 0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(pthread_create(&threads[i], &small, call_once, &requests[i]), 0);
	}
	for (int i = 0; i < n; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_non_null(requests[i]);
		if (mesh_response_status(requests[i]) != 200) {
			n_failed++;
			print_message("%s\n", mesh_error_message(mesh_request_error(requests[i])));
		}
		mesh_request_free(requests[i]);
	}
	(void)pthread_attr_destroy(&small);
	(void)pthread_barrier_destroy(&start);
	assert_int_equal(n_failed, 0);
	assert_int_equal(mesh_close(cart, 5000), MESH_OK);
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threat_32_a_thousand_cold_threads_are_all_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
