/* Streamed requests and replies from beginning to end: what each function says, and what the caller sees. The test's own thread has the request, whatever the mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "kept.h"

/* ---- From beginning to end ---- */

static void a_request_is_answered_while_it_comes_in_every_mode(void **state)
{
	static const char *const modes[] = {"pool", "inline", "pull"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(modes); i++) {
		mesh_inbound *in;

		kept_open(modes[i], "streamed", NULL);
		in = kept_begin_upload();
		assert_int_equal(mesh_reply_header(in, "x-kind", "echo"), MESH_OK);
		assert_int_equal(mesh_reply_begin(in, 201), MESH_OK);
		assert_int_equal(h1_head(&kept.client), 201);
		assert_non_null(strstr(kept.client.head, "x-kind: echo"));
		assert_true(h1_send_chunk(&kept.client, "one", 3));
		kept_expect_read(in, "one");
		kept_write(in, "eins");
		assert_true(tls_wire_comes(&kept.client.wire, (int)kept_patient_ms()));
		assert_true(h1_send_chunk(&kept.client, "two", 3));
		kept_expect_read(in, "two");
		assert_true(h1_send_end(&kept.client, ""));
		kept_expect_read(in, ""); /* half closed: it goes on answering */
		kept_write(in, " zwei");
		assert_int_equal(mesh_reply_end(in), MESH_OK);
		assert_string_equal(h1_text(&kept.client), "eins zwei");
		/* The connection serves on. */
		(void)mesh_reply(kept_get("GET"), 200, "whole", 5);
		assert_int_equal(h1_head(&kept.client), 200);
		assert_string_equal(h1_text(&kept.client), "whole");
		(void)kept_tear_down(NULL);
	}
}

static void trailers_go_both_ways(void **state)
{
	const char *name, *value;
	mesh_inbound *in = kept_begin_upload();

	(void)state;
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_true(h1_send_chunk(&kept.client, "x", 1));
	assert_true(h1_send_end(&kept.client, "Sum: 7\r\nOther: 8\r\n"));
	kept_expect_read(in, "x");
	assert_null(mesh_inbound_trailer(in, "sum")); /* the end was not read yet */
	kept_expect_read(in, "");
	assert_string_equal(mesh_inbound_trailer(in, "SUM"), "7");
	assert_int_equal(mesh_inbound_trailer_field(in, 1, &name, &value), 1);
	assert_string_equal(name, "other");
	assert_string_equal(value, "8");
	assert_int_equal(mesh_inbound_trailer_field(in, 2, &name, &value), 0);
	kept_write(in, "y");
	assert_int_equal(mesh_reply_trailer(in, "Total", "9"), MESH_OK);
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "y");
	assert_int_equal(strcasecmp(kept.client.trailers, "Total: 9\r\n"), 0);
	/* With a whole reply too. */
	in = kept_get("GET");
	assert_int_equal(mesh_reply_trailer(in, "Total", "10"), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, "z", 1), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "z");
	assert_int_equal(strcasecmp(kept.client.trailers, "Total: 10\r\n"), 0);
}

static void threat_5_trailers_that_would_forge_the_header_are_discarded(void **state)
{
	static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "mesh-try", "Connection", "X-Forwarded-Client-Cert"};
	mesh_inbound *in = kept_begin_upload();
	char trailers[512];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(names); i++) {
		len += (size_t)snprintf(trailers + len, sizeof(trailers) - len, "%s: 1\r\n", names[i]);
		assert_int_equal(mesh_reply_trailer(in, names[i], "1"), MESH_E_INVALID);
	}
	(void)snprintf(trailers + len, sizeof(trailers) - len, "Fine: 1\r\n");
	assert_true(h1_send_end(&kept.client, trailers));
	kept_expect_read(in, "");
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
	in = kept_get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "-1"), MESH_E_INVALID);
	assert_int_equal(mesh_reply_header(in, "content-length", "4"), MESH_OK);
	assert_int_equal(mesh_reply_header(in, "Content-Length", "4"), MESH_E_INVALID);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "abc");
	assert_int_equal(mesh_reply_write(in, "de", 2, NULL, kept_patient_ms()), MESH_E_TOO_LARGE);
	kept_write(in, "d");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_non_null(strcasestr(kept.client.head, "content-length: 4\r\n"));
	assert_string_equal(h1_text(&kept.client), "abcd");
	/* To HEAD nothing is sent, and nothing is missed. */
	in = kept_get("HEAD");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "100"), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "dropped");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_non_null(strcasestr(kept.client.head, "content-length: 100\r\n"));
	/* A whole reply has its own. */
	in = kept_get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "7"), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, "ab", 2), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "ab");
	/* Fewer: the caller must not take it for whole. */
	in = kept_get("GET");
	assert_int_equal(mesh_reply_header(in, "Content-Length", "4"), MESH_OK);
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "ab");
	assert_int_equal(mesh_reply_end(in), MESH_E_INVALID);
	assert_true(h1_head(&kept.client) == 0 || h1_text(&kept.client) == NULL);
}

static void functions_out_of_turn_say_so(void **state)
{
	mesh_inbound *in = kept_get("GET");
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
	assert_true(h1_head(&kept.client) == 0 || h1_text(&kept.client) == NULL);
	h1_close(&kept.client);
	h1_open(&kept.client, &kept.serving.t, "cart");
	assert_int_equal(mesh_reply_end(kept_get("GET")), MESH_E_STATE);
	assert_int_equal(h1_head(&kept.client), 0);
	h1_close(&kept.client);
	h1_open(&kept.client, &kept.serving.t, "cart");
	in = kept_get("GET");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	assert_int_equal(mesh_reply_refuse(in, "too late"), MESH_E_STATE);
	assert_true(h1_head(&kept.client) == 0 || h1_text(&kept.client) == NULL);
}

/* ---- The whole body, put together ---- */

static void a_body_is_collected_up_to_its_bound(void **state)
{
	static const char *const small[] = {"max_body", "10", NULL};
	size_t len = 99;
	mesh_inbound *in;

	(void)state;
	(void)kept_tear_down(NULL);
	kept_open("pool", "streamed", small);
	in = kept_begin_upload();
	assert_string_equal(mesh_inbound_body(in, &len), "");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_E_WOULD_BLOCK);
	assert_true(h1_send_chunk(&kept.client, "12345", 5));
	assert_int_equal(mesh_inbound_collect(in, 1), MESH_E_TIMEOUT);
	assert_string_equal(mesh_inbound_body(in, &len), ""); /* not whole yet */
	assert_int_equal(len, 0);
	assert_true(h1_send_chunk(&kept.client, "67890", 5));
	assert_true(h1_send_end(&kept.client, "Sum: 1\r\n"));
	assert_int_equal(mesh_inbound_collect(in, kept_patient_ms()), MESH_OK);
	assert_string_equal(mesh_inbound_body(in, &len), "1234567890");
	assert_int_equal(len, 10);
	assert_string_equal(mesh_inbound_trailer(in, "sum"), "1");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_OK);
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	in = kept_begin_upload();
	assert_true(h1_send_chunk(&kept.client, "12345678901", 11));
	assert_int_equal(mesh_inbound_collect(in, kept_patient_ms()), MESH_E_TOO_LARGE);
	assert_string_equal(mesh_inbound_body(in, &len), "");
	assert_int_equal(mesh_reply(in, 413, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 413);
}

static void a_body_that_came_whole_reads_the_same(void **state)
{
	size_t n = 9;
	char buf[4];
	mesh_inbound *in;

	(void)state;
	(void)kept_tear_down(NULL);
	kept_open("pool", "whole", NULL);
	assert_true(h1_say(&kept.client, "POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSum: 5\r\n\r\n"));
	in = kept_next();
	assert_string_equal(mesh_inbound_body(in, &n), "hello");
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_OK);
	assert_int_equal(n, 4);
	assert_memory_equal(buf, "hell", 4);
	kept_expect_read(in, "o");
	kept_expect_read(in, "");
	assert_int_equal(mesh_inbound_collect(in, 0), MESH_OK);
	assert_string_equal(mesh_inbound_body(in, NULL), "hello");
	assert_string_equal(mesh_inbound_trailer(in, "sum"), "5");
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	kept_write(in, "streamed");
	assert_int_equal(mesh_reply_end(in), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "streamed");
}

/* ---- Events ---- */

static void each_answer_to_wait_is_followed_by_one_event_and_nothing_else_is(void **state)
{
	static char piece[64 * 1024];
	mesh_inbound *in = kept_begin_upload();
	size_t n, written = 0;
	int32_t code;
	char buf[8];

	(void)state;
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_true(h1_send_chunk(&kept.client, "a", 1));
	assert_int_equal(mesh_inbound_on_stream(in, kept_on_event, NULL), MESH_OK); /* told of what came before it was set, too */
	kept_await(&kept.n_told[MESH_EVENT_READABLE], 1);
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_OK);
	assert_true(h1_send_chunk(&kept.client, "b", 1)); /* nobody was told to wait for it */
	assert_int_equal(mesh_reply_begin(in, 200), MESH_OK);
	while ((code = mesh_reply_write(in, piece, sizeof(piece), &n, 0)) == MESH_OK) {
		written += n;
	}
	assert_int_equal(code, MESH_E_WOULD_BLOCK);
	assert_int_equal(n, 0);
	assert_int_equal(h1_head(&kept.client), 200);
	while (kept_count(&kept.n_told[MESH_EVENT_WRITABLE]) == 0 && written > 0) {
		ssize_t got = h1_body(&kept.client, piece, sizeof(piece));
		assert_true(got > 0);
		written -= (size_t)got;
	}
	kept_await(&kept.n_told[MESH_EVENT_WRITABLE], 1);
	assert_int_equal(mesh_reply_write(in, "!", 1, &n, 0), MESH_OK);
	written++;
	while (written > 0) {
		ssize_t got = h1_body(&kept.client, piece, sizeof(piece));
		assert_true(got > 0);
		written -= (size_t)got;
	}
	assert_int_equal(kept_count(&kept.n_told[MESH_EVENT_READABLE]), 1);
	assert_int_equal(kept_count(&kept.n_told[MESH_EVENT_WRITABLE]), 1);
	assert_int_equal(kept_count(&kept.n_told[MESH_EVENT_GONE]), 0);
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
	(void)kept_tear_down(NULL);
	atomic_store(&code_on_loop, -1);
	serving_open(&kept.serving, "inline", "streamed", try_to_wait, NULL, NULL);
	h1_open(&kept.client, &kept.serving.t, "cart");
	assert_true(h1_say(&kept.client, "GET / HTTP/1.1\r\nHost: p\r\n\r\n"));
	assert_int_equal(h1_head(&kept.client), 200);
	assert_string_equal(h1_text(&kept.client), "a");
	assert_int_equal(code_on_loop, MESH_OK);
}

static void who_asks_before_sending_the_body_is_told_when_it_is_read(void **state)
{
	mesh_inbound *in;
	char buf[8];
	size_t n;

	(void)state;
	assert_true(h1_say(&kept.client, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
	in = kept_next();
	assert_false(tls_wire_comes(&kept.client.wire, 50));
	assert_int_equal(mesh_inbound_read(in, buf, sizeof(buf), &n, 0), MESH_E_WOULD_BLOCK);
	assert_true(tls_wire_comes(&kept.client.wire, (int)kept_patient_ms()));
	assert_true(strncmp(kept.client.wire.plain.data + kept.client.wire.at, "HTTP/1.1 100", 12) == 0);
	assert_true(h1_say(&kept.client, "ok"));
	kept_expect_read(in, "ok");
	assert_int_equal(mesh_reply(in, 200, NULL, 0), MESH_OK);
	assert_int_equal(h1_head(&kept.client), 200);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, kept_set_up, kept_tear_down)
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
