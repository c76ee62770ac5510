/* The other ways in which streamed requests end: given up on, cut, late, closed, forked, out of memory. What each function says, what the caller sees, who is told. */
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

#include "kept.h"
#include "patience.h"

/* ---- Other ends ---- */

static void threat_6_an_early_answer_is_heard(void **state)
{
	mesh_inbound *in;

	(void)state;
	assert_true(h1_say(&kept.client, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 10000000\r\n\r\nsome of it"));
	in = kept_next();
	assert_int_equal(mesh_reply(in, 403, "not you", 7), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 403);
	assert_string_equal(h1_text(&kept.client), "not you");
}

static void what_the_handler_gives_up_on_is_cut(void **state)
{
	mesh_inbound *in = kept_get("GET");

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "half of it");
	assert_int_equal(h1_head(&kept.client), 200);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
	assert_null(h1_text(&kept.client));
	h1_close(&kept.client);
	h1_open(&kept.client, &kept.serving.t, "cart");
	assert_int_equal(mesh_reply_abort(kept_begin_upload()), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 0);
}

static void a_caller_that_goes_ends_what_reads_and_is_told_once(void **state)
{
	mesh_inbound *in = kept_begin_upload();
	char buf[8];
	size_t n;

	(void)state;
	assert_int_equal(mesh_inbound_on_stream(in, kept_on_event, NULL), MESH_OK);
	assert_int_equal(mesh_inbound_gone(in), 0);
	h1_close(&kept.client);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, kept_patient_ms()), MESH_E_RESET);
	kept_await(&kept.n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, kept_patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_write(in, "a", 1, &n, kept_patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_reply_end(in), MESH_OK); /* it interests nobody */
	assert_int_equal(kept_count(&kept.n_told[MESH_EVENT_GONE]), 1);
}

static void a_caller_that_goes_ends_what_writes(void **state)
{
	static const char piece[1 << 20];
	mesh_inbound *in = kept_get("GET");
	int32_t code;

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	h1_close(&kept.client); /* with a reset: something is unread */
	do {
		code = mesh_reply_write(in, piece, sizeof(piece), NULL, kept_patient_ms());
	} while (code == MESH_OK);
	assert_int_equal(code, MESH_E_RESET);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
}

/* Whoever has a request that came whole can be told too. */
static void a_caller_that_goes_is_told_of_whole_requests_too(void **state)
{
	mesh_inbound *in;

	(void)state;
	(void)kept_tear_down(NULL);
	kept_open("pool", "whole", NULL);
	in = kept_get("GET");
	assert_int_equal(mesh_inbound_on_stream(in, kept_on_event, NULL), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	kept_write(in, "unread");
	assert_true(tls_wire_comes(&kept.client.wire, (int)kept_patient_ms()));
	h1_close(&kept.client);
	while (mesh_reply_write(in, "more", 4, NULL, kept_patient_ms()) == MESH_OK) {
	}
	kept_await(&kept.n_told[MESH_EVENT_GONE], 1);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_reply_abort(in), MESH_OK);
}

/* Keeps its thread until it may go. */
static int n_held, n_free;

static void hold(void *user, mesh_inbound *in)
{
	(void)user;
	(void)pthread_mutex_lock(&kept.mu);
	n_held++;
	(void)pthread_cond_broadcast(&kept.changed);
	while (n_free < n_held) {
		(void)pthread_cond_wait(&kept.changed, &kept.mu);
	}
	(void)pthread_mutex_unlock(&kept.mu);
	(void)mesh_reply(in, 200, NULL, 0);
}

static long connections(void)
{
	static const char name[] = "\nmesh_connections{listener=\"inbound\"} ";
	char *text = mesh_metrics(kept.serving.t.payments), *at = strstr(text, name);
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
	(void)kept_tear_down(NULL);
	n_held = n_free = 0;
	serving_open(&kept.serving, "pool", "streamed", hold, NULL, one);
	h1_open(&kept.client, &kept.serving.t, "cart");
	assert_true(h1_say(&kept.client, get_it));
	kept_await(&n_held, 1);
	h1_open(&other, &kept.serving.t, "cart");
	assert_true(h1_say(&other, "POST /gone HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\n"));
	h1_close(&other);
	await_connections(1);
	(void)pthread_mutex_lock(&kept.mu);
	n_free = 100;
	(void)pthread_cond_broadcast(&kept.changed);
	(void)pthread_mutex_unlock(&kept.mu);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_true(h1_say(&kept.client, get_it));
	assert_int_equal(h1_head(&kept.client), 200);
	assert_int_equal(kept_count(&n_held), 2);
}

/* What the loop had at hand is done: it has answered somebody else since. */
static void await_loop(void)
{
	struct h1_client other;

	h1_open(&other, &kept.serving.t, "cart");
	assert_true(h1_say(&other, "GET / HTTP/1.1\r\nHost: p\r\n\r\n"));
	(void)mesh_reply(kept_next(), 200, NULL, 0);
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
	(void)kept_tear_down(NULL);
	kept_open("pool", "streamed", one_loop);
	in = kept_begin_upload();
	assert_true(h1_send_chunk(&kept.client, "a", 1));
	kept_expect_read(in, "a");
	await_loop();
	atomic_store(&kept.serving.ahead_us, INT64_C(61) * 1000000);
	assert_int_equal(h1_head(&kept.client), 408);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, kept_patient_ms()), MESH_E_RESET);
	assert_int_equal(mesh_inbound_gone(in), 1);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
}

static void a_request_that_is_never_replied_to_is_answered_503(void **state)
{
	mesh_inbound *in;

	(void)state;
	(void)kept_tear_down(NULL);
	kept_open("pool", "streamed", one_loop);
	in = kept_get("GET");
	await_loop();
	atomic_store(&kept.serving.ahead_us, INT64_C(121) * 1000000);
	assert_int_equal(h1_head(&kept.client), 503);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK); /* dropped */
}

/* ---- Closing, forking ---- */

static int32_t close_code;

static void *close_slowly(void *arg)
{
	(void)arg;
	close_code = serving_close(&kept.serving, kept_patient_ms());
	return NULL;
}

static void the_drain_waits_for_streams(void **state)
{
	mesh_inbound *in = kept_begin_upload();
	pthread_t closer;

	(void)state;
	assert_int_equal(pthread_create(&closer, NULL, close_slowly, NULL), 0);
	while (mesh_serve(kept.serving.t.payments, NULL, kept_keep, NULL, NULL, NULL) != MESH_E_CLOSED) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_true(h1_send_chunk(&kept.client, "late", 4));
	kept_expect_read(in, "late");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_true(h1_send_end(&kept.client, ""));
	kept_expect_read(in, "");
	kept_write(in, "as ever");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_string_equal(h1_text(&kept.client), "as ever");
	assert_true(tls_wire_comes(&kept.client.wire, (int)kept_patient_ms()) && kept.client.wire.eof); /* the connection has served its last */
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
		b->code = b->writes ? mesh_reply_write(b->in, piece, sizeof(piece), &n, kept_patient_ms()) : mesh_inbound_read(b->in, piece, sizeof(piece), &n, kept_patient_ms());
	} while (b->code == MESH_OK);
	return NULL;
}

/* One thread waits in a read, another in a write, of the same request. */
static void after_the_drain_streams_are_cut_and_waits_end(void **state)
{
	struct blocked reader = {.in = kept_begin_upload()}, writer = {.in = reader.in, .writes = true};

	(void)state;
	assert_int_equal(mesh_reply_begin(reader.in, 200), MESH_OK);
	assert_int_equal(pthread_create(&reader.thread, NULL, wait_in_it, &reader), 0);
	assert_int_equal(pthread_create(&writer.thread, NULL, wait_in_it, &writer), 0);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_int_equal(serving_close(&kept.serving, 0), MESH_E_TIMEOUT);
	assert_int_equal(pthread_join(reader.thread, NULL), 0);
	assert_int_equal(pthread_join(writer.thread, NULL), 0);
	assert_int_equal(reader.code, MESH_E_RESET);
	assert_int_equal(writer.code, MESH_E_RESET);
	assert_int_equal(mesh_inbound_gone(reader.in), 1);
	assert_int_equal(mesh_reply_end(reader.in), MESH_OK); /* the last of it frees the mesh */
}

/* The handler is still at work when the connections have gone, and only now begins a reply. */
static _Atomic int32_t code_at_end;

static void begin_at_the_end(void *user, mesh_inbound *in)
{
	static const char piece[1 << 20];

	(void)user;
	kept_keep(NULL, in);
	while (mesh_inbound_gone(in) == 0) {
		(void)poll(NULL, 0, 1); /* lint: waits for an event */
	}
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	atomic_store(&code_at_end, mesh_reply_write(in, piece, sizeof(piece), NULL, 10 * kept_patient_ms()));
	(void)mesh_reply_end(in);
}

static void nobody_waits_for_a_connection_that_the_close_has_cut(void **state)
{
	(void)state;
	(void)kept_tear_down(NULL);
	serving_open(&kept.serving, "pool", "whole", begin_at_the_end, NULL, NULL);
	h1_open(&kept.client, &kept.serving.t, "cart");
	(void)kept_get("GET");
	assert_int_equal(serving_close(&kept.serving, 0), MESH_E_TIMEOUT);
	assert_int_equal(code_at_end, MESH_E_RESET);
}

static void a_forked_child_streams_nothing(void **state)
{
	mesh_inbound *in = kept_begin_upload();
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
		_exit(ok && mesh_reply_end(in) == MESH_E_FORKED && mesh_reply_abort(in) == MESH_E_FORKED && mesh_close(kept.serving.t.payments, 0) == MESH_E_FORKED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	kept_write(in, "parent");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "parent");
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

	if (!h1_say(&kept.client, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 100000\r\n\r\n") || !h1_send(&kept.client, piece, sizeof(piece))) {
		return false;
	}
	while (kept_count(&kept.n) == 0) {
		if (tls_wire_comes(&kept.client.wire, 1)) {
			return false; /* refused before the handler, or cut */
		}
	}
	in = kept_next();
	code = mesh_inbound_on_stream(in, kept_on_event, NULL);
	code = code == MESH_OK ? mesh_reply_header(in, "a", "b") : code;
	code = code == MESH_OK ? mesh_reply_trailer(in, "c", "d") : code;
	code = code == MESH_OK ? mesh_reply_begin(in, 200) : code;
	do {
		code = code == MESH_OK ? mesh_inbound_read(in, back, sizeof(back), &n, kept_patient_ms()) : code;
		if (code == MESH_OK && n > 0) {
			code = mesh_reply_write(in, back, n, NULL, kept_patient_ms());
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
	if (h1_head(&kept.client) != 200) {
		return false;
	}
	for (at = 0; (got = h1_body(&kept.client, back, sizeof(back))) > 0; at += (size_t)got) {
	}
	assert_true(got < 0 || at == sizeof(piece)); /* cut, or whole: never short */
	return got == 0;
}

static void threat_31_memory_that_fails_ends_one_exchange_and_no_more(void **state)
{
	int n_failed = 0;

	(void)state;
	(void)kept_tear_down(NULL);
	kept_open("inline", "streamed", NULL); /* a connection that has gone has given its request to the handler before, or never */
	for (long n = 1, done = 0; !done; n += walk_stride()) {
		bool whole;

		serving_fail(&kept.serving, n);
		whole = exchange_once();
		done = atomic_load(&kept.serving.n_asked) < n;
		serving_fail(&kept.serving, 0);
		assert_true(whole || !done);
		n_failed += !whole;
		if (!whole) {
			h1_close(&kept.client);
			await_connections(0);
			while (kept_count(&kept.n) > 0) {
				(void)mesh_reply_abort(kept_next()); /* given to the handler, and cut */
			}
			h1_open(&kept.client, &kept.serving.t, "cart");
		}
	}
	assert_true(n_failed > 5 / walk_stride());
	assert_true(exchange_once());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, kept_set_up, kept_tear_down)
	const struct CMUnitTest tests[] = {
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
		T(nobody_waits_for_a_connection_that_the_close_has_cut),
		T(a_forked_child_streams_nothing),
		T(threat_31_memory_that_fails_ends_one_exchange_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
