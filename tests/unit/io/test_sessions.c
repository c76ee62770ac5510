#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "io/sessions.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

static struct fake_env fake;
static struct fail_mem mem;
static unsigned char seen[MESH__SESSION_MAX_BYTES];
static const int64_t a_day_ms = 24 * 3600 * 1000;

static int set_up(void **state)
{
	fake_env_init(&fake);
	fail_mem_init(&mem);
	fake.env.mem = mem.mem;
	*state = mesh__sessions_new(&fake.env);
	return *state == NULL;
}

static int tear_down(void **state)
{
	mesh__sessions_unref(*state);
	assert_int_equal(mem.live, 0);
	return 0;
}

/* Ids as a CSPRNG makes them: all bytes differ with `n`. */
static void id_of(uint32_t n, unsigned char id[MESH__SESSION_ID_BYTES])
{
	uint32_t x = n * 2654435761u;

	memset(id, 0, MESH__SESSION_ID_BYTES);
	id[0] = (unsigned char)n;
	id[1] = (unsigned char)(x >> 24);
	memcpy(id + 2, &n, sizeof(n));
}

static void put(struct mesh__sessions *sessions, uint32_t n, size_t len, int64_t for_ms)
{
	static const unsigned char bytes[MESH__SESSION_MAX_BYTES + 1] = {1, 2, 3};
	unsigned char id[MESH__SESSION_ID_BYTES];

	id_of(n, id);
	mesh__sessions_put(sessions, id, bytes, len, mesh__wall_ms(&fake.env) + for_ms);
}

static size_t get(struct mesh__sessions *sessions, uint32_t n)
{
	unsigned char id[MESH__SESSION_ID_BYTES];

	id_of(n, id);
	return mesh__sessions_get(sessions, id, seen);
}

static void gives_back_what_was_put_any_number_of_times(void **state)
{
	unsigned char id[MESH__SESSION_ID_BYTES];

	id_of(7, id);
	mesh__sessions_put(*state, id, "secret", 6, mesh__wall_ms(&fake.env) + a_day_ms);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get(*state, 7), 6);
		assert_memory_equal(seen, "secret", 6);
	}
	assert_int_equal(get(*state, 8), 0);
	id[MESH__SESSION_ID_BYTES - 1] ^= 1;
	assert_int_equal(mesh__sessions_get(*state, id, seen), 0);
}

static void forgets_after_its_life_on_the_monotonic_clock(void **state)
{
	put(*state, 1, 100, a_day_ms);
	atomic_fetch_add(&fake.now_us, (int64_t)MESH__SESSION_LIFE_MS * 1000 - 1);
	assert_int_equal(get(*state, 1), 100);
	atomic_fetch_add(&fake.now_us, 1);
	assert_int_equal(get(*state, 1), 0);
}

static void forgets_with_the_end_of_the_certificate_on_the_wall_clock(void **state)
{
	put(*state, 1, 100, 5000);
	atomic_fetch_add(&fake.wall_ms, 4999);
	assert_int_equal(get(*state, 1), 100);
	atomic_fetch_add(&fake.wall_ms, 1);
	assert_int_equal(get(*state, 1), 0);
}

static void keeps_none_that_is_too_large_or_empty(void **state)
{
	put(*state, 1, MESH__SESSION_MAX_BYTES + 1, a_day_ms);
	put(*state, 2, 0, a_day_ms);
	put(*state, 3, MESH__SESSION_MAX_BYTES, a_day_ms);
	assert_int_equal(get(*state, 1), 0);
	assert_int_equal(get(*state, 2), 0);
	assert_int_equal(get(*state, 3), MESH__SESSION_MAX_BYTES);
}

static void the_oldest_go_first_when_there_are_too_many(void **state)
{
	const uint32_t more = 1024;

	for (uint32_t n = 0; n < MESH__SESSIONS_MAX + more; n++) {
		put(*state, n, 10, a_day_ms);
	}
	/* These ids go round the shards evenly. */
	for (uint32_t n = 0; n < MESH__SESSIONS_MAX + more; n++) {
		assert_int_equal(get(*state, n), n < more ? 0 : 10);
	}
	assert_in_range(mem.live, 1, MESH__SESSIONS_MAX + 1);
}

static void the_oldest_go_first_when_they_take_too_many_bytes(void **state)
{
	const uint32_t n_fitting = MESH__SESSIONS_MAX_BYTES / MESH__SESSION_MAX_BYTES;

	for (uint32_t n = 0; n < 2 * n_fitting; n++) {
		put(*state, n, MESH__SESSION_MAX_BYTES, a_day_ms);
	}
	assert_int_equal(get(*state, 0), 0);
	assert_int_equal(get(*state, 2 * n_fitting - 1), MESH__SESSION_MAX_BYTES);
	assert_in_range(mem.live, n_fitting / 2, n_fitting + 1);
}

static void without_memory_it_keeps_nothing_and_goes_on(void **state)
{
	fail_mem_next(&mem, 1);
	put(*state, 1, 100, a_day_ms);
	assert_int_equal(get(*state, 1), 0);
	put(*state, 2, 100, a_day_ms);
	assert_int_equal(get(*state, 2), 100);
}

struct worker {
	struct mesh__sessions *sessions;
	uint32_t first;
	int wrong;
};

static void *put_and_get(void *arg)
{
	struct worker *w = arg;
	unsigned char bytes[MESH__SESSION_MAX_BYTES], id[MESH__SESSION_ID_BYTES];

	for (uint32_t n = w->first; n < w->first + 500; n++) {
		id_of(n, id);
		mesh__sessions_put(w->sessions, id, &n, sizeof(n), INT64_MAX);
		w->wrong += mesh__sessions_get(w->sessions, id, bytes) != sizeof(n) || memcmp(bytes, &n, sizeof(n)) != 0;
	}
	mesh__sessions_unref(w->sessions);
	return NULL;
}

static void serves_several_loops_at_once(void **state)
{
	struct worker workers[4];
	pthread_t threads[4];

	for (uint32_t i = 0; i < 4; i++) {
		workers[i] = (struct worker){mesh__sessions_ref(*state), i * 1000, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, put_and_get, &workers[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_back_what_was_put_any_number_of_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgets_after_its_life_on_the_monotonic_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgets_with_the_end_of_the_certificate_on_the_wall_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_none_that_is_too_large_or_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_go_first_when_there_are_too_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_go_first_when_they_take_too_many_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory_it_keeps_nothing_and_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(serves_several_loops_at_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
