/* Several servers behind one listener: who gets a connection, whose limits count, and how they end. Real loops on threads of their own, plaintext. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wait.h"
#include "http/server.h"
#include "support/sockets.h"

enum { SERVERS = 3, DIALS_MAX = 32, ROUNDS = 60, LONG_MS = 20000 };

static struct spread {
	struct mesh__env env;
	struct mesh__metrics *metrics;
	struct mesh__http_limits limits;
	struct mesh__loop *loops[SERVERS];
	struct mesh__http_server *servers[SERVERS];
	struct mesh__post drain_posts[SERVERS];
	bool running[SERVERS];
	struct mesh__addr address;
	int64_t drain_ms;
	pthread_mutex_t mu; /* guards n_drained */
	pthread_cond_t changed;
	int n_drained;
	int fds[DIALS_MAX];
	size_t n_fds;
} s;

/* Says which server answers, "0" to "2". */
static void on_request(void *user, struct mesh__exchange *x)
{
	struct mesh__reply reply = {.status = 200, .body = "012" + ((struct mesh__http_server **)user - s.servers), .body_len = 1};

	mesh__exchange_reply(x, &reply);
}

static int set_up(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	mesh__env_init(&s.env);
	s.metrics = mesh__metrics_new(&s.env);
	mesh__http_limits_default(&s.limits);
	(void)pthread_mutex_init(&s.mu, NULL);
	mesh__cond_init(&s.changed);
	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &s.address, NULL), MESH_OK);
	return 0;
}

static void start(size_t i)
{
	assert_int_equal(mesh__loop_start(s.loops[i], "test", NULL), MESH_OK);
	s.running[i] = true;
}

static void open_all(void)
{
	for (size_t i = 0; i < SERVERS; i++) {
		struct mesh__http_options o = {.address = s.address, .fed = i > 0, .name = "inbound", .limits = s.limits, .handler = on_request, .user = &s.servers[i], .metrics = s.metrics};

		assert_int_equal(mesh__loop_new(&s.env, &s.loops[i], NULL), MESH_OK);
		assert_int_equal(mesh__http_server_new(s.loops[i], &o, &s.servers[i], NULL), MESH_OK);
	}
	assert_int_equal(mesh__http_server_spread(s.servers[0], s.servers + 1, SERVERS - 1, NULL), MESH_OK);
	mesh__http_server_address(s.servers[0], &s.address);
}

static void start_all(void)
{
	open_all();
	for (size_t i = SERVERS; i-- > 0;) {
		start(i);
	}
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < SERVERS; i++) {
		if (s.running[i]) {
			mesh__loop_stop(s.loops[i]);
			mesh__loop_join(s.loops[i]);
		}
	}
	for (size_t i = SERVERS; i-- > 0;) {
		mesh__http_server_free(s.servers[i]);
	}
	for (size_t i = 0; i < SERVERS; i++) {
		mesh__loop_free(s.loops[i]);
	}
	for (size_t i = 0; i < s.n_fds; i++) {
		(void)close(s.fds[i]);
	}
	mesh__metrics_free(s.metrics);
	(void)pthread_cond_destroy(&s.changed);
	(void)pthread_mutex_destroy(&s.mu);
	return 0;
}

/* ---- The client ---- */

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(s.address.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval patience = {LONG_MS / 1000, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && s.n_fds < DIALS_MAX);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	s.fds[s.n_fds++] = fd;
	return fd;
}

/* Which server answers on this connection; -1: it was closed. *last: whether it says that it will be. */
static int ask(int fd, bool *last)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	char got[512] = "", *body = NULL;
	size_t len = 0;

	(void)send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	while (body == NULL || body[4] == '\0') {
		ssize_t n = socket_recv(fd, got + len, sizeof(got) - 1 - len);

		assert_false(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)); /* in time */
		if (n <= 0) {
			return -1;
		}
		len += (size_t)n;
		got[len] = '\0';
		body = strstr(got, "\r\n\r\n");
	}
	if (last != NULL) {
		*last = strstr(got, "Connection: close\r\n") != NULL;
	}
	return body[4] - '0';
}

/* Dials so many, asks on each, and counts who answered. */
static void dial_and_count(size_t n, int counts[SERVERS])
{
	memset(counts, 0, SERVERS * sizeof(*counts));
	for (size_t i = 0; i < n; i++) {
		int who = ask(dial(), NULL);

		assert_in_range(who, 0, SERVERS - 1);
		counts[who]++;
	}
}

/* ---- The rules ---- */

static void connections_are_dealt_out_evenly_and_stay_where_they_are(void **state)
{
	int counts[SERVERS], who[2 * SERVERS];

	(void)state;
	start_all();
	for (size_t i = 0; i < 2 * SERVERS; i++) {
		who[i] = ask(dial(), NULL);
	}
	memset(counts, 0, sizeof(counts));
	for (size_t i = 0; i < 2 * SERVERS; i++) {
		assert_in_range(who[i], 0, SERVERS - 1);
		assert_int_equal(ask(s.fds[i], NULL), who[i]);
		counts[who[i]]++;
	}
	for (size_t i = 0; i < SERVERS; i++) {
		assert_int_equal(counts[i], 2);
	}
}

/* While one is taken the next is on its way: none is lost, and none taken twice. */
static void a_crowd_is_let_in_to_the_last(void **state)
{
	(void)state;
	start_all();
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < DIALS_MAX; i++) {
			(void)dial();
		}
		for (size_t i = 0; i < DIALS_MAX; i++) {
			assert_in_range(ask(s.fds[i], NULL), 0, SERVERS - 1);
			(void)close(s.fds[i]);
		}
		s.n_fds = 0;
	}
}

static int64_t open_now(void)
{
	return atomic_load(&mesh__metrics_gauge(s.metrics, "mesh_connections", "", "listener", "inbound")->value);
}

static void await_open(int64_t n)
{
	int64_t until_ms = mesh__mono_ms(&s.env) + LONG_MS;

	while (open_now() != n) {
		assert_true(mesh__mono_ms(&s.env) < until_ms);
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
}

static void the_next_goes_where_the_fewest_are(void **state)
{
	int counts[SERVERS];

	(void)state;
	start_all();
	dial_and_count(9, counts);
	for (size_t i = 0; i < 9; i++) {
		if (ask(s.fds[i], NULL) == 1) {
			(void)shutdown(s.fds[i], SHUT_RDWR);
		}
	}
	await_open(6);
	dial_and_count(3, counts);
	assert_int_equal(counts[1], 3);
	assert_int_equal(open_now(), 9); /* one gauge for all */
}

static void the_limit_is_for_all_together(void **state)
{
	int counts[SERVERS];

	(void)state;
	s.limits.max_connections = 6;
	start_all();
	dial_and_count(6, counts);
	assert_int_equal(ask(dial(), NULL), -1);
	(void)shutdown(s.fds[0], SHUT_RDWR);
	await_open(5);
	dial_and_count(1, counts);
}

static void on_drained(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&s.mu);
	s.n_drained++;
	(void)pthread_cond_broadcast(&s.changed);
	(void)pthread_mutex_unlock(&s.mu);
}

static void drain(void *arg)
{
	mesh__http_server_drain(*(struct mesh__http_server **)arg, s.drain_ms, on_drained, NULL);
}

static void begin_drain(size_t i)
{
	mesh__loop_post(s.loops[i], &s.drain_posts[i], drain, &s.servers[i]);
}

static void await_drained(void)
{
	int64_t until_us = mesh__mono_us(&s.env) + LONG_MS * 1000;
	bool in_time = true, drained;

	(void)pthread_mutex_lock(&s.mu);
	while (!(drained = s.n_drained == SERVERS) && in_time) {
		in_time = mesh__cond_wait_until(&s.changed, &s.mu, &s.env, until_us);
	}
	(void)pthread_mutex_unlock(&s.mu);
	assert_true(drained);
}

/* The grace ends when the last connection, wherever it is, has gone: it need not be waited for. */
static void while_they_drain_all_answer_and_say_that_it_is_the_last_time(void **state)
{
	bool last = false;
	int who[SERVERS] = {0};

	(void)state;
	s.limits.drain_grace_ms = LONG_MS;
	s.drain_ms = 2 * LONG_MS;
	start_all();
	for (size_t i = 0; i < SERVERS; i++) {
		assert_in_range(ask(dial(), NULL), 0, SERVERS - 1);
	}
	for (size_t i = 0; i < SERVERS; i++) {
		begin_drain(i);
	}
	for (size_t i = 0; i < 2 * SERVERS; i++) {
		/* Those that came before, then some that come after: one of each at each server. */
		int fd = i < SERVERS ? s.fds[i] : dial(), at = ask(fd, &last);

		while (!last && at >= 0) { /* it was asked before that loop had heard of the drain */
			at = ask(fd, &last);
		}
		assert_in_range(at, 0, SERVERS - 1);
		who[at]++;
	}
	for (size_t i = 0; i < SERVERS; i++) {
		assert_true(who[i] >= 1);
	}
	await_drained();
}

/* Who is still on the way from loop to loop is a connection like any other: the drain has it answered. */
static void who_is_on_its_way_when_the_drain_begins_is_answered(void **state)
{
	(void)state;
	s.limits.drain_grace_ms = LONG_MS;
	s.drain_ms = 2 * LONG_MS;
	open_all();
	start(0); /* the others do not run: what they are given waits */
	for (size_t i = 0; i < SERVERS; i++) {
		(void)dial();
	}
	assert_int_equal(ask(s.fds[SERVERS - 1], NULL), 0); /* third in turn; so the two before it are with the others */
	(void)shutdown(s.fds[SERVERS - 1], SHUT_RDWR);
	await_open(0);
	for (size_t i = 0; i < SERVERS; i++) {
		begin_drain(i);
	}
	start(2);
	start(1);
	assert_in_range(ask(s.fds[0], NULL), 1, 2);
	assert_in_range(ask(s.fds[1], NULL), 1, 2);
	while (ask(s.fds[0], NULL) >= 0 || ask(s.fds[1], NULL) >= 0) { /* asked before that loop had heard of the drain */
	}
	await_drained();
}

static void who_is_on_its_way_when_all_is_freed_is_let_go_of(void **state)
{
	(void)state;
	open_all();
	start(0);
	for (size_t i = 0; i < SERVERS; i++) {
		(void)dial();
	}
	assert_int_equal(ask(s.fds[SERVERS - 1], NULL), 0);
	mesh__loop_stop(s.loops[0]);
	mesh__loop_join(s.loops[0]);
	s.running[0] = false;
	for (size_t i = SERVERS; i-- > 0;) {
		mesh__http_server_free(s.servers[i]);
		s.servers[i] = NULL;
	}
	assert_int_equal(ask(s.fds[0], NULL), -1);
	assert_int_equal(ask(s.fds[1], NULL), -1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(connections_are_dealt_out_evenly_and_stay_where_they_are),
		T(a_crowd_is_let_in_to_the_last),
		T(the_next_goes_where_the_fewest_are),
		T(the_limit_is_for_all_together),
		T(while_they_drain_all_answer_and_say_that_it_is_the_last_time),
		T(who_is_on_its_way_when_the_drain_begins_is_answered),
		T(who_is_on_its_way_when_all_is_freed_is_let_go_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
