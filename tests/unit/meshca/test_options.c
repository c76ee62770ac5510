#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshca/help.h"
#include "meshca/options.h"

enum { ARGS_MAX = 10 };

static int parse(enum meshca_command command, const char *const *args, struct meshca_options *out, struct mesh__err *err)
{
	int n = 0;

	while (n < ARGS_MAX && args[n] != NULL) {
		n++;
	}
	return meshca_options_parse(command, n, (char *const *)(uintptr_t)args, out, err);
}

static void takes_options_in_any_place_and_form(void **state)
{
	static const char *const forms[][ARGS_MAX] = {
		{"--dir", "ca", "--csr", "x", "--service", "pay", "--ttl", "90s"},
		{"--ttl=90s", "--service=pay", "--csr=x", "--dir=ca"},
		{"--service", "pay", "--dir=ca", "--ttl", "1.5m", "--csr", "x"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(forms); i++) {
		struct meshca_options o;
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(parse(MESHCA_COMMAND_SIGN, forms[i], &o, &err), MESH_OK);
		assert_string_equal(o.dir, "ca");
		assert_string_equal(o.csr, "x");
		assert_string_equal(o.service, "pay");
		assert_int_equal(o.ttl_ms, 90000);
		assert_null(o.ns);
	}
}

static void refuses_with_a_hint(void **state)
{
	static const struct {
		enum meshca_command command;
		const char *args[ARGS_MAX];
		const char *hint;
	} table[] = {
		{MESHCA_COMMAND_INIT, {NULL}, "--dir is missing"},
		{MESHCA_COMMAND_INIT, {"--dir"}, "a value must follow"},
		{MESHCA_COMMAND_INIT, {"--dir="}, "empty"},
		{MESHCA_COMMAND_INIT, {"--dri", "x"}, "did you mean --dir"},
		{MESHCA_COMMAND_INIT, {"--dir", "x", "--ttl", "1h"}, "no such option"},
		{MESHCA_COMMAND_INIT, {"--dir", "x", "--days", "-1"}, "1 to 36500"},
		{MESHCA_COMMAND_INIT, {"--dir", "x", "--days", "36501"}, "1 to 36500"},
		{MESHCA_COMMAND_INIT, {"--dir", "x", "--trust-domain", "a..b"}, "lower-case"},
		{MESHCA_COMMAND_INIT, {"--dir", "x", "-"}, "too many"},
		{MESHCA_COMMAND_SHOW, {"a", "b"}, "too many"},
		{MESHCA_COMMAND_SHOW, {NULL}, "either"},
		{MESHCA_COMMAND_SHOW, {"a", "-o", "xml"}, "text and json"},
		{MESHCA_COMMAND_SERVE, {"--dir", "x"}, "--fd is missing"},
		{MESHCA_COMMAND_SERVE, {"--dir", "x", "--fd", "2"}, "standard error"},
		{MESHCA_COMMAND_SERVE, {"--dir", "x", "--fd", "99999999999999999999"}, "give a number"},
		{MESHCA_COMMAND_SERVE, {"--dir", "x", "--fd", "3", "--max-ttl", "0s"}, "from 1s"},
		{MESHCA_COMMAND_SERVE, {"--dir", "x", "--fd", "3", "--max-ttl", "48"}, "duration"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(table); i++) {
		struct meshca_options o;
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(parse(table[i].command, table[i].args, &o, &err), MESH_E_INVALID);
		if (strstr(err.message, table[i].hint) == NULL) {
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i, err.message, table[i].hint);
		}
	}
}

static void help_wins_over_what_is_missing(void **state)
{
	static const char *const args[ARGS_MAX] = {"--help"};

	(void)state;
	for (int c = 0; c < MESHCA_N_COMMANDS; c++) {
		struct meshca_options o;
		assert_int_equal(parse((enum meshca_command)c, args, &o, NULL), MESH_OK);
		assert_true(o.help);
		assert_non_null(strstr(meshca_help_command((enum meshca_command)c), meshca_command_name((enum meshca_command)c)));
	}
}

static void knows_its_commands(void **state)
{
	enum meshca_command command;

	(void)state;
	assert_true(meshca_command_parse("serve", &command));
	assert_int_equal(command, MESHCA_COMMAND_SERVE);
	assert_false(meshca_command_parse("Serve", &command));
	assert_string_equal(meshca_command_nearest("shwo"), "show");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_options_in_any_place_and_form),
		cmocka_unit_test(refuses_with_a_hint),
		cmocka_unit_test(help_wins_over_what_is_missing),
		cmocka_unit_test(knows_its_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
