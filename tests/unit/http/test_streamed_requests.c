#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/held.h"

#define POST "POST /x HTTP/1.1\r\nHost: h\r\n"

/* ---- Reading ---- */

static void a_body_is_read_while_it_comes(void **state)
{
	static const struct {
		const char *head, *parts[3];
	} rows[] = {
		{POST "Content-Length: 10\r\n\r\n", {"hello", " ", "body"}},
		{POST "Transfer-Encoding: chunked\r\n\r\n", {"5\r\nhello\r\n", "1\r\n \r\n", "4\r\nbody\r\n0\r\n\r\n"}},
		{POST "Transfer-Encoding: chunked\r\n\r\n", {"5\r\nhel", "lo\r\n5;a=b\r\n body", "\r\n0\r\n\r\n"}},
	};
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	held.reads_when_readable = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		held.ended = false;
		mesh__buf_clear(&held.body);
		stage_say(fd, rows[i].head);
		held_wait((int)i + 1);
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		for (int p = 0; p < 3; p++) {
			held_forget_events();
			stage_say(fd, rows[i].parts[p]);
			stage_wait(held_is_readable);
		}
		stage_wait(held_has_ended);
		assert_string_equal(held_text(), "hello body");
		assert_int_equal(held_read(), MESH_OK); /* the end stays the end */
		held_reply(200, "done");
		stage_assert_has(stage_hear(fd, "done"), "200 OK");
		assert_null(strstr(stage.seen, "Connection: close"));
	}
	(void)close(fd);
}

static void what_came_with_the_header_is_there_at_once(void **state)
{
	int fd = held_ask(POST "Content-Length: 5\r\n\r\nhello" POST "\r\n");

	(void)state;
	assert_int_equal(held_read(), MESH_OK);
	assert_string_equal(held_text(), "hello");
	held_reply(200, "first");
	held_wait(2); /* and what follows is the next request */
	mesh__buf_clear(&held.body);
	assert_int_equal(held_read(), MESH_OK);
	assert_string_equal(held_text(), "");
	held_reply(200, "second");
	stage_assert_has(stage_hear(fd, "second"), "first");
	assert_int_equal(held.n_readable, 0); /* nobody had to wait */
	(void)close(fd);
}

static void each_wait_is_followed_by_one_event(void **state)
{
	int fd = held_ask(POST "Content-Length: 9\r\n\r\nabc");

	(void)state;
	stage_say(fd, "def"); /* nobody waits: no event */
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	while (held.body.len < 6) {
		stage_wait(held_is_readable);
		held_forget_events();
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	}
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK); /* asked twice, told once */
	assert_int_equal(held.n_readable, 0);
	stage_say(fd, "ghi");
	stage_wait(held_is_readable);
	assert_int_equal(held_read(), MESH_OK);
	assert_int_equal(held.n_readable, 1);
	assert_string_equal(held_text(), "abcdefghi");
	held_reply(200, "done");
	(void)stage_hear(fd, "done");
	(void)close(fd);
}

static void a_handler_that_reads_slowly_slows_its_peer(void **state)
{
	enum { BODY = 24 * 1024 * 1024, QUIET_MS = 200 };
	static char block[64 * 1024];
	struct pollfd room = {.events = POLLOUT};
	char head[128];
	size_t sent = 0;
	int fd;

	(void)state;
	memset(block, 'b', sizeof(block));
	stage_open();
	fd = stage_dial();
	room.fd = fd;
	(void)snprintf(head, sizeof(head), POST "Content-Length: %d\r\n\r\n", BODY);
	stage_say(fd, head);
	held_wait(1);
	/* Until the kernel takes no more, for as long as the server reads on. */
	while (sent < BODY && poll(&room, 1, QUIET_MS) > 0) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(n > 0 || errno == EAGAIN || errno == EINTR);
		sent += n > 0 ? (size_t)n : 0;
	}
	assert_true(sent < BODY);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	assert_true(held.body.len <= (256 + 64) * 1024); /* so much it had taken, and no more */
	held.reads_when_readable = true;
	(void)held_read();
	while (sent < BODY) {
		size_t left = BODY - sent < sizeof(block) ? BODY - sent : sizeof(block);

		stage_send(fd, block, left);
		sent += left;
	}
	stage_wait(held_has_ended);
	assert_int_equal(held.body.len, BODY);
	held_reply(200, "done");
	(void)stage_hear(fd, "done");
	(void)close(fd);
}

static void without_streaming_a_whole_body_reads_as_one_that_has_come(void **state)
{
	char again[2];
	size_t len;
	int fd;

	(void)state;
	stage.stream_bodies = false;
	stage_open();
	fd = stage_dial();
	stage_say(fd, POST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	stage_say(fd, "1\r\nc\r\n0\r\nX-Sum: 7\r\n\r\n");
	held_wait(1);
	assert_int_equal(held_read(), MESH_OK);
	assert_string_equal(held_text(), "abc");
	assert_memory_equal(mesh__exchange_body(held.x, &len), "abc", 3); /* which it stays */
	assert_int_equal(len, 3);
	assert_int_equal(mesh__exchange_read(held.x, again, sizeof(again), &len), MESH_OK);
	assert_int_equal(len, 0);
	assert_string_equal(mesh__exchange_trailer(held.x, 0).value, "7");
	held_reply(200, "done");
	(void)stage_hear(fd, "done");
	(void)close(fd);
}

/* ---- Trailers ---- */

static void threat_5_trailers_that_would_forge_are_left_out(void **state)
{
	static const char *const lines[] = {
		"Content-Length: 9", "Transfer-Encoding: chunked", "host: evil", "AUTHORIZATION: Bearer x", "Proxy-Authorization: x", "Cookie: a=b", "Mesh-Try: 3", "X-Forwarded-Client-Cert: URI=x", "Connection: close", "Trailer: x",
	};
	int fd = held_ask(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");

	(void)state;
	assert_int_equal(mesh__exchange_n_trailers(held.x), 0);
	stage_say(fd, "0\r\nGrpc-Status: \t5 \r\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		stage_say(fd, lines[i]);
		stage_say(fd, "\r\n");
	}
	held.reads_when_readable = true;
	(void)held_read();
	stage_say(fd, "X-Empty:\r\nX-Two: a: b\r\n\r\n");
	stage_wait(held_has_ended);
	assert_int_equal(mesh__exchange_n_trailers(held.x), 3);
	assert_string_equal(mesh__exchange_trailer(held.x, 0).name, "grpc-status");
	assert_string_equal(mesh__exchange_trailer(held.x, 0).value, "5");
	assert_string_equal(mesh__exchange_trailer(held.x, 1).name, "x-empty");
	assert_string_equal(mesh__exchange_trailer(held.x, 1).value, "");
	assert_string_equal(mesh__exchange_trailer(held.x, 2).value, "a: b");
	assert_string_equal(mesh__exchange_trailer(held.x, 3).name, "");
	assert_null(mesh__exchange_header(held.x, "grpc-status"));
	held_reply(200, "done");
	(void)stage_hear(fd, "done");
	(void)close(fd);
}

static void too_many_trailers_are_refused(void **state)
{
	static const struct {
		int n;
		const char *line, *status;
		int code;
	} rows[] = {
		{128, "a:b\r\n", "HTTP/1.1 200", MESH_OK},
		{129, "a:b\r\n", "HTTP/1.1 431", MESH_E_PROTOCOL},
		{9000, "host:b\r\n", "HTTP/1.1 400", MESH_E_PROTOCOL}, /* more bytes than are looked at, though none is kept */
	};

	(void)state;
	stage_open();
	held.reads_when_readable = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = stage_dial();

		held.ended = false;
		held_forget_events();
		stage_say(fd, POST "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n");
		held_wait((int)i + 1);
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		for (int n = 0; n < rows[i].n && send(fd, rows[i].line, strlen(rows[i].line), MSG_NOSIGNAL) > 0; n++) {
		}
		(void)send(fd, "\r\n", 2, MSG_NOSIGNAL);
		stage_wait(held_is_readable);
		assert_int_equal(held.code, rows[i].code);
		if (rows[i].code == MESH_OK) {
			assert_int_equal(mesh__exchange_n_trailers(held.x), 128);
			held_reply(200, "done");
		} else {
			stage_wait(held_is_gone);
			held_unref();
		}
		stage_assert_has(stage_hear(fd, "\r\n\r\n"), rows[i].status);
		(void)close(fd);
	}
}

/* ---- Expect: 100-continue ---- */

static void the_first_read_that_finds_nothing_says_continue(void **state)
{
	int fd = held_ask(POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");

	(void)state;
	assert_int_equal(recv(fd, stage.seen, 1, MSG_DONTWAIT), -1);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	assert_string_equal(stage_hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
	held.reads_when_readable = true;
	stage_say(fd, "a");
	stage_wait(held_is_readable);
	stage_say(fd, "b");
	stage_wait(held_has_ended);
	held_reply(200, "done");
	assert_null(strstr(stage_hear(fd, "done"), "100 Continue"));
	(void)close(fd);
}

static void a_handler_that_answers_without_reading_never_says_continue(void **state)
{
	int fd = held_ask(POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");

	(void)state;
	held_reply(403, "no");
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 403 Forbidden");
	stage_assert_has(stage.seen, "Connection: close"); /* the body may or may not come */
	assert_null(strstr(stage.seen, "100 Continue"));
	(void)close(fd);
}

static void nothing_says_continue_once_the_reply_has_begun(void **state)
{
	int fd = held_ask(POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");

	(void)state;
	assert_true(held_begin(200, NULL));
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	stage_say(fd, "ab");
	stage_wait(held_is_readable);
	assert_int_equal(held_read(), MESH_OK);
	held_end();
	assert_null(strstr(stage_hear(fd, "0\r\n\r\n"), "100 Continue"));
	(void)close(fd);
}

/* ---- Ends that are not the end ---- */

static void a_peer_that_goes_is_told_once(void **state)
{
	static const struct linger cut = {1, 0};

	(void)state;
	stage_open();
	for (int row = 0; row < 4; row++) {
		bool resets = row & 1, replying = row & 2;
		char byte;
		size_t n;
		int fd = stage_dial();

		held_forget_events();
		stage_say(fd, POST "Content-Length: 100\r\n\r\nabc");
		held_wait(row + 1);
		if (replying) {
			assert_true(held_begin(200, NULL));
			(void)stage_hear(fd, "\r\n\r\n");
		}
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		if (resets) {
			assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut)), 0);
		}
		(void)close(fd);
		stage_wait(held_is_gone);
		assert_int_equal(held.n_readable, 1); /* who waits hears it too */
		assert_int_equal(held.n_gone, 1);
		assert_true(mesh__exchange_is_gone(held.x));
		assert_int_equal(held_read(), MESH_E_RESET);
		assert_int_equal(mesh__exchange_read(held.x, &byte, 1, &n), MESH_E_RESET);
		assert_true(held_room() > 0);
		if (replying) {
			assert_false(held_write("x", 1));
			held_end();
		} else {
			assert_false(held_begin(200, NULL));
			held_unref();
		}
	}
}

static void a_malformed_body_is_answered_for_the_handler(void **state)
{
	int fd = held_ask(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");

	(void)state;
	stage_say(fd, "zz\r\n");
	stage_wait(held_is_gone);
	assert_int_equal(held_read(), MESH_E_PROTOCOL);
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 400 Bad Request");
	stage_assert_has(stage.seen, "{\"error\":\"chunk\"");
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"chunk\"}"), 1);
	held_reply(200, "too late"); /* dropped */
	(void)close(fd);
}

static void a_malformed_body_cuts_a_reply_that_has_begun(void **state)
{
	int fd = held_ask(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");

	(void)state;
	assert_true(held_begin(200, NULL));
	assert_true(held_write("half", 4));
	(void)stage_hear(fd, "half\r\n");
	stage_say(fd, "zz\r\n");
	stage_wait(held_is_gone);
	assert_int_equal(held_read(), MESH_E_PROTOCOL);
	held_assert_cut(fd);
	held_end();
	(void)close(fd);
}

/* ---- Early answers: THREATS 6 ---- */

static void threat_6_an_early_answer_is_heard_and_the_rest_is_no_request(void **state)
{
	(void)state;
	stage_open();
	for (int streamed = 0; streamed < 2; streamed++) {
		int fd = stage_dial();

		stage_say(fd, POST "Content-Length: 1000\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
		held_wait(streamed + 1);
		if (streamed) {
			assert_true(held_begin(413, NULL));
			assert_true(held_write("too much", 8));
			held_end();
		} else {
			held_reply(413, "too much");
		}
		stage_say(fd, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
		stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 413 Content Too Large");
		stage_assert_has(stage.seen, "too much");
		assert_true(streamed || strstr(stage.seen, "Connection: close") != NULL);
		assert_int_equal(held.n_requests, streamed + 1);
		(void)close(fd);
	}
}

static void a_body_that_has_come_but_was_not_read_keeps_the_connection(void **state)
{
	enum { BODY = 256 * 1024 + 1 }; /* its last byte is the one too many: from here on the socket is not read */
	static char body[BODY];
	int fd = held_ask(POST "Content-Length: 262145\r\n\r\n");

	(void)state;
	stage_send(fd, body, sizeof(body));
	for (int i = 0; held_unread() < BODY; i++) {
		assert_true(i < 10000);
		(void)usleep(1000); /* lint: waits for an event */
	}
	held_reply(200, "first");
	stage_assert_has(stage_hear(fd, "first"), "200 OK");
	assert_null(strstr(stage.seen, "Connection: close"));
	stage_say(fd, POST "\r\n");
	held_wait(2);
	held_reply(200, "second");
	(void)stage_hear(fd, "second");
	(void)close(fd);
}

/* ---- Time ---- */

static void a_body_that_a_handler_waits_for_may_not_pause_too_long(void **state)
{
	int fd;

	(void)state;
	stage.limits.reply_ms = 10000;
	fd = held_ask(POST "Content-Length: 100\r\n\r\n");
	held.reads_when_readable = true;
	(void)held_read();
	for (int i = 0; i < 5; i++) { /* each byte begins the time anew: in all it takes longer than body_ms and than reply_ms */
		held_advance_ms(50000);
		held_forget_events();
		stage_say(fd, "b");
		stage_wait(held_is_readable);
	}
	assert_int_equal(held.n_gone, 0);
	held_advance_ms(61000);
	stage_wait(held_is_gone);
	assert_int_equal(held.code, MESH_E_TIMEOUT);
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 408 Request Timeout");
	held_unref();
	(void)close(fd);
}

static void a_handler_that_neither_reads_nor_answers_is_late(void **state)
{
	int fd = held_ask(POST "Content-Length: 100\r\n\r\nabc");

	(void)state;
	held_advance_ms(100000); /* over body_ms, but it is not the body that is waited for */
	(void)held_read();
	assert_string_equal(held_text(), "abc");
	stage_say(fd, "def");
	stage_wait(held_is_readable);
	assert_int_equal(held.n_gone, 0);
	held_advance_ms(121000);
	stage_wait(held_is_gone);
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 503 Service Unavailable");
	assert_int_equal(held_read(), MESH_E_TIMEOUT);
	held_unref();
	(void)close(fd);
}

static void a_conversation_may_be_silent(void **state)
{
	int fd = held_ask(POST "Content-Length: 100\r\n\r\nabc");

	(void)state;
	assert_true(held_begin(200, NULL));
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	held_advance_ms(3600000);
	stage_say(fd, "def");
	stage_wait(held_is_readable);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	assert_true(held_write("yes", 3));
	stage_assert_has(stage_hear(fd, "yes"), "yes");
	assert_int_equal(held.n_gone, 0);
	held_end();
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, held_set_up, held_tear_down)
		T(a_body_is_read_while_it_comes),
		T(what_came_with_the_header_is_there_at_once),
		T(each_wait_is_followed_by_one_event),
		T(a_handler_that_reads_slowly_slows_its_peer),
		T(without_streaming_a_whole_body_reads_as_one_that_has_come),
		T(threat_5_trailers_that_would_forge_are_left_out),
		T(too_many_trailers_are_refused),
		T(the_first_read_that_finds_nothing_says_continue),
		T(a_handler_that_answers_without_reading_never_says_continue),
		T(nothing_says_continue_once_the_reply_has_begun),
		T(a_peer_that_goes_is_told_once),
		T(a_malformed_body_is_answered_for_the_handler),
		T(a_malformed_body_cuts_a_reply_that_has_begun),
		T(threat_6_an_early_answer_is_heard_and_the_rest_is_no_request),
		T(a_body_that_has_come_but_was_not_read_keeps_the_connection),
		T(a_body_that_a_handler_waits_for_may_not_pause_too_long),
		T(a_handler_that_neither_reads_nor_answers_is_late),
		T(a_conversation_may_be_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
