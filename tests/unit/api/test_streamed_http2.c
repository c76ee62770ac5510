/* Bodies that stream through handlers over HTTP/2, several on one connection: intact, each at its own pace, with flat memory; and their other ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "h2_caller.h"
#include "kept.h"
#include "patience.h"
#include "serving.h"
#include "stream_handlers.h"

static const long flat_bytes = 4 << 20; /* as over HTTP/1.1, for each of two streams, and the connection's window */

static struct serving s;
static struct h2_caller c;

static size_t long_body(void)
{
	return long_body_bytes(16 << 20, 4 << 20);
}

/* Payments serves in this way, and cart has a connection to it; what payments' memory comes to then. */
static long open_way(const struct stream_way *way)
{
	serving_open(&s, way->mode, "streamed", way->handler, NULL, NULL);
	h2_caller_open(&c, &s.t, "cart");
	serving_forget_most(&s);
	return s.n_bytes;
}

static void close_way(void)
{
	h2_caller_close(&c);
	serving_fini(&s);
}

static void flat_since(long before)
{
	if (s.most_bytes - before > flat_bytes) {
		fail_msg("%s: memory grew by %ld bytes", s.mode, s.most_bytes - before);
	}
}

static void send_long_body(uint32_t n, size_t len)
{
	static char piece[64 * 1024];

	for (size_t at = 0; at < len; at += sizeof(piece)) {
		size_t some = len - at < sizeof(piece) ? len - at : sizeof(piece);
		serving_fill(piece, some, at);
		assert_true(h2_caller_send(&c, n, piece, some));
	}
}

static void long_bodies_are_intact_both_ways_and_memory_flat(void **state)
{
	char path[64], text[64];
	uint32_t up, down, both;
	long before;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		before = open_way(&stream_ways[i]);
		up = h2_caller_request(&c, "POST", "/upload", false);
		send_long_body(up, long_body());
		h2_caller_end(&c, up, NULL);
		assert_true(h2_caller_await_end(&c, up));
		(void)snprintf(text, sizeof(text), "%zu intact", long_body());
		assert_string_equal(c.streams[up].text, text);
		(void)snprintf(path, sizeof(path), "/download?%zu", long_body());
		down = h2_caller_request(&c, "GET", path, true);
		both = h2_caller_request(&c, "POST", "/echo", false);
		send_long_body(both, long_body() / 4); /* while the other comes */
		h2_caller_end(&c, both, NULL);
		assert_true(h2_caller_await_end(&c, down) && h2_caller_await_end(&c, both));
		assert_true(c.streams[down].intact && c.streams[both].intact);
		assert_int_equal(c.streams[down].n_body, long_body());
		assert_int_equal(c.streams[both].n_body, long_body() / 4);
		flat_since(before);
		close_way();
	}
}

/* On one connection: the slow stream gives no window back, and then all. */
static void a_slow_stream_holds_up_none_beside_it(void **state)
{
	const size_t len = long_body() / 4;
	uint32_t slow, fast, up;
	char path[64];
	long before;

	(void)state;
	for (size_t i = 0; i < STREAM_WAYS; i++) {
		before = open_way(&stream_ways[i]);
		(void)snprintf(path, sizeof(path), "/download?%zu", len);
		slow = h2_caller_request(&c, "GET", path, true);
		c.streams[slow].slow = true;
		while (c.streams[slow].n_body < H2_WINDOW) {
			assert_true(h2_caller_step(&c));
		}
		fast = h2_caller_request(&c, "GET", path, true);
		up = h2_caller_request(&c, "POST", "/upload", false);
		send_long_body(up, len);
		h2_caller_end(&c, up, NULL);
		assert_true(h2_caller_await_end(&c, up) && h2_caller_await_end(&c, fast));
		assert_int_equal(c.streams[slow].n_body, H2_WINDOW); /* and not a byte more */
		flat_since(before);
		c.streams[slow].slow = false;
		assert_true(h2_caller_await_end(&c, slow));
		assert_true(c.streams[slow].intact && c.streams[fast].intact);
		assert_int_equal(c.streams[slow].n_body, len);
		assert_int_equal(c.streams[fast].n_body, len);
		close_way();
	}
}

/* ---- The test has the requests ---- */

static int set_up(void **state)
{
	(void)kept_set_up(state);
	h2_caller_open(&c, &kept.serving.t, "cart");
	return 0;
}

static int tear_down(void **state)
{
	h2_caller_close(&c);
	return kept_tear_down(state);
}

static void trailers_and_half_closes_go_both_ways(void **state)
{
	uint32_t n = h2_caller_request(&c, "POST", "/", false);
	mesh_inbound *in = kept_next();

	(void)state;
	assert_int_equal(mesh_inbound_http_version(in), 2);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_true(h2_caller_await_head(&c, n));
	assert_true(h2_caller_send(&c, n, "ask", 3));
	kept_expect_read(in, "ask");
	h2_caller_end(&c, n, "sum: 7\nauthorization: me\n");
	kept_expect_read(in, "");
	assert_string_equal(mesh_inbound_trailer(in, "Sum"), "7");
	assert_null(mesh_inbound_trailer(in, "authorization"));
	kept_write(in, "answer");
	assert_int_equal(mesh_reply_trailer(in, "grpc-status", "0"), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_true(h2_caller_await_end(&c, n));
	assert_string_equal(c.streams[n].text, "answer");
	assert_non_null(strstr(c.streams[n].lines, "grpc-status: 0\n"));
	assert_false(c.streams[n].was_reset);
}

static void an_early_answer_ends_the_stream_and_not_the_connection(void **state)
{
	uint32_t n = h2_caller_request(&c, "POST", "/", false), next;

	(void)state;
	assert_int_equal(mesh_reply(kept_next(), 403, "not you", 7), MESH_OK);
	assert_true(h2_caller_await_end(&c, n));
	assert_int_equal(c.streams[n].status, 403);
	assert_string_equal(c.streams[n].text, "not you");
	next = h2_caller_request(&c, "GET", "/", true);
	assert_int_equal(mesh_reply(kept_next(), 200, NULL, 0), MESH_OK);
	assert_true(h2_caller_await_end(&c, next));
	assert_int_equal(c.streams[next].status, 200);
}

static void what_the_handler_gives_up_on_is_reset(void **state)
{
	uint32_t n = h2_caller_request(&c, "GET", "/", true);
	mesh_inbound *in = kept_next();

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "half");
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
	assert_true(h2_caller_await_end(&c, n));
	assert_true(c.streams[n].was_reset);
	assert_int_equal(c.streams[n].error, H2_INTERNAL_ERROR);
	n = h2_caller_request(&c, "GET", "/", true);
	assert_int_equal(mesh_reply_abort(kept_next()), MESH_OK);
	assert_true(h2_caller_await_end(&c, n));
	assert_true(c.streams[n].was_reset);
	n = h2_caller_request(&c, "GET", "/", true); /* its neighbours live on */
	assert_int_equal(mesh_reply(kept_next(), 204, NULL, 0), MESH_OK);
	assert_true(h2_caller_await_end(&c, n));
	assert_int_equal(c.streams[n].status, 204);
}

static void a_caller_that_resets_is_told_of_in_the_middle_and_before(void **state)
{
	static const char piece[1 << 20];
	uint32_t n = h2_caller_request(&c, "POST", "/", false);
	mesh_inbound *in = kept_next();
	char buf[8];
	int32_t code;
	size_t got;

	(void)state;
	assert_int_equal(mesh_inbound_on_stream(in, kept_on_event, NULL), MESH_OK);
	h2_caller_reset(&c, n, H2_CANCEL);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &got, kept_patient_ms()), MESH_E_RESET);
	kept_await(&kept.n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
	n = h2_caller_request(&c, "GET", "/", true);
	in = kept_next();
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_true(h2_caller_await_head(&c, n));
	h2_caller_reset(&c, n, H2_CANCEL);
	do {
		code = mesh_reply_write(in, piece, sizeof(piece), NULL, kept_patient_ms());
	} while (code == MESH_OK);
	assert_int_equal(code, MESH_E_RESET);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
}

/* Nobody listened when it was told. */
static void who_asks_late_is_told_that_the_caller_has_gone(void **state)
{
	mesh_inbound *in;
	uint32_t n;

	(void)state;
	(void)tear_down(NULL);
	kept_open("pool", "whole", NULL);
	h2_caller_open(&c, &kept.serving.t, "cart");
	n = h2_caller_request(&c, "GET", "/", true);
	in = kept_next();
	h2_caller_reset(&c, n, H2_CANCEL);
	n = h2_caller_request(&c, "GET", "/", true);
	assert_int_equal(mesh_reply(kept_next(), 200, NULL, 0), MESH_OK); /* the reset came before this one */
	assert_true(h2_caller_await_end(&c, n));
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_inbound_on_stream(in, kept_on_event, NULL), MESH_OK);
	kept_await(&kept.n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
}

static int32_t close_code;

static void *close_slowly(void *arg)
{
	(void)arg;
	close_code = serving_close(&kept.serving, kept_patient_ms());
	return NULL;
}

/* Begins the drain. An idle connection is told at once, and ends with the drain's grace: by it the moments are known. */
static void begin_closing(pthread_t *closer, struct h2_caller *idle, bool after_grace)
{
	assert_int_equal(pthread_create(closer, NULL, close_slowly, NULL), 0);
	while (!idle->goaway) {
		assert_true(h2_caller_step(idle));
	}
	assert_int_equal(idle->last, INT32_MAX);
	while (after_grace && h2_caller_step(idle)) {
	}
}

static void end_closing(pthread_t closer, struct h2_caller *idle)
{
	while (h2_caller_step(idle)) {
	}
	h2_caller_close(idle);
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(close_code, MESH_OK);
}

static void end_with_trailers(mesh_inbound *in)
{
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "as ever");
	assert_int_equal(mesh_reply_trailer(in, "grpc-status", "0"), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
}

static void drain_under_a_stream(bool after_grace)
{
	uint32_t n = h2_caller_request(&c, "POST", "/", false), refused;
	mesh_inbound *in = kept_next();
	struct h2_caller idle;
	pthread_t closer;

	h2_caller_open(&idle, &kept.serving.t, "cart");
	begin_closing(&closer, &idle, after_grace);
	if (after_grace) {
		refused = h2_caller_request(&c, "GET", "/", true);
		assert_true(h2_caller_await_end(&c, refused) && c.streams[refused].was_reset);
		assert_int_equal(c.streams[refused].error, H2_REFUSED_STREAM);
	}
	assert_true(h2_caller_send(&c, n, "late", 4));
	kept_expect_read(in, "late");
	end_with_trailers(in);
	assert_true(h2_caller_await_end(&c, n));
	assert_string_equal(c.streams[n].text, "as ever");
	assert_non_null(strstr(c.streams[n].lines, "grpc-status: 0\n"));
	assert_false(c.streams[n].was_reset);
	assert_false(c.goaway); /* before 8 libcurl loses the trailers then */
	while (!c.goaway) {
		assert_true(h2_caller_step(&c));
	}
	assert_true(c.goaway_apart);
	while (h2_caller_step(&c)) {
	}
	assert_in_range(c.last, 1, H2_CALLER_STREAMS * 2);
	end_closing(closer, &idle);
}

static void the_drain_lets_streams_finish_and_says_goaway_behind_their_trailers(void **state)
{
	(void)state;
	drain_under_a_stream(false);
}

static void after_the_drains_grace_new_streams_are_refused_and_goaway_waits_for_the_last(void **state)
{
	(void)state;
	drain_under_a_stream(true);
}

static void *call(void *arg)
{
	return (void *)(intptr_t)mesh_call(arg);
}

static void drain_under_a_call(mesh *cart, bool after_grace)
{
	mesh_request *r = mesh_request_new(cart, "payments", "GET", "/");
	pthread_t caller, closer;
	struct h2_caller idle;
	mesh_inbound *in;
	void *code;

	assert_int_equal(mesh_request_timeout(r, kept_patient_ms()), MESH_OK);
	assert_int_equal(pthread_create(&caller, NULL, call, r), 0);
	in = kept_next();
	h2_caller_open(&idle, &kept.serving.t, "cart");
	begin_closing(&closer, &idle, after_grace);
	end_with_trailers(in);
	assert_int_equal(pthread_join(caller, &code), 0);
	assert_int_equal((intptr_t)code, MESH_OK);
	assert_non_null(mesh_response_trailer(r, "grpc-status"));
	mesh_request_free(r);
	end_closing(closer, &idle);
}

/* libcurl's view of it. */
static void a_call_gets_its_trailers_from_a_server_that_drains(void **state)
{
	(void)state;
	for (int after_grace = 0; after_grace < 2; after_grace++) {
		mesh_options *o;
		struct mesh__addr address;
		mesh *cart;

		(void)tear_down(NULL);
		kept_open("pool", "streamed", NULL);
		h2_caller_open(&c, &kept.serving.t, "cart"); /* the fixture's, which stays idle */
		two_meshes_address(&kept.serving.t, &address);
		o = two_meshes_options_with(&kept.serving.t, "cart", &address, 1, "protocol: http2\n");
		assert_non_null(o);
		cart = two_meshes_open(o);
		drain_under_a_call(cart, after_grace != 0);
		assert_int_equal(mesh_close(cart, kept_patient_ms()), MESH_OK);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_bodies_are_intact_both_ways_and_memory_flat),
		cmocka_unit_test(a_slow_stream_holds_up_none_beside_it),
		T(trailers_and_half_closes_go_both_ways),
		T(an_early_answer_ends_the_stream_and_not_the_connection),
		T(what_the_handler_gives_up_on_is_reset),
		T(a_caller_that_resets_is_told_of_in_the_middle_and_before),
		T(who_asks_late_is_told_that_the_caller_has_gone),
		T(the_drain_lets_streams_finish_and_says_goaway_behind_their_trailers),
		T(after_the_drains_grace_new_streams_are_refused_and_goaway_waits_for_the_last),
		T(a_call_gets_its_trailers_from_a_server_that_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
