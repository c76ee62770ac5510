/* THREATS 5 to 9 on the server core, in plaintext and on a clock of our own; test_server_tls.c has what 9 says of authenticated peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/http_stage.h"

#define NEXT "GET /echo?next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

/* ---- 5: trailers ---- */

static void threat_5_trailers_are_discarded(void **state)
{
	(void)state;
	stage_open();
	(void)stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Transfer-Encoding, Host, Authorization, Mesh-Try\r\n\r\n2\r\nhi\r\n0\r\n"
		"Content-Length: 40\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: Bearer evil\r\nMesh-Try: 7\r\nX-Other: evil\r\nConnection: close\r\n\r\n" NEXT);
	stage_assert_has(stage.seen, "POST /echo ? \nhost=h\ntransfer-encoding=chunked\ntrailer=Content-Length, Transfer-Encoding, Host, Authorization, Mesh-Try\n[hi]");
	stage_assert_has(stage.seen, "GET /echo ? next\n"); /* nothing of it was the trailer's, and Connection: close in there closed nothing */
	assert_null(strstr(stage.seen, "evil"));
	assert_int_equal(stage.n_requests, 2);
}

static void threat_5_trailers_are_well_formed_and_bounded(void **state)
{
	static const char *const trailers[] = {"Host : evil\r\n\r\n", " Host: evil\r\n\r\n", "Host\r\n\r\n", ": evil\r\n\r\n", "Host: evil\n\r\n", "Host: \x01\r\n\r\n", NULL};
	char request[36 * 1024];

	(void)state;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(trailers); i++) {
		size_t at = (size_t)snprintf(request, sizeof(request), "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");

		if (trailers[i] != NULL) {
			(void)snprintf(request + at, sizeof(request) - at, "%s" NEXT, trailers[i]);
		} else { /* many small ones make a large one */
			while (at + 8 < sizeof(request)) {
				at += (size_t)snprintf(request + at, sizeof(request) - at, "A: b\r\n");
			}
		}
		if (strncmp(stage_ask(request), "HTTP/1.1 400 ", 13) != 0) {
			fail_msg("row %zu: %s", i, stage.seen);
		}
	}
	assert_int_equal(stage.n_requests, 0);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"chunk\"}"), MESH__COUNT(trailers));
}

/* ---- 6: bodies that are not read, and requests that do not wait ---- */

static bool can(int fd, short what, int ms)
{
	struct pollfd p = {.fd = fd, .events = what};

	while (poll(&p, 1, ms) < 0) {
		assert_int_equal(errno, EINTR);
	}
	return (p.revents & what) != 0;
}

/* Writes until the other side has stopped taking it. */
static size_t stuff(int fd, size_t most)
{
	static char block[64 * 1024];
	size_t sent = 0;

	while (sent < most && can(fd, POLLOUT, 200)) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			fail_msg("after %zu bytes: %s", sent, strerror(errno));
		}
		sent += n > 0 ? (size_t)n : 0;
	}
	return sent;
}

static bool all_closed(void)
{
	return stage_count("mesh_connections{listener=\"test\"}") == 0;
}

static void until_all_closed(int64_t step_ms)
{
	for (int i = 0; !all_closed(); i++) {
		assert_true(i < 500);
		fake_env_advance_ms(&stage.fake, step_ms);
		(void)can(-1, 0, 20);
	}
}

static void threat_6_an_early_refusal_is_seen_by_one_who_writes_megabytes(void **state)
{
	static const char *const heads[] = {
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static const char *const answers[] = {"HTTP/1.1 413 ", "HTTP/1.1 413 ", "HTTP/1.1 400 "};

	(void)state;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(heads); i++) {
		int fd = stage_dial();

		stage_say(fd, heads[i]);
		assert_in_range(stuff(fd, 64 * 1024 * 1024), 64 * 1024 + 1, 32 * 1024 * 1024); /* no more is taken than the kernel holds */
		stage_assert_has(stage_hear(fd, NULL), answers[i]);
		stage_assert_has(stage.seen, "Connection: close\r\n");
		assert_false(all_closed());
		until_all_closed(100); /* although there is more to read, and whatever the other side does */
		(void)close(fd);
	}
	assert_int_equal(stage.n_requests, 0);
}

static void threat_6_after_a_refusal_up_to_64_kib_are_thrown_away(void **state)
{
	static char body[60 * 1024];
	int fd;

	(void)state;
	stage.limits.max_body_bytes = 1000;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 61440\r\n\r\n");
	stage_send(fd, body, sizeof(body));
	stage_say(fd, NEXT);
	stage_assert_has(stage_hear(fd, NULL), "HTTP/1.1 413 ");
	assert_null(strstr(stage.seen, "next"));
	(void)close(fd);
	until_all_closed(0); /* as soon as the other side has gone, too */
}

static void threat_6_a_body_is_never_the_next_request(void **state)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"};
	static const char *const paths[] = {"/echo", "/nothing", "/absent"};
	static const char body[] = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
	char request[512];
	int handled = 0;

	(void)state;
	stage_open();
	for (size_t i = 0; i < 2 * MESH__COUNT(methods) * MESH__COUNT(paths); i++) {
		const char *method = methods[i / 2 % MESH__COUNT(methods)], *path = paths[i / 2 / MESH__COUNT(methods)];

		if (i % 2 == 0) {
			(void)snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s" NEXT, method, path, sizeof(body) - 1, body);
		} else {
			(void)snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n" NEXT, method, path, sizeof(body) - 1, body);
		}
		stage_assert_has(stage_ask(request), "GET /echo ? next\n");
		handled += 2;
		assert_int_equal(stage.n_requests, handled);
	}
}

static void threat_6_nothing_is_read_behind_the_last_request(void **state)
{
	static const char *const last[] = {"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n"};
	char request[256];

	(void)state;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(last); i++) {
		(void)snprintf(request, sizeof(request), "%s" NEXT, last[i]);
		stage_assert_has(stage_ask(request), "Connection: close\r\n");
		assert_null(strstr(stage.seen, "next"));
		assert_int_equal(stage.n_requests, i + 1);
	}
}

/* Of what was cut off, nobody can say what it was to be. */
static void threat_6_a_request_that_ends_before_its_end_reaches_no_handler(void **state)
{
	static const char *const halves[] = {
		"GET /echo HTTP/1.1\r\nHost: h\r\n", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcd", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
	};

	(void)state;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(halves); i++) {
		int fd = stage_dial();

		stage_say(fd, halves[i]);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		assert_string_equal(stage_hear(fd, NULL), "");
		(void)close(fd);
	}
	assert_int_equal(stage.n_requests, 0);
}

static void threat_6_who_awaits_leave_to_send_a_refused_body_gets_none(void **state)
{
	(void)state;
	stage_open();
	(void)stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 67108864\r\n\r\n");
	assert_int_equal(strncmp(stage.seen, "HTTP/1.1 413 ", 13), 0);
	(void)stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	assert_int_equal(strncmp(stage.seen, "HTTP/1.1 200 ", 13), 0); /* there is nothing to wait for */
}

static void threat_6_ten_thousand_pipelined_requests_are_answered_in_order(void **state)
{
	static char got[64 * 1024];
	size_t used = 0, n_answered = 0;
	char request[64];
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(request, sizeof(request), "GET /echo?%d. HTTP/1.1\r\nHost: h\r\n\r\n", i);
		stage_say(fd, request);
		while (can(fd, POLLIN, 0) || (i == 9999 && n_answered < 10000)) {
			ssize_t n = socket_recv(fd, got + used, sizeof(got) - 1 - used);
			char *at = got, *end;

			assert_true(n > 0);
			used += (size_t)n;
			got[used] = '\0';
			while ((end = strstr(at, "[]")) != NULL) {
				char want[32];

				*end = '\0';
				(void)snprintf(want, sizeof(want), "GET /echo ? %zu.\n", n_answered++);
				stage_assert_has(at, want);
				at = end + 2;
			}
			used -= (size_t)(at - got);
			memmove(got, at, used);
		}
	}
	assert_int_equal(stage.n_requests, 10000);
	(void)close(fd);
}

/* It reads no answer: the server stops beginning requests when 256 KiB of answers wait, and stops reading when 64 KiB of requests do. */
static void threat_6_requests_of_one_who_reads_nothing_are_not_begun(void **state)
{
	static const char big[] = "GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	for (int i = 0; i < 20; i++) {
		stage_say(fd, big);
	}
	for (int i = 0; i < 5; i++) { /* by then the server has been at each of its connections */
		stage_assert_has(stage_ask(NEXT), "next");
	}
	assert_int_equal(stage.n_requests, 1 + 5);
	until_all_closed(3000);
	(void)close(fd);
}

static bool is_handled(void)
{
	return stage.n_requests > 0;
}

static void threat_6_while_a_handler_works_what_waits_stays_in_the_kernel(void **state)
{
	int fd;

	(void)state;
	stage_open();
	fd = stage_dial();
	stage_say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
	stage_wait(is_handled);
	assert_in_range(stuff(fd, 64 * 1024 * 1024), 1, 32 * 1024 * 1024);
	assert_int_equal(stage.n_requests, 1);
	stage_reply(stage_take_kept(), 200, "kept");
	stage_assert_has(stage_hear(fd, NULL), "kept"); /* and then, of the zeros: */
	stage_assert_has(stage.seen, "HTTP/1.1 400 ");
	(void)close(fd);
}

/* ---- 7: slow, and much ---- */

struct drip {
	const char *begun, *drops;
	int fd;
};

/* Says what each has begun, and then its drops one after the other, a second of the server's time apart; until all are answered. */
static void drip_until_answered(struct drip *drips, size_t n_drips)
{
	size_t n_answered = 0;

	for (int second = 1; n_answered < n_drips; second++) {
		assert_true(second < 200);
		fake_env_advance_ms(&stage.fake, second <= 11 ? 1000 : 0);
		(void)can(-1, 0, 20);
		n_answered = 0;
		for (size_t i = 0; i < n_drips; i++) {
			bool answered = can(drips[i].fd, POLLIN, 0);

			assert_false(answered && second < 10);
			n_answered += answered;
			if (!answered && *drips[i].drops != '\0') {
				stage_send(drips[i].fd, drips[i].drops++, 1);
			}
		}
	}
}

static void threat_7_what_comes_byte_by_byte_ends_at_an_absolute_deadline(void **state)
{
	struct drip rows[] = {
		{"G", "ET /echo HT", 0},
		{"GET /echo HTTP/1.1\r\nHost", ": hhhhhhhhhh", 0},
		{"GET /echo HTTP/1.1\r\nHost: h\r\n", "A: bbbbbbbbb", 0},
		{"\r", "\n\r\n\r\n\r\n\r\n\r\n", 0},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n", "abcdefghijkl", 0},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "000000000000", 0},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9", ";aaaaaaaaaaa", 0},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n", "abcdefghijkl", 0},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: bbbbbbbbb", 0},
	};

	(void)state;
	stage.limits.body_ms = stage.limits.header_ms; /* 10 s */
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		rows[i].fd = stage_dial();
		stage_say(rows[i].fd, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
		(void)stage_hear(rows[i].fd, "[]");
		stage_say(rows[i].fd, rows[i].begun);
	}
	drip_until_answered(rows, MESH__COUNT(rows));
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		stage_assert_has(stage_hear(rows[i].fd, NULL), "HTTP/1.1 408 ");
		stage_assert_has(stage.seen, "Connection: close");
		(void)close(rows[i].fd);
	}
	assert_int_equal(stage.n_requests, MESH__COUNT(rows));
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"timeout\"}"), MESH__COUNT(rows));
}

static char *repeat(const char *begin, const char *unit, size_t size)
{
	size_t at = strlen(begin), len = strlen(unit);
	char *text = mesh__alloc(mesh__mem_libc(), size + 1);

	memcpy(text, begin, at);
	for (; at + len <= size; at += len) {
		memcpy(text + at, unit, len);
	}
	text[at] = '\0';
	return text;
}

static void threat_7_a_megabyte_of_header_and_ten_thousand_fields_are_refused(void **state)
{
	static const struct {
		const char *begin, *unit;
		size_t size;
		int status;
		const char *word;
	} rows[] = {
		{"GET /echo HTTP/1.1\r\nHost: h\r\nX: ", "x", 1 << 20, 431, "header-too-large"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\n", "x", 1 << 20, 431, "header-too-large"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\n", "X: y\r\n", 10000 * 6 + 29, 431, "header-too-large"},
		{"GET /echo HTTP/1.1\r\nHost: h\r\n", "X:\r\n", 129 * 4 + 29, 431, "header-too-large"},
		{"GET /", "x", 1 << 20, 414, "target-too-long"},
		{"", "G", 1 << 20, 414, "target-too-long"},
		{"", "\r\n", 1 << 20, 431, "header-too-large"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", "x", 1 << 20, 400, "chunk"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1", ";x", 1 << 20, 400, "chunk"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "x", 1 << 20, 400, "chunk"},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "1;x\r\n.\r\n", 1 << 20, 400, "chunk"},
	};

	(void)state;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char *request = repeat(rows[i].begin, rows[i].unit, rows[i].size), want[64];
		size_t len = strlen(request), sent = 0;
		int fd = stage_dial();

		while (sent < len && can(fd, POLLOUT, 200)) {
			ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

			assert_true(n > 0 || errno == EAGAIN || errno == EINTR);
			sent += n > 0 ? (size_t)n : 0;
		}
		(void)stage_hear(fd, NULL);
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %d ", rows[i].status);
		if (strncmp(stage.seen, want, strlen(want)) != 0 || strstr(stage.seen, rows[i].word) == NULL) {
			fail_msg("row %zu: %s", i, stage.seen);
		}
		(void)close(fd);
		mesh__free(request);
	}
	assert_int_equal(stage.n_requests, 0);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"header-too-large\"}"), 5);
}

/* A byte a chunk: ten times the bytes of the body, but no more of them than a body may have. */
static void threat_7_a_flood_of_small_chunks_is_a_body_like_another(void **state)
{
	char *request = repeat("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n.\r\n", 60 * 1024);

	(void)state;
	stage.limits.max_body_bytes = 1000;
	stage_open();
	stage_assert_has(stage_ask(request), "HTTP/1.1 413 ");
	assert_int_equal(stage.n_requests, 0);
	mesh__free(request);
}

/* A stranger's body is not so much as collected beyond the bound for strangers, whether it says its length or not. */
static void threat_7_a_stranger_may_send_less(void **state)
{
	(void)state;
	stage.limits.max_body_bytes = 1000;
	stage.limits.max_stranger_body_bytes = 10;
	stage_open();
	stage_assert_has(stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 10\r\n\r\n0123456789"), "HTTP/1.1 200 ");
	stage_assert_has(stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n0123456789"), "HTTP/1.1 413 ");
	stage_assert_has(stage_ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\n."), "HTTP/1.1 413 ");
	assert_int_equal(stage.n_requests, 1);
}

static void threat_7_the_bounds_are_the_limits(void **state)
{
	static const char head[] = "GET /echo HTTP/1.1\r\nHost: h\r\n";
	char request[2048];
	size_t at;

	(void)state;
	stage.limits.max_header_bytes = 1024;
	stage.limits.max_fields = 10;
	stage_open();
	for (size_t extra = 0; extra < 2; extra++) { /* 1024 bytes, and one more */
		char *text = repeat("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: ", "x", 1020 + extra);

		(void)snprintf(request, sizeof(request), "%s\r\n\r\n", text);
		stage_assert_has(stage_ask(request), extra == 0 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ");
		mesh__free(text);
	}
	for (int n = 9; n < 11; n++) { /* with Host: ten fields, and one more */
		at = (size_t)snprintf(request, sizeof(request), "%sConnection: close\r\n", head);
		for (int i = 1; i < n; i++) {
			at += (size_t)snprintf(request + at, sizeof(request) - at, "X: y\r\n");
		}
		(void)snprintf(request + at, sizeof(request) - at, "\r\n");
		stage_assert_has(stage_ask(request), n == 9 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ");
	}
	assert_int_equal(stage.n_requests, 2);
}

/* ---- 8: one path, one spelling ---- */

static void answer_path(void *user, struct mesh__exchange *x)
{
	char text[64];

	(void)user;
	(void)snprintf(text, sizeof(text), "[%s]", mesh__exchange_path(x));
	stage.n_requests++; /* on the loop; looked at when it has answered */
	stage_reply(x, 200, text);
}

static void threat_8_a_handler_sees_the_path_that_its_spelling_means(void **state)
{
	static const struct {
		const char *target, *path; /* NULL: refused */
	} rows[] = {
		{"/echo", "/echo"}, {"//echo", "/echo"}, {"/%65cho", "/echo"}, {"/x/%2e%2e/echo", "/echo"}, {"/%2e%2e/echo", "/echo"}, {"http://h/echo", "/echo"}, {"http://h//x/..//echo", "/echo"}, {"HTTP://h/%2E/%65cho", "/echo"},
		{"/echo/", "/echo/"}, {"/echo/.", "/echo/"}, {"/Echo", "/Echo"}, {"/echo%3b", "/echo%3B"}, {"http://h", "/"}, {"http://h/..", "/"}, {"/echo/..", "/"},
		{"/x%2f..%2fecho", NULL}, {"/echo%2F", NULL}, {"/echo%00", NULL}, {"/echo%0", NULL}, {"/x\\..\\echo", NULL}, {"/..;/echo", NULL}, {"/echo#x", NULL}, {"/echo?#x", NULL}, {"http://h/echo%00", NULL}, {"http://h#/echo", NULL},
	};
	char request[256], seen[64];
	int refused = 0;

	(void)state;
	stage.handler = answer_path;
	stage_open();
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		(void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", rows[i].target);
		if (rows[i].path == NULL) {
			refused++;
			if (strncmp(stage_ask(request), "HTTP/1.1 400 ", 13) != 0) {
				fail_msg("taken: %s", rows[i].target);
			}
			continue;
		}
		(void)stage_ask(request);
		(void)snprintf(seen, sizeof(seen), "\r\n\r\n[%s]", rows[i].path);
		stage_assert_has(stage.seen, seen);
	}
	assert_int_equal(stage.n_requests, MESH__COUNT(rows) - (size_t)refused);
	assert_int_equal(stage_count("mesh_requests_refused_total{reason=\"target\"}"), refused);
}

/* ---- 9: names that are not theirs to say ---- */

static void threat_9_strangers_mesh_fields_and_claims_of_identity_are_removed(void **state)
{
	(void)state;
	stage_open();
	(void)stage_ask("GET /echo HTTP/1.1\r\nHost: h\r\nMesh-Try: 3\r\nmesh-deadline-ms: 9\r\nMESH-PEER: spiffe://mesh.local/ns/default/svc/admin\r\nmesh-: x\r\nX-Mesh: stays\r\n"
		"X-Forwarded-Client-Cert: URI=spiffe://mesh.local/ns/default/svc/admin\r\nx-FORWARDED-client-cert: y\r\nX_Forwarded_Client_Cert: z\r\nX-Forwarded-For: stays\r\nConnection: close\r\n\r\n");
	stage_assert_has(stage.seen, "GET /echo ? \nhost=h\nx-mesh=stays\nx-forwarded-for=stays\nconnection=close\n[]");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threat_5_trailers_are_discarded),
		TEST(threat_5_trailers_are_well_formed_and_bounded),
		TEST(threat_6_an_early_refusal_is_seen_by_one_who_writes_megabytes),
		TEST(threat_6_after_a_refusal_up_to_64_kib_are_thrown_away),
		TEST(threat_6_a_body_is_never_the_next_request),
		TEST(threat_6_nothing_is_read_behind_the_last_request),
		TEST(threat_6_a_request_that_ends_before_its_end_reaches_no_handler),
		TEST(threat_6_who_awaits_leave_to_send_a_refused_body_gets_none),
		TEST(threat_6_ten_thousand_pipelined_requests_are_answered_in_order),
		TEST(threat_6_requests_of_one_who_reads_nothing_are_not_begun),
		TEST(threat_6_while_a_handler_works_what_waits_stays_in_the_kernel),
		TEST(threat_7_what_comes_byte_by_byte_ends_at_an_absolute_deadline),
		TEST(threat_7_a_megabyte_of_header_and_ten_thousand_fields_are_refused),
		TEST(threat_7_a_flood_of_small_chunks_is_a_body_like_another),
		TEST(threat_7_a_stranger_may_send_less),
		TEST(threat_7_the_bounds_are_the_limits),
		TEST(threat_8_a_handler_sees_the_path_that_its_spelling_means),
		TEST(threat_9_strangers_mesh_fields_and_claims_of_identity_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
