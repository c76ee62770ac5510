#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/echo.h"
#include "meshctl/upstream.h"

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
		.path = "/make-payment", .query = "a=b%20c", .fields = fields, .n_fields = 3, .try_number = 2,
			.body = "{\"x\":1}", .body_len = 7};

	(void)state;
	write_echo(&request, "{\"service\":\"payments\",\"instance\":\"i1\",\"version\":\"v1\",\"peer\":\"spiffe://mesh.local/ns/default/svc/cart\",\"method\":\"POST\","
		"\"path\":\"/make-payment?a=b%20c\",\"headers\":{\"accept\":\"*/*\",\"x-a\":\"1, 2\"},\"tryNumber\":2,\"body\":\"{\\\"x\\\":1}\"}\n");
}

static void says_the_size_of_a_body_that_is_no_text(void **state)
{
	struct ctl_echo_request request = {.service = "s", .instance = "i", .peer = "p", .method = "PUT", .path = "/",
		.query = "", .try_number = 1, .body = "a\0b", .body_len = 3};

	(void)state;
	write_echo(&request, "{\"service\":\"s\",\"instance\":\"i\",\"version\":\"\",\"peer\":\"p\",\"method\":\"PUT\",\"path\":\"/\",\"headers\":{},\"tryNumber\":1,\"bodyBytes\":3}\n");
	request.body = "\xff";
	request.body_len = 1;
	write_echo(&request, "{\"service\":\"s\",\"instance\":\"i\",\"version\":\"\",\"peer\":\"p\",\"method\":\"PUT\",\"path\":\"/\",\"headers\":{},\"tryNumber\":1,\"bodyBytes\":1}\n");
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

static void a_proxy_keeps_back_the_fields_of_one_connection(void **state)
{
	static const struct {
		const char *name, *connection;
		bool stays;
	} rows[] = {
		{"Connection", NULL, true}, {"keep-alive", NULL, true}, {"TE", NULL, true}, {"Trailer", NULL, true}, {"Transfer-Encoding", NULL, true}, {"upgrade", NULL, true},
		{"Host", NULL, true}, {"Content-Length", NULL, true}, {"mesh-try", NULL, true}, {"Mesh-Anything", NULL, true}, {"X-Forwarded-Client-Cert", NULL, true}, {"x_forwarded-client_cert", NULL, true}, {"mesh_try", NULL, true}, {"Transfer_Encoding", NULL, true},
		{"a_name_that_is_longer_than_any_of_them", NULL, false}, {"mesh_and_a_name_that_is_longer_than_any", NULL, true},
		{"x-hop", "close, X-Hop", true}, {"x-hop", "x-hop-too", false}, {"x-hop", NULL, false}, {"Accept", "keep-alive", false}, {"authorization", "", false},
		{"meshy", NULL, false}, {"cookie", ",,, ,", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(ctl_field_stays(rows[i].name, rows[i].connection), rows[i].stays);
	}
}

static void a_gateway_says_what_kind_of_failure_it_was(void **state)
{
	static const struct {
		int32_t code, status;
	} rows[] = {
		{MESH_E_TIMEOUT, 504}, {MESH_E_OVERLOADED, 503}, {MESH_E_NO_ENDPOINT, 503}, {MESH_E_NOT_READY, 503}, {MESH_E_CLOSED, 503},
		{MESH_E_CONNECT, 502}, {MESH_E_RESET, 502}, {MESH_E_TLS, 502}, {MESH_E_NO_SERVICE, 502}, {MESH_E_TOO_LARGE, 502},
	};
	struct mesh__buf out;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(ctl_gateway_status(rows[i].code), rows[i].status);
	}
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_gateway_body(504, "no \"answer\"", &out);
	assert_string_equal(out.data, "{\"error\":\"gateway-timeout\",\"message\":\"no \\\"answer\\\"\"}\n");
	mesh__buf_fini(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_what_it_saw),
		cmocka_unit_test(says_the_size_of_a_body_that_is_no_text),
		cmocka_unit_test(misbehaves_as_it_was_told),
		cmocka_unit_test(a_proxy_keeps_back_the_fields_of_one_connection),
		cmocka_unit_test(a_gateway_says_what_kind_of_failure_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
