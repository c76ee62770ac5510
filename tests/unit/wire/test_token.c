#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/token.h"

#define ID "0123456789abcdef"
#define SECRET "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN "mesh1." ID "." SECRET "." PIN

static void takes_what_it_prints(void **state)
{
	struct mesh__token token;
	struct mesh__err err = MESH__NO_ERR;
	char text[MESH__TOKEN_TEXT];

	(void)state;
	assert_int_equal(mesh__token_parse(TOKEN, &token, &err), MESH_OK);
	assert_string_equal(token.id, ID);
	assert_string_equal(token.secret, SECRET);
	assert_int_equal(token.pin[1], 0x11);
	assert_int_equal(token.pin[31], 0xff);
	mesh__token_format(&token, text);
	assert_string_equal(text, TOKEN);
}

static void forgives_the_white_space_of_a_file(void **state)
{
	static const char *const forms[] = {TOKEN "\n", "  " TOKEN "\r\n", "\n\t" TOKEN " \n\n"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(forms); i++) {
		struct mesh__token token;
		assert_int_equal(mesh__token_parse(forms[i], &token, NULL), MESH_OK);
		assert_string_equal(token.secret, SECRET);
	}
}

static void refuses_what_is_off_without_repeating_the_secret(void **state)
{
	static const char *const bad[] = {
		"", " \n", "mesh1", "mesh1.", "mesh2." ID "." SECRET "." PIN, "MESH1." ID "." SECRET "." PIN, ID "." SECRET "." PIN, "mesh1." ID "." SECRET,
		"mesh1." ID "." SECRET "." PIN "0", "mesh1." ID "." SECRET "." PIN "." PIN, TOKEN " " TOKEN, "mesh1." ID ":" SECRET "." PIN,
		"mesh1." ID "." SECRET "-" PIN, "mesh1.0123456789ABCDEF." SECRET "." PIN, "mesh1.0123456789abcde." SECRET "0." PIN,
		"mesh1." ID "." SECRET ".z0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"mesh1." ID ".xec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2." PIN, "mesh1." ID " " SECRET "." PIN,
	};
	struct mesh__token token = {.id = "untouched"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (mesh__token_parse(bad[i], &token, &err) != MESH_E_INVALID) {
			fail_msg("taken: %s", bad[i]);
		}
		assert_null(strstr(err.message, "ec2e75"));
		assert_non_null(strstr(err.message, "join token"));
	}
	assert_int_equal(mesh__token_parse(NULL, &token, NULL), MESH_E_INVALID);
	assert_string_equal(token.id, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_it_prints),
		cmocka_unit_test(forgives_the_white_space_of_a_file),
		cmocka_unit_test(refuses_what_is_off_without_repeating_the_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
