/* Bodies that stream through handlers, in each of the three modes: intact, at the pace of the slower side, with flat memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/pipe.h"
#include "h1_client.h"
#include "patience.h"
#include "serving.h"
#include "stream_handlers.h"

enum { LONG_MS = 20000 };

static const long flat_bytes = 2 << 20; /* two pipes, two ends of the core, and what TLS holds */

static struct serving s;

static size_t long_body(void)
{
	return long_body_bytes(64 << 20, under_valgrind() ? 2 << 20 : 8 << 20);
}

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

/* ---- In each mode ---- */

/* Payments serves in this way, and cart has a connection to it; what payments' memory comes to then. */
static long open_connected(const struct stream_way *way, struct h1_client *c)
{
	serving_open(&s, way->mode, "streamed", way->handler, NULL, NULL);
	h1_open(c, &s.t, "cart");
	serving_forget_most(&s);
	return s.n_bytes;
}

static void flat_since(long before)
{
	if (s.most_bytes - before > flat_bytes) {
		fail_msg("%s: memory grew by %ld bytes", s.mode, s.most_bytes - before);
	}
}

static void send_long_body(struct h1_client *c, size_t len)
{
	static char piece[256 * 1024];

	for (size_t at = 0; at < len; at += sizeof(piece)) {
		size_t n = len - at < sizeof(piece) ? len - at : sizeof(piece);
		serving_fill(piece, n, at);
		assert_true(h1_send(c, piece, n));
	}
}

static void expect_long_body(struct h1_client *c, size_t len)
{
	static char piece[256 * 1024];
	size_t at = 0;
	ssize_t n;

	while ((n = h1_body(c, piece, sizeof(piece))) > 0) {
		assert_true(serving_is_filled(piece, (size_t)n, at));
		at += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, len);
}

static void a_long_upload_is_intact_and_memory_flat(void **state)
{
	struct h1_client c;
	char text[128];
	long before;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		before = open_connected(&stream_ways[i], &c);
		(void)snprintf(text, sizeof(text), "POST /upload HTTP/1.1\r\nHost: p\r\nContent-Length: %zu\r\n\r\n", long_body());
		assert_true(h1_say(&c, text));
		send_long_body(&c, long_body());
		assert_int_equal(h1_head(&c), 200);
		(void)snprintf(text, sizeof(text), "%zu intact", long_body());
		assert_string_equal(h1_text(&c), text);
		flat_since(before);
		h1_close(&c);
		serving_fini(&s);
	}
}

static void a_long_download_is_intact_and_memory_flat(void **state)
{
	struct h1_client c;
	char text[128];
	long before;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		before = open_connected(&stream_ways[i], &c);
		(void)snprintf(text, sizeof(text), "GET /download?%zu HTTP/1.1\r\nHost: p\r\n\r\n", long_body());
		assert_true(h1_say(&c, text));
		assert_int_equal(h1_head(&c), 200);
		expect_long_body(&c, long_body());
		flat_since(before);
		h1_close(&c);
		serving_fini(&s);
	}
}

/* Each chunk is answered before the next is sent, then many at once. */
static void both_directions_go_on_at_once(void **state)
{
	static char piece[64 * 1024], back[64 * 1024];
	struct h1_client c;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		(void)open_connected(&stream_ways[i], &c);
		assert_true(h1_say(&c, "POST /echo HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"));
		assert_int_equal(h1_head(&c), 200);
		for (size_t round = 0, len = 1; round < 40; round++, len = len * 3 / 2 + 1 < sizeof(piece) ? len * 3 / 2 + 1 : sizeof(piece)) {
			size_t got = 0;
			serving_fill(piece, len, round);
			assert_true(h1_send_chunk(&c, piece, len));
			while (got < len) {
				ssize_t n = h1_body(&c, back + got, len - got);
				assert_true(n > 0);
				got += (size_t)n;
			}
			assert_memory_equal(piece, back, len);
		}
		assert_true(h1_send_end(&c, ""));
		assert_int_equal(h1_body(&c, back, sizeof(back)), 0);
		h1_close(&c);
		serving_fini(&s);
	}
}

/* The slow one takes what its socket holds, and then nothing; the server must not hold the rest for it, nor keep others waiting. */
static void a_slow_reader_holds_up_nobody(void **state)
{
	struct h1_client slow, fast;
	const size_t len = long_body() / 4;
	char text[128];
	long before;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		(void)open_connected(&stream_ways[i], &slow);
		h1_open(&fast, &s.t, "cart");
		serving_forget_most(&s);
		before = s.n_bytes;
		(void)snprintf(text, sizeof(text), "GET /download?%zu HTTP/1.1\r\nHost: p\r\n\r\n", len);
		assert_true(h1_say(&slow, text));
		assert_int_equal(h1_head(&slow), 200);
		assert_true(h1_say(&fast, text));
		assert_int_equal(h1_head(&fast), 200);
		expect_long_body(&fast, len);
		assert_false(slow.wire.eof);
		expect_long_body(&slow, len);
		flat_since(before);
		h1_close(&slow);
		h1_close(&fast);
		serving_fini(&s);
	}
}

/* A handler that does not read: the caller cannot send for ever. */
static _Atomic int n_kept;
static mesh_inbound *kept;

static void keep(void *user, mesh_inbound *in)
{
	(void)user;
	kept = in;
	atomic_store(&n_kept, 1);
}

static mesh_inbound *await_kept(void)
{
	while (atomic_load(&n_kept) == 0) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	atomic_store(&n_kept, 0);
	return kept;
}

static void what_nobody_reads_is_not_taken(void **state)
{
	static char piece[16 * 1024];
	struct h1_client c;
	size_t sent = 0, at = 0, n;
	mesh_inbound *in;

	(void)state;
	serving_open(&s, "pool", "streamed", keep, NULL, NULL);
	h1_open(&c, &s.t, "cart");
	assert_true(h1_say(&c, "POST /upload HTTP/1.1\r\nHost: p\r\nContent-Length: 67108864\r\n\r\n"));
	in = await_kept();
	for (int idle = 0; idle < 50;) {
		serving_fill(piece, sizeof(piece), sent);
		if (tls_wire_try_send(&c.wire, piece, sizeof(piece)) > 0) {
			sent += sizeof(piece);
			idle = 0;
		} else {
			(void)poll(NULL, 0, 2); /* lint: waits for an event: for the server to take more, which it must not */
			idle++;
		}
	}
	assert_in_range(sent, MESH__PIPE_HIGH, 12 << 20); /* sockets of both sides, the core's bound, the pipe's */
	/* And all that was sent is there. */
	while (at < sent - 64 * 1024) {
		assert_int_equal(mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms()), MESH_OK);
		assert_true(serving_is_filled(piece, n, at));
		at += n;
	}
	assert_int_equal(mesh_reply(in, 200, "enough", 6), MESH_OK);
	h1_close(&c);
	serving_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_upload_is_intact_and_memory_flat),
		cmocka_unit_test(a_long_download_is_intact_and_memory_flat),
		cmocka_unit_test(both_directions_go_on_at_once),
		cmocka_unit_test(a_slow_reader_holds_up_nobody),
		cmocka_unit_test(what_nobody_reads_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
