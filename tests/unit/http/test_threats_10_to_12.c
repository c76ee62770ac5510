/*
 * THREATS 10 to 12 on the server core, in plaintext by prior knowledge and on a clock of our own: what takes time to show. What a flood or a malformed request meets, whatever the clock says, is in
 * tests/integration/test_threats_10_to_12.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/h2_peer.h"
#include "support/held.h"
#include "support/http_stage.h"

enum { SECOND = 1000 };

struct caller {
	struct raw_conn conn;
	struct h2_peer peer;
};

static void dial(struct caller *c, const struct h2_setting *settings, size_t n)
{
	c->conn = (struct raw_conn){.fd = stage_dial()};
	h2_peer_init(&c->peer, &c->conn);
	mesh__buf_str(&c->peer.out, H2_PREFACE);
	h2_settings(&c->peer.out, settings, n);
}

static void hang_up(struct caller *c)
{
	h2_peer_fini(&c->peer);
	free(c->conn.pending);
	(void)close(c->conn.fd);
}

static void get(struct caller *c, uint32_t stream, const char *path)
{
	h2_request(&c->peer.out, stream, true, "GET", "s", path, NULL);
}

static void flush(struct caller *c)
{
	assert_true(h2_peer_flush(&c->peer));
}

/* What is written is read by the server: its answer to a ping comes behind. */
static void settle(struct caller *c)
{
	struct h2_frame_view frame;

	h2_ping(&c->peer.out, 0, 1);
	flush(c);
	do {
		assert_true(h2_peer_await(&c->peer, H2_PING, 0, &frame));
	} while ((frame.flags & H2_ACK) == 0);
}

/* The end of the connection, and the error of the last GOAWAY before it; UINT32_MAX for none. */
static uint32_t hear_end(struct caller *c)
{
	struct h2_frame_view frame;
	uint32_t error = UINT32_MAX;

	while (h2_peer_frame(&c->peer, &frame)) {
		error = frame.type == H2_GOAWAY ? h2_frame_number(&frame, 4) : error;
	}
	return error;
}

static bool has_ended(struct caller *c)
{
	return recv(c->conn.fd, &(char){0}, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* The error with which a stream was reset, or of a GOAWAY; H2_CANCEL when the connection ended without either, H2_NO_ERROR when nothing of all this comes. */
static uint32_t hear_refusal(struct caller *c, uint32_t stream)
{
	struct h2_frame_view frame;

	while (h2_peer_frame(&c->peer, &frame)) {
		if (frame.type == H2_RST_STREAM && frame.stream == stream) {
			return h2_frame_number(&frame, 0);
		}
		if (frame.type == H2_GOAWAY && h2_frame_number(&frame, 4) != H2_NO_ERROR) {
			return h2_frame_number(&frame, 4);
		}
	}
	return has_ended(c) ? H2_CANCEL : H2_NO_ERROR;
}

/* True when the connection ends once so much time has passed; again and again, as the server may not have read yet what began it. */
static bool ends_after(struct caller *c, int64_t ms)
{
	struct timeval wait = {.tv_usec = 400000};
	bool ended = false;

	assert_int_equal(setsockopt(c->conn.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	for (int i = 0; i < 25 && !ended; i++) {
		fake_env_advance_ms(&stage.fake, ms);
		(void)hear_end(c);
		ended = has_ended(c);
	}
	return ended;
}

static void assert_status(struct caller *c, uint32_t stream, const char *status)
{
	struct h2_message message;
	char text[8];

	do {
		assert_true(h2_peer_message(&c->peer, &message));
	} while (message.stream != stream);
	assert_true(h2_message_field(&message, ":status", text, sizeof(text)));
	assert_string_equal(text, status);
}

/* ---- 10 ---- */

static void reset_some(struct caller *c, uint32_t *stream, int n)
{
	for (int i = 0; i < n; i++, *stream += 2) {
		h2_request(&c->peer.out, *stream, false, "POST", "s", "/echo", NULL);
		h2_rst_stream(&c->peer.out, *stream, H2_CANCEL);
	}
}

static void threat_10_resets_are_counted_by_the_time_they_take(void **state)
{
	struct caller c;
	uint32_t stream = 1;

	(void)state;
	stage_open();
	dial(&c, NULL, 0);
	for (int i = 0; i < 4; i++) {
		reset_some(&c, &stream, 90);
		settle(&c); /* all is well */
		fake_env_advance_ms(&stage.fake, 21 * SECOND);
	}
	get(&c, stream, "/echo");
	flush(&c);
	assert_status(&c, stream, "200");
	stream += 2;
	reset_some(&c, &stream, 250);
	(void)h2_peer_flush(&c.peer);
	assert_int_equal(hear_end(&c), H2_ENHANCE_YOUR_CALM);
	hang_up(&c);
}

/* Who cancels one call in five cancels for a reason. */
static void threat_10_resets_are_weighed_against_what_ended_in_order(void **state)
{
	struct caller c;
	uint32_t stream = 1;

	(void)state;
	stage_open();
	dial(&c, NULL, 0);
	for (int i = 0; i < 100; i++) {
		for (int j = 0; j < 8; j++, stream += 2) {
			get(&c, stream, "/nothing");
		}
		reset_some(&c, &stream, 2);
		settle(&c);
	}
	hang_up(&c);
}

static void threat_10_a_hundred_streams_are_all_there_are(void **state)
{
	struct caller c;
	uint32_t refusal;

	(void)state;
	stage_open();
	dial(&c, NULL, 0);
	for (uint32_t stream = 1; stream < 201; stream += 2) {
		h2_request(&c.peer.out, stream, false, "POST", "s", "/echo", NULL);
	}
	settle(&c);
	get(&c, 201, "/echo");
	flush(&c);
	refusal = hear_refusal(&c, 201);
	assert_true(refusal == H2_REFUSED_STREAM || refusal == H2_PROTOCOL_ERROR);
	assert_int_equal(stage.n_requests, 0);
	hang_up(&c);
}

/* ---- 11 ---- */

static const struct h2_setting shut[] = {{H2_INITIAL_WINDOW_SIZE, 0}};

/* Time passes, some seconds at a time, while `busy` has the server say something else each time: true when the answer of stream 1, or the connection, ends all the same. */
static bool ends_beside(struct caller *c, void (*busy)(struct caller *c, uint32_t round))
{
	struct timeval wait = {.tv_usec = 60000}; /* the server looks at its deadlines four times a second */
	bool ended = false;

	assert_int_equal(setsockopt(c->conn.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	for (uint32_t round = 1; round < 60 && !ended; round++) {
		struct h2_frame_view frame;

		fake_env_advance_ms(&stage.fake, stage.limits.write_ms / 4);
		busy(c, round);
		ended = !h2_peer_flush(&c->peer);
		while (!ended && h2_peer_frame(&c->peer, &frame)) {
			ended = (frame.type == H2_RST_STREAM && frame.stream == 1) || frame.type == H2_GOAWAY;
		}
		ended = ended || has_ended(c);
	}
	return ended;
}

static void say_nothing(struct caller *c, uint32_t round)
{
	(void)c;
	(void)round;
}

static void say_a_ping(struct caller *c, uint32_t round)
{
	h2_ping(&c->peer.out, 0, round);
}

static void ask_for_something_else(struct caller *c, uint32_t round)
{
	get(c, 1 + 2 * round, "/nothing");
}

static void widen_the_connection(struct caller *c, uint32_t round)
{
	(void)round;
	h2_window_update(&c->peer.out, 0, 1);
}

/* The connection takes bytes, the stream none. */
static void threat_11_a_window_that_stays_shut_ends_at_the_write_deadline(void **state)
{
	static void (*const busy[])(struct caller *c, uint32_t round) = {say_nothing, say_a_ping, ask_for_something_else, widen_the_connection};

	(void)state;
	stage_open();
	for (size_t i = 0; i < sizeof(busy) / sizeof(busy[0]); i++) {
		struct caller c;

		dial(&c, shut, 1);
		get(&c, 1, "/big");
		flush(&c);
		assert_status(&c, 1, "200");
		if (!ends_beside(&c, busy[i])) {
			fail_msg("row %zu: goes on", i);
		}
		hang_up(&c);
	}
}

static void threat_11_a_socket_that_is_not_read_ends_at_the_write_deadline(void **state)
{
	static const struct h2_setting wide[] = {{H2_INITIAL_WINDOW_SIZE, INT32_MAX}};
	struct caller c;
	long open = 1;

	(void)state;
	stage_open();
	dial(&c, wide, 1);
	h2_window_update(&c.peer.out, 0, INT32_MAX - H2_WINDOW);
	get(&c, 1, "/big");
	flush(&c);
	assert_status(&c, 1, "200");
	for (int i = 0; i < 100 && open > 0; i++) {
		held_advance_ms(stage.limits.write_ms / 4);
		open = stage_count("mesh_connections{listener=\"test\"}");
	}
	assert_int_equal(open, 0);
	hang_up(&c);
}

struct slow {
	const char *what;
	const char *bytes; /* behind the preface and SETTINGS */
	size_t len;
	bool bare;         /* without those */
	int64_t limit_ms;
};

#define SLOW(text) text, sizeof(text) - 1

static void threat_11_what_is_begun_and_not_ended_has_a_deadline(void **state)
{
	static const struct slow rows[] = {
	    {"half a preface", SLOW("PRI * HTTP/2.0\r\n"), true, 10 * SECOND},
	    {"a preface without SETTINGS", SLOW(H2_PREFACE), true, 10 * SECOND},
	    {"half a frame's head", SLOW("\0\0\4"), false, 90 * SECOND},
	    {"a header without its end", SLOW("\0\0\1\1\0\0\0\0\1\x82"), false, 10 * SECOND},
	    {"half a header", SLOW("\0\0\10\1\4\0\0\0\1\x82"), false, 90 * SECOND},
	    {"a body without its end", SLOW("\0\0\4\1\4\0\0\0\1\x82\x84\x86\x41"), false, 90 * SECOND},
	    {"nothing", SLOW(""), false, 90 * SECOND},
	};

	(void)state;
	stage_open();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct caller c;

		dial(&c, NULL, 0);
		if (rows[i].bare) {
			mesh__buf_clear(&c.peer.out);
			mesh__buf_add(&c.peer.out, rows[i].bytes, rows[i].len);
			flush(&c);
		} else {
			settle(&c);
			mesh__buf_add(&c.peer.out, rows[i].bytes, rows[i].len);
			flush(&c);
		}
		if (!ends_after(&c, rows[i].limit_ms + SECOND)) {
			fail_msg("%s: goes on", rows[i].what);
		}
		hang_up(&c);
	}
	assert_int_equal(stage.n_requests, 0);
}

/* A byte of the body every ten seconds: the deadline is absolute. */
static void threat_11_a_body_that_drips_has_a_deadline(void **state)
{
	struct caller c;

	(void)state;
	stage_open();
	dial(&c, NULL, 0);
	h2_request(&c.peer.out, 1, false, "POST", "s", "/echo", NULL);
	settle(&c);
	for (int i = 0; i < 7; i++) {
		fake_env_advance_ms(&stage.fake, 10 * SECOND);
		h2_data(&c.peer.out, 1, 0, "x", 1);
		(void)h2_peer_flush(&c.peer);
	}
	assert_status(&c, 1, "408");
	assert_int_equal(stage.n_requests, 0);
	hang_up(&c);
}

static void threat_11_pings_do_not_keep_an_idle_connection(void **state)
{
	struct caller c;

	(void)state;
	stage_open();
	dial(&c, NULL, 0);
	for (int i = 0; i < 5; i++) {
		settle(&c);
		fake_env_advance_ms(&stage.fake, 20 * SECOND);
	}
	assert_true(ends_after(&c, 20 * SECOND));
	hang_up(&c);
}

/* Answers that are not taken are held for a connection at a time: the others' are sent. */
static void threat_11_a_peer_with_its_windows_shut_holds_up_nobody(void **state)
{
	struct caller c, other;

	(void)state;
	stage_open();
	dial(&c, shut, 1);
	for (uint32_t stream = 1; stream < 21; stream += 2) {
		get(&c, stream, "/big");
	}
	flush(&c);
	assert_status(&c, 19, "200");
	dial(&other, NULL, 0);
	get(&other, 1, "/echo");
	flush(&other);
	assert_status(&other, 1, "200");
	hang_up(&c);
	hang_up(&other);
}

/* ---- 12 ---- */

static void threat_12_a_body_over_the_limit_is_refused_before_it_has_come(void **state)
{
	struct caller c;

	(void)state;
	stage.limits.max_body_bytes = 1000;
	stage_open();
	dial(&c, NULL, 0);
	h2_request(&c.peer.out, 1, false, "POST", "s", "/echo", "content-length: 1001\n");
	flush(&c);
	assert_status(&c, 1, "413");
	h2_request(&c.peer.out, 3, false, "POST", "s", "/echo", NULL);
	for (int i = 0; i < 11; i++) {
		h2_data(&c.peer.out, 3, 0, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", 100);
	}
	flush(&c);
	assert_status(&c, 3, "413");
	assert_int_equal(stage.n_requests, 0);
	get(&c, 5, "/echo");
	flush(&c);
	assert_status(&c, 5, "200");
	hang_up(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(threat_10_resets_are_counted_by_the_time_they_take, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_10_resets_are_weighed_against_what_ended_in_order, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_10_a_hundred_streams_are_all_there_are, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_a_window_that_stays_shut_ends_at_the_write_deadline, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_a_socket_that_is_not_read_ends_at_the_write_deadline, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_what_is_begun_and_not_ended_has_a_deadline, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_a_body_that_drips_has_a_deadline, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_pings_do_not_keep_an_idle_connection, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_11_a_peer_with_its_windows_shut_holds_up_nobody, stage_set_up_http2, stage_tear_down),
	    cmocka_unit_test_setup_teardown(threat_12_a_body_over_the_limit_is_refused_before_it_has_come, stage_set_up_http2, stage_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
