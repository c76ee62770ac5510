#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/h1.h"
#include "http/h1_byte.h"
#include "http/h1_chunks.h"
#include "http/h1_scan.h"

#define HOST "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

enum { MAX_BYTES = 4096, MAX_FIELDS = 16, MAX_BODY = 1000 };

/* A header as the server takes it: scanned in pieces of `step` bytes, then parsed. */
static struct {
	char text[MAX_BYTES + 1];
	struct mesh__field_text fields[MAX_FIELDS];
	struct mesh__request_head head;
} T;

static enum mesh__refusal take(const char *request, size_t len, size_t step)
{
	struct mesh__h1_scan scan;
	enum mesh__refusal refusal = MESH__REFUSAL_NONE;
	size_t used = 0, at = 0, skip;
	bool done = false;

	mesh__h1_scan_init(&scan, MAX_BYTES, MAX_FIELDS);
	while (refusal == MESH__REFUSAL_NONE && !done && at < len) {
		refusal = mesh__h1_scan(&scan, request + at, len - at < step ? len - at : step, &used, &done);
		at += used;
	}
	if (refusal != MESH__REFUSAL_NONE) {
		return refusal;
	}
	assert_true(done);
	skip = strspn(request, "\r\n");
	memset(&T, 0, sizeof(T));
	memcpy(T.text, request + skip, at - skip);
	return mesh__h1_parse(T.text, at - skip, T.fields, scan.n_fields, MAX_BODY, &T.head);
}

static const char *word(enum mesh__refusal refusal)
{
	return mesh__refusal_text(refusal)->word;
}

/* A request line and fields, without the last empty line, and the word of the refusal ("" when it is taken). */
struct row {
	const char *request, *word;
};

static void judge(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[1024];
		int len = snprintf(text, sizeof(text), "%s\r\n", rows[i].request);

		for (size_t step = 1; step < 1000; step += 200) {
			enum mesh__refusal refusal = take(text, (size_t)len, step);

			if (strcmp(word(refusal), rows[i].word) != 0) {
				fail_msg("row %zu is \"%s\", not \"%s\": %s", i, word(refusal), rows[i].word, rows[i].request);
			}
		}
	}
}

/* What is refused is in test_threats_1_to_4.c, on the server core; this is what stands beside it and is taken. */
static void takes_what_has_one_reading(void **state)
{
	static const struct row rows[] = {
		{GET "Content-Length: 5\r\n", ""},
		{GET "Content-Length: 0\r\n", ""},
		{GET "Content-Length: 005\r\n", ""},
		{GET "Content-Length: 00000000000000000005\r\n", ""},
		{GET "Content-Length:  5 \r\n", ""},
		{GET "Content-Length: 1000\r\n", ""},
		{GET "Content-Length: 1001\r\n", "body-too-large"},
		{GET "Transfer-Encoding: chunked\r\n", ""},
		{GET "Transfer-Encoding: Chunked\r\n", ""},
		{GET "A: \xc3\xa9 \x80\r\n", ""},
		{GET "A:\r\nB: \r\n", ""},
		{"\r\n\r\n" GET, ""},
		{"GET http://h/a HTTP/1.1\r\n" HOST, ""},
		{"GET http://H HTTP/1.1\r\n" HOST, ""},
		{"GET http://h?a HTTP/1.1\r\n" HOST, ""},
		{"GET / HTTP/1.0\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: h:8080\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: h:\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n", ""},
	};

	(void)state;
	judge(rows, MESH__COUNT(rows));
}

static void meets_no_expectation_and_no_upgrade_but_100_continue(void **state)
{
	static const struct row rows[] = {
		{GET "Expect: 100-continue\r\n", ""},
		{GET "Expect: 100-Continue\r\nContent-Length: 1\r\n", ""},
		{GET "Expect: 200-ok\r\n", "expectation"},
		{GET "Expect: 100-continue\r\nExpect: 100-continue\r\n", "expectation"},
		{"GET / HTTP/1.0\r\nExpect: 200-ok\r\n", ""},
		{GET "Connection: Upgrade\r\nUpgrade: websocket\r\n", "upgrade"},
		{GET "Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n", "upgrade"},
		{GET "Upgrade: websocket\r\n", ""},
	};

	(void)state;
	judge(rows, MESH__COUNT(rows));
}

static void gives_the_parts(void **state)
{
	static const char text[] = "POST /a%20b/?x=1&y=?2 HTTP/1.1\r\nHOST: h\r\nX-Two:\t a b \t\r\nEmpty:\r\nContent-Length: 12\r\nExpect: 100-continue\r\nConnection: foo, Close\r\n\r\n";

	(void)state;
	assert_int_equal(take(text, sizeof(text) - 1, 3), MESH__REFUSAL_NONE);
	assert_string_equal(T.head.method, "POST");
	assert_string_equal(T.head.path, "/a%20b/");
	assert_string_equal(T.head.query, "x=1&y=?2");
	assert_int_equal(T.head.n_fields, 6);
	assert_string_equal(T.head.fields[0].name, "host");
	assert_string_equal(T.head.fields[1].name, "x-two");
	assert_string_equal(T.head.fields[1].value, "a b");
	assert_string_equal(T.head.fields[2].value, "");
	assert_int_equal(T.head.content_length, 12);
	assert_true(T.head.has_body && T.head.wants_continue && !T.head.keep_alive && !T.head.chunked);
	assert_int_equal(take("GET http://h HTTP/1.1\r\n" HOST "\r\n", 34, 100), MESH__REFUSAL_NONE);
	assert_string_equal(T.head.path, "/");
	assert_true(T.head.keep_alive && !T.head.has_body);
}

static void threat_7_bounds_the_header(void **state)
{
	static char text[MAX_BYTES + 100];
	size_t at;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_string_equal(word(take(text, sizeof(text), 1000)), "target-too-long");
	memcpy(text, GET "X: ", strlen(GET "X: "));
	assert_string_equal(word(take(text, sizeof(text), 1000)), "header-too-large");
	at = (size_t)snprintf(text, sizeof(text), "%s", GET);
	for (int i = 0; i < MAX_FIELDS; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "A: b\r\n");
	}
	assert_string_equal(word(take(text, at, 1000)), "header-too-large");
}

/* ---- Chunks ---- */

static enum mesh__refusal decode(const char *text, size_t step, struct mesh__buf *body, size_t *used, bool *done)
{
	struct mesh__h1_chunks chunks;
	enum mesh__refusal refusal = MESH__REFUSAL_NONE;
	size_t len = strlen(text), n;

	mesh__h1_chunks_init(&chunks, NULL);
	*used = 0;
	*done = false;
	while (refusal == MESH__REFUSAL_NONE && !*done && *used < len) {
		n = 0;
		refusal = mesh__h1_chunks(&chunks, text + *used, len - *used < step ? len - *used : step, body, &n, done);
		*used += n;
	}
	return refusal;
}

static void threat_3_decodes_chunks_strictly(void **state)
{
	static const struct {
		const char *text, *word, *body;
		bool done;
	} rows[] = {
		{"5\r\nhello\r\n0\r\n\r\n", "", "hello", true},
		{"5\r\nhello\r\n00\r\n\r\nGET", "", "hello", true},
		{"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "", "01234567890123456789", true},
		{"2;a=b;c\r\nhi\r\n0;d=\"e\"\r\n\r\n", "", "hi", true},
		{"2\r\nhi\r\n0\r\nHost: x\r\nContent-Length: 7\r\nAuthorization:\r\n\r\n", "", "hi", true},
		{"0\r\n\r\n", "", "", true},
		{"5\r\nhel", "", "hel", false},
		{"\r\n", "chunk", "", false},
		{"0x5\r\n", "chunk", "", false},
		{"5_0\r\n", "chunk", "", false},
		{"+5\r\n", "chunk", "", false},
		{"-1\r\n", "chunk", "", false},
		{" 5\r\n", "chunk", "", false},
		{"5 \r\n", "chunk", "", false},
		{"5;\r\n", "chunk", "", false},
		{"5;a;\r\n", "chunk", "", false},
		{"5; a\r\n", "chunk", "", false},
		{"5\n", "chunk", "", false},
		{"5\rh", "chunk", "", false},
		{"2;a\nb\r\nhi", "chunk", "", false},
		{"2\r\nhi\n0\r\n\r\n", "chunk", "hi", false},
		{"2\r\nhi0\r\n\r\n", "chunk", "hi", false},
		{"2\r\nhi\rX", "chunk", "hi", false},
		{"0\r\n\n", "chunk", "", false},
		{"0\r\n folded\r\n\r\n", "chunk", "", false},
		{"0\r\nA : b\r\n\r\n", "chunk", "", false},
		{"0\r\nA: b\n\r\n", "chunk", "", false},
		{"10000000000000000\r\n", "chunk", "", false},
		{"ffffffffffffffff\r\n", "chunk", "", false},
		{"40\r\n", "", "", false},
		{"41\r\n", "body-too-large", "", false},
		{"20\r\nabcdefghabcdefghabcdefghabcdefgh\r\n21\r\n", "body-too-large", "abcdefghabcdefghabcdefghabcdefgh", false},
		{"fffffffffffffff\r\n", "body-too-large", "", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		for (size_t step = 1; step < 100; step += 3) {
			struct mesh__buf body;
			size_t used;
			bool done;
			enum mesh__refusal refusal;

			mesh__buf_init(&body, mesh__mem_libc(), 64);
			refusal = decode(rows[i].text, step, &body, &used, &done);
			if (strcmp(word(refusal), rows[i].word) != 0 || done != rows[i].done || strcmp(body.data != NULL ? body.data : "", rows[i].body) != 0) {
				fail_msg("row %zu in steps of %zu: \"%s\", done %d, \"%s\"", i, step, word(refusal), done, body.data);
			}
			mesh__buf_fini(&body);
		}
	}
}

static void leaves_what_follows_the_last_chunk(void **state)
{
	struct mesh__buf body;
	size_t used;
	bool done;

	(void)state;
	mesh__buf_init(&body, mesh__mem_libc(), 64);
	assert_int_equal(decode("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1", 1000, &body, &used, &done), MESH__REFUSAL_NONE);
	assert_int_equal(used, 11);
	mesh__buf_fini(&body);
}

static void bounds_extensions_and_trailers(void **state)
{
	static char text[40 * 1024];
	static const char *const heads[] = {"1;", "0\r\nA: "};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(heads); i++) {
		struct mesh__buf body;
		size_t used;
		bool done;

		memset(text, 'x', sizeof(text) - 1);
		memcpy(text, heads[i], strlen(heads[i]));
		mesh__buf_init(&body, mesh__mem_libc(), 64);
		assert_string_equal(word(decode(text, 1000, &body, &used, &done)), "chunk");
		assert_true(used < 20 * 1024);
		mesh__buf_fini(&body);
	}
}

/* RFC 9110 section 5.6.2 (token), 5.5 (field-value); RFC 9112 section 3 (request-line). */
static void each_byte_is_of_the_grammars_classes(void **state)
{
	(void)state;
	for (int i = 0; i < 256; i++) {
		bool alnum = (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z');
		bool token = alnum || (i != 0 && strchr("!#$%&'*+-.^_`|~", i) != NULL);
		char c = (char)i;

		assert_int_equal(mesh__byte_is_token(c), token);
		assert_int_equal(mesh__byte_is_value(c), i == '\t' || (i >= ' ' && i != 0x7f));
		assert_int_equal(mesh__byte_is(c, MESH__BYTE_LINE), i >= ' ' && i < 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_of_the_grammars_classes),
		cmocka_unit_test(takes_what_has_one_reading),
		cmocka_unit_test(meets_no_expectation_and_no_upgrade_but_100_continue),
		cmocka_unit_test(gives_the_parts),
		cmocka_unit_test(threat_7_bounds_the_header),
		cmocka_unit_test(threat_3_decodes_chunks_strictly),
		cmocka_unit_test(leaves_what_follows_the_last_chunk),
		cmocka_unit_test(bounds_extensions_and_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
