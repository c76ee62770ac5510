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
#include "support/h2_client.h"
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

#define GRPC_KEEP "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n"

/* What the core refuses by itself, after the handler has had the request: without a handler's word it is not said that nothing was processed. */
static void the_core_answers_for_a_handler_in_the_same_form(void **state)
{
	const char *answer;
	int fd;

	(void)state;
	stage_open();
	answer = ask("/forget", "application/grpc");
	stage_assert_has(answer, "HTTP/1.1 200 ");
	stage_assert_has(answer, "grpc-status: 13\r\n");
	stage_assert_has(answer, "grpc-message: no-reply: the handler gave no answer\r\n");
	assert_null(strstr(answer, "mesh-not-processed"));
	stage_assert_has(ask("/forget", ""), "HTTP/1.1 500 ");
	fd = stage_dial();
	stage_say(fd, GRPC_KEEP);
	stage_wait(stage_is_kept);
	fake_env_advance_ms(&stage.fake, 120001);
	answer = stage_hear(fd, NULL);
	stage_assert_has(answer, "HTTP/1.1 200 ");
	stage_assert_has(answer, "grpc-status: 4\r\n");
	assert_null(strstr(answer, "mesh-not-processed"));
	stage_reply(stage_take_kept(), 200, "too late");
	(void)close(fd);
}

static void expect_trailers_alone(struct h2_client *k, uint32_t stream, const char *path, const char *status, bool unprocessed)
{
	struct h2_message m;
	char value[64];

	h2_client_ask(k, stream, true, "POST", path, "content-type: application/grpc+proto\n");
	h2_client_hear(k, stream, "200", &m);
	assert_true(m.ended); /* one field block and the end of the stream: gRPC's Trailers-Only */
	assert_true(h2_message_field(&m, "grpc-status", value, sizeof(value)));
	assert_string_equal(value, status);
	assert_true(h2_message_field(&m, "content-type", value, sizeof(value)));
	assert_string_equal(value, "application/grpc");
	assert_int_equal(h2_message_field(&m, "mesh-not-processed", value, sizeof(value)), unprocessed);
}

static void over_http2_they_are_one_field_block(void **state)
{
	struct h2_client k;

	(void)state;
	stage.http2 = true;
	stage.handler = refuse;
	stage_open();
	h2_client_open(&k);
	expect_trailers_alone(&k, 1, "/503?x", "14", true);
	expect_trailers_alone(&k, 3, "/504?x", "4", true);
	expect_trailers_alone(&k, 5, "/401", "16", false);
	h2_client_close(&k);
}

static void the_core_answers_for_a_handler_over_http2_too(void **state)
{
	struct h2_client k;

	(void)state;
	stage.http2 = true;
	stage_open();
	h2_client_open(&k);
	expect_trailers_alone(&k, 1, "/forget", "13", false);
	h2_client_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_grpc_it_is_json_with_the_status, stage_set_up, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_grpc_request_is_refused_in_trailers_alone, stage_set_up, stage_tear_down),
		cmocka_unit_test_setup_teardown(the_core_answers_for_a_handler_in_the_same_form, stage_set_up, stage_tear_down),
		cmocka_unit_test_setup_teardown(over_http2_they_are_one_field_block, stage_set_up, stage_tear_down),
		cmocka_unit_test_setup_teardown(the_core_answers_for_a_handler_over_http2_too, stage_set_up, stage_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
