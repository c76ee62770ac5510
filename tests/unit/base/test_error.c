#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void a_failure_tells_code_origin_and_message(void **state)
{
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__fail(&err, MESH_E_INVALID, "port %d: %s", 70000, "too large"), MESH_E_INVALID);
	assert_int_equal(err.code, MESH_E_INVALID);
	assert_int_equal(err.origin, MESH__ORIGIN_LOCAL);
	assert_string_equal(err.message, "port 70000: too large");
	assert_int_equal(mesh__fail_at(&err, MESH__ORIGIN_TLS, MESH_E_TLS, "bad"), MESH_E_TLS);
	assert_int_equal(err.origin, MESH__ORIGIN_TLS);
	assert_int_equal(mesh__fail_memory(&err), MESH_E_NO_MEMORY);
	assert_string_equal(err.message, "out of memory");
}

static void a_null_error_only_gives_the_code(void **state)
{
	(void)state;
	assert_int_equal(mesh__fail(NULL, MESH_E_IO, "x"), MESH_E_IO);
	assert_int_equal(mesh__fail_at(NULL, MESH__ORIGIN_PEER, MESH_E_RESET, "x"), MESH_E_RESET);
	assert_int_equal(mesh__fail_memory(NULL), MESH_E_NO_MEMORY);
	assert_int_equal(mesh__wrap(NULL, "x"), MESH_E_INTERNAL);
}

static void messages_are_cut_and_printable(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	char longer[1000];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	(void)mesh__fail(&err, MESH_E_INVALID, "%s", longer);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	(void)mesh__fail(&err, MESH_E_INVALID, "a\nb\r\x1b[31m\x7f%s", "\xc3\xa9");
	assert_string_equal(err.message, "a?b??[31m?\xc3\xa9");
}

static void the_old_message_may_be_an_argument_of_the_new(void **state)
{
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	(void)mesh__fail(&err, MESH_E_IO, "inner");
	(void)mesh__fail(&err, MESH_E_CONTROL, "outer (%s)", err.message);
	assert_string_equal(err.message, "outer (inner)");
}

static void context_goes_before_and_leaves_room(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	char longer[1000];

	(void)state;
	(void)mesh__fail_at(&err, MESH__ORIGIN_CONNECT, MESH_E_CONNECT, "refused");
	assert_int_equal(mesh__wrap(&err, "endpoint %s", "10.0.0.1:80\n"), MESH_E_CONNECT);
	assert_string_equal(err.message, "endpoint 10.0.0.1:80?: refused");
	assert_int_equal(err.origin, MESH__ORIGIN_CONNECT);
	/* A message that fits stays whole. */
	memset(longer, 'y', sizeof(longer));
	longer[450] = '\0';
	(void)mesh__fail(&err, MESH_E_IO, "%s", longer);
	(void)mesh__wrap(&err, "line 3");
	assert_int_equal(strlen(err.message), 450 + 8);
	/* A long context leaves room for what it is about. */
	memset(longer, 'z', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	(void)mesh__fail(&err, MESH_E_IO, "the end");
	(void)mesh__wrap(&err, "%s", longer);
	assert_non_null(strstr(err.message, "zz: the end"));
}

static void what_is_added_goes_behind_and_is_never_lost(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	char longer[1000];

	(void)state;
	(void)mesh__fail_at(&err, MESH__ORIGIN_PEER, MESH_E_RESET, "the connection broke");
	mesh__err_more(&err, "not repeated: %s", "no\ttime");
	assert_string_equal(err.message, "the connection broke; not repeated: no?time");
	assert_int_equal(err.code, MESH_E_RESET);
	assert_int_equal(err.origin, MESH__ORIGIN_PEER);
	memset(longer, 'y', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	(void)mesh__fail(&err, MESH_E_IO, "%s", longer);
	mesh__err_more(&err, "the end");
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_string_equal(strchr(err.message, ';'), "; the end");
	(void)mesh__fail(&err, MESH_E_IO, "short");
	mesh__err_more(&err, "%s", longer);
	assert_memory_equal(err.message, "short; yyy", 10);
}

static void every_code_and_origin_has_its_name(void **state)
{
	static const char *const origins[] = {"local", "policy", "control", "connect", "tls", "peer"};

	(void)state;
	for (int code = MESH_OK; code <= MESH_E_INTERNAL; code++) {
		const char *name = mesh__code_name(code);
		assert_non_null(name);
		assert_string_not_equal(name, "MESH_E_UNKNOWN");
	}
	assert_string_equal(mesh__code_name(MESH_E_TIMEOUT), "MESH_E_TIMEOUT");
	assert_string_equal(mesh__code_name(MESH_E_INTERNAL), "MESH_E_INTERNAL");
	assert_string_equal(mesh__code_name(-1), "MESH_E_UNKNOWN");
	assert_string_equal(mesh__code_name(MESH_E_INTERNAL + 1), "MESH_E_UNKNOWN");
	assert_string_equal(mesh__code_name(INT32_MAX), "MESH_E_UNKNOWN");
	for (size_t i = 0; i < MESH__COUNT(origins); i++) {
		assert_string_equal(mesh__origin_name((enum mesh__origin)i), origins[i]);
	}
	assert_string_equal(mesh__origin_name((enum mesh__origin)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_tells_code_origin_and_message),
		cmocka_unit_test(a_null_error_only_gives_the_code),
		cmocka_unit_test(messages_are_cut_and_printable),
		cmocka_unit_test(the_old_message_may_be_an_argument_of_the_new),
		cmocka_unit_test(context_goes_before_and_leaves_room),
		cmocka_unit_test(what_is_added_goes_behind_and_is_never_lost),
		cmocka_unit_test(every_code_and_origin_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
