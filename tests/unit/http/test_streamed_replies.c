#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/held.h"

#define GET "GET /x HTTP/1.1\r\nHost: h\r\n"
#define LAST "Connection: close\r\n\r\n"

/* ---- Framing ---- */

static const char *answer_of(const char *request, int status, const struct mesh__field_text *fields, const char *const *writes)
{
	int fd = stage_dial(), n = held.n_requests + 1;

	stage_say(fd, request);
	held_wait(n);
	assert_true(held_begin(status, fields));
	for (; *writes != NULL; writes++) {
		assert_true(held_write(*writes, strlen(*writes)));
	}
	assert_true(held_trailer("X-Sum", "7"));
	held_end();
	(void)stage_hear(fd, NULL);
	(void)close(fd);
	return strstr(stage.seen, "\r\n\r\n") + 4;
}

static void a_stream_is_framed_for_its_peer(void **state)
{
	static const struct {
		const char *request;
		int status;
		struct mesh__field_text fields[3];
		const char *writes[3];
		const char *head, *not_head, *body;
	} rows[] = {
		{GET LAST, 200, {{NULL, NULL}}, {"one", "", NULL}, "Transfer-Encoding: chunked\r\n", "Content-Length", "3\r\none\r\n0\r\nx-sum: 7\r\n\r\n"},
		{GET LAST, 200, {{"Content-Length", "8"}, {NULL, NULL}}, {"one", "three", NULL}, "Content-Length: 8\r\n", "Transfer-Encoding", "onethree"},
		{GET LAST, 200, {{"content-length", "0"}, {NULL, NULL}}, {NULL}, "Content-Length: 0\r\n", "Transfer-Encoding", ""},
		{GET LAST, 200, {{"Content-Length", "0x8"}, {NULL, NULL}}, {"one", NULL}, "Transfer-Encoding: chunked\r\n", "Content-Length", "3\r\none\r\n0\r\nx-sum: 7\r\n\r\n"},
		{GET LAST, 200, {{"Content-Length", "3"}, {"Content-Length", "3"}, {NULL, NULL}}, {"one", NULL}, "Transfer-Encoding: chunked\r\n", "Content-Length", "3\r\none\r\n0\r\nx-sum: 7\r\n\r\n"},
		{"GET /x HTTP/1.0\r\n\r\n", 200, {{NULL, NULL}}, {"one", "three", NULL}, "Connection: close\r\n", "Transfer-Encoding", "onethree"},
		{"GET /x HTTP/1.0\r\n\r\n", 200, {{"Content-Length", "3"}, {NULL, NULL}}, {"one", NULL}, "Content-Length: 3\r\n", "Transfer-Encoding", "one"},
		{"HEAD /x HTTP/1.1\r\nHost: h\r\n" LAST, 200, {{"Content-Length", "9"}, {NULL, NULL}}, {"one", NULL}, "Content-Length: 9\r\n", "Transfer-Encoding", ""},
		{"HEAD /x HTTP/1.1\r\nHost: h\r\n" LAST, 200, {{NULL, NULL}}, {"one", NULL}, "Transfer-Encoding: chunked\r\n", "Content-Length", ""},
		{GET LAST, 204, {{"Content-Length", "3"}, {NULL, NULL}}, {"one", NULL}, "204 No Content", "Content-Length", ""},
		{GET LAST, 304, {{NULL, NULL}}, {"one", NULL}, "304 Not Modified", "Transfer-Encoding", ""},
	};

	(void)state;
	stage_open();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(answer_of(rows[i].request, rows[i].status, rows[i].fields, rows[i].writes), rows[i].body);
		stage_assert_has(stage.seen, rows[i].head);
		assert_null(strstr(stage.seen, rows[i].not_head));
	}
}

static void a_length_that_is_not_kept_is_an_abort(void **state)
{
	static const struct mesh__field_text length[] = {{"Content-Length", "5"}, {NULL, NULL}};

	(void)state;
	stage_open();
	for (int too_long = 0; too_long < 2; too_long++) {
		int fd = stage_dial();

		stage_say(fd, GET "\r\n");
		held_wait(too_long + 1);
		assert_true(held_begin(200, length));
		assert_true(held_write("four", 4));
		(void)stage_hear(fd, "four");
		assert_true(!too_long || !held_write("xx", 2));
		held_end();
		held_assert_cut(fd); /* and neither byte came */
		(void)close(fd);
	}
	assert_int_equal(held.n_gone, 0); /* it was its own doing */
}

/* ---- Trailers ---- */

static void trailers_follow_a_stream_but_for_those_that_would_forge(void **state)
{
	static const char *const dropped[][2] = {{"Content-Length", "9"}, {"Transfer-Encoding", "chunked"}, {"Host", "x"}, {"Authorization", "x"}, {"mesh-load", "1"}, {"X-Bad", "a\r\nX-Split: b"}, {"Bad Name", "c"}, {"Date", "x"}};
	int fd = held_ask(GET LAST);

	(void)state;
	assert_true(held_trailer("Grpc-Status", "0"));
	assert_true(held_begin(200, NULL));
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		assert_true(held_trailer(dropped[i][0], dropped[i][1]));
	}
	assert_true(held_trailer("X-Empty", ""));
	held_end();
	stage_assert_has(stage_hear(fd, NULL), "\r\n\r\n0\r\ngrpc-status: 0\r\nx-empty: \r\n\r\n");
	(void)close(fd);
}

static void more_trailers_than_fit_are_told(void **state)
{
	int fd, n = 0;

	(void)state;
	fd = held_ask(GET LAST);
	while (n < 1000 && held_trailer("a", "b")) {
		n++;
	}
	assert_int_equal(n, 128);
	held_reply(200, "done");
	(void)stage_hear(fd, "done");
	(void)close(fd);
}

static void reply_with_trailers(struct mesh__exchange *x, const char *body)
{
	static const struct mesh__field_text field = {"X-A", "b"};
	static const struct mesh__field_text trailers[] = {{"grpc-status", "5"}, {"Authorization", "x"}, {"grpc-message", "no"}};
	struct mesh__reply reply = {.status = 200, .fields = &field, .n_fields = 1, .body = body, .body_len = strlen(body), .trailers = trailers, .n_trailers = 3};

	mesh__exchange_reply(x, &reply);
}

static void reply_here(void *body)
{
	struct mesh__exchange *x = held.x;

	held.x = NULL;
	reply_with_trailers(x, body);
}

static void trailers_follow_a_whole_reply(void **state)
{
	static char body[40000];
	static const struct {
		const char *request, *text, *end;
	} rows[] = {
		{GET LAST, "abc", "X-A: b\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 5\r\ngrpc-message: no\r\n\r\n"},
		{GET LAST, "", "X-A: b\r\n\r\n0\r\ngrpc-status: 5\r\ngrpc-message: no\r\n\r\n"},
		{"GET /x HTTP/1.0\r\n\r\n", "abc", "Content-Length: 3\r\nConnection: close\r\nX-A: b\r\n\r\nabc"},
		{"HEAD /x HTTP/1.1\r\nHost: h\r\n" LAST, "abc", "Content-Length: 3\r\nConnection: close\r\nX-A: b\r\n\r\n"},
	};

	(void)state;
	memset(body, 'b', sizeof(body) - 1);
	stage_open();
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			char text[8];
			int fd = stage_dial(), n = held.n_requests + 1;

			(void)snprintf(text, sizeof(text), "%s", rows[i].text);
			stage_say(fd, rows[i].request);
			held_wait(n);
			if (elsewhere) {
				reply_here(text);
			} else {
				stage_on_loop(reply_here, text);
			}
			(void)stage_hear(fd, NULL);
			assert_string_equal(stage.seen + strlen(stage.seen) - strlen(rows[i].end), rows[i].end);
			(void)close(fd);
		}
	}
}

/* ---- Backpressure ---- */

static void a_peer_that_reads_slowly_slows_the_writer(void **state)
{
	static char block[256 * 1024], heard[64 * 1024];
	size_t written = 0, read = 0, room, n_waits = 0;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] = (char)i;
	}
	fd = held_ask("GET /x HTTP/1.0\r\n\r\n");
	assert_true(held_begin(200, NULL));
	stage_assert_has(stage_hear(fd, "\r\n\r\n"), "200 OK");
	while (n_waits < 3) {
		while ((room = held_room()) > 0) {
			size_t n = room < sizeof(block) - written % sizeof(block) ? room : sizeof(block) - written % sizeof(block);

			assert_true(room <= sizeof(block));
			assert_true(held_write(block + written % sizeof(block), n));
			written += n;
			assert_true(written - read < 64 * 1024 * 1024); /* what a socket holds */
		}
		assert_int_equal(held.n_writable, 0);
		n_waits++;
		while (!held_is_writable() && read < written) {
			ssize_t n = socket_recv(fd, heard, sizeof(heard));

			assert_true(n > 0);
			for (ssize_t i = 0; i < n; i++) {
				assert_int_equal((unsigned char)heard[i], (unsigned char)(read++ % sizeof(block)));
			}
		}
		stage_wait(held_is_writable);
		assert_int_equal(held.n_writable, 1);
		held_forget_events();
	}
	held_end();
	while (read < written) {
		ssize_t n = socket_recv(fd, heard, sizeof(heard));

		assert_true(n > 0);
		read += (size_t)n;
	}
	assert_int_equal(socket_recv(fd, heard, 1), 0);
	(void)close(fd);
}

static void fill(void)
{
	static char block[256 * 1024];
	size_t room;

	while ((room = held_room()) > 0) {
		assert_true(held_write(block, room));
	}
}

static void a_writer_that_waits_hears_that_its_peer_has_gone(void **state)
{
	int fd = held_ask(GET "\r\n");

	(void)state;
	assert_true(held_begin(200, NULL));
	fill();
	(void)close(fd);
	stage_wait(held_is_gone);
	assert_int_equal(held.n_writable, 1);
	assert_true(held_room() > 0);
	assert_false(held_write("x", 1));
	held_end();
}

static void a_peer_that_reads_nothing_is_cut_after_write_ms(void **state)
{
	int fd = held_ask(GET "\r\n");

	(void)state;
	assert_true(held_begin(200, NULL));
	fill();
	held_advance_ms(0); /* the time begins when it is seen that something waits */
	held_advance_ms(29000);
	assert_int_equal(held.n_gone, 0);
	for (int i = 0; i < 5 && !held_is_gone(); i++) { /* once, unless the kernel has taken some more */
		held_advance_ms(31000);
	}
	assert_int_equal(held.n_gone, 1);
	assert_int_equal(held_read(), MESH_E_RESET);
	held_end();
	(void)close(fd);
}

/* ---- Both at once ---- */

static void requests_and_replies_flow_at_the_same_time(void **state)
{
	int fd = held_ask("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");

	(void)state;
	assert_true(held_begin(200, NULL));
	(void)stage_hear(fd, "\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		held_forget_events();
		mesh__buf_clear(&held.body);
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		stage_say(fd, "4\r\nping\r\n");
		stage_wait(held_is_readable);
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		assert_string_equal(held_text(), "ping");
		assert_true(held_write("pong", 4));
		assert_string_equal(stage_hear(fd, "pong\r\n"), "4\r\npong\r\n");
	}
	held_forget_events();
	stage_say(fd, "0\r\n\r\n");
	stage_wait(held_is_readable);
	assert_int_equal(held_read(), MESH_OK);
	held_end();
	assert_string_equal(stage_hear(fd, "0\r\n\r\n"), "0\r\n\r\n");
	stage_say(fd, GET "\r\n"); /* and the connection goes on */
	held_wait(2);
	held_reply(200, "next");
	(void)stage_hear(fd, "next");
	(void)close(fd);
}

/* ---- Ends ---- */

static void an_abort_cuts_the_connection(void **state)
{
	(void)state;
	stage_open();
	for (int row = 0; row < 3; row++) {
		int fd = stage_dial();

		stage_say(fd, GET "\r\n");
		held_wait(row + 1);
		if (row > 0) {
			assert_true(held_begin(200, NULL));
			assert_true(held_write("half", 4));
			(void)stage_hear(fd, "half\r\n");
		}
		if (row < 2) {
			held_abort();
		} else {
			held_unref(); /* which is the same, once a reply has begun */
		}
		held_assert_cut(fd);
		(void)close(fd);
	}
	assert_int_equal(held.n_gone, 0);
}

static void nobody_is_told_of_what_is_over(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	for (int i = 0; i < 2; i++) {
		stage_say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
		held_wait(i + 1);
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		if (i == 0) {
			stage_say(fd, "a");
			stage_wait(held_is_readable);
			held_reply(200, "done");
			(void)stage_hear(fd, "done");
		} else {
			held_reply(200, "done"); /* early: the connection ends, the exchange is over already */
			(void)stage_hear(fd, NULL);
		}
	}
	(void)close(fd);
	assert_int_equal(held.n_readable, 1);
	assert_int_equal(held.n_gone, 0);
}

/* What the loop was at is done. */
static void nothing(void *unused)
{
	(void)unused;
}

static void reply_late(struct mesh__exchange *x)
{
	static const struct mesh__reply reply = {.status = 200, .body = "late", .body_len = 4};

	mesh__exchange_reply(x, &reply);
}

/* When the peer goes, what waits to be told of something is told first; whoever ends the exchange then is through with it. */
static void who_ends_it_while_the_peer_goes_is_not_told_that_it_went(void **state)
{
	static void (*const ends[])(struct mesh__exchange *x) = {mesh__stream_abort, mesh__stream_end, mesh__exchange_unref};
	const int n = sizeof(ends) / sizeof(ends[0]);

	(void)state;
	stage_open();
	for (int i = 0; i <= n; i++) {
		int fd = stage_dial();

		held_forget_events();
		stage_say(fd, i < n ? GET "\r\n" : "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
		held_wait(i + 1);
		if (i < n) {
			assert_true(held_begin(200, NULL));
			fill();
		} else {
			assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		}
		held.ends_when_told = i < n ? ends[i] : reply_late;
		(void)close(fd);
		stage_wait(i < n ? held_is_writable : held_is_readable);
		stage_on_loop(nothing, NULL);
		assert_int_equal(held.n_gone, 0);
		held.ends_when_told = NULL;
	}
}

/* ---- Out of memory ---- */

/* One exchange with all that a stream has. What fails may cost the connection, and nothing else. */
static void talk(int fd)
{
	static const char part[] = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
	static const char rest[] = "3\r\ndef\r\n0\r\nX-A: b\r\n\r\n";

	(void)send(fd, part, sizeof(part) - 1, MSG_NOSIGNAL);
	(void)send(fd, rest, sizeof(rest) - 1, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	while (socket_recv(fd, stage.seen, sizeof(stage.seen)) > 0) {
	}
	(void)close(fd);
}

static void finish_stream(struct mesh__exchange *x)
{
	char buf[16];
	size_t n = 1;

	while (n > 0 && mesh__exchange_read(x, buf, sizeof(buf), &n) == MESH_OK) {
	}
	(void)!mesh__stream_trailer(x, "X-Sum", "7");
	if (!mesh__stream_begin(x, 200, NULL, 0, NULL, NULL)) {
		mesh__exchange_unref(x);
		return;
	}
	if (mesh__stream_room(x) > 0) {
		(void)!mesh__stream_write(x, "hello", 5);
	}
	mesh__stream_end(x);
}

static struct mesh__exchange *talking;

static void on_more(void *arg)
{
	char buf[16];
	size_t n = 1;
	int code = MESH_OK;

	(void)arg;
	while (talking != NULL && code == MESH_OK && n > 0) {
		code = mesh__exchange_read(talking, buf, sizeof(buf), &n);
	}
	if (talking != NULL && code != MESH_E_WOULD_BLOCK) {
		struct mesh__exchange *x = talking;

		talking = NULL;
		finish_stream(x);
	}
}

static void on_talk(void *user, struct mesh__exchange *x)
{
	static const struct mesh__exchange_events events = {on_more, NULL, NULL};

	(void)user;
	talking = x;
	mesh__exchange_watch(x, &events, NULL);
	on_more(NULL);
}

static void a_failing_allocation_costs_no_more_than_its_connection(void **state)
{
	bool done = false;

	(void)state;
	stage.handler = on_talk;
	stage_open();
	for (long n = 1; !done; n++) {
		int fd = stage_dial();

		fail_mem_next(&stage.mem, n);
		talk(fd);
		done = stage.mem.count < n;
		assert_true(n < 200);
	}
	fail_mem_next(&stage.mem, 0);
	(void)stage_ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" LAST "ab");
	stage_assert_has(stage.seen, "5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, held_set_up, held_tear_down)
		T(a_stream_is_framed_for_its_peer),
		T(a_length_that_is_not_kept_is_an_abort),
		T(trailers_follow_a_stream_but_for_those_that_would_forge),
		T(more_trailers_than_fit_are_told),
		T(trailers_follow_a_whole_reply),
		T(a_peer_that_reads_slowly_slows_the_writer),
		T(a_writer_that_waits_hears_that_its_peer_has_gone),
		T(a_peer_that_reads_nothing_is_cut_after_write_ms),
		T(requests_and_replies_flow_at_the_same_time),
		T(an_abort_cuts_the_connection),
		T(nobody_is_told_of_what_is_over),
		T(who_ends_it_while_the_peer_goes_is_not_told_that_it_went),
		T(a_failing_allocation_costs_no_more_than_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
