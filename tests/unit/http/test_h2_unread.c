/* Rules: when GOAWAY may follow trailers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "http/h2_unread.h"

enum { LATE_US = MESH__H2_UNREAD_MS * 1000, QUIET_US = MESH__H2_QUIET_MS * 1000 };

/* A stream ends at 7; each look says how far PINGs were answered, and what is due then. Whoever is told to ask sends PING 4. */
static void who_had_trailers_has_had_its_quiet_or_its_time(void **state)
{
	static const struct {
		const char *rule;
		bool trailers;
		struct {
			uint64_t answered;
			int64_t at_us;
			enum mesh__h2_unread_verdict due;
		} looks[6]; /* up to one at 0 */
	} rows[] = {
		{"nothing but trailers is waited for", false, {{0, 7, MESH__H2_UNREAD_NONE}}},
		{"who answers has its quiet, and nothing is left of it", true,
			{{3, 7, MESH__H2_UNREAD_ASK}, {3, 7, MESH__H2_UNREAD_WAIT}, {4, 6 + LATE_US, MESH__H2_UNREAD_WAIT}, {4, 5 + LATE_US + QUIET_US, MESH__H2_UNREAD_WAIT},
				{4, 6 + LATE_US + QUIET_US, MESH__H2_UNREAD_NONE}, {4, 6 + LATE_US + QUIET_US, MESH__H2_UNREAD_NONE}}},
		{"who does not answer has its time", true, {{3, 7, MESH__H2_UNREAD_ASK}, {3, 6 + LATE_US, MESH__H2_UNREAD_WAIT}, {3, 7 + LATE_US, MESH__H2_UNREAD_NONE}}},
		{"what ended long ago is not asked about", true, {{0, 7 + LATE_US, MESH__H2_UNREAD_NONE}}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__h2_unread u = {0};

		assert_int_equal(mesh__h2_unread_next(&u, 0, 7), MESH__H2_UNREAD_NONE);
		mesh__h2_unread_ended(&u, rows[i].trailers, 7);
		for (size_t n = 0; n < MESH__COUNT(rows[i].looks) && rows[i].looks[n].at_us > 0; n++) {
			if (mesh__h2_unread_next(&u, rows[i].looks[n].answered, rows[i].looks[n].at_us) != rows[i].looks[n].due) {
				fail_msg("%s: look %zu", rows[i].rule, n);
			}
			if (rows[i].looks[n].due == MESH__H2_UNREAD_ASK) {
				mesh__h2_unread_asked(&u, 4);
			}
		}
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_had_trailers_has_had_its_quiet_or_its_time),
		cmocka_unit_test(another_streams_end_asks_anew_and_gives_more_time_for_its_own_trailers_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
