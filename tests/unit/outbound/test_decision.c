/* Deciding where a call goes, and learning from its answer, asks nobody for memory, whatever the balancer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "outbound/steps.h"
#include "policy/service.h"
#include "support/alloc_fail.h"
#include "support/decision.h"
#include "support/fail_malloc.h"

enum { DECISIONS = 3000, THREADS = 2, UNHEALTHY_EVERY = 10 };

static const char *const balancers[] = {
#define X(name, text) text,
	MESH__BALANCERS(X)
#undef X
};

static struct static_mesh stage;
static struct fail_mem mem;

/* What one thread has found. */
struct found {
	long allocated; /* by anybody on it */
	unsigned failed, retried, routes, far;
	bool called[DECISION_ENDPOINTS];
};

static int tear_down(void **state)
{
	(void)state;
	static_mesh_close(&stage);
	return 0;
}

static void note(struct found *f, const struct mesh_request *r)
{
	unsigned at = (unsigned)(r->endpoint->target.address.port - decision_endpoint(&stage, 0)->target.address.port);

	f->called[at] = true;
	f->far += strcmp(r->endpoint->zone, "a") != 0;
	f->retried += r->tries > 1;
	f->routes |= 1U << (r->route - r->called->policy.routes);
}

static void *decide(void *arg)
{
	struct mesh_request *requests[DECISION_ROUTES];
	struct found *f = arg;

	for (unsigned i = 0; i < DECISION_ROUTES; i++) {
		requests[i] = decision_request(&stage, i);
	}
	fail_malloc_arm(0, false);
	for (unsigned i = 0; i < DECISIONS; i++) {
		struct mesh_request *r = requests[i % DECISION_ROUTES];
		f->failed += !decision_make(&stage, r, i % 13 == 0 ? 1 + (int)(i % 2) : 0);
		note(f, r);
	}
	f->allocated = fail_malloc_disarm().count;
	for (unsigned i = 0; i < DECISION_ROUTES; i++) {
		mesh__request_free(requests[i]);
	}
	return NULL;
}

/* Every n-th endpoint of the own zone, and most of that: enough that calls leave it, and that hashing walks on. */
static void mark_some(void)
{
	for (unsigned i = 0; i < DECISION_ENDPOINTS; i++) {
		if (i % 3 == 0 && i % UNHEALTHY_EVERY != 0) {
			(void)mesh__endpoint_mark(decision_endpoint(&stage, i), MESH__UNHEALTHY_CHECK, true);
		}
	}
}

static void assert_decided(const struct found *f)
{
	assert_int_equal(f->allocated, 0);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->routes, (1U << DECISION_ROUTES) - 1);
	assert_true(f->retried > 0);
	assert_true(f->far > 0);
	for (unsigned i = 0; i < DECISION_ENDPOINTS; i++) {
		assert_false(f->called[i] && !mesh__endpoint_is_healthy(decision_endpoint(&stage, i)));
	}
}

/* Whatever asks mesh__env is counted there, whatever asks libc by fail_malloc, where that may. */
static void watch_memory(void)
{
	fail_mem_init(&mem);
	stage.fake.env.mem = mem.mem;
}

static void no_balancer_asks_for_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(balancers) / sizeof(balancers[0]); i++) {
		struct found found = {0};
		long before; /* what the requests themselves take */
		decision_open(&stage, balancers[i]);
		watch_memory();
		mark_some();
		for (unsigned n = 0; n < DECISION_ROUTES; n++) {
			mesh__request_free(decision_request(&stage, n));
		}
		before = mem.count;
		assert_true(before > 0);
		(void)decide(&found);
		assert_int_equal(mem.count, 2 * before);
		assert_decided(&found);
		if (i + 1 < sizeof(balancers) / sizeof(balancers[0])) {
			static_mesh_close(&stage);
		}
	}
}

static void nor_do_two_threads_at_once(void **state)
{
	struct found found[THREADS] = {0};
	pthread_t threads[THREADS];

	(void)state;
	decision_open(&stage, balancers[0]);
	mark_some();
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, decide, &found[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_decided(&found[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_balancer_asks_for_memory, tear_down),
		cmocka_unit_test_teardown(nor_do_two_threads_at_once, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
