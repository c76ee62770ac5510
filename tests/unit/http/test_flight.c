/* Exchanges of a pool that a loop drives: whole and streamed, sharing the pool with threads, ended at every stage. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "black_hole.h"
#include "client_call.h"
#include "patience.h"
#include "raw_server.h"
#include "test_peer.h"
#include "http/curl_pool.h"

enum { MEGABYTE = 1024 * 1024 };

static struct mesh__env env;
static struct test_ca ca;
static struct test_peer cart, payments, forged;

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	test_ca_init(&ca, &env, "mesh.local");
	test_peer_init(&cart, &ca, "cart");
	test_peer_init(&payments, &ca, "payments");
	test_peer_init(&forged, &ca, "refunds");
	return mesh__client_init(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	test_peer_fini(&cart);
	test_peer_fini(&payments);
	test_peer_fini(&forged);
	test_ca_fini(&ca);
	return 0;
}

/* ---- A loop, run by the test's own thread; a pool towards payments; a server ---- */

struct scene {
	struct mesh__loop *loop;
	struct mesh__tls_conf *conf;
	struct raw_server *server;
	struct mesh__pool *pool;
	int left; /* flights: with the last one's end the loop stops */
};

static struct mesh__pool_options pool_options(struct scene *s, const struct test_peer *expected)
{
	struct mesh__pool_options options;

	mesh__pool_options_default(&options);
	raw_server_address(s->server, &options.target.address);
	(void)snprintf(options.target.host, sizeof(options.target.host), "%s", expected->dns);
	(void)snprintf(options.target.spiffe, sizeof(options.target.spiffe), "%s", expected->spiffe);
	return options;
}

/* `shown` NULL: the server shakes no hands. */
static void open_narrow_scene(struct scene *s, const struct test_peer *shown, raw_script script, void *arg, int32_t max_connections, int32_t max_pending)
{
	struct mesh__creds *creds = test_creds(&cart, &ca, 1);
	struct mesh__pool_options options;

	memset(s, 0, sizeof(*s));
	s->conf = shown != NULL ? test_tls_conf(shown, &ca, false) : NULL;
	s->server = raw_server_new(s->conf, script, arg);
	options = pool_options(s, &payments);
	options.creds = creds;
	options.max_connections = max_connections;
	options.max_pending = max_pending;
	assert_int_equal(mesh__pool_new(&env, &options, &s->pool, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&env, &s->loop, NULL), MESH_OK);
	mesh__creds_unref(creds);
}

static void open_scene(struct scene *s, const struct test_peer *shown, raw_script script, void *arg)
{
	open_narrow_scene(s, shown, script, arg, 64, 64);
}

static void close_scene(struct scene *s)
{
	mesh__pool_unref(s->pool);
	mesh__loop_free(s->loop);
	raw_server_free(s->server);
	if (s->conf != NULL) {
		mesh__tls_conf_unref(s->conf);
	}
}

/* ---- One flight, and what became of it ---- */

struct trip {
	struct scene *scene;
	struct mesh__flight_options options;
	struct mesh__flight *flight;
	struct mesh__client_response response;
	struct mesh__timer *timer;
	int dones, code;
	struct mesh__client_result result;
	char message[480];
	struct trip *then;      /* started from done */
	/* A streamed one. */
	size_t size;            /* of the upload; byte i is pattern(i) */
	size_t n_read, n_taken; /* given to it, and come from it */
	int reads, later, refused;
	bool head_seen, wrong;
	int64_t stop_at;        /* in data(), after so many bytes */
	int end_code;           /* what data() gives then */
};

static char pattern(size_t i)
{
	return (char)('a' + i % 23);
}

static void on_done(void *arg, int code, const struct mesh__client_result *result, const struct mesh__err *err)
{
	struct trip *t = arg;

	t->dones++;
	t->code = code;
	t->result = *result;
	t->flight = NULL;
	(void)snprintf(t->message, sizeof(t->message), "%s", err->message);
	if (t->then != NULL) {
		assert_int_equal(mesh__flight_start(t->scene->pool, t->scene->loop, &t->then->options, &t->then->flight, NULL), MESH_OK);
	}
	if (--t->scene->left == 0) {
		mesh__loop_stop(t->scene->loop);
	}
}

static void trip_init(struct trip *t, struct scene *s, const char *method, const char *body)
{
	memset(t, 0, sizeof(*t));
	t->scene = s;
	mesh__client_response_init(&t->response, &env, MEGABYTE);
	t->options = (struct mesh__flight_options){.connect_timeout_ms = 50000, .deadline_us = mesh__mono_us(&env) + 60000000, .response = &t->response, .done = on_done, .arg = t};
	t->options.request = (struct mesh__client_request){.method = method, .target = "/", .body = body, .has_body = body != NULL, .body_len = body != NULL ? strlen(body) : 0,
		.max_response_bytes = MEGABYTE};
}

static void trip_fini(struct trip *t)
{
	mesh__client_response_fini(&t->response);
	mesh__timer_free(t->timer);
}

static void start(struct trip *t)
{
	struct mesh__err err = MESH__NO_ERR;

	t->scene->left++;
	if (mesh__flight_start(t->scene->pool, t->scene->loop, &t->options, &t->flight, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(t->dones, 0);
}

static void run(struct trip *t)
{
	start(t);
	mesh__loop_run(t->scene->loop);
	assert_int_equal(t->dones, 1);
}

static void expect_ok(struct scene *s, bool reused)
{
	struct trip t;

	trip_init(&t, s, "POST", "pay");
	run(&t);
	if (t.code != MESH_OK) {
		fail_msg("%s: %s", mesh__code_name(t.code), t.message);
	}
	assert_int_equal(t.response.status, 200);
	assert_string_equal(t.response.body.data, "ok");
	assert_int_equal(t.result.reused, reused);
	assert_int_equal(t.result.sent, MESH__SENT_MAYBE);
	assert_true(t.result.total_us > 0 && (reused ? t.result.connect_us == 0 : t.result.connect_us > 0));
	trip_fini(&t);
}

/* ---- Whole exchanges ---- */

static void threads_and_flights_share_connections(void **state)
{
	struct scene s;
	struct client_call call;

	(void)state;
	open_scene(&s, &payments, raw_answer_ok, NULL);
	expect_ok(&s, false);
	expect_ok(&s, true);
	client_call_init(&call, "GET", NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_call_run(&call, s.pool), MESH_OK);
		assert_true(call.result.reused);
		expect_ok(&s, true);
	}
	client_call_fini(&call);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	close_scene(&s);
}

static void *call_repeatedly(void *arg)
{
	struct client_call call;
	intptr_t ok = 0;

	client_call_init(&call, "GET", NULL);
	for (int i = 0; i < 50; i++) {
		ok += client_call_run(&call, arg) == MESH_OK;
	}
	client_call_fini(&call);
	return (void *)ok;
}

/* A wake-up that were lost would leave somebody waiting until his deadline. */
static void they_stand_in_one_queue(void **state)
{
	enum { FLIGHTS = 100, THREADS = 4 };
	static struct trip trips[FLIGHTS];
	pthread_t threads[THREADS];
	struct scene s;

	(void)state;
	open_narrow_scene(&s, &payments, raw_answer_ok, NULL, 2, FLIGHTS + THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, call_repeatedly, s.pool), 0);
	}
	for (size_t i = 0; i < FLIGHTS; i++) {
		trip_init(&trips[i], &s, "GET", NULL);
		start(&trips[i]);
	}
	mesh__loop_run(s.loop);
	for (size_t i = 0; i < FLIGHTS; i++) {
		assert_int_equal(trips[i].dones, 1);
		assert_int_equal(trips[i].code, MESH_OK);
		trip_fini(&trips[i]);
	}
	for (size_t i = 0; i < THREADS; i++) {
		void *ok;
		(void)pthread_join(threads[i], &ok);
		assert_int_equal((intptr_t)ok, 50);
	}
	assert_true(atomic_load(&raw_server_counts(s.server)->accepted) <= 2);
	close_scene(&s);
}

static void over_max_pending_a_flight_does_not_start(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__flight *none;
	struct trip first, waiting, refused;
	struct scene s;

	(void)state;
	open_narrow_scene(&s, &payments, raw_answer_ok, NULL, 1, 1);
	trip_init(&first, &s, "GET", NULL);
	trip_init(&waiting, &s, "GET", NULL);
	trip_init(&refused, &s, "GET", NULL);
	start(&first);
	start(&waiting);
	assert_int_equal(mesh__flight_start(s.pool, s.loop, &refused.options, &none, &err), MESH_E_OVERLOADED);
	assert_null(none);
	assert_non_null(strstr(err.message, "nothing was sent"));
	mesh__loop_run(s.loop);
	assert_int_equal(first.code, MESH_OK);
	assert_int_equal(waiting.code, MESH_OK);
	assert_true(waiting.result.reused);
	assert_int_equal(refused.dones, 0);
	trip_fini(&first);
	trip_fini(&waiting);
	trip_fini(&refused);
	close_scene(&s);
}

static void hangs(struct raw_conn *conn)
{
	raw_hang(conn);
}

static void who_waits_for_a_dead_endpoint_fails_with_its_dials(void **state)
{
	enum { FLIGHTS = 10 };
	struct trip trips[FLIGHTS];
	struct mesh__pool_options options;
	struct black_hole hole;
	struct scene s;

	(void)state;
	open_scene(&s, NULL, hangs, NULL);
	mesh__pool_unref(s.pool);
	black_hole_init(&hole);
	options = pool_options(&s, &payments);
	options.target.address = hole.address;
	options.target.insecure_plaintext = true;
	options.max_dials = 2;
	assert_int_equal(mesh__pool_new(&env, &options, &s.pool, NULL), MESH_OK);
	for (size_t i = 0; i < FLIGHTS; i++) {
		trip_init(&trips[i], &s, "GET", NULL);
		trips[i].options.connect_timeout_ms = 200;
		start(&trips[i]);
	}
	mesh__loop_run(s.loop);
	for (size_t i = 0; i < FLIGHTS; i++) {
		assert_int_equal(trips[i].code, MESH_E_CONNECT);
		assert_int_equal(trips[i].result.sent, MESH__SENT_NOTHING);
		trip_fini(&trips[i]);
	}
	black_hole_fini(&hole);
	close_scene(&s);
}

static void answers_once_and_closes(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_kept_connection_that_has_gone_costs_no_flight(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, &payments, answers_once_and_closes, NULL);
	for (int i = 0; i < 5; i++) {
		expect_ok(&s, false);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 5);
	close_scene(&s);
}

static void a_peer_with_another_name_gets_nothing(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &forged, raw_answer_ok, NULL);
	for (int i = 0; i < 2; i++) {
		trip_init(&t, &s, "POST", "secret");
		run(&t);
		assert_int_equal(t.code, MESH_E_IDENTITY);
		assert_int_equal(t.result.sent, MESH__SENT_NOTHING);
		trip_fini(&t);
	}
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 0);
	close_scene(&s);
}

static void done_may_start_the_next(void **state)
{
	struct trip first, second;
	struct scene s;

	(void)state;
	open_scene(&s, &payments, raw_answer_ok, NULL);
	trip_init(&first, &s, "GET", NULL);
	trip_init(&second, &s, "GET", NULL);
	first.then = &second;
	s.left = 1;
	run(&first);
	assert_int_equal(second.dones, 1);
	assert_int_equal(second.code, MESH_OK);
	assert_true(second.result.reused);
	trip_fini(&first);
	trip_fini(&second);
	close_scene(&s);
}

/* ---- Streams ---- */

/* Gives what it has at random sizes, and every third time nothing; a timer then goes on. */
static int64_t read_pattern(void *arg, char *buf, size_t size)
{
	struct trip *t = arg;
	size_t n = t->size - t->n_read;

	if (++t->reads % 3 == 0) {
		t->later++;
		mesh__timer_start(t->timer, 1, 0);
		return MESH__BODY_LATER;
	}
	n = n > 10000 ? 10000 : n;
	n = n > size ? size : n;
	for (size_t i = 0; i < n; i++) {
		buf[i] = pattern(t->n_read + i);
	}
	t->n_read += n;
	return (int64_t)n;
}

static void on_resume(void *arg)
{
	struct trip *t = arg;

	if (t->flight != NULL) {
		mesh__flight_resume(t->flight);
	}
}

static bool see_head(void *arg)
{
	struct trip *t = arg;

	t->head_seen = t->response.status == 200 && mesh__client_response_header(&t->response, "x-kind") != NULL;
	return t->head_seen;
}

/* Refuses every second offer, until the timer goes on. */
static int take_pattern(void *arg, const char *bytes, size_t len)
{
	struct trip *t = arg;

	if (t->refused++ % 2 == 0) {
		mesh__timer_start(t->timer, 1, 0);
		return MESH_E_WOULD_BLOCK;
	}
	for (size_t i = 0; i < len; i++) {
		t->wrong = t->wrong || bytes[i] != pattern(t->n_taken + i);
	}
	t->n_taken += len;
	if (t->stop_at != 0 && t->n_taken >= (size_t)t->stop_at) {
		return t->end_code;
	}
	return MESH_OK;
}

static void trip_init_streamed(struct trip *t, struct scene *s, size_t size, bool length_known)
{
	trip_init(t, s, "POST", NULL);
	t->size = size;
	t->options.streamed = true;
	t->options.read = read_pattern;
	t->options.body_len = length_known ? (int64_t)size : -1;
	t->options.head = see_head;
	t->options.data = take_pattern;
	assert_int_equal(mesh__timer_new(s->loop, on_resume, t, &t->timer), MESH_OK);
}

/* Reads up to the end of a header, which is kept as text; what was read of the body comes with it. */
static size_t read_head(struct raw_conn *conn, char *text, size_t cap, const char **body)
{
	size_t n = 0, got = 1;
	const char *end = NULL;

	while (end == NULL && got > 0 && n < cap - 1) {
		got = raw_read(conn, text + n, cap - 1 - n);
		n += got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
	}
	*body = end != NULL ? end + 4 : text + n;
	return n - (size_t)(*body - text);
}

static bool send_chunk(struct raw_conn *conn, const char *bytes, size_t n)
{
	char size[32];

	(void)snprintf(size, sizeof(size), "%zx\r\n", n);
	return raw_say(conn, size) && raw_send(conn, bytes, n) && raw_say(conn, "\r\n");
}

/* Answers at once, and then with each byte as it comes: Content-Length up, chunks down. */
static void echoes(struct raw_conn *conn)
{
	char text[32768];
	const char *body;
	size_t n;

	while ((n = read_head(conn, text, sizeof(text), &body)) > 0 || body[-1] == '\n') {
		const char *length = strstr(text, "Content-Length: ");
		size_t left = length != NULL ? strtoul(length + 16, NULL, 10) : 0;

		if (left == 0 || !raw_say(conn, "HTTP/1.1 200 OK\r\nX-Kind: echo\r\nTransfer-Encoding: chunked\r\n\r\n")) {
			return;
		}
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
		while (left > 0 && (n == 0 || send_chunk(conn, body, n))) {
			left -= n;
			body = text;
			n = left > 0 ? raw_read(conn, text, sizeof(text)) : 0;
			if (n == 0 && left > 0) {
				return;
			}
		}
		if (!raw_say(conn, "0\r\n\r\n")) {
			return;
		}
	}
}

static void streams_both_ways_at_the_pace_of_its_ends(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, echoes, NULL);
	for (int i = 0; i < 2; i++) {
		trip_init_streamed(&t, &s, 700000, true);
		run(&t);
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
	close_scene(&s);
}

/* The length of the chunked body that it got is its answer. */
static void counts_chunks(struct raw_conn *conn)
{
	char text[32768], last[5] = "", answer[96], number[24];
	const char *body;
	size_t n = read_head(conn, text, sizeof(text), &body), total = 0;
	bool chunked = strstr(text, "Transfer-Encoding: chunked\r\n") != NULL && strstr(text, "Content-Length") == NULL;

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
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, counts_chunks, NULL);
	trip_init_streamed(&t, &s, 300000, false);
	t.options.data = NULL;
	run(&t);
	assert_int_equal(t.code, MESH_OK);
	assert_true(strtoul(t.response.body.data, NULL, 10) >= 300000);
	assert_int_equal(t.n_read, t.size);
	trip_fini(&t);
	close_scene(&s);
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
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, echoes, NULL);
	for (size_t i = 0; i < MESH__COUNT(cases); i++) {
		trip_init_streamed(&t, &s, 5000, true);
		t.options.read = read_broken;
		t.options.data = NULL;
		t.end_code = cases[i].gives;
		run(&t);
		assert_int_equal(t.code, cases[i].code);
		assert_int_equal(t.result.sent, MESH__SENT_MAYBE);
		trip_fini(&t);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0)); /* it is no connection to be used again */
	}
	close_scene(&s);
}

static void data_may_end_it_with_a_code_of_its_own(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, echoes, NULL);
	trip_init_streamed(&t, &s, 300000, true);
	t.stop_at = 50000;
	t.end_code = MESH_E_TOO_LARGE;
	run(&t);
	assert_int_equal(t.code, MESH_E_TOO_LARGE);
	trip_fini(&t);
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	close_scene(&s);
}

static void refuses_early(struct raw_conn *conn)
{
	char text[4096];
	const char *body;

	(void)read_head(conn, text, sizeof(text), &body);
	(void)raw_say(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!");
	raw_hang(conn);
}

static int64_t read_nothing_yet(void *arg, char *buf, size_t size)
{
	(void)buf;
	(void)size;
	((struct trip *)arg)->reads++;
	return MESH__BODY_LATER;
}

static void an_early_answer_ends_an_upload_that_pauses(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, refuses_early, NULL);
	for (int known = 0; known < 2; known++) {
		trip_init_streamed(&t, &s, 300000, known);
		t.options.read = read_nothing_yet;
		t.options.head = NULL;
		t.options.data = NULL;
		run(&t);
		assert_int_equal(t.code, MESH_OK);
		assert_int_equal(t.response.status, 413);
		assert_string_equal(t.response.body.data, "no!");
		trip_fini(&t);
	}
	close_scene(&s);
}

static void answers_once_then_dies(struct raw_conn *conn)
{
	char text[4096];
	const char *body;

	if (raw_request(conn, NULL, 0) && raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
		(void)read_head(conn, text, sizeof(text), &body);
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
	}
}

static void a_body_that_has_begun_is_never_sent_again(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, answers_once_then_dies, NULL);
	expect_ok(&s, false);
	trip_init_streamed(&t, &s, 300000, true);
	run(&t);
	assert_int_equal(t.code, MESH_E_RESET);
	assert_true(t.result.reused);
	assert_int_equal(t.result.sent, MESH__SENT_MAYBE);
	trip_fini(&t);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->requests), 2);
	assert_int_equal(atomic_load(&raw_server_counts(s.server)->accepted), 1);
	close_scene(&s);
}

/* ---- Ended at every stage ---- */

enum stage_of_end { END_QUEUED, END_DIALLING, END_SENT, END_READING, END_WRITING, END_PAUSED, N_ENDS };

struct ending {
	struct trip trip, first;
	struct mesh__timer *poll;
	enum stage_of_end at;
	bool told;
};

static bool has_come_to(struct ending *e)
{
	struct raw_counts *counts = raw_server_counts(e->trip.scene->server);

	switch (e->at) {
	case END_QUEUED:
	case END_DIALLING:
		return atomic_load(&counts->accepted) > 0;
	case END_SENT:
	case END_WRITING:
	case END_READING:
		return atomic_load(&counts->requests) > 0;
	case END_PAUSED:
		return e->trip.refused > 0;
	case N_ENDS:
		break;
	}
	return true;
}

static void on_poll(void *arg)
{
	struct ending *e = arg;

	if (!e->told && has_come_to(e)) {
		e->told = true;
		mesh__timer_stop(e->poll);
		mesh__flight_stop(e->trip.flight, MESH_E_CANCELLED, "cancelled");
		mesh__flight_stop(e->trip.flight, MESH_E_CLOSED, "only the first counts");
		mesh__flight_resume(e->trip.flight);
		if (e->first.flight != NULL) {
			mesh__flight_stop(e->first.flight, MESH_E_CANCELLED, "cancelled");
		}
	}
}

static int refuse_data(void *arg, const char *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	((struct trip *)arg)->refused++;
	return MESH_E_WOULD_BLOCK;
}

static void takes_a_head(struct raw_conn *conn)
{
	char text[4096];
	const char *body;

	(void)read_head(conn, text, sizeof(text), &body);
	atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
	if (conn->arg != NULL) {
		(void)raw_say(conn, "HTTP/1.1 200 OK\r\nX-Kind: slow\r\nContent-Length: 1000\r\n\r\nsome");
	}
	raw_hang(conn);
}

static void end_at(enum stage_of_end at, bool by_deadline)
{
	static int answers;
	struct ending e = {.at = at};
	struct scene s;
	bool streamed = at >= END_READING;

	open_narrow_scene(&s, at <= END_DIALLING ? NULL : &payments, at <= END_DIALLING ? hangs : takes_a_head, at >= END_WRITING ? &answers : NULL, 1, 4);
	if (streamed) {
		trip_init_streamed(&e.trip, &s, 1000, true);
		e.trip.options.read = at == END_READING ? read_nothing_yet : read_pattern;
		e.trip.options.data = at == END_PAUSED ? refuse_data : take_pattern;
	} else {
		trip_init(&e.trip, &s, "POST", "pay");
	}
	trip_init(&e.first, &s, "GET", NULL);
	if (at == END_QUEUED) {
		start(&e.first); /* it holds the one connection */
	}
	if (by_deadline) {
		e.trip.options.deadline_us = mesh__mono_us(&env) + 300000;
	}
	start(&e.trip);
	assert_int_equal(mesh__timer_new(s.loop, on_poll, &e, &e.poll), MESH_OK);
	if (!by_deadline) {
		mesh__timer_start(e.poll, 1, 1);
	} else if (at == END_QUEUED) {
		s.left--; /* that one goes on */
	}
	mesh__loop_run(s.loop);
	assert_int_equal(e.trip.dones, 1);
	assert_int_equal(e.trip.code, by_deadline ? MESH_E_TIMEOUT : MESH_E_CANCELLED);
	assert_int_equal(e.trip.result.sent, at <= END_DIALLING ? MESH__SENT_NOTHING : MESH__SENT_MAYBE);
	assert_non_null(strstr(e.trip.message, by_deadline ? "deadline" : "cancelled"));
	if (e.first.flight != NULL) {
		s.left = 1;
		mesh__flight_stop(e.first.flight, MESH_E_CANCELLED, "cancelled");
		mesh__loop_run(s.loop);
	}
	assert_int_equal(e.first.dones, at == END_QUEUED);
	assert_true(raw_wait(&raw_server_counts(s.server)->open, 0)); /* its connection is closed, not kept */
	mesh__timer_free(e.poll);
	trip_fini(&e.trip);
	trip_fini(&e.first);
	close_scene(&s);
}

static void stopping_ends_it_once_at_every_stage(void **state)
{
	(void)state;
	for (int at = 0; at < N_ENDS; at++) {
		end_at((enum stage_of_end)at, false);
	}
}

static void the_deadline_ends_it_at_every_stage(void **state)
{
	(void)state;
	for (int at = 0; at < N_ENDS; at++) {
		end_at((enum stage_of_end)at, true);
	}
}

static bool stop_in_head(void *arg)
{
	struct trip *t = arg;

	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return true;
}

static int64_t stop_in_read(void *arg, char *buf, size_t size)
{
	struct trip *t = arg;

	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return read_pattern(arg, buf, size);
}

static int stop_in_data(void *arg, const char *bytes, size_t len)
{
	struct trip *t = arg;

	(void)bytes;
	(void)len;
	mesh__flight_stop(t->flight, MESH_E_CANCELLED, "cancelled");
	return MESH_E_WOULD_BLOCK;
}

static void it_may_be_stopped_in_its_own_callbacks(void **state)
{
	struct scene s;
	struct trip t;

	(void)state;
	open_scene(&s, &payments, echoes, NULL);
	for (int i = 0; i < 3; i++) {
		trip_init_streamed(&t, &s, 300000, true);
		t.options.head = i == 0 ? stop_in_head : see_head;
		t.options.read = i == 1 ? stop_in_read : read_pattern;
		t.options.data = i == 2 ? stop_in_data : take_pattern;
		run(&t);
		assert_int_equal(t.code, MESH_E_CANCELLED);
		trip_fini(&t);
		assert_true(raw_wait(&raw_server_counts(s.server)->open, 0));
	}
	close_scene(&s);
}

/* ---- Memory ---- */

static void every_failing_allocation_is_told(void **state)
{
	struct mesh__tls_conf *conf = test_tls_conf(&payments, &ca, false);
	struct raw_server *server = raw_server_new(conf, echoes, NULL);
	struct mesh__creds *creds = test_creds(&cart, &ca, 1);
	bool done = false;

	(void)state;
	for (long n = 1; !done; n += walk_stride()) {
		struct scene s = {.server = server};
		struct mesh__pool_options options = pool_options(&s, &payments);
		struct mesh__env own;
		struct fail_mem f;
		struct trip t;
		int code = MESH_OK;

		fail_mem_init(&f);
		mesh__env_init(&own);
		own.mem = f.mem;
		options.creds = creds;
		assert_int_equal(mesh__pool_new(&own, &options, &s.pool, NULL), MESH_OK);
		assert_int_equal(mesh__loop_new(&own, &s.loop, NULL), MESH_OK);
		trip_init_streamed(&t, &s, 30000, true);
		mesh__client_response_fini(&t.response);
		mesh__client_response_init(&t.response, &own, MEGABYTE);
		t.options.request.fields = (const struct mesh__client_field[]){{"traceparent", "00-1"}};
		t.options.request.n_fields = 1;
		t.options.data = NULL;
		s.left = 1;
		fail_mem_next(&f, n);
		code = mesh__flight_start(s.pool, s.loop, &t.options, &t.flight, NULL);
		if (code == MESH_OK) {
			mesh__loop_run(s.loop);
			assert_int_equal(t.dones, 1);
			code = t.code;
		}
		done = atomic_load(&f.count) < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__pool_unref(s.pool);
		trip_fini(&t);
		mesh__loop_free(s.loop);
		assert_int_equal(atomic_load(&f.live), 0);
		assert_true(n < 100);
	}
	mesh__creds_unref(creds);
	raw_server_free(server);
	mesh__tls_conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_and_flights_share_connections),
		cmocka_unit_test(they_stand_in_one_queue),
		cmocka_unit_test(over_max_pending_a_flight_does_not_start),
		cmocka_unit_test(who_waits_for_a_dead_endpoint_fails_with_its_dials),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_no_flight),
		cmocka_unit_test(a_peer_with_another_name_gets_nothing),
		cmocka_unit_test(done_may_start_the_next),
		cmocka_unit_test(streams_both_ways_at_the_pace_of_its_ends),
		cmocka_unit_test(a_body_of_unknown_length_goes_in_chunks),
		cmocka_unit_test(a_body_that_breaks_off_ends_the_exchange),
		cmocka_unit_test(data_may_end_it_with_a_code_of_its_own),
		cmocka_unit_test(an_early_answer_ends_an_upload_that_pauses),
		cmocka_unit_test(a_body_that_has_begun_is_never_sent_again),
		cmocka_unit_test(stopping_ends_it_once_at_every_stage),
		cmocka_unit_test(the_deadline_ends_it_at_every_stage),
		cmocka_unit_test(it_may_be_stopped_in_its_own_callbacks),
		cmocka_unit_test(every_failing_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
