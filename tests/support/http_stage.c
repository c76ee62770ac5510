#include "support/http_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct stage stage;

void stage_changed(void)
{
	(void)pthread_cond_broadcast(&stage.changed);
}

static void on_gone(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&stage.mu);
	stage.n_gone++;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

void stage_reply(struct mesh__exchange *x, int status, const char *text)
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
	stage_reply(x, 200, text);
}

static void reply_big(struct mesh__exchange *x)
{
	static char block[STAGE_BIG_BYTES];
	struct mesh__reply reply = {.status = 200, .body = block, .body_len = sizeof(block)};

	memset(block, 'B', sizeof(block));
	mesh__exchange_reply(x, &reply);
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
	if (mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL) && mesh__stream_write(x, "one", 3) && mesh__stream_write(x, "", 0) && mesh__stream_write(x, "three", 5)) {
		mesh__stream_end(x);
	} else {
		mesh__exchange_unref(x); /* there was no memory */
	}
}

static void stream_with_trailers(struct mesh__exchange *x)
{
	if (mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL) && mesh__stream_write(x, "ok", 2) && mesh__stream_trailer(x, "grpc-status", "0")) {
		mesh__stream_end(x);
	} else {
		mesh__exchange_unref(x);
	}
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
	stage.kept = x;
	stage_changed();
}

static void on_request(void *user, struct mesh__exchange *x)
{
	const char *path = mesh__exchange_path(x);

	(void)user;
	(void)pthread_mutex_lock(&stage.mu);
	stage.n_requests++;
	if (strcmp(path, "/keep") == 0) {
		keep(x);
		x = NULL;
	}
	(void)pthread_mutex_unlock(&stage.mu);
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
	} else if (strcmp(path, "/trailers") == 0) {
		stream_with_trailers(x);
	} else if (strcmp(path, "/flood") == 0) {
		stream_too_much(x);
	} else if (strcmp(path, "/half") == 0) {
		assert_true(mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL));
		assert_true(mesh__stream_write(x, "half", 4));
		mesh__exchange_unref(x);
	} else if (strcmp(path, "/watch") == 0) {
		assert_true(mesh__stream_begin(x, 200, NULL, 0, on_gone, NULL));
		(void)pthread_mutex_lock(&stage.mu);
		keep(x);
		(void)pthread_mutex_unlock(&stage.mu);
	} else if (strcmp(path, "/big") == 0) {
		reply_big(x);
	} else if (strcmp(path, "/nothing") == 0) {
		stage_reply(x, 204, "");
	} else {
		mesh__exchange_refuse(x, 404, "not-found", "there is \"nothing\" here");
	}
}

void stage_open(void)
{
	struct mesh__http_options options = {.name = "test", .limits = stage.limits, .handler = stage.handler != NULL ? stage.handler : on_request, .stream_bodies = stage.stream_bodies, .http2 = stage.http2, .metrics = stage.metrics};
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &options.address, NULL), MESH_OK);
	assert_int_equal(mesh__loop_new(&stage.fake.env, &stage.loop, NULL), MESH_OK);
	if (mesh__http_server_new(stage.loop, &options, &stage.server, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	mesh__http_server_address(stage.server, &stage.addr);
	assert_int_equal(mesh__loop_start(stage.loop, "mesh-test", NULL), MESH_OK);
}

int stage_set_up(void **state)
{
	(void)state;
	memset(&stage, 0, sizeof(stage));
	fake_env_init(&stage.fake);
	fail_mem_init(&stage.mem);
	stage.fake.env.mem = stage.mem.mem;
	(void)pthread_mutex_init(&stage.mu, NULL);
	(void)pthread_cond_init(&stage.changed, NULL);
	stage.metrics = mesh__metrics_new(&stage.fake.env);
	mesh__http_limits_default(&stage.limits);
	return 0;
}

int stage_set_up_http2(void **state)
{
	int rc = stage_set_up(state);

	stage.http2 = true;
	return rc;
}

int stage_tear_down(void **state)
{
	(void)state;
	if (stage.loop != NULL) {
		mesh__loop_stop(stage.loop);
		mesh__loop_join(stage.loop);
	}
	mesh__http_server_free(stage.server);
	if (stage.kept != NULL) {
		mesh__exchange_unref(stage.kept);
	}
	mesh__loop_free(stage.loop);
	mesh__metrics_free(stage.metrics);
	assert_int_equal(stage.mem.live, 0);
	return 0;
}

/* ---- A client that blocks, with a deadline ---- */

int stage_dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(stage.addr.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	/* Not before: a connect with a time limit ends with EINTR where one without is begun again. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

void stage_say(int fd, const char *text)
{
	stage_send(fd, text, strlen(text));
}

void stage_send(int fd, const void *bytes, size_t len)
{
	assert_true(socket_send(fd, bytes, len));
}

const char *stage_hear(int fd, const char *until)
{
	size_t len = 0;
	ssize_t n;

	stage.seen[0] = '\0';
	while ((until == NULL || strstr(stage.seen, until) == NULL) && (n = socket_recv(fd, stage.seen + len, sizeof(stage.seen) - 1 - len)) != 0) {
		if (n < 0) {
			fail_msg("no more came after: %s", stage.seen);
		}
		len += (size_t)n;
		stage.seen[len] = '\0';
	}
	return stage.seen;
}

const char *stage_ask(const char *request)
{
	int fd = stage_dial();

	stage_say(fd, request);
	(void)stage_hear(fd, NULL);
	(void)close(fd);
	return stage.seen;
}

void stage_assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		fail_msg("no \"%s\" in: %s", part, text);
	}
}

long stage_count(const char *series)
{
	size_t len = strlen(series);
	struct mesh__buf text;
	long value = 0;

	mesh__buf_init(&text, mesh__mem_libc(), 1024 * 1024);
	mesh__metrics_text(stage.metrics, &text);
	for (const char *at = text.data; at != NULL && (at = strstr(at, series)) != NULL; at += len) {
		value = at[len] == ' ' ? strtol(at + len, NULL, 10) : value;
	}
	mesh__buf_fini(&text);
	return value;
}

void stage_wait(bool (*done)(void))
{
	struct timespec limit;
	int failed = 0;
	bool is_done;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	(void)pthread_mutex_lock(&stage.mu);
	while (!(is_done = done()) && failed == 0) {
		failed = pthread_cond_timedwait(&stage.changed, &stage.mu, &limit);
	}
	(void)pthread_mutex_unlock(&stage.mu);
	assert_true(is_done); /* not under the lock, which the tear-down wants */
}

struct errand {
	struct mesh__post post;
	mesh__loop_fn fn;
	void *arg;
};

static bool errand_is_run;

static bool is_errand_run(void)
{
	return errand_is_run;
}

static void run_errand(void *arg)
{
	struct errand *e = arg;

	e->fn(e->arg);
	(void)pthread_mutex_lock(&stage.mu);
	errand_is_run = true;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

void stage_on_loop(mesh__loop_fn fn, void *arg)
{
	struct errand e = {.fn = fn, .arg = arg};

	(void)pthread_mutex_lock(&stage.mu);
	errand_is_run = false;
	(void)pthread_mutex_unlock(&stage.mu);
	mesh__loop_post(stage.loop, &e.post, run_errand, &e);
	stage_wait(is_errand_run);
}

static void on_drained(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&stage.mu);
	stage.drained = true;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

static void begin_drain(void *arg)
{
	mesh__http_server_drain(stage.server, *(int64_t *)arg, on_drained, NULL);
}

void stage_drain(int64_t drain_ms)
{
	stage_on_loop(begin_drain, &drain_ms);
}

bool stage_is_drained(void)
{
	return stage.drained;
}

bool stage_is_kept(void)
{
	return stage.kept != NULL;
}

struct mesh__exchange *stage_take_kept(void)
{
	struct mesh__exchange *x;

	stage_wait(stage_is_kept);
	x = stage.kept;
	stage.kept = NULL;
	return x;
}
