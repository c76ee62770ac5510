#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void numbers_are_decimal_digits_alone(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"0", 0, true, 0}, {"1", 0, false, 0}, {"65535", 65535, true, 65535}, {"65536", 65535, false, 0}, {"007", 10, true, 7},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX}, {"18446744073709551616", UINT64_MAX, false, 0},
		{"99999999999999999999999", UINT64_MAX, false, 0},
		{"", 9, false, 0}, {"+1", 9, false, 0}, {"-1", 9, false, 0}, {" 1", 9, false, 0}, {"1 ", 9, false, 0}, {"0x1", 9, false, 0}, {"1_0", 99, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		uint64_t value = 4711;
		assert_int_equal(mesh__str_u64(rows[i].text, strlen(rows[i].text), rows[i].max, &value), rows[i].ok);
		assert_int_equal(value, rows[i].ok ? rows[i].value : 4711);
	}
}

static void equality_takes_null_case_and_length(void **state)
{
	(void)state;
	assert_true(mesh__str_eq(NULL, NULL));
	assert_false(mesh__str_eq(NULL, ""));
	assert_false(mesh__str_eq("", NULL));
	assert_true(mesh__str_eq("a", "a"));
	assert_false(mesh__str_eq("a", "A"));
	assert_true(mesh__str_eq_nocase("Content-LENGTH: 1", 14, "content-length"));
	assert_false(mesh__str_eq_nocase("content-length", 13, "content-length"));
	assert_false(mesh__str_eq_nocase("content-lengths", 15, "content-length"));
	assert_true(mesh__str_eq_nocase("", 0, ""));
	assert_false(mesh__str_eq_nocase("@[`{", 4, "`{@[")); /* what stands beside the letters has no case */
	assert_false(mesh__str_eq_nocase("\xc4", 1, "\xe4"));
	assert_false(mesh__str_eq_nocase("a\0b", 3, "a"));
	assert_true(mesh__str_eq_secret("abc", "abcd", 3));
	assert_false(mesh__str_eq_secret("abc", "abd", 3));
	assert_false(mesh__str_eq_secret("xbc", "abc", 3));
	assert_true(mesh__str_eq_secret("", "x", 0));
	assert_true(mesh__str_starts("mesh-try", "mesh-"));
	assert_true(mesh__str_starts("mesh", ""));
	assert_false(mesh__str_starts("mes", "mesh"));
}

static void utf8_is_rfc_3629(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"", true}, {"plain", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true}, {"\xf0\x9f\x98\x80", true}, {"\x7f", true},
		{"\xc2\x80", true}, {"\xdf\xbf", true}, {"\xe0\xa0\x80", true}, {"\xed\x9f\xbf", true}, {"\xee\x80\x80", true}, {"\xf0\x90\x80\x80", true}, {"\xf4\x8f\xbf\xbf", true},
		{"\x80", false}, {"\xbf", false}, {"\xc0\x80", false}, {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xf0\x8f\xbf\xbf", false}, /* overlong */
		{"\xed\xa0\x80", false}, {"\xed\xbf\xbf", false},                                                                                 /* surrogates */
		{"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false}, {"\xff", false}, {"\xfe", false},
		{"\xc3", false}, {"\xe2\x82", false}, {"\xf0\x9f\x98", false}, {"\xc3(", false}, {"\xe2(\xac", false}, {"\xf0\x9f(\x80", false}, {"a\xc3", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__str_utf8(rows[i].text, strlen(rows[i].text)), rows[i].ok);
	}
	assert_true(mesh__str_utf8("a\0b", 3));
}

static void hexadecimal_goes_both_ways(void **state)
{
	static const char *const bad[] = {"0", "000", "00000", "0g00", "00 0", "-000", "0x00", ""};
	unsigned char bytes[256], back[256];
	char text[513];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (unsigned char)i;
	}
	mesh__str_hex(bytes, sizeof(bytes), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_memory_equal(text + 506, "fdfeff", 7);
	assert_true(mesh__str_unhex(text, 512, back, 256));
	assert_memory_equal(bytes, back, 256);
	assert_true(mesh__str_unhex("aBcD", 4, back, 2));
	assert_memory_equal(back, "\xab\xcd", 2);
	assert_true(mesh__str_unhex("", 0, back, 0));
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		assert_false(mesh__str_unhex(bad[i], strlen(bad[i]), back, 2));
	}
}

static void json_strings_are_escaped_and_always_utf8(void **state)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{"", "\"\""}, {"plain", "\"plain\""}, {"a\"b\\c", "\"a\\\"b\\\\c\""}, {"\n\t\x01\x1f", "\"\\u000a\\u0009\\u0001\\u001f\""}, {"\x7f", "\"\\u007f\""},
		{"\xc3\xa9/", "\"\xc3\xa9/\""}, {"a\xff" "b", "\"a\\ufffdb\""}, {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, {"\xe2\x82", "\"\\ufffd\\ufffd\""},
		{"\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", "\"\\u0080\\u0085\\u009f\xc2\xa0\""}, {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\""},
		{"\xef\xbb\xbe\xef\xbb\xbf", "\"\xef\xbb\xbe\\ufeff\""}, {"\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf\xf0\x90\x80\x80", "\"\xef\xbf\xbd\\ufffe\\uffff\xf0\x90\x80\x80\""},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf b;
		mesh__buf_init(&b, mesh__mem_libc(), 1000);
		mesh__str_json(&b, rows[i].text);
		assert_string_equal(b.data, rows[i].json);
		mesh__buf_fini(&b);
	}
}

static void durations_are_numbers_with_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{"250ms", 250}, {"15s", 15000}, {"1m", 60000}, {"2h", 7200000}, {"1d", 86400000}, {"0s", 0}, {"0ms", 0}, {"1.5s", 1500}, {"1.0005s", 1000},
		{"0.000001s", 0}, {"1500us", 1}, {"999us", 0}, {"1.999999ms", 1}, {"0.5d", 43200000}, {"007s", 7000},
		{"36525d", INT64_C(3155760000000)}, {"36526d", -1}, {"36525.000001d", -1}, {"876600h", INT64_C(3155760000000)}, {"876601h", -1},
		{"3155760000000ms", INT64_C(3155760000000)}, {"3155760000001ms", -1},
		{"3155760000000000us", INT64_C(3155760000000)}, {"3155760000000001us", -1}, {"18446744073709551615s", -1}, {"99999999999999999999s", -1},
		{"", -1}, {"s", -1}, {"15", -1}, {"15 s", -1}, {" 15s", -1}, {"15s ", -1}, {"-1s", -1}, {"+1s", -1}, {"1.s", -1}, {".5s", -1}, {"1.0000001s", -1},
		{"1,5s", -1}, {"1e3s", -1}, {"1S", -1}, {"1sec", -1}, {"1M", -1}, {"1ns", -1}, {"1m30s", -1}, {"0x1s", -1}, {"1..5s", -1}, {"1.5.s", -1},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		int64_t ms = 4711;
		assert_int_equal(mesh__duration_parse(rows[i].text, strlen(rows[i].text), &ms), rows[i].ms >= 0);
		assert_int_equal(ms, rows[i].ms >= 0 ? rows[i].ms : 4711);
	}
}

static void durations_are_written_so_that_they_read_back(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{0, "0s"}, {1, "1ms"}, {999, "999ms"}, {1000, "1s"}, {1500, "1500ms"}, {60000, "60s"}, {90000, "90s"}, {3600000, "1h"}, {86400000, "24h"},
		{3600001, "3600001ms"}, {INT64_C(3155760000000), "876600h"}, {INT64_C(3155759999999), "3155759999999ms"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[24];
		int64_t ms;
		mesh__duration_format(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
		assert_true(mesh__duration_parse(text, strlen(text), &ms));
		assert_int_equal(ms, rows[i].ms);
	}
}

static void suggestions_are_near_or_not_made(void **state)
{
	static const char *const names[] = {"timeout", "connectTimeout", "retries", "loadBalancer", "to"};
	static const char long_name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	const char *const with_long[] = {long_name, "timeout"};
	static const struct {
		const char *text, *nearest;
	} rows[] = {
		{"timout", "timeout"}, {"Timeout", "timeout"}, {"timeuot", "timeout"}, {"retrys", "retries"}, {"loadbalancer", "loadBalancer"}, {"connect_timeout", "connectTimeout"},
		{"timeout", "timeout"}, {"colour", NULL}, {"x", NULL}, {"", NULL}, {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", NULL}, {long_name, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *nearest = mesh__str_nearest(rows[i].text, names, MESH__COUNT(names));
		assert_true(mesh__str_eq(nearest, rows[i].nearest));
	}
	assert_string_equal(mesh__str_nearest("timout", with_long, 2), "timeout");
	assert_null(mesh__str_nearest("timout", names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_decimal_digits_alone),
		cmocka_unit_test(equality_takes_null_case_and_length),
		cmocka_unit_test(utf8_is_rfc_3629),
		cmocka_unit_test(hexadecimal_goes_both_ways),
		cmocka_unit_test(json_strings_are_escaped_and_always_utf8),
		cmocka_unit_test(durations_are_numbers_with_a_unit),
		cmocka_unit_test(durations_are_written_so_that_they_read_back),
		cmocka_unit_test(suggestions_are_near_or_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
