/* Rules: HTTP/2 on the server core (RFC 9113): the same handlers, the same refusals, many requests at once on a connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/h2_client.h"
#include "support/http_stage.h"

/* Where a test begins with an open connection, and what it heard on it last. */
static struct h2_client k;
static struct h2_message m;

static int open_up(void **state)
{
	int rc = stage_set_up_http2(state);

	stage_open();
	h2_client_open(&k);
	return rc;
}

static int close_up(void **state)
{
	h2_client_close(&k);
	return stage_tear_down(state);
}

/* ---- Requests ---- */

static void a_request_reaches_the_handler_as_over_http_1(void **state)
{
	char value[64];

	(void)state;
	h2_client_ask(&k, 1, false, "POST", "/echo?q", "x-a: b\ncookie: c=d\ncookie: e\nmesh-peer: forged\nx-forwarded-client-cert: forged\n");
	h2_data(&k.peer.out, 1, 0, "bo", 2);
	h2_data(&k.peer.out, 1, H2_END_STREAM, "dy", 2);
	assert_true(h2_peer_flush(&k.peer));
	h2_client_hear(&k, 1, "200", &m);
	assert_true(h2_message_field(&m, "content-length", value, sizeof(value)));
	assert_true(h2_message_field(&m, "date", value, sizeof(value)));
	h2_client_hear_body(&k, 1, "POST /echo ? q\nx-a=b\ncookie=c=d; e\nhost=host\n[body]");
}

static void a_server_that_takes_http_2_takes_http_1_too(void **state)
{
	(void)state;
	stage_open();
	stage_assert_has(stage_ask("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	stage_assert_has(stage_ask("PUT /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"), "PUT /echo");
	stage_assert_has(stage_ask("PRI * HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 ");
}

/* What begins like the preface may end otherwise, and come in pieces. */
static void the_preface_may_come_in_pieces(void **state)
{
	struct mesh__buf hello;

	(void)state;
	stage_open();
	h2_client_dial(&k);
	mesh__buf_init(&hello, mesh__mem_libc(), SIZE_MAX / 2);
	h2_preface(&hello);
	for (size_t i = 0; i < hello.len; i++) {
		stage_send(k.conn.fd, hello.data + i, 1);
	}
	mesh__buf_fini(&hello);
	h2_client_get(&k, 1, "/echo", "200", &m);
	h2_client_close(&k);
	h2_client_dial(&k);
	stage_say(k.conn.fd, "P");
	stage_say(k.conn.fd, "R");
	stage_say(k.conn.fd, "OPFIND /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	stage_assert_has(stage_hear(k.conn.fd, NULL), "PROPFIND /echo");
	h2_client_close(&k);
}

static void a_server_without_it_refuses_the_preface(void **state)
{
	(void)state;
	stage.http2 = false;
	stage_open();
	stage_assert_has(stage_ask(H2_PREFACE), "HTTP/1.1 505 ");
}

static void a_handler_may_take_its_time_while_others_answer(void **state)
{
	struct mesh__exchange *x;

	(void)state;
	h2_client_ask(&k, 1, true, "GET", "/keep", NULL);
	x = stage_take_kept();
	assert_true(mesh__exchange_is_http2(x));
	h2_client_get(&k, 3, "/echo", "200", &m);
	stage_reply(x, 200, "late"); /* from another thread */
	h2_client_hear(&k, 1, "200", &m);
	h2_client_hear_body(&k, 1, "late");
}

static void a_hundred_requests_are_at_work_at_once(void **state)
{
	struct mesh__exchange *kept[100];

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		h2_client_ask(&k, 2 * i + 1, true, "GET", "/keep", NULL);
		kept[i] = stage_take_kept();
	}
	for (int i = 99; i >= 0; i--) {
		stage_reply(kept[i], 200, "ok");
		h2_client_hear(&k, 2 * (uint32_t)i + 1, "200", &m);
	}
}

/* ---- Replies ---- */

static void what_is_not_a_callers_to_say_is_left_out(void **state)
{
	(void)state;
	h2_client_get(&k, 1, "/split", "200", &m);
	stage_assert_has(m.lines, "x-good: yes\n");
	stage_assert_has(m.lines, "content-length: 2\n");
	assert_null(strstr(m.lines, "bad"));
	assert_null(strstr(m.lines, "never"));
	assert_null(strstr(m.lines, "connection"));
}

static void head_and_204_have_no_body(void **state)
{
	(void)state;
	h2_client_ask(&k, 1, true, "HEAD", "/echo", NULL);
	h2_client_hear(&k, 1, "200", &m);
	assert_true(m.ended);
	stage_assert_has(m.lines, "content-length: ");
	h2_client_get(&k, 3, "/nothing", "204", &m);
	assert_true(m.ended);
	assert_null(strstr(m.lines, "content-length"));
}

static void a_streamed_reply_is_whole_only_with_its_end(void **state)
{
	(void)state;
	h2_client_get(&k, 1, "/stream", "200", &m);
	h2_client_hear_body(&k, 1, "onethree");
	h2_client_ask(&k, 3, true, "GET", "/half", NULL);
	assert_int_equal(h2_client_hear_reset(&k, 3), H2_INTERNAL_ERROR);
	h2_client_get(&k, 5, "/stream", "200", &m); /* others go on */
	h2_client_hear_body(&k, 5, "onethree");
}

static void a_stream_that_is_over_its_bound_is_reset_alone(void **state)
{
	(void)state;
	h2_client_ask(&k, 1, true, "GET", "/flood", NULL);
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_CANCEL);
	h2_client_get(&k, 3, "/echo", "200", &m);
}

static void a_large_body_comes_whole(void **state)
{
	struct mesh__buf body;

	(void)state;
	h2_client_get(&k, 1, "/big", "200", &m);
	mesh__buf_init(&body, mesh__mem_libc(), SIZE_MAX / 2);
	assert_true(h2_peer_body(&k.peer, 1, &body));
	assert_int_equal(body.len, STAGE_BIG_BYTES);
	mesh__buf_fini(&body);
}

/* ---- Refusals ---- */

static void what_http_1_refuses_is_refused_and_counted_alike(void **state)
{
	static const struct {
		const char *method, *path, *more, *status, *word;
	} rows[] = {
		{"OPTIONS", "*", NULL, "400", "target"},
		{"GET", "/", "host: other\n", "400", "host"},
		{"POST", "/", "content-length: 99999999999\n", "413", "body-too-large"},
		{"POST", "/", "expect: a miracle\n", "417", "expectation"},
		{"GET", "/forget", NULL, "500", "no-reply"},
	};
	char series[128];

	(void)state;
	stage_open();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		h2_client_open(&k);
		h2_client_ask(&k, 1, strcmp(rows[i].method, "POST") != 0, rows[i].method, rows[i].path, rows[i].more);
		h2_client_hear(&k, 1, rows[i].status, &m);
		(void)snprintf(series, sizeof(series), "mesh_requests_refused_total{reason=\"%s\"}", rows[i].word);
		if (stage_count(series) != 1) {
			fail_msg("%s is not counted", rows[i].word);
		}
		h2_client_get(&k, 3, "/echo", "200", &m); /* it was the stream's fault alone */
		h2_client_close(&k);
	}
}

static void threat_8_a_path_has_one_spelling_here_too(void **state)
{
	static const char *const spelled[] = {"/echo", "//echo", "/%65cho", "/x/%2e%2e/echo", "/../echo"};
	static const char *const refused[] = {"/x%2f..%2fecho", "/echo%00", "/echo%", "/x\\..\\echo", "/..;/echo", "/echo#x"};
	static const char *const malformed[] = {"http://host/echo", "echo", ""};
	uint32_t stream = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(spelled) / sizeof(spelled[0]); i++, stream += 2) {
		h2_client_ask(&k, stream, true, "GET", spelled[i], NULL);
		h2_client_hear(&k, stream, "200", &m);
		h2_client_hear_body(&k, stream, "GET /echo ? \nhost=host\n[]");
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++, stream += 2) {
		h2_client_get(&k, stream, refused[i], "400", &m);
	}
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++, stream += 2) {
		h2_client_ask(&k, stream, true, "GET", malformed[i], NULL);
		assert_int_equal(h2_client_hear_reset(&k, stream), H2_PROTOCOL_ERROR);
	}
	assert_int_equal(stage.n_requests, sizeof(spelled) / sizeof(spelled[0]));
}

static void threat_12_a_malformed_request_is_reset_and_counted(void **state)
{
	static const char *const more[] = {"connection: close\n", "transfer-encoding: chunked\n", "te: gzip\n", "content-length: 5_0\n", ":path: /admin\n"};

	(void)state;
	for (uint32_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		h2_client_ask(&k, 2 * i + 1, true, "GET", "/echo", more[i]);
		assert_int_equal(h2_client_hear_reset(&k, 2 * i + 1), H2_PROTOCOL_ERROR);
		assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"malformed\"}"), i + 1);
	}
	assert_int_equal(stage.n_requests, 0);
}

static void threat_12_a_body_that_differs_from_its_length_never_reaches_the_handler(void **state)
{
	(void)state;
	h2_client_ask(&k, 1, false, "POST", "/echo", "content-length: 5\n");
	h2_data(&k.peer.out, 1, H2_END_STREAM, "four", 4);
	assert_true(h2_peer_flush(&k.peer));
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_PROTOCOL_ERROR);
	assert_int_equal(stage.n_requests, 0);
}

static void a_header_that_is_too_large_is_431(void **state)
{
	struct mesh__buf block;

	(void)state;
	mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
	h2_field(&block, ":method", "GET");
	h2_field(&block, ":scheme", "http");
	h2_field(&block, ":path", "/echo");
	h2_field(&block, ":authority", "a");
	for (int i = 0; i < 129; i++) {
		h2_field(&block, "x", "y");
	}
	h2_headers(&k.peer.out, 1, H2_END_HEADERS | H2_END_STREAM, &block);
	mesh__buf_fini(&block);
	assert_true(h2_peer_flush(&k.peer));
	h2_client_hear(&k, 1, "431", &m);
}

static void a_body_that_is_too_large_is_413_while_it_comes(void **state)
{
	static const char kib[1024];

	(void)state;
	stage.limits.max_body_bytes = 4096;
	stage_open();
	h2_client_open(&k);
	h2_client_ask(&k, 1, false, "POST", "/echo", NULL);
	for (int i = 0; i < 5; i++) {
		h2_data(&k.peer.out, 1, 0, kib, sizeof(kib));
	}
	assert_true(h2_peer_flush(&k.peer));
	h2_client_hear(&k, 1, "413", &m);
	assert_int_equal(h2_client_hear_reset(&k, 1), H2_NO_ERROR); /* the answer came first, and stands */
	h2_client_get(&k, 3, "/echo", "200", &m);
}

static void an_expectation_is_met(void **state)
{
	(void)state;
	h2_client_ask(&k, 1, false, "POST", "/echo", "expect: 100-continue\n");
	h2_client_hear(&k, 1, "100", &m);
	h2_data(&k.peer.out, 1, H2_END_STREAM, "x", 1);
	assert_true(h2_peer_flush(&k.peer));
	h2_client_hear(&k, 1, "200", &m);
}

/* ---- Resets ---- */

static bool all_kept(void)
{
	return stage.n_requests >= 100;
}

/* THREATS 10: a stream that is reset is not gone while its handler is at work. */
static void threat_10_a_handler_at_work_counts_though_its_stream_was_reset(void **state)
{
	struct mesh__exchange *kept[100];
	struct h2_frame_view frame = {0};

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		h2_client_ask(&k, 2 * i + 1, true, "GET", "/keep", NULL);
		kept[i] = stage_take_kept();
		h2_rst_stream(&k.peer.out, 2 * i + 1, H2_CANCEL);
	}
	stage_wait(all_kept);
	h2_client_ask(&k, 201, true, "GET", "/keep", NULL);
	assert_int_equal(h2_client_hear_reset(&k, 201), H2_REFUSED_STREAM);
	stage_reply(kept[7], 200, "to nobody");
	for (uint32_t stream = 203; frame.type != H2_HEADERS && stream < 20000; stream += 2) { /* its place is free when the loop has heard of it, which nobody is told */
		h2_client_ask(&k, stream, true, "GET", "/echo", NULL);
		while (h2_peer_frame(&k.peer, &frame) && (frame.stream != stream || (frame.type != H2_RST_STREAM && frame.type != H2_HEADERS))) {
		}
	}
	assert_int_equal(frame.type, H2_HEADERS);
	for (int i = 0; i < 100; i++) {
		if (i != 7) {
			mesh__exchange_unref(kept[i]);
		}
	}
}

static void threat_10_rapid_reset_ends_the_connection_and_no_other(void **state)
{
	struct h2_client other;
	uint32_t last;

	(void)state;
	h2_client_open(&other);
	for (uint32_t i = 0; i < 200; i++) {
		h2_request(&k.peer.out, 2 * i + 1, true, "GET", "a", "/echo", NULL);
		h2_rst_stream(&k.peer.out, 2 * i + 1, H2_CANCEL);
	}
	assert_true(h2_peer_flush(&k.peer));
	assert_int_equal(h2_client_hear_goaway(&k, &last), H2_ENHANCE_YOUR_CALM);
	h2_client_hear_end(&k);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"rapid-reset\"}"), 1);
	assert_true(fake_env_logged(&stage.fake, "reason=rapid-reset"));
	h2_client_get(&other, 1, "/echo", "200", &m);
	h2_client_close(&other);
}

static void what_breaks_http_2_ends_the_connection_and_is_counted(void **state)
{
	uint32_t last;

	(void)state;
	h2_data(&k.peer.out, 0, 0, "x", 1);
	assert_true(h2_peer_flush(&k.peer));
	assert_int_equal(h2_client_hear_goaway(&k, &last), H2_PROTOCOL_ERROR);
	h2_client_hear_end(&k);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"protocol-error\"}"), 1);
}

/* ---- Time ---- */

static void pass_ms(int64_t ms)
{
	fake_env_advance_ms(&stage.fake, ms);
}

static void settings_are_due_in_handshake_time(void **state)
{
	struct h2_frame_view frame;

	(void)state;
	stage_open();
	h2_client_dial(&k);
	stage_say(k.conn.fd, H2_PREFACE);
	assert_true(h2_peer_frame(&k.peer, &frame));
	assert_int_equal(frame.type, H2_SETTINGS);
	pass_ms(stage.limits.handshake_ms);
	h2_client_hear_end(&k);
	assert_int_equal(stage_count("mesh_handshakes_refused_total{reason=\"timeout\"}"), 1);
}

static void threat_7_half_a_preface_is_waited_for_in_header_time(void **state)
{
	(void)state;
	stage_open();
	h2_client_dial(&k);
	stage_say(k.conn.fd, "PRI * HT");
	stage_assert_has(stage_ask("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "200"); /* the other has been read too */
	pass_ms(stage.limits.header_ms);
	h2_client_hear_end(&k);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"timeout\"}"), 1);
}

static void threat_7_half_a_header_is_waited_for_in_header_time(void **state)
{
	struct mesh__buf block;
	uint32_t last;

	(void)state;
	mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
	h2_field(&block, ":method", "GET");
	h2_client_get(&k, 1, "/nothing", "204", &m);
	h2_headers(&k.peer.out, 3, H2_END_STREAM, &block);
	mesh__buf_fini(&block);
	assert_true(h2_peer_flush(&k.peer));
	stage_assert_has(stage_ask("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "200"); /* that has been read by now */
	pass_ms(stage.limits.header_ms);
	assert_int_equal(h2_client_hear_goaway(&k, &last), H2_NO_ERROR);
	h2_client_hear_end(&k);
}

static void threat_7_a_body_is_due_in_body_time_and_its_stream_alone_is_refused(void **state)
{
	(void)state;
	h2_client_ask(&k, 1, false, "POST", "/echo", NULL);
	h2_client_get(&k, 3, "/echo", "200", &m);
	pass_ms(stage.limits.body_ms);
	h2_client_hear(&k, 1, "408", &m);
	h2_client_get(&k, 5, "/echo", "200", &m);
}

static void a_handler_is_late_after_reply_time(void **state)
{
	struct mesh__exchange *x;

	(void)state;
	h2_client_ask(&k, 1, true, "GET", "/keep", NULL);
	x = stage_take_kept();
	pass_ms(stage.limits.reply_ms);
	h2_client_hear(&k, 1, "503", &m);
	stage_reply(x, 200, "too late");
}

/* THREATS 11: who asks and then keeps its window closed. */
static void threat_11_a_window_that_stays_closed_ends_the_stream_in_write_time(void **state)
{
	static const struct h2_setting closed = {H2_INITIAL_WINDOW_SIZE, 0};
	int n = 0;
	struct h2_frame_view frame;

	(void)state;
	stage_open();
	h2_client_dial(&k);
	mesh__buf_str(&k.peer.out, H2_PREFACE);
	h2_settings(&k.peer.out, &closed, 1);
	assert_true(h2_peer_flush(&k.peer));
	h2_client_get(&k, 1, "/big", "200", &m);
	do { /* each look at it is 250 ms of true time from the one before, which nobody is told of */
		assert_true(n++ < 1000000);
		pass_ms(stage.limits.write_ms);
		h2_ping(&k.peer.out, 0, 1);
		assert_true(h2_peer_flush(&k.peer));
		assert_true(h2_peer_frame(&k.peer, &frame));
	} while (frame.type != H2_RST_STREAM);
	assert_int_equal(frame.stream, 1);
}

static void an_idle_connection_is_told_that_it_ends(void **state)
{
	struct h2_frame_view frame;
	uint32_t last;

	(void)state;
	h2_client_get(&k, 1, "/nothing", "204", &m);
	h2_ping(&k.peer.out, 0, 1);
	assert_true(h2_peer_flush(&k.peer));
	assert_true(h2_peer_await(&k.peer, H2_PING, 0, &frame)); /* so that it is idle by now */
	pass_ms(stage.limits.idle_ms);
	assert_int_equal(h2_client_hear_goaway(&k, &last), H2_NO_ERROR);
	assert_int_equal(last, 1);
	h2_client_hear_end(&k);
}

/* ---- The end ---- */

static bool is_gone(void)
{
	return stage.n_gone == 1;
}

static void a_connection_that_is_cut_tells_who_streams_to_it(void **state)
{
	struct mesh__exchange *x;

	(void)state;
	stage_open();
	h2_client_open(&k);
	h2_client_get(&k, 1, "/watch", "200", &m);
	x = stage_take_kept();
	h2_client_close(&k);
	stage_wait(is_gone);
	mesh__exchange_unref(x);
}

static void a_stream_that_is_reset_tells_who_streams_to_it(void **state)
{
	struct mesh__exchange *x;

	(void)state;
	h2_client_get(&k, 1, "/watch", "200", &m);
	x = stage_take_kept();
	h2_rst_stream(&k.peer.out, 1, H2_CANCEL);
	assert_true(h2_peer_flush(&k.peer));
	stage_wait(is_gone);
	mesh__exchange_unref(x);
	h2_client_get(&k, 3, "/echo", "200", &m);
}

/* A conversation with requests of several kinds; ends with the connection, which may be any time. */
static void converse(void)
{
	struct h2_frame_view frame;

	h2_preface(&k.peer.out);
	h2_request(&k.peer.out, 1, false, "POST", "a", "/echo", "cookie: a\ncookie: b\n");
	h2_request(&k.peer.out, 3, true, "GET", "a", "/stream", NULL);
	h2_data(&k.peer.out, 1, 0, "body", 4);
	h2_trailers(&k.peer.out, 1, "t: u\n");
	h2_request(&k.peer.out, 5, true, "GET", "a", "/#", NULL);
	h2_goaway(&k.peer.out, 0, H2_NO_ERROR); /* the server ends it once all is answered */
	(void)h2_peer_flush(&k.peer);
	while (h2_peer_frame(&k.peer, &frame)) {
	}
}

static void answers_or_closes_whatever_allocation_fails(void **state)
{
	long n = 0;

	(void)state;
	stage_open();
	do {
		h2_client_dial(&k);
		fail_mem_next(&stage.mem, ++n);
		converse();
		h2_client_close(&k);
	} while (stage.mem.count >= n);
	assert_true(n > 30);
	fail_mem_next(&stage.mem, 0);
	h2_client_open(&k);
	h2_client_get(&k, 1, "/echo", "200", &m);
	h2_client_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_request_reaches_the_handler_as_over_http_1, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_server_that_takes_http_2_takes_http_1_too, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(the_preface_may_come_in_pieces, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_server_without_it_refuses_the_preface, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_handler_may_take_its_time_while_others_answer, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_hundred_requests_are_at_work_at_once, open_up, close_up),
		cmocka_unit_test_setup_teardown(what_is_not_a_callers_to_say_is_left_out, open_up, close_up),
		cmocka_unit_test_setup_teardown(head_and_204_have_no_body, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_streamed_reply_is_whole_only_with_its_end, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_stream_that_is_over_its_bound_is_reset_alone, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_large_body_comes_whole, open_up, close_up),
		cmocka_unit_test_setup_teardown(what_http_1_refuses_is_refused_and_counted_alike, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(threat_8_a_path_has_one_spelling_here_too, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_12_a_malformed_request_is_reset_and_counted, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_12_a_body_that_differs_from_its_length_never_reaches_the_handler, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_header_that_is_too_large_is_431, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_body_that_is_too_large_is_413_while_it_comes, stage_set_up_http2, close_up),
		cmocka_unit_test_setup_teardown(an_expectation_is_met, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_10_a_handler_at_work_counts_though_its_stream_was_reset, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_10_rapid_reset_ends_the_connection_and_no_other, open_up, close_up),
		cmocka_unit_test_setup_teardown(what_breaks_http_2_ends_the_connection_and_is_counted, open_up, close_up),
		cmocka_unit_test_setup_teardown(settings_are_due_in_handshake_time, stage_set_up_http2, close_up),
		cmocka_unit_test_setup_teardown(threat_7_half_a_preface_is_waited_for_in_header_time, stage_set_up_http2, close_up),
		cmocka_unit_test_setup_teardown(threat_7_half_a_header_is_waited_for_in_header_time, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_7_a_body_is_due_in_body_time_and_its_stream_alone_is_refused, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_handler_is_late_after_reply_time, open_up, close_up),
		cmocka_unit_test_setup_teardown(threat_11_a_window_that_stays_closed_ends_the_stream_in_write_time, stage_set_up_http2, close_up),
		cmocka_unit_test_setup_teardown(an_idle_connection_is_told_that_it_ends, open_up, close_up),
		cmocka_unit_test_setup_teardown(a_connection_that_is_cut_tells_who_streams_to_it, stage_set_up_http2, stage_tear_down),
		cmocka_unit_test_setup_teardown(a_stream_that_is_reset_tells_who_streams_to_it, open_up, close_up),
		cmocka_unit_test_setup_teardown(answers_or_closes_whatever_allocation_fails, stage_set_up_http2, stage_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
