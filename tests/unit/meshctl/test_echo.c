#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/echo.h"

static void write_echo(const struct ctl_echo_request *request, const char *expected)
{
	struct mesh__buf out;

	mesh__buf_init(&out, mesh__mem_libc(), 65536);
	ctl_echo_write(request, &out);
	assert_string_equal(out.data, expected);
	mesh__buf_fini(&out);
}

static void echoes_what_it_saw(void **state)
{
	static const struct ctl_echo_field fields[] = {{"Accept", "*/*"}, {"X-A", "1"}, {"x-a", "2"}};
	struct ctl_echo_request request = {.service = "payments", .version = "v1", .instance = "i1",
		.peer = "spiffe://mesh.local/ns/default/svc/cart", .method = "POST",
		.path = "/make-payment", .query = "a=b%20c", .fields = fields, .n_fields = 3, .try_number = 2, .http_version = 2,
			.body = "{\"x\":1}", .body_len = 7};

	(void)state;
	write_echo(&request, "{\"service\":\"payments\",\"instance\":\"i1\",\"version\":\"v1\",\"peer\":\"spiffe://mesh.local/ns/default/svc/cart\",\"method\":\"POST\","
		"\"path\":\"/make-payment?a=b%20c\",\"headers\":{\"accept\":\"*/*\",\"x-a\":\"1, 2\"},\"tryNumber\":2,\"httpVersion\":2,\"body\":\"{\\\"x\\\":1}\"}\n");
}

static void says_the_size_of_a_body_that_is_no_text(void **state)
{
	struct ctl_echo_request request = {.service = "s", .instance = "i", .peer = "p", .method = "PUT", .path = "/",
		.query = "", .try_number = 1, .http_version = 1, .body = "a\0b", .body_len = 3};

	(void)state;
	write_echo(&request, "{\"service\":\"s\",\"instance\":\"i\",\"version\":\"\",\"peer\":\"p\",\"method\":\"PUT\",\"path\":\"/\",\"headers\":{},\"tryNumber\":1,\"httpVersion\":1,\"bodyBytes\":3}\n");
	request.body = "\xff";
	request.body_len = 1;
	write_echo(&request, "{\"service\":\"s\",\"instance\":\"i\",\"version\":\"\",\"peer\":\"p\",\"method\":\"PUT\",\"path\":\"/\",\"headers\":{},\"tryNumber\":1,\"httpVersion\":1,\"bodyBytes\":1}\n");
}

static void misbehaves_as_it_was_told(void **state)
{
	static const struct {
		int32_t status;
		int64_t fail_thousandths;
		bool failed;
		int32_t answered;
	} rows[] = {
		{0, 0, false, 200}, {503, 0, false, 503}, {201, 0, false, 201},
		{0, 10000, false, 200}, {0, 10000, true, 500}, {503, 10000, true, 503}, {503, 10000, false, 200},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct ctl_echo_options options = {.service = "s", .status = rows[i].status,
			.fail_thousandths = rows[i].fail_thousandths};
		assert_int_equal(ctl_echo_status(&options, rows[i].failed), rows[i].answered);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_what_it_saw),
		cmocka_unit_test(says_the_size_of_a_body_that_is_no_text),
		cmocka_unit_test(misbehaves_as_it_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
