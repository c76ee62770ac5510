/* Where idle connections lie, and who gets which: slots that are no more than links. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "http/curl_pool.h"

struct stand {
	struct mesh__shelves shelves;
	struct mesh__slot slots[6];
	cpu_set_t allowed;
	unsigned own; /* the shelf of the CPU that this thread stays on */
};

/* This thread stays on one CPU, so that it is known which shelf is its own. */
static void set_up(struct stand *s)
{
	cpu_set_t one;
	int cpu;

	memset(s, 0, sizeof(*s));
	mesh__shelves_init(&s->shelves);
	assert_int_equal(sched_getaffinity(0, sizeof(s->allowed), &s->allowed), 0);
	cpu = sched_getcpu();
	CPU_ZERO(&one);
	CPU_SET((unsigned)cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	s->own = (unsigned)cpu % MESH__SHELVES;
	for (size_t i = 0; i < MESH__COUNT(s->slots); i++) {
		s->slots[i].idle_since_us = (int64_t)i;
	}
}

static void tear_down(struct stand *s)
{
	assert_int_equal(sched_setaffinity(0, sizeof(s->allowed), &s->allowed), 0);
	mesh__shelves_fini(&s->shelves);
}

/* As a thread on another CPU would. */
static void put_elsewhere(struct stand *s, unsigned distance, struct mesh__slot *slot)
{
	struct mesh__shelf *shelf = &s->shelves.all[(s->own + distance) % MESH__SHELVES];

	slot->next_idle = shelf->first;
	shelf->first = slot;
}

static void gives_what_served_last_on_this_cpu_then_what_served_on_others(void **state)
{
	static const int expected[] = {2, 0, 1, 4, 3};
	struct stand s;

	(void)state;
	set_up(&s);
	assert_null(mesh__shelves_take(&s.shelves));
	assert_true(mesh__shelves_put(&s.shelves, &s.slots[0]));
	put_elsewhere(&s, 1, &s.slots[1]);
	assert_true(mesh__shelves_put(&s.shelves, &s.slots[2]));
	put_elsewhere(&s, MESH__SHELVES - 1, &s.slots[3]);
	put_elsewhere(&s, MESH__SHELVES - 1, &s.slots[4]);
	for (size_t i = 0; i < MESH__COUNT(expected); i++) {
		assert_ptr_equal(mesh__shelves_take(&s.shelves), &s.slots[expected[i]]);
	}
	assert_null(mesh__shelves_take(&s.shelves));
	tear_down(&s);
}

static unsigned cut(struct stand *s, int64_t limit_us, bool close)
{
	unsigned found = 0;

	for (struct mesh__slot *slot = mesh__shelves_cut(&s->shelves, limit_us, close); slot != NULL; slot = slot->next_idle) {
		found |= 1U << (slot - s->slots);
	}
	return found;
}

static void cuts_off_what_has_lain_too_long_on_any_of_them(void **state)
{
	struct stand s;

	(void)state;
	set_up(&s);
	for (size_t i = 0; i < MESH__COUNT(s.slots); i++) {
		put_elsewhere(&s, (unsigned)i % 2 * 3, &s.slots[i]);
	}
	assert_int_equal(cut(&s, -1, false), 0);
	assert_int_equal(cut(&s, 2, false), 1 | 2 | 4);
	assert_int_equal(cut(&s, 2, false), 0);
	assert_true(mesh__shelves_put(&s.shelves, &s.slots[0]));
	assert_int_equal(cut(&s, INT64_MAX, false), 1 | 8 | 16 | 32);
	assert_null(mesh__shelves_take(&s.shelves));
	tear_down(&s);
}

static void takes_nothing_once_closed(void **state)
{
	struct stand s;

	(void)state;
	set_up(&s);
	assert_true(mesh__shelves_put(&s.shelves, &s.slots[0]));
	put_elsewhere(&s, 1, &s.slots[1]);
	assert_int_equal(cut(&s, INT64_MAX, true), 1 | 2);
	assert_false(mesh__shelves_put(&s.shelves, &s.slots[0]));
	assert_null(mesh__shelves_take(&s.shelves));
	tear_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_what_served_last_on_this_cpu_then_what_served_on_others),
		cmocka_unit_test(cuts_off_what_has_lain_too_long_on_any_of_them),
		cmocka_unit_test(takes_nothing_once_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
