/* Rules: trailers of a request go out behind an upload over HTTP/1.1, and over HTTP/2, where libcurl has no way to send them, no call succeeds without those that it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "patience.h"
#include "raw_server.h"
#include "serving.h"

enum { LONG_MS = 20000 };

static struct serving s;
static mesh *cart;
static _Atomic long n_calls, n_let;

static int32_t patient_ms(void)
{
	return (int32_t)patience(LONG_MS);
}

/* Answers with how long the body was, and which trailers came behind it; on /hold when it is let. */
static void handle(void *user, mesh_inbound *in)
{
	const char *name, *value;
	char text[1024];
	size_t n = 0, len = 0;
	int32_t code;
	int at;

	(void)user;
	atomic_fetch_add(&n_calls, 1);
	do {
		code = mesh_inbound_read(in, text, sizeof(text), &n, patient_ms());
		len += n;
	} while (code == MESH_OK && n > 0);
	at = snprintf(text, sizeof(text), "%zu", len);
	for (size_t i = 0; i < 8 && mesh_inbound_trailer_field(in, i, &name, &value) == 1; i++) {
		at += snprintf(text + at, sizeof(text) - (size_t)at, " %s=%s", name, value);
	}
	if (strcmp(mesh_inbound_path(in), "/hold") == 0) {
		(void)raw_wait(&n_let, 1);
	}
	(void)mesh_reply(in, code == MESH_OK ? 200 : 500, text, (size_t)at);
}

static void open_cart(const char *fields)
{
	cart = two_meshes_open_cart(&s.t, fields);
	atomic_store(&n_calls, 0);
}

static void close_cart(void)
{
	assert_int_equal(mesh_close(cart, patient_ms()), MESH_OK);
}

static mesh_request *upload(int64_t length)
{
	mesh_request *r = mesh_request_new(cart, "payments", "POST", "/");

	assert_non_null(r);
	assert_int_equal(mesh_request_upload(r, length), MESH_OK);
	return r;
}

static void must(const mesh_request *r, int32_t code)
{
	if (code != MESH_OK) {
		fail_msg("%d: %s", code, mesh_error_message(mesh_request_error(r)));
	}
}

static void end_with(mesh_request *r, const char *expected)
{
	size_t n;

	assert_int_equal(mesh_request_end(r), MESH_OK);
	must(r, mesh_call_wait(r));
	assert_int_equal(mesh_response_status(r), 200);
	assert_string_equal(mesh_response_body(r, &n), expected);
}

static void write_text(mesh_request *r, const char *text)
{
	assert_int_equal(mesh_request_write(r, text, strlen(text), NULL, patient_ms()), MESH_OK);
}

/* ---- HTTP/1.1 ---- */

static void they_follow_the_body_and_belong_to_one_call(void **state)
{
	mesh_request *r;

	(void)state;
	open_cart("protocol: http\n");
	r = upload(-1);
	assert_int_equal(mesh_request_trailer(r, "X-Before", "a b"), MESH_OK);
	must(r, mesh_call_start(r, NULL, NULL));
	write_text(r, "body");
	assert_true(raw_wait(&n_calls, 1)); /* its header is there, and so is the connection */
	assert_int_equal(mesh_request_trailer(r, "x-sum", "42"), MESH_OK);
	assert_int_equal(mesh_request_trailer(r, "x-none", ""), MESH_OK);
	end_with(r, "4 x-before=a b x-sum=42 x-none=");
	must(r, mesh_call_start(r, NULL, NULL));
	write_text(r, "again");
	end_with(r, "5");
	assert_int_equal(mesh_request_trailer(r, "x-third", "3"), MESH_OK);
	must(r, mesh_call_start(r, NULL, NULL));
	end_with(r, "0 x-third=3");
	mesh_request_free(r);
	close_cart();
}

static void what_would_forge_a_header_or_is_not_valid_is_refused(void **state)
{
	static const char *const bad[][2] = {{"Authorization", "x"}, {"Content-Length", "1"}, {"transfer-encoding", "chunked"}, {"Host", "a"}, {"Cookie", "a"}, {"mesh-peer", "x"}, {"Trailer", "x"}, {"Connection", "close"},
		{"bad name", "x"}, {"", "x"}, {"x-bad", "a\r\nb: c"}, {"x-bad:", "a"}};
	mesh_request *r;

	(void)state;
	open_cart("protocol: http\n");
	r = upload(-1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (mesh_request_trailer(r, bad[i][0], bad[i][1]) != MESH_E_INVALID) {
			fail_msg("\"%s: %s\"", bad[i][0], bad[i][1]);
		}
	}
	assert_int_equal(mesh_request_trailer(NULL, "x", "y"), MESH_E_INVALID);
	assert_int_equal(mesh_request_trailer(r, NULL, "y"), MESH_E_INVALID);
	assert_int_equal(mesh_request_trailer(r, "x", NULL), MESH_E_INVALID);
	must(r, mesh_call_start(r, NULL, NULL));
	end_with(r, "0");
	mesh_request_free(r);
	close_cart();
}

static void there_are_so_many_and_so_large_ones(void **state)
{
	static char large[16 * 1024 + 1];
	mesh_request *r;
	char name[16];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	open_cart("protocol: http\n");
	r = upload(-1);
	assert_int_equal(mesh_request_trailer(r, "x-large", large), MESH_E_TOO_LARGE);
	for (int i = 0; i < 128; i++) {
		(void)snprintf(name, sizeof(name), "x-%d", i);
		assert_int_equal(mesh_request_trailer(r, name, "v"), MESH_OK);
	}
	assert_int_equal(mesh_request_trailer(r, "x-129", "v"), MESH_E_TOO_LARGE);
	must(r, mesh_call_start(r, NULL, NULL));
	end_with(r, "0 x-0=v x-1=v x-2=v x-3=v x-4=v x-5=v x-6=v x-7=v");
	mesh_request_free(r);
	close_cart();
}

static void there_is_a_place_for_them_behind_an_upload_alone_until_its_end(void **state)
{
	mesh_request *r;

	(void)state;
	open_cart("protocol: http\n");
	r = mesh_request_new(cart, "payments", "POST", "/");
	assert_non_null(r);
	assert_int_equal(mesh_request_trailer(r, "x-a", "b"), MESH_E_STATE);
	assert_int_equal(mesh_request_download(r), MESH_OK);
	assert_int_equal(mesh_request_trailer(r, "x-a", "b"), MESH_E_STATE);
	assert_int_equal(mesh_request_upload(r, 3), MESH_OK);
	assert_int_equal(mesh_request_trailer(r, "x-a", "b"), MESH_E_STATE);
	assert_int_equal(mesh_request_upload(r, -1), MESH_OK);
	assert_int_equal(mesh_request_trailer(r, "x-a", "b"), MESH_OK);
	assert_int_equal(mesh_request_upload(r, 3), MESH_E_STATE);
	mesh_request_free(r);
	r = mesh_request_new(cart, "payments", "POST", "/hold");
	assert_non_null(r);
	assert_int_equal(mesh_request_upload(r, -1), MESH_OK);
	must(r, mesh_call_start(r, NULL, NULL));
	assert_int_equal(mesh_request_end(r), MESH_OK);
	assert_int_equal(mesh_request_trailer(r, "x-a", "b"), MESH_E_STATE);
	atomic_store(&n_let, 1);
	must(r, mesh_call_wait(r));
	mesh_request_free(r);
	close_cart();
}

/* ---- HTTP/2 ---- */

static void over_http_2_a_call_that_was_given_some_ends_before_anything_is_sent(void **state)
{
	(void)state;
	open_cart("protocol: http2\n");
	for (int kept = 0; kept < 2; kept++) { /* on a new connection, and on one that is kept */
		mesh_request *r = upload(-1);

		assert_int_equal(mesh_request_trailer(r, "x-sum", "42"), MESH_OK);
		must(r, mesh_call_start(r, NULL, NULL));
		assert_int_equal(mesh_call_wait(r), MESH_E_UNSUPPORTED);
		assert_non_null(strstr(mesh_error_message(mesh_request_error(r)), "protocol: http"));
		assert_int_equal(mesh_error_may_be_processed(mesh_request_error(r)), 0);
		assert_int_equal(atomic_load(&n_calls), kept);
		mesh_request_free(r);
		r = upload(-1);
		must(r, mesh_call_start(r, NULL, NULL));
		end_with(r, "0");
		mesh_request_free(r);
	}
	close_cart();
}

static void over_http_2_one_that_comes_later_is_refused_and_the_call_goes_on(void **state)
{
	mesh_request *r;

	(void)state;
	open_cart("protocol: http2\n");
	r = upload(-1);
	must(r, mesh_call_start(r, NULL, NULL));
	write_text(r, "body");
	assert_true(raw_wait(&n_calls, 1));
	assert_int_equal(mesh_request_trailer(r, "x-sum", "42"), MESH_E_UNSUPPORTED);
	end_with(r, "4");
	mesh_request_free(r);
	close_cart();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_follow_the_body_and_belong_to_one_call),
		cmocka_unit_test(what_would_forge_a_header_or_is_not_valid_is_refused),
		cmocka_unit_test(there_are_so_many_and_so_large_ones),
		cmocka_unit_test(there_is_a_place_for_them_behind_an_upload_alone_until_its_end),
		cmocka_unit_test(over_http_2_a_call_that_was_given_some_ends_before_anything_is_sent),
		cmocka_unit_test(over_http_2_one_that_comes_later_is_refused_and_the_call_goes_on),
	};

	serving_fixture(&s, handle);
	return cmocka_run_group_tests(tests, serving_set_up, serving_tear_down);
}
