#include "support/h1_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/patience.h"
#include "support/test_ca.h"
#include "support/tls_client.h"

enum { WAIT_MS = 20000, SOCKET_BYTES = 32 * 1024 };

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "h1_client: %s\n", what);
		abort();
	}
}

/* ---- The connection ---- */

static short wait_for(struct h1_client *c, short events, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? p.revents : 0;
}

/* What has come; false when nothing had. */
static bool take_in(struct h1_client *c)
{
	char bytes[16 * 1024];
	ssize_t n = c->eof ? 0 : recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return false;
	}
	c->reset = c->reset || (n < 0 && errno == ECONNRESET);
	c->eof = c->eof || n <= 0;
	if (n > 0) {
		if (c->at == c->plain.len) {
			mesh__buf_clear(&c->plain);
			c->at = 0;
		}
		mesh__buf_add(&c->in, bytes, (size_t)n);
		c->eof = tls_client_step(c->tls, &c->in, &c->out, &c->plain) != 0 || c->eof;
	}
	return true;
}

static void push_out(struct h1_client *c)
{
	ssize_t n = c->eof ? 0 : send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		mesh__buf_consume(&c->out, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		while (!c->eof && take_in(c)) { /* an answer may have come before */
		}
		c->reset = c->reset || errno == ECONNRESET || errno == EPIPE;
		c->eof = true;
	}
}

/* One step in both directions, waiting for either. */
static void step(struct h1_client *c)
{
	short happened = wait_for(c, (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0)), (int)patience(WAIT_MS));

	must(happened != 0, "nothing happens");
	if ((happened & (POLLIN | POLLHUP | POLLERR)) != 0) {
		(void)take_in(c);
	}
	if ((happened & POLLOUT) != 0) {
		push_out(c);
	}
}

static int dial(const struct two_meshes *t)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct mesh__addr address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes = SOCKET_BYTES, on = 1;

	must(fd >= 0, "no socket");
	two_meshes_address(t, &address);
	in.sin_port = htons((uint16_t)address.port);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	must(connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0, "no connection");
	return fd;
}

void h1_open(struct h1_client *c, const struct two_meshes *t, const char *service)
{
	struct tls_client_options options = {.roots_pem = t->ca.root};
	char *chain, *key;

	memset(c, 0, sizeof(*c));
	mesh__buf_init(&c->in, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&c->out, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&c->plain, mesh__mem_libc(), SIZE_MAX / 2);
	test_ca_leaf(&t->ca, service, &chain, &key);
	options.chain_pem = chain;
	options.key_pem = key;
	c->tls = tls_client_new(&options);
	mesh__free(chain);
	mesh__free(key);
	c->fd = dial(t);
	(void)tls_client_step(c->tls, &c->in, &c->out, &c->plain);
	while (!tls_client_established(c->tls)) {
		must(!c->eof, "no handshake");
		step(c);
	}
}

void h1_close(struct h1_client *c)
{
	if (c->tls != NULL) {
		(void)close(c->fd);
		tls_client_free(c->tls);
		mesh__buf_fini(&c->in);
		mesh__buf_fini(&c->out);
		mesh__buf_fini(&c->plain);
		c->tls = NULL;
	}
}

/* ---- Sending ---- */

bool h1_send(struct h1_client *c, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0 && !c->eof) {
		size_t n = len < 64 * 1024 ? len : 64 * 1024;

		must(tls_client_send(c->tls, at, n, &c->out) == 0, "TLS does not send");
		at += n;
		len -= n;
		while (c->out.len > 0 && !c->eof) {
			step(c);
		}
	}
	return !c->eof;
}

bool h1_say(struct h1_client *c, const char *text)
{
	return h1_send(c, text, strlen(text));
}

bool h1_send_chunk(struct h1_client *c, const void *bytes, size_t len)
{
	char size[24];

	(void)snprintf(size, sizeof(size), "%zx\r\n", len);
	return h1_say(c, size) && h1_send(c, bytes, len) && h1_say(c, "\r\n");
}

bool h1_send_end(struct h1_client *c, const char *trailers)
{
	return h1_say(c, "0\r\n") && h1_say(c, trailers) && h1_say(c, "\r\n");
}

ssize_t h1_try_send(struct h1_client *c, const void *bytes, size_t len)
{
	size_t n = len < 16 * 1024 ? len : 16 * 1024;

	push_out(c);
	(void)take_in(c);
	if (c->eof) {
		return -1;
	}
	if (c->out.len > 0) {
		return 0;
	}
	must(tls_client_send(c->tls, bytes, n, &c->out) == 0, "TLS does not send");
	push_out(c);
	return (ssize_t)n;
}

/* ---- The response ---- */

bool h1_comes(struct h1_client *c, int timeout_ms)
{
	while (c->at == c->plain.len && !c->eof) {
		if (wait_for(c, POLLIN, timeout_ms) == 0) {
			return false;
		}
		(void)take_in(c);
	}
	return true;
}

/* Up to and with the line end into line[size], without it; false when the connection was closed. */
static bool read_line(struct h1_client *c, char *line, size_t size)
{
	char *end;

	while ((end = c->at == c->plain.len ? NULL : memchr(c->plain.data + c->at, '\n', c->plain.len - c->at)) == NULL) {
		if (c->eof) {
			return false;
		}
		step(c);
	}
	(void)snprintf(line, size, "%.*s", (int)(end - (c->plain.data + c->at)), c->plain.data + c->at);
	line[strcspn(line, "\r")] = '\0';
	c->at = (size_t)(end + 1 - c->plain.data);
	return true;
}

static bool read_fields(struct h1_client *c, char *fields, size_t size)
{
	char line[1024];
	size_t len = 0;

	fields[0] = '\0';
	do {
		if (!read_line(c, line, sizeof(line))) {
			return false;
		}
		len += (size_t)snprintf(fields + len, size - len, "%s%s", line, line[0] == '\0' ? "" : "\r\n");
		must(len < size, "too long a header");
	} while (line[0] != '\0');
	return true;
}

int h1_head(struct h1_client *c)
{
	const char *length;
	char line[256];

	do {
		if (!read_line(c, line, sizeof(line)) || !read_fields(c, c->head, sizeof(c->head))) {
			return 0;
		}
		must(strncmp(line, "HTTP/1.1 ", 9) == 0, "not HTTP/1.1");
		c->status = (int)strtol(line + 9, NULL, 10);
	} while (c->status < 200);
	c->chunked = strcasestr(c->head, "transfer-encoding: chunked") != NULL;
	length = strcasestr(c->head, "content-length: ");
	c->left = length == NULL ? 0 : strtoull(length + 16, NULL, 10);
	c->ended = !c->chunked && c->left == 0;
	return c->status;
}

/* Goes to the next chunk where one is over; false when the connection was closed. */
static bool next_chunk(struct h1_client *c)
{
	char line[64];

	while (c->chunked && c->left == 0 && !c->ended) {
		if (!read_line(c, line, sizeof(line))) {
			return false;
		}
		if (line[0] == '\0') {
			continue; /* what follows the last one's bytes */
		}
		c->left = strtoull(line, NULL, 16);
		c->ended = c->left == 0;
		if (c->ended && !read_fields(c, c->trailers, sizeof(c->trailers))) {
			c->ended = false;
			return false;
		}
	}
	return true;
}

ssize_t h1_body(struct h1_client *c, char *bytes, size_t size)
{
	size_t n;

	if (!next_chunk(c)) {
		return -1;
	}
	if (c->ended) {
		return 0;
	}
	while (c->at == c->plain.len) {
		if (c->eof) {
			return -1;
		}
		step(c);
	}
	n = c->plain.len - c->at;
	n = n < size ? n : size;
	n = n < c->left ? n : (size_t)c->left;
	memcpy(bytes, c->plain.data + c->at, n);
	c->at += n;
	c->left -= n;
	c->ended = !c->chunked && c->left == 0;
	return (ssize_t)n;
}

const char *h1_text(struct h1_client *c)
{
	static char text[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = h1_body(c, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	text[len] = '\0';
	return n == 0 ? text : NULL;
}
