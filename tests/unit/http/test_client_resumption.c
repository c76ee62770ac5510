/* The client resumes sessions: of peers that it has found good, and judges them again. THREATS 16, and the stampede of 33. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "bad_cert.h"
#include "http/curl_peer.h"
#include "http/curl_slot.h"
#include "patience.h"
#include "cast.h"
#include "tls_client.h"

enum { CALLERS = 16, FEW = 4 /* fewer than may dial at once */ };

/* The clocks of the pools: the wall clock runs `ahead_ms` before the system's, the monotonic one stands still when it is told to. */
static _Atomic int64_t ahead_ms, still_us;

static int64_t wall_ms(void *user)
{
	struct timespec ts;

	(void)user;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ahead_ms;
}

static int64_t mono_us(void *user)
{
	struct timespec ts;

	(void)user;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return still_us != 0 ? still_us : (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- payments, and a pool of cart's to it that goes by those clocks ---- */

static void open_scene(struct scene *s, raw_script script)
{
	static struct mesh__env env;
	struct mesh__pool_options options;

	ahead_ms = still_us = 0;
	mesh__env_init(&env);
	env.wall_ms = wall_ms;
	env.mono_us = mono_us;
	scene_open(s, test_tls_conf(&cast.payments, &cast.ca, false), script, NULL, MESH__HTTP_1);
	options = scene_options(s);
	scene_repool(s, &env, &options);
}

static void assert_handshakes(struct scene *s, long whole, long resumed)
{
	struct raw_counts *counts = raw_server_counts(s->server);

	assert_true(raw_wait(&counts->shaken, whole + resumed)); /* the client may have gone before the server has counted */
	assert_true(raw_wait(&counts->resumed, resumed));
}

/* One call on a connection of its own. */
static int call_anew(struct scene *s, const char *said)
{
	struct client_call call;
	int code;

	mesh__pool_sweep(s->pool, true);
	client_call_init(&call, "POST", "pay");
	code = client_call_run(&call, s->pool);
	assert_false(call.result.reused);
	if (said == NULL ? code != MESH_OK : strstr(call.err.message, said) == NULL) {
		fail_msg("%s: %s", mesh__code_name(code), call.err.message);
	}
	client_call_fini(&call);
	return code;
}

/* ---- What is resumed ---- */

static void a_later_connection_resumes_the_session_of_the_first(void **state)
{
	struct scene s;

	(void)state;
	assert_true(mesh__curl_peer_readable());
	open_scene(&s, raw_answer_ok);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(call_anew(&s, NULL), MESH_OK);
	}
	assert_handshakes(&s, 1, 3);
	scene_close(&s);
}

static void a_server_that_knows_no_session_gets_a_whole_handshake_and_then_they_resume_that(void **state)
{
	struct mesh__tls_conf *restarted = test_tls_conf(&cast.payments, &cast.ca, false);
	struct scene s;

	(void)state;
	open_scene(&s, raw_answer_ok);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	raw_server_become(s.server, restarted);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_handshakes(&s, 2, 0);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_handshakes(&s, 2, 1);
	scene_close(&s);
	mesh__tls_conf_unref(restarted);
}

static void answers_when_all_are_there(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0) && raw_wait(&raw_server_counts(conn->server)->requests, CALLERS)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
	raw_hang(conn);
}

static void *call_once(void *pool)
{
	struct client_call call;
	intptr_t code;

	client_call_init(&call, "GET", NULL);
	code = client_call_run(&call, pool);
	client_call_fini(&call);
	return (void *)code;
}

/* The clock stands still, so that the first handshake is never one that takes too long, whatever machine this runs on. */
static void threat_33_all_who_call_a_peer_that_is_new_to_them_make_one_whole_handshake(void **state)
{
	pthread_t callers[CALLERS];
	struct scene s;

	(void)state;
	open_scene(&s, answers_when_all_are_there);
	still_us = mesh__mono_us(&cast.env);
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_create(&callers[i], NULL, call_once, s.pool), 0);
	}
	for (size_t i = 0; i < CALLERS; i++) {
		void *code;
		assert_int_equal(pthread_join(callers[i], &code), 0);
		assert_int_equal((intptr_t)code, MESH_OK);
	}
	assert_handshakes(&s, 1, CALLERS - 1);
	scene_close(&s);
}

static void a_first_dial_that_hangs_holds_the_others_up_for_a_moment_only(void **state)
{
	struct mesh__pool_options defaults;
	pthread_t callers[CALLERS];
	struct scene s;

	(void)state;
	open_scene(&s, raw_hang);
	raw_server_become(s.server, NULL); /* it accepts, and says nothing */
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_create(&callers[i], NULL, call_once, s.pool), 0);
	}
	mesh__pool_options_default(&defaults);
	assert_true(raw_wait(&raw_server_counts(s.server)->accepted, defaults.max_dials));
	raw_server_free(s.server); /* ends them all */
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_join(callers[i], NULL), 0);
	}
	s.server = raw_server_new(s.conf, raw_answer_ok, NULL);
	scene_close(&s);
}

/* ---- Who is not: THREATS 16 ---- */

/* A configuration that shows payments' DNS name and `uri`, by an intermediate of the mesh's root for `domain`. */
static struct mesh__tls_conf *impostor_new(const char *uri, const char *domain)
{
	int64_t now_ms = mesh__wall_ms(&cast.env);
	struct bad_cert inter = {.ca = true, .uri = {domain}, .not_before_ms = now_ms - 60000, .not_after_ms = now_ms + 3600000, .ca_cert_pem = cast.ca.root, .ca_key_pem = cast.ca.root_key};
	struct bad_cert leaf = {.uri = {uri}, .dns = {cast.payments.dns}, .not_before_ms = now_ms - 60000, .not_after_ms = now_ms + 3600000};
	struct test_peer shown = {.spiffe = ""};
	struct mesh__tls_conf *conf;
	char *inter_pem, *inter_key, *leaf_pem;

	assert_true(bad_cert_mint(&inter, &inter_pem, &inter_key));
	leaf.ca_cert_pem = inter_pem;
	leaf.ca_key_pem = inter_key;
	assert_true(bad_cert_mint(&leaf, &leaf_pem, &shown.key));
	shown.chain = test_ca_join(leaf_pem, inter_pem);
	conf = test_tls_conf(&shown, &cast.ca, false);
	mesh__free(shown.chain);
	free(shown.key);
	free(leaf_pem);
	free(inter_pem);
	free(inter_key);
	return conf;
}

static void threat_16_an_impostor_at_the_same_address_is_refused_whole_and_resumed_and_spoils_nothing(void **state)
{
	struct mesh__tls_conf *impostor = impostor_new(cast.ledger.spiffe, "spiffe://mesh.local");
	struct scene s;

	(void)state;
	open_scene(&s, raw_answer_ok);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	raw_server_become(s.server, impostor);
	for (int i = 0; i < 3; i++) { /* it knows the session that it made with us; it is not offered */
		assert_int_equal(call_anew(&s, "not that of its SPIFFE ID"), MESH_E_IDENTITY);
	}
	assert_handshakes(&s, 4, 0);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 1);
	raw_server_become(s.server, s.conf);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_handshakes(&s, 5, 1);
	scene_close(&s);
	mesh__tls_conf_unref(impostor);
}

/* However many dials have failed before: who waited for somebody's first dial learns by his own what is wrong. */
static void each_who_calls_an_impostor_is_told_that_it_is_one(void **state)
{
	struct mesh__tls_conf *impostor = impostor_new(cast.ledger.spiffe, "spiffe://mesh.local");
	pthread_t callers[FEW];
	struct scene s;

	(void)state;
	open_scene(&s, raw_answer_ok);
	raw_server_become(s.server, impostor);
	for (int i = 0; i < CALLERS; i++) {
		assert_int_equal(call_anew(&s, "not that of its SPIFFE ID"), MESH_E_IDENTITY);
	}
	for (int round = 0; round < 10; round += (int)walk_stride()) {
		for (size_t i = 0; i < FEW; i++) {
			assert_int_equal(pthread_create(&callers[i], NULL, call_once, s.pool), 0);
		}
		for (size_t i = 0; i < FEW; i++) {
			void *code;
			assert_int_equal(pthread_join(callers[i], &code), 0);
			assert_int_equal((intptr_t)code, MESH_E_IDENTITY);
		}
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	scene_close(&s);
	mesh__tls_conf_unref(impostor);
}

/* Dials on a slot and lets libcurl come to its end; what we make of it is mesh__easy_end()'s. */
static CURLcode dial(struct mesh__slot *slot, struct client_call *call)
{
	CURLcode outcome = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMsg *msg;

	assert_int_equal(mesh__easy_begin(&slot->easy, &call->request, &call->response, true, 60000, &call->err), MESH_OK);
	assert_int_equal(curl_multi_add_handle(slot->multi, slot->easy.curl), CURLM_OK);
	while (running > 0) {
		assert_int_equal(curl_multi_perform(slot->multi, &running), CURLM_OK);
		assert_int_equal(curl_multi_poll(slot->multi, NULL, 0, running > 0 ? 60000 : 0, NULL), CURLM_OK);
	}
	msg = curl_multi_info_read(slot->multi, &left);
	if (msg != NULL) {
		outcome = msg->data.result;
	}
	(void)curl_multi_remove_handle(slot->multi, slot->easy.curl);
	return outcome;
}

/* The two slots that dial at once, with one share. */
static void two_slots(struct scene *s, struct mesh__slot *slots[2], struct client_call calls[2])
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mesh__slot_new(s->pool, &slots[i], NULL), MESH_OK);
		client_call_init(&calls[i], "POST", "pay");
	}
	assert_ptr_equal(slots[0]->easy.share, slots[1]->easy.share);
}

static void end_slots(struct mesh__slot *slots[2], struct client_call calls[2])
{
	for (int i = 0; i < 2; i++) {
		mesh__slot_free(slots[i]);
		client_call_fini(&calls[i]);
	}
}

/*
 * libcurl keeps the session of a peer before this side has refused it, and a dial that is under way just then resumes it: made to happen here by not telling of the first one's end. The leaf is in order, the chain is
 * not, and a resumed handshake shows none.
 */
static void threat_16_a_session_of_a_peer_that_was_refused_for_its_chain_lets_nobody_in(void **state)
{
	struct mesh__tls_conf *impostor = impostor_new(cast.payments.spiffe, "spiffe://other.local");
	struct mesh__slot *slots[2];
	struct client_call calls[2];
	struct scene s;
	CURLcode outcome;
	int code;

	(void)state;
	open_scene(&s, raw_answer_ok);
	raw_server_become(s.server, impostor);
	two_slots(&s, slots, calls);
	assert_int_equal(dial(slots[0], &calls[0]), CURLE_ABORTED_BY_CALLBACK);
	outcome = dial(slots[1], &calls[1]);
	assert_int_equal(outcome, CURLE_ABORTED_BY_CALLBACK);
	/* In TLS 1.3 no session came of the first, whose ticket would have followed: it is judged as the first was. Else it is made again, whole. */
	code = mesh__easy_end(&slots[1]->easy, outcome, &calls[1].result, &calls[1].err);
	assert_int_equal(code, tls_client_has_tls13() ? MESH_E_IDENTITY : MESH_E_RESET);
	assert_int_equal(mesh__easy_unsent_stale(&slots[1]->easy), !tls_client_has_tls13());
	if (strstr(calls[1].err.message, tls_client_has_tls13() ? "in the peer's chain" : "not one of a peer that was found good; nothing was sent") == NULL) {
		fail_msg("%s", calls[1].err.message);
	}
	assert_int_equal(call_anew(&s, "in the peer's chain"), MESH_E_IDENTITY);
	assert_int_equal(mesh__easy_end(&slots[0]->easy, CURLE_ABORTED_BY_CALLBACK, &calls[0].result, &calls[0].err), MESH_E_IDENTITY);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	end_slots(slots, calls);
	scene_close(&s);
	mesh__tls_conf_unref(impostor);
}

/* A deadline may pass just there: the handshake is done, its session kept, and the peer not judged. Made to happen by one who looks for somebody else, and whose end is not told. */
static void a_session_of_a_peer_that_nobody_judged_costs_the_next_a_handshake_and_no_call(void **state)
{
	struct mesh__slot *slots[2];
	struct client_call calls[2];
	struct scene s;

	(void)state;
	open_scene(&s, raw_answer_ok);
	two_slots(&s, slots, calls);
	(void)snprintf(slots[0]->easy.expect, sizeof(slots[0]->easy.expect), "%s", cast.ledger.spiffe);
	assert_int_equal(dial(slots[0], &calls[0]), CURLE_ABORTED_BY_CALLBACK);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_handshakes(&s, 2, tls_client_has_tls13() ? 0 : 1);
	assert_int_equal(mesh__easy_end(&slots[0]->easy, CURLE_ABORTED_BY_CALLBACK, &calls[0].result, &calls[0].err), MESH_E_IDENTITY);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 1);
	end_slots(slots, calls);
	scene_close(&s);
}

/* Between the whole handshake and the one that resumes its session. */
static void its_certificate_expires(struct mesh__easy *e)
{
	(void)e;
	ahead_ms = INT64_C(49) * 3600 * 1000;
}

static void ledger_is_expected(struct mesh__easy *e)
{
	(void)snprintf(e->expect, sizeof(e->expect), "%s", cast.ledger.spiffe);
}

static void threat_16_a_resumed_peer_is_judged_once_more(void **state)
{
	static const struct {
		void (*happens)(struct mesh__easy *e);
		const char *said;
	} rows[] = {
		{its_certificate_expires, "expired since"},
		{ledger_is_expected, "payments, not spiffe://"},
	};

	(void)state;
	for (size_t row = 0; row < MESH__COUNT(rows); row++) {
		struct mesh__slot *slots[2];
		struct client_call calls[2];
		struct scene s;
		CURLcode outcome;

		open_scene(&s, raw_answer_ok);
		two_slots(&s, slots, calls);
		outcome = dial(slots[0], &calls[0]);
		assert_int_equal(mesh__easy_end(&slots[0]->easy, outcome, &calls[0].result, &calls[0].err), MESH_OK);
		rows[row].happens(&slots[1]->easy);
		outcome = dial(slots[1], &calls[1]);
		assert_int_equal(mesh__easy_end(&slots[1]->easy, outcome, &calls[1].result, &calls[1].err), MESH_E_IDENTITY);
		if (strstr(calls[1].err.message, rows[row].said) == NULL) {
			fail_msg("%s: %s", rows[row].said, calls[1].err.message);
		}
		assert_handshakes(&s, 1, 1);
		assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 1);
		end_slots(slots, calls);
		scene_close(&s);
	}
}

static void no_dial_begins_with_a_session_that_is_about_to_expire(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, raw_answer_ok);
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	ahead_ms = INT64_C(48) * 3600 * 1000 - 5000;
	assert_int_equal(call_anew(&s, NULL), MESH_OK);
	assert_handshakes(&s, 2, 0);
	scene_close(&s);
}

static void a_share_remembers_the_last_leaves_that_were_good(void **state)
{
	unsigned char leaf[32] = {0};
	struct mesh__share *share;

	(void)state;
	assert_int_equal(mesh__share_new(&cast.env, &share, NULL), MESH_OK);
	for (unsigned char n = 1; n <= 5; n++) {
		leaf[31] = n;
		assert_false(mesh__share_vouched(share, leaf));
		mesh__share_vouch(share, leaf, mesh__wall_ms(&cast.env) + 3600000);
		mesh__share_vouch(share, leaf, mesh__wall_ms(&cast.env) + 3600000);
		assert_true(mesh__share_vouched(share, leaf));
	}
	leaf[31] = 2;
	assert_true(mesh__share_vouched(share, leaf));
	leaf[31] = 1;
	assert_false(mesh__share_vouched(share, leaf));
	assert_true(mesh__share_good(share));
	mesh__share_spoil(share);
	assert_false(mesh__share_good(share));
	mesh__share_unref(share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_later_connection_resumes_the_session_of_the_first),
		cmocka_unit_test(a_server_that_knows_no_session_gets_a_whole_handshake_and_then_they_resume_that),
		cmocka_unit_test(threat_33_all_who_call_a_peer_that_is_new_to_them_make_one_whole_handshake),
		cmocka_unit_test(a_first_dial_that_hangs_holds_the_others_up_for_a_moment_only),
		cmocka_unit_test(threat_16_an_impostor_at_the_same_address_is_refused_whole_and_resumed_and_spoils_nothing),
		cmocka_unit_test(each_who_calls_an_impostor_is_told_that_it_is_one),
		cmocka_unit_test(threat_16_a_session_of_a_peer_that_was_refused_for_its_chain_lets_nobody_in),
		cmocka_unit_test(a_session_of_a_peer_that_nobody_judged_costs_the_next_a_handshake_and_no_call),
		cmocka_unit_test(threat_16_a_resumed_peer_is_judged_once_more),
		cmocka_unit_test(no_dial_begins_with_a_session_that_is_about_to_expire),
		cmocka_unit_test(a_share_remembers_the_last_leaves_that_were_good),
	};

	return cmocka_run_group_tests(tests, cast_set_up, cast_tear_down);
}
