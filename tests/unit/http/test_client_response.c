/* What the client makes of responses: the head's rules line by line, then whole responses from a server that breaks them, bounds, and methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_call.h"
#include "http/head.h"
#include "raw_server.h"

static struct mesh__env env;

/* ---- The head, pure ---- */

static int go_on_reading(const char *text, struct mesh__head *head, struct mesh__err *err)
{
	int code = MESH_OK;

	while (code == MESH_OK && *text != '\0') {
		const char *end = strchr(text, '\n');
		size_t len = end != NULL ? (size_t)(end + 1 - text) : strlen(text);
		code = mesh__head_line(head, text, len, err);
		text += len;
	}
	return code;
}

struct rule {
	const char *rule, *text;
	int code;
};

static void judge(const struct rule *row, bool http2)
{
	struct mesh__client_response r;
	struct mesh__head head;
	struct mesh__err err = MESH__NO_ERR;

	mesh__client_response_init(&r, &env, 100);
	mesh__head_init(&head, &r);
	head.http2 = http2;
	if (go_on_reading(row->text, &head, &err) != row->code) {
		fail_msg("%s: %s %s", row->rule, mesh__code_name(err.code), err.message);
	}
	assert_true(row->code != MESH_OK || (head.at == MESH__HEAD_BODY && r.status == 200 && !head.close && mesh__client_response_header(&r, "link") == NULL));
	mesh__client_response_fini(&r);
}

static int read_lines(const char *text, struct mesh__client_response *response, struct mesh__head *head, struct mesh__err *err)
{
	mesh__head_init(head, response);
	return go_on_reading(text, head, err);
}

static void keeps_fields_in_order_with_names_in_lower_case(void **state)
{
	struct mesh__client_response r;
	struct mesh__head head;
	const char *name, *value;

	(void)state;
	mesh__client_response_init(&r, &env, 100);
	assert_int_equal(read_lines("HTTP/1.1 201 Created\r\nX-One: a b \r\nSet-Cookie:1\r\nset-cookie: 2\r\nEmpty:\r\n\r\nX-Trail: kept\r\n", &r, &head, NULL), MESH_OK);
	assert_int_equal(r.status, 201);
	assert_int_equal(r.n_fields, 4);
	assert_string_equal(mesh__client_response_header(&r, "x-one"), "a b");
	assert_string_equal(mesh__client_response_header(&r, "set-cookie"), "1");
	assert_string_equal(mesh__client_response_header(&r, "empty"), "");
	assert_null(mesh__client_response_header(&r, "x-trail"));
	assert_string_equal(mesh__client_response_trailer(&r, "x-trail"), "kept");
	assert_true(mesh__client_response_field(&r, 2, &name, &value));
	assert_string_equal(name, "set-cookie");
	assert_string_equal(value, "2");
	assert_false(mesh__client_response_field(&r, 4, &name, &value));
	assert_false(head.close);
	mesh__client_response_fini(&r);
}

static void judges_a_head_by_the_rules(void **state)
{
	static const struct rule rows[] = {
		{"interim responses leave nothing", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", MESH_OK},
		{"a reason is not needed", "HTTP/1.1 200\r\n\r\n", MESH_OK},
		{"equal lengths twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n", MESH_OK},
		{"differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", MESH_E_PROTOCOL},
		{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", MESH_E_PROTOCOL},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", MESH_E_PROTOCOL},
		{"a length over all bounds", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", MESH_E_PROTOCOL},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", MESH_E_PROTOCOL},
		{"chunks and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", MESH_E_PROTOCOL},
		{"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", MESH_E_PROTOCOL},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", MESH_E_PROTOCOL},
		{"a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", MESH_E_PROTOCOL},
		{"a space before the colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", MESH_E_PROTOCOL},
		{"no colon", "HTTP/1.1 200 OK\r\nA\r\n\r\n", MESH_E_PROTOCOL},
		{"no name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", MESH_E_PROTOCOL},
		{"a control character", "HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n", MESH_E_PROTOCOL},
		{"a bare CR", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", MESH_E_PROTOCOL},
		{"protocols switched", "HTTP/1.1 101 Switching Protocols\r\n\r\n", MESH_E_PROTOCOL},
		{"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", MESH_E_PROTOCOL},
		{"a status over 599", "HTTP/1.1 600 OK\r\n\r\n", MESH_E_PROTOCOL},
		{"another protocol", "ICY 200 OK\r\n\r\n", MESH_E_PROTOCOL},
		{"another version", "HTTP/2 200 OK\r\n\r\n", MESH_E_PROTOCOL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		judge(&rows[i], false);
	}
}

static void over_http2_frames_say_what_lines_say_in_http1(void **state)
{
	static const struct rule rows[] = {
		{"the status line that libcurl makes", "HTTP/2 200 \r\nA: b\r\n\r\n", MESH_OK},
		{"an interim response", "HTTP/2 103 \r\n\r\nHTTP/2 200 \r\n\r\n", MESH_OK},
		{"another version", "HTTP/1.1 200 OK\r\n\r\n", MESH_E_PROTOCOL},
		{"no status", "HTTP/2 \r\n\r\n", MESH_E_PROTOCOL},
		{"a connection's field", "HTTP/2 200 \r\nConnection: close\r\n\r\n", MESH_E_PROTOCOL},
		{"chunks", "HTTP/2 200 \r\nTransfer-Encoding: chunked\r\n\r\n", MESH_E_PROTOCOL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		judge(&rows[i], true);
	}
}

#define HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* THREATS 5, of a response. */
static void threat_5_trailers_are_few_and_forge_nothing(void **state)
{
	static const struct {
		const char *rule, *text;
		const char *kept; /* "name=value;", or NULL: the response is malformed */
	} rows[] = {
		{"in order, names in lower case", HEAD "Grpc-Status: 0\r\nB:  x y \r\nB:\r\n\r\n", "grpc-status=0;b=x y;b=;"},
		{"framing and identity are not for trailers", HEAD "Content-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\nMesh-Not-Processed: 1\r\nA: b\r\n\r\n", "a=b;"},
		{"an interim response's fields are not kept", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" HEAD "A: b\r\n", "a=b;"},
		{"no colon", HEAD "grpc-status 0\r\n", NULL},
		{"no name", HEAD ": 0\r\n", NULL},
		{"a space before the colon", HEAD "a : 0\r\n", NULL},
		{"a folded line", HEAD "a: 0\r\n b\r\n", NULL},
		{"a control character", HEAD "a: 0\x01\r\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__client_response r;
		struct mesh__head head;
		struct mesh__err err = MESH__NO_ERR;
		const char *name, *value;
		char kept[256] = "";

		mesh__client_response_init(&r, &env, 100);
		if (read_lines(rows[i].text, &r, &head, &err) != (rows[i].kept != NULL ? MESH_OK : MESH_E_PROTOCOL)) {
			fail_msg("%s: %s %s", rows[i].rule, mesh__code_name(err.code), err.message);
		}
		for (size_t k = 0; mesh__client_response_trailer_field(&r, k, &name, &value); k++) {
			(void)snprintf(kept + strlen(kept), sizeof(kept) - strlen(kept), "%s=%s;", name, value);
		}
		if (rows[i].kept != NULL && strcmp(kept, rows[i].kept) != 0) {
			fail_msg("%s: %s", rows[i].rule, kept);
		}
		mesh__client_response_clear(&r);
		assert_false(mesh__client_response_trailer_field(&r, 0, &name, &value));
		mesh__client_response_fini(&r);
	}
}

static void threat_5_trailers_are_bounded(void **state)
{
	static const size_t sizes[] = {1, 200}; /* of a value: too many, and too large */

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(sizes); i++) {
		struct mesh__client_response r;
		struct mesh__head head;
		struct mesh__err err = MESH__NO_ERR;
		char line[256];
		int code, n = 0;

		mesh__client_response_init(&r, &env, 100);
		code = read_lines(HEAD, &r, &head, &err);
		for (; code == MESH_OK && n < 1000; n++) {
			(void)snprintf(line, sizeof(line), "t: %0*d\r\n", (int)sizes[i], n);
			code = mesh__head_line(&head, line, strlen(line), &err);
		}
		assert_int_equal(code, MESH_E_TOO_LARGE);
		assert_true(n <= MESH__TRAILERS_MAX + 1 && r.trailers.text.len <= MESH__TRAILERS_MAX_BYTES);
		assert_non_null(strstr(err.message, "trailers"));
		mesh__client_response_fini(&r);
	}
}

static void knows_whether_the_connection_goes_on(void **state)
{
	static const struct {
		const char *text;
		bool close;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", true},
		{"HTTP/1.1 200 OK\r\nConnection: x, Close ,y\r\n\r\n", true},
		{"HTTP/1.1 200 OK\r\nConnection: closed\r\n\r\n", false},
		{"HTTP/1.0 200 OK\r\n\r\n", true},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: a close\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__client_response r;
		struct mesh__head head;

		mesh__client_response_init(&r, &env, 100);
		assert_int_equal(read_lines(rows[i].text, &r, &head, NULL), MESH_OK);
		assert_int_equal(head.close, rows[i].close);
		mesh__client_response_fini(&r);
	}
}

/* ---- Whole responses ---- */

/* conn->arg is the response's text. */
static void says_its_text(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		(void)raw_say(conn, conn->arg);
	}
}

static struct mesh__pool *pool_of(struct raw_server *server)
{
	struct mesh__pool_options options;
	struct mesh__pool *pool = NULL;

	mesh__pool_options_default(&options);
	raw_server_address(server, &options.target.address);
	(void)snprintf(options.target.host, sizeof(options.target.host), "web.example");
	options.target.insecure_plaintext = true;
	assert_int_equal(mesh__pool_new(&env, &options, &pool, NULL), MESH_OK);
	return pool;
}

static void call_server_that_says(char *text, struct client_call *call)
{
	struct raw_server *server = raw_server_new(NULL, says_its_text, text);
	struct mesh__pool *pool = pool_of(server);

	(void)client_call_run(call, pool);
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static void a_response_is_whole_or_an_error(void **state)
{
	static const struct {
		const char *text, *method;
		int code, status;
		const char *body;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", MESH_OK, 200, "ok"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "POST", MESH_OK, 200, "ok"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nT: x\r\n\r\n", "GET", MESH_OK, 200, "ok"},
		{"HTTP/1.1 200 OK\r\n\r\nuntil the end", "GET", MESH_OK, 200, "until the end"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", "HEAD", MESH_OK, 200, ""},
		{"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", MESH_OK, 204, ""},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 999999999\r\n\r\n", "GET", MESH_OK, 304, ""},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "GET", MESH_OK, 302, ""},
		{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nzz", "GET", MESH_OK, 200, "zz"},
		{"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", "GET", MESH_OK, 500, "no"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "GET", MESH_E_RESET, 0, NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", "GET", MESH_E_RESET, 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Le", "GET", MESH_E_RESET, 0, NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"SSH-2.0-OpenSSH_9.2\r\n", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"hello\r\n", "GET", MESH_E_PROTOCOL, 0, NULL},
		{"", "GET", MESH_E_RESET, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct client_call call;
		char *text = strdup(rows[i].text);

		client_call_init(&call, rows[i].method, NULL);
		call_server_that_says(text, &call);
		if (call.code != rows[i].code) {
			fail_msg("row %zu: %s: %s", i, mesh__code_name(call.code), call.err.message);
		}
		assert_int_equal(call.result.sent, MESH__SENT_MAYBE);
		if (rows[i].code == MESH_OK) {
			assert_int_equal(call.response.status, rows[i].status);
			assert_string_equal(call.response.body.data != NULL ? call.response.body.data : "", rows[i].body);
		} else {
			assert_non_null(strstr(call.err.message, "web.example at 127.0.0.1:"));
		}
		client_call_fini(&call);
		free(text);
	}
}

static void responses_are_bounded(void **state)
{
	static char text[1 << 18];
	static const struct {
		const char *what, *head;
		const char *unit; /* repeated */
		size_t times;
		int code;
	} rows[] = {
		{"a length over the bound", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "", 0, MESH_E_TOO_LARGE},
		{"bytes over the bound", "HTTP/1.1 200 OK\r\n\r\n", "0123456789", 101, MESH_E_TOO_LARGE},
		{"bytes at the bound", "HTTP/1.1 200 OK\r\n\r\n", "0123456789", 100, MESH_OK},
		{"too many fields", "HTTP/1.1 200 OK\r\n", "A: b\r\n", 257, MESH_E_TOO_LARGE},
		{"too large a header", "HTTP/1.1 200 OK\r\n", "A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
			"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 250, MESH_E_TOO_LARGE},
		{"too large a line", "HTTP/1.1 200 OK\r\nA: ", "0123456789", 15000, MESH_E_TOO_LARGE},
		{"interim responses without end", "", "HTTP/1.1 102 Processing\r\n\r\n", 4000, MESH_E_TOO_LARGE},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct client_call call;
		size_t len = strlen(rows[i].head), unit = strlen(rows[i].unit);

		memcpy(text, rows[i].head, len + 1);
		for (size_t n = 0; n < rows[i].times; n++, len += unit) {
			memcpy(text + len, rows[i].unit, unit + 1);
		}
		client_call_init(&call, "GET", NULL);
		call.request.max_response_bytes = 1000;
		call_server_that_says(text, &call);
		if (call.code != rows[i].code) {
			fail_msg("%s: %s: %s", rows[i].what, mesh__code_name(call.code), call.err.message);
		}
		client_call_fini(&call);
	}
}

/* ---- What is sent ---- */

struct echo {
	char request[4096];
};

static void keeps_the_request(struct raw_conn *conn)
{
	struct echo *echo = conn->arg;

	while (raw_request(conn, echo->request, sizeof(echo->request))) {
		if (!raw_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) {
			return;
		}
	}
}

static void sends_the_request_as_given_and_nothing_else(void **state)
{
	static const struct mesh__client_field fields[] = {{"X-Empty", ""}, {"Accept", "text/plain"}, {"traceparent", "00-1"}};
	static const struct {
		const char *method, *body;
		size_t n_fields;
		const char *sent;
	} rows[] = {
		{"GET", NULL, 0, "GET /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\n\r\n"},
		{"POST", "pay", 0, "POST /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\nContent-Length: 3\r\n\r\npay"},
		{"POST", NULL, 0, "POST /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\nContent-Length: 0\r\n\r\n"},
		{"GET", NULL, 3, "GET /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\nX-Empty:\r\nAccept: text/plain\r\ntraceparent: 00-1\r\n\r\n"},
		{"GET", "q", 0, "GET /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\nContent-Length: 1\r\n\r\nq"},
		{"HEAD", NULL, 0, "HEAD /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\n\r\n"},
		{"DELETE", NULL, 0, "DELETE /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\n\r\n"},
		{"PUT", "", 0, "PUT /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\nContent-Length: 0\r\n\r\n"},
		{"GET", NULL, 0, "GET /a/../b//c?d=%2f HTTP/1.1\r\nHost: web.example\r\n\r\n"},
	};
	static struct echo echo;
	struct raw_server *server = raw_server_new(NULL, keeps_the_request, &echo);
	struct mesh__pool *pool = pool_of(server);

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct client_call call;

		client_call_init(&call, rows[i].method, rows[i].body);
		call.request.target = "/a/../b//c?d=%2f";
		call.request.fields = fields;
		call.request.n_fields = rows[i].n_fields;
		if (client_call_run(&call, pool) != MESH_OK) {
			fail_msg("row %zu: %s", i, call.err.message);
		}
		assert_string_equal(echo.request, rows[i].sent);
		assert_int_equal(call.result.reused, i > 0);
		client_call_fini(&call);
	}
	mesh__pool_unref(pool);
	raw_server_free(server);
}

static void no_proxy_of_the_environment_is_used(void **state)
{
	struct client_call call;
	char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	(void)state;
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
	client_call_init(&call, "GET", NULL);
	call_server_that_says(text, &call);
	assert_int_equal(call.code, MESH_OK);
	client_call_fini(&call);
	(void)unsetenv("http_proxy");
	(void)unsetenv("ALL_PROXY");
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	return mesh__client_init(NULL);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	static const struct {
		const char *value; /* NULL: no such field */
		int64_t ms;
	} rows[] = {
		{NULL, -1}, {"", -1}, {"0", 0}, {"1", 1000}, {"120", 120000}, {"86400", 86400000}, {"86401", 86400000}, {"20241106", 86400000}, {"99999999999999999999", 86400000},
		{"-1", -1}, {"soon", -1}, {"1.5 s", -1},
		{"Sun, 06 Nov 1994 08:49:47 GMT", 9500}, {"Sunday, 06-Nov-94 08:49:47 GMT", 9500}, {"Sun Nov  6 08:49:47 1994", 9500}, /* the three forms of RFC 9110 section 5.6.7 */
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0}, {"Sun, 06 Nov 1994 08:49:30 GMT", 0}, {"Thu, 01 Jan 1970 00:00:00 GMT", 0}, {"Tue, 08 Nov 1994 08:49:37 GMT", 86400000}, {"Fri, 31 Dec 9999 23:59:59 GMT", 86400000},
	};
	const int64_t wall_ms = INT64_C(784111777500); /* Sun, 06 Nov 1994 08:49:37.5 GMT */

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__client_response r;
		struct mesh__head head;
		char text[128];
		int64_t ms;
		mesh__client_response_init(&r, &env, 100);
		(void)snprintf(text, sizeof(text), "HTTP/1.1 503 x\r\n%s%s\r\n\r\n", rows[i].value == NULL ? "X: y" : "Retry-After: ", rows[i].value == NULL ? "" : rows[i].value);
		assert_int_equal(read_lines(text, &r, &head, NULL), MESH_OK);
		ms = mesh__client_response_retry_after_ms(&r, wall_ms);
		if (ms != rows[i].ms) {
			fail_msg("\"%s\" is %lld ms, not %lld", rows[i].value == NULL ? "(none)" : rows[i].value, (long long)ms, (long long)rows[i].ms);
		}
		mesh__client_response_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_fields_in_order_with_names_in_lower_case),
		cmocka_unit_test(judges_a_head_by_the_rules),
		cmocka_unit_test(over_http2_frames_say_what_lines_say_in_http1),
		cmocka_unit_test(threat_5_trailers_are_few_and_forge_nothing),
		cmocka_unit_test(threat_5_trailers_are_bounded),
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
		cmocka_unit_test(knows_whether_the_connection_goes_on),
		cmocka_unit_test(a_response_is_whole_or_an_error),
		cmocka_unit_test(responses_are_bounded),
		cmocka_unit_test(sends_the_request_as_given_and_nothing_else),
		cmocka_unit_test(no_proxy_of_the_environment_is_used),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
