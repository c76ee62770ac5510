/* THREATS 30, by name: SYN black hole; stalls at each stage; slow body; keep-alive close race; peers that break the rules of TLS and of HTTP. Each ends at the deadline or before, by the retry rule, with an error that says which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bad_peer.h"
#include "base/str.h"
#include "black_hole.h"
#include "fault_stage.h"
#include "patience.h"
#include "test_peer.h"

enum { LONG_MS = 60000, SHORT_MS = 300, HANDSHAKE_TOO_MS = 900, CONNECT_MS = 300, CURL_EARLY_MS = 2 /* libcurl counts whole milliseconds */, SLACK_MS = 20000 /* of a loaded machine; LONG_MS is far beyond */ };

static const char *const methods[] = {"GET", "POST"};
static struct fault_stage stage;
static struct test_peer payments;
static struct mesh__tls_conf *tls; /* payments', for servers of our own */

static int set_up(void **state)
{
	(void)state;
	fault_stage_init(&stage);
	test_peer_init(&payments, &stage.meshes.ca, "payments");
	tls = test_tls_conf(&payments, &stage.meshes.ca, false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__tls_conf_unref(tls);
	test_peer_fini(&payments);
	fault_stage_fini(&stage);
	return 0;
}

static void say(const char *row, const char *method, const struct outcome *out)
{
	fail_msg("%s, %s: %s from \"%s\" after %d tries in %lld ms, may be processed %d: %s", row, method, out->name, out->origin, out->tries, (long long)out->ms, out->may_be_processed, out->message);
}

/* An error of the one endpoint at `where`, which says so, in time, and that the request was surely not sent, or may have been. */
static void check_error(const char *row, const char *method, const struct outcome *out, const char *code, const char *origin, bool may_be_processed, int64_t min_ms, int64_t max_ms)
{
	if (strcmp(out->name, code) != 0 || strcmp(out->origin, origin) != 0 || out->may_be_processed != may_be_processed || out->tries != 1 || out->status != 0 || out->ms < min_ms || out->ms > max_ms ||
	    strstr(out->message, "payments.default.mesh.local at 127.0.0.") == NULL) {
		say(row, method, out);
	}
}

static const char *origin_of(const char *code, bool sent)
{
	return sent ? "peer" : strcmp(code, "MESH_E_TLS") == 0 ? "tls" : "connect";
}

/* ---- No connection ---- */

static void threat_30_a_syn_black_hole_ends_at_the_connect_timeout_or_the_deadline(void **state)
{
	struct black_hole hole;
	struct outcome out;

	(void)state;
	black_hole_init(&hole);
	for (size_t i = 0; i < MESH__COUNT(methods); i++) {
		mesh *m = fault_stage_open(&stage, &hole.address, 1, "150ms");
		fault_stage_call(&stage, m, methods[i], LONG_MS, &out);
		check_error("connect timeout", methods[i], &out, "MESH_E_CONNECT", "connect", false, 150, SLACK_MS);
		(void)mesh_close(m, 0);
		m = fault_stage_open(&stage, &hole.address, 1, FAULT_STAGE_PATIENT);
		fault_stage_call(&stage, m, methods[i], SHORT_MS, &out);
		check_error("deadline", methods[i], &out, "MESH_E_TIMEOUT", "connect", false, SHORT_MS, SLACK_MS);
		(void)mesh_close(m, 0);
	}
	black_hole_fini(&hole);
}

static void threat_30_past_a_syn_black_hole_the_next_endpoint_answers(void **state)
{
	struct mesh__addr both[2];
	struct black_hole hole;
	struct outcome out = {.tries = 0};

	(void)state;
	black_hole_init(&hole);
	both[0] = hole.address;
	both[1] = stage.addresses[0];
	for (int i = 0; i < 64 && out.tries != 2; i++) { /* until it is picked first */
		mesh *m = fault_stage_open(&stage, both, 2, under_valgrind() ? "20s" : slowed_down() ? "8s" : "2s");
		fault_stage_call(&stage, m, methods[i % 2], LONG_MS, &out);
		if (strcmp(out.name, "MESH_OK") != 0 || !out.whole || atomic_load(&stage.executed[out.call]) != 1) {
			say("behind a black hole", methods[i % 2], &out);
		}
		(void)mesh_close(m, 0);
	}
	assert_int_equal(out.tries, 2);
	black_hole_fini(&hole);
}

/* ---- A connection that dies of silence ---- */

/* On a connection that has served once, so that the deadline need not hold a handshake too: what comes goes wrong in the second exchange. */
static void call_again(mesh *m, const char *method, int64_t timeout_ms, const struct fault *fault, struct outcome *out)
{
	fault_proxy_plan(stage.proxy, fault, 1, false);
	fault_stage_call(&stage, m, "GET", LONG_MS, out);
	if (strcmp(out->name, "MESH_OK") != 0) {
		say("before it goes wrong", "GET", out);
	}
	fault_stage_call(&stage, m, method, timeout_ms, out);
	assert_true(fault_proxy_fired(stage.proxy, 1));
	assert_int_equal(fault_proxy_accepted(stage.proxy), 1);
}

static void threat_30_a_stall_ends_at_the_deadline_at_every_stage(void **state)
{
	static const struct {
		const char *stage;
		struct fault fault;
		bool sent;
	} rows[] = {
		{"once connected", {.way = FAULT_REQUEST, .unit = FAULT_BYTES, .at = 0}, false},
		{"within the ClientHello", {.way = FAULT_REQUEST, .unit = FAULT_BYTES, .at = 17}, false},
		{"after the ClientHello", {.way = FAULT_REQUEST, .unit = FAULT_RECORDS, .n = 1}, false},
		{"after the ServerHello", {.way = FAULT_ANSWER, .unit = FAULT_RECORDS, .n = 1}, false},
		{"before the server's Finished", {.way = FAULT_ANSWER, .unit = FAULT_RECORDS, .n = 6}, false},
		{"within the request", {.way = FAULT_REQUEST, .unit = FAULT_DATA, .n = 2, .at = -20}, true},
		{"after the request", {.way = FAULT_REQUEST, .unit = FAULT_DATA, .n = 2, .at = 0}, true},
		{"within the answer's header", {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS + 1, .at = -20}, true},
		{"between header and body", {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS + 1, .at = 0}, true},
		{"within the body", {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS + 2, .at = 0}, true},
		{"before its last byte", {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = 2 * STAGE_ANSWER_RECORDS, .at = -1}, true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i += (size_t)walk_stride()) {
		struct fault fault = rows[i].fault;
		const char *method = methods[i % 2];
		struct outcome out;
		mesh *m = fault_stage_open(&stage, stage.addresses, 1, FAULT_STAGE_PATIENT);

		fault.action = FAULT_STALL;
		if (rows[i].sent) {
			call_again(m, method, SHORT_MS, &fault, &out);
		} else {
			fault_proxy_plan(stage.proxy, &fault, 1, false);
			fault_stage_call(&stage, m, method, SHORT_MS, &out);
		}
		check_error(rows[i].stage, method, &out, "MESH_E_TIMEOUT", rows[i].sent ? "peer" : "connect", rows[i].sent, SHORT_MS, SLACK_MS);
		(void)mesh_close(m, 0);
	}
}

static void threat_30_a_slow_body_ends_at_the_deadline_or_comes_whole(void **state)
{
	static const struct fault slow = {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS + 1, .at = 0, .action = FAULT_DRIP, .bytes = 10, .ms = 20};
	static const struct fault brisk = {.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS + 1, .at = 0, .action = FAULT_DRIP, .bytes = 500, .ms = 5};
	mesh *m = fault_stage_open(&stage, stage.addresses, 1, FAULT_STAGE_PATIENT);
	struct outcome out;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(methods); i++) {
		call_again(m, methods[i], SHORT_MS, &slow, &out);
		check_error("slow", methods[i], &out, "MESH_E_TIMEOUT", "peer", true, SHORT_MS, SLACK_MS);
		call_again(m, methods[i], LONG_MS, &brisk, &out);
		if (strcmp(out.name, "MESH_OK") != 0 || !out.whole) {
			say("slow, but not too slow", methods[i], &out);
		}
	}
	(void)mesh_close(m, 0);
}

static void threat_30_a_delay_within_the_deadline_costs_nothing_but_time(void **state)
{
	static const struct fault delays[] = {
		{.way = FAULT_REQUEST, .unit = FAULT_RECORDS, .n = 1, .at = -1, .action = FAULT_DELAY, .ms = 30},
		{.way = FAULT_ANSWER, .unit = FAULT_RECORDS, .n = 2, .at = -7, .action = FAULT_DELAY, .ms = 30},
		{.way = FAULT_REQUEST, .unit = FAULT_DATA, .n = 1, .at = -9, .action = FAULT_DELAY, .ms = 30},
		{.way = FAULT_ANSWER, .unit = FAULT_DATA, .n = 1, .at = -9, .action = FAULT_DELAY, .ms = 30},
	};
	mesh *m = fault_stage_open(&stage, stage.addresses, 1, FAULT_STAGE_PATIENT);
	struct outcome out;

	(void)state;
	fault_proxy_plan(stage.proxy, delays, MESH__COUNT(delays), false);
	fault_stage_call(&stage, m, "POST", LONG_MS, &out);
	if (strcmp(out.name, "MESH_OK") != 0 || !out.whole || out.ms < 120) {
		say("delayed four times", "POST", &out);
	}
	(void)mesh_close(m, 0);
}

/* ---- A kept connection that goes just when it is to be used ---- */

static void threat_30_a_keep_alive_connection_that_closes_meanwhile_runs_no_request_twice(void **state)
{
	static const enum fault_action actions[] = {FAULT_CUT, FAULT_RESET};
	mesh *m = fault_stage_open(&stage, stage.addresses, 1, FAULT_STAGE_PATIENT);

	(void)state;
	for (int i = 0; i < 20; i += (int)walk_stride()) {
		/* The very end of the first answer: the connection goes while the second call takes it up. */
		struct fault f = {.connection = 1, .way = FAULT_ANSWER, .unit = FAULT_DATA, .n = STAGE_ANSWER_RECORDS, .at = 0, .action = actions[i % 2]};
		struct outcome first, second;

		fault_proxy_plan(stage.proxy, &f, 1, false);
		fault_stage_call(&stage, m, "GET", LONG_MS, &first);
		fault_stage_call(&stage, m, methods[i / 2 % 2], LONG_MS, &second);
		if (strcmp(first.name, "MESH_OK") != 0) {
			say("first", "GET", &first);
		}
		if (strcmp(second.name, "MESH_OK") == 0) {
			assert_int_equal(atomic_load(&stage.executed[second.call]), 1);
		} else {
			check_error("close race", methods[i / 2 % 2], &second, "MESH_E_RESET", "peer", true, 0, SLACK_MS);
			assert_int_equal(atomic_load(&stage.executed[second.call]), 0); /* the server's end went first */
		}
	}
	(void)mesh_close(m, 0);
}

/* ---- Peers that break the rules ---- */

static void threat_30_a_peer_that_fails_in_tls_is_sent_nothing(void **state)
{
	(void)state;
	for (const struct bad_peer *bad = bad_tls_peers; bad->name != NULL; bad++) {
		const char *method = methods[(bad - bad_tls_peers) % 2];
		bool times_out = strcmp(bad->code, "MESH_E_CONNECT") == 0;
		struct raw_server *server;
		struct mesh__addr address;
		struct outcome out;
		mesh *m;

		if ((bad - bad_tls_peers) % walk_stride() != 0) {
			continue;
		}
		server = bad_peer_new(bad, NULL);
		raw_server_address(server, &address);
		m = fault_stage_open(&stage, &address, 1, times_out ? "300ms" : FAULT_STAGE_PATIENT);
		fault_stage_call(&stage, m, method, LONG_MS, &out);
		check_error(bad->name, method, &out, bad->code, origin_of(bad->code, false), false, times_out ? CONNECT_MS - CURL_EARLY_MS : 0, SLACK_MS);
		assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 1);
		(void)mesh_close(m, 0);
		raw_server_free(server);
	}
}

static void threat_30_past_a_peer_that_fails_in_tls_the_next_endpoint_answers(void **state)
{
	struct raw_server *server = bad_peer_new(&bad_tls_peers[0], NULL);
	struct mesh__addr both[2] = {{.port = 0}, stage.addresses[0]};
	struct outcome out = {.tries = 0};

	(void)state;
	raw_server_address(server, &both[0]);
	for (int i = 0; i < 64 && out.tries != 2; i++) {
		mesh *m = fault_stage_open(&stage, both, 2, FAULT_STAGE_PATIENT);
		fault_stage_call(&stage, m, "POST", LONG_MS, &out);
		if (strcmp(out.name, "MESH_OK") != 0 || atomic_load(&stage.executed[out.call]) != 1) {
			say("behind a bad peer", "POST", &out);
		}
		(void)mesh_close(m, 0);
	}
	assert_int_equal(out.tries, 2);
	raw_server_free(server);
}

/* Valgrind's handshake takes a second, and many on a busy machine. */
static int64_t handshake_too_ms(void)
{
	return under_valgrind() ? patience(HANDSHAKE_TOO_MS) : HANDSHAKE_TOO_MS;
}

static void threat_30_a_peer_that_fails_in_http_is_sent_the_request_once(void **state)
{
	(void)state;
	for (const struct bad_peer *bad = bad_http_peers; bad->name != NULL; bad++) {
		bool times_out = strcmp(bad->code, "MESH_E_TIMEOUT") == 0;
		int64_t deadline_ms = times_out ? handshake_too_ms() : LONG_MS;
		const char *method = methods[(bad - bad_http_peers) % 2];
		struct raw_server *servers[2]; /* two endpoints: no rule may lead to the second */
		struct mesh__addr both[2];
		struct outcome out;
		long n = 0;
		mesh *m;

		if ((bad - bad_http_peers) % walk_stride() != 0) {
			continue;
		}
		for (int i = 0; i < 2; i++) {
			servers[i] = bad_peer_new(bad, tls);
			raw_server_address(servers[i], &both[i]);
		}
		m = fault_stage_open(&stage, both, 2, FAULT_STAGE_PATIENT);
		fault_stage_call(&stage, m, method, deadline_ms, &out);
		check_error(bad->name, method, &out, bad->code, "peer", true, times_out ? deadline_ms : 0, SLACK_MS);
		(void)mesh_close(m, 0);
		for (int i = 0; i < 2; i++) {
			n += atomic_load(&raw_server_counts(servers[i])->shaken);
			raw_server_free(servers[i]);
		}
		if (n != 1) {
			fail_msg("%s: %ld connections", bad->name, n);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threat_30_a_syn_black_hole_ends_at_the_connect_timeout_or_the_deadline),
		TEST(threat_30_past_a_syn_black_hole_the_next_endpoint_answers),
		TEST(threat_30_a_stall_ends_at_the_deadline_at_every_stage),
		TEST(threat_30_a_slow_body_ends_at_the_deadline_or_comes_whole),
		TEST(threat_30_a_delay_within_the_deadline_costs_nothing_but_time),
		TEST(threat_30_a_keep_alive_connection_that_closes_meanwhile_runs_no_request_twice),
		TEST(threat_30_a_peer_that_fails_in_tls_is_sent_nothing),
		TEST(threat_30_past_a_peer_that_fails_in_tls_the_next_endpoint_answers),
		TEST(threat_30_a_peer_that_fails_in_http_is_sent_the_request_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
