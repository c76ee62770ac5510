/*
 * One TLS connection to "payments" of two_meshes whose every byte is the test's: what is sent when, and when what has come is read. Waits have a deadline; the test fails where one passes. One thread at a time.
 */
#ifndef TESTS_SUPPORT_TLS_WIRE_H
#define TESTS_SUPPORT_TLS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "support/two_meshes.h"

struct tls_client;

struct tls_wire {
	int fd;
	struct tls_client *tls;          /* NULL: closed */
	struct mesh__buf in, out, plain; /* plain: from `at` on yet to be taken */
	size_t at;
	unsigned char head[5];           /* of the record that comes: no read goes beyond it, so that what came in one can be told from what came in two */
	size_t n_head, left;
	bool eof;                        /* the other end has closed it, or it broke */
};

/* As `service`, with an identity of its own; `alpn` as of tls_client.h. The socket takes little ahead of the reader: one that waits is soon felt. */
void tls_wire_open(struct tls_wire *w, const struct two_meshes *t, const char *service, const char *alpn);

/* At once, with a reset where something was not read; nothing where it was closed. */
void tls_wire_close(struct tls_wire *w);

/* Sends all of it, and keeps what comes meanwhile. False when the connection was closed. */
bool tls_wire_send(struct tls_wire *w, const void *bytes, size_t len);

/* Sends what the socket takes now: how many of the bytes, 0 for none; -1 when the connection was closed. */
ssize_t tls_wire_try_send(struct tls_wire *w, const void *bytes, size_t len);

/* Waits until something happens: bytes came, or went, or it was closed. */
void tls_wire_step(struct tls_wire *w);

/* Whether something is there to be taken, or the end, within this time. */
bool tls_wire_comes(struct tls_wire *w, int timeout_ms);

#endif
