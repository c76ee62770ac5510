#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/utc.h"

static void a_time_is_read_as_it_is_written(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1972-02-29T23:59:59Z", INT64_C(68255999000)},
		{"1999-12-31T23:59:59Z", INT64_C(946684799000)},
		{"2000-02-29T12:00:00Z", INT64_C(951825600000)},
		{"2000-03-01T00:00:00Z", INT64_C(951868800000)},
		{"2026-11-23T22:30:05Z", INT64_C(1795473005000)},
		{"2100-03-01T00:00:00Z", INT64_C(4107542400000)},
		{"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[MESH__UTC_TEXT];
		int64_t ms = -1;

		assert_true(mesh__utc_parse(rows[i].text, &ms));
		assert_int_equal(ms, rows[i].ms);
		mesh__utc_format(ms + 999, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void whatever_is_no_time_is_refused(void **state)
{
	static const char *const rows[] = {
		"", "2026", "2026-11-23", "2026-11-23T22:30:05", "2026-11-23T22:30:05z", "2026-11-23t22:30:05Z", "2026-11-23 22:30:05Z", "2026-11-23T22:30:05Z ", "2026-11-23T22:30:05.5Z", "2026-11-23T22:30:05+00:00",
		"2026-00-23T22:30:05Z", "2026-13-23T22:30:05Z", "2026-11-00T22:30:05Z", "2026-11-31T22:30:05Z", "2026-02-29T22:30:05Z", "2100-02-29T22:30:05Z", "2026-11-23T24:00:00Z", "2026-11-23T22:60:05Z",
		"2026-11-23T22:30:60Z", "1969-12-31T23:59:59Z", "-026-11-23T22:30:05Z", "2026-11-23T22:30:0:Z",
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		int64_t ms = 7;

		assert_false(mesh__utc_parse(rows[i], &ms));
		assert_int_equal(ms, 7);
	}
}

static void what_no_calendar_holds_is_said_so(void **state)
{
	char text[MESH__UTC_TEXT];

	(void)state;
	mesh__utc_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59Z");
	mesh__utc_format(INT64_MAX, text);
	assert_true(text[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_time_is_read_as_it_is_written), cmocka_unit_test(whatever_is_no_time_is_refused), cmocka_unit_test(what_no_calendar_holds_is_said_so)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
