#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "telemetry/metrics.h"

static void assert_text(struct mesh__metrics *metrics, const char *wanted)
{
	struct mesh__buf b;

	mesh__buf_init(&b, mesh__mem_libc(), 1 << 20);
	mesh__metrics_text(metrics, &b);
	assert_string_equal(b.data == NULL ? "" : b.data, wanted);
	mesh__buf_fini(&b);
}

static void an_empty_registry_has_no_text(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	assert_text(m, "");
	mesh__metrics_free(m);
	mesh__metrics_free(NULL);
}

static void families_are_sorted_and_typed(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	mesh__count(mesh__metrics_counter(m, "mesh_refused_total", "Handshakes refused.", "reason", "no-cert"), 2);
	mesh__gauge_set(mesh__metrics_gauge(m, "mesh_connections", "Open connections.", NULL, NULL), -3);
	mesh__count(mesh__metrics_counter(m, "mesh_refused_total", "Handshakes refused.", "reason", "expired"), 1);
	mesh__count(mesh__metrics_counter(m, "mesh_refused_total", "Handshakes refused.", "reason", "no-cert"), 3);
	mesh__count(mesh__metrics_counter(m, "mesh_calls_total", "Calls.", NULL, NULL), INT64_C(9000000000));
	assert_text(m,
		"# HELP mesh_calls_total Calls.\n# TYPE mesh_calls_total counter\nmesh_calls_total 9000000000\n"
		"# HELP mesh_connections Open connections.\n# TYPE mesh_connections gauge\nmesh_connections -3\n"
		"# HELP mesh_refused_total Handshakes refused.\n# TYPE mesh_refused_total counter\n"
		"mesh_refused_total{reason=\"expired\"} 1\nmesh_refused_total{reason=\"no-cert\"} 5\n");
	mesh__metrics_free(m);
}

static void one_name_and_value_is_one_counter_for_life(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;
	struct mesh__counter *a;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	a = mesh__metrics_counter(m, "a", "A.", "k", "x");
	for (int i = 0; i < 300; i++) {
		char value[16];
		(void)snprintf(value, sizeof(value), "%d", i);
		(void)mesh__metrics_counter(m, "a", "A.", "k", value);
	}
	assert_ptr_equal(mesh__metrics_counter(m, "a", "A.", "k", "x"), a);
	assert_ptr_not_equal(mesh__metrics_counter(m, "a", "A.", "k", "1"), a);
	assert_ptr_equal(mesh__metrics_counter(m, "b", "B.", NULL, NULL), mesh__metrics_counter(m, "b", "B.", NULL, "ignored"));
	mesh__metrics_free(m);
}

static void label_values_and_help_are_escaped(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	mesh__count(mesh__metrics_counter(m, "a", "Quote \" stays,\nback\\slash.", "k", "x\"y\\z\n\xc3\xa9"), 1);
	mesh__count(mesh__metrics_counter(m, "a", "ignored", "k", "\xff\xfe"), 1);
	mesh__count(mesh__metrics_counter(m, "a", "ignored", "k", "\xff"), 1);
	mesh__count(mesh__metrics_counter(m, "a", "ignored", "k", NULL), 1);
	assert_text(m,
		"# HELP a Quote \" stays,\\nback\\\\slash.\n# TYPE a counter\n"
		"a{k=\"\"} 1\na{k=\"invalid\"} 2\na{k=\"x\\\"y\\\\z\\n\xc3\xa9\"} 1\n");
	mesh__metrics_free(m);
}

static void values_past_256_are_counted_under_other(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;
	struct mesh__buf b;
	size_t lines = 0;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	for (int i = 0; i < 10000; i++) {
		char value[16];
		(void)snprintf(value, sizeof(value), "v%05d", i);
		mesh__count(mesh__metrics_counter(m, "a", "A.", "k", value), 1);
	}
	mesh__buf_init(&b, mesh__mem_libc(), 1 << 20);
	mesh__metrics_text(m, &b);
	for (const char *p = b.data; *p != '\0'; p++) {
		lines += *p == '\n';
	}
	assert_int_equal(lines, 2 + 256 + 1);
	assert_non_null(strstr(b.data, "\na{k=\"other\"} 9744\n"));
	assert_non_null(strstr(b.data, "\na{k=\"v00255\"} 1\n"));
	assert_null(strstr(b.data, "v00256"));
	mesh__buf_fini(&b);
	mesh__metrics_free(m);
}

static void without_memory_there_is_still_a_counter(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem mem;
		struct fake_env fake;
		struct mesh__metrics *m;
		fail_mem_init(&mem);
		fake_env_init(&fake);
		fake.env.mem = mem.mem;
		mem.fail_at = n;
		m = mesh__metrics_new(&fake.env);
		if (m != NULL) {
			mesh__count(mesh__metrics_counter(m, "a", "A.", "k", "v"), 1);
			mesh__gauge_set(mesh__metrics_gauge(m, "b", "B.", NULL, NULL), 1);
			fail_mem_next(&mem, 0);
			done = 1; /* unless something was not shown */
			struct mesh__buf b;
			mesh__buf_init(&b, mesh__mem_libc(), 4096);
			mesh__metrics_text(m, &b);
			done = b.data != NULL && strstr(b.data, "a{k=\"v\"} 1\n") != NULL && strstr(b.data, "b 1\n") != NULL;
			mesh__buf_fini(&b);
			/* Out of memory once is not out of memory for good. */
			assert_ptr_equal(mesh__metrics_counter(m, "a", "A.", "k", "v"), mesh__metrics_counter(m, "a", "A.", "k", "v"));
		}
		mesh__metrics_free(m);
		assert_int_equal(mem.live, 0);
		assert_in_range(n, 1, 10);
	}
}

enum { THREADS = 4, ADDS = 20000 };

static void *add(void *arg)
{
	struct mesh__metrics *m = arg;
	struct mesh__counter *c = mesh__metrics_counter(m, "a", "A.", "k", "shared");

	for (int i = 0; i < ADDS; i++) {
		mesh__count(c, 1);
		if (i % 1000 == 0) {
			char value[16];
			(void)snprintf(value, sizeof(value), "v%d", i);
			(void)mesh__metrics_counter(m, "a", "A.", "k", value);
		}
	}
	return NULL;
}

static void threads_lose_no_count(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;
	pthread_t threads[THREADS];

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, add, m), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(mesh__metrics_counter(m, "a", "A.", "k", "shared")->value, THREADS * ADDS);
	mesh__metrics_free(m);
}

/* ---- Without a lock ---- */

static struct mesh__metrics *busy;
static struct mesh__counter *found;

/* An allocator that looks for a counter while another one is made. */
static void *look_and_allocate(void *user, size_t size)
{
	const struct mesh__mem *libc = mesh__mem_libc();

	(void)user;
	if (busy != NULL) {
		found = mesh__metrics_counter(busy, "a", "A.", "k", "old");
	}
	return libc->alloc(libc->user, size);
}

static void what_is_there_is_found_while_something_else_is_made(void **state)
{
	struct fake_env fake;
	struct mesh__counter *old;
	struct mesh__metrics *m;

	(void)state;
	fake_env_init(&fake);
	fake.env.mem.alloc = look_and_allocate;
	busy = NULL;
	m = mesh__metrics_new(&fake.env);
	old = mesh__metrics_counter(m, "a", "A.", "k", "old");
	(void)alarm(60); /* where a lock were waited for, nobody would give it back */
	busy = m;
	(void)mesh__metrics_counter(m, "a", "A.", "k", "new");
	busy = NULL;
	(void)alarm(0);
	assert_ptr_equal(found, old);
	mesh__metrics_free(m);
}

static void set_to_seven(void *arg)
{
	mesh__gauge_set(arg, 7);
}

static void a_gauge_that_is_looked_up_is_right_when_it_is_asked_for(void **state)
{
	struct fake_env fake;
	struct mesh__metrics *m;
	struct mesh__buf text;

	(void)state;
	fake_env_init(&fake);
	m = mesh__metrics_new(&fake.env);
	mesh__metrics_on_text(m, set_to_seven, mesh__metrics_gauge(m, "a", "A.", NULL, NULL));
	mesh__buf_init(&text, mesh__mem_libc(), 1000);
	mesh__metrics_text(m, &text);
	assert_string_equal(text.data, "# HELP a A.\n# TYPE a gauge\na 7\n");
	mesh__buf_fini(&text);
	mesh__metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_registry_has_no_text),
		cmocka_unit_test(families_are_sorted_and_typed),
		cmocka_unit_test(one_name_and_value_is_one_counter_for_life),
		cmocka_unit_test(label_values_and_help_are_escaped),
		cmocka_unit_test(values_past_256_are_counted_under_other),
		cmocka_unit_test(without_memory_there_is_still_a_counter),
		cmocka_unit_test(threads_lose_no_count),
		cmocka_unit_test(what_is_there_is_found_while_something_else_is_made),
		cmocka_unit_test(a_gauge_that_is_looked_up_is_right_when_it_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
