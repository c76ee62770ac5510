/* Rules: what a server makes of an HTTP/2 connection's frames, and how it answers (RFC 9113; THREATS 12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/h2_bench.h"

/* ---- Requests ---- */

static void it_begins_with_its_settings(void **state)
{
	struct h2_bench b;

	(void)state;
	assert_true(h2_bench_begin(&b, 0));
	h2_bench_listen(&b);
	h2_bench_said(&b, "SETTINGS 0\n");
	h2_bench_said(&b, "WINDOW_UPDATE 0 983041\n"); /* 1 MiB over the 65535 that all begin with */
	assert_false(mesh__h2_is_settled(b.h2));
	h2_bench_end(&b);
}

static void a_request_is_told_as_it_comes(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "echo", "/p?q", "accept: a\nb: \n");
	h2_bench_feed(&b);
	h2_data(&b.in, 1, 0, "12345", 5);
	h2_bench_feed(&b);
	h2_data(&b.in, 1, H2_END_STREAM, "6", 1);
	h2_bench_feed(&b);
	h2_bench_get(&b, 3);
	h2_bench_feed(&b);
	h2_bench_told(&b, "head 1: :method=POST :scheme=https :authority=echo :path=/p?q accept=a b=\n"
			"data 1 5\ndata 1 1\nend 1:\n"
			"head 3 whole: :method=GET :scheme=https :authority=a :path=/\n");
	h2_bench_end(&b);
}

static void a_request_is_the_same_in_single_bytes(void **state)
{
	struct h2_bench b;
	struct mesh__buf all;

	(void)state;
	h2_bench_open(&b);
	mesh__buf_init(&all, mesh__mem_libc(), SIZE_MAX / 2);
	h2_request(&all, 1, false, "POST", "echo", "/", "accept: a\n");
	h2_data(&all, 1, 0, "12", 2);
	h2_trailers(&all, 1, "t: u\n");
	for (size_t i = 0; i < all.len; i++) {
		mesh__buf_add(&b.in, all.data + i, 1);
		h2_bench_feed(&b);
	}
	h2_bench_told(&b, "head 1: :method=POST :scheme=https :authority=echo :path=/ accept=a\ndata 1 1\ndata 1 1\nend 1: t=u\n");
	mesh__buf_fini(&all);
	h2_bench_end(&b);
}

static void several_requests_come_at_once(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/1", NULL);
	h2_request(&b.in, 3, false, "POST", "a", "/3", NULL);
	h2_data(&b.in, 3, H2_END_STREAM, "33", 2);
	h2_data(&b.in, 1, H2_END_STREAM, "1", 1);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 3, 4);
	h2_bench_reply(&b, 1, 0);
	h2_bench_said(&b, "HEADERS 3 :status: 200\nx-note: yes.\nDATA+end 3 4\nHEADERS+end 1 ");
	h2_bench_told(&b, "head 1: :method=POST :scheme=https :authority=a :path=/1\nhead 3: :method=POST :scheme=https :authority=a :path=/3\n"
			"data 3 2\nend 3:\ndata 1 1\nend 1:\nclosed 3 0\nclosed 1 0\n");
	h2_bench_end(&b);
}

/* ---- What is refused ---- */

/* THREATS 12. */
static void threat_12_a_malformed_request_is_a_stream_error(void **state)
{
	static const struct {
		const char *what, *method, *path, *more; /* NULL: without that field */
	} rows[] = {
		{"nothing amiss", "GET", "/", "a: b\n"}, /* the rest is no accident of how it is said here */
		{"no method", NULL, "/", ""},
		{"no path", "GET", NULL, ""},
		{"an empty path", "GET", "", ""},
		{"a method twice", "GET", "/", ":method: GET\n"},
		{"a path twice", "GET", "/", ":path: /admin\n"},
		{"a pseudo-header field that there is not", "GET", "/", ":peer: x\n"},
		{"a response's pseudo-header field", "GET", "/", ":status: 200\n"},
		{"a pseudo-header field behind others", "GET", "/", "a: b\n:authority: x\n"},
		{"connection", "GET", "/", "connection: close\n"},
		{"keep-alive", "GET", "/", "keep-alive: 1\n"},
		{"proxy-connection", "GET", "/", "proxy-connection: close\n"},
		{"transfer-encoding", "GET", "/", "transfer-encoding: chunked\n"},
		{"upgrade", "GET", "/", "upgrade: websocket\n"},
		{"te that is not trailers", "GET", "/", "te: gzip\n"},
		{"a name in upper case", "GET", "/", "Accept: a\n"},
		{"a name with a space", "GET", "/", "a b: c\n"},
		{"a value with CR", "GET", "/", "a: b\rc: d\n"},
		{"a length that is none", "POST", "/", "content-length: 5_0\n"},
		{"two lengths", "POST", "/", "content-length: 5\ncontent-length: 6\n"},
		{"a length without a body", "POST", "/", "content-length: 5\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mesh__buf block;
		bool fine = i == 0;
		char line[128];
		struct h2_bench b;

		h2_bench_open(&b);
		mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
		if (rows[i].method != NULL) {
			h2_field(&block, ":method", rows[i].method);
		}
		h2_field(&block, ":scheme", "https");
		h2_field(&block, ":authority", "a");
		if (rows[i].path != NULL) {
			h2_field(&block, ":path", rows[i].path);
		}
		for (const char *at = rows[i].more; *at != '\0'; at += strcspn(at, "\n") + 1) {
			size_t name_len = 1 + strcspn(at + 1, ":");

			(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
			h2_field_bytes(&block, line, name_len, line + name_len + 2, strlen(line) - name_len - 2);
		}
		h2_headers(&b.in, 1, H2_END_HEADERS | H2_END_STREAM, &block);
		h2_bench_feed(&b);
		if ((b.told.len > 0) != fine || (b.said.len > 0 && strstr(b.said.data, "RST_STREAM 1 1\n") != NULL) == fine) {
			fail_msg("%s: told \"%s\", said \"%s\"", rows[i].what, b.told.data, b.said.data);
		}
		assert_int_equal(mesh__h2_n_stream_faults(b.h2), fine ? 0 : 1);
		mesh__buf_clear(&b.told);
		h2_bench_get(&b, 3);
		h2_bench_feed(&b);
		h2_bench_told(&b, "head 3 whole: :method=GET :scheme=https :authority=a :path=/\n");
		mesh__buf_fini(&block);
		h2_bench_end(&b);
	}
}

static void threat_12_a_body_is_as_long_as_it_said(void **state)
{
	static const struct {
		const char *length;
		size_t sent;
		bool fine;
	} rows[] = {{"5", 5, true}, {"5", 4, false}, {"5", 6, false}, {"0", 1, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct h2_bench b;
		char more[64];

		h2_bench_open(&b);
		(void)snprintf(more, sizeof(more), "content-length: %s\n", rows[i].length);
		h2_request(&b.in, 1, false, "POST", "a", "/", more);
		h2_data(&b.in, 1, H2_END_STREAM, "123456", rows[i].sent);
		h2_bench_feed(&b);
		assert_int_equal(strstr(b.told.data, "end 1:") != NULL, rows[i].fine);
		assert_int_equal(b.said.data != NULL && strstr(b.said.data, "RST_STREAM 1 1\n") != NULL, !rows[i].fine);
		h2_bench_end(&b);
	}
}

struct goaway_row {
	const char *what;
	uint8_t type, flags;
	uint32_t stream;
	const char *payload;
	size_t len;
	uint32_t code;
};

static void what_breaks_the_connection_ends_it_with_the_reason(void **state)
{
	static const struct goaway_row rows[] = {
		{"DATA on stream 0", H2_DATA, 0, 0, "x", 1, H2_PROTOCOL_ERROR},
		{"DATA on a stream that was never opened", H2_DATA, 0, 1, "x", 1, H2_PROTOCOL_ERROR},
		{"HEADERS on a stream that is ours", H2_HEADERS, H2_END_HEADERS, 2, "\x82", 1, H2_PROTOCOL_ERROR},
		{"CONTINUATION without HEADERS", H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1, H2_PROTOCOL_ERROR},
		{"PUSH_PROMISE", H2_PUSH_PROMISE, H2_END_HEADERS, 1, "\0\0\0\2\x82", 5, H2_PROTOCOL_ERROR},
		{"an index that is not in the table", H2_HEADERS, H2_END_HEADERS, 1, "\xff\x7f", 2, H2_COMPRESSION_ERROR},
		{"SETTINGS of five bytes", H2_SETTINGS, 0, 0, "\0\3\0\0\0", 5, H2_FRAME_SIZE_ERROR},
		{"a window of 2^31", H2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6, H2_FLOW_CONTROL_ERROR},
		{"PING of seven bytes", H2_PING, 0, 0, "1234567", 7, H2_FRAME_SIZE_ERROR},
		{"WINDOW_UPDATE of nothing", H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, H2_PROTOCOL_ERROR},
		{"RST_STREAM of a stream that was never opened", H2_RST_STREAM, 0, 7, "\0\0\0\0", 4, H2_PROTOCOL_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct goaway_row *row = &rows[i];
		char expected[64];
		struct h2_bench b;

		h2_bench_open(&b);
		h2_frame(&b.in, row->type, row->flags, row->stream, row->payload, row->len);
		h2_bench_feed(&b);
		assert_int_equal(b.code, MESH_OK);
		(void)snprintf(expected, sizeof(expected), "GOAWAY 0 %u %u\n", row->type == H2_HEADERS ? (unsigned)(row->stream & 1) : 0, (unsigned)row->code);
		if (b.said.data == NULL || strstr(b.said.data, expected) == NULL) {
			fail_msg("%s: not \"%s\" but \"%s\"", row->what, expected, b.said.data != NULL ? b.said.data : "");
		}
		assert_int_equal(mesh__h2_fault(b.h2), row->code);
		assert_true(mesh__h2_is_over(b.h2));
		h2_bench_end(&b);
	}
}

static void a_frame_beyond_16_kib_ends_the_connection(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_frame_claiming(&b.in, H2_DATA, 0, 1, "", 0, H2_FRAME_MAX + 1);
	h2_bench_feed(&b);
	h2_bench_said(&b, "GOAWAY 0 0 6\n");
	h2_bench_end(&b);
}

static void without_a_preface_there_is_no_connection(void **state)
{
	struct h2_bench b;

	(void)state;
	assert_true(h2_bench_begin(&b, 0));
	mesh__buf_str(&b.in, "GET / HTTP/1.1\r\n\r\n");
	h2_bench_feed(&b);
	assert_int_equal(b.code, MESH_E_PROTOCOL);
	h2_bench_end(&b);
}

static void more_streams_than_were_agreed_on_end_the_connection(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	for (uint32_t i = 0; i <= H2_BENCH_MAX_STREAMS; i++) {
		h2_bench_get(&b, 2 * i + 1);
	}
	h2_bench_feed(&b);
	h2_bench_said(&b, "GOAWAY");
	assert_null(strstr(b.told.data, "head 21"));
	h2_bench_end(&b);
}

/* Before the peer can know of the limit, it is not at fault (RFC 9113 section 5.1.2). */
static void streams_beyond_a_limit_that_is_not_known_yet_are_refused(void **state)
{
	struct h2_bench b;

	(void)state;
	assert_true(h2_bench_begin(&b, 0));
	h2_preface(&b.in);
	for (uint32_t i = 0; i <= H2_BENCH_MAX_STREAMS; i++) {
		h2_bench_get(&b, 2 * i + 1);
	}
	h2_bench_feed(&b);
	h2_bench_said(&b, "RST_STREAM 21 7\n");
	h2_bench_not_said(&b, "GOAWAY");
	assert_int_equal(mesh__h2_n_stream_faults(b.h2), 0);
	h2_bench_end(&b);
}

static void what_a_header_has_too_much_is_left_out_and_said(void **state)
{
	struct mesh__buf block;
	char long_value[H2_BENCH_MAX_BLOCK];
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	memset(long_value, 'v', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
	h2_field(&block, ":method", "GET");
	h2_field(&block, ":scheme", "https");
	h2_field(&block, ":path", "/");
	h2_field(&block, ":authority", "a");
	h2_field_indexed(&block, "kept", "table"); /* what comes behind still counts on the table */
	h2_field(&block, "long", long_value);
	h2_headers(&b.in, 1, H2_END_HEADERS | H2_END_STREAM, &block);
	h2_bench_feed(&b);
	h2_bench_told(&b, "head 1 whole: :method=GET :scheme=https :path=/ :authority=a kept=table too-large\n");
	mesh__buf_clear(&b.told);
	mesh__buf_clear(&block);
	h2_field(&block, ":method", "GET");
	h2_field(&block, ":scheme", "https");
	h2_field(&block, ":path", "/");
	h2_field(&block, ":authority", "a");
	for (int i = 0; i < H2_BENCH_MAX_FIELDS; i++) {
		h2_index(&block, H2_FIRST_INDEX);
	}
	h2_headers(&b.in, 3, H2_END_HEADERS | H2_END_STREAM, &block);
	h2_index(&block, H2_FIRST_INDEX);
	h2_headers(&b.in, 5, H2_END_HEADERS | H2_END_STREAM, &block);
	h2_bench_feed(&b);
	assert_non_null(strstr(b.told.data, " kept=table\nhead 5"));
	assert_non_null(strstr(b.told.data, " kept=table too-large\n"));
	mesh__buf_fini(&block);
	h2_bench_end(&b);
}

/* ---- Replies ---- */

static void a_body_is_pulled_as_far_as_the_windows_allow(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 1, 200000);
	assert_int_equal(b.n_data, H2_WINDOW);
	assert_int_equal(b.body_left, 200000 - H2_WINDOW);
	h2_window_update(&b.in, 1, 1000000);
	h2_bench_feed(&b);
	assert_int_equal(b.n_data, H2_WINDOW); /* the connection's is still closed */
	h2_window_update(&b.in, 0, 1000000);
	h2_bench_feed(&b);
	assert_int_equal(b.n_data, 200000);
	h2_bench_said(&b, "DATA+end 1");
	h2_bench_end(&b);
}

/* One that is not read must not hold up another. */
static void a_stream_without_a_window_leaves_the_connection_to_others(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_window_update(&b.in, 0, 1000000);
	h2_bench_get(&b, 1);
	h2_bench_get(&b, 3);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 1, 100000);
	assert_int_equal(b.n_data, H2_WINDOW);
	b.body_left = 0;
	h2_bench_reply(&b, 3, 50000);
	assert_int_equal(b.n_data, H2_WINDOW + 50000);
	h2_bench_said(&b, "DATA+end 3");
	h2_bench_end(&b);
}

/* Whoever asked first, and whatever their priorities say: a small reply waits for one frame of a large one, not for all of it. */
static void the_bodies_of_several_streams_take_turns(void **state)
{
	static const char *const priorities[] = {NULL, "priority: u=0\n", "priority: u=7, i=?0\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(priorities) / sizeof(priorities[0]); i++) {
		struct h2_bench b;

		h2_bench_open(&b);
		h2_window_update(&b.in, 0, 1000000);
		h2_request(&b.in, 1, true, "GET", "a", "/", priorities[i]);
		h2_bench_get(&b, 3);
		h2_bench_feed(&b);
		b.body_left = 4 * 16384;
		assert_int_equal(mesh__h2_reply(b.h2, 1, 200, NULL, 0, true), MESH_OK);
		assert_int_equal(mesh__h2_reply(b.h2, 3, 200, NULL, 0, true), MESH_OK);
		h2_bench_listen(&b);
		h2_bench_said(&b, "DATA 1 16384\nDATA 3 16384\nDATA 1 16384\n");
		h2_bench_end(&b);
	}
}

static void a_body_may_come_later(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	b.last = MESH__H2_LATER;
	h2_bench_reply(&b, 1, 10);
	assert_int_equal(b.n_data, 10);
	assert_false(mesh__h2_wants_send(b.h2));
	h2_bench_listen(&b);
	assert_int_equal(b.n_data, 10);
	b.body_left = 5;
	b.last = MESH__H2_END;
	assert_int_equal(mesh__h2_resume(b.h2, 1), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "DATA 1 10\nDATA+end 1 5\n");
	assert_int_equal(mesh__h2_resume(b.h2, 1), MESH_OK); /* one that is over */
	h2_bench_end(&b);
}

static void trailers_end_a_reply(void **state)
{
	static const struct mesh__field_text trailers[] = {{"Grpc-Status", "0"}, {"note", "x"}};
	struct h2_bench b;

	(void)state;
	for (size_t body = 0; body <= 7; body += 7) {
		h2_bench_open(&b);
		h2_bench_get(&b, 1);
		h2_bench_feed(&b);
		b.last = MESH__H2_TRAILERS;
		b.trailers = trailers;
		b.n_trailers = 2;
		h2_bench_reply(&b, 1, body);
		h2_bench_said(&b, "HEADERS+end 1 grpc-status: 0\nnote: x.\n");
		assert_int_equal(b.n_data, body);
		assert_non_null(strstr(b.told.data, "closed 1 0\n"));
		h2_bench_end(&b);
	}
}

static void an_interim_reply_comes_before_the_other(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/", "expect: 100-continue\n");
	h2_bench_feed(&b);
	assert_int_equal(mesh__h2_reply(b.h2, 1, 100, NULL, 0, false), MESH_OK);
	h2_data(&b.in, 1, H2_END_STREAM, "x", 1);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 1, 0);
	h2_bench_said(&b, "HEADERS 1 :status: 100.\nHEADERS+end 1 :status: 200\n");
	h2_bench_end(&b);
}

/* RFC 9113 section 8.1. */
static void a_reply_that_ends_early_is_told_and_may_end_the_request_too(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/", NULL);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 1, 3);
	h2_bench_said(&b, "DATA+end 1 3\n");
	h2_bench_not_said(&b, "RST_STREAM");
	assert_non_null(strstr(b.told.data, "early 1\n"));
	assert_int_equal(mesh__h2_reset(b.h2, 1, MESH__H2_NO_ERROR), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "RST_STREAM 1 0\n");
	assert_non_null(strstr(b.told.data, "closed 1 0\n"));
	h2_data(&b.in, 1, H2_END_STREAM, "late", 4);
	h2_bench_feed(&b);
	assert_null(strstr(b.told.data, "data"));
	h2_bench_not_said(&b, "GOAWAY");
	h2_bench_end(&b);
}

static void a_broken_body_is_a_reset(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	b.last = MESH__H2_BROKEN;
	h2_bench_reply(&b, 1, 10);
	h2_bench_said(&b, "DATA 1 10\nRST_STREAM 1 2\n");
	assert_non_null(strstr(b.told.data, "closed 1 2\n"));
	h2_bench_end(&b);
}

static void a_head_that_cannot_be_sent_is_a_reset(void **state)
{
	char big[70000];
	struct mesh__field_text field = {"big", big};
	struct h2_bench b;

	(void)state;
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	assert_int_equal(mesh__h2_reply(b.h2, 1, 200, &field, 1, false), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "RST_STREAM 1 2\n");
	h2_bench_end(&b);
}

static void a_stream_that_is_gone_is_no_failure(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_rst_stream(&b.in, 1, H2_CANCEL);
	h2_bench_feed(&b);
	assert_non_null(strstr(b.told.data, "closed 1 8\n"));
	h2_bench_reply(&b, 1, 3);
	assert_int_equal(mesh__h2_reset(b.h2, 1, MESH__H2_CANCEL), MESH_OK);
	assert_int_equal(mesh__h2_consume(b.h2, 1, 10), MESH_OK);
	h2_bench_listen(&b);
	assert_int_equal(b.code, MESH_OK);
	assert_int_equal(b.said.len, 0);
	h2_bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_with_its_settings),
		cmocka_unit_test(a_request_is_told_as_it_comes),
		cmocka_unit_test(a_request_is_the_same_in_single_bytes),
		cmocka_unit_test(several_requests_come_at_once),
		cmocka_unit_test(threat_12_a_malformed_request_is_a_stream_error),
		cmocka_unit_test(threat_12_a_body_is_as_long_as_it_said),
		cmocka_unit_test(what_breaks_the_connection_ends_it_with_the_reason),
		cmocka_unit_test(a_frame_beyond_16_kib_ends_the_connection),
		cmocka_unit_test(without_a_preface_there_is_no_connection),
		cmocka_unit_test(more_streams_than_were_agreed_on_end_the_connection),
		cmocka_unit_test(streams_beyond_a_limit_that_is_not_known_yet_are_refused),
		cmocka_unit_test(what_a_header_has_too_much_is_left_out_and_said),
		cmocka_unit_test(a_body_is_pulled_as_far_as_the_windows_allow),
		cmocka_unit_test(a_stream_without_a_window_leaves_the_connection_to_others),
		cmocka_unit_test(the_bodies_of_several_streams_take_turns),
		cmocka_unit_test(a_body_may_come_later),
		cmocka_unit_test(trailers_end_a_reply),
		cmocka_unit_test(an_interim_reply_comes_before_the_other),
		cmocka_unit_test(a_reply_that_ends_early_is_told_and_may_end_the_request_too),
		cmocka_unit_test(a_broken_body_is_a_reset),
		cmocka_unit_test(a_head_that_cannot_be_sent_is_a_reset),
		cmocka_unit_test(a_stream_that_is_gone_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
