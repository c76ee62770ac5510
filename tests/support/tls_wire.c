#include "support/tls_wire.h"

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
		(void)fprintf(stderr, "tls_wire: %s\n", what);
		abort();
	}
}

static short wait_for(struct tls_wire *w, short events, int timeout_ms)
{
	struct pollfd p = {.fd = w->fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? p.revents : 0;
}

/* How much of the record that comes is still to come, as far as is known. */
static size_t wanted(const struct tls_wire *w)
{
	return w->n_head < sizeof(w->head) ? sizeof(w->head) - w->n_head : w->left;
}

static void follow(struct tls_wire *w, const char *bytes, size_t len)
{
	if (w->n_head < sizeof(w->head)) {
		memcpy(w->head + w->n_head, bytes, len);
		w->n_head += len;
		w->left = (size_t)w->head[3] << 8 | w->head[4];
	} else {
		w->left -= len;
	}
	if (w->n_head == sizeof(w->head) && w->left == 0) {
		w->n_head = 0;
	}
}

/* What has come; false when nothing had. */
static bool take_in(struct tls_wire *w)
{
	char bytes[16 * 1024];
	size_t most = wanted(w) < sizeof(bytes) ? wanted(w) : sizeof(bytes);
	ssize_t n = w->eof ? 0 : recv(w->fd, bytes, most, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return false;
	}
	w->eof = w->eof || n <= 0;
	if (n > 0) {
		if (w->at == w->plain.len) {
			mesh__buf_clear(&w->plain);
			w->at = 0;
		}
		follow(w, bytes, (size_t)n);
		mesh__buf_add(&w->in, bytes, (size_t)n);
		w->eof = tls_client_step(w->tls, &w->in, &w->out, &w->plain) != 0 || w->eof;
	}
	return true;
}

static void push_out(struct tls_wire *w)
{
	ssize_t n = w->eof ? 0 : send(w->fd, w->out.data, w->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		mesh__buf_consume(&w->out, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		while (!w->eof && take_in(w)) { /* an answer may have come before */
		}
		w->eof = true;
	}
}

void tls_wire_step(struct tls_wire *w)
{
	short happened = wait_for(w, (short)(POLLIN | (w->out.len > 0 ? POLLOUT : 0)), (int)patience(WAIT_MS));

	must(happened != 0, "nothing happens");
	if ((happened & (POLLIN | POLLHUP | POLLERR)) != 0) {
		(void)take_in(w);
	}
	if ((happened & POLLOUT) != 0) {
		push_out(w);
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

void tls_wire_open(struct tls_wire *w, const struct two_meshes *t, const char *service, const char *alpn)
{
	struct tls_client_options options = {.roots_pem = t->ca.root, .alpn = alpn};
	char *chain, *key;

	memset(w, 0, sizeof(*w));
	mesh__buf_init(&w->in, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&w->out, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&w->plain, mesh__mem_libc(), SIZE_MAX / 2);
	test_ca_leaf(&t->ca, service, &chain, &key);
	options.chain_pem = chain;
	options.key_pem = key;
	w->tls = tls_client_new(&options);
	mesh__free(chain);
	mesh__free(key);
	w->fd = dial(t);
	(void)tls_client_step(w->tls, &w->in, &w->out, &w->plain);
	while (!tls_client_established(w->tls)) {
		must(!w->eof, "no handshake");
		tls_wire_step(w);
	}
}

void tls_wire_close(struct tls_wire *w)
{
	if (w->tls != NULL) {
		(void)close(w->fd);
		tls_client_free(w->tls);
		mesh__buf_fini(&w->in);
		mesh__buf_fini(&w->out);
		mesh__buf_fini(&w->plain);
		w->tls = NULL;
	}
}

bool tls_wire_send(struct tls_wire *w, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0 && !w->eof) {
		size_t n = len < 64 * 1024 ? len : 64 * 1024;

		must(tls_client_send(w->tls, at, n, &w->out) == 0, "TLS does not send");
		at += n;
		len -= n;
		while (w->out.len > 0 && !w->eof) {
			tls_wire_step(w);
		}
	}
	return !w->eof;
}

ssize_t tls_wire_try_send(struct tls_wire *w, const void *bytes, size_t len)
{
	size_t n = len < 16 * 1024 ? len : 16 * 1024;

	push_out(w);
	(void)take_in(w);
	if (w->eof) {
		return -1;
	}
	if (w->out.len > 0) {
		return 0;
	}
	must(tls_client_send(w->tls, bytes, n, &w->out) == 0, "TLS does not send");
	push_out(w);
	return (ssize_t)n;
}

bool tls_wire_comes(struct tls_wire *w, int timeout_ms)
{
	while (w->at == w->plain.len && !w->eof) {
		if (wait_for(w, POLLIN, timeout_ms) == 0) {
			return false;
		}
		(void)take_in(w);
	}
	return true;
}
