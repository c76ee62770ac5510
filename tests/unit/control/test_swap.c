/* The cell that holds the snapshot of the moment, and what keeps a snapshot alive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "control/swap.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/test_destination.h"

enum { READERS = 4, SWAPS = 2000 };

struct fixture {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__swap swap;
	struct mesh__map none;
	_Atomic bool stop;
	_Atomic int seen;
};

static struct fixture f;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.stop = false};
	fake_env_init(&f.fake);
	fail_mem_init(&f.mem);
	f.fake.env.mem = f.mem.mem;
	mesh__map_init(&f.none, &f.fake.env);
	mesh__swap_init(&f.swap);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mesh__swap_fini(&f.swap);
	mesh__map_fini(&f.none);
	assert_int_equal(f.mem.live, 0);
	return 0;
}

static struct mesh__snapshot *new_snapshot(void)
{
	struct mesh__snapshot *s = mesh__snapshot_new(&f.fake.env, NULL, NULL, &f.none, NULL);

	assert_non_null(s);
	return s;
}

static void gives_nothing_before_the_first(void **state)
{
	(void)state;
	assert_null(mesh__swap_get(&f.swap));
}

static void gives_the_newest_and_keeps_the_one_in_use_alive(void **state)
{
	struct mesh__snapshot *first = new_snapshot(), *second = new_snapshot(), *held;

	(void)state;
	mesh__swap_put(&f.swap, first);
	held = mesh__swap_get(&f.swap);
	assert_ptr_equal(held, first);
	mesh__swap_put(&f.swap, second);
	assert_int_equal(held->refs, 1); /* the cell has let go; the caller has not */
	first = mesh__swap_get(&f.swap);
	assert_ptr_equal(first, second);
	mesh__snapshot_unref(first);
	mesh__snapshot_unref(held);
}

static void takes_the_callers_reference(void **state)
{
	struct mesh__snapshot *s = new_snapshot();

	(void)state;
	mesh__swap_put(&f.swap, s);
	assert_int_equal(s->refs, MESH__SWAP_SHARDS);
}

static void *shard_of(void *arg)
{
	size_t *shards = arg;

	shards[0] = mesh__swap_shard_of_thread();
	shards[1] = mesh__swap_shard_of_thread();
	return NULL;
}

static void a_thread_always_uses_the_same_shard(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		size_t shards[2] = {MESH__SWAP_SHARDS, MESH__SWAP_SHARDS};
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, shard_of, shards), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(shards[0] < MESH__SWAP_SHARDS);
		assert_int_equal(shards[0], shards[1]);
	}
}

static void *read_on(void *arg)
{
	(void)arg;
	while (!f.stop) {
		struct mesh__snapshot *s = mesh__swap_get(&f.swap);

		if (s != NULL) {
			(void)mesh__snapshot_find(s, "payments.default");
			f.seen++;
			mesh__snapshot_unref(s);
		}
	}
	return NULL;
}

/* Under ASan and TSan this shows what a reader may touch. */
static void readers_and_a_writer_do_not_disturb_each_other(void **state)
{
	pthread_t threads[READERS];

	(void)state;
	for (int i = 0; i < READERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, NULL), 0);
	}
	for (int i = 0; i < SWAPS || f.seen == 0; i++) {
		mesh__swap_put(&f.swap, new_snapshot());
	}
	f.stop = true;
	for (int i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

static void the_shards_share_no_cache_line(void **state)
{
	(void)state;
	for (size_t i = 1; i < MESH__SWAP_SHARDS; i++) {
		uintptr_t end = (uintptr_t)(&f.swap.shards[i - 1].snapshot + 1), start = (uintptr_t)&f.swap.shards[i].mu;

		assert_true(start - end >= MESH__APART);
	}
}

/* ---- The snapshot. ---- */

static struct mesh__service *new_service(void)
{
	static const struct mesh__endpoint_source source = {TEST_DESTINATION(NULL)};
	struct mesh__service *s = mesh__alloc(&f.fake.env.mem, sizeof(*s));

	assert_non_null(s);
	atomic_init(&s->refs, 1);
	s->source = &source;
	return s;
}

static void a_snapshot_holds_its_services_whatever_becomes_of_the_map(void **state)
{
	struct mesh__map services;
	struct mesh__service *service = new_service();
	struct mesh__snapshot *s;

	(void)state;
	mesh__map_init(&services, &f.fake.env);
	assert_true(mesh__map_put(&services, "payments.default", service, NULL));
	s = mesh__snapshot_new(&f.fake.env, NULL, NULL, &services, NULL);
	assert_non_null(s);
	assert_int_equal(service->refs, 2);
	mesh__service_unref(mesh__map_remove(&services, "payments.default"));
	mesh__map_fini(&services);
	assert_ptr_equal(mesh__snapshot_find(s, "payments.default"), service);
	assert_null(mesh__snapshot_find(s, "orders.default"));
	mesh__snapshot_unref(s);
}

static void a_snapshot_for_which_there_is_no_memory_leaves_everything_as_it_was(void **state)
{
	struct mesh__service *service[8];
	struct mesh__map services;
	struct mesh__snapshot *s = NULL;
	char key[32];
	long n = 0;

	(void)state;
	mesh__map_init(&services, &f.fake.env);
	for (int i = 0; i < 8; i++) {
		service[i] = new_service();
		(void)snprintf(key, sizeof(key), "s%d.default", i);
		assert_true(mesh__map_put(&services, key, service[i], NULL));
	}
	while (s == NULL) {
		fail_mem_next(&f.mem, ++n);
		s = mesh__snapshot_new(&f.fake.env, NULL, NULL, &services, NULL);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(service[i]->refs, s == NULL ? 1 : 2);
		}
	}
	assert_true(n > 3);
	fail_mem_next(&f.mem, 0);
	mesh__snapshot_unref(s);
	for (int i = 0; i < 8; i++) {
		mesh__service_unref(service[i]);
	}
	mesh__map_fini(&services);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_nothing_before_the_first),
		TEST(gives_the_newest_and_keeps_the_one_in_use_alive),
		TEST(takes_the_callers_reference),
		TEST(a_thread_always_uses_the_same_shard),
		TEST(readers_and_a_writer_do_not_disturb_each_other),
		TEST(the_shards_share_no_cache_line),
		TEST(a_snapshot_holds_its_services_whatever_becomes_of_the_map),
		TEST(a_snapshot_for_which_there_is_no_memory_leaves_everything_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
