/* A streamed request and its reply from beginning to end, and every other way that they end: what each function says, what the caller sees, and who is told. The test's own thread has the request, whatever the mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pipe.h"
#include "h1_client.h"
#include "patience.h"
#include "serving.h"

enum { LONG_MS = 20000 };

static struct serving s;
static struct h1_client c;

static int64_t patient_ms(void)
{
	return patience(LONG_MS);
}

/* ---- The handler gives the request to the test ---- */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards the rest */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static mesh_inbound *kept[8];
static int n_kept, n_told[MESH_EVENT_GONE + 1];

static void keep(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&mu);
	kept[n_kept++ % 8] = in;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static void await(const int *what, int n)
{
	(void)pthread_mutex_lock(&mu);
	while (*what < n) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	(void)pthread_mutex_unlock(&mu);
}

static int count(const int *what)
{
	int n;

	(void)pthread_mutex_lock(&mu);
	n = *what;
	(void)pthread_mutex_unlock(&mu);
	return n;
}

static void on_event(void *user, mesh_inbound *in, int32_t kind)
{
	(void)user;
	(void)in;
	(void)pthread_mutex_lock(&mu);
	n_told[kind]++;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
}

static mesh_inbound *next(void)
{
	mesh_inbound *in;

	await(&n_kept, 1);
	(void)pthread_mutex_lock(&mu);
	in = kept[--n_kept % 8];
	(void)pthread_mutex_unlock(&mu);
	return in;
}

static void open_with(const char *mode, const char *bodies, const char *const *more)
{
	n_kept = 0;
	memset(n_told, 0, sizeof(n_told));
	serving_open(&s, mode, bodies, keep, NULL, more);
	h1_open(&c, &s.t, "cart");
}

static int set_up(void **state)
{
	(void)state;
	open_with("pool", "streamed", NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	h1_close(&c);
	serving_fini(&s);
	return 0;
}

/* A request whose body is yet to come. */
static mesh_inbound *begin_upload(void)
{
	assert_true(h1_say(&c, "POST /up HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"));
	return next();
}

static mesh_inbound *get(const char *method)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: p\r\n\r\n", method);
	assert_true(h1_say(&c, text));
	return next();
}

static void expect_read(mesh_inbound *in, const char *text)
{
	char buf[64];
	size_t n = 0, at = 0;

	do {
		assert_int_equal(mesh_inbound_read(in, buf + at, sizeof(buf) - 1 - at, &n, patient_ms()), MESH_OK);
		at += n;
	} while (at < strlen(text) && n > 0);
	buf[at] = '\0';
	assert_string_equal(buf, text);
}

static void write_text(mesh_inbound *in, const char *text)
{
	size_t n;

	assert_int_equal(mesh_reply_write(in, text, strlen(text), &n, patient_ms()), MESH_OK);
	assert_int_equal(n, strlen(text));
}

/* ---- From beginning to end ---- */

static void a_request_is_answered_while_it_comes_in_every_mode(void **state)
{
	static const char *const modes[] = {"pool", "inline", "pull"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(modes); i++) {
		mesh_inbound *in;

		open_with(modes[i], "streamed", NULL);
		in = begin_upload();
		assert_int_equal(mesh_reply_header(in, "x-kind", "echo"), MESH_OK);
		assert_int_equal(mesh_reply_begin(in, 201), MESH_OK);
		assert_int_equal(h1_head(&c), 201);
		assert_non_null(strstr(c.head, "x-kind: echo"));
		assert_true(h1_send_chunk(&c, "one", 3));
		expect_read(in, "one");
		write_text(in, "eins");
		assert_true(h1_comes(&c, (int)patient_ms()));
		assert_true(h1_send_chunk(&c, "two", 3));
		expect_read(in, "two");
		assert_true(h1_send_end(&c, ""));
		expect_read(in, ""); /* half closed: it goes on answering */
		write_text(in, " zwei");
		assert_int_equal(mesh_reply_end(in), MESH_OK);
		assert_string_equal(h1_text(&c), "eins zwei");
		/* The connection serves on. */
		(void)mesh_reply(get("GET"), 200, "whole", 5);
		assert_int_equal(h1_head(&c), 200);
		assert_string_equal(h1_text(&c), "whole");
		(void)tear_down(NULL);
	}
}

static void trailers_go_both_ways(void **state)
{
	const char *name, *value;
	mesh_inbound *in = begin_upload();

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_true(h1_send_chunk(&c, "x", 1));
	assert_true(h1_send_end(&c, "Sum: 7\r\nOther: 8\r\n"));
	expect_read(in, "x");
	assert_null(mesh_inbound_trailer(in, "sum")); /* the end was not read yet */
	expect_read(in, "");
	assert_string_equal(mesh_inbound_trailer(in, "SUM"), "7");
	assert_int_equal(mesh_inbound_trailer_field(in, 1, &name, &value), 1);
	assert_string_equal(name, "other");
	assert_string_equal(value, "8");
	assert_int_equal(mesh_inbound_trailer_field(in, 2, &name, &value), 0);
	write_text(in, "y");
	assert_int_equal(mesh_reply_trailer(in, "Total", "9"), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "y");
	assert_int_equal(strcasecmp(c.trailers, "Total: 9\r\n"), 0);
	/* With a whole reply too. */
	in = get("GET");
	assert_int_equal(mesh_reply_trailer(in, "Total", "10"), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, "z", 1), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "z");
	assert_int_equal(strcasecmp(c.trailers, "Total: 10\r\n"), 0);
}

static void threat_5_trailers_that_would_forge_the_header_are_discarded(void **state)
{
	static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "mesh-try", "Connection", "X-Forwarded-Client-Cert"};
	mesh_inbound *in = begin_upload();
	char trailers[512] = "";

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		(void)strcat(strcat(trailers, names[i]), ": 1\r\n");
		assert_int_equal(mesh_reply_trailer(in, names[i], "1"), MESH_E_INVALID);
	}
	(void)strcat(trailers, "Fine: 1\r\n");
	assert_true(h1_send_end(&c, trailers));
	expect_read(in, "");
	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		assert_null(mesh_inbound_trailer(in, names[i]));
	}
	assert_int_equal(mesh_inbound_trailer_field(in, 1, NULL, NULL), 0);
	assert_string_equal(mesh_inbound_trailer(in, "fine"), "1");
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
}

static void a_length_that_was_told_is_held_to(void **state)
{
	mesh_inbound *in;

	(void)state;
	in = get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "-1"), MESH_E_INVALID);
	assert_int_equal(mesh_reply_header(in, "content-length", "4"), MESH_OK);
	assert_int_equal(mesh_reply_header(in, "Content-Length", "4"), MESH_E_INVALID);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	write_text(in, "abc");
	assert_int_equal(mesh_reply_write(in, "de", 2, NULL, patient_ms()), MESH_E_TOO_LARGE);
	write_text(in, "d");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_non_null(strcasestr(c.head, "content-length: 4\r\n"));
	assert_string_equal(h1_text(&c), "abcd");
	/* To HEAD nothing is sent, and nothing is missed. */
	in = get("HEAD");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "100"), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	write_text(in, "dropped");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_non_null(strcasestr(c.head, "content-length: 100\r\n"));
	/* A whole reply has its own. */
	in = get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "7"), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, "ab", 2), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "ab");
	/* Fewer: the caller must not take it for whole. */
	in = get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "4"), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	write_text(in, "ab");
	assert_int_equal(mesh_reply_end(in), MESH_E_INVALID);
	assert_true(h1_head(&c) == 0 || h1_text(&c) == NULL);
}

static void functions_out_of_turn_say_so(void **state)
{
	mesh_inbound *in = get("GET");
	char buf[8];
	size_t n = 9;

	(void)state;
	assert_int_equal(mesh_reply_write(in, "a", 1, &n, 0), MESH_E_STATE);
	assert_int_equal(n, 0);
	assert_int_equal(mesh_reply_begin(in, 600), MESH_E_INVALID);
	assert_int_equal(mesh_inbound_read(in, buf, 0, &n, 0), MESH_E_INVALID);
	assert_int_equal(mesh_inbound_read(in, NULL, 1, &n, 0), MESH_E_INVALID);
	assert_int_equal(mesh_reply_write(in, NULL, 1, &n, 0), MESH_E_INVALID);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_E_STATE);
	assert_int_equal(mesh_reply_header(in, "a", "b"), MESH_E_STATE);
	assert_int_equal(mesh_reply(in, 200, "x", 1), MESH_E_STATE); /* and it is cut */
	assert_true(h1_head(&c) == 0 || h1_text(&c) == NULL);
	h1_close(&c);
	h1_open(&c, &s.t, "cart");
	assert_int_equal(mesh_reply_end(get("GET")), MESH_E_STATE);
	assert_int_equal(h1_head(&c), 0);
	h1_close(&c);
	h1_open(&c, &s.t, "cart");
	in = get("GET");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_refuse(in, "too late"), MESH_E_STATE);
	assert_true(h1_head(&c) == 0 || h1_text(&c) == NULL);
}

/* ---- The whole body, put together ---- */

static void a_body_is_collected_up_to_its_bound(void **state)
{
	static const char *const small[] = {"max_body", "10", NULL};
	size_t len = 99;
	mesh_inbound *in;

	(void)state;
	(void)tear_down(NULL);
	open_with("pool", "streamed", small);
	in = begin_upload();
	assert_string_equal(mesh_inbound_body(in, &len), "");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_E_WOULD_BLOCK);
	assert_true(h1_send_chunk(&c, "12345", 5));
	assert_int_equal(mesh_inbound_collect(in, 1), MESH_E_TIMEOUT);
	assert_string_equal(mesh_inbound_body(in, &len), ""); /* not whole yet */
	assert_int_equal(len, 0);
	assert_true(h1_send_chunk(&c, "67890", 5));
	assert_true(h1_send_end(&c, "Sum: 1\r\n"));
	assert_int_equal(mesh_inbound_collect(in, patient_ms()), MESH_OK);
	assert_string_equal(mesh_inbound_body(in, &len), "1234567890");
	assert_int_equal(len, 10);
	assert_string_equal(mesh_inbound_trailer(in, "sum"), "1");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	in = begin_upload();
	assert_true(h1_send_chunk(&c, "12345678901", 11));
	assert_int_equal(mesh_inbound_collect(in, patient_ms()), MESH_E_TOO_LARGE);
	assert_string_equal(mesh_inbound_body(in, &len), "");
	assert_int_equal(mesh_reply(in, 413, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&c), 413);
}

static void a_body_that_came_whole_reads_the_same(void **state)
{
	size_t n = 9;
	char buf[4];
	mesh_inbound *in;

	(void)state;
	(void)tear_down(NULL);
	open_with("pool", "whole", NULL);
	assert_true(h1_say(&c, "POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSum: 5\r\n\r\n"));
	in = next();
	assert_string_equal(mesh_inbound_body(in, &n), "hello");
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_OK);
	assert_int_equal(n, 4);
	assert_memory_equal(buf, "hell", 4);
	expect_read(in, "o");
	expect_read(in, "");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_OK);
	assert_string_equal(mesh_inbound_body(in, NULL), "hello");
	assert_string_equal(mesh_inbound_trailer(in, "sum"), "5");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	write_text(in, "streamed");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "streamed");
}

/* ---- Events ---- */

static void each_answer_to_wait_is_followed_by_one_event_and_nothing_else_is(void **state)
{
	static char piece[64 * 1024];
	mesh_inbound *in = begin_upload();
	size_t n, written = 0;
	int32_t code;
	char buf[8];

	(void)state;
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_true(h1_send_chunk(&c, "a", 1));
	assert_int_equal(mesh_inbound_on_stream(in, on_event, NULL), MESH_OK); /* told of what came before it was set, too */
	await(&n_told[MESH_EVENT_READABLE], 1);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_OK);
	assert_true(h1_send_chunk(&c, "b", 1)); /* nobody was told to wait for it */
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	while ((code = mesh_reply_write(in, piece, sizeof(piece), &n, 0)) == MESH_OK) {
		written += n;
	}
	assert_int_equal(code, MESH_E_WOULD_BLOCK);
	assert_int_equal(n, 0);
	assert_int_equal(h1_head(&c), 200);
	while (count(&n_told[MESH_EVENT_WRITABLE]) == 0 && written > 0) {
		ssize_t got = h1_body(&c, piece, sizeof(piece));
		assert_true(got > 0);
		written -= (size_t)got;
	}
	await(&n_told[MESH_EVENT_WRITABLE], 1);
	assert_int_equal(mesh_reply_write(in, "!", 1, &n, 0), MESH_OK);
	written++;
	while (written > 0) {
		ssize_t got = h1_body(&c, piece, sizeof(piece));
		assert_true(got > 0);
		written -= (size_t)got;
	}
	assert_int_equal(count(&n_told[MESH_EVENT_READABLE]), 1);
	assert_int_equal(count(&n_told[MESH_EVENT_WRITABLE]), 1);
	assert_int_equal(count(&n_told[MESH_EVENT_GONE]), 0);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
}

/* A handler on the loop, and a function of events there: neither may wait. */
static _Atomic int32_t code_on_loop;

static void try_to_wait(void *user, mesh_inbound *in)
{
	char buf[8];
	size_t n;

	(void)user;
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 1000), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_inbound_collect(in, 1000), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_write(in, "a", 1, &n, 1000), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_reply_write(in, "a", 1, &n, 0), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	atomic_store(&code_on_loop, MESH_OK);
}

static void nobody_waits_on_a_loop(void **state)
{
	(void)state;
	(void)tear_down(NULL);
	atomic_store(&code_on_loop, -1);
	serving_open(&s, "inline", "streamed", try_to_wait, NULL, NULL);
	h1_open(&c, &s.t, "cart");
	assert_true(h1_say(&c, "GET / HTTP/1.1\r\nHost: p\r\n\r\n"));
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "a");
	assert_int_equal(code_on_loop, MESH_OK);
}

static void who_asks_before_sending_the_body_is_told_when_it_is_read(void **state)
{
	mesh_inbound *in;
	char buf[8];
	size_t n;

	(void)state;
	assert_true(h1_say(&c, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
	in = next();
	assert_false(h1_comes(&c, 50));
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_true(h1_comes(&c, (int)patient_ms()));
	assert_true(strncmp(c.plain.data + c.at, "HTTP/1.1 100", 12) == 0);
	assert_true(h1_say(&c, "ok"));
	expect_read(in, "ok");
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
}

/* ---- Other ends ---- */

static void threat_6_an_early_answer_is_heard(void **state)
{
	mesh_inbound *in;

	(void)state;
	assert_true(h1_say(&c, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 10000000\r\n\r\nsome of it"));
	in = next();
	assert_int_equal(mesh_reply(in, 403, "not you", 7), MESH_OK);
	assert_int_equal(h1_head(&c), 403);
	assert_string_equal(h1_text(&c), "not you");
}

static void what_the_handler_gives_up_on_is_cut(void **state)
{
	mesh_inbound *in = get("GET");

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	write_text(in, "half of it");
	assert_int_equal(h1_head(&c), 200);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
	assert_null(h1_text(&c));
	h1_close(&c);
	h1_open(&c, &s.t, "cart");
	assert_int_equal(mesh_reply_abort(begin_upload()), MESH_OK);
	assert_int_equal(h1_head(&c), 0);
}

static void a_caller_that_goes_ends_what_reads_and_is_told_once(void **state)
{
	mesh_inbound *in = begin_upload();
	char buf[8];
	size_t n;

	(void)state;
	assert_int_equal(mesh_inbound_on_stream(in, on_event, NULL), MESH_OK);
	assert_int_equal(mesh_inbound_gone(in), 0);
	h1_close(&c);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, patient_ms()), MESH_E_RESET);
	await(&n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_write(in, "a", 1, &n, patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_reply_end(in), MESH_OK); /* it interests nobody */
	assert_int_equal(count(&n_told[MESH_EVENT_GONE]), 1);
}

static void a_caller_that_goes_ends_what_writes(void **state)
{
	static const char piece[1 << 20];
	mesh_inbound *in = get("GET");
	int32_t code;

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	h1_close(&c); /* with a reset: something is unread */
	do {
		code = mesh_reply_write(in, piece, sizeof(piece), NULL, patient_ms());
	} while (code == MESH_OK);
	assert_int_equal(code, MESH_E_RESET);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
}

/* Whoever has a request that came whole can be told too. */
static void a_caller_that_goes_is_told_of_whole_requests_too(void **state)
{
	mesh_inbound *in;

	(void)state;
	(void)tear_down(NULL);
	open_with("pool", "whole", NULL);
	in = get("GET");
	assert_int_equal(mesh_inbound_on_stream(in, on_event, NULL), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	write_text(in, "unread");
	assert_true(h1_comes(&c, (int)patient_ms()));
	h1_close(&c);
	while (mesh_reply_write(in, "more", 4, NULL, patient_ms()) == MESH_OK) {
	}
	await(&n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
}

/* Keeps its thread until it may go. */
static int n_held, n_free;

static void hold(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&mu);
	n_held++;
	(void)pthread_cond_broadcast(&changed);
	while (n_free < n_held) {
		(void)pthread_cond_wait(&changed, &mu);
	}
	(void)pthread_mutex_unlock(&mu);
	(void)mesh_reply(in, 200, NULL, 0);
}

static long connections(void)
{
	static const char name[] = "\nmesh_connections{listener=\"inbound\"} ";
	char *text = mesh_metrics(s.t.payments), *at = strstr(text, name);
	long n = at == NULL ? -1 : strtol(at + sizeof(name) - 1, NULL, 10);

	mesh_string_free(text);
	return n;
}

static void await_connections(long n)
{
	while (connections() != n) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
}

static void what_nobody_waits_for_any_more_reaches_no_handler(void **state)
{
	static const char *const one[] = {"workers", "1", NULL};
	static const char get_it[] = "GET / HTTP/1.1\r\nHost: p\r\n\r\n";
	struct h1_client other;

	(void)state;
	(void)tear_down(NULL);
	n_held = n_free = 0;
	serving_open(&s, "pool", "streamed", hold, NULL, one);
	h1_open(&c, &s.t, "cart");
	assert_true(h1_say(&c, get_it));
	await(&n_held, 1);
	h1_open(&other, &s.t, "cart");
	assert_true(h1_say(&other, "POST /gone HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\n"));
	h1_close(&other);
	await_connections(1);
	(void)pthread_mutex_lock(&mu);
	n_free = 100;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&mu);
	assert_int_equal(h1_head(&c), 200);
	assert_true(h1_say(&c, get_it));
	assert_int_equal(h1_head(&c), 200);
	assert_int_equal(count(&n_held), 2);
}

/* What the loop had at hand is done: it has answered somebody else since. */
static void await_loop(void)
{
	struct h1_client other;

	h1_open(&other, &s.t, "cart");
	assert_true(h1_say(&other, "GET / HTTP/1.1\r\nHost: p\r\n\r\n"));
	(void)mesh_reply(next(), 200, NULL, 0);
	assert_int_equal(h1_head(&other), 200);
	h1_close(&other);
}

static const char *const one_loop[] = {"loops", "1", NULL};

static void threat_7_a_body_that_stands_still_ends_with_408(void **state)
{
	mesh_inbound *in;
	char buf[8];
	size_t n;

	(void)state;
	(void)tear_down(NULL);
	open_with("pool", "streamed", one_loop);
	in = begin_upload();
	assert_true(h1_send_chunk(&c, "a", 1));
	expect_read(in, "a");
	await_loop();
	atomic_store(&s.ahead_us, INT64_C(61) * 1000000);
	assert_int_equal(h1_head(&c), 408);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
}

static void a_request_that_is_never_replied_to_is_answered_503(void **state)
{
	mesh_inbound *in;

	(void)state;
	(void)tear_down(NULL);
	open_with("pool", "streamed", one_loop);
	in = get("GET");
	await_loop();
	atomic_store(&s.ahead_us, INT64_C(121) * 1000000);
	assert_int_equal(h1_head(&c), 503);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK); /* dropped */
}

/* ---- Closing, forking ---- */

static int32_t close_code;

static void *close_slowly(void *arg)
{
	(void)arg;
	close_code = serving_close(&s, patient_ms());
	return NULL;
}

static void the_drain_waits_for_streams(void **state)
{
	mesh_inbound *in = begin_upload();
	pthread_t closer;

	(void)state;
	assert_int_equal(pthread_create(&closer, NULL, close_slowly, NULL), 0);
	while (mesh_serve(s.t.payments, NULL, keep, NULL, NULL, NULL) != MESH_E_CLOSED) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_true(h1_send_chunk(&c, "late", 4));
	expect_read(in, "late");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_true(h1_send_end(&c, ""));
	expect_read(in, "");
	write_text(in, "as ever");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_string_equal(h1_text(&c), "as ever");
	assert_true(h1_comes(&c, (int)patient_ms()) && c.eof); /* the connection has served its last */
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(close_code, MESH_OK);
}

struct blocked {
	pthread_t thread;
	mesh_inbound *in;
	bool writes;
	int32_t code;
};

static void *wait_in_it(void *arg)
{
	static char piece[1 << 20];
	struct blocked *b = arg;
	size_t n;

	do {
		b->code = b->writes ? mesh_reply_write(b->in, piece, sizeof(piece), &n, patient_ms()) : mesh_inbound_read(b->in, piece, sizeof(piece), &n, patient_ms());
	} while (b->code == MESH_OK);
	return NULL;
}

/* One thread waits in a read, another in a write, of the same request. */
static void after_the_drain_streams_are_cut_and_waits_end(void **state)
{
	struct blocked reader = {.in = begin_upload()}, writer = {.in = reader.in, .writes = true};

	(void)state;
	assert_int_equal(mesh_reply_begin(reader.in, 200), MESH_OK);
	assert_int_equal(pthread_create(&reader.thread, NULL, wait_in_it, &reader), 0);
	assert_int_equal(pthread_create(&writer.thread, NULL, wait_in_it, &writer), 0);
	assert_int_equal(h1_head(&c), 200);
	assert_int_equal(serving_close(&s, 0), MESH_E_TIMEOUT);
	assert_int_equal(pthread_join(reader.thread, NULL), 0);
	assert_int_equal(pthread_join(writer.thread, NULL), 0);
	assert_int_equal(reader.code, MESH_E_RESET);
	assert_int_equal(writer.code, MESH_E_RESET);
	assert_int_equal(mesh_inbound_gone(reader.in), 1);
	assert_int_equal(mesh_reply_end(reader.in), MESH_OK); /* the last of it frees the mesh */
}

static void a_forked_child_streams_nothing(void **state)
{
	mesh_inbound *in = begin_upload();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	pid = fork();
	if (pid == 0) {
		char buf[8];
		size_t n;
		bool ok = mesh_inbound_read(in, buf, sizeof(buf), &n, 0) == MESH_E_FORKED && mesh_inbound_collect(in, 0) == MESH_E_FORKED && mesh_reply_write(in, "child", 5, &n, 0) == MESH_E_FORKED;

		ok = ok && mesh_reply_begin(in, 200) == MESH_E_FORKED && mesh_inbound_on_stream(in, NULL, NULL) == MESH_E_FORKED;
		_exit(ok && mesh_reply_end(in) == MESH_E_FORKED && mesh_reply_abort(in) == MESH_E_FORKED && mesh_close(s.t.payments, 0) == MESH_E_FORKED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	write_text(in, "parent");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&c), 200);
	assert_string_equal(h1_text(&c), "parent");
}

/* ---- Out of memory ---- */

/* One exchange; what fails ends it, and is told. True when it was whole. */
static bool exchange_once(void)
{
	static char piece[100000], back[100000];
	mesh_inbound *in;
	size_t n, at = 0;
	ssize_t got;
	int32_t code;

	if (!h1_say(&c, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 100000\r\n\r\n") || !h1_send(&c, piece, sizeof(piece))) {
		return false;
	}
	while (count(&n_kept) == 0) {
		if (h1_comes(&c, 1)) {
			return false; /* refused before the handler, or cut */
		}
	}
	in = next();
	code = mesh_inbound_on_stream(in, on_event, NULL);
	code = code == MESH_OK ? mesh_reply_header(in, "a", "b") : code;
	code = code == MESH_OK ? mesh_reply_trailer(in, "c", "d") : code;
	code = code == MESH_OK ? mesh_reply_begin(in, 200) : code;
	do {
		code = code == MESH_OK ? mesh_inbound_read(in, back, sizeof(back), &n, patient_ms()) : code;
		if (code == MESH_OK && n > 0) {
			code = mesh_reply_write(in, back, n, NULL, patient_ms());
			at += n;
		}
	} while (code == MESH_OK && n > 0);
	if (code != MESH_OK) {
		assert_true(code == MESH_E_NO_MEMORY || code == MESH_E_RESET);
		(void)mesh_reply_abort(in);
		return false;
	}
	assert_int_equal(at, sizeof(piece));
	(void)mesh_reply_end(in);
	if (h1_head(&c) != 200) {
		return false;
	}
	for (at = 0; (got = h1_body(&c, back, sizeof(back))) > 0; at += (size_t)got) {
	}
	assert_true(got < 0 || at == sizeof(piece)); /* cut, or whole: never short */
	return got == 0;
}

static void threat_31_memory_that_fails_ends_one_exchange_and_no_more(void **state)
{
	int n_failed = 0;

	(void)state;
	(void)tear_down(NULL);
	open_with("inline", "streamed", NULL); /* a connection that has gone has given its request to the handler before, or never */
	for (long n = 1, done = 0; !done; n++) {
		bool whole;

		serving_fail(&s, n);
		whole = exchange_once();
		done = atomic_load(&s.n_asked) < n;
		serving_fail(&s, 0);
		assert_true(whole || !done);
		n_failed += !whole;
		if (!whole) {
			h1_close(&c);
			await_connections(0);
			while (count(&n_kept) > 0) {
				(void)mesh_reply_abort(next()); /* given to the handler, and cut */
			}
			h1_open(&c, &s.t, "cart");
		}
	}
	assert_true(n_failed > 5);
	assert_true(exchange_once());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered_while_it_comes_in_every_mode),
		T(trailers_go_both_ways),
		T(threat_5_trailers_that_would_forge_the_header_are_discarded),
		T(a_length_that_was_told_is_held_to),
		T(functions_out_of_turn_say_so),
		T(a_body_is_collected_up_to_its_bound),
		T(a_body_that_came_whole_reads_the_same),
		T(each_answer_to_wait_is_followed_by_one_event_and_nothing_else_is),
		T(nobody_waits_on_a_loop),
		T(who_asks_before_sending_the_body_is_told_when_it_is_read),
		T(threat_6_an_early_answer_is_heard),
		T(what_the_handler_gives_up_on_is_cut),
		T(a_caller_that_goes_ends_what_reads_and_is_told_once),
		T(a_caller_that_goes_ends_what_writes),
		T(a_caller_that_goes_is_told_of_whole_requests_too),
		T(what_nobody_waits_for_any_more_reaches_no_handler),
		T(threat_7_a_body_that_stands_still_ends_with_408),
		T(a_request_that_is_never_replied_to_is_answered_503),
		T(the_drain_waits_for_streams),
		T(after_the_drain_streams_are_cut_and_waits_end),
		T(a_forked_child_streams_nothing),
		T(threat_31_memory_that_fails_ends_one_exchange_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
