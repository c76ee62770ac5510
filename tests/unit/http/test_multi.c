/* The loop's way: whole responses, streams, ends of every kind, and callbacks that start, cancel and free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cast.h"

/* ---- A loop, a multi with cart's identity, a server with one of ours ---- */

struct stage {
	struct mesh__loop *loop;
	struct mesh__multi *multi;
	struct mesh__tls_conf *conf;
	struct raw_server *server;
};

static void open_stage(struct stage *s, const struct test_peer *shown, bool with_creds, raw_script script)
{
	struct mesh__creds *creds = with_creds ? test_creds(&cast.cart, &cast.ca, 1) : NULL;

	s->conf = test_tls_conf(shown, &cast.ca, true);
	s->server = raw_server_new(s->conf, script, NULL);
	assert_int_equal(mesh__loop_new(&cast.env, &s->loop, NULL), MESH_OK);
	assert_int_equal(mesh__multi_new(s->loop, creds, &s->multi, NULL), MESH_OK);
	mesh__creds_unref(creds);
}

static void close_stage(struct stage *s)
{
	mesh__multi_free(s->multi);
	mesh__loop_free(s->loop);
	raw_server_free(s->server);
	mesh__tls_conf_unref(s->conf);
}

/* What became of one transfer. */
struct seen {
	struct stage *stage;
	struct mesh__transfer *transfer;
	int dones, code, status, head_status;
	struct mesh__client_result result;
	char body[256];
	char message[480];
	char data[256];
	bool stop_loop;
};

static void on_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct seen *seen = arg;

	seen->dones++;
	seen->code = code;
	seen->status = response->status;
	seen->result = *result;
	(void)snprintf(seen->body, sizeof(seen->body), "%s", response->body.data != NULL ? response->body.data : "");
	(void)snprintf(seen->message, sizeof(seen->message), "%s", err->message);
	if (seen->stop_loop) {
		mesh__loop_stop(seen->stage->loop);
	}
}

static bool on_head(void *arg, int status)
{
	((struct seen *)arg)->head_status = status;
	return status == 200;
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct seen *seen = arg;
	size_t have = strlen(seen->data);

	(void)snprintf(seen->data + have, sizeof(seen->data) - have, "%.*s", (int)len, bytes);
	return true;
}

static struct mesh__transfer_options to_payments(struct stage *s, struct seen *seen, const char *method, const char *body)
{
	struct mesh__transfer_options o = {.verify = MESH__VERIFY_PEER, .connect_timeout_ms = 50000, .timeout_ms = 60000, .done = on_done, .arg = seen};
	struct mesh__addr address;

	raw_server_address(s->server, &address);
	(void)snprintf(o.host, sizeof(o.host), "%s", cast.payments.dns);
	(void)snprintf(o.spiffe, sizeof(o.spiffe), "%s", cast.payments.spiffe);
	(void)snprintf(o.connect_host, sizeof(o.connect_host), "%s", address.ip);
	o.connect_port = address.port;
	o.request = (struct mesh__client_request){.method = method, .target = "/v1/x?y=1", .body = body, .body_len = body != NULL ? strlen(body) : 0, .has_body = body != NULL, .max_response_bytes = 4096};
	*seen = (struct seen){.stage = s, .stop_loop = true};
	return o;
}

static void start(struct stage *s, const struct mesh__transfer_options *o)
{
	struct seen *seen = o->arg;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__transfer_start(s->multi, o, &seen->transfer, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(seen->dones, 0);
}

static void run(struct stage *s, const struct mesh__transfer_options *o)
{
	start(s, o);
	mesh__loop_run(s->loop);
	assert_int_equal(((struct seen *)o->arg)->dones, 1);
}

/* ---- Whole responses ---- */

static void collects_a_response_and_keeps_the_connection(void **state)
{
	struct stage s;
	struct seen seen;

	(void)state;
	open_stage(&s, &cast.payments, true, raw_answer_ok);
	for (int i = 0; i < 3; i++) {
		struct mesh__transfer_options o = to_payments(&s, &seen, "POST", "report");
		run(&s, &o);
		assert_int_equal(seen.code, MESH_OK);
		assert_int_equal(seen.status, 200);
		assert_string_equal(seen.body, "ok");
		assert_int_equal(seen.result.reused, i > 0);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	close_stage(&s);
}

static void answers_once(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_kept_connection_that_has_gone_costs_no_transfer(void **state)
{
	struct stage s;
	struct seen seen;

	(void)state;
	open_stage(&s, &cast.payments, true, answers_once);
	for (int i = 0; i < 5; i++) {
		struct mesh__transfer_options o = to_payments(&s, &seen, "POST", "report");
		run(&s, &o);
		assert_int_equal(seen.code, MESH_OK);
		assert_false(seen.result.reused);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->shaken), 5);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->resumed), 4);
	close_stage(&s);
}

static void connects_by_name(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, true, raw_answer_ok);
	o = to_payments(&s, &seen, "GET", NULL);
	(void)snprintf(o.connect_host, sizeof(o.connect_host), "localhost");
	run(&s, &o);
	assert_int_equal(seen.code, MESH_OK);
	close_stage(&s);
}

/* ---- Whom it trusts ---- */

static void refuses_the_peer_before_the_request_and_ever_after(void **state)
{
	struct stage s;
	struct seen seen;

	(void)state;
	open_stage(&s, &cast.forged, true, raw_answer_ok);
	for (int i = 0; i < 2; i++) {
		struct mesh__transfer_options o = to_payments(&s, &seen, "POST", "secret");
		run(&s, &o);
		assert_int_equal(seen.code, MESH_E_IDENTITY);
		assert_int_equal(seen.result.sent, MESH__SENT_NOTHING);
	}
	close_stage(&s);
	open_stage(&s, &cast.payments, true, raw_answer_ok);
	for (int i = 0; i < 4; i++) {
		struct mesh__transfer_options o = to_payments(&s, &seen, "POST", "secret");
		bool wrong = i % 2 == 0;
		if (wrong) { /* the right DNS name, the wrong SPIFFE ID: also on the connection that served the right one */
			(void)snprintf(o.spiffe, sizeof(o.spiffe), "%s", cast.cart.spiffe);
		}
		run(&s, &o);
		assert_int_equal(seen.code, wrong ? MESH_E_IDENTITY : MESH_OK);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 2);
	close_stage(&s);
}

static void enrolment_trusts_the_roots_it_is_given_and_shows_no_certificate(void **state)
{
	struct mesh__trust *right = test_trust(&cast.ca, NULL), *wrong = test_trust(&cast.stranger, NULL);
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, false, raw_answer_ok);
	o = to_payments(&s, &seen, "POST", "csr");
	assert_int_equal(mesh__transfer_start(s.multi, &o, &seen.transfer, NULL), MESH_E_INVALID); /* roots are missing */
	o.trust = wrong;
	run(&s, &o);
	assert_int_equal(seen.code, MESH_E_IDENTITY);
	o = to_payments(&s, &seen, "POST", "csr");
	o.trust = right;
	run(&s, &o);
	assert_int_equal(seen.code, MESH_OK);
	close_stage(&s);
	mesh__trust_unref(right);
	mesh__trust_unref(wrong);
}

static void a_connection_that_verifies_nothing_serves_nobody_else(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.forged, true, raw_answer_ok);
	o = to_payments(&s, &seen, "GET", NULL);
	o.verify = MESH__VERIFY_NOTHING;
	o.host[0] = '\0'; /* whoever answers there */
	run(&s, &o);
	assert_int_equal(seen.code, MESH_OK);
	o = to_payments(&s, &seen, "POST", "secret");
	run(&s, &o);
	assert_int_equal(seen.code, MESH_E_IDENTITY);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 1);
	close_stage(&s);
}

/* ---- Streams ---- */

static void streams_then_ends(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
		(void)raw_say(conn, "4\r\ntwo\n\r\n0\r\n\r\n");
	}
}

static void streams_then_hangs(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")) {
		raw_hang(conn);
	}
}

static void streams_then_dies(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
	}
}

static void answers_403(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
	}
}

static void hangs(struct raw_conn *conn)
{
	raw_hang(conn);
}

struct stream_row {
	raw_script script;
	bool timed, silent; /* a timeout of the whole, of silence */
	int code, head_status;
	const char *data, *said;
};

/* False when the time was up before the stage that the row is about, as on a slow machine, which proves nothing. */
static bool stream_ends_as(const struct stream_row *row, int64_t ms)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;
	bool reached;

	open_stage(&s, &cast.payments, true, row->script);
	o = to_payments(&s, &seen, "GET", NULL);
	o.timeout_ms = row->timed ? ms : 0;
	o.silence_ms = row->silent ? ms : 0;
	o.head = on_head;
	o.data = on_data;
	run(&s, &o);
	assert_int_equal(seen.code, row->code);
	reached = seen.head_status == row->head_status;
	if (reached) {
		assert_string_equal(seen.data, row->data);
		assert_non_null(strstr(seen.message, row->said));
	}
	close_stage(&s);
	return reached;
}

static void a_stream_ends_as_it_ends(void **state)
{
	static const struct stream_row rows[] = {
		{streams_then_ends, false, false, MESH_OK, 200, "one\ntwo\n", ""},
		{streams_then_dies, false, false, MESH_E_RESET, 200, "one\n", "in the middle of the response"},
		{streams_then_hangs, false, true, MESH_E_TIMEOUT, 200, "one\n", "nothing was heard"},
		{streams_then_hangs, true, false, MESH_E_TIMEOUT, 200, "one\n", "no whole response in time"},
		{hangs, true, false, MESH_E_TIMEOUT, 0, "", "no whole response in time"},
		{hangs, false, true, MESH_E_TIMEOUT, 0, "", "nothing was heard"},
		{answers_403, false, false, MESH_E_PROTOCOL, 403, "", "status 403"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		int64_t ms = 150;

		while (!stream_ends_as(&rows[i], ms)) {
			ms *= 4;
			assert_true(ms < 60000);
		}
	}
}

/* ---- Callbacks that do what callbacks do ---- */

static struct seen other;

static bool start_other_from_data(void *arg, const char *bytes, size_t len)
{
	struct seen *seen = arg;

	if (other.stage == NULL) {
		struct mesh__transfer_options o = to_payments(seen->stage, &other, "POST", "ack");
		start(seen->stage, &o);
	}
	return on_data(arg, bytes, len);
}

/* The first connection streams and stays; any later one answers. */
static void streams_first_then_answers(struct raw_conn *conn)
{
	if (conn->index == 0) {
		streams_then_hangs(conn);
	} else {
		raw_answer_ok(conn);
	}
}

static void a_transfer_may_be_started_from_anothers_data(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	other = (struct seen){.stage = NULL};
	open_stage(&s, &cast.payments, true, streams_first_then_answers);
	o = to_payments(&s, &seen, "GET", NULL);
	o.data = start_other_from_data;
	start(&s, &o);
	mesh__loop_run(s.loop); /* until the other is done */
	assert_int_equal(other.code, MESH_OK);
	assert_int_equal(seen.dones, 0);
	seen.stop_loop = false;
	close_stage(&s);
	assert_int_equal(seen.dones, 1);
	assert_int_equal(seen.code, MESH_E_CANCELLED);
}

static bool cancel_from_data(void *arg, const char *bytes, size_t len)
{
	struct seen *seen = arg;

	(void)on_data(arg, bytes, len);
	mesh__transfer_cancel(seen->transfer);
	mesh__loop_stop(seen->stage->loop);
	return true;
}

static bool free_from_data(void *arg, const char *bytes, size_t len)
{
	struct seen *seen = arg;

	(void)on_data(arg, bytes, len);
	mesh__multi_free(seen->stage->multi);
	seen->stage->multi = NULL;
	assert_int_equal(seen->dones, 1); /* at once, so that the owner may go too */
	return true;
}

static void data_may_cancel_its_transfer_or_free_the_multi(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, true, streams_then_hangs);
	o = to_payments(&s, &seen, "GET", NULL);
	o.data = cancel_from_data;
	start(&s, &o);
	mesh__loop_run(s.loop);
	assert_int_equal(seen.dones, 0);
	assert_string_equal(seen.data, "one\n");
	o = to_payments(&s, &seen, "GET", NULL);
	o.data = free_from_data;
	run(&s, &o);
	assert_int_equal(seen.code, MESH_E_CANCELLED);
	close_stage(&s);
	assert_int_equal(seen.dones, 1);
}

static void free_when_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct seen *seen = arg;

	on_done(arg, code, response, result, err);
	mesh__multi_free(seen->stage->multi);
	seen->stage->multi = NULL;
}

static bool start_freeing_other_from_data(void *arg, const char *bytes, size_t len)
{
	struct seen *seen = arg;
	struct mesh__transfer_options o = to_payments(seen->stage, &other, "POST", "x");

	o.done = free_when_done;
	start(seen->stage, &o);
	return on_data(arg, bytes, len);
}

static void done_may_free_the_multi_and_with_it_others(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, true, streams_first_then_answers);
	o = to_payments(&s, &seen, "GET", NULL);
	o.data = start_freeing_other_from_data;
	start(&s, &o);
	seen.stop_loop = false;
	mesh__loop_run(s.loop); /* until the other is done */
	assert_int_equal(other.dones, 1);
	assert_int_equal(other.code, MESH_OK);
	assert_int_equal(seen.dones, 1);
	assert_int_equal(seen.code, MESH_E_CANCELLED);
	close_stage(&s);
}

static void a_cancelled_transfer_is_never_heard_of_again(void **state)
{
	struct stage s;
	struct seen seen, last;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, true, raw_answer_ok);
	o = to_payments(&s, &seen, "GET", NULL);
	start(&s, &o);
	mesh__transfer_cancel(seen.transfer);
	o = to_payments(&s, &last, "GET", NULL);
	run(&s, &o);
	assert_int_equal(last.code, MESH_OK);
	assert_int_equal(seen.dones, 0);
	close_stage(&s);
}

static void nothing_listens_there(void **state)
{
	struct stage s;
	struct seen seen;
	struct mesh__transfer_options o;

	(void)state;
	open_stage(&s, &cast.payments, true, raw_answer_ok);
	o = to_payments(&s, &seen, "GET", NULL);
	o.connect_port = 1;
	run(&s, &o);
	assert_int_equal(seen.code, MESH_E_CONNECT);
	assert_int_equal(seen.result.sent, MESH__SENT_NOTHING);
	assert_non_null(strstr(seen.message, "payments.default.mesh.local at 127.0.0.1:1: cannot connect"));
	close_stage(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(collects_a_response_and_keeps_the_connection),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_transfer),
		cmocka_unit_test(connects_by_name),
		cmocka_unit_test(refuses_the_peer_before_the_request_and_ever_after),
		cmocka_unit_test(enrolment_trusts_the_roots_it_is_given_and_shows_no_certificate),
		cmocka_unit_test(a_connection_that_verifies_nothing_serves_nobody_else),
		cmocka_unit_test(a_stream_ends_as_it_ends),
		cmocka_unit_test(a_transfer_may_be_started_from_anothers_data),
		cmocka_unit_test(data_may_cancel_its_transfer_or_free_the_multi),
		cmocka_unit_test(done_may_free_the_multi_and_with_it_others),
		cmocka_unit_test(a_cancelled_transfer_is_never_heard_of_again),
		cmocka_unit_test(nothing_listens_there),
	};

	return cmocka_run_group_tests(tests, cast_set_up_with_stranger, cast_tear_down);
}
