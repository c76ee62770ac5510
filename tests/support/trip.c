#include "trip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MEGABYTE = 1024 * 1024 };

/* ---- The stage ---- */

static void open_stage(struct trip_stage *s, struct mesh__tls_conf *conf, raw_script script, void *arg, const struct mesh__pool_options *wanted)
{
	memset(s, 0, sizeof(*s));
	s->conf = conf;
	s->server = raw_server_new(s->conf, script, arg);
	s->options = cast_options(s->server);
	s->options.proto = wanted->proto;
	s->options.max_connections = wanted->max_connections;
	s->options.max_pending = wanted->max_pending;
	s->pool = cast_pool(&cast.env, &s->options);
	assert_int_equal(mesh__loop_new(&cast.env, &s->loop, NULL), MESH_OK);
}

void trip_stage_open_narrow(struct trip_stage *s, const struct test_peer *shown, raw_script script, void *arg, int32_t max_connections, int32_t max_pending)
{
	struct mesh__pool_options wanted = {.max_connections = max_connections, .max_pending = max_pending};

	open_stage(s, shown != NULL ? test_tls_conf(shown, &cast.ca, false) : NULL, script, arg, &wanted);
}

void trip_stage_open_http2(struct trip_stage *s, const struct test_peer *shown, bool http2, raw_script script, void *arg, int32_t max_pending)
{
	struct mesh__pool_options wanted = {.proto = MESH__HTTP_2, .max_connections = 64, .max_pending = max_pending};

	open_stage(s, http2 ? test_tls_conf_http2(shown, &cast.ca) : test_tls_conf(shown, &cast.ca, false), script, arg, &wanted);
}

void trip_stage_open(struct trip_stage *s, const struct test_peer *shown, raw_script script, void *arg)
{
	trip_stage_open_narrow(s, shown, script, arg, 64, 64);
}

void trip_stage_expect(struct trip_stage *s, const char *spiffe)
{
	(void)snprintf(s->options.target.spiffe, sizeof(s->options.target.spiffe), "%s", spiffe);
	mesh__pool_unref(s->pool);
	s->pool = cast_pool(&cast.env, &s->options);
}

void trip_stage_close(struct trip_stage *s)
{
	mesh__pool_leave(s->pool, s->loop);
	mesh__pool_unref(s->pool);
	mesh__loop_free(s->loop);
	raw_server_free(s->server);
	if (s->conf != NULL) {
		mesh__tls_conf_unref(s->conf);
	}
}

/* ---- One flight, and what became of it ---- */

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
		assert_int_equal(mesh__flight_start(t->stage->pool, t->stage->loop, &t->then->options, &t->then->flight, NULL), MESH_OK);
	}
	if (t->after != NULL) {
		t->after(t);
	}
	if (--t->stage->left == 0) {
		mesh__loop_stop(t->stage->loop);
	}
}

void trip_init(struct trip *t, struct trip_stage *s, const char *method, const char *body)
{
	memset(t, 0, sizeof(*t));
	t->stage = s;
	mesh__client_response_init(&t->response, &cast.env, MEGABYTE);
	t->options = (struct mesh__flight_options){.connect_timeout_ms = 50000, .deadline_us = mesh__mono_us(&cast.env) + 60000000, .response = &t->response, .done = on_done, .arg = t};
	t->options.request = (struct mesh__client_request){.method = method, .target = "/", .body = body, .has_body = body != NULL, .body_len = body != NULL ? strlen(body) : 0,
		.max_response_bytes = MEGABYTE};
}

void trip_fini(struct trip *t)
{
	mesh__client_response_fini(&t->response);
	mesh__timer_free(t->timer);
}

void trip_start(struct trip *t)
{
	struct mesh__err err = MESH__NO_ERR;

	t->stage->left++;
	if (mesh__flight_start(t->stage->pool, t->stage->loop, &t->options, &t->flight, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(t->dones, 0);
}

void trip_run(struct trip *t)
{
	trip_start(t);
	mesh__loop_run(t->stage->loop);
	assert_int_equal(t->dones, 1);
}

void trip_expect_ok(struct trip_stage *s, bool reused)
{
	struct trip t;

	trip_init(&t, s, "POST", "pay");
	trip_run(&t);
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

/* Gives what it has at random sizes, and every third time nothing; a timer then goes on. */
int64_t trip_read(void *arg, char *buf, size_t size)
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

bool trip_head(void *arg)
{
	struct trip *t = arg;

	t->head_seen = t->response.status == 200 && mesh__client_response_header(&t->response, "x-kind") != NULL;
	return t->head_seen;
}

/* Refuses every second offer, until the timer goes on. */
int trip_take(void *arg, const char *bytes, size_t len)
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

void trip_init_streamed(struct trip *t, struct trip_stage *s, size_t size, bool length_known)
{
	trip_init(t, s, "POST", NULL);
	t->size = size;
	t->options.streamed = true;
	t->options.read = trip_read;
	t->options.body_len = length_known ? (int64_t)size : -1;
	t->options.head = trip_head;
	t->options.data = trip_take;
	assert_int_equal(mesh__timer_new(s->loop, on_resume, t, &t->timer), MESH_OK);
}

bool trip_read_head(struct raw_conn *conn, char *text, size_t cap, const char **body, size_t *n_body)
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
	*n_body = n - (size_t)(*body - text);
	return end != NULL;
}

static bool send_chunk(struct raw_conn *conn, const char *bytes, size_t n)
{
	char size[32];

	(void)snprintf(size, sizeof(size), "%zx\r\n", n);
	return raw_say(conn, size) && raw_send(conn, bytes, n) && raw_say(conn, "\r\n");
}

/* Answers at once, and then with each byte as it comes: Content-Length up, chunks down. */
void trip_echo(struct raw_conn *conn)
{
	char text[32768];
	const char *body;
	size_t n;

	while (trip_read_head(conn, text, sizeof(text), &body, &n)) {
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

int64_t trip_read_later(void *arg, char *buf, size_t size)
{
	(void)buf;
	(void)size;
	((struct trip *)arg)->reads++;
	return MESH__BODY_LATER;
}

void trip_hang(struct raw_conn *conn)
{
	raw_hang(conn);
}

