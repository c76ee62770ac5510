/* The loop's way: whole responses, streams, ends of every kind, and callbacks that start, cancel and free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cast.h"
#include "patience.h"

/* ---- A loop, a multi with cart's identity, a server with one of ours, and a transfer ---- */

/* What became of one transfer. */
struct seen {
	struct mesh__transfer *transfer;
	int dones, code, status, head_status;
	struct mesh__client_result result;
	char body[256];
	char message[480];
	char data[256];
	bool stop_loop;
};

static struct mesh__loop *loop;
static struct mesh__multi *multi;
static struct mesh__tls_conf *conf;
static struct raw_server *server;
static struct seen seen, other;
static struct mesh__transfer_options o; /* of the one that is seen */

static int tear_down(void **state)
{
	(void)state;
	mesh__multi_free(multi);
	mesh__loop_free(loop);
	if (server != NULL) {
		raw_server_free(server);
	}
	mesh__tls_conf_unref(conf);
	multi = NULL;
	loop = NULL;
	server = NULL;
	conf = NULL;
	return 0;
}

static void open_stage(const struct test_peer *shown, bool with_creds, raw_script script)
{
	struct mesh__creds *creds = with_creds ? test_creds(&cast.cart, &cast.ca, 1) : NULL;

	other = (struct seen){.stop_loop = false};
	conf = test_tls_conf(shown, &cast.ca, true);
	server = raw_server_new(conf, script, NULL);
	assert_int_equal(mesh__loop_new(&cast.env, &loop, NULL), MESH_OK);
	assert_int_equal(mesh__multi_new(loop, creds, &multi, NULL), MESH_OK);
	mesh__creds_unref(creds);
}

static void on_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct seen *s = arg;

	s->dones++;
	s->code = code;
	s->status = response->status;
	s->result = *result;
	(void)snprintf(s->body, sizeof(s->body), "%s", response->body.data != NULL ? response->body.data : "");
	(void)snprintf(s->message, sizeof(s->message), "%s", err->message);
	if (s->stop_loop) {
		mesh__loop_stop(loop);
	}
}

static bool on_head(void *arg, int status)
{
	((struct seen *)arg)->head_status = status;
	return status == 200;
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct seen *s = arg;
	size_t have = strlen(s->data);

	(void)snprintf(s->data + have, sizeof(s->data) - have, "%.*s", (int)len, bytes);
	return true;
}

static struct mesh__transfer_options to_payments(struct seen *s, const char *method, const char *body)
{
	struct mesh__transfer_options to = {.verify = MESH__VERIFY_PEER, .connect_timeout_ms = 50000, .timeout_ms = 60000, .done = on_done, .arg = s};
	struct mesh__addr address;

	raw_server_address(server, &address);
	(void)snprintf(to.host, sizeof(to.host), "%s", cast.payments.dns);
	(void)snprintf(to.spiffe, sizeof(to.spiffe), "%s", cast.payments.spiffe);
	(void)snprintf(to.connect_host, sizeof(to.connect_host), "%s", address.ip);
	to.connect_port = address.port;
	to.request = (struct mesh__client_request){.method = method, .target = "/v1/x?y=1", .body = body, .body_len = body != NULL ? strlen(body) : 0, .has_body = body != NULL, .max_response_bytes = 4096};
	*s = (struct seen){.stop_loop = true};
	return to;
}

static void start(const struct mesh__transfer_options *options)
{
	struct seen *s = options->arg;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__transfer_start(multi, options, &s->transfer, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(s->dones, 0);
}

static void prepare(const char *method, const char *body)
{
	o = to_payments(&seen, method, body);
}

/* The prepared one, to its end. */
static int run(void)
{
	start(&o);
	mesh__loop_run(loop);
	assert_int_equal(seen.dones, 1);
	return seen.code;
}

static int ask(const char *method, const char *body)
{
	prepare(method, body);
	return run();
}

/* ---- Whole responses ---- */

static void collects_a_response_and_keeps_the_connection(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, raw_answer_ok);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask("POST", "report"), MESH_OK);
		assert_int_equal(seen.status, 200);
		assert_string_equal(seen.body, "ok");
		assert_int_equal(seen.result.reused, i > 0);
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->accepted), 1);
}

static void answers_once(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_kept_connection_that_has_gone_costs_no_transfer(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, answers_once);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask("POST", "report"), MESH_OK);
		assert_false(seen.result.reused);
		assert_true(raw_wait(&raw_server_counts(server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->shaken), 5);
	assert_int_equal(atomic_load(&raw_server_counts(server)->resumed), 4);
}

static void connects_by_name(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, raw_answer_ok);
	prepare("GET", NULL);
	(void)snprintf(o.connect_host, sizeof(o.connect_host), "localhost");
	assert_int_equal(run(), MESH_OK);
}

/* ---- Whom it trusts ---- */

static void refuses_the_peer_before_the_request_and_ever_after(void **state)
{
	(void)state;
	open_stage(&cast.forged, true, raw_answer_ok);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask("POST", "secret"), MESH_E_IDENTITY);
		assert_int_equal(seen.result.sent, MESH__SENT_NOTHING);
	}
	(void)tear_down(NULL);
	open_stage(&cast.payments, true, raw_answer_ok);
	for (int i = 0; i < 4; i++) {
		bool wrong = i % 2 == 0;

		prepare("POST", "secret");
		if (wrong) { /* the right DNS name, the wrong SPIFFE ID: also on the connection that served the right one */
			(void)snprintf(o.spiffe, sizeof(o.spiffe), "%s", cast.cart.spiffe);
		}
		assert_int_equal(run(), wrong ? MESH_E_IDENTITY : MESH_OK);
	}
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 2);
}

static void enrolment_trusts_the_roots_it_is_given_and_shows_no_certificate(void **state)
{
	struct mesh__trust *right = test_trust(&cast.ca, NULL), *wrong = test_trust(&cast.stranger, NULL);

	(void)state;
	open_stage(&cast.payments, false, raw_answer_ok);
	prepare("POST", "csr");
	assert_int_equal(mesh__transfer_start(multi, &o, &seen.transfer, NULL), MESH_E_INVALID); /* roots are missing */
	o.trust = wrong;
	assert_int_equal(run(), MESH_E_IDENTITY);
	prepare("POST", "csr");
	o.trust = right;
	assert_int_equal(run(), MESH_OK);
	(void)tear_down(NULL);
	mesh__trust_unref(right);
	mesh__trust_unref(wrong);
}

static void a_connection_that_verifies_nothing_serves_nobody_else(void **state)
{
	(void)state;
	open_stage(&cast.forged, true, raw_answer_ok);
	prepare("GET", NULL);
	o.verify = MESH__VERIFY_NOTHING;
	o.host[0] = '\0'; /* whoever answers there */
	assert_int_equal(run(), MESH_OK);
	assert_int_equal(ask("POST", "secret"), MESH_E_IDENTITY);
	assert_int_equal(atomic_load(&raw_server_counts(server)->requests), 1);
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
	bool reached;

	open_stage(&cast.payments, true, row->script);
	prepare("GET", NULL);
	o.timeout_ms = row->timed ? ms : 0;
	o.silence_ms = row->silent ? ms : 0;
	o.head = on_head;
	o.data = on_data;
	assert_int_equal(run(), row->code);
	reached = seen.head_status == row->head_status;
	if (reached) {
		assert_string_equal(seen.data, row->data);
		assert_non_null(strstr(seen.message, row->said));
	}
	(void)tear_down(NULL);
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
		int64_t ms = patience(150);

		while (!stream_ends_as(&rows[i], ms)) {
			ms *= 4;
			assert_true(ms < 60000);
		}
	}
}

/* ---- Callbacks that do what callbacks do ---- */

static bool start_other_from_data(void *arg, const char *bytes, size_t len)
{
	if (other.transfer == NULL) {
		struct mesh__transfer_options ack = to_payments(&other, "POST", "ack");
		start(&ack);
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
	(void)state;
	open_stage(&cast.payments, true, streams_first_then_answers);
	prepare("GET", NULL);
	o.data = start_other_from_data;
	start(&o);
	mesh__loop_run(loop); /* until the other is done */
	assert_int_equal(other.code, MESH_OK);
	assert_int_equal(seen.dones, 0);
	seen.stop_loop = false;
	(void)tear_down(NULL);
	assert_int_equal(seen.dones, 1);
	assert_int_equal(seen.code, MESH_E_CANCELLED);
}

static bool cancel_from_data(void *arg, const char *bytes, size_t len)
{
	(void)on_data(arg, bytes, len);
	mesh__transfer_cancel(seen.transfer);
	mesh__loop_stop(loop);
	return true;
}

static bool free_from_data(void *arg, const char *bytes, size_t len)
{
	(void)on_data(arg, bytes, len);
	mesh__multi_free(multi);
	multi = NULL;
	assert_int_equal(seen.dones, 1); /* at once, so that the owner may go too */
	return true;
}

static void data_may_cancel_its_transfer_or_free_the_multi(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, streams_then_hangs);
	prepare("GET", NULL);
	o.data = cancel_from_data;
	start(&o);
	mesh__loop_run(loop);
	assert_int_equal(seen.dones, 0);
	assert_string_equal(seen.data, "one\n");
	prepare("GET", NULL);
	o.data = free_from_data;
	assert_int_equal(run(), MESH_E_CANCELLED);
	(void)tear_down(NULL);
	assert_int_equal(seen.dones, 1);
}

static void free_when_done(void *arg, int code, const struct mesh__client_response *response, const struct mesh__client_result *result, const struct mesh__err *err)
{
	on_done(arg, code, response, result, err);
	mesh__multi_free(multi);
	multi = NULL;
}

static bool start_freeing_other_from_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__transfer_options freeing = to_payments(&other, "POST", "x");

	freeing.done = free_when_done;
	start(&freeing);
	return on_data(arg, bytes, len);
}

static void done_may_free_the_multi_and_with_it_others(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, streams_first_then_answers);
	prepare("GET", NULL);
	o.data = start_freeing_other_from_data;
	start(&o);
	seen.stop_loop = false;
	mesh__loop_run(loop); /* until the other is done */
	assert_int_equal(other.dones, 1);
	assert_int_equal(other.code, MESH_OK);
	assert_int_equal(seen.dones, 1);
	assert_int_equal(seen.code, MESH_E_CANCELLED);
}

static void a_cancelled_transfer_is_never_heard_of_again(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, raw_answer_ok);
	prepare("GET", NULL);
	start(&o);
	mesh__transfer_cancel(seen.transfer);
	o = to_payments(&other, "GET", NULL);
	start(&o);
	mesh__loop_run(loop);
	assert_int_equal(other.code, MESH_OK);
	assert_int_equal(seen.dones, 0);
}

static void nothing_listens_there(void **state)
{
	(void)state;
	open_stage(&cast.payments, true, raw_answer_ok);
	prepare("GET", NULL);
	o.connect_port = 1;
	assert_int_equal(run(), MESH_E_CONNECT);
	assert_int_equal(seen.result.sent, MESH__SENT_NOTHING);
	assert_non_null(strstr(seen.message, "payments.default.mesh.local at 127.0.0.1:1: cannot connect"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(collects_a_response_and_keeps_the_connection, tear_down),
		cmocka_unit_test_teardown(a_kept_connection_that_has_gone_costs_no_transfer, tear_down),
		cmocka_unit_test_teardown(connects_by_name, tear_down),
		cmocka_unit_test_teardown(refuses_the_peer_before_the_request_and_ever_after, tear_down),
		cmocka_unit_test_teardown(enrolment_trusts_the_roots_it_is_given_and_shows_no_certificate, tear_down),
		cmocka_unit_test_teardown(a_connection_that_verifies_nothing_serves_nobody_else, tear_down),
		cmocka_unit_test_teardown(a_stream_ends_as_it_ends, tear_down),
		cmocka_unit_test_teardown(a_transfer_may_be_started_from_anothers_data, tear_down),
		cmocka_unit_test_teardown(data_may_cancel_its_transfer_or_free_the_multi, tear_down),
		cmocka_unit_test_teardown(done_may_free_the_multi_and_with_it_others, tear_down),
		cmocka_unit_test_teardown(a_cancelled_transfer_is_never_heard_of_again, tear_down),
		cmocka_unit_test_teardown(nothing_listens_there, tear_down),
	};

	return cmocka_run_group_tests(tests, cast_set_up_with_stranger, cast_tear_down);
}
