#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "http/server.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

/* How the handler behaves, by path: see on_request(). */
struct stage {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__loop *loop;
	struct mesh__http_server *server;
	struct mesh__metrics *metrics;
	struct mesh__http_limits limits;
	struct mesh__addr addr;
	pthread_mutex_t mu; /* guards all below */
	pthread_cond_t changed;
	struct mesh__exchange *kept;
	int n_requests;
	int n_gone;
	bool draining, drained;
	char seen[4096];
};

static struct stage S;

static void changed(void)
{
	(void)pthread_cond_broadcast(&S.changed);
}

static void on_gone(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&S.mu);
	S.n_gone++;
	changed();
	(void)pthread_mutex_unlock(&S.mu);
}

static void reply_text(struct mesh__exchange *x, int status, const char *text)
{
	struct mesh__reply reply = {.status = status, .body = text, .body_len = strlen(text)};

	mesh__exchange_reply(x, &reply);
}

static void reply_echo(struct mesh__exchange *x)
{
	char text[2048];
	size_t len, at;
	const char *body = mesh__exchange_body(x, &len);

	at = (size_t)snprintf(text, sizeof(text), "%s %s ? %s\n", mesh__exchange_method(x), mesh__exchange_path(x), mesh__exchange_query(x));
	for (size_t i = 0; i < mesh__exchange_n_fields(x); i++) {
		struct mesh__field_text f = mesh__exchange_field(x, i);

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s=%s\n", f.name, f.value);
	}
	(void)snprintf(text + at, sizeof(text) - at, "[%.*s]", (int)(len > 512 ? 512 : len), body);
	reply_text(x, 200, text);
}

static void reply_split(struct mesh__exchange *x)
{
	const struct mesh__field_text fields[] = {
		{"X-Good", "yes"}, {"X-Bad", "a\r\nSet-Cookie: b"}, {"Bad Name", "c"}, {"Content-Length", "99"}, {"Connection", "upgrade"}, {"Date", "never"},
	};
	struct mesh__reply reply = {.status = 200, .fields = fields, .n_fields = 6, .body = "ok", .body_len = 2};

	mesh__exchange_reply(x, &reply);
}

static void stream_three(struct mesh__exchange *x)
{
	assert_true(mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL));
	assert_true(mesh__stream_write(x, "one", 3));
	assert_true(mesh__stream_write(x, "", 0));
	assert_true(mesh__stream_write(x, "three", 5));
	mesh__stream_end(x);
}

static void stream_too_much(struct mesh__exchange *x)
{
	static char block[64 * 1024];
	bool more = mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL);

	for (int i = 0; more && i < 1000; i++) {
		more = mesh__stream_write(x, block, sizeof(block));
	}
	assert_false(more);
	mesh__exchange_unref(x);
}

static void keep(struct mesh__exchange *x)
{
	S.kept = x;
	changed();
}

static void on_request(void *user, struct mesh__exchange *x)
{
	const char *path = mesh__exchange_path(x);

	(void)user;
	(void)pthread_mutex_lock(&S.mu);
	S.n_requests++;
	if (strcmp(path, "/keep") == 0) {
		keep(x);
		x = NULL;
	}
	(void)pthread_mutex_unlock(&S.mu);
	if (x == NULL) {
		return;
	}
	if (strcmp(path, "/echo") == 0) {
		reply_echo(x);
	} else if (strcmp(path, "/forget") == 0) {
		mesh__exchange_unref(x);
	} else if (strcmp(path, "/split") == 0) {
		reply_split(x);
	} else if (strcmp(path, "/stream") == 0) {
		stream_three(x);
	} else if (strcmp(path, "/flood") == 0) {
		stream_too_much(x);
	} else if (strcmp(path, "/half") == 0) {
		assert_true(mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL));
		assert_true(mesh__stream_write(x, "half", 4));
		mesh__exchange_unref(x);
	} else if (strcmp(path, "/watch") == 0) {
		assert_true(mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL));
		(void)pthread_mutex_lock(&S.mu);
		keep(x);
		(void)pthread_mutex_unlock(&S.mu);
	} else if (strcmp(path, "/nothing") == 0) {
		reply_text(x, 204, "");
	} else {
		mesh__exchange_refuse(x, 404, "not-found", "there is \"nothing\" here");
	}
}

static void open_server(void)
{
	struct mesh__http_options options = {.name = "test", .limits = S.limits, .handler = on_request, .metrics = S.metrics};
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &options.address, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&S.fake.env, &S.loop, NULL), MESH_OK);
	if (mesh__http_server_new(S.loop, &options, &S.server, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	mesh__http_server_address(S.server, &S.addr);
	assert_int_equal(mesh__loop_start(S.loop, "mesh-test", NULL), MESH_OK);
}

static int set_up(void **state)
{
	(void)state;
	memset(&S, 0, sizeof(S));
	fake_env_init(&S.fake);
	fail_mem_init(&S.mem);
	S.fake.env.mem = S.mem.mem;
	(void)pthread_mutex_init(&S.mu, NULL);
	(void)pthread_cond_init(&S.changed, NULL);
	S.metrics = mesh__metrics_new(&S.fake.env);
	mesh__http_limits_default(&S.limits);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (S.loop != NULL) {
		mesh__loop_stop(S.loop);
		mesh__loop_join(S.loop);
	}
	mesh__http_server_free(S.server);
	if (S.kept != NULL) {
		mesh__exchange_unref(S.kept);
	}
	mesh__loop_free(S.loop);
	mesh__metrics_free(S.metrics);
	assert_int_equal(S.mem.live, 0);
	return 0;
}

/* ---- A client that blocks, with a deadline ---- */

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(S.addr.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What comes until the server closes, or until `until` has come. */
static const char *hear(int fd, const char *until)
{
	size_t len = 0;
	ssize_t n;

	S.seen[0] = '\0';
	while ((until == NULL || strstr(S.seen, until) == NULL) && (n = recv(fd, S.seen + len, sizeof(S.seen) - 1 - len, 0)) != 0) {
		if (n < 0) {
			fail_msg("no more came after: %s", S.seen);
		}
		len += (size_t)n;
		S.seen[len] = '\0';
	}
	return S.seen;
}

static const char *ask(const char *request)
{
	int fd = dial();

	say(fd, request);
	(void)hear(fd, NULL);
	(void)close(fd);
	return S.seen;
}

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		fail_msg("no \"%s\" in: %s", part, text);
	}
}

static void wait_until(bool (*done)(void))
{
	struct timespec limit;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	(void)pthread_mutex_lock(&S.mu);
	while (!done()) {
		assert_int_equal(pthread_cond_timedwait(&S.changed, &S.mu, &limit), 0);
	}
	(void)pthread_mutex_unlock(&S.mu);
}

static bool is_kept(void)
{
	return S.kept != NULL;
}

static bool is_gone(void)
{
	return S.n_gone == 1;
}

static struct mesh__exchange *take_kept(void)
{
	struct mesh__exchange *x;

	wait_until(is_kept);
	x = S.kept;
	S.kept = NULL;
	return x;
}

/* ---- Tests ---- */

static void answers_and_keeps_the_connection(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	for (int i = 0; i < 3; i++) {
		say(fd, "GET /echo?a=b HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n\r\n");
		assert_has(hear(fd, "[]"), "GET /echo ? a=b\nhost=h\nx-a=v\n[]");
		assert_has(S.seen, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: ");
		assert_null(strstr(S.seen, "Connection:"));
	}
	(void)close(fd);
}

static void takes_bodies_of_both_framings_in_any_pieces(void **state)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nContent-Length: 9\r\n\r\n"
		"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	int fd;

	(void)state;
	open_server();
	fd = dial();
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
	}
	(void)hear(fd, NULL);
	assert_has(S.seen, "[hello]");
	assert_has(S.seen, "[abcde]");
	assert_has(S.seen, "Connection: close");
	assert_has(S.seen, "[]");
	assert_int_equal(S.n_requests, 3);
	(void)close(fd);
}

static void answers_pipelined_requests_in_order_one_at_a_time(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	wait_until(is_kept);
	assert_int_equal(S.n_requests, 1);
	reply_text(take_kept(), 200, "first");
	(void)hear(fd, NULL);
	assert_true(strstr(S.seen, "first") < strstr(S.seen, "? 2"));
	assert_true(strstr(S.seen, "? 2") < strstr(S.seen, "? 3"));
	(void)close(fd);
}

static void *reply_from_a_thread(void *x)
{
	reply_text(x, 201, "from afar");
	return NULL;
}

static void a_reply_may_come_from_any_thread(void **state)
{
	pthread_t thread;
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(pthread_create(&thread, NULL, reply_from_a_thread, take_kept()), 0);
	assert_has(hear(fd, "afar"), "201 Created");
	(void)pthread_join(thread, NULL);
	(void)close(fd);
}

static void refuses_what_two_parsers_could_read_differently(void **state)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
		{"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "400"},
		{"GET /echo HTTP/1.1\nHost: h\n\n", "400"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", "400"},
		{"GET /echo HTTP/1.1\r\n\r\n", "400"},
		{"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "400"},
		{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"GET http://other/echo HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "501"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n", "417"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", "413"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
		{"\x16\x03\x01\x02", "400"},
	};

	(void)state;
	open_server();
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char want[32];

		(void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", rows[i].status);
		if (strncmp(ask(rows[i].request), want, strlen(want)) != 0 || strstr(S.seen, "Connection: close") == NULL) {
			fail_msg("row %zu: %s", i, S.seen);
		}
	}
	assert_int_equal(S.n_requests, 0);
	assert_true(fake_env_logged(&S.fake, "request refused listener=test peer=127.0.0.1:"));
}

static void an_early_refusal_is_seen_although_the_body_was_not_read(void **state)
{
	static char body[60 * 1024];
	int fd;

	(void)state;
	S.limits.max_body_bytes = 1000;
	open_server();
	memset(body, 'b', sizeof(body));
	fd = dial();
	say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 61440\r\n\r\n");
	assert_int_equal(send(fd, body, sizeof(body), MSG_NOSIGNAL), sizeof(body));
	assert_has(hear(fd, NULL), "HTTP/1.1 413 ");
	(void)close(fd);
}

static void a_chunked_body_is_bounded_too(void **state)
{
	(void)state;
	S.limits.max_body_bytes = 8;
	open_server();
	assert_has(ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\n"), "HTTP/1.1 413 ");
	assert_has(ask("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"), "[abcdefgh]");
}

static void a_header_is_bounded(void **state)
{
	static const char head[] = "GET /echo HTTP/1.1\r\nHost: h\r\n";
	char request[2048];
	size_t at;

	(void)state;
	S.limits.max_header_bytes = 1024;
	S.limits.max_fields = 10;
	open_server();
	memset(request, 'x', sizeof(request));
	memcpy(request, head, sizeof(head) - 1);
	memcpy(request + sizeof(request) - 5, "\r\n\r\n", 5);
	assert_has(ask(request), "HTTP/1.1 431 ");
	memset(request, 'x', sizeof(request));
	memcpy(request, "GET /", 5);
	request[sizeof(request) - 1] = '\0';
	assert_has(ask(request), "HTTP/1.1 414 ");
	at = (size_t)snprintf(request, sizeof(request), "%s", head);
	for (int i = 0; i < 10; i++) {
		at += (size_t)snprintf(request + at, sizeof(request) - at, "X: y\r\n");
	}
	(void)snprintf(request + at, sizeof(request) - at, "\r\n");
	assert_has(ask(request), "HTTP/1.1 431 ");
	assert_int_equal(S.n_requests, 0);
}

static void says_continue_when_the_body_is_awaited(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_string_equal(hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "ok");
	assert_has(hear(fd, "]"), "[ok]");
	(void)close(fd);
}

/* Sends a byte, each `step_ms` of the server's time, as long as nothing comes back. */
static void drip_until_answered(int fd, int64_t step_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char drop = '1';

	for (int n = 0; poll(&p, 1, 20) == 0; n++) {
		assert_true(n < 400);
		if (n % 20 == 0 && n < 100) {
			assert_int_equal(send(fd, &drop, 1, MSG_NOSIGNAL), 1);
		}
		fake_env_advance_ms(&S.fake, step_ms / 20);
	}
}

static void a_slow_header_or_body_ends_at_an_absolute_deadline(void **state)
{
	static const char *const halves[] = {"GET /echo HT", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhal"};

	(void)state;
	open_server();
	for (size_t i = 0; i < MESH__COUNT(halves); i++) {
		int fd = dial();

		say(fd, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
		(void)hear(fd, "[]");
		say(fd, halves[i]);
		drip_until_answered(fd, i == 0 ? 2000 : 20000);
		assert_has(hear(fd, "}"), "HTTP/1.1 408 ");
		(void)close(fd);
	}
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)hear(fd, "\r\n\r\n");
	assert_has(S.seen, "HTTP/1.1 204 No Content\r\n");
	assert_null(strstr(S.seen, "Content-Length"));
	do {
		fake_env_advance_ms(&S.fake, 90001);
	} while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 50) == 0);
	assert_string_equal(hear(fd, NULL), "");
	(void)close(fd);
}

static void a_handler_that_never_answers_is_answered_for(void **state)
{
	int fd;

	(void)state;
	open_server();
	assert_has(ask("GET /forget HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 500 ");
	fd = dial();
	say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(is_kept);
	fake_env_advance_ms(&S.fake, 120001);
	assert_has(hear(fd, NULL), "HTTP/1.1 503 ");
	reply_text(take_kept(), 200, "too late");
	(void)close(fd);
}

static void a_handlers_fields_cannot_split_the_reply(void **state)
{
	(void)state;
	open_server();
	(void)ask("GET /split HTTP/1.0\r\n\r\n");
	assert_has(S.seen, "X-Good: yes\r\n");
	assert_has(S.seen, "Content-Length: 2\r\n");
	assert_null(strstr(S.seen, "Set-Cookie"));
	assert_null(strstr(S.seen, "Bad Name"));
	assert_null(strstr(S.seen, "99"));
	assert_null(strstr(S.seen, "upgrade"));
	assert_null(strstr(S.seen, "never"));
}

static void to_head_only_the_head_is_sent(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "HEAD /absent HTTP/1.1\r\nHost: h\r\n\r\nGET /absent HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	(void)hear(fd, NULL);
	assert_has(S.seen, "\r\n\r\nHTTP/1.1 404 Not Found\r\n");
	assert_has(S.seen, "{\"error\":\"not-found\",\"message\":\"there is \\\"nothing\\\" here\"}");
	(void)close(fd);
}

static void streams_in_chunks_and_to_old_clients_until_the_end(void **state)
{
	(void)state;
	open_server();
	assert_has(ask("GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n");
	assert_has(ask("GET /stream HTTP/1.0\r\n\r\n"), "\r\n\r\nonethree");
	assert_int_equal(S.n_gone, 0);
}

static void a_stream_without_end_does_not_look_whole(void **state)
{
	int fd;
	char byte;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
	while (recv(fd, &byte, 1, 0) == 1) {
		assert_int_not_equal(byte, '0' + 100);
	}
	(void)close(fd);
}

static void a_stream_is_told_once_that_its_peer_has_gone(void **state)
{
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(is_kept);
	(void)close(fd);
	wait_until(is_gone);
}

static void a_reader_that_does_not_read_is_cut_off(void **state)
{
	int fd;

	(void)state;
	S.limits.max_stream_bytes = 256 * 1024;
	open_server();
	fd = dial();
	say(fd, "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)hear(fd, "200 OK");
	assert_has(ask("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "200 OK"); /* the others go on */
	(void)close(fd);
}

static void strangers_mesh_fields_are_removed(void **state)
{
	(void)state;
	open_server();
	(void)ask("GET /echo HTTP/1.1\r\nHost: h\r\nMesh-Try: 3\r\nmesh-deadline: 9\r\nX-Mesh: stays\r\nConnection: close\r\n\r\n");
	assert_null(strstr(S.seen, "mesh-try"));
	assert_null(strstr(S.seen, "mesh-deadline"));
	assert_has(S.seen, "x-mesh=stays");
}

static void more_connections_than_allowed_are_closed_at_once(void **state)
{
	struct mesh__buf text;
	int first, second;
	char byte;

	(void)state;
	S.limits.max_connections = 1;
	open_server();
	first = dial();
	say(first, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)hear(first, "[]");
	second = dial();
	assert_true(recv(second, &byte, 1, 0) <= 0);
	say(first, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)hear(first, "[]");
	mesh__buf_init(&text, &S.fake.env.mem, 65536);
	mesh__metrics_text(S.metrics, &text);
	assert_has(text.data, "mesh_connections{listener=\"test\"} 1");
	assert_has(text.data, "mesh_handshakes_refused_total{reason=\"too-many-connections\"} 1");
	mesh__buf_fini(&text);
	(void)close(first);
	(void)close(second);
}

static void ten_thousand_pipelined_requests_are_answered_in_bounded_memory(void **state)
{
	static const char one[] = "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
	static char got[65536];
	size_t n_heads = 0;
	int fd;

	(void)state;
	open_server();
	fd = dial();
	for (int i = 0; i < 10000; i += 500) {
		ssize_t n;

		for (int k = 0; k < 500; k++) {
			say(fd, one);
		}
		n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		n_heads += n > 0 ? (size_t)n : 0;
	}
	(void)shutdown(fd, SHUT_WR);
	for (ssize_t n; (n = recv(fd, got, sizeof(got), 0)) > 0;) {
		n_heads += (size_t)n;
	}
	assert_int_equal(n_heads % 10000, 0);
	assert_int_equal(S.n_requests, 10000);
	(void)close(fd);
}

static void on_drained(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&S.mu);
	S.drained = true;
	changed();
	(void)pthread_mutex_unlock(&S.mu);
}

static void begin_drain(void *arg)
{
	mesh__http_server_drain(S.server, *(int64_t *)arg, on_drained, NULL);
	(void)pthread_mutex_lock(&S.mu);
	S.draining = true;
	changed();
	(void)pthread_mutex_unlock(&S.mu);
}

static bool is_draining(void)
{
	return S.draining;
}

static bool is_drained(void)
{
	return S.drained;
}

static void a_drain_lets_the_request_at_hand_finish(void **state)
{
	struct mesh__post post;
	int64_t drain_ms = 60000;
	int busy, idle;

	(void)state;
	open_server();
	idle = dial();
	say(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)hear(idle, "[]");
	busy = dial();
	say(busy, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(is_kept);
	mesh__loop_post(S.loop, &post, begin_drain, &drain_ms);
	assert_string_equal(hear(idle, NULL), "");
	assert_false(S.drained);
	reply_text(take_kept(), 200, "done");
	assert_has(hear(busy, "done"), "Connection: close");
	(void)close(busy);
	(void)close(idle);
	wait_until(is_drained);
}

static void a_drain_is_cut_short_at_its_time(void **state)
{
	struct mesh__post post;
	int64_t drain_ms = 5000;
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(is_kept);
	mesh__loop_post(S.loop, &post, begin_drain, &drain_ms);
	wait_until(is_draining);
	fake_env_advance_ms(&S.fake, 5001);
	wait_until(is_drained);
	(void)close(fd);
}

static void an_exchange_outlives_its_server(void **state)
{
	struct mesh__exchange *x;
	int fd;

	(void)state;
	open_server();
	fd = dial();
	say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	x = take_kept();
	mesh__loop_stop(S.loop);
	mesh__loop_join(S.loop);
	mesh__http_server_free(S.server);
	mesh__loop_free(S.loop);
	S.server = NULL;
	S.loop = NULL;
	assert_string_equal(mesh__exchange_path(x), "/keep");
	reply_text(x, 200, "to nobody");
	(void)close(fd);
}

static void answers_or_closes_whatever_allocation_fails(void **state)
{
	(void)state;
	S.fake.env.mem = S.mem.mem;
	open_server();
	for (long n = 1; n < 12; n++) {
		int fd = dial();
		char byte;

		fail_mem_next(&S.mem, n);
		say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
		while (recv(fd, &byte, 1, 0) == 1) {
		}
		(void)close(fd);
	}
	fail_mem_next(&S.mem, 0);
	assert_has(ask("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "200 OK");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_and_keeps_the_connection),
		TEST(takes_bodies_of_both_framings_in_any_pieces),
		TEST(answers_pipelined_requests_in_order_one_at_a_time),
		TEST(a_reply_may_come_from_any_thread),
		TEST(refuses_what_two_parsers_could_read_differently),
		TEST(an_early_refusal_is_seen_although_the_body_was_not_read),
		TEST(a_chunked_body_is_bounded_too),
		TEST(a_header_is_bounded),
		TEST(says_continue_when_the_body_is_awaited),
		TEST(a_slow_header_or_body_ends_at_an_absolute_deadline),
		TEST(an_idle_connection_is_closed_without_a_word),
		TEST(a_handler_that_never_answers_is_answered_for),
		TEST(a_handlers_fields_cannot_split_the_reply),
		TEST(to_head_only_the_head_is_sent),
		TEST(streams_in_chunks_and_to_old_clients_until_the_end),
		TEST(a_stream_without_end_does_not_look_whole),
		TEST(a_stream_is_told_once_that_its_peer_has_gone),
		TEST(a_reader_that_does_not_read_is_cut_off),
		TEST(strangers_mesh_fields_are_removed),
		TEST(more_connections_than_allowed_are_closed_at_once),
		TEST(ten_thousand_pipelined_requests_are_answered_in_bounded_memory),
		TEST(a_drain_lets_the_request_at_hand_finish),
		TEST(a_drain_is_cut_short_at_its_time),
		TEST(an_exchange_outlives_its_server),
		TEST(answers_or_closes_whatever_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
