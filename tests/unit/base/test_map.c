#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

enum { MANY = 5000 };

static int values[MANY];

static void fill(struct mesh__map *map, int n)
{
	for (int i = 0; i < n; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "key-%d", i);
		assert_true(mesh__map_put(map, key, &values[i], NULL));
	}
}

static void finds_what_was_put_and_nothing_else(void **state)
{
	struct fake_env fake;
	struct mesh__map map;

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&map, &fake.env);
	assert_null(mesh__map_get(&map, "key-0"));
	assert_null(mesh__map_remove(&map, "key-0"));
	fill(&map, MANY);
	assert_int_equal(map.n, MANY);
	for (int i = 0; i < MANY; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "key-%d", i);
		assert_ptr_equal(mesh__map_get(&map, key), &values[i]);
	}
	assert_null(mesh__map_get(&map, "key-5000"));
	assert_null(mesh__map_get(&map, ""));
	assert_null(mesh__map_get(&map, "key-"));
	mesh__map_fini(&map);
	assert_null(mesh__map_get(&map, "key-1"));
}

static void keys_are_copied_and_of_any_length(void **state)
{
	struct fake_env fake;
	struct mesh__map map;
	char key[64] = "";

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&map, &fake.env);
	for (size_t len = 0; len < 40; len++) {
		memset(key, 'k', len);
		key[len] = '\0';
		assert_true(mesh__map_put(&map, key, &values[len], NULL));
	}
	for (size_t len = 0; len < 40; len++) {
		memset(key, 'k', len);
		key[len] = '\0';
		assert_ptr_equal(mesh__map_get(&map, key), &values[len]);
	}
	mesh__map_fini(&map);
}

static void putting_again_replaces_and_gives_the_old(void **state)
{
	struct fake_env fake;
	struct mesh__map map;
	void *old = &map;

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&map, &fake.env);
	assert_true(mesh__map_put(&map, "a", &values[0], &old));
	assert_null(old);
	assert_true(mesh__map_put(&map, "a", &values[1], &old));
	assert_ptr_equal(old, &values[0]);
	assert_int_equal(map.n, 1);
	assert_ptr_equal(mesh__map_remove(&map, "a"), &values[1]);
	assert_null(mesh__map_remove(&map, "a"));
	assert_int_equal(map.n, 0);
	assert_true(mesh__map_put(&map, "a", &values[2], &old));
	assert_ptr_equal(mesh__map_get(&map, "a"), &values[2]);
	mesh__map_fini(&map);
}

static void iteration_meets_each_once_and_allows_removal(void **state)
{
	struct fake_env fake;
	struct mesh__map map;
	struct mesh__map_entry *e, *next;
	int met[500] = {0};

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&map, &fake.env);
	assert_null(mesh__map_next(&map, NULL));
	fill(&map, 500);
	for (e = mesh__map_next(&map, NULL); e != NULL; e = next) {
		int i = (int)((int *)e->value - values);
		next = mesh__map_next(&map, e);
		met[i]++;
		if (i % 2 == 0) {
			char key[32];
			(void)snprintf(key, sizeof(key), "%s", e->key);
			assert_ptr_equal(mesh__map_remove(&map, key), &values[i]);
		}
	}
	for (int i = 0; i < 500; i++) {
		assert_int_equal(met[i], 1);
	}
	assert_int_equal(map.n, 250);
	mesh__map_fini(&map);
}

/* Nobody who cannot see the seed may know where a key goes. */
static void the_seed_moves_the_keys(void **state)
{
	struct fake_env fake;
	struct mesh__map a, b;
	int same = 0;

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&a, &fake.env);
	mesh__map_init(&b, &fake.env);
	assert_true(a.seed != b.seed);
	fill(&a, 100);
	fill(&b, 100);
	for (struct mesh__map_entry *e = mesh__map_next(&a, NULL); e != NULL; e = mesh__map_next(&a, e)) {
		for (struct mesh__map_entry *f = mesh__map_next(&b, NULL); f != NULL; f = mesh__map_next(&b, f)) {
			same += e->hash == f->hash;
		}
	}
	assert_int_equal(same, 0);
	mesh__map_fini(&a);
	mesh__map_fini(&b);
}

static void chains_stay_short(void **state)
{
	struct fake_env fake;
	struct mesh__map map;
	size_t longest = 0;

	(void)state;
	fake_env_init(&fake);
	mesh__map_init(&map, &fake.env);
	fill(&map, MANY);
	assert_true(map.n_buckets >= MANY);
	for (size_t i = 0; i < map.n_buckets; i++) {
		size_t n = 0;
		for (struct mesh__map_entry *e = map.buckets[i]; e != NULL; e = e->next) {
			n++;
		}
		longest = n > longest ? n : longest;
	}
	assert_in_range(longest, 1, 10);
	mesh__map_fini(&map);
}

static void out_of_memory_changes_nothing(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem mem;
		struct fake_env fake;
		struct mesh__map map;
		size_t put = 0;
		fail_mem_init(&mem);
		mem.fail_at = n;
		fake_env_init(&fake);
		fake.env.mem = mem.mem;
		mesh__map_init(&map, &fake.env);
		for (int i = 0; i < 40; i++) {
			char key[32];
			bool ok;
			(void)snprintf(key, sizeof(key), "key-%d", i);
			ok = mesh__map_put(&map, key, &values[i], NULL);
			put += ok;
			assert_ptr_equal(mesh__map_get(&map, key), ok ? &values[i] : NULL);
		}
		assert_int_equal(map.n, put);
		done = mem.count < n;
		assert_in_range(put, done ? 40 : 39, 40);
		mesh__map_fini(&map);
		assert_int_equal(mem.live, 0);
	}
}

static void a_zeroed_map_may_be_ended(void **state)
{
	struct mesh__map map = {0};

	(void)state;
	mesh__map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_put_and_nothing_else),
		cmocka_unit_test(keys_are_copied_and_of_any_length),
		cmocka_unit_test(putting_again_replaces_and_gives_the_old),
		cmocka_unit_test(iteration_meets_each_once_and_allows_removal),
		cmocka_unit_test(the_seed_moves_the_keys),
		cmocka_unit_test(chains_stay_short),
		cmocka_unit_test(out_of_memory_changes_nothing),
		cmocka_unit_test(a_zeroed_map_may_be_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
