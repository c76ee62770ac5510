/*
 * The client over HTTP/2: what the handshake settles, the peer judged before the first byte, a kept connection that has something to say, and what is sure about a request that was not answered. The peers are told frame by frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "cast.h"
#include "h2_peer.h"
#include "http/curl_unprocessed.h"
#include "patience.h"
#include "raw_tls.h"

/* ---- what is settled ---- */

static void the_handshake_settles_the_protocol(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		for (int client = MESH__HTTP_1; client <= MESH__HTTP_2; client++) {
			bool http2 = server == 1 && client == MESH__HTTP_2;
			struct scene s;

			scene_open(&s, server == 1 ? test_tls_conf_http2(&cast.payments, &cast.ca) : test_tls_conf(&cast.payments, &cast.ca, false), http2 ? h2_answer_ok : raw_answer_ok, NULL, (enum mesh__http_proto)client);
			scene_expect_ok(&s, http2, false);
			scene_expect_ok(&s, http2, true);
			s.call.request.method = "GET";
			s.call.request.has_body = false;
			scene_expect_ok(&s, http2, true);
			assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
			assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 3);
			scene_close(&s);
		}
	}
}

static void http2_only_sends_nothing_to_a_peer_without_it(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, test_tls_conf(&cast.payments, &cast.ca, false), raw_answer_ok, NULL, MESH__HTTP_2_ONLY);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_call_run(&s.call, s.pool), MESH_E_PROTOCOL);
		assert_int_equal(s.call.result.sent, MESH__SENT_NOTHING);
		assert_non_null(strstr(s.call.err.message, "HTTP/2"));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	scene_close(&s);
	scene_open(&s, test_tls_conf_http2(&cast.payments, &cast.ca), h2_answer_ok, NULL, MESH__HTTP_2_ONLY);
	scene_expect_ok(&s, true, false);
	scene_close(&s);
}

static void in_plaintext_http2_is_prior_knowledge(void **state)
{
	(void)state;
	for (int proto = MESH__HTTP_2; proto <= MESH__HTTP_2_ONLY; proto++) {
		struct scene s;

		scene_open(&s, NULL, h2_answer_ok, NULL, (enum mesh__http_proto)proto);
		scene_expect_ok(&s, true, false);
		scene_expect_ok(&s, true, true);
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
		scene_close(&s);
	}
}

/* ---- trailers ---- */

static void trails_http1(struct raw_conn *conn)
{
	while (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 5\r\nHost: evil\r\nA: b\r\n\r\n");
	}
}

static bool answer_with_trailers(struct h2_peer *peer, uint32_t stream)
{
	h2_response(&peer->out, stream, false, 200, "content-length: 2\n"); /* with which the body's end is known before the stream's */
	h2_data(&peer->out, stream, 0, "ok", 2);
	h2_trailers(&peer->out, stream, "grpc-status: 5\nhost: evil\na: b\n");
	return h2_peer_flush(peer);
}

static void trails_http2(struct raw_conn *conn)
{
	h2_serve(conn, answer_with_trailers);
}

static void trailers_come_behind_the_body_in_both_protocols(void **state)
{
	(void)state;
	for (int http2 = 0; http2 < 2; http2++) {
		struct scene s;
		const char *name, *value;

		scene_open(&s, test_tls_conf_http2(&cast.payments, &cast.ca), http2 ? trails_http2 : trails_http1, NULL, http2 ? MESH__HTTP_2 : MESH__HTTP_1);
		for (int i = 0; i < 2; i++) {
			scene_expect_ok(&s, http2, i > 0);
			assert_string_equal(mesh__client_response_trailer(&s.call.response, "grpc-status"), "5");
			assert_true(mesh__client_response_trailer_field(&s.call.response, 1, &name, &value));
			assert_string_equal(name, "a");
			assert_string_equal(value, "b");
			assert_false(mesh__client_response_trailer_field(&s.call.response, 2, &name, &value));
			assert_null(mesh__client_response_header(&s.call.response, "grpc-status"));
		}
		scene_close(&s);
	}
}

/* Any byte of HTTP/2, the preface too, counts as a request. */
static void counts_bytes(struct raw_conn *conn)
{
	char byte;

	while (raw_read(conn, &byte, 1) > 0) {
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
	}
}

/* libcurl sends its preface with the handshake's end, but no request: what has no HEADERS frame asks for nothing. */
static void counts_headers(struct raw_conn *conn)
{
	struct h2_peer peer;
	struct h2_frame_view frame;
	bool ok;

	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0);
	while (ok && h2_peer_frame(&peer, &frame)) {
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, frame.type == H2_HEADERS || frame.type == H2_DATA);
	}
	h2_peer_fini(&peer);
}

/* THREATS 13: an HTTP/2 connection whose identity check failed is never used, by no later call either. */
static void threat_13_refuses_the_wrong_peer_before_the_first_request_byte(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, test_tls_conf_http2(&cast.ledger, &cast.ca), counts_bytes, NULL, MESH__HTTP_2); /* another DNS name: libcurl itself refuses, and not a byte goes out */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(client_call_run(&s.call, s.pool), MESH_E_IDENTITY);
		assert_int_equal(s.call.result.sent, MESH__SENT_NOTHING);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	scene_close(&s);
}

/* The right DNS name under another SPIFFE ID: what only we can see. */
static void threat_13_refuses_another_spiffe_id_and_never_uses_that_connection(void **state)
{
	struct mesh__pool_options options;
	struct scene s;

	(void)state;
	scene_open(&s, test_tls_conf_http2(&cast.payments, &cast.ca), counts_headers, NULL, MESH__HTTP_2);
	options = scene_options(&s);
	(void)snprintf(options.target.spiffe, sizeof(options.target.spiffe), "%s", cast.ledger.spiffe);
	options.proto = MESH__HTTP_2;
	scene_repool(&s, &cast.env, &options);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(client_call_run(&s.call, s.pool), MESH_E_IDENTITY);
		assert_int_equal(s.call.result.sent, MESH__SENT_NOTHING);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 20);
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	scene_close(&s);
}

/* ---- a kept connection has something to say ---- */

struct saying {
	const char *rule;
	void (*say)(struct h2_peer *peer);
	bool in_pieces;  /* each frame in a TLS record of its own */
	bool end;        /* then close_notify, without closing the connection */
	bool close;      /* then the connection is closed */
	bool serves;     /* the connection serves the next call */
};

static atomic_long n_answered, n_said; /* the client has its answer: it does not read any more */

static void say_pings(struct h2_peer *peer)
{
	h2_ping(&peer->out, 0, 7);
	h2_window_update(&peer->out, 0, 100);
	h2_settings(&peer->out, NULL, 0);
}

static void say_goaway(struct h2_peer *peer)
{
	h2_goaway(&peer->out, 1, H2_NO_ERROR);
}

static void say_nothing(struct h2_peer *peer)
{
	(void)peer;
}

static void speak(struct h2_peer *peer, const struct saying *saying)
{
	(void)raw_wait(&n_answered, atomic_load(&n_said) + 1);
	saying->say(peer);
	while (saying->in_pieces && peer->out.len > 0) {
		struct h2_frame_view frame;
		size_t n = h2_frame_next(peer->out.data, peer->out.len, &frame);

		(void)raw_send(peer->conn, peer->out.data, n);
		mesh__buf_consume(&peer->out, n);
	}
	(void)h2_peer_flush(peer);
	if (saying->end) {
		raw_tls_close(peer->conn);
	}
	if (saying->close) {
		(void)shutdown(peer->conn->fd, SHUT_WR);
	}
	atomic_fetch_add(&n_said, 1);
	if (!saying->serves) {
		raw_hang(peer->conn);
	}
}

/* On its first connection it speaks after the first answer; on every other it just answers. */
static void answers_then_speaks(struct raw_conn *conn)
{
	const struct saying *saying = conn->arg;
	struct h2_peer peer;
	uint32_t stream;
	bool ok;

	if (conn->index > 0) {
		h2_answer_ok(conn);
		return;
	}
	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0);
	for (bool spoken = false; ok && h2_peer_ended(&peer, &stream); spoken = true) {
		ok = h2_peer_answer(&peer, stream, 200, "ok");
		if (!spoken) {
			speak(&peer, saying);
			ok = saying->serves;
		}
	}
	h2_peer_fini(&peer);
}

static void a_kept_connection_may_speak_and_no_call_is_lost(void **state)
{
	static const struct saying rows[] = {
		{"PING, SETTINGS and WINDOW_UPDATE are no end", say_pings, .serves = true},
		{"GOAWAY is one", say_goaway, .end = false},
		{"GOAWAY and the connection's end", say_goaway, .close = true},
		{"close_notify is one, the connection still open", say_nothing, .end = true},
		{"close_notify behind frames, of which libcurl reads the first alone", say_pings, .in_pieces = true, .end = true},
		{"GOAWAY and close_notify", say_goaway, .end = true, .close = true},
		{"the connection's end behind frames", say_pings, .close = true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		long said = atomic_load(&n_said);
		struct scene s;

		scene_open(&s, test_tls_conf_http2(&cast.payments, &cast.ca), answers_then_speaks, &rows[i], MESH__HTTP_2);
		scene_expect_ok(&s, true, false);
		atomic_fetch_add(&n_answered, 1);
		assert_true(raw_wait(&n_said, said + 1));
		if (client_call_run(&s.call, s.pool) != MESH_OK || s.call.result.reused != rows[i].serves) {
			fail_msg("%s: %s %s, reused %d", rows[i].rule, mesh__code_name(s.call.code), s.call.err.message, s.call.result.reused);
		}
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), rows[i].serves ? 1 : 2);
		scene_expect_ok(&s, true, true);
		scene_close(&s);
	}
}

/* ---- what is sure ---- */

struct fault {
	const char *rule;
	void (*say)(struct h2_peer *peer, uint32_t stream); /* instead of an answer */
	bool reset, stays;                                  /* the connection is reset, or held open; else it is closed */
	enum mesh__sent sent;
	bool unheard; /* libcurl 8.14 goes on waiting where its HTTP/2 library has given the session up: the deadline ends it */
};

static void refuse(struct h2_peer *peer, uint32_t stream)
{
	h2_rst_stream(&peer->out, stream, H2_REFUSED_STREAM);
}

static void fail_inside(struct h2_peer *peer, uint32_t stream)
{
	h2_rst_stream(&peer->out, stream, H2_INTERNAL_ERROR);
}

static void want_http1(struct h2_peer *peer, uint32_t stream)
{
	h2_rst_stream(&peer->out, stream, H2_HTTP_1_1_REQUIRED);
}

static void cancel(struct h2_peer *peer, uint32_t stream)
{
	h2_rst_stream(&peer->out, stream, H2_CANCEL);
}

static void end_without_answer(struct h2_peer *peer, uint32_t stream)
{
	h2_rst_stream(&peer->out, stream, H2_NO_ERROR);
}

static void go_away_below(struct h2_peer *peer, uint32_t stream)
{
	h2_goaway(&peer->out, stream > 2 ? stream - 2 : 0, H2_NO_ERROR);
}

static void go_away_below_in_anger(struct h2_peer *peer, uint32_t stream)
{
	h2_goaway(&peer->out, stream > 2 ? stream - 2 : 0, H2_ENHANCE_YOUR_CALM);
}

static void go_away_at(struct h2_peer *peer, uint32_t stream)
{
	h2_goaway(&peer->out, stream, H2_NO_ERROR);
}

static void go_away_twice(struct h2_peer *peer, uint32_t stream)
{
	h2_goaway(&peer->out, 0x7fffffff, H2_NO_ERROR);
	go_away_below(peer, stream);
}

static void fail_inside_and_go_away(struct h2_peer *peer, uint32_t stream)
{
	fail_inside(peer, stream);
	go_away_at(peer, stream);
}

static void break_the_rules(struct h2_peer *peer, uint32_t stream)
{
	(void)stream;
	h2_data(&peer->out, 0, 0, "x", 1);
}

static void say_http1(struct h2_peer *peer, uint32_t stream)
{
	(void)stream;
	mesh__buf_str(&peer->out, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void answer_without_a_head(struct h2_peer *peer, uint32_t stream)
{
	h2_data(&peer->out, stream, H2_END_STREAM, "ok", 2);
}

static void begin_an_answer(struct h2_peer *peer, uint32_t stream)
{
	h2_response(&peer->out, stream, false, 200, NULL);
	h2_data(&peer->out, stream, 0, "o", 1);
}

/* In two TLS records: before 8.0 libcurl takes the reset, where it reads the end behind it at once, for the answer's end. */
static void give_an_answer_up(struct h2_peer *peer, uint32_t stream)
{
	h2_response(&peer->out, stream, false, 200, "content-length: 3\n");
	h2_data(&peer->out, stream, 0, "o", 1);
	(void)h2_peer_flush(peer);
	fail_inside(peer, stream);
}

static void answer_too_short(struct h2_peer *peer, uint32_t stream)
{
	h2_response(&peer->out, stream, false, 200, "content-length: 3\n");
	h2_data(&peer->out, stream, H2_END_STREAM, "ok", 2);
}

static void answer_too_long(struct h2_peer *peer, uint32_t stream)
{
	h2_response(&peer->out, stream, false, 200, "content-length: 1\n");
	h2_data(&peer->out, stream, H2_END_STREAM, "ok", 2);
}

static void say_nothing_at_all(struct h2_peer *peer, uint32_t stream)
{
	(void)peer;
	(void)stream;
}

static const struct fault faults[] = {
	{"a refused stream", refuse, .stays = true, .sent = MESH__SENT_NOTHING},
	{"GOAWAY below the stream", go_away_below, .stays = true, .sent = MESH__SENT_NOTHING},
	{"GOAWAY below the stream, and the end", go_away_below, .sent = MESH__SENT_NOTHING},
	{"GOAWAY below the stream for an error, and the end", go_away_below_in_anger, .sent = MESH__SENT_NOTHING},
	{"GOAWAY with the highest stream, then the true one", go_away_twice, .stays = true, .sent = MESH__SENT_NOTHING},
	{"GOAWAY at the stream, and the end", go_away_at, .sent = MESH__SENT_MAYBE},
	{"GOAWAY at the stream, and a reset", go_away_at, .reset = true, .sent = MESH__SENT_MAYBE},
	{"the stream reset with INTERNAL_ERROR", fail_inside, .stays = true, .sent = MESH__SENT_MAYBE},
	{"INTERNAL_ERROR, and the end", fail_inside, .sent = MESH__SENT_MAYBE},
	{"INTERNAL_ERROR and GOAWAY in one", fail_inside_and_go_away, .stays = true, .sent = MESH__SENT_MAYBE},
	{"the stream reset with CANCEL", cancel, .stays = true, .sent = MESH__SENT_MAYBE},
	{"the stream reset with NO_ERROR, without an answer", end_without_answer, .stays = true, .sent = MESH__SENT_MAYBE},
	{"HTTP/1.1 asked for", want_http1, .stays = true, .sent = MESH__SENT_MAYBE},
	{"frames against the rules", break_the_rules, .stays = true, .sent = MESH__SENT_MAYBE, .unheard = true},
	{"frames against the rules, and the end", break_the_rules, .sent = MESH__SENT_MAYBE},
	{"an answer in HTTP/1.1", say_http1, .stays = true, .sent = MESH__SENT_MAYBE, .unheard = true},
	{"an answer in HTTP/1.1, and the end", say_http1, .sent = MESH__SENT_MAYBE},
	{"an answer without a head", answer_without_a_head, .stays = true, .sent = MESH__SENT_MAYBE, .unheard = true},
	{"an answer that is shorter than it says", answer_too_short, .stays = true, .sent = MESH__SENT_MAYBE},
	{"an answer that is longer than it says", answer_too_long, .stays = true, .sent = MESH__SENT_MAYBE},
	{"half an answer, and the end", begin_an_answer, .sent = MESH__SENT_MAYBE},
	{"half an answer, and a reset", begin_an_answer, .reset = true, .sent = MESH__SENT_MAYBE},
	{"half an answer that has said its length, INTERNAL_ERROR, and the end", give_an_answer_up, .sent = MESH__SENT_MAYBE},
	{"the end", say_nothing_at_all, .sent = MESH__SENT_MAYBE},
	{"a reset", say_nothing_at_all, .reset = true, .sent = MESH__SENT_MAYBE},
};

/* Answers as many requests as its number among the rows says: none, or one; then the fault. */
struct play {
	const struct fault *fault;
	int answers;
};

static void plays_a_fault(struct raw_conn *conn)
{
	const struct play *play = conn->arg;
	struct h2_peer peer;
	uint32_t stream;
	bool ok;

	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0);
	for (int i = 0; ok && i < play->answers; i++) {
		ok = h2_peer_ended(&peer, &stream) && h2_peer_answer(&peer, stream, 200, "ok");
	}
	if (ok && h2_peer_ended(&peer, &stream)) {
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
		play->fault->say(&peer, stream);
		(void)h2_peer_flush(&peer);
		if (play->fault->reset) {
			raw_reset(conn);
		} else if (play->fault->stays) {
			raw_hang(conn);
		}
	}
	h2_peer_fini(&peer);
}

static void meet(const struct fault *fault, int answers, const char *method, const char *body, bool plaintext)
{
	struct play play = {.fault = fault, .answers = answers};
	struct scene s;

	scene_open(&s, plaintext ? NULL : test_tls_conf_http2(&cast.payments, &cast.ca), plays_a_fault, &play, MESH__HTTP_2);
	client_call_fini(&s.call);
	client_call_init(&s.call, method, body);
	for (int i = 0; i < answers; i++) {
		scene_expect_ok(&s, true, i > 0);
	}
	s.call.timeout_ms = fault->unheard ? patience(1000) : s.call.timeout_ms;
	if (client_call_run(&s.call, s.pool) == MESH_OK || s.call.result.sent != fault->sent || s.call.err.origin == MESH__ORIGIN_LOCAL) {
		fail_msg("%s, after %d answers, %s: %s, %s: %s", fault->rule, answers, method, mesh__code_name(s.call.code), s.call.result.sent == MESH__SENT_NOTHING ? "surely not processed" : "perhaps processed",
			s.call.err.message);
	}
	/* libcurl would make another request by itself of some of these. */
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 1);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	scene_close(&s);
}

static void only_a_peer_that_says_so_has_not_processed_a_request(void **state)
{
	static const struct {
		int answers;
		const char *method, *body;
		bool plaintext;
	} ways[] = {{0, "POST", "pay", false}, {0, "GET", NULL, false}, {1, "POST", "pay", false}, {1, "GET", NULL, false}, {1, "POST", "pay", true}};

	(void)state;
	for (size_t n = 0; n < MESH__COUNT(faults) * MESH__COUNT(ways); n += (size_t)walk_stride()) {
		const struct fault *fault = &faults[n / MESH__COUNT(ways)];
		size_t way = n % MESH__COUNT(ways);

		meet(fault, ways[way].answers, ways[way].method, ways[way].body, ways[way].plaintext);
	}
}

/* What the caller asks for is not what the peer said, though libcurl logs both. */
static void a_request_cannot_pass_itself_off_as_unprocessed(void **state)
{
	static const struct fault inside = {"the stream reset with INTERNAL_ERROR", fail_inside, .stays = true, .sent = MESH__SENT_MAYBE};
	static const struct mesh__client_field forged[] = {{"x-note", "received GOAWAY, error=0, last_stream=0"}, {"x-more", "Using Stream ID: 99"}};
	static const char *const targets[] = {"/", "/?received+GOAWAY&last_stream=0"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct play play = {.fault = &inside};
		struct scene s;

		scene_open(&s, test_tls_conf_http2(&cast.payments, &cast.ca), plays_a_fault, &play, MESH__HTTP_2);
		s.call.request.target = targets[i];
		s.call.request.fields = forged;
		s.call.request.n_fields = i == 0 ? MESH__COUNT(forged) : 0;
		assert_int_not_equal(client_call_run(&s.call, s.pool), MESH_OK);
		if (s.call.result.sent != MESH__SENT_MAYBE) {
			fail_msg("%s: surely not processed: %s", targets[i], s.call.err.message);
		}
		scene_close(&s);
	}
}

/* ---- a peer that reads slowly ---- */

static void reads_nothing(struct raw_conn *conn)
{
	struct h2_peer peer;
	struct h2_frame_view frame;

	h2_peer_init(&peer, conn);
	if (h2_peer_greet(&peer, NULL, 0)) {
		while (h2_peer_frame(&peer, &frame)) { /* and gives no window back */
		}
	}
	h2_peer_fini(&peer);
}

static int64_t processor_us(void)
{
	struct timespec used;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
	return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* A POST of so many bytes, which the caller frees. */
static char *open_with_body(struct scene *s, raw_script script, size_t size)
{
	char *body = malloc(size);

	assert_non_null(body);
	memset(body, 'b', size);
	scene_open(s, test_tls_conf_http2(&cast.payments, &cast.ca), script, NULL, MESH__HTTP_2);
	s->call.request.body = body;
	s->call.request.body_len = size;
	return body;
}

static void who_waits_for_a_peers_window_does_not_spin(void **state)
{
	struct scene s;
	char *body = open_with_body(&s, reads_nothing, 1 << 20);
	int64_t used_us;

	(void)state;
	s.call.timeout_ms = patience(1000);
	used_us = processor_us();
	assert_int_equal(client_call_run(&s.call, s.pool), MESH_E_TIMEOUT);
	used_us = processor_us() - used_us;
	if (!slowed_down() && used_us > s.call.result.total_us / 4) {
		fail_msg("%lld of %lld us were spent", (long long)used_us, (long long)s.call.result.total_us);
	}
	scene_close(&s);
	free(body);
}

struct flown {
	struct mesh__loop *loop;
	int code;
};

static void on_landed(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct flown *flown = arg;

	(void)result;
	(void)err;
	flown->code = code;
	mesh__loop_stop(flown->loop);
}

static void a_loop_that_waits_for_a_peers_window_does_not_spin(void **state)
{
	struct flown flown = {.code = MESH_OK};
	struct mesh__flight *flight;
	struct scene s;
	int64_t used_us;

	(void)state;
	assert_int_equal(mesh__loop_new(&cast.env, &flown.loop, NULL), MESH_OK);
	for (int round = 0; round < 2; round++) {
		struct mesh__flight_options o = {.connect_timeout_ms = patience(10000), .streamed = true, .body_len = -1, .done = on_landed, .arg = &flown};

		char *body = open_with_body(&s, reads_nothing, 1 << 20);

		o.request = s.call.request;
		o.response = &s.call.response;
		o.deadline_us = mesh__mono_us(&cast.env) + patience(1000000);
		assert_int_equal(mesh__flight_start(s.pool, flown.loop, &o, &flight, NULL), MESH_OK);
		used_us = processor_us();
		mesh__loop_run(flown.loop);
		used_us = processor_us() - used_us;
		assert_int_equal(flown.code, MESH_E_TIMEOUT);
		if (!slowed_down() && used_us > 250000) { /* a quarter of the time that it had */
			fail_msg("%lld of 1000000 us were spent", (long long)used_us);
		}
		scene_close(&s);
		free(body);
	}
	mesh__loop_free(flown.loop);
}

static void a_body_of_many_windows_arrives(void **state)
{
	struct scene s;
	char *body = open_with_body(&s, h2_answer_ok, 4 << 20);

	(void)state;
	scene_expect_ok(&s, true, false);
	scene_close(&s);
	free(body);
}

/* ---- what libcurl logs, pure ---- */

static void reads_streams_and_goaways_in_the_log(void **state)
{
	static const struct {
		const char *lines[3];
		struct mesh__unprocessed read;
	} rows[] = {
		{{"Using Stream ID: 5 (easy handle 0x55c6)\n"}, {.stream = 5}},
		{{"recveived GOAWAY, error=0, last_stream=3\n"}, {.goaway = true, .last = 3}},
		{{"received GOAWAY, error=11, last_stream=0"}, {.goaway = true, .last = 0}},
		{{"received GOAWAY, error=0, last_stream=2147483647\n", "received GOAWAY, error=0, last_stream=7\n"}, {.goaway = true, .last = 7}},
		{{"received GOAWAY, error=0, last_stream=7\n", "received GOAWAY, error=0, last_stream=9\n"}, {.goaway = true, .last = 7}},
		{{"received GOAWAY, error=0, last_stream=99999999999\n", "GOAWAY", "last_stream=1"}, {.goaway = false}},
		{{"h2h3 [x: Using Stream ID: 5]", "h2h3 [:path: /?received GOAWAY, last_stream=0]", " received GOAWAY, last_stream=0"}, {.stream = 0}}, /* the request's own words */
		{{"Using Stream ID: \n", "Using Stream ID: -1", "received GOAWAY, last_stream="}, {.stream = 0}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__unprocessed u = {0};

		for (size_t k = 0; k < 3 && rows[i].lines[k] != NULL; k++) {
			mesh__unprocessed_read(&u, rows[i].lines[k], strlen(rows[i].lines[k]));
		}
		if (u.stream != rows[i].read.stream || u.goaway != rows[i].read.goaway || u.last != rows[i].read.last) {
			fail_msg("%s: stream %u, goaway %d, last %u", rows[i].lines[0], u.stream, u.goaway, u.last);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handshake_settles_the_protocol),
		cmocka_unit_test(http2_only_sends_nothing_to_a_peer_without_it),
		cmocka_unit_test(in_plaintext_http2_is_prior_knowledge),
		cmocka_unit_test(trailers_come_behind_the_body_in_both_protocols),
		cmocka_unit_test(threat_13_refuses_the_wrong_peer_before_the_first_request_byte),
		cmocka_unit_test(threat_13_refuses_another_spiffe_id_and_never_uses_that_connection),
		cmocka_unit_test(a_kept_connection_may_speak_and_no_call_is_lost),
		cmocka_unit_test(only_a_peer_that_says_so_has_not_processed_a_request),
		cmocka_unit_test(a_request_cannot_pass_itself_off_as_unprocessed),
		cmocka_unit_test(who_waits_for_a_peers_window_does_not_spin),
		cmocka_unit_test(a_loop_that_waits_for_a_peers_window_does_not_spin),
		cmocka_unit_test(a_body_of_many_windows_arrives),
		cmocka_unit_test(reads_streams_and_goaways_in_the_log),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
