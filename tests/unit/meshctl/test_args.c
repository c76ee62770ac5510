#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/args.h"

static const struct ctl_option own[] = {
	{"service", 0, CTL_TEXT, "NAME", "the service", 0, 0},
	{"echo", 0, CTL_FLAG, NULL, "answer", 0, 0},
	{"header", 'H', CTL_LIST, "NAME:VALUE", "a field", 0, 0},
	{"number", 'n', CTL_INTEGER, "N", "how many", 1, 1000},
	{"rate", 0, CTL_DECIMAL, "R", "how often", 500, 100000},
	{"ttl", 0, CTL_DURATION, "TIME", "how long", 1000, 3600000},
	{"body", 'd', CTL_TEXT, "BODY", "the body", 0, 0},
	{0},
};
static const struct ctl_option common[] = {{"output", 'o', CTL_TEXT, "FORMAT", "text or json", 0, 0}, {0}};
static const struct ctl_option *const tables[] = {own, common};

enum { WORDS_MAX = 8 };

static int parse(const char *const *words, struct ctl_args *args, struct mesh__err *err)
{
	char *argv[WORDS_MAX + 1];
	int argc = 0;

	for (; argc < WORDS_MAX && words[argc] != NULL; argc++) {
		argv[argc] = (char *)(uintptr_t)words[argc];
	}
	return ctl_args_parse(tables, MESH__COUNT(tables), argc, argv, args, err);
}

static void takes_options_anywhere_and_in_every_form(void **state)
{
	static const char *const forms[][WORDS_MAX + 1] = {
		{"payments", "/", "-n", "7", "--service", "cart", "-o", "json"},
		{"--service=cart", "-n7", "-ojson", "payments", "/"},
		{"-n", "7", "payments", "--output", "json", "--service", "cart", "/"},
		{"--number=7", "payments", "--output=json", "--service=cart", "--", "/"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(forms); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct ctl_args args;
		assert_int_equal(parse(forms[i], &args, &err), MESH_OK);
		assert_string_equal(ctl_operand(&args, 0), "payments");
		assert_string_equal(ctl_operand(&args, 1), "/");
		assert_null(ctl_operand(&args, 2));
		assert_int_equal(ctl_number(&args, "number", 1), 7);
		assert_string_equal(ctl_text(&args, "service"), "cart");
		assert_string_equal(ctl_text(&args, "output"), "json");
		assert_false(ctl_flag(&args, "echo"));
	}
}

static void says_what_is_wrong_and_what_was_meant(void **state)
{
	static const struct {
		const char *words[WORDS_MAX + 1];
		const char *message;
	} bad[] = {
		{{"--servce", "cart"}, "unknown option \"--servce\"; did you mean --service?"},
		{{"--servce=cart"}, "did you mean --service?"},
		{{"--ouptut", "json"}, "did you mean --output?"},
		{{"-z"}, "unknown option \"-z\""},
		{{"--service"}, "--service needs a value: --service NAME"},
		{{"--service", "--echo"}, "--service needs a value: --service NAME"},
		{{"-n"}, "--number needs a value"},
		{{"--echo=yes"}, "--echo takes no value"},
		{{"-n", "x"}, "--number \"x\": not a whole number"},
		{{"-n", "-1"}, "not a whole number"},
		{{"-n", "99999999999999999999"}, "not a whole number"},
		{{"-n", "0"}, "out of range; it goes from 1 to 1000"},
		{{"-n", "1001"}, "out of range; it goes from 1 to 1000"},
		{{"--rate", "1.2345"}, "at most three decimals"},
		{{"--rate", "1."}, "at most three decimals"},
		{{"--rate", "0.4"}, "out of range; it goes from 0.500 to 100"},
		{{"--ttl", "5"}, "--ttl \"5\": not a duration"},
		{{"--ttl", "500ms"}, "out of range; it goes from 1s to 1h"},
		{{"--service", "a", "--service", "b"}, "--service is given twice"},
		{{"a", "b", "c", "d", "e", "f", "g", "h"}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct ctl_args args;
		int code = parse(bad[i].words, &args, &err);
		assert_int_equal(code, bad[i].message != NULL ? MESH_E_INVALID : MESH_OK);
		if (bad[i].message != NULL && strstr(err.message, bad[i].message) == NULL) {
			fail_msg("\"%s\" does not say \"%s\"", err.message, bad[i].message);
		}
	}
}

static void reads_numbers_in_their_units(void **state)
{
	static const struct {
		const char *words[WORDS_MAX + 1];
		const char *name;
		int64_t number;
	} good[] = {
		{{"--rate", "10"}, "rate", 10000},
		{{"--rate", "0.5"}, "rate", 500},
		{{"--rate", "12.25"}, "rate", 12250},
		{{"--rate", "0.501"}, "rate", 501},
		{{"--ttl", "1.5s"}, "ttl", 1500},
		{{"--ttl", "1h"}, "ttl", 3600000},
		{{"-n1000"}, "number", 1000},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct ctl_args args;
		assert_int_equal(parse(good[i].words, &args, &err), MESH_OK);
		assert_int_equal(ctl_number(&args, good[i].name, -1), good[i].number);
	}
}

static void keeps_every_value_of_a_list_in_order(void **state)
{
	static const char *const words[] = {"-H", "a: 1", "x", "-Hb: 2", "--header=c: 3", NULL};
	struct mesh__err err = MESH__NO_ERR;
	struct ctl_args args;

	(void)state;
	assert_int_equal(parse(words, &args, &err), MESH_OK);
	assert_string_equal(ctl_nth(&args, "header", 0), "a: 1");
	assert_string_equal(ctl_nth(&args, "header", 1), "b: 2");
	assert_string_equal(ctl_nth(&args, "header", 2), "c: 3");
	assert_null(ctl_nth(&args, "header", 3));
}

static void takes_a_hyphen_and_what_follows_two_hyphens_as_words(void **state)
{
	static const char *const words[] = {"-d", "-", "-", "--", "--echo", "-x", NULL};
	struct mesh__err err = MESH__NO_ERR;
	struct ctl_args args;

	(void)state;
	assert_int_equal(parse(words, &args, &err), MESH_OK);
	assert_string_equal(ctl_text(&args, "body"), "-");
	assert_string_equal(ctl_operand(&args, 0), "-");
	assert_string_equal(ctl_operand(&args, 1), "--echo");
	assert_string_equal(ctl_operand(&args, 2), "-x");
	assert_false(ctl_flag(&args, "echo"));
}

static void refuses_more_words_and_options_than_it_holds(void **state)
{
	enum { MANY = CTL_SETTINGS_MAX + 1 };
	struct mesh__err err = MESH__NO_ERR;
	struct ctl_args args;
	char word[] = "word", option[] = "-Ha:b";
	char *words[CTL_OPERANDS_MAX + 1], *options[MANY];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(words); i++) {
		words[i] = word;
	}
	for (size_t i = 0; i < MANY; i++) {
		options[i] = option;
	}
	assert_int_equal(ctl_args_parse(tables, 2, (int)MESH__COUNT(words), words, &args, &err), MESH_E_INVALID);
	assert_int_equal(ctl_args_parse(tables, 2, MANY, options, &args, &err), MESH_E_INVALID);
	assert_int_equal(ctl_args_parse(tables, 2, MANY - 1, options, &args, &err), MESH_OK);
}

static void finds_the_command_behind_options_that_have_values(void **state)
{
	char data[] = "--service", value[] = "token", command[] = "status", odd[] = "--odd";
	char *argv[] = {data, value, odd, command};
	const char *operands[4], *unknown;

	(void)state;
	assert_int_equal(ctl_args_operands(tables, 2, 4, argv, operands, 4, &unknown), 1);
	assert_string_equal(operands[0], "status");
	assert_string_equal(unknown, "--odd");
}

static void helps_with_a_line_an_option(void **state)
{
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_args_help(own, &out);
	assert_non_null(strstr(out.data, "      --service NAME"));
	assert_non_null(strstr(out.data, "  -H, --header NAME:VALUE"));
	assert_non_null(strstr(out.data, "(may be repeated)"));
	assert_non_null(strstr(out.data, "      --echo "));
	mesh__buf_fini(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_options_anywhere_and_in_every_form),
		cmocka_unit_test(says_what_is_wrong_and_what_was_meant),
		cmocka_unit_test(reads_numbers_in_their_units),
		cmocka_unit_test(keeps_every_value_of_a_list_in_order),
		cmocka_unit_test(takes_a_hyphen_and_what_follows_two_hyphens_as_words),
		cmocka_unit_test(refuses_more_words_and_options_than_it_holds),
		cmocka_unit_test(finds_the_command_behind_options_that_have_values),
		cmocka_unit_test(helps_with_a_line_an_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
