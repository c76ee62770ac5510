#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/json.h"

#define BYTES(s) s, sizeof(s) - 1

enum { MAX = 8 * 1024 * 1024 };

static int parse(const char *text, size_t len, struct mesh__json **out, struct mesh__err *err)
{
	return mesh__json_parse(mesh__mem_libc(), text, len, MAX, out, err);
}

static struct mesh__json *must_parse(const char *text)
{
	struct mesh__json *root;
	struct mesh__err err = MESH__NO_ERR;

	if (parse(text, strlen(text), &root, &err) != MESH_OK) {
		fail_msg("%s: %s", text, err.message);
	}
	return root;
}

/* ---- what is taken ---- */

static void takes_rfc_8259(void **state)
{
	static const char *const good[] = {
		"{}", "[]", "\"\"", "0", "-0", "-1.5e+3", "1E5", "true", "false", "null", " \t\r\n{ } \n", "[1,2,[3,{\"a\":[]}]]", "{\"a\":{},\"b\":[],\"c\":\"\"}", "{\"\":1}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "1.7976931348623157e308", "-1.7976931348623157e308", "1e-400",
		"0.00000000000000000000000000000000000000000000000000001e360", "\"\x7f\"", "\"\xef\xbb\xbf\"", "{\"a\":1,\"A\":2}", "{\"a\":{\"x\":1},\"b\":{\"x\":1}}",
		"[{\"x\":1},{\"x\":1}]", "{\"x\":{\"x\":{\"x\":1}}}", "{\"a\\u0062\":1,\"a\\u0063\":1}",
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		mesh__json_free(must_parse(good[i]));
	}
}

/* ---- THREATS 21: what is refused, each with its place ---- */

static const struct {
	const char *text;
	size_t len;
	const char *message; /* its beginning */
} bad[] = {
	/* structure */
	{BYTES(""), "1:1: the text ends"},
	{BYTES(" "), "1:2: the text ends"},
	{BYTES("{"), "1:2: a key"},
	{BYTES("["), "1:2: the text ends"},
	{BYTES("[1"), "1:3: ',' or ']'"},
	{BYTES("[1,]"), "1:4: this is no JSON value"},
	{BYTES("[,1]"), "1:2: this is no JSON value"},
	{BYTES("{\"a\":1,}"), "1:8: a key"},
	{BYTES("{\"a\" 1}"), "1:6: ':'"},
	{BYTES("{\"a\":}"), "1:6: this is no JSON value"},
	{BYTES("{a:1}"), "1:2: a key"},
	{BYTES("{1:1}"), "1:2: a key"},
	{BYTES("[1}"), "1:3: ',' or ']'"},
	{BYTES("{\"a\":1]"), "1:7: ',' or '}'"},
	{BYTES("]"), "1:1: this is no JSON value"},
	{BYTES("{\"a\":1\n,\n \"b\" 2}"), "3:6: ':'"},
	{BYTES("[1 2]"), "1:4: ',' or ']'"},
	/* trailing garbage */
	{BYTES("{} x"), "1:4: something follows"},
	{BYTES("1 2"), "1:3: something follows"},
	{BYTES("{}{}"), "1:3: something follows"},
	{BYTES("{}\0"), "1:3: something follows"},
	{BYTES("nullx"), "1:5: something follows"},
	{BYTES("{}//"), "1:3: something follows"},
	/* words and numbers */
	{BYTES("nul"), "1:1: this is no JSON value"},
	{BYTES("True"), "1:1: this is no JSON value"},
	{BYTES("NaN"), "1:1: this is no JSON value"},
	{BYTES("Infinity"), "1:1: this is no JSON value"},
	{BYTES("-Infinity"), "1:1: this is no JSON value"},
	{BYTES("+1"), "1:1: this is no JSON value"},
	{BYTES(".5"), "1:1: this is no JSON value"},
	{BYTES("-"), "1:1: this is no JSON value"},
	{BYTES("01"), "1:2: something follows"},
	{BYTES("-01"), "1:3: something follows"},
	{BYTES("0x1"), "1:2: something follows"},
	{BYTES("1."), "1:1: a number's point"},
	{BYTES("1.e5"), "1:1: a number's point"},
	{BYTES("1e"), "1:1: a number's exponent"},
	{BYTES("1e+"), "1:1: a number's exponent"},
	{BYTES("[0, 1e309]"), "1:5: number out of range"},
	{BYTES("-1e309"), "1:1: number out of range"},
	{BYTES("1.7976931348623159e308"), "1:1: number out of range"},
	{BYTES("1e99999999999999999999"), "1:1: number out of range"},
	{BYTES("1000000000000000000000000000000000000000000000000000000000000e260"), "1:1: number too long"},
	/* strings */
	{BYTES("\"abc"), "1:1: this string does not end"},
	{BYTES("\"abc\\\""), "1:1: this string does not end"},
	{BYTES("\"a\nb\""), "1:3: control character"},
	{BYTES("\"a\0b\""), "1:3: control character"},
	{BYTES("\"\\x\""), "1:2: unknown escape"},
	{BYTES("\"\\"), "1:2: unknown escape"},
	{BYTES("\"\\\0\""), "1:2: unknown escape"},
	{BYTES("\"\\u12\""), "1:2: \\u needs"},
	{BYTES("\"\\u12g4\""), "1:2: \\u needs"},
	{BYTES("\"\\u"), "1:2: \\u needs"},
	{BYTES("\"\\u0000\""), "1:2: \\u0000"},
	{BYTES("{\"\\u0000\":1}"), "1:3: \\u0000"},
	{BYTES("'a'"), "1:1: this is no JSON value"},
	/* lone surrogates */
	{BYTES("\"\\ud800\""), "1:2: lone surrogate"},
	{BYTES("\"\\udc00\""), "1:2: lone surrogate"},
	{BYTES("\"\\ud83dx\""), "1:2: lone surrogate"},
	{BYTES("\"\\ud83d\\n\""), "1:2: lone surrogate"},
	{BYTES("\"\\ud83d\\ud83d\""), "1:2: lone surrogate"},
	{BYTES("\"\\ude00\\ud83d\""), "1:2: lone surrogate"},
	{BYTES("\"\\ud83d\\ude0"), "1:2: lone surrogate"},
	/* UTF-8 */
	{BYTES("\"\xff\""), "1:2: this is not UTF-8"},
	{BYTES("\"a\xc3\""), "1:3: this is not UTF-8"},
	{BYTES("\"\xc0\xaf\""), "1:2: this is not UTF-8"},
	{BYTES("\"\xe0\x80\xaf\""), "1:2: this is not UTF-8"},
	{BYTES("\"\xed\xa0\x80\""), "1:2: this is not UTF-8"},
	{BYTES("\"\xf4\x90\x80\x80\""), "1:2: this is not UTF-8"},
	{BYTES("\"\xf0\x9f\x98"), "1:2: this is not UTF-8"},
	{BYTES("\"\x80\""), "1:2: this is not UTF-8"},
	{BYTES("\xef\xbb\xbf{}"), "1:1: this is no JSON value"},
	{BYTES("[\"\xc3\xa4\xc3\xa4\", x]"), "1:8: this is no JSON value"},
	/* duplicate keys, compared as what they mean */
	{BYTES("{\"a\":1,\"a\":2}"), "1:8: duplicate key"},
	{BYTES("{\"a\":1,\n\"b\":{\"a\":1},\n \"a\":2}"), "3:2: duplicate key"},
	{BYTES("{\"a\":1,\"\\u0061\":2}"), "1:8: duplicate key"},
	{BYTES("{\"\\u00e4\":1,\"\xc3\xa4\":2}"), "1:13: duplicate key"},
	{BYTES("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), "1:19: duplicate key"},
	{BYTES("{\"\\/\":1,\"/\":2}"), "1:9: duplicate key"},
	{BYTES("{\"\\n\":1,\"\\u000a\":2}"), "1:9: duplicate key"},
	{BYTES("{\"\":1,\"\":2}"), "1:7: duplicate key"},
	{BYTES("[{\"x\":{\"y\":1,\"y\":2}}]"), "1:14: duplicate key"},
};

static void threat_21_refuses_with_line_and_column(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__json *root;
		char *exact = malloc(bad[i].len + 1); /* so that a sanitizer sees one byte too far */
		size_t len = bad[i].len;
		char *text = exact + 1;

		memcpy(text, bad[i].text, len);
		if (parse(text, len, &root, &err) != MESH_E_INVALID || strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) {
			fail_msg("%s: \"%s\"", bad[i].text, err.message);
		}
		assert_null(root);
		free(exact);
	}
}

static char *repeat(const char *unit, size_t n, size_t *len)
{
	size_t size = strlen(unit);
	char *text = malloc(n * size + 1);

	for (size_t i = 0; i < n; i++) {
		memcpy(text + i * size, unit, size);
	}
	text[n * size] = '\0';
	*len = n * size;
	return text;
}

static void threat_21_takes_64_levels_and_refuses_65(void **state)
{
	char text[200];
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *root;

	(void)state;
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_int_equal(parse(text + 1, 128, &root, &err), MESH_OK);
	mesh__json_free(root);
	assert_int_equal(parse(text, 130, &root, &err), MESH_E_INVALID);
	assert_string_equal(err.message, "1:65: nested too deep (64 levels at most) (byte 64)");
}

static void *parse_deep_texts(void *unused)
{
	static const char *const units[] = {"[", "{\"a\":", "[[", "{\"a\":["};

	(void)unused;
	for (size_t i = 0; i < MESH__COUNT(units); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__json *root;
		size_t len;
		char *text = repeat(units[i], 100000, &len);
		assert_int_equal(parse(text, len, &root, &err), MESH_E_INVALID);
		assert_non_null(strstr(err.message, "nested too deep"));
		free(text);
	}
	return NULL;
}

/* On a stack that recursion by level could not pass: 256 KiB for 100,000 of them. */
static void threat_21_refuses_100000_levels_on_a_bounded_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, parse_deep_texts, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pthread_attr_destroy(&attr), 0);
}

static void refuses_a_text_over_its_bound(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *root;

	(void)state;
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), "[1234]", 6, 6, &root, &err), MESH_OK);
	mesh__json_free(root);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), "[1234]", 6, 5, &root, &err), MESH_E_TOO_LARGE);
	assert_null(root);
}

static int parse_list_of(size_t n, struct mesh__err *err)
{
	struct mesh__json *root;
	size_t len;
	char *text = repeat(",0", n, &len);
	int code;

	text[0] = '['; /* the list, and the n zeros in it: n + 1 values */
	text[len] = ']';
	code = parse(text, len + 1, &root, err);
	mesh__json_free(root);
	free(text);
	return code;
}

/* Or 4 MiB of text would take 160 MB. */
static void refuses_more_values_than_memory_should_hold(void **state)
{
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(parse_list_of(262143, &err), MESH_OK);
	assert_int_equal(parse_list_of(262144, &err), MESH_E_TOO_LARGE);
	assert_non_null(strstr(err.message, "too many values"));
}

static double cpu_seconds(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* An object of n keys in an order meant to hurt, the last of them twice. */
static double time_of_keys(size_t n, bool descending)
{
	size_t cap = n * 20 + 64, len = 0;
	char *text = malloc(cap);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json *root;
	double start;

	for (size_t i = 0; i < n; i++) {
		len += (size_t)snprintf(text + len, cap - len, "%c\"key%07zu\":0", i == 0 ? '{' : ',', descending ? n - i : i);
	}
	len += (size_t)snprintf(text + len, cap - len, ",\"key%07zu\":0}", (size_t)1);
	start = cpu_seconds();
	assert_int_equal(parse(text, len, &root, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "duplicate key"));
	free(text);
	return cpu_seconds() - start;
}

/* Eight times the keys may cost little more than eight times the time; all pairs would cost 64 times. A ratio, for valgrind is slow. */
static void duplicate_search_is_not_quadratic(void **state)
{
	(void)state;
	for (int descending = 0; descending < 2; descending++) {
		double few = 0, many = time_of_keys(32000, descending);
		for (int i = 0; i < 8; i++) {
			few += time_of_keys(4000, descending);
		}
		assert_true(many < 4 * few);
	}
}

/* ---- reading values ---- */

static void finds_members_by_exact_case(void **state)
{
	struct mesh__json *root = must_parse("{\"a\":\"x\",\"A\":\"y\",\"n\":null,\"list\":[1,\"two\",{}]}");
	const struct mesh__json *list = mesh__json_get(root, "list");
	const struct mesh__json *item = mesh__json_first(list);

	(void)state;
	assert_true(mesh__json_is_object(root));
	assert_string_equal(mesh__json_text(mesh__json_get(root, "a")), "x");
	assert_string_equal(mesh__json_text(mesh__json_get(root, "A")), "y");
	assert_null(mesh__json_get(root, "b"));
	assert_true(mesh__json_is_null(mesh__json_get(root, "n")));
	assert_false(mesh__json_is_null(NULL));
	assert_int_equal(mesh__json_count(root), 4);
	assert_string_equal(mesh__json_key(mesh__json_first(root)), "a");
	assert_true(mesh__json_is_array(list));
	assert_int_equal(mesh__json_count(list), 3);
	assert_null(mesh__json_get(list, "a"));
	item = mesh__json_next(item);
	assert_true(mesh__json_is_string(item));
	assert_string_equal(mesh__json_text(item), "two");
	item = mesh__json_next(mesh__json_next(item));
	assert_null(item);
	mesh__json_free(root);
	mesh__json_free(NULL);
}

static void everything_accepts_null(void **state)
{
	int64_t i;
	uint64_t u;
	double d;
	bool b;

	(void)state;
	assert_false(mesh__json_is_object(NULL) || mesh__json_is_array(NULL) || mesh__json_is_string(NULL));
	assert_null(mesh__json_get(NULL, "a"));
	assert_null(mesh__json_first(NULL));
	assert_null(mesh__json_next(NULL));
	assert_null(mesh__json_key(NULL));
	assert_null(mesh__json_text(NULL));
	assert_int_equal(mesh__json_count(NULL), 0);
	assert_false(mesh__json_i64(NULL, 0, 1, &i) || mesh__json_u64(NULL, &u) || mesh__json_bool(NULL, &b) || mesh__json_double(NULL, &d));
}

static void integers_are_exact_or_refused(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} rows[] = {
		{"0", true, 0}, {"-0", true, 0}, {"-7", true, -7}, {"1e3", true, 1000}, {"2.0", true, 2}, {"9007199254740991", true, 9007199254740991},
		{"-9007199254740991", true, -9007199254740991}, {"9007199254740992", false, 0}, {"9007199254740993", false, 0}, {"1e300", false, 0}, {"1.5", false, 0},
		{"\"42\"", true, 42}, {"\"-42\"", true, -42}, {"\"9223372036854775807\"", true, INT64_MAX}, {"\"-9223372036854775808\"", true, INT64_MIN},
		{"\"9223372036854775808\"", false, 0}, {"\"-9223372036854775809\"", false, 0}, {"\"99999999999999999999\"", false, 0}, {"\"\"", false, 0}, {"\"-\"", false, 0},
		{"\"+1\"", false, 0}, {"\" 1\"", false, 0}, {"\"1e3\"", false, 0}, {"\"1.0\"", false, 0}, {"true", false, 0}, {"null", false, 0}, {"[]", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__json *root = must_parse(rows[i].text);
		int64_t value = 0;
		if (mesh__json_i64(root, INT64_MIN, INT64_MAX, &value) != rows[i].ok || value != rows[i].value) {
			fail_msg("%s: %lld", rows[i].text, (long long)value);
		}
		mesh__json_free(root);
	}
}

static void integers_stay_within_the_range_asked_for(void **state)
{
	struct mesh__json *root = must_parse("[5,\"18446744073709551615\",\"18446744073709551616\",-1,true]");
	const struct mesh__json *five = mesh__json_first(root), *big = mesh__json_next(five), *over = mesh__json_next(big), *minus = mesh__json_next(over);
	int64_t i = 0;
	uint64_t u = 0;
	double d = 0;
	bool b = false;

	(void)state;
	assert_true(mesh__json_double(five, &d));
	assert_float_equal(d, 5, 0);
	assert_false(mesh__json_double(big, &d)); /* a text */
	assert_true(mesh__json_i64(five, 5, 5, &i));
	assert_false(mesh__json_i64(five, 6, 9, &i));
	assert_false(mesh__json_i64(five, 0, 4, &i));
	assert_true(mesh__json_u64(five, &u));
	assert_int_equal(u, 5);
	assert_true(mesh__json_u64(big, &u));
	assert_true(u == UINT64_MAX);
	assert_false(mesh__json_u64(over, &u));
	assert_false(mesh__json_u64(minus, &u));
	assert_true(mesh__json_bool(mesh__json_next(minus), &b));
	assert_true(b);
	assert_false(mesh__json_bool(five, &b));
	mesh__json_free(root);
}

/* ---- writing ---- */

static void writes_what_it_reads(void **state)
{
	struct mesh__buf buf;
	struct mesh__json_out out = {.buf = &buf};
	struct mesh__json *root;

	(void)state;
	mesh__buf_init(&buf, mesh__mem_libc(), 4096);
	mesh__json_open(&out, NULL, '{');
	mesh__json_put_text(&out, "a\"b", "c\n\xc3\xa4");
	mesh__json_put_text(&out, "absent", NULL);
	mesh__json_put_int(&out, "i", -5);
	mesh__json_put_u64(&out, "u", UINT64_MAX);
	mesh__json_open(&out, "list", '[');
	mesh__json_put_bool(&out, NULL, true);
	mesh__json_open(&out, NULL, '[');
	mesh__json_close(&out, ']');
	mesh__json_put_double(&out, NULL, 1.25, 3);
	mesh__json_put_double(&out, NULL, NAN, 3);
	mesh__json_close(&out, ']');
	mesh__json_put_bool(&out, "b", false);
	mesh__json_close(&out, '}');
	assert_int_equal(buf.error, MESH_OK);
	assert_string_equal(buf.data, "{\"a\\\"b\":\"c\\u000a\xc3\xa4\",\"i\":-5,\"u\":\"18446744073709551615\",\"list\":[true,[],1.250,null],\"b\":false}");
	root = must_parse(buf.data);
	mesh__json_free(root);
	mesh__buf_fini(&buf);
}

static void writes_a_parsed_value_again(void **state)
{
	static const char *const same[] = {
		"{\"a\":[1,-2.5,\"x\\\"\",true,false,null,{}],\"b\":{\"c\":[]}}", "0.1", "1e+300", "123456789012", "3.1415926535897931", "[[],[[]],\"\xf0\x9f\x98\x80\"]",
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(same); i++) {
		struct mesh__json *root = must_parse(same[i]);
		struct mesh__buf buf;
		struct mesh__json_out out = {.buf = &buf};
		mesh__buf_init(&buf, mesh__mem_libc(), 4096);
		mesh__json_put_value(&out, NULL, root);
		mesh__json_put_value(&out, "nothing", NULL);
		assert_string_equal(buf.data, same[i]);
		mesh__buf_fini(&buf);
		mesh__json_free(root);
	}
}

/* The application's locale is not ours to choose. */
static void a_decimal_comma_changes_nothing(void **state)
{
	static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ps_AF.UTF-8"};
	struct mesh__buf buf;
	struct mesh__json_out out = {.buf = &buf};
	struct mesh__json *root;
	const char *set = NULL;

	(void)state;
	for (size_t i = 0; set == NULL && i < MESH__COUNT(commas); i++) {
		set = setlocale(LC_NUMERIC, commas[i]);
	}
	if (set == NULL) {
		skip();
	}
	mesh__buf_init(&buf, mesh__mem_libc(), 4096);
	root = must_parse("1234.5");
	mesh__json_put_value(&out, NULL, root);
	mesh__json_put_double(&out, NULL, 0.5, 2);
	(void)setlocale(LC_NUMERIC, "C");
	assert_string_equal(buf.data, "1234.5,0.50");
	mesh__json_free(root);
	mesh__buf_fini(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_rfc_8259),
		cmocka_unit_test(threat_21_refuses_with_line_and_column),
		cmocka_unit_test(threat_21_takes_64_levels_and_refuses_65),
		cmocka_unit_test(threat_21_refuses_100000_levels_on_a_bounded_stack),
		cmocka_unit_test(refuses_a_text_over_its_bound),
		cmocka_unit_test(refuses_more_values_than_memory_should_hold),
		cmocka_unit_test(duplicate_search_is_not_quadratic),
		cmocka_unit_test(finds_members_by_exact_case),
		cmocka_unit_test(everything_accepts_null),
		cmocka_unit_test(integers_are_exact_or_refused),
		cmocka_unit_test(integers_stay_within_the_range_asked_for),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(writes_a_parsed_value_again),
		cmocka_unit_test(a_decimal_comma_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
