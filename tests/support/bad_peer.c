#include "bad_peer.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define BYTES(text) .bytes = (text), .n_bytes = sizeof(text) - 1
#define MORE(text) .more = (text), .n_more = sizeof(text) - 1

/* A ServerHello of RFC 5246 section 7.4.1.3, with renegotiation_info: a version, 32 bytes, no session, a suite, a compression method. */
#define HELLO(version, suite, compression) \
	"\x16\x03\x03\x00\x31\x02\x00\x00\x2d" version "0123456789abcdef0123456789abcdef\x00" suite compression "\x00\x05\xff\x01\x00\x01\x00"
#define GOOD_HELLO HELLO("\x03\x03", "\xc0\x2b", "\x00")
#define ZEROS_64 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define HEAD_200 "HTTP/1.1 200 OK\r\n"

/* What is said goes out in one piece; what is repeated goes on until the client has had enough. */
static void say_it(struct raw_conn *conn)
{
	const struct bad_peer *peer = conn->arg;
	struct pollfd gone = {.fd = conn->fd, .events = POLLRDHUP};
	bool fine = peer->bytes == NULL || raw_send(conn, peer->bytes, peer->n_bytes);

	while (fine && peer->more != NULL) {
		fine = raw_send(conn, peer->more, peer->n_more);
		if (peer->drip_ms > 0) {
			fine = fine && poll(&gone, 1, peer->drip_ms) == 0; /* until the next one is due, or the client has had enough */
		}
	}
	if (fine && peer->stays) {
		raw_hang(conn);
	}
}

static void after_the_hello(struct raw_conn *conn)
{
	char hello[4096];

	if (raw_read(conn, hello, sizeof(hello)) > 0) {
		say_it(conn);
		(void)shutdown(conn->fd, SHUT_WR); /* so that what was said arrives, and no reset in its stead */
		raw_hang(conn);
	}
}

static void resets_after_the_hello(struct raw_conn *conn)
{
	char hello[4096];

	if (raw_read(conn, hello, sizeof(hello)) > 0) {
		say_it(conn);
		raw_reset(conn);
	}
}

static void after_the_request(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		say_it(conn);
	}
}

static void resets_after_the_request(struct raw_conn *conn)
{
	if (raw_request(conn, NULL, 0)) {
		say_it(conn);
		raw_reset(conn);
	}
}

static void at_once(struct raw_conn *conn)
{
	say_it(conn);
	(void)raw_request(conn, NULL, 0);
}

const struct bad_peer bad_tls_peers[] = {
	{"closes after the ClientHello", after_the_hello, "MESH_E_TLS", BYTES("")},
	{"resets after the ClientHello", resets_after_the_hello, "MESH_E_TLS", BYTES("")},
	{"says nothing", after_the_hello, "MESH_E_CONNECT", .stays = true},
	{"talks HTTP without TLS", after_the_hello, "MESH_E_TLS", BYTES("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")},
	{"says garbage", after_the_hello, "MESH_E_TLS", BYTES("\x93\x1a\xee\x07\x55\xc2\x90\x3b\x81\x0c\x44\x6d\xfa\x29\xb0\x13")},
	{"says garbage without end", after_the_hello, "MESH_E_TLS", MORE("\x93\x1a\xee\x07\x55\xc2\x90\x3b\x81\x0c\x44\x6d\xfa\x29\xb0\x13")},
	{"refuses by an alert", after_the_hello, "MESH_E_TLS", BYTES("\x15\x03\x03\x00\x02\x02\x28")},
	{"warns without end", after_the_hello, "MESH_E_TLS", MORE("\x15\x03\x03\x00\x02\x01\x5a")},
	{"speaks SSL 3", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x00", "\xc0\x2b", "\x00"))},
	{"speaks TLS 1.0", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x01", "\xc0\x09", "\x00"))},
	{"speaks TLS 1.1", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x02", "\xc0\x09", "\x00"))},
	{"speaks a version to come", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x09", "\xc0\x2b", "\x00"))},
	{"picks a suite that nobody offered", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x03", "\x00\x05", "\x00"))},
	{"compresses", after_the_hello, "MESH_E_TLS", BYTES(HELLO("\x03\x03", "\xc0\x2b", "\x01"))},
	{"closes after its ServerHello", after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO)},
	{"resets after its ServerHello", resets_after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO)},
	{"stops after its ServerHello", after_the_hello, "MESH_E_CONNECT", BYTES(GOOD_HELLO), .stays = true},
	{"stops within its ServerHello", after_the_hello, "MESH_E_CONNECT", BYTES("\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03"), .stays = true},
	{"sends a certificate without end", after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO "\x16\x03\x03\x00\x40\x0b\xff\xff\xff" "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"),
		MORE("\x16\x03\x03\x00\x40" ZEROS_64)},
	{"sends a certificate byte by byte", after_the_hello, "MESH_E_CONNECT", BYTES(GOOD_HELLO "\x16\x03\x03\x40\x00\x0b\x00\x3f\xfc"), MORE("\0"), .drip_ms = 5},
	{"sends empty records without end", after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO), MORE("\x16\x03\x03\x00\x00")},
	{"sends a record over the bound", after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO "\x16\x03\x03\xff\xff" ZEROS_64), MORE(ZEROS_64)},
	{"sends data before there are keys", after_the_hello, "MESH_E_TLS", BYTES(GOOD_HELLO "\x17\x03\x03\x00\x10HTTP/1.1 200 OK\r")},
	{.name = NULL},
};

const struct bad_peer bad_http_peers[] = {
	{"closes without a word", after_the_request, "MESH_E_RESET", BYTES("")},
	{"resets without a word", resets_after_the_request, "MESH_E_RESET", BYTES("")},
	{"resets within the header", resets_after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Le")},
	{"closes within the header", after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Le")},
	{"resets between header and body", resets_after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Length: 5\r\n\r\n")},
	{"closes between header and body", after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Length: 5\r\n\r\n")},
	{"resets within the body", resets_after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Length: 5\r\n\r\nhel")},
	{"closes within the body", after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Content-Length: 5\r\n\r\nhel")},
	{"resets a body without length", resets_after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "\r\nhel")},
	{"closes within a chunk", after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Transfer-Encoding: chunked\r\n\r\n5\r\nhel")},
	{"closes before the last chunk", after_the_request, "MESH_E_RESET", BYTES(HEAD_200 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")},
	{"says nothing", after_the_request, "MESH_E_TIMEOUT", .stays = true},
	{"stops within the header", after_the_request, "MESH_E_TIMEOUT", BYTES(HEAD_200 "Content-Le"), .stays = true},
	{"stops within the body", after_the_request, "MESH_E_TIMEOUT", BYTES(HEAD_200 "Content-Length: 5\r\n\r\nhel"), .stays = true},
	{"sends its header byte by byte", after_the_request, "MESH_E_TIMEOUT", BYTES(HEAD_200 "A: "), MORE("b"), .drip_ms = 5},
	{"sends its body byte by byte", after_the_request, "MESH_E_TIMEOUT", BYTES(HEAD_200 "Content-Length: 1000000\r\n\r\n"), MORE("b"), .drip_ms = 5},
	{"sends interim responses, one after the other", after_the_request, "MESH_E_TIMEOUT", MORE("HTTP/1.1 102 Processing\r\n\r\n"), .drip_ms = 5},
	{"floods with interim responses", after_the_request, "MESH_E_TOO_LARGE", MORE("HTTP/1.1 102 Processing\r\n\r\n")},
	{"sends fields without end", after_the_request, "MESH_E_TOO_LARGE", BYTES(HEAD_200), MORE("A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n")},
	{"sends a field without end", after_the_request, "MESH_E_TOO_LARGE", BYTES(HEAD_200 "A: "), MORE("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")},
	{"sends a body without end", after_the_request, "MESH_E_TOO_LARGE", BYTES(HEAD_200 "\r\n"), MORE(ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64)},
	{"says no HTTP", after_the_request, "MESH_E_PROTOCOL", BYTES("SSH-2.0-OpenSSH_9.2\r\n")},
	{"says a status line without a number", after_the_request, "MESH_E_PROTOCOL", BYTES("HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n")},
	{"says a status of four digits", after_the_request, "MESH_E_PROTOCOL", BYTES("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")},
	{"says HTTP/9", after_the_request, "MESH_E_PROTOCOL", BYTES("HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n")},
	{"answers in HTTP/2", after_the_request, "MESH_E_PROTOCOL", BYTES("\0\0\0\4\0\0\0\0\0")},
	{"says two lengths", after_the_request, "MESH_E_PROTOCOL", BYTES(HEAD_200 "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")},
	{"says a length that is no number", after_the_request, "MESH_E_PROTOCOL", BYTES(HEAD_200 "Content-Length: 0x5\r\n\r\nhello")},
	{"says a chunk size that is none", after_the_request, "MESH_E_PROTOCOL", BYTES(HEAD_200 "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")},
	{"says a chunk size over any bound", after_the_request, "MESH_E_PROTOCOL", BYTES(HEAD_200 "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n")},
	{"says a chunk that is longer than it says", after_the_request, "MESH_E_PROTOCOL", BYTES(HEAD_200 "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n")},
	{"switches to another protocol", after_the_request, "MESH_E_PROTOCOL", BYTES("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), .stays = true},
	{"answers before it was asked, and wrongly", at_once, "MESH_E_PROTOCOL", BYTES("220 mail.example ESMTP\r\n")},
	{.name = NULL},
};

struct raw_server *bad_peer_new(const struct bad_peer *peer, struct mesh__tls_conf *tls)
{
	return raw_server_new(tls, peer->script, (void *)(uintptr_t)peer);
}
