/* Rules: a header as HTTP/2 brings it is judged as HTTP/1.1's is, and looks the same to a handler (RFC 9113 section 8; THREATS 12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "http/h2_head.h"

enum { MAX_PAIRS = 32, MAX_BODY = 1000 };

#define GET ":method=GET\n:scheme=https\n:path=/\n:authority=a\n"

struct read {
	struct mesh__request_head head;
	struct mesh__field_text fields[MAX_PAIRS];
	char *text;
	char all[1024]; /* "name=value\n" for each field */
};

/* `lines` are "name=value\n"; the memory is as large as it must be and no larger, for the sanitizers to watch. */
static enum mesh__refusal parse(const char *lines, bool too_large, struct read *out)
{
	struct mesh__buf pairs;
	struct mesh__h2_block block = {.too_large = too_large};
	struct mesh__field_text *fields;
	enum mesh__refusal refusal;

	mesh__buf_init(&pairs, mesh__mem_libc(), SIZE_MAX / 2);
	for (const char *at = lines; *at != '\0'; at += strcspn(at, "\n") + 1) {
		size_t name_len = strcspn(at, "=");

		mesh__buf_add(&pairs, at, name_len);
		mesh__buf_chr(&pairs, '\0');
		mesh__buf_add(&pairs, at + name_len + 1, strcspn(at, "\n") - name_len - 1);
		mesh__buf_chr(&pairs, '\0');
		block.n++;
	}
	block.pairs = pairs.data != NULL ? pairs.data : "";
	block.len = pairs.len;
	out->text = malloc(mesh__h2_head_size(&block));
	fields = malloc(block.n * sizeof(*fields) + 1);
	refusal = mesh__h2_head_parse(&block, out->text, fields, MAX_BODY, &out->head);
	mesh__buf_fini(&pairs); /* nothing leads there */
	assert_true(out->head.n_fields <= block.n && block.n <= MAX_PAIRS);
	memcpy(out->fields, fields, out->head.n_fields * sizeof(*fields));
	free(fields);
	out->head.fields = out->fields;
	out->all[0] = '\0';
	for (size_t i = 0; i < out->head.n_fields; i++) {
		size_t len = strlen(out->all);

		(void)snprintf(out->all + len, sizeof(out->all) - len, "%s=%s\n", out->fields[i].name, out->fields[i].value);
	}
	return refusal;
}

static void a_request_has_its_parts(void **state)
{
	static const struct {
		const char *lines, *method, *path, *query, *fields;
	} rows[] = {
		{GET, "GET", "/", "", "host=a\n"},
		{":path=/p/q?r=s?t\n:authority=echo:80\n:scheme=http\n:method=PATCH\naccept=b\n", "PATCH", "/p/q", "r=s?t", "accept=b\nhost=echo:80\n"},
		{":method=GET\n:scheme=HTTPS\n:path=/\nhost=a\n", "GET", "/", "", "host=a\n"},
		{GET "host=A\nx=y\n", "GET", "/", "", "x=y\nhost=a\n"},
		{GET "te=trailers\nempty=\n", "GET", "/", "", "te=trailers\nempty=\nhost=a\n"},
		{GET "cookie=a=b\n", "GET", "/", "", "cookie=a=b\nhost=a\n"},
		{GET "cookie=a=b\nx=y\ncookie=c=d\ncookie=e\n", "GET", "/", "", "cookie=a=b; c=d; e\nx=y\nhost=a\n"},
		{GET "cookie=\ncookie=c\n", "GET", "/", "", "cookie=\ncookie=c\nhost=a\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct read r;

		if (parse(rows[i].lines, false, &r) != MESH__REFUSAL_NONE) {
			fail_msg("row %zu is refused", i);
		}
		assert_string_equal(r.head.method, rows[i].method);
		assert_string_equal(r.head.path, rows[i].path);
		assert_string_equal(r.head.query, rows[i].query);
		assert_string_equal(r.all, rows[i].fields);
		assert_true(r.head.http_2 && r.head.keep_alive && !r.head.chunked);
		free(r.text);
	}
}

static void what_may_be_read_in_two_ways_is_refused(void **state)
{
	static const struct {
		const char *lines;
		enum mesh__refusal refusal;
	} rows[] = {
		{"", MESH__REFUSAL_MALFORMED},
		{":scheme=https\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=GET\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=GET\n:scheme=https\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{GET ":method=PUT\n", MESH__REFUSAL_MALFORMED},
		{GET ":path=/admin\n", MESH__REFUSAL_MALFORMED},
		{GET ":authority=b\n", MESH__REFUSAL_MALFORMED},
		{GET ":scheme=http\n", MESH__REFUSAL_MALFORMED},
		{GET ":peer=x\n", MESH__REFUSAL_MALFORMED},
		{GET ":status=200\n", MESH__REFUSAL_MALFORMED},
		{":method=GET\n:scheme=https\n:path=/\nx=y\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=GET\n:scheme=ftp\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=G T\n:scheme=https\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=\n:scheme=https\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{":method=CONNECT\n:authority=a:1\n", MESH__REFUSAL_TARGET},
		{":method=connect\n:scheme=https\n:path=/\n:authority=a\n", MESH__REFUSAL_MALFORMED},
		{GET "connection=close\n", MESH__REFUSAL_MALFORMED},
		{GET "keep-alive=1\n", MESH__REFUSAL_MALFORMED},
		{GET "proxy-connection=close\n", MESH__REFUSAL_MALFORMED},
		{GET "upgrade=h2c\n", MESH__REFUSAL_MALFORMED},
		{GET "te=gzip\n", MESH__REFUSAL_MALFORMED},
		{GET "te=trailers, gzip\n", MESH__REFUSAL_MALFORMED},
		{GET "X=y\n", MESH__REFUSAL_MALFORMED},
		{GET "a b=c\n", MESH__REFUSAL_MALFORMED},
		{GET "=c\n", MESH__REFUSAL_MALFORMED},
		{GET "x=a\rb\n", MESH__REFUSAL_MALFORMED},
		{GET "x= a\n", MESH__REFUSAL_MALFORMED},
		{GET "cookie=a\x01\n", MESH__REFUSAL_MALFORMED},
		{GET "transfer-encoding=chunked\n", MESH__REFUSAL_FRAMING},
		{GET "content-length=5\ncontent-length=6\n", MESH__REFUSAL_FRAMING},
		{GET "content-length=+5\n", MESH__REFUSAL_FRAMING},
		{GET "content-length=\n", MESH__REFUSAL_FRAMING},
		{GET "content-length=1001\n", MESH__REFUSAL_BODY_TOO_LARGE},
		{GET "host=b\n", MESH__REFUSAL_HOST},
		{":method=GET\n:scheme=https\n:path=/\n", MESH__REFUSAL_HOST},
		{":method=GET\n:scheme=https\n:path=/\nhost=a\nhost=a\n", MESH__REFUSAL_HOST},
		{":method=GET\n:scheme=https\n:path=/\n:authority=u@a\n", MESH__REFUSAL_HOST},
		{":method=GET\n:scheme=https\n:path=/\n:authority=\n", MESH__REFUSAL_HOST},
		{":method=OPTIONS\n:scheme=https\n:path=*\n:authority=a\n", MESH__REFUSAL_TARGET},
		{":method=GET\n:scheme=https\n:path=\n:authority=a\n", MESH__REFUSAL_TARGET},
		{":method=GET\n:scheme=https\n:path=p\n:authority=a\n", MESH__REFUSAL_TARGET},
		{":method=GET\n:scheme=https\n:path=https://a/\n:authority=a\n", MESH__REFUSAL_TARGET},
		{":method=GET\n:scheme=https\n:path=/#f\n:authority=a\n", MESH__REFUSAL_TARGET},
		{":method=GET\n:scheme=https\n:path=/a b\n:authority=a\n", MESH__REFUSAL_TARGET},
		{GET "expect=a miracle\n", MESH__REFUSAL_EXPECTATION},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct read r;
		enum mesh__refusal refusal = parse(rows[i].lines, false, &r);

		if (refusal != rows[i].refusal) {
			fail_msg("row %zu: %s", i, mesh__refusal_text(refusal)->word);
		}
		free(r.text);
	}
}

static void a_length_and_an_expectation_are_read(void **state)
{
	struct read r;

	(void)state;
	assert_int_equal(parse(GET "content-length=1000\nexpect=100-continue\n", false, &r), MESH__REFUSAL_NONE);
	assert_int_equal(r.head.content_length, 1000);
	assert_true(r.head.has_body && r.head.wants_continue);
	free(r.text);
}

static void a_header_with_fields_left_out_is_refused_and_knows_its_method(void **state)
{
	struct read r;

	(void)state;
	assert_int_equal(parse(":method=HEAD\n:scheme=https\n", true, &r), MESH__REFUSAL_HEADER_TOO_LARGE);
	assert_string_equal(r.head.method, "HEAD");
	free(r.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_has_its_parts),
		cmocka_unit_test(what_may_be_read_in_two_ways_is_refused),
		cmocka_unit_test(a_length_and_an_expectation_are_read),
		cmocka_unit_test(a_header_with_fields_left_out_is_refused_and_knows_its_method),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
