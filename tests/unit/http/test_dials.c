/* Who may dial when, as a table: time stands in the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "http/dials.h"

/*
 * What happens, a letter each, in the order of time: b a dial begins, q one of a caller who waited, g one ends well, f one ends badly, a one is given up, '.' a tenth of MESH__DIAL_ALONE_MS passes, l a kept connection is found dead that was alive just now, o one that was
 * last alive before anything of this.
 */
static void play(struct mesh__dials *d, const char *events, int64_t *now_us)
{
	for (const char *e = events; *e != '\0'; e++) {
		switch (*e) {
		case 'b':
		case 'q':
			mesh__dials_begin(d, *now_us, *e == 'q');
			break;
		case 'g':
			mesh__dials_succeeded(d, *now_us);
			mesh__dials_end(d);
			break;
		case 'f':
			mesh__dials_failed(d);
			mesh__dials_end(d);
			break;
		case 'a':
			mesh__dials_end(d);
			break;
		case 'l':
			mesh__dials_lost(d, *now_us);
			break;
		case 'o':
			mesh__dials_lost(d, 1);
			break;
		default:
			*now_us += MESH__DIAL_ALONE_MS * 100;
			break;
		}
	}
}

static const struct {
	const char *rule, *events;
	bool may;      /* one more may begin now */
	int opens;     /* if not: in so many tenths of that time; -1: when one has ended */
} rows[] = {
	{"the first goes at once", "", true, 0},
	{"nobody goes beside the first", "b", false, 10},
	{"who comes later waits no longer", "b...", false, 7},
	{"the first took too long: all go", "b..........", true, 0},
	{"the first took too long: as many as are allowed", "b..........bbb", false, -1},
	{"the first has succeeded: all go", "b.g", true, 0},
	{"and go on going", "b.gbbb", true, 0},
	{"as many as are allowed", "b.gbbbb", false, -1},
	{"one ends, one goes", "b.gbbbbg", true, 0},
	{"the first has failed: all who waited go", "b.fq", true, 0},
	{"as many as are allowed", "b.fqqqq", false, -1},
	{"the first was given up: the next is the first", "b.ab", false, 10},
	{"who comes after that is alone again", "b.fqqqq.fff.f.b", false, 10},
	{"so that who comes back after an outage does not meet a crowd", "b.f.b.f.b", false, 10},
	{"one of several has failed: nobody waits", "b..........b.f", true, 0},
	{"after a failure the session is not counted on", "b.gb.f.b", false, 10},
	{"a kept connection died: one goes and finds out", "b.g.lb", false, 10},
	{"and when it has, all go", "b.g.lb.g", true, 0},
	{"one that had died before the last success says nothing new", "b.gob", true, 0},
	{"one of those that died with it neither", "b.g.lb.gob", true, 0},
};

static void goes_by_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__dials d = {.resumable = true, .max = 4};
		int64_t now_us = 1000000000, open_us;

		play(&d, rows[i].events, &now_us);
		open_us = mesh__dials_open_us(&d);
		if (mesh__dials_may_begin(&d, now_us) != rows[i].may || (!rows[i].may && (rows[i].opens < 0 ? open_us > now_us : open_us != now_us + rows[i].opens * MESH__DIAL_ALONE_MS * 100))) {
			fail_msg("%s (\"%s\"): %d, opens in %lld us", rows[i].rule, rows[i].events, mesh__dials_may_begin(&d, now_us), (long long)(open_us - now_us));
		}
	}
}

static void where_nothing_is_resumed_nobody_waits_for_the_first(void **state)
{
	struct mesh__dials d = {.max = 4};
	int64_t now_us = 1000;

	(void)state;
	play(&d, "bbb", &now_us);
	assert_true(mesh__dials_may_begin(&d, now_us));
	play(&d, "b", &now_us);
	assert_false(mesh__dials_may_begin(&d, now_us));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_by_the_table),
		cmocka_unit_test(where_nothing_is_resumed_nobody_waits_for_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
