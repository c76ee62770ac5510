/* A refusal is in the form that who asked can read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "support/http_stage.h"

/* The path says the status; a query that there is, that no handler has seen it. */
static void refuse(void *user, struct mesh__exchange *x)
{
	int status = 0;

	(void)user;
	assert_int_equal(sscanf(mesh__exchange_path(x), "/%d", &status), 1);
	if (mesh__exchange_query(x)[0] != '\0') {
		mesh__exchange_refuse_unprocessed(x, status, "why", "100% \"so\"\n");
	} else {
		mesh__exchange_refuse(x, status, "why", "100% \"so\"\n");
	}
}

static const char *ask(const char *target, const char *type)
{
	static char request[256];

	(void)snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s\r\nContent-Length: 0\r\n\r\n", target, type[0] != '\0' ? "Content-Type: " : "X: ", type);
	return stage_ask(request);
}

static void without_grpc_it_is_json_with_the_status(void **state)
{
	static const char *const types[] = {"", "application/json", "application/grpc-web"};

	(void)state;
	stage.handler = refuse;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(types); i++) {
		const char *answer = ask("/503", types[i]);

		stage_assert_has(answer, "HTTP/1.1 503 ");
		stage_assert_has(answer, "Content-Type: application/json\r\n");
		stage_assert_has(answer, "{\"error\":\"why\",\"message\":\"100% \\\"so\\\"\\u000a\"}\n");
		assert_null(strstr(answer, "grpc-status"));
		assert_null(strstr(answer, "mesh-not-processed"));
		stage_assert_has(ask("/503?", types[i]), "\r\n\r\n{");
	}
	stage_assert_has(ask("/503?x", ""), "mesh-not-processed: 1\r\n");
}

static void a_grpc_request_is_refused_in_trailers_alone(void **state)
{
	static const struct {
		const char *target, *status;
		bool unprocessed;
	} rows[] = {
		{"/503?x", "grpc-status: 14\r\n", true}, {"/504?x", "grpc-status: 4\r\n", true}, {"/401", "grpc-status: 16\r\n", false}, {"/500", "grpc-status: 13\r\n", false}, {"/418", "grpc-status: 2\r\n", false},
	};
	static const char *const types[] = {"application/grpc", "application/grpc+proto"};

	(void)state;
	stage.handler = refuse;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *answer = ask(rows[i].target, types[i % 2]), *end;

		stage_assert_has(answer, "HTTP/1.1 200 ");
		stage_assert_has(answer, "Content-Type: application/grpc\r\n");
		stage_assert_has(answer, rows[i].status);
		stage_assert_has(answer, "grpc-message: why: 100%25 \"so\"%0A\r\n");
		assert_int_equal(strstr(answer, "mesh-not-processed: 1\r\n") != NULL, rows[i].unprocessed);
		end = strstr(answer, "\r\n\r\n");
		assert_non_null(end);
		assert_string_equal(end + 4, ""); /* no body */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_grpc_it_is_json_with_the_status, stage_set_up, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_grpc_request_is_refused_in_trailers_alone, stage_set_up, stage_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
