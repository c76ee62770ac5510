#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/grpc.h"

static const int64_t hour_us = 3600000000;

static void a_timeout_sent_is_never_longer_than_the_one_kept(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
		{1, "1u"}, {999, "999u"}, {1500000, "1500000u"}, {99999999, "99999999u"},
		{100000000, "100000m"}, {100000999, "100000m"}, {100001000, "100001m"}, {99999999999, "99999999m"},
		{100000000000, "100000S"}, {100000999999, "100000S"}, {99999999999999, "99999999S"},
		{100000000000000, "1666666M"}, {99999999 * INT64_C(60000000), "99999999M"},
		{100000000 * INT64_C(60000000), "1666666H"}, {99999999 * hour_us, "99999999H"}, {100000000 * hour_us, "99999999H"}, {INT64_MAX, "99999999H"},
		{0, "1n"}, {-1, "1n"}, {INT64_MIN, "1n"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[MESH__GRPC_TIMEOUT_TEXT];
		int64_t us = -7;

		mesh__grpc_timeout_format(rows[i].us, text);
		assert_string_equal(text, rows[i].text);
		assert_true(mesh__grpc_timeout_parse(text, &us));
		assert_true(us <= rows[i].us || rows[i].us <= 0);
		if (rows[i].us > 0 && rows[i].us <= 99999999 * hour_us) {
			assert_true(rows[i].us - us <= rows[i].us / 1000);
		}
	}
}

static void reads_every_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} rows[] = {
		{"1n", 1}, {"1000n", 1}, {"1001n", 2}, {"99999999n", 100000}, {"0n", 0}, {"7u", 7}, {"7m", 7000}, {"7S", 7000000}, {"7M", 420000000}, {"7H", 7 * INT64_C(3600000000)},
		{"0S", 0}, {"00000001S", 1000000}, {"99999999H", 99999999 * INT64_C(3600000000)},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		int64_t us = -7;

		assert_true(mesh__grpc_timeout_parse(rows[i].text, &us));
		assert_int_equal(us, rows[i].us);
	}
}

static void a_timeout_that_is_none_is_refused(void **state)
{
	static const char *const rows[] = {
		"", "1", "S", "n", "1s", "1h", "1U", "1N", "-1S", "+1S", " 1S", "1S ", "1 S", "1SS", "1.5S", "1e3S", "0x1S", "1000", "123456789S", "000000001S", "100000000n", "1ms", "1\xc2\xb5", "99999999999999999999999S",
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		int64_t us = -7;

		if (mesh__grpc_timeout_parse(rows[i], &us) || us != -7) {
			fail_msg("taken: \"%s\"", rows[i]);
		}
	}
}

static void an_http_status_means_what_the_published_table_says(void **state)
{
	static const struct {
		int http;
		enum mesh__grpc_status status;
	} rows[] = {
		{400, MESH__GRPC_INTERNAL}, {401, MESH__GRPC_UNAUTHENTICATED}, {403, MESH__GRPC_PERMISSION_DENIED}, {404, MESH__GRPC_UNIMPLEMENTED}, {429, MESH__GRPC_UNAVAILABLE},
		{502, MESH__GRPC_UNAVAILABLE}, {503, MESH__GRPC_UNAVAILABLE}, {504, MESH__GRPC_UNAVAILABLE}, {200, MESH__GRPC_UNKNOWN}, {301, MESH__GRPC_UNKNOWN}, {402, MESH__GRPC_UNKNOWN},
		{408, MESH__GRPC_UNKNOWN}, {499, MESH__GRPC_UNKNOWN}, {500, MESH__GRPC_UNKNOWN}, {501, MESH__GRPC_UNKNOWN}, {505, MESH__GRPC_UNKNOWN}, {0, MESH__GRPC_UNKNOWN}, {-1, MESH__GRPC_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__grpc_status_of_http(rows[i].http), rows[i].status);
	}
}

static void a_refusal_says_more_than_its_http_status(void **state)
{
	static const struct {
		int http;
		enum mesh__grpc_status status;
	} rows[] = {
		{401, MESH__GRPC_UNAUTHENTICATED}, {403, MESH__GRPC_PERMISSION_DENIED}, {413, MESH__GRPC_RESOURCE_EXHAUSTED}, {429, MESH__GRPC_RESOURCE_EXHAUSTED}, {500, MESH__GRPC_INTERNAL}, {502, MESH__GRPC_UNAVAILABLE},
		{503, MESH__GRPC_UNAVAILABLE}, {504, MESH__GRPC_DEADLINE_EXCEEDED}, {418, MESH__GRPC_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__grpc_status_of_refusal(rows[i].http), rows[i].status);
	}
}

static void what_5xx_would_be_is_a_failure_and_what_the_caller_did_is_none(void **state)
{
	static const bool failures[] = {
		[MESH__GRPC_UNKNOWN] = true, [MESH__GRPC_DEADLINE_EXCEEDED] = true, [MESH__GRPC_UNIMPLEMENTED] = true, [MESH__GRPC_INTERNAL] = true, [MESH__GRPC_UNAVAILABLE] = true, [MESH__GRPC_DATA_LOSS] = true,
		[MESH__GRPC_UNAUTHENTICATED] = false,
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(failures); i++) {
		assert_int_equal(mesh__grpc_status_is_failure((enum mesh__grpc_status)i), failures[i]);
	}
}

static void statuses_have_their_published_numbers_and_names(void **state)
{
	static const struct {
		const char *text, *name;
	} rows[] = {
		{"0", "OK"}, {"1", "CANCELLED"}, {"2", "UNKNOWN"}, {"3", "INVALID_ARGUMENT"}, {"4", "DEADLINE_EXCEEDED"}, {"5", "NOT_FOUND"}, {"6", "ALREADY_EXISTS"}, {"7", "PERMISSION_DENIED"},
		{"8", "RESOURCE_EXHAUSTED"}, {"9", "FAILED_PRECONDITION"}, {"10", "ABORTED"}, {"11", "OUT_OF_RANGE"}, {"12", "UNIMPLEMENTED"}, {"13", "INTERNAL"}, {"14", "UNAVAILABLE"}, {"15", "DATA_LOSS"},
		{"16", "UNAUTHENTICATED"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		enum mesh__grpc_status status = mesh__grpc_status_parse(rows[i].text);

		assert_int_equal(status, i);
		assert_string_equal(mesh__grpc_status_name(status), rows[i].name);
	}
	assert_string_equal(mesh__grpc_status_name((enum mesh__grpc_status)17), "UNKNOWN");
	assert_string_equal(mesh__grpc_status_name((enum mesh__grpc_status)-1), "UNKNOWN");
}

static void a_status_that_is_none_is_unknown(void **state)
{
	static const char *const rows[] = {"", "17", "00", "01", "016", "-1", "+0", " 0", "0 ", "0x0", "OK", "1e0", "4294967296", "18446744073709551616", "\xd9\xa0"};

	(void)state;
	assert_int_equal(mesh__grpc_status_parse(NULL), MESH__GRPC_UNKNOWN);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__grpc_status_parse(rows[i]), MESH__GRPC_UNKNOWN);
	}
}

static void tells_grpc_by_its_content_type(void **state)
{
	static const char *const are[] = {"application/grpc", "application/grpc+proto", "application/grpc+json", "Application/GRPC", "application/grpc;charset=utf-8", "application/grpc ; x=y", "application/grpc+proto;x"};
	static const char *const are_not[] = {
		"", "application", "application/grp", "application/grpc-web", "application/grpc-web+proto", "application/grpcx", "application/grpc/x", "application/grpc+", "application/grpc+;x", "application/grpc, text/plain",
		" application/grpc", "text/plain; application/grpc", "application/json",
	};

	(void)state;
	assert_false(mesh__grpc_content_type(NULL));
	for (size_t i = 0; i < MESH__COUNT(are); i++) {
		assert_true(mesh__grpc_content_type(are[i]));
	}
	for (size_t i = 0; i < MESH__COUNT(are_not); i++) {
		assert_false(mesh__grpc_content_type(are_not[i]));
	}
}

static void messages_are_percent_encoded_and_back(void **state)
{
	static const struct {
		const char *text, *value;
	} rows[] = {
		{"", ""}, {"plain words, 'quoted' ~", "plain words, 'quoted' ~"}, {"100%", "100%25"}, {"a\r\nb\t", "a%0D%0Ab%09"}, {"caf\xc3\xa9", "caf%C3%A9"}, {"\x7f\x01\xff", "%7F%01%FF"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf value, text;

		mesh__buf_init(&value, mesh__mem_libc(), 1000);
		mesh__buf_init(&text, mesh__mem_libc(), 1000);
		mesh__grpc_message_encode(&value, rows[i].text);
		mesh__grpc_message_decode(&text, rows[i].value);
		assert_string_equal(value.len > 0 ? value.data : "", rows[i].value);
		assert_string_equal(text.len > 0 ? text.data : "", rows[i].text);
		mesh__buf_fini(&value);
		mesh__buf_fini(&text);
	}
}

static void a_message_is_not_lost_over_a_bad_escape(void **state)
{
	static const struct {
		const char *value, *text;
	} rows[] = {{"%", "%"}, {"%4", "%4"}, {"50% off", "50% off"}, {"%zz%41", "%zzA"}, {"%%41", "%A"}, {"%c3%a9", "\xc3\xa9"}, {"%4\xc3", "%4\xc3"}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf text;

		mesh__buf_init(&text, mesh__mem_libc(), 1000);
		mesh__grpc_message_decode(&text, rows[i].value);
		assert_string_equal(text.data, rows[i].text);
		mesh__buf_fini(&text);
	}
}

static void pushback_is_a_time_or_never(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {{"0", 0}, {"1", 1}, {"400", 400}, {"2147483647", 2147483647}, {"2147483648", -1}, {"-1", -1}, {"-0", -1}, {"+1", -1}, {"", -1}, {"soon", -1}, {"1.5", -1}, {"1 ", -1}, {"99999999999999999999", -1}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__grpc_pushback_parse(rows[i].text), rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timeout_sent_is_never_longer_than_the_one_kept),
		cmocka_unit_test(reads_every_unit),
		cmocka_unit_test(a_timeout_that_is_none_is_refused),
		cmocka_unit_test(an_http_status_means_what_the_published_table_says),
		cmocka_unit_test(a_refusal_says_more_than_its_http_status),
		cmocka_unit_test(what_5xx_would_be_is_a_failure_and_what_the_caller_did_is_none),
		cmocka_unit_test(statuses_have_their_published_numbers_and_names),
		cmocka_unit_test(a_status_that_is_none_is_unknown),
		cmocka_unit_test(tells_grpc_by_its_content_type),
		cmocka_unit_test(messages_are_percent_encoded_and_back),
		cmocka_unit_test(a_message_is_not_lost_over_a_bad_escape),
		cmocka_unit_test(pushback_is_a_time_or_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
