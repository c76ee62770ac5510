/* Rules: what an HTTP/2 connection may cost: floods, windows, its end, memory (THREATS 10, 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/h2_bench.h"

enum { SECOND_US = 1000 * 1000 };

/* ---- Floods: THREATS 10 and 11 ---- */

static void flood_pings(struct mesh__buf *in, uint32_t i)
{
	h2_ping(in, 0, i);
}

static void flood_settings(struct mesh__buf *in, uint32_t i)
{
	(void)i;
	h2_settings(in, NULL, 0);
}

static void flood_priorities(struct mesh__buf *in, uint32_t i)
{
	h2_priority(in, 2 * i + 1001, 0, 1);
}

static void flood_empty_data(struct mesh__buf *in, uint32_t i)
{
	if (i == 0) {
		h2_request(in, 1, false, "POST", "a", "/", NULL);
	}
	h2_data(in, 1, 0, "", 0);
}

static void flood_padding(struct mesh__buf *in, uint32_t i)
{
	if (i == 0) {
		h2_request(in, 1, false, "POST", "a", "/", NULL);
	}
	h2_frame(in, H2_DATA, H2_PADDED, 1, "\3\0\0\0", 4);
}

static void flood_window_updates(struct mesh__buf *in, uint32_t i)
{
	(void)i;
	h2_window_update(in, 0, 1);
}

static void flood_goaways(struct mesh__buf *in, uint32_t i)
{
	if (i == 0) {
		h2_request(in, 1, true, "GET", "a", "/", NULL); /* keeps it open */
	}
	h2_goaway(in, 0, H2_NO_ERROR);
}

static void flood_resets(struct mesh__buf *in, uint32_t i)
{
	h2_request(in, 2 * i + 1, true, "GET", "a", "/", NULL);
	h2_rst_stream(in, 2 * i + 1, H2_CANCEL);
}

/* CVE-2025-8671: it is we who reset. */
static void flood_provoked_resets(struct mesh__buf *in, uint32_t i)
{
	h2_request(in, 2 * i + 1, true, "GET", "a", "/", NULL);
	h2_window_update(in, 2 * i + 1, INT32_MAX);
}

static void flood_malformed(struct mesh__buf *in, uint32_t i)
{
	h2_request(in, 2 * i + 1, true, "GET", "a", "/", "connection: close\n");
}

static void flood_continuations(struct mesh__buf *in, uint32_t i)
{
	struct mesh__buf block;

	mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
	h2_field(&block, i == 0 ? ":method" : "a", "GET");
	if (i == 0) {
		h2_headers(in, 1, 0, &block);
	} else {
		h2_continuation(in, 1, 0, block.data, block.len);
	}
	mesh__buf_fini(&block);
}

/* One byte here is four kilobytes there. */
static void flood_bomb(struct mesh__buf *in, uint32_t i)
{
	struct mesh__buf block;
	char value[4001];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	mesh__buf_init(&block, mesh__mem_libc(), SIZE_MAX / 2);
	h2_field(&block, ":method", "GET");
	h2_field_indexed(&block, "bomb", value);
	for (int n = 0; n < 10000; n++) {
		h2_index(&block, H2_FIRST_INDEX);
	}
	h2_headers(in, 2 * i + 1, H2_END_HEADERS, &block);
	mesh__buf_fini(&block);
}

static const struct {
	void (*one)(struct mesh__buf *in, uint32_t i);
	uint32_t n; /* so many are one too many */
	enum mesh__h2_flood flood;
} floods[] = {
	{flood_pings, 1001, MESH__H2_FLOOD_PING},
	{flood_settings, 49, MESH__H2_FLOOD_SETTINGS}, /* SETTINGS and an acknowledgement came with the preface */
	{flood_priorities, 1001, MESH__H2_FLOOD_PRIORITY},
	{flood_empty_data, 101, MESH__H2_FLOOD_EMPTY_DATA},
	{flood_padding, 101, MESH__H2_FLOOD_EMPTY_DATA},
	{flood_window_updates, 1001, MESH__H2_FLOOD_WINDOW_UPDATE},
	{flood_goaways, 11, MESH__H2_FLOOD_GOAWAY},
	{flood_resets, MESH__H2_RESETS_MAX + 1, MESH__H2_FLOOD_RESETS},
	{flood_provoked_resets, MESH__H2_RESETS_MAX + 1, MESH__H2_FLOOD_RESETS},
	{flood_malformed, MESH__H2_RESETS_MAX + 1, MESH__H2_FLOOD_RESETS},
	{flood_continuations, MESH__H2_CONTINUATIONS_MAX + 2, MESH__H2_FLOOD_CONTINUATION},
	{flood_bomb, 1, MESH__H2_FLOOD_HEADER},
};

static void threats_10_and_11_who_floods_is_told_to_calm_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct h2_bench b;

		h2_bench_open(&b);
		b.now_us += 1000; /* the second in which it all comes is that of the SETTINGS */
		for (uint32_t n = 0; n < floods[i].n; n++) {
			if (mesh__h2_flooded(b.h2) != MESH__H2_FLOOD_NONE) {
				fail_msg("row %zu: already after %u", i, (unsigned)n);
			}
			floods[i].one(&b.in, n);
			h2_bench_feed(&b);
		}
		assert_int_equal(b.code, MESH_OK);
		if (mesh__h2_flooded(b.h2) != floods[i].flood) {
			fail_msg("row %zu: %d after %u", i, (int)mesh__h2_flooded(b.h2), (unsigned)floods[i].n);
		}
		h2_bench_said(&b, "GOAWAY 0 ");
		assert_int_equal(mesh__h2_fault(b.h2), H2_ENHANCE_YOUR_CALM);
		mesh__buf_clear(&b.told);
		h2_bench_get(&b, 2001);
		h2_bench_feed(&b);
		h2_bench_told(&b, "");
		h2_bench_end(&b);
	}
}

/* All of it in one read, before we have said a word. */
static void threats_10_and_11_a_flood_in_one_piece_is_none_the_less_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct h2_bench b;

		h2_bench_open(&b);
		for (uint32_t n = 0; n < 3 * floods[i].n; n++) {
			floods[i].one(&b.in, n);
		}
		h2_bench_feed(&b);
		assert_int_equal(b.code, MESH_OK);
		if (b.said.data == NULL || strstr(b.said.data, "GOAWAY 0 ") == NULL || mesh__h2_fault(b.h2) == H2_NO_ERROR) {
			fail_msg("row %zu: said \"%s\"", i, b.said.data != NULL ? b.said.data : "");
		}
		h2_bench_end(&b);
	}
}

static void a_flood_slow_enough_is_none(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	for (uint32_t n = 0; n < 30; n++) {
		b.now_us += SECOND_US;
		for (uint32_t i = 0; i < 1000; i++) {
			flood_pings(&b.in, i);
		}
		flood_resets(&b.in, n);
		h2_bench_feed(&b);
	}
	assert_int_equal(mesh__h2_flooded(b.h2), MESH__H2_FLOOD_NONE);
	h2_bench_not_said(&b, "GOAWAY");
	h2_bench_end(&b);
}

/* ---- Windows ---- */

static void fill(struct h2_bench *b, uint32_t stream, size_t n, bool padded)
{
	static const char bytes[1024];

	for (size_t i = 0; i < n; i += sizeof(bytes)) {
		if (padded) {
			h2_frame(&b->in, H2_DATA, H2_PADDED, stream, bytes, sizeof(bytes)); /* a length of no padding, and 1023 bytes */
		} else {
			h2_data(&b->in, stream, 0, bytes, sizeof(bytes));
		}
	}
	h2_bench_feed(b);
}

static void a_body_that_is_not_read_closes_its_own_window_alone(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/", NULL);
	h2_request(&b.in, 3, false, "POST", "a", "/", NULL);
	fill(&b, 1, H2_BENCH_STREAM_WINDOW, false);
	h2_bench_not_said(&b, "WINDOW_UPDATE 1");
	for (int i = 0; i < 8; i++) { /* twice the connection's window */
		mesh__buf_clear(&b.said);
		fill(&b, 3, H2_BENCH_STREAM_WINDOW, i % 2 == 1);
		assert_int_equal(mesh__h2_consume(b.h2, 3, H2_BENCH_STREAM_WINDOW - (i % 2 == 1 ? H2_BENCH_STREAM_WINDOW / 1024 : 0)), MESH_OK);
		h2_bench_listen(&b);
		h2_bench_said(&b, "WINDOW_UPDATE 3");
		h2_bench_not_said(&b, "RST_STREAM");
	}
	mesh__buf_clear(&b.said);
	assert_int_equal(mesh__h2_consume(b.h2, 1, H2_BENCH_STREAM_WINDOW), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "WINDOW_UPDATE 1 262144\n");
	h2_bench_end(&b);
}

static void who_sends_more_than_the_window_is_reset(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/", NULL);
	fill(&b, 1, H2_BENCH_STREAM_WINDOW, false);
	h2_bench_not_said(&b, "RST_STREAM");
	h2_data(&b.in, 1, 0, "x", 1);
	h2_bench_feed(&b);
	h2_bench_said(&b, "RST_STREAM 1 3\n");
	assert_int_equal(mesh__h2_n_stream_faults(b.h2), 1);
	h2_bench_end(&b);
}

/* What comes for a stream that is gone must not use up the connection's window. */
static void a_body_that_nobody_wants_is_given_back(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_request(&b.in, 1, false, "POST", "a", "/", NULL);
	h2_bench_feed(&b);
	assert_int_equal(mesh__h2_reset(b.h2, 1, MESH__H2_CANCEL), MESH_OK);
	h2_bench_listen(&b);
	for (int i = 0; i < 16; i++) {
		mesh__buf_clear(&b.said);
		fill(&b, 1, H2_BENCH_STREAM_WINDOW, false);
		h2_bench_not_said(&b, "GOAWAY");
	}
	assert_null(strstr(b.told.data, "data"));
	h2_bench_end(&b);
}

/* ---- The end ---- */

static void a_connection_ends_in_two_steps(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	assert_int_equal(mesh__h2_announce_end(b.h2), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "GOAWAY 0 2147483647 0\n");
	h2_bench_get(&b, 3); /* was on its way */
	h2_bench_feed(&b);
	assert_non_null(strstr(b.told.data, "head 3"));
	assert_int_equal(mesh__h2_end(b.h2), MESH_OK);
	h2_bench_listen(&b);
	h2_bench_said(&b, "GOAWAY 0 3 0\n");
	h2_bench_get(&b, 5); /* came too late; who reads GOAWAY knows that it was not processed */
	h2_bench_feed(&b);
	assert_null(strstr(b.told.data, "head 5"));
	h2_bench_reply(&b, 1, 0);
	assert_false(mesh__h2_is_over(b.h2));
	h2_bench_reply(&b, 3, 9);
	h2_bench_said(&b, "DATA+end 3 9\n");
	assert_true(mesh__h2_is_over(b.h2));
	assert_int_equal(mesh__h2_fault(b.h2), MESH__H2_NO_ERROR);
	h2_bench_end(&b);
}

static void a_peer_that_says_goaway_still_gets_its_answers(void **state)
{
	struct h2_bench b;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_goaway(&b.in, 0, H2_NO_ERROR);
	h2_bench_feed(&b);
	assert_false(mesh__h2_is_over(b.h2));
	h2_bench_reply(&b, 1, 3);
	h2_bench_said(&b, "DATA+end 1 3\n");
	assert_true(mesh__h2_is_over(b.h2));
	h2_bench_end(&b);
}

/* ---- Memory ---- */

/* A whole conversation; false as soon as memory fails. */
static bool converse(struct h2_bench *b)
{
	static const struct mesh__field_text trailer = {"t", "u"};

	h2_preface(&b->in);
	h2_request(&b->in, 1, false, "POST", "a", "/", "accept: b\n");
	h2_data(&b->in, 1, 0, "12345", 5);
	h2_trailers(&b->in, 1, "t: u\n");
	h2_request(&b->in, 3, false, "POST", "a", "/", NULL);
	h2_ping(&b->in, 0, 1);
	h2_bench_feed(b);
	if (b->code != MESH_OK) {
		return false;
	}
	b->last = MESH__H2_TRAILERS;
	b->trailers = &trailer;
	b->n_trailers = 1;
	b->body_left = 100000;
	if (mesh__h2_reply(b->h2, 1, 200, &trailer, 1, true) != MESH_OK || mesh__h2_reset(b->h2, 3, MESH__H2_CANCEL) != MESH_OK ||
		mesh__h2_consume(b->h2, 1, 5) != MESH_OK || mesh__h2_announce_end(b->h2) != MESH_OK || mesh__h2_end(b->h2) != MESH_OK) {
		return false;
	}
	h2_bench_listen(b);
	if (b->code != MESH_OK) {
		return false;
	}
	h2_window_update(&b->in, 0, 100000);
	h2_window_update(&b->in, 1, 100000);
	h2_bench_feed(b);
	return b->code == MESH_OK;
}

static void memory_may_fail_anywhere(void **state)
{
	long n = 0;
	bool done = false;

	(void)state;
	while (!done) {
		struct h2_bench b;

		n++;
		if (h2_bench_begin(&b, n) && converse(&b)) {
			done = b.mem.count < n;
			if (done) {
				h2_bench_said(&b, "HEADERS+end 1 t: u.\n");
			}
		} else {
			assert_true(b.code == MESH_OK || b.code == MESH_E_NO_MEMORY);
		}
		h2_bench_end(&b);
	}
	assert_true(n > 20);
}

static void a_connection_at_rest_keeps_little(void **state)
{
	struct h2_bench b;
	long before;

	(void)state;
	h2_bench_open(&b);
	h2_bench_get(&b, 1);
	h2_bench_feed(&b);
	h2_bench_reply(&b, 1, 10);
	before = b.mem.live;
	for (uint32_t i = 1; i < 5000; i++) {
		h2_bench_get(&b, 2 * i + 1);
		h2_bench_feed(&b);
		h2_bench_reply(&b, (int32_t)(2 * i + 1), 10);
	}
	assert_true(b.mem.live <= before + 4);
	h2_bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threats_10_and_11_who_floods_is_told_to_calm_down),
		cmocka_unit_test(threats_10_and_11_a_flood_in_one_piece_is_none_the_less_one),
		cmocka_unit_test(a_flood_slow_enough_is_none),
		cmocka_unit_test(a_body_that_is_not_read_closes_its_own_window_alone),
		cmocka_unit_test(who_sends_more_than_the_window_is_reset),
		cmocka_unit_test(a_body_that_nobody_wants_is_given_back),
		cmocka_unit_test(a_connection_ends_in_two_steps),
		cmocka_unit_test(a_peer_that_says_goaway_still_gets_its_answers),
		cmocka_unit_test(memory_may_fail_anywhere),
		cmocka_unit_test(a_connection_at_rest_keeps_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
