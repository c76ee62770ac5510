/* Rules: bodies that are read and written while they come, over HTTP/2: each stream at its own pace (RFC 9113 section 5.2; THREATS 5, 7, 10, 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/h2_unread.h"
#include "support/h2_client.h"
#include "support/held.h"

enum { KIB = 1024, STREAM_WINDOW = 256 * KIB };

static int set_up(void **state)
{
	int rc = held_set_up(state);

	stage.http2 = true;
	return rc;
}

/* A test's connection, and what it heard on it last. */
static struct h2_client k;
static struct h2_message m;

static int tear_down(void **state)
{
	h2_client_close(&k);
	return held_tear_down(state);
}

/* A connection on which each has acknowledged the other's SETTINGS: the windows are what they say. */
static void settle(void)
{
	struct h2_frame_view frame;

	stage_open();
	h2_client_open(&k);
	h2_ping(&k.peer.out, 0, 7);
	assert_true(h2_peer_flush(&k.peer));
	assert_true(h2_peer_await(&k.peer, H2_PING, 0, &frame));
}

/* Likewise, and the handler has the request of stream 1. */
static void begin(bool whole, const char *more)
{
	settle();
	h2_client_ask(&k, 1, whole, whole ? "GET" : "POST", "/", more);
	held_wait(1);
}

static void say_data(uint32_t stream, const char *text, bool end)
{
	h2_data(&k.peer.out, stream, end ? H2_END_STREAM : 0, text, strlen(text));
	assert_true(h2_peer_flush(&k.peer));
}

static void say_zeros(uint32_t stream, size_t len)
{
	static const char zeros[16 * KIB];

	for (size_t n; len > 0; len -= n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		h2_data(&k.peer.out, stream, 0, zeros, n);
	}
	assert_true(h2_peer_flush(&k.peer));
}

/* A second stream of the connection is served as if nothing had happened on the first. */
static void expect_served_too(void)
{
	h2_client_ask(&k, 3, true, "GET", "/", NULL);
	held_wait(2);
	held_reply(200, "ok");
	h2_client_hear(&k, 3, "200", &m);
}

static void wait_readable(void)
{
	stage_wait(held_is_readable);
	held_forget_events();
}

/* ---- The request ---- */

static void a_body_is_read_while_it_comes(void **state)
{
	(void)state;
	begin(false, NULL);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	say_data(1, "one", false);
	wait_readable();
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	assert_string_equal(held_text(), "one");
	say_data(1, "two", true);
	wait_readable();
	assert_int_equal(held_read(), MESH_OK);
	assert_string_equal(held_text(), "onetwo");
	held_reply(200, "ok");
	h2_client_hear(&k, 1, "200", &m);
	h2_client_hear_body(&k, 1, "ok");
}

static void what_is_small_is_whole_when_the_handler_has_it(void **state)
{
	(void)state;
	settle();
	h2_request(&k.peer.out, 1, false, "POST", "a", "/", NULL);
	say_data(1, "small", true);
	held_wait(1);
	assert_int_equal(held_read(), MESH_OK);
	assert_string_equal(held_text(), "small");
}

/* THREATS 5. */
static void threat_5_trailers_come_with_the_end_without_those_that_forge(void **state)
{
	struct mesh__field_text t;

	(void)state;
	begin(false, NULL);
	h2_data(&k.peer.out, 1, 0, "x", 1);
	h2_trailers(&k.peer.out, 1, "t: u\nhost: evil\nauthorization: evil\nmesh-peer: evil\n");
	held.reads_when_readable = true;
	(void)held_read();
	assert_true(h2_peer_flush(&k.peer));
	stage_wait(held_has_ended);
	assert_int_equal(mesh__exchange_n_trailers(held.x), 1);
	t = mesh__exchange_trailer(held.x, 0);
	assert_string_equal(t.name, "t");
	assert_string_equal(t.value, "u");
}

static void who_expects_100_hears_it_when_the_handler_reads(void **state)
{
	(void)state;
	begin(false, "expect: 100-continue\n");
	h2_ping(&k.peer.out, 0, 7);
	assert_true(h2_peer_flush(&k.peer));
	assert_true(h2_peer_await(&k.peer, H2_PING, 0, &(struct h2_frame_view){0})); /* and nothing before it: the next head is the one below */
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	h2_client_hear(&k, 1, "100", &m);
	held_reply(200, "ok");
	h2_client_hear(&k, 1, "200", &m);
}

static void who_is_answered_at_once_hears_no_100(void **state)
{
	(void)state;
	begin(false, "expect: 100-continue\n");
	held_reply(403, "no");
	h2_client_hear(&k, 1, "403", &m);
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_NO_ERROR);
}

static struct mesh__exchange *aside;

static void put_aside(void *unused)
{
	(void)unused;
	aside = held.x;
	held.x = NULL;
}

static void take_back(void *unused)
{
	(void)unused;
	held.x = aside;
}

/* The window that the stream has been given since; the client's own view of it. */
static size_t window_given(uint32_t stream)
{
	struct h2_frame_view frame;

	assert_true(h2_peer_await(&k.peer, H2_WINDOW_UPDATE, stream, &frame));
	return h2_frame_number(&frame, 0);
}

/* One that is not read closes its own window, and nobody else's. */
static void a_slow_reader_holds_up_no_fast_one(void **state)
{
	size_t window = STREAM_WINDOW;

	(void)state;
	begin(false, NULL);
	say_zeros(1, STREAM_WINDOW);
	stage_on_loop(put_aside, NULL);
	h2_client_ask(&k, 3, false, "POST", "/", NULL);
	held_wait(2);
	held.reads_when_readable = true;
	(void)held_read();
	for (size_t sent = 0; sent < 4 * KIB * KIB; sent += 64 * KIB) { /* four times the connection's window */
		while (window < 64 * KIB) {
			window += window_given(3);
		}
		say_zeros(3, 64 * KIB);
		window -= 64 * KIB;
	}
	say_data(3, "", true);
	stage_wait(held_has_ended);
	assert_int_equal(held.body.len, 4 * KIB * KIB);
	held_reply(200, "fast");
	mesh__buf_clear(&held.body);
	stage_on_loop(take_back, NULL);
	held.reads_when_readable = false;
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	assert_int_equal(held.body.len, STREAM_WINDOW);
	for (window = 0; window < STREAM_WINDOW;) {
		window += window_given(1);
	}
	assert_int_equal(window, STREAM_WINDOW);
}

/* ---- Who goes ---- */

static void threat_10_a_reset_is_told_once_and_read(void **state)
{
	(void)state;
	begin(false, NULL);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	h2_rst_stream(&k.peer.out, 1, H2_CANCEL);
	assert_true(h2_peer_flush(&k.peer));
	stage_wait(held_is_gone);
	assert_int_equal(held.n_readable, 1); /* what was waited for is the end of it */
	assert_true(mesh__exchange_is_gone(held.x));
	assert_int_equal(held_read(), MESH_E_RESET);
	assert_int_not_equal(held_room(), 0);
	assert_false(held_begin(200, NULL));
	held_unref();
	expect_served_too();
	assert_int_equal(held.n_gone, 1);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"no-reply\"}"), 0);
}

static void a_connection_that_ends_is_told_once(void **state)
{
	(void)state;
	begin(false, NULL);
	assert_true(held_begin(200, NULL));
	h2_client_close(&k);
	stage_wait(held_is_gone);
	assert_false(held_write("x", 1));
	held_end();
	assert_int_equal(held.n_gone, 1);
}

static void an_early_answer_stands_and_the_rest_is_thrown_away(void **state)
{
	(void)state;
	begin(false, NULL);
	say_zeros(1, 100 * KIB);
	held_reply(403, "no");
	h2_client_hear(&k, 1, "403", &m);
	h2_client_hear_body(&k, 1, "no");
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_NO_ERROR);
	say_zeros(1, 100 * KIB); /* was on its way */
	expect_served_too();
}

/* libcurl before 8 throws away what it reads in one piece with the reset. */
static void an_early_answer_is_read_before_the_reset_comes_or_has_its_time(void **state)
{
	struct h2_frame_view frame;

	(void)state;
	settle();
	for (int answers = 0; answers < 2; answers++) {
		uint32_t stream = answers ? 3 : 1;

		h2_client_ask(&k, stream, false, "POST", "/", NULL);
		held_wait(answers + 1);
		held_reply(403, "no");
		do {
			assert_true(h2_peer_frame(&k.peer, &frame));
			assert_int_not_equal(frame.type, H2_RST_STREAM);
		} while (frame.type != H2_PING || (frame.flags & H2_ACK) != 0);
		if (answers) {
			h2_frame(&k.peer.out, H2_PING, H2_ACK, 0, frame.payload, frame.len);
			assert_true(h2_peer_flush(&k.peer));
		} else {
			held_advance_ms(MESH__H2_UNREAD_MS);
		}
		assert_int_equal(h2_client_hear_reset(&k, stream), H2_NO_ERROR);
	}
}

static void a_body_that_differs_from_its_length_is_no_whole_one(void **state)
{
	(void)state;
	begin(false, "content-length: 5\n");
	held.reads_when_readable = true;
	(void)held_read();
	say_data(1, "four", true);
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_PROTOCOL_ERROR);
	stage_wait(held_is_gone);
	assert_false(held.ended);
}

/* ---- The reply ---- */

static void a_reply_is_written_while_its_request_comes(void **state)
{
	(void)state;
	begin(false, NULL);
	assert_true(held_begin(200, NULL));
	h2_client_hear(&k, 1, "200", &m);
	for (int i = 0; i < 3; i++) {
		struct h2_frame_view frame;

		held_forget_events();
		assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
		say_data(1, "ping", false);
		stage_wait(held_is_readable);
		assert_true(held_write("pong", 4));
		assert_true(h2_peer_await(&k.peer, H2_DATA, 1, &frame));
		assert_int_equal(frame.len, 4);
	}
	held_end();
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_NO_ERROR);
}

static void trailers_end_a_reply_without_those_that_forge(void **state)
{
	(void)state;
	for (int bytes = 0; bytes <= 1; bytes++) {
		begin(true, NULL);
		assert_true(held_begin(200, NULL));
		assert_true(bytes == 0 || held_write("x", 1));
		assert_true(held_trailer("grpc-status", "0"));
		assert_true(held_trailer("content-length", "9"));
		assert_true(held_trailer("mesh-peer", "evil"));
		held_end();
		h2_client_hear(&k, 1, "200", &m);
		assert_true(h2_peer_message(&k.peer, &m));
		assert_string_equal(m.lines, "grpc-status: 0\n");
		assert_true(m.ended);
		h2_client_close(&k);
		(void)held_tear_down(state);
		(void)set_up(state);
	}
}

static void reply_with_trailers(void *unused)
{
	static const struct mesh__field_text trailers[] = {{"Grpc-Status", "5"}, {"Host", "evil"}};
	struct mesh__reply reply = {.status = 200, .body = "body", .body_len = 4, .trailers = trailers, .n_trailers = 2};
	struct mesh__exchange *x = held.x;

	(void)unused;
	held.x = NULL;
	mesh__exchange_reply(x, &reply);
}

static void whole_replies_have_trailers_too(void **state)
{
	(void)state;
	begin(true, NULL);
	stage_on_loop(reply_with_trailers, NULL);
	h2_client_hear(&k, 1, "200", &m);
	assert_true(h2_peer_message(&k.peer, &m));
	assert_string_equal(m.lines, "grpc-status: 5\n");
}

static void a_length_is_kept_or_it_is_no_whole_reply(void **state)
{
	static const struct mesh__field_text fields[] = {{"Content-Length", "4"}, {NULL, NULL}};
	static const struct {
		const char *bytes;
		bool fine;
	} rows[] = {{"four", true}, {"three", false}, {"two", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char length[8];

		begin(true, NULL);
		assert_true(held_begin(200, fields));
		h2_client_hear(&k, 1, "200", &m);
		assert_true(h2_message_field(&m, "content-length", length, sizeof(length)));
		assert_string_equal(length, "4");
		(void)held_write(rows[i].bytes, strlen(rows[i].bytes));
		held_end();
		if (rows[i].fine) {
			h2_client_hear_body(&k, 1, rows[i].bytes);
		} else {
			assert_int_equal(h2_client_hear_reset(&k, 1), H2_INTERNAL_ERROR);
		}
		h2_client_close(&k);
		(void)held_tear_down(state);
		(void)set_up(state);
	}
}

static void an_abort_is_a_reset(void **state)
{
	(void)state;
	begin(true, NULL);
	assert_true(held_begin(200, NULL));
	assert_true(held_write("half", 4));
	h2_client_hear(&k, 1, "200", &m);
	held_abort();
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_INTERNAL_ERROR);
	h2_client_ask(&k, 3, true, "GET", "/", NULL);
	held_wait(2);
	held_abort(); /* before there is a reply */
	assert_int_equal(h2_client_hear_reset(&k, 3), H2_INTERNAL_ERROR);
}

static void a_writer_waits_for_who_reads_slowly_and_another_does_not(void **state)
{
	static const char block[64 * KIB];
	size_t written = 0;

	(void)state;
	settle();
	h2_window_update(&k.peer.out, 0, 8 * KIB * KIB); /* the connection's is open, the stream's is not */
	h2_client_ask(&k, 1, true, "GET", "/", NULL);
	held_wait(1);
	assert_true(held_begin(200, NULL));
	while (held_room() > 0) {
		assert_true(held_write(block, sizeof(block)));
		written += sizeof(block);
		assert_true(written <= KIB * KIB);
	}
	stage_on_loop(put_aside, NULL);
	h2_client_ask(&k, 3, true, "GET", "/", NULL);
	held_wait(2);
	held_reply(200, "fast");
	h2_client_hear(&k, 1, "200", &m);
	h2_client_hear(&k, 3, "200", &m);
	stage_on_loop(take_back, NULL);
	assert_int_equal(held.n_writable, 0);
	h2_window_update(&k.peer.out, 1, KIB * KIB);
	assert_true(h2_peer_flush(&k.peer));
	stage_wait(held_is_writable);
	assert_int_equal(held.n_writable, 1);
	assert_int_not_equal(held_room(), 0);
}

/* ---- Time ---- */

static void threat_7_a_body_that_a_handler_waits_for_may_not_pause_too_long(void **state)
{
	(void)state;
	begin(false, NULL);
	assert_int_equal(held_read(), MESH_E_WOULD_BLOCK);
	fake_env_advance_ms(&stage.fake, stage.limits.body_ms);
	h2_client_hear(&k, 1, "408", &m);
	stage_wait(held_is_gone);
	assert_int_equal(held_read(), MESH_E_TIMEOUT);
}

static void a_handler_that_neither_reads_nor_answers_is_late(void **state)
{
	(void)state;
	begin(false, NULL);
	fake_env_advance_ms(&stage.fake, stage.limits.reply_ms);
	h2_client_hear(&k, 1, "503", &m);
	stage_wait(held_is_gone);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_body_is_read_while_it_comes),
		TEST(what_is_small_is_whole_when_the_handler_has_it),
		TEST(threat_5_trailers_come_with_the_end_without_those_that_forge),
		TEST(who_expects_100_hears_it_when_the_handler_reads),
		TEST(who_is_answered_at_once_hears_no_100),
		TEST(a_slow_reader_holds_up_no_fast_one),
		TEST(threat_10_a_reset_is_told_once_and_read),
		cmocka_unit_test_setup_teardown(a_connection_that_ends_is_told_once, set_up, held_tear_down),
		TEST(an_early_answer_stands_and_the_rest_is_thrown_away),
		TEST(an_early_answer_is_read_before_the_reset_comes_or_has_its_time),
		TEST(a_body_that_differs_from_its_length_is_no_whole_one),
		TEST(a_reply_is_written_while_its_request_comes),
		cmocka_unit_test_setup_teardown(trailers_end_a_reply_without_those_that_forge, set_up, held_tear_down),
		TEST(whole_replies_have_trailers_too),
		cmocka_unit_test_setup_teardown(a_length_is_kept_or_it_is_no_whole_reply, set_up, held_tear_down),
		TEST(an_abort_is_a_reset),
		TEST(a_writer_waits_for_who_reads_slowly_and_another_does_not),
		TEST(threat_7_a_body_that_a_handler_waits_for_may_not_pause_too_long),
		TEST(a_handler_that_neither_reads_nor_answers_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
