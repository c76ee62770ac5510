#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/check.h"
#include "meshctl/diff.h"
#include "meshctl/print.h"

static struct mesh__json *parse(const char *text)
{
	struct mesh__json *json = NULL;

	assert_int_equal(mesh__json_parse(mesh__mem_libc(), text, strlen(text), 65536, &json, NULL), MESH_OK);
	return json;
}

static void aligns_columns_and_leaves_nothing_behind_the_last(void **state)
{
	static const char *const heads[] = {"NAME", "STATE"};
	struct ctl_table table;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_table_init(&table, mesh__mem_libc(), heads, 2);
	ctl_table_cell(&table, "payments");
	ctl_table_cell(&table, "healthy");
	ctl_table_cell(&table, "x");
	ctl_table_cell(&table, NULL);
	ctl_table_print(&table, &out);
	assert_string_equal(out.data, "NAME      STATE\npayments  healthy\nx         -\n");
	ctl_table_fini(&table);
	mesh__buf_fini(&out);
}

static void an_empty_table_still_has_its_head(void **state)
{
	static const char *const heads[] = {"NAME", "STATE"};
	struct ctl_table table;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_table_init(&table, mesh__mem_libc(), heads, 2);
	ctl_table_print(&table, &out);
	assert_string_equal(out.data, "NAME  STATE\n");
	ctl_table_fini(&table);
	mesh__buf_fini(&out);
}

static void no_control_character_reaches_the_terminal(void **state)
{
	static const char *const heads[] = {"A"};
	struct ctl_table table;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_table_init(&table, mesh__mem_libc(), heads, 1);
	ctl_table_cell(&table, "a\033[2Jb\nc\x7f");
	ctl_table_print(&table, &out);
	assert_string_equal(out.data, "A\na?[2Jb?c?\n");
	ctl_table_fini(&table);
	mesh__buf_fini(&out);
}

static void shows_json_members_by_what_they_are(void **state)
{
	static const char *const heads[] = {"A", "B", "C", "D", "E", "F", "G"};
	struct mesh__json *json = parse("{\"text\":\"t\",\"n\":3,\"u64\":\"18\",\"yes\":true,\"ms\":2500,\"at\":\"1767225600000\",\"service\":\"pay\",\"namespace\":\"shop\"}");
	struct ctl_table table;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_table_init(&table, mesh__mem_libc(), heads, MESH__COUNT(heads));
	ctl_table_json(&table, json, "text");
	ctl_table_json(&table, json, "n");
	ctl_table_json(&table, json, "u64");
	ctl_table_json(&table, json, "yes");
	ctl_table_duration(&table, json, "ms");
	ctl_table_time(&table, json, "at");
	ctl_table_service(&table, json);
	ctl_table_print(&table, &out);
	assert_non_null(strstr(out.data, "t  3  18  yes  2500ms  2026-01-01T00:00:00Z  pay.shop\n"));
	ctl_table_fini(&table);
	mesh__buf_fini(&out);
	mesh__json_free(json);
}

static void indents_json_so_that_it_reads_and_parses_again(void **state)
{
	struct mesh__json *json = parse("{\"a\":{\"b\":[1,\"x\\\"y\"],\"c\":{}},\"d\":[],\"e\":true}"), *again;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_print_pretty(&out, json, 0);
	assert_string_equal(out.data, "{\n  \"a\": {\n    \"b\": [\n      1,\n      \"x\\\"y\"\n    ],\n    \"c\": {}\n  },\n  \"d\": [],\n  \"e\": true\n}");
	again = parse(out.data);
	mesh__json_free(again);
	mesh__json_free(json);
	mesh__buf_fini(&out);
}

static void spans_show_their_two_largest_units(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{0, "0s"}, {59999, "59s"}, {60000, "1m 0s"}, {3725000, "1h 2m"}, {172800000, "2d 0h"},
		{INT64_C(31536000000), "365d 0h"}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[CTL_SPAN_TEXT];
		ctl_span_format(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void checks_judge_ends_and_modes(void **state)
{
	static const int64_t day_ms = INT64_C(86400000), now_ms = INT64_C(1767225600000);
	static const struct {
		int64_t left_ms;
		enum ctl_check_state state;
	} ends[] = {{-1, CTL_CHECK_FAIL}, {0, CTL_CHECK_FAIL}, {1, CTL_CHECK_WARN}, {INT64_C(2591999999), CTL_CHECK_WARN},
		{INT64_C(2592000000), CTL_CHECK_OK}};
	static const struct {
		unsigned mode;
		enum ctl_check_state state;
	} modes[] = {{0600, CTL_CHECK_OK}, {0100400, CTL_CHECK_OK}, {0640, CTL_CHECK_FAIL}, {0604, CTL_CHECK_FAIL},
		{0700, CTL_CHECK_FAIL}};

	(void)state;
	assert_int_equal(ends[4].left_ms, 30 * day_ms);
	for (size_t i = 0; i < MESH__COUNT(ends); i++) {
		struct ctl_checks checks = {.n = 0};
		ctl_check_expiry(&checks, "CA root", now_ms + ends[i].left_ms, now_ms);
		assert_int_equal(checks.check[0].state, ends[i].state);
		assert_int_equal(checks.check[0].remedy[0] == '\0', ends[i].state == CTL_CHECK_OK);
		assert_int_equal(ctl_checks_failed(&checks), ends[i].state == CTL_CHECK_FAIL);
	}
	for (size_t i = 0; i < MESH__COUNT(modes); i++) {
		struct ctl_checks checks = {.n = 0};
		ctl_check_mode(&checks, "token file", "admin.token", modes[i].mode, 0600);
		assert_int_equal(checks.check[0].state, modes[i].state);
	}
}

static void checks_are_lines_for_people_and_objects_for_programs(void **state)
{
	struct ctl_checks checks = {.n = 2, .check = {{"clock", CTL_CHECK_OK, "fine", ""},
		{"meshd", CTL_CHECK_FAIL, "gone", "start it"}}};
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_checks_text(&checks, false, &out);
	assert_non_null(strstr(out.data, "ok    clock "));
	assert_non_null(strstr(out.data, "fail  meshd "));
	assert_non_null(strstr(out.data, "-> start it\n"));
	assert_null(strchr(out.data, '\033'));
	mesh__buf_clear(&out);
	ctl_checks_text(&checks, true, &out);
	assert_non_null(strstr(out.data, "\033[31mfail\033[0m"));
	mesh__buf_clear(&out);
	ctl_checks_json(&checks, &out);
	assert_string_equal(out.data, "[{\"check\":\"clock\",\"state\":\"ok\",\"detail\":\"fine\"},{\"check\":\"meshd\",\"state\":\"fail\",\"detail\":\"gone\",\"remedy\":\"start it\"}]\n");
	mesh__buf_fini(&out);
}

static void a_diff_shows_the_lines_that_differ_and_no_others(void **state)
{
	static const struct {
		const char *before, *after, *shown;
	} rows[] = {
		{"", "", ""}, {"a\nb\n", "a\nb\n", ""}, {"", "a\n", "+a\n"}, {"a\n", "", "-a\n"}, {"a\nb\nc\n", "a\nx\nc\n", "-b\n+x\n"},
		{"a\nb\n", "b\nc\n", "-a\n+c\n"}, {"a\nb", "a\nb\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf out;
		mesh__buf_init(&out, mesh__mem_libc(), 4096);
		assert_true(ctl_diff_lines(mesh__mem_libc(), rows[i].before, rows[i].after, &out));
		assert_string_equal(out.data != NULL ? out.data : "", rows[i].shown);
		mesh__buf_fini(&out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligns_columns_and_leaves_nothing_behind_the_last),
		cmocka_unit_test(an_empty_table_still_has_its_head),
		cmocka_unit_test(no_control_character_reaches_the_terminal),
		cmocka_unit_test(shows_json_members_by_what_they_are),
		cmocka_unit_test(indents_json_so_that_it_reads_and_parses_again),
		cmocka_unit_test(spans_show_their_two_largest_units),
		cmocka_unit_test(checks_judge_ends_and_modes),
		cmocka_unit_test(checks_are_lines_for_people_and_objects_for_programs),
		cmocka_unit_test(a_diff_shows_the_lines_that_differ_and_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
