/* Rules: when GOAWAY may follow trailers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h2_unread.h"

enum { LATE_US = MESH__H2_UNREAD_MS * 1000, QUIET_US = MESH__H2_QUIET_MS * 1000 };

static void only_trailers_are_waited_for(void **state)
{
	struct mesh__h2_unread u = {0};

	(void)state;
	assert_int_equal(mesh__h2_unread_next(&u, 0, 7), MESH__H2_UNREAD_NONE);
	mesh__h2_unread_ended(&u, false, 7);
	assert_int_equal(mesh__h2_unread_next(&u, 0, 7), MESH__H2_UNREAD_NONE);
}

static void who_answers_has_had_its_quiet(void **state)
{
	struct mesh__h2_unread u = {0};

	(void)state;
	mesh__h2_unread_ended(&u, true, 7);
	assert_int_equal(mesh__h2_unread_next(&u, 3, 7), MESH__H2_UNREAD_ASK);
	mesh__h2_unread_asked(&u, 4);
	assert_int_equal(mesh__h2_unread_next(&u, 3, 7), MESH__H2_UNREAD_WAIT);
	assert_int_equal(mesh__h2_unread_next(&u, 4, 6 + LATE_US), MESH__H2_UNREAD_WAIT);
	assert_int_equal(mesh__h2_unread_next(&u, 4, 5 + LATE_US + QUIET_US), MESH__H2_UNREAD_WAIT);
	assert_int_equal(mesh__h2_unread_next(&u, 4, 6 + LATE_US + QUIET_US), MESH__H2_UNREAD_NONE);
	assert_int_equal(mesh__h2_unread_next(&u, 4, 6 + LATE_US + QUIET_US), MESH__H2_UNREAD_NONE); /* and nothing is left of it */
}

static void who_does_not_answer_has_had_its_time(void **state)
{
	struct mesh__h2_unread u = {0};

	(void)state;
	mesh__h2_unread_ended(&u, true, 7);
	assert_int_equal(mesh__h2_unread_next(&u, 0, 7), MESH__H2_UNREAD_ASK);
	mesh__h2_unread_asked(&u, 1);
	assert_int_equal(mesh__h2_unread_next(&u, 0, 6 + LATE_US), MESH__H2_UNREAD_WAIT);
	assert_int_equal(mesh__h2_unread_next(&u, 0, 7 + LATE_US), MESH__H2_UNREAD_NONE);
}

static void another_streams_end_asks_anew_and_gives_more_time_for_its_own_trailers_alone(void **state)
{
	(void)state;
	for (int with = 0; with < 2; with++) {
		struct mesh__h2_unread u = {0};

		mesh__h2_unread_ended(&u, true, 7);
		assert_int_equal(mesh__h2_unread_next(&u, 0, 7), MESH__H2_UNREAD_ASK);
		mesh__h2_unread_asked(&u, 1);
		assert_int_equal(mesh__h2_unread_next(&u, 1, 7), MESH__H2_UNREAD_WAIT);
		mesh__h2_unread_ended(&u, with, 9);
		assert_int_equal(mesh__h2_unread_next(&u, 1, 7 + QUIET_US), MESH__H2_UNREAD_ASK);
		mesh__h2_unread_asked(&u, 2);
		assert_int_equal(mesh__h2_unread_next(&u, 1, 7 + LATE_US), with ? MESH__H2_UNREAD_WAIT : MESH__H2_UNREAD_NONE);
		assert_int_equal(mesh__h2_unread_next(&u, 1, 9 + LATE_US), MESH__H2_UNREAD_NONE);
	}
}

static void what_ended_long_ago_is_not_asked_about(void **state)
{
	struct mesh__h2_unread u = {0};

	(void)state;
	mesh__h2_unread_ended(&u, true, 7);
	assert_int_equal(mesh__h2_unread_next(&u, 0, 7 + LATE_US), MESH__H2_UNREAD_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_trailers_are_waited_for),
		cmocka_unit_test(who_answers_has_had_its_quiet),
		cmocka_unit_test(who_does_not_answer_has_had_its_time),
		cmocka_unit_test(another_streams_end_asks_anew_and_gives_more_time_for_its_own_trailers_alone),
		cmocka_unit_test(what_ended_long_ago_is_not_asked_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
