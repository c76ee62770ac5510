/* What the tests of HTTP/2 stand on (tests/support/h2_frames, h2_peer): frames to the byte, read back, against nghttp2 where that is the judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "h2_peer.h"

static struct mesh__buf out;

static int set_up(void **state)
{
	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__buf_fini(&out);
	return 0;
}

static void assert_bytes(const char *bytes, size_t len)
{
	assert_int_equal(mesh__buf_error(&out, "frames", NULL), MESH_OK);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, bytes, len);
	mesh__buf_clear(&out);
}
#define ASSERT_BYTES(text) assert_bytes(text, sizeof(text) - 1)

static void writes_each_frame_as_rfc_9113_draws_it(void **state)
{
	static const struct h2_setting settings[] = {{H2_MAX_CONCURRENT_STREAMS, 100}, {H2_INITIAL_WINDOW_SIZE, 0x1020304}};

	(void)state;
	h2_frame(&out, 0xfa, 0xff, 0x80000001, "ab", 2);
	ASSERT_BYTES("\0\0\2\xfa\xff\x80\0\0\1ab");
	h2_frame_claiming(&out, H2_DATA, 0, 1, "a", 1, 0x010203);
	ASSERT_BYTES("\1\2\3\0\0\0\0\0\1a");
	h2_settings(&out, settings, 2);
	ASSERT_BYTES("\0\0\14\4\0\0\0\0\0\0\3\0\0\0\144\0\4\1\2\3\4");
	h2_settings_ack(&out);
	ASSERT_BYTES("\0\0\0\4\1\0\0\0\0");
	h2_preface(&out);
	ASSERT_BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0");
	h2_continuation(&out, 3, H2_END_HEADERS, "x", 1);
	ASSERT_BYTES("\0\0\1\11\4\0\0\0\3x");
	h2_data(&out, 3, H2_END_STREAM, NULL, 0);
	ASSERT_BYTES("\0\0\0\0\1\0\0\0\3");
	h2_rst_stream(&out, 5, H2_CANCEL);
	ASSERT_BYTES("\0\0\4\3\0\0\0\0\5\0\0\0\10");
	h2_goaway(&out, 7, H2_ENHANCE_YOUR_CALM);
	ASSERT_BYTES("\0\0\10\7\0\0\0\0\0\0\0\0\7\0\0\0\13");
	h2_ping(&out, H2_ACK, 0x0102030405060708);
	ASSERT_BYTES("\0\0\10\6\1\0\0\0\0\1\2\3\4\5\6\7\10");
	h2_priority(&out, 3, 0x80000003, 15);
	ASSERT_BYTES("\0\0\5\2\0\0\0\0\3\x80\0\0\3\17");
	h2_window_update(&out, 0, INT32_MAX);
	ASSERT_BYTES("\0\0\4\10\0\0\0\0\0\x7f\xff\xff\xff");
}

/* RFC 7541, C.1 and C.2. */
static void writes_fields_as_rfc_7541_draws_them(void **state)
{
	(void)state;
	h2_integer(&out, 0, 5, 10);
	ASSERT_BYTES("\12");
	h2_integer(&out, 0xe0, 5, 1337);
	ASSERT_BYTES("\xff\x9a\12");
	h2_integer(&out, 0, 8, 42);
	ASSERT_BYTES("\52");
	h2_field_indexed(&out, "custom-key", "custom-header");
	ASSERT_BYTES("\x40\x0a" "custom-key\x0d" "custom-header");
	h2_field(&out, "Up", "");
	ASSERT_BYTES("\0\2Up\0");
	h2_index(&out, H2_FIRST_INDEX);
	ASSERT_BYTES("\xbe");
}

static void reads_frames_only_when_they_are_whole(void **state)
{
	struct h2_frame_view frame;

	(void)state;
	h2_goaway(&out, 7, H2_ENHANCE_YOUR_CALM);
	h2_frame(&out, H2_DATA, H2_END_STREAM, 0x80000009, "abc", 3);
	for (size_t len = 0; len < H2_FRAME_HEAD + 8; len++) {
		assert_int_equal(h2_frame_next(out.data, len, &frame), 0);
	}
	assert_int_equal(h2_frame_next(out.data, out.len, &frame), H2_FRAME_HEAD + 8);
	assert_string_equal(h2_type_name(frame.type), "GOAWAY");
	assert_int_equal(h2_frame_number(&frame, 0), 7);
	assert_int_equal(h2_frame_number(&frame, 4), H2_ENHANCE_YOUR_CALM);
	assert_int_equal(h2_frame_number(&frame, 5), UINT32_MAX);
	assert_int_equal(h2_frame_next(out.data + H2_FRAME_HEAD + 8, out.len - H2_FRAME_HEAD - 8, &frame), H2_FRAME_HEAD + 3);
	assert_int_equal(frame.stream, 9);
	assert_int_equal(frame.flags, H2_END_STREAM);
	assert_memory_equal(frame.payload, "abc", 3);
	assert_string_equal(h2_type_name(0xfa), "?");
}

static void inflates_what_it_wrote_with_the_table_kept(void **state)
{
	struct h2_inflater *inflater = h2_inflater_new();
	struct mesh__buf lines;
	char big[300];

	(void)state;
	memset(big, 'v', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	mesh__buf_init(&lines, mesh__mem_libc(), 1 << 16);
	h2_field_indexed(&out, "a", "1");
	h2_field(&out, "big", big);
	assert_true(h2_inflate(inflater, out.data, out.len, &lines));
	assert_int_equal(lines.len, strlen("a: 1\nbig: \n") + strlen(big));
	mesh__buf_clear(&out);
	mesh__buf_clear(&lines);
	h2_index(&out, H2_FIRST_INDEX);
	h2_index(&out, H2_FIRST_INDEX);
	assert_true(h2_inflate(inflater, out.data, out.len, &lines));
	assert_string_equal(lines.data, "a: 1\na: 1\n");
	assert_false(h2_inflate(inflater, "\xbf", 1, &lines)); /* no such index */
	h2_inflater_free(inflater);
	mesh__buf_fini(&lines);
}

static void refuses_a_block_that_ends_within_a_field(void **state)
{
	struct mesh__buf lines;

	(void)state;
	mesh__buf_init(&lines, mesh__mem_libc(), 1 << 16);
	h2_field(&out, "name", "value");
	for (size_t len = 1; len < out.len; len++) {
		struct h2_inflater *inflater = h2_inflater_new();
		assert_false(h2_inflate(inflater, out.data, len, &lines));
		h2_inflater_free(inflater);
	}
	mesh__buf_fini(&lines);
}

/* ---- nghttp2 judges ---- */

struct judged {
	int n_frames, n_bad, n_ended;
	char fields[512];
};

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct judged *judged = user;

	(void)session;
	judged->n_frames++;
	judged->n_ended += (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	return 0;
}

static int on_bad_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
	(void)session;
	(void)frame;
	(void)code;
	((struct judged *)user)->n_bad++;
	return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct judged *judged = user;
	size_t len = strlen(judged->fields);

	(void)session;
	(void)frame;
	(void)flags;
	(void)snprintf(judged->fields + len, sizeof(judged->fields) - len, "%.*s=%.*s ", (int)name_len, (const char *)name, (int)value_len, (const char *)value);
	return 0;
}

static void what_a_client_says_is_what_nghttp2_takes(void **state)
{
	struct judged judged = {0};
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	(void)state;
	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_bad_frame);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
	assert_int_equal(nghttp2_session_server_new(&session, callbacks, &judged), 0);
	assert_int_equal(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	h2_preface(&out);
	h2_settings_ack(&out);
	h2_request(&out, 1, false, "POST", "a", "/x", "te: trailers\n");
	h2_data(&out, 1, 0, "body", 4);
	h2_trailers(&out, 1, "t: 1\n");
	h2_ping(&out, 0, 1);
	h2_request(&out, 3, true, "GET", "a", "/", NULL);
	h2_priority(&out, 3, 1, 1);
	h2_window_update(&out, 0, 100);
	h2_rst_stream(&out, 3, H2_CANCEL);
	h2_goaway(&out, 0, H2_NO_ERROR);
	while (true) {
		const uint8_t *bytes;
		if (nghttp2_session_mem_send(session, &bytes) <= 0) {
			break;
		}
	}
	assert_int_equal(nghttp2_session_mem_recv(session, (const uint8_t *)out.data, out.len), out.len);
	assert_int_equal(judged.n_bad, 0);
	assert_int_equal(judged.n_frames, 11);
	assert_int_equal(judged.n_ended, 2);
	assert_string_equal(judged.fields, ":method=POST :scheme=https :authority=a :path=/x te=trailers t=1 :method=GET :scheme=https :authority=a :path=/ ");
	nghttp2_session_del(session);
	nghttp2_session_callbacks_del(callbacks);
}

/* ---- A connection ---- */

struct ends {
	struct raw_conn conns[2];
	struct h2_peer client, server;
};

static int open_ends(void **state)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	struct timeval minute = {.tv_sec = 60};
	int fds[2];

	assert_non_null(ends);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute)), 0);
		ends->conns[i] = (struct raw_conn){.fd = fds[i]};
	}
	h2_peer_init(&ends->client, &ends->conns[0]);
	h2_peer_init(&ends->server, &ends->conns[1]);
	*state = ends;
	return 0;
}

static int close_ends(void **state)
{
	struct ends *ends = *state;

	h2_peer_fini(&ends->client);
	h2_peer_fini(&ends->server);
	for (int i = 0; i < 2; i++) {
		free(ends->conns[i].pending);
		close(ends->conns[i].fd);
	}
	free(ends);
	return 0;
}

static void greet(struct ends *ends)
{
	h2_preface(&ends->client.out);
	assert_true(h2_peer_flush(&ends->client));
	assert_true(h2_peer_greet(&ends->server, NULL, 0));
}

static void a_request_of_many_frames_is_one_message_and_its_answer_another(void **state)
{
	struct ends *ends = *state;
	struct h2_peer *client = &ends->client, *server = &ends->server;
	struct h2_message message;
	struct h2_frame_view frame;
	struct mesh__buf block, body;
	char text[32];

	greet(ends);
	mesh__buf_init(&block, mesh__mem_libc(), 1 << 16);
	mesh__buf_init(&body, mesh__mem_libc(), 1 << 16);
	h2_field(&block, ":method", "POST");
	h2_field(&block, "x-long", "0123456789");
	h2_frame(&client->out, H2_HEADERS, H2_HAS_PRIORITY | H2_PADDED, 1, "\2\0\0\0\0\1\0\0", 8); /* no fragment, two bytes of padding */
	h2_continuation(&client->out, 1, 0, block.data, 5);
	h2_continuation(&client->out, 1, H2_END_HEADERS, block.data + 5, block.len - 5);
	h2_data(&client->out, 1, H2_PADDED, "\2one\0\0", 6);
	h2_trailers(&client->out, 1, "t: 1\n");
	assert_true(h2_peer_flush(client));
	assert_true(h2_peer_message(server, &message));
	assert_int_equal(message.stream, 1);
	assert_false(message.ended);
	assert_string_equal(message.lines, ":method: POST\nx-long: 0123456789\n");
	assert_true(h2_message_field(&message, "x-long", text, sizeof(text)));
	assert_string_equal(text, "0123456789");
	assert_true(h2_message_field(&message, ":method", text, sizeof(text)));
	assert_false(h2_message_field(&message, "method", text, sizeof(text)));
	assert_true(h2_peer_body(server, 1, &body));
	assert_string_equal(body.data, "one");
	assert_true(h2_peer_answer(server, 1, 204, "done"));
	assert_true(h2_peer_await(client, H2_SETTINGS, 0, &frame));
	assert_true(h2_peer_await(client, H2_SETTINGS, 0, &frame));
	assert_int_equal(frame.flags, H2_ACK);
	assert_true(h2_peer_await(client, H2_WINDOW_UPDATE, 1, &frame));
	assert_int_equal(h2_frame_number(&frame, 0), 6);
	assert_true(h2_peer_message(client, &message));
	assert_string_equal(message.lines, ":status: 204\n");
	assert_true(h2_peer_await(client, H2_DATA, 1, &frame));
	assert_int_equal(frame.len, 4);
	mesh__buf_fini(&block);
	mesh__buf_fini(&body);
}

static void streams_that_end_out_of_order_are_told_as_they_end(void **state)
{
	struct ends *ends = *state;
	uint32_t stream;

	greet(ends);
	h2_request(&ends->client.out, 1, false, "POST", "a", "/", NULL);
	h2_request(&ends->client.out, 3, true, "GET", "a", "/", NULL);
	h2_data(&ends->client.out, 1, H2_END_STREAM, "x", 1);
	assert_true(h2_peer_flush(&ends->client));
	assert_true(h2_peer_ended(&ends->server, &stream));
	assert_int_equal(stream, 3);
	assert_true(h2_peer_ended(&ends->server, &stream));
	assert_int_equal(stream, 1);
}

static void a_reset_ends_a_body_and_a_ping_is_answered(void **state)
{
	struct ends *ends = *state;
	struct h2_frame_view frame;
	struct mesh__buf body;

	greet(ends);
	mesh__buf_init(&body, mesh__mem_libc(), 1 << 16);
	h2_data(&ends->client.out, 1, 0, "x", 1);
	h2_ping(&ends->client.out, 0, 0x1122334455667788);
	h2_rst_stream(&ends->client.out, 1, H2_CANCEL);
	assert_true(h2_peer_flush(&ends->client));
	assert_false(h2_peer_body(&ends->server, 1, &body));
	assert_true(h2_peer_await(&ends->client, H2_PING, 0, &frame));
	assert_int_equal(frame.flags, H2_ACK);
	assert_int_equal(h2_frame_number(&frame, 4), 0x55667788);
	mesh__buf_fini(&body);
}

static void what_is_no_preface_is_no_connection(void **state)
{
	struct ends *ends = *state;

	mesh__buf_str(&ends->client.out, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(h2_peer_flush(&ends->client));
	assert_false(h2_peer_greet(&ends->server, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(writes_each_frame_as_rfc_9113_draws_it, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(writes_fields_as_rfc_7541_draws_them, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(reads_frames_only_when_they_are_whole, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(inflates_what_it_wrote_with_the_table_kept, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(refuses_a_block_that_ends_within_a_field, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_a_client_says_is_what_nghttp2_takes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_request_of_many_frames_is_one_message_and_its_answer_another, open_ends, close_ends),
	    cmocka_unit_test_setup_teardown(streams_that_end_out_of_order_are_told_as_they_end, open_ends, close_ends),
	    cmocka_unit_test_setup_teardown(a_reset_ends_a_body_and_a_ping_is_answered, open_ends, close_ends),
	    cmocka_unit_test_setup_teardown(what_is_no_preface_is_no_connection, open_ends, close_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
