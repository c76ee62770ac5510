#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/http_stage.h"

static void answers_and_keeps_the_connection(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	for (int i = 0; i < 3; i++) {
		stage_say(fd, "GET /echo?a=b HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n\r\n");
		stage_assert_has(stage_hear(fd, "[]"), "GET /echo ? a=b\nhost=h\nx-a=v\n[]");
		stage_assert_has(stage.seen, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: ");
		assert_null(strstr(stage.seen, "Connection:"));
	}
	(void)close(fd);
}

static void takes_bodies_of_both_framings_in_any_pieces(void **state)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nContent-Length: 9\r\n\r\n"
		"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
	}
	(void)stage_hear(fd, NULL);
	stage_assert_has(stage.seen, "[hello]");
	stage_assert_has(stage.seen, "[abcde]");
	stage_assert_has(stage.seen, "Connection: close");
	stage_assert_has(stage.seen, "[]");
	assert_int_equal(stage.n_requests, 3);
	(void)close(fd);
}

static void answers_pipelined_requests_in_order_one_at_a_time(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	stage_wait(stage_is_kept);
	assert_int_equal(stage.n_requests, 1);
	stage_reply(stage_take_kept(), 200, "first");
	(void)stage_hear(fd, NULL);
	assert_true(strstr(stage.seen, "first") < strstr(stage.seen, "? 2"));
	assert_true(strstr(stage.seen, "? 2") < strstr(stage.seen, "? 3"));
	(void)close(fd);
}

static void *reply_from_a_thread(void *x)
{
	stage_reply(x, 201, "from afar");
	return NULL;
}

static void a_reply_may_come_from_any_thread(void **state)
{
	pthread_t thread;
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(pthread_create(&thread, NULL, reply_from_a_thread, stage_take_kept()), 0);
	stage_assert_has(stage_hear(fd, "afar"), "201 Created");
	(void)pthread_join(thread, NULL);
	(void)close(fd);
}

static void a_chunked_body_is_bounded_too(void **state)
{
	(void)state;
	stage.limits.max_body_bytes = 8;
	stage_open();
	stage_assert_has(stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\n"), "HTTP/1.1 413 ");
	stage_assert_has(stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"), "[abcdefgh]");
}

static void says_continue_when_the_body_is_awaited(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_string_equal(stage_hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
	stage_say(fd, "ok");
	stage_assert_has(stage_hear(fd, "]"), "[ok]");
	(void)close(fd);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)stage_hear(fd, "\r\n\r\n");
	stage_assert_has(stage.seen, "HTTP/1.1 204 No Content\r\n");
	assert_null(strstr(stage.seen, "Content-Length"));
	do {
		fake_env_advance_ms(&stage.fake, 90001);
	} while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 50) <= 0);
	assert_string_equal(stage_hear(fd, NULL), "");
	(void)close(fd);
}

static void a_handler_that_never_answers_is_answered_for(void **state)
{
	int fd;

	(void)state;
	stage_open();
	stage_assert_has(stage_ask("GET /forget HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 500 ");
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_wait(stage_is_kept);
	fake_env_advance_ms(&stage.fake, 120001);
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 503 ");
	stage_reply(stage_take_kept(), 200, "too late");
	(void)close(fd);
}

static void a_handlers_fields_cannot_split_the_reply(void **state)
{
	(void)state;
	stage_open();
	(void)stage_ask("GET /split HTTP/1.0\r\n\r\n");
	stage_assert_has(stage.seen, "X-Good: yes\r\n");
	stage_assert_has(stage.seen, "Content-Length: 2\r\n");
	assert_null(strstr(stage.seen, "Set-Cookie"));
	assert_null(strstr(stage.seen, "Bad Name"));
	assert_null(strstr(stage.seen, "99"));
	assert_null(strstr(stage.seen, "upgrade"));
	assert_null(strstr(stage.seen, "never"));
}

static void to_head_only_the_head_is_sent(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "HEAD /absent HTTP/1.1\r\nHost: h\r\n\r\nGET /absent HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	(void)stage_hear(fd, NULL);
	stage_assert_has(stage.seen, "\r\n\r\nHTTP/1.1 404 Not Found\r\n");
	stage_assert_has(stage.seen, "{\"error\":\"not-found\",\"message\":\"there is \\\"nothing\\\" here\"}");
	(void)close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_and_keeps_the_connection),
		TEST(takes_bodies_of_both_framings_in_any_pieces),
		TEST(answers_pipelined_requests_in_order_one_at_a_time),
		TEST(a_reply_may_come_from_any_thread),
		TEST(a_chunked_body_is_bounded_too),
		TEST(says_continue_when_the_body_is_awaited),
		TEST(an_idle_connection_is_closed_without_a_word),
		TEST(a_handler_that_never_answers_is_answered_for),
		TEST(a_handlers_fields_cannot_split_the_reply),
		TEST(to_head_only_the_head_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
