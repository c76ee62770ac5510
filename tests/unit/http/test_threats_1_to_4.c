/*
 * THREATS 1 to 4 on the server core: each row is sent behind a good request and before one that is smuggled in. The good one is answered; the row is refused with its status and word, counted, and the
 * connection closed; neither it nor what is smuggled behind it reaches the handler. Each row comes in one piece, and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/http_stage.h"

#define HOST "Host: h\r\n"
#define GET "GET /first HTTP/1.1\r\n" HOST
#define POST "POST /first HTTP/1.1\r\n" HOST
#define LENGTH(value) POST "Content-Length:" value "\r\n\r\nabcde"
#define CODING(value) POST "Transfer-Encoding:" value "\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
#define CHUNKS(body) POST "Transfer-Encoding: chunked\r\n\r\n" body
#define FIELD(line) GET line "\r\n\r\n"
#define LINE(line) line "\r\n" HOST "\r\n"
#define WITH_HOST(line) "GET /first HTTP/1.1\r\n" line "\r\n\r\n"

static const char good[] = "GET /echo?good HTTP/1.1\r\n" HOST "\r\n";
static const char smuggled[] = "GET /smuggled HTTP/1.1\r\n" HOST "\r\n";

struct attack {
	int status;
	const char *word;
	const char *bytes;
	size_t len;
};

#define ROW(status, word, bytes) {status, word, bytes, sizeof(bytes) - 1}

/* After a refusal the rest is thrown away, and the other side may have gone. */
static void send_in_steps(int fd, const struct attack *a, size_t step)
{
	for (size_t at = 0; at < a->len; at += step) {
		stage_send(fd, a->bytes + at, a->len - at < step ? a->len - at : step);
	}
	stage_say(fd, smuggled);
}

static void show(const struct attack *a, const char *what)
{
	char row[512];
	size_t n = 0;

	for (size_t i = 0; i < a->len && n + 5 < sizeof(row); i++) {
		bool plain = a->bytes[i] >= ' ' && a->bytes[i] <= '~';

		n += (size_t)snprintf(row + n, sizeof(row) - n, plain ? "%c" : "\\x%02x", (unsigned char)a->bytes[i]);
	}
	fail_msg("%s\nfor: %s\ncame: %s", what, row, stage.seen);
}

static void check_answers(const struct attack *a)
{
	const char *refusal = strstr(stage.seen, "[]HTTP/1.1 ");
	char want[96];

	if (strncmp(stage.seen, "HTTP/1.1 200 OK\r\n", 17) != 0 || refusal == NULL) {
		show(a, "the good request was not answered, or nothing but it");
		return;
	}
	refusal += 2;
	(void)snprintf(want, sizeof(want), "HTTP/1.1 %d ", a->status);
	if (strncmp(refusal, want, strlen(want)) != 0) {
		show(a, want);
	}
	(void)snprintf(want, sizeof(want), "{\"error\":\"%s\",\"message\":", a->word);
	if (strstr(refusal, want) == NULL || strstr(refusal, "\r\nConnection: close\r\n") == NULL) {
		show(a, want);
	}
	if (strstr(refusal, "\nHTTP/1.1 ") != NULL) {
		show(a, "what was smuggled in was answered");
	}
}

static void attack(const struct attack *a, size_t step)
{
	char series[96];
	int fd = stage_dial(), handled = stage.n_requests;
	long counted;

	(void)snprintf(series, sizeof(series), "mesh_requests_refused_total{reason=\"%s\"}", a->word);
	counted = stage_count(series);
	stage_say(fd, good);
	send_in_steps(fd, a, step);
	(void)stage_hear(fd, NULL);
	(void)close(fd);
	check_answers(a);
	if (stage.n_requests != handled + 1) {
		show(a, "a handler ran");
	}
	if (stage_count(series) != counted + 1) {
		show(a, "it was not counted once");
	}
}

static void attack_all(const struct attack *rows, size_t n)
{
	stage_open();
	for (size_t i = 0; i < n; i++) {
		attack(&rows[i], rows[i].len);
		attack(&rows[i], 1);
	}
}

static void threat_1_two_lengths_or_one_that_is_no_number(void **state)
{
	static const struct attack rows[] = {
		ROW(400, "framing", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", POST "TRANSFER-ENCODING: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
		ROW(400, "framing", POST "Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n\r\nabcde"),
		ROW(400, "framing", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
		ROW(400, "framing", LENGTH(" 5, 6")),
		ROW(400, "framing", LENGTH(" 5, 5")),
		ROW(400, "framing", LENGTH(" 5,")),
		ROW(400, "framing", LENGTH(" +5")),
		ROW(400, "framing", LENGTH(" -0")),
		ROW(400, "framing", LENGTH(" -5")),
		ROW(400, "framing", LENGTH(" 0x5")),
		ROW(400, "framing", LENGTH(" 5_0")),
		ROW(400, "framing", LENGTH(" 5 0")),
		ROW(400, "framing", LENGTH(" 5.0")),
		ROW(400, "framing", LENGTH(" 5e0")),
		ROW(400, "framing", LENGTH(" 5;")),
		ROW(400, "framing", LENGTH(" \"5\"")),
		ROW(400, "framing", LENGTH(" \xb2")),
		ROW(400, "framing", LENGTH("")),
		ROW(400, "framing", LENGTH(" \t")),
		ROW(400, "framing", LENGTH(" 18446744073709551616")),
		ROW(400, "framing", LENGTH(" 18446744073709551621")), /* 5, to who does not look */
		ROW(400, "framing", LENGTH(" 99999999999999999999999")),
		ROW(413, "body-too-large", LENGTH(" 18446744073709551615")),
		ROW(413, "body-too-large", LENGTH(" 9223372036854775808")),
		ROW(413, "body-too-large", LENGTH(" 4294967301")),
	};

	(void)state;
	attack_all(rows, MESH__COUNT(rows));
}

static void threat_2_a_coding_that_is_not_just_chunked(void **state)
{
	static const struct attack rows[] = {
		ROW(400, "framing", CODING(" xchunked")),
		ROW(400, "framing", CODING(" chunkedx")),
		ROW(400, "framing", CODING(" chunked, chunked")),
		ROW(400, "framing", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", CODING(" chunked, identity")),
		ROW(400, "framing", CODING(" identity, chunked")),
		ROW(400, "framing", CODING(" gzip, chunked")),
		ROW(400, "framing", CODING(" identity")),
		ROW(400, "framing", CODING(" chunked;q=1")),
		ROW(400, "framing", CODING(" chunked,")),
		ROW(400, "framing", CODING(" ,chunked")),
		ROW(400, "framing", CODING(" \"chunked\"")),
		ROW(400, "framing", CODING(" chunked\xa0")),
		ROW(400, "framing", CODING("")),
		ROW(400, "framing", CODING(" ")),
		ROW(400, "malformed", CODING(" \vchunked")),
		ROW(400, "malformed", CODING(" chunked\v")),
		ROW(400, "malformed", CODING(" chunked\f")),
		ROW(400, "malformed", CODING(" chun\0ked")),
		ROW(400, "malformed", CODING(" chunked\0")),
		ROW(400, "malformed", CODING("\r\n chunked")),
		ROW(400, "malformed", CODING(" chunked\r\n ")),
		ROW(400, "malformed", CODING(" xchunked\r\n\tchunked")),
		ROW(400, "malformed", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "malformed", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "malformed", POST " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", "POST /first HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		ROW(400, "framing", "POST /first HTTP/1.0\r\n" HOST "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
	};

	(void)state;
	attack_all(rows, MESH__COUNT(rows));
}

static void threat_3_chunks_and_lines_that_two_parsers_end_differently(void **state)
{
	static const struct attack rows[] = {
		ROW(400, "chunk", CHUNKS("0x5\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("0X0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5_0\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("_5\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("+5\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("-0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("-1\r\n")),
		ROW(400, "chunk", CHUNKS("10000000000000000\r\n")),
		ROW(400, "chunk", CHUNKS("10000000000000005\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("ffffffffffffffff\r\n")),
		ROW(413, "body-too-large", CHUNKS("fffffffffffffff\r\n")),
		ROW(400, "chunk", CHUNKS("5g\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS(" 5\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5 \r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5 ;a\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5;\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5;a;\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS(";a\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5;a\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5;a\0\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\rabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\r\r\nabcde\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\r\nabcde\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\r\nabcde\r0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\r\nabcdef\r\n0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("5\r\nabcde0\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("0\r\n\n")),
		ROW(400, "chunk", CHUNKS("0\n\n")),
		ROW(400, "chunk", CHUNKS("0\r\nA: b\n\r\n")),
		ROW(400, "chunk", CHUNKS("0\r\nA: b\rC: d\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("0\r\nA: b\r\n c\r\n\r\n")),
		ROW(400, "chunk", CHUNKS("0\r\nA : b\r\n\r\n")),
		ROW(400, "malformed", "GET /first HTTP/1.1\nHost: h\n\n"),
		ROW(400, "malformed", "GET /first HTTP/1.1\rHost: h\r\r"),
		ROW(400, "malformed", "GET /first HTTP/1.1\r\r\n" HOST "\r\n"),
		ROW(400, "malformed", "\n" GET "\r\n"),
		ROW(400, "malformed", "\r" GET "\r\n"),
		ROW(400, "malformed", GET "\n"),
		ROW(400, "malformed", GET "\rX: y\r\n\r\n"),
		ROW(400, "malformed", FIELD("A: b\nC: d")),
		ROW(400, "malformed", FIELD("A: b\rC: d")),
		ROW(400, "malformed", FIELD("A: b\n\r\nC: d")),
		ROW(400, "malformed", FIELD("A: b\0c")),
		ROW(400, "malformed", FIELD("A: \0")),
		ROW(400, "malformed", FIELD("A: \x01")),
		ROW(400, "malformed", FIELD("A: \x1b[2J")),
		ROW(400, "malformed", FIELD("A: \x7f")),
		ROW(400, "malformed", FIELD("A: b\r\n\tc")),
		ROW(400, "malformed", FIELD(" A: b")),
		ROW(400, "malformed", FIELD("A : b")),
		ROW(400, "malformed", FIELD(": b")),
		ROW(400, "malformed", FIELD("A b")),
		ROW(400, "malformed", FIELD("A(: b")),
		ROW(400, "malformed", FIELD("A\0: b")),
		ROW(400, "malformed", FIELD("A\xc3\xa4: b")),
		ROW(400, "malformed", FIELD("\"A\": b")),
		ROW(400, "malformed", FIELD("A/B: c")),
	};

	(void)state;
	attack_all(rows, MESH__COUNT(rows));
}

static void threat_4_a_host_that_is_missing_doubled_or_not_the_targets(void **state)
{
	static const struct attack rows[] = {
		ROW(400, "host", "GET /first HTTP/1.1\r\n\r\n"),
		ROW(400, "host", WITH_HOST("Host: a\r\nHost: b")),
		ROW(400, "host", WITH_HOST("Host: a\r\nhost: a")),
		ROW(400, "host", "GET /first HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
		ROW(400, "host", WITH_HOST("Host:")),
		ROW(400, "host", WITH_HOST("Host: u@h")),
		ROW(400, "host", WITH_HOST("Host: u:p@h")),
		ROW(400, "host", WITH_HOST("Host: h@")),
		ROW(400, "host", WITH_HOST("Host: h/x")),
		ROW(400, "host", WITH_HOST("Host: h?x")),
		ROW(400, "host", WITH_HOST("Host: h#x")),
		ROW(400, "host", WITH_HOST("Host: h h")),
		ROW(400, "host", WITH_HOST("Host: h, g")),
		ROW(400, "host", WITH_HOST("Host: h\\g")),
		ROW(400, "host", WITH_HOST("Host: \xc3\xa4")),
		ROW(400, "host", WITH_HOST("Host: :80")),
		ROW(400, "host", WITH_HOST("Host: h:8x")),
		ROW(400, "host", WITH_HOST("Host: h:-1")),
		ROW(400, "host", WITH_HOST("Host: h:80:80")),
		ROW(400, "host", WITH_HOST("Host: h:65536")),
		ROW(400, "host", WITH_HOST("Host: ::1")),
		ROW(400, "host", WITH_HOST("Host: [::1")),
		ROW(400, "host", WITH_HOST("Host: [::1]80")),
		ROW(400, "host", WITH_HOST("Host: [::1]:80]")),
		ROW(400, "host", WITH_HOST("Host: [h]")),
		ROW(400, "host", WITH_HOST("Host: h]")),
		ROW(400, "host", WITH_HOST("Host: []")),
		ROW(400, "host", WITH_HOST("Host: http://h")),
		ROW(400, "target", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"),
		ROW(400, "target", "CONNECT /first HTTP/1.1\r\n" HOST "\r\n"),
		ROW(400, "target", LINE("OPTIONS * HTTP/1.1")),
		ROW(400, "target", LINE("GET * HTTP/1.1")),
		ROW(400, "target", LINE("GET *?x HTTP/1.1")),
		ROW(400, "host", LINE("GET http://g/first HTTP/1.1")),
		ROW(400, "host", LINE("GET HTTPS://g/first HTTP/1.1")),
		ROW(400, "host", LINE("GET http://h:80/first HTTP/1.1")),
		ROW(400, "host", LINE("GET http://u@h/first HTTP/1.1")),
		ROW(400, "host", LINE("GET http://h.evil/first HTTP/1.1")),
		ROW(400, "host", LINE("GET http:///first HTTP/1.1")),
		ROW(400, "host", "GET http://h/first HTTP/1.1\r\n\r\n"),
		ROW(400, "host", "GET http://h/first HTTP/1.0\r\n\r\n"),
		ROW(400, "target", LINE("GET ftp://h/first HTTP/1.1")),
		ROW(400, "target", LINE("GET ws://h/first HTTP/1.1")),
		ROW(400, "target", LINE("GET h:80 HTTP/1.1")),
		ROW(400, "target", LINE("GET first HTTP/1.1")),
	};

	(void)state;
	attack_all(rows, MESH__COUNT(rows));
}

/* Not on the list, but of its kind. */
static void request_lines_that_are_not_served(void **state)
{
	static const struct attack rows[] = {
		ROW(400, "malformed", LINE("GET  /first HTTP/1.1")),
		ROW(400, "malformed", LINE("GET /first  HTTP/1.1")),
		ROW(400, "malformed", LINE("GET /first HTTP/1.1 ")),
		ROW(400, "malformed", LINE("GET\t/first HTTP/1.1")),
		ROW(400, "malformed", LINE("GET /fi rst HTTP/1.1")),
		ROW(400, "malformed", LINE(" GET /first HTTP/1.1")),
		ROW(400, "malformed", "\r\n " GET "\r\n"),
		ROW(400, "malformed", LINE("GET /fi\0rst HTTP/1.1")),
		ROW(400, "malformed", LINE("GET /\xc3\xa4 HTTP/1.1")),
		ROW(400, "malformed", LINE("GET")),
		ROW(400, "malformed", LINE("GET /first")), /* HTTP/0.9 */
		ROW(400, "malformed", "GET /first\r\n\r\n"),
		ROW(400, "malformed", LINE("GET /first http/1.1")),
		ROW(400, "malformed", LINE("GET /first ICY/1.1")),
		ROW(400, "malformed", LINE("GET /first HTTP/11")),
		ROW(400, "malformed", LINE("GET /first HTTP/1.10")),
		ROW(505, "version", LINE("GET /first HTTP/1.2")),
		ROW(505, "version", LINE("GET /first HTTP/2.0")),
		ROW(505, "version", LINE("GET /first HTTP/0.9")),
		ROW(505, "version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		ROW(501, "method", LINE("BREW /first HTTP/1.1")),
		ROW(501, "method", LINE("get /first HTTP/1.1")),
		ROW(501, "method", LINE("GETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGET /first HTTP/1.1")),
		ROW(501, "upgrade", GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
		ROW(417, "expectation", POST "Expect: miracles\r\nContent-Length: 5\r\n\r\nabcde"),
		ROW(417, "expectation", POST "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde"),
		ROW(400, "target", LINE("GET /a#b HTTP/1.1")),
		ROW(400, "target", LINE("GET /a?b#c HTTP/1.1")),
		ROW(400, "malformed", "\x16\x03\x01\x02"), /* a TLS hello, where plaintext is spoken */
	};

	(void)state;
	attack_all(rows, MESH__COUNT(rows));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threat_1_two_lengths_or_one_that_is_no_number),
		TEST(threat_2_a_coding_that_is_not_just_chunked),
		TEST(threat_3_chunks_and_lines_that_two_parsers_end_differently),
		TEST(threat_4_a_host_that_is_missing_doubled_or_not_the_targets),
		TEST(request_lines_that_are_not_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
