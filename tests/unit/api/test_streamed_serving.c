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
#include <stdlib.h>
#include <string.h>

#include "base/pipe.h"
#include "h1_client.h"
#include "patience.h"
#include "serving.h"

enum { LONG_MS = 20000, PIECE = 24 * 1024 };

static const long flat_bytes = 2 << 20; /* two pipes, two ends of the core, and what TLS holds */

static struct serving s;

static size_t long_body(void)
{
	return slowed_down() ? 8 << 20 : 64 << 20;
}

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

/* ---- Handlers: /upload counts and checks what comes, /download?N sends so many bytes, /echo sends back what comes ---- */

static size_t length_asked(const mesh_inbound *in)
{
	return strtoull(mesh_inbound_query(in), NULL, 10);
}

static void reply_count(mesh_inbound *in, size_t n, bool intact)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%zu %s", n, intact ? "intact" : "damaged");

	(void)mesh_reply(in, intact ? 200 : 500, text, (size_t)len);
}

static void take_upload(mesh_inbound *in)
{
	char piece[PIECE];
	bool intact = true;
	size_t n, at = 0;
	int32_t code;

	while ((code = mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms())) == MESH_OK && n > 0) {
		intact = intact && serving_is_filled(piece, n, at);
		at += n;
	}
	reply_count(in, at, intact && code == MESH_OK);
}

static void give_download(mesh_inbound *in)
{
	size_t n, at = 0, len = length_asked(in);
	char piece[PIECE];
	int32_t code = mesh_reply_begin(in, 200);

	while (code == MESH_OK && at < len) {
		n = len - at < sizeof(piece) ? len - at : sizeof(piece);
		serving_fill(piece, n, at);
		code = mesh_reply_write(in, piece, n, &n, patient_ms());
		at += n;
	}
	(void)(code == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

static void echo(mesh_inbound *in)
{
	char piece[PIECE];
	size_t n = 1;
	int32_t code = mesh_reply_begin(in, 200);

	while (code == MESH_OK && n > 0) {
		code = mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms());
		if (code == MESH_OK && n > 0) {
			code = mesh_reply_write(in, piece, n, NULL, patient_ms());
		}
	}
	(void)(code == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

static void handle_waiting(void *user, mesh_inbound *in)
{
	(void)user;
	if (strcmp(mesh_inbound_path(in), "/upload") == 0) {
		take_upload(in);
	} else if (strcmp(mesh_inbound_path(in), "/download") == 0) {
		give_download(in);
	} else {
		echo(in);
	}
}

/* ---- The same without waiting, by events ---- */

struct job {
	mesh_inbound *in;
	int32_t (*go_on)(struct job *job); /* until MESH_E_WOULD_BLOCK; MESH_OK: it has replied; else it has failed */
	char piece[PIECE];
	size_t held, from; /* in piece; written of it */
	size_t at, len;
	bool intact;
};

static int32_t upload_on(struct job *job)
{
	int32_t code;
	size_t n;

	while ((code = mesh_inbound_read(job->in, job->piece, sizeof(job->piece), &n, 0)) == MESH_OK && n > 0) {
		job->intact = job->intact && serving_is_filled(job->piece, n, job->at);
		job->at += n;
	}
	if (code == MESH_OK) {
		reply_count(job->in, job->at, job->intact);
	}
	return code;
}

/* Writes what is in hand. */
static int32_t write_on(struct job *job)
{
	int32_t code = MESH_OK;
	size_t n;

	while (code == MESH_OK && job->from < job->held) {
		code = mesh_reply_write(job->in, job->piece + job->from, job->held - job->from, &n, 0);
		job->from += n;
	}
	return code;
}

static int32_t download_on(struct job *job)
{
	int32_t code = write_on(job);

	while (code == MESH_OK && job->at < job->len) {
		job->held = job->len - job->at < PIECE ? job->len - job->at : PIECE;
		job->from = 0;
		serving_fill(job->piece, job->held, job->at);
		job->at += job->held;
		code = write_on(job);
	}
	return code == MESH_OK ? mesh_reply_end(job->in) : code;
}

static int32_t echo_on(struct job *job)
{
	int32_t code;

	while ((code = write_on(job)) == MESH_OK) {
		code = mesh_inbound_read(job->in, job->piece, sizeof(job->piece), &job->held, 0);
		job->from = 0;
		if (code != MESH_OK || job->held == 0) {
			break;
		}
	}
	return code == MESH_OK ? mesh_reply_end(job->in) : code;
}

static void go_on(struct job *job)
{
	int32_t code = job->go_on(job);

	if (code == MESH_E_WOULD_BLOCK) {
		return;
	}
	if (code != MESH_OK) {
		(void)mesh_reply_abort(job->in);
	}
	free(job);
}

static void on_event(void *user, mesh_inbound *in, int32_t kind)
{
	(void)in;
	(void)kind;
	go_on(user);
}

static void handle_by_events(void *user, mesh_inbound *in)
{
	struct job *job = calloc(1, sizeof(*job));

	(void)user;
	job->in = in;
	job->intact = true;
	job->len = length_asked(in);
	job->go_on = strcmp(mesh_inbound_path(in), "/upload") == 0 ? upload_on : strcmp(mesh_inbound_path(in), "/download") == 0 ? download_on : echo_on;
	if (mesh_inbound_on_stream(in, on_event, job) != MESH_OK || (job->go_on != upload_on && mesh_reply_begin(in, 200) != MESH_OK)) {
		(void)mesh_reply_abort(in);
		free(job);
	} else {
		go_on(job);
	}
}

/* ---- In each mode ---- */

static const struct way {
	const char *mode;
	mesh_handler_fn handler;
} ways[] = {{"pool", handle_waiting}, {"pull", handle_waiting}, {"inline", handle_by_events}};

static void open_way(const struct way *way)
{
	serving_open(&s, way->mode, "streamed", way->handler, NULL, NULL);
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
	for (size_t i = 0; i < MESH__COUNT(ways); i++) {
		open_way(&ways[i]);
		h1_open(&c, &s.t, "cart");
		serving_forget_most(&s);
		before = s.n_bytes;
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
	for (size_t i = 0; i < MESH__COUNT(ways); i++) {
		open_way(&ways[i]);
		h1_open(&c, &s.t, "cart");
		serving_forget_most(&s);
		before = s.n_bytes;
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
	for (size_t i = 0; i < MESH__COUNT(ways); i++) {
		open_way(&ways[i]);
		h1_open(&c, &s.t, "cart");
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
	for (size_t i = 0; i < MESH__COUNT(ways); i++) {
		open_way(&ways[i]);
		h1_open(&slow, &s.t, "cart");
		h1_open(&fast, &s.t, "cart");
		serving_forget_most(&s);
		before = s.n_bytes;
		(void)snprintf(text, sizeof(text), "GET /download?%zu HTTP/1.1\r\nHost: p\r\n\r\n", len);
		assert_true(h1_say(&slow, text));
		assert_int_equal(h1_head(&slow), 200);
		assert_true(h1_say(&fast, text));
		assert_int_equal(h1_head(&fast), 200);
		expect_long_body(&fast, len);
		assert_false(slow.eof);
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
		if (h1_try_send(&c, piece, sizeof(piece)) > 0) {
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
