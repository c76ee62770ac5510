/* Bodies that a flight reads and writes while they come, at the pace of both ends. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "h2_peer.h"
#include "http/h2_unread.h"
#include "trip.h"

static void streams_both_ways_at_the_pace_of_its_ends(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, trip_echo, NULL);
	for (int i = 0; i < 2; i++) {
		trip_init_streamed(&t, &s, 700000, true);
		trip_run(&t);
		if (t.code != MESH_OK) {
			fail_msg("%s: %s", mesh__code_name(t.code), t.message);
		}
		assert_true(t.head_seen);
		assert_int_equal(t.n_read, t.size);
		assert_int_equal(t.n_taken, t.size);
		assert_false(t.wrong);
		assert_true(t.later > 10 && t.refused > 10);
		assert_int_equal(t.response.body.len, 0);
		assert_int_equal(t.result.reused, i > 0);
		trip_fini(&t);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	trip_stage_close(&s);
}

/* The length of the chunked body that it got is its answer. */
static void counts_chunks(struct raw_conn *conn)
{
	char text[32768], last[5] = "", answer[96], number[24];
	const char *body;
	size_t n, total = 0;
	bool chunked = trip_read_head(conn, text, sizeof(text), &body, &n) && strstr(text, "Transfer-Encoding: chunked\r\n") != NULL && strstr(text, "Content-Length") == NULL;

	while (chunked) {
		for (size_t i = 0; i < n; i++) {
			memmove(last, last + 1, 4);
			last[4] = body[i];
			total += body[i] >= 'a' && body[i] <= 'z'; /* sizes have such digits too; what counts is that nothing is lost */
		}
		if (memcmp(last, "0\r\n\r\n", 5) == 0) {
			break;
		}
		body = text;
		n = raw_read(conn, text, sizeof(text));
		if (n == 0) {
			return;
		}
	}
	(void)snprintf(number, sizeof(number), "%zu", total);
	(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nX-Kind: count\r\nContent-Length: %zu\r\n\r\n%s", strlen(number), number);
	(void)raw_say(conn, answer);
}

static void a_body_of_unknown_length_goes_in_chunks(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, counts_chunks, NULL);
	trip_init_streamed(&t, &s, 300000, false);
	t.options.data = NULL;
	trip_run(&t);
	assert_int_equal(t.code, MESH_OK);
	assert_true(strtoul(t.response.body.data, NULL, 10) >= 300000);
	assert_int_equal(t.n_read, t.size);
	trip_fini(&t);
	trip_stage_close(&s);
}

static int64_t read_broken(void *arg, char *buf, size_t size)
{
	struct trip *t = arg;

	if (t->reads++ > 0) {
		return t->end_code;
	}
	memset(buf, 'x', size < 100 ? size : 100);
	return size < 100 ? (int64_t)size : 100;
}

static void a_body_that_breaks_off_ends_the_exchange(void **state)
{
	static const struct {
		int gives, code;
	} cases[] = {{0, MESH_E_INVALID}, {MESH__BODY_FAIL, MESH_E_CANCELLED}, {1 << 30, MESH_E_CANCELLED}};
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, trip_echo, NULL);
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		trip_init_streamed(&t, &s, 5000, true);
		t.options.read = read_broken;
		t.options.data = NULL;
		t.end_code = cases[i].gives;
		trip_run(&t);
		assert_int_equal(t.code, cases[i].code);
		assert_int_equal(t.result.sent, MESH__SENT_MAYBE);
		trip_fini(&t);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0)); /* it is no connection to be used again */
	}
	trip_stage_close(&s);
}

static void data_may_end_it_with_a_code_of_its_own(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, trip_echo, NULL);
	trip_init_streamed(&t, &s, 300000, true);
	t.stop_at = 50000;
	t.end_code = MESH_E_TOO_LARGE;
	trip_run(&t);
	assert_int_equal(t.code, MESH_E_TOO_LARGE);
	trip_fini(&t);
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	trip_stage_close(&s);
}

/* Answers with what its argument says when it has the head, and then waits. */
static void answers_early(struct raw_conn *conn)
{
	char text[4096];
	const char *body;
	size_t n;

	(void)trip_read_head(conn, text, sizeof(text), &body, &n);
	(void)raw_say(conn, conn->arg);
	raw_hang(conn);
}

/* Of an upload that pauses for ever, its length told and not. */
static void expect_early_answer(const char *response, int status, const char *body, bool connection_ends)
{
	struct trip_stage s;
	struct trip t;

	trip_stage_open(&s, &cast.payments, answers_early, (void *)(uintptr_t)response);
	for (int known = 0; known < 2; known++) {
		trip_init_streamed(&t, &s, 300000, known);
		t.options.read = trip_read_later;
		t.options.head = NULL;
		t.options.data = NULL;
		trip_run(&t);
		assert_int_equal(t.code, MESH_OK);
		assert_int_equal(t.response.status, status);
		assert_string_equal(t.response.body.data, body);
		trip_fini(&t);
		assert_true(!connection_ends || raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	trip_stage_close(&s);
}

static int refuse_when_resumed(void *arg, const char *bytes, size_t len)
{
	struct trip *t = arg;

	(void)bytes;
	(void)len;
	if (t->refused++ > 0) {
		return MESH_E_TOO_LARGE;
	}
	mesh__timer_start(t->timer, 1, 0);
	return MESH_E_WOULD_BLOCK;
}

/* libcurl offers it again while it is told to go on, and says nothing more of what comes of it. */
static void data_may_end_it_when_it_is_resumed(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, answers_early, (void *)(uintptr_t)"HTTP/1.1 200 OK\r\nX-Kind: cut\r\nContent-Length: 100\r\n\r\nsome");
	trip_init_streamed(&t, &s, 0, true);
	t.options.read = NULL;
	t.options.data = refuse_when_resumed;
	trip_run(&t);
	assert_int_equal(t.code, MESH_E_TOO_LARGE);
	assert_int_equal(t.refused, 2);
	assert_true(t.result.total_us < t.options.connect_timeout_ms * 1000); /* and not when something else comes */
	trip_fini(&t);
	trip_stage_close(&s);
}

static void an_early_answer_ends_an_upload_that_pauses(void **state)
{
	(void)state;
	expect_early_answer("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!", 413, "no!", false);
}

/* Though the server would read on: nothing that it is still sent can change what it has said. */
static void a_whole_answer_ends_an_upload_and_its_connection(void **state)
{
	(void)state;
	expect_early_answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", 200, "yes", true);
}

/* How an answer ends before its request. */
struct ending {
	const char *head;
	bool apart; /* body, trailers and reset in a TLS record each, else all in one */
};

static void ends_early(struct raw_conn *conn)
{
	const struct ending *ending = conn->arg;
	struct h2_peer peer;
	struct h2_message request;
	bool ok;

	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0) && h2_peer_message(&peer, &request);
	if (ok) {
		h2_response(&peer.out, request.stream, false, 200, ending->head);
		ok = h2_peer_flush(&peer) && raw_wait(&raw_server_counts(conn->server)->requests, 1); /* the client has it */
		h2_data(&peer.out, request.stream, 0, "yes", 3);
		ok = ok && (!ending->apart || h2_peer_flush(&peer));
		h2_trailers(&peer.out, request.stream, "grpc-status: 0\n");
		ok = ok && (!ending->apart || h2_peer_flush(&peer));
		h2_rst_stream(&peer.out, request.stream, H2_NO_ERROR);
		if (ok && h2_peer_flush(&peer)) {
			raw_hang(conn);
		}
	}
	h2_peer_fini(&peer);
}

static bool has_head(void *arg)
{
	struct trip *t = arg;

	atomic_fetch_add(&raw_server_counts(t->stage->server)->requests, 1);
	return true;
}

static int64_t read_on(void *arg, char *buf, size_t size)
{
	(void)arg;
	memset(buf, 'x', size);
	return (int64_t)size;
}

/* Before 8 libcurl loses what it reads in one piece with a reset, and hands on the trailers behind it. */
static void an_answer_that_ends_early_and_lacks_something_does_not_look_whole(void **state)
{
	static const struct ending rows[] = {{"content-type: application/grpc\n", false}, {"content-type: application/grpc\n" MESH__H2_ENDS_APART ": 1\n", true}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct ending *ending = &rows[i / 2];
		struct trip_stage s;
		struct trip t;

		trip_stage_open_http2(&s, &cast.payments, true, ends_early, (void *)(uintptr_t)ending, 64);
		trip_init_streamed(&t, &s, 300000, false);
		t.options.read = i % 2 == 0 ? trip_read_later : read_on;
		t.options.head = has_head;
		t.options.data = NULL;
		trip_run(&t);
		if (t.code == MESH_OK) {
			assert_string_equal(t.response.body.data, "yes");
			assert_string_equal(mesh__client_response_trailer(&t.response, "grpc-status"), "0");
		} else if (ending->apart || t.code != MESH_E_RESET) {
			fail_msg("row %zu: %s", i, t.message);
		}
		trip_fini(&t);
		trip_stage_close(&s);
	}
}

static void answers_once_then_dies(struct raw_conn *conn)
{
	char text[4096];
	const char *body;
	size_t n;

	if (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
		(void)trip_read_head(conn, text, sizeof(text), &body, &n);
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
	}
}

static void a_body_that_has_begun_is_never_sent_again(void **state)
{
	struct trip_stage s;
	struct trip t;

	(void)state;
	trip_stage_open(&s, &cast.payments, answers_once_then_dies, NULL);
	trip_expect_ok(&s, false);
	trip_init_streamed(&t, &s, 300000, true);
	trip_run(&t);
	assert_int_equal(t.code, MESH_E_RESET);
	assert_true(t.result.reused);
	assert_int_equal(t.result.sent, MESH__SENT_MAYBE);
	trip_fini(&t);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 2);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	trip_stage_close(&s);
}

/* ---- Fair turns ---- */

/* libcurl takes at most 100 pieces before it lets go, and the work may come behind three such turns. */
enum { AHEAD = 4, PIECE = 16384, FLOOD = 12 * 1024 * 1024, TURN_MOST = 8 * 1024 * 1024 };

/* A body that is always there already: its pieces are counted as requests before they go. */
static void floods(struct raw_conn *conn)
{
	static const char piece[PIECE];
	_Atomic long *n_pieces = &raw_server_counts(conn->server)->requests;
	char text[4096];
	const char *body;
	size_t n;

	if (!trip_read_head(conn, text, sizeof(text), &body, &n) || !raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 12582912\r\n\r\n")) {
		return;
	}
	for (size_t sent = 0; sent < FLOOD; sent += PIECE) {
		atomic_fetch_add(n_pieces, 1);
		if (!raw_send(conn, piece, PIECE)) {
			return;
		}
	}
	raw_hang(conn);
}

static void floods_http2(struct raw_conn *conn)
{
	static const char piece[PIECE];
	_Atomic long *n_pieces = &raw_server_counts(conn->server)->requests;
	struct h2_peer peer;
	struct h2_message request;
	bool ok;

	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0) && h2_peer_message(&peer, &request);
	if (ok) {
		h2_response(&peer.out, request.stream, false, 200, "");
	}
	for (size_t sent = 0; ok && sent < FLOOD; sent += PIECE) {
		atomic_fetch_add(n_pieces, 1);
		h2_data(&peer.out, request.stream, 0, piece, PIECE);
		ok = h2_peer_flush(&peer);
	}
	if (ok) {
		raw_hang(conn);
	}
	h2_peer_fini(&peer);
}

struct flooded {
	struct trip trip; /* first */
	struct mesh__post post;
	bool posted;
	size_t at; /* so many bytes were taken when other work had its turn */
};

static void on_other_work(void *arg)
{
	struct flooded *f = arg;

	f->at = f->trip.n_taken;
	if (f->trip.flight != NULL) {
		mesh__flight_stop(f->trip.flight, MESH_E_CANCELLED, "its turn came");
	}
}

/* Takes at once, and does not return before the peer is ahead again: libcurl never finds the connection empty. */
static int take_flood(void *arg, const char *bytes, size_t len)
{
	struct flooded *f = arg;
	_Atomic long *n_pieces = &raw_server_counts(f->trip.stage->server)->requests;
	long wanted;

	(void)bytes;
	f->trip.n_taken += len;
	if (!f->posted) {
		f->posted = true;
		mesh__loop_post(f->trip.stage->loop, &f->post, on_other_work, f);
	}
	wanted = (long)(f->trip.n_taken / PIECE) + AHEAD;
	while (wanted <= FLOOD / PIECE && atomic_load(n_pieces) < wanted) {
		(void)sched_yield();
	}
	return MESH_OK;
}

/* Else whoever sends as fast as it is read has the loop for itself. */
static void a_body_that_never_runs_dry_leaves_the_loop_its_turns(void **state)
{
	(void)state;
	for (int http2 = 0; http2 < 2; http2++) {
		struct trip_stage s;
		struct flooded f = {.posted = false};

		if (http2) {
			trip_stage_open_http2(&s, &cast.payments, true, floods_http2, NULL, 64);
		} else {
			trip_stage_open(&s, &cast.payments, floods, NULL);
		}
		trip_init(&f.trip, &s, "GET", NULL);
		f.trip.options.streamed = true;
		f.trip.options.data = take_flood;
		trip_run(&f.trip);
		if (f.at > TURN_MOST) {
			fail_msg("HTTP/%d: %zu bytes were taken before anything else had its turn", 1 + http2, f.at);
		}
		assert_int_equal(f.trip.code, MESH_E_CANCELLED);
		trip_fini(&f.trip);
		trip_stage_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_both_ways_at_the_pace_of_its_ends),
		cmocka_unit_test(a_body_of_unknown_length_goes_in_chunks),
		cmocka_unit_test(a_body_that_breaks_off_ends_the_exchange),
		cmocka_unit_test(data_may_end_it_with_a_code_of_its_own),
		cmocka_unit_test(data_may_end_it_when_it_is_resumed),
		cmocka_unit_test(an_early_answer_ends_an_upload_that_pauses),
		cmocka_unit_test(a_whole_answer_ends_an_upload_and_its_connection),
		cmocka_unit_test(an_answer_that_ends_early_and_lacks_something_does_not_look_whole),
		cmocka_unit_test(a_body_that_has_begun_is_never_sent_again),
		cmocka_unit_test(a_body_that_never_runs_dry_leaves_the_loop_its_turns),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
