/* One HTTP/1.1 connection over TLS whose every byte is the test's: what is sent when, and when what has come is read. Waits have a deadline; the test fails where one passes. One thread at a time. */
#ifndef TESTS_SUPPORT_H1_CLIENT_H
#define TESTS_SUPPORT_H1_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "support/two_meshes.h"
#include "wire/addr.h"

struct tls_client;

struct h1_client {
	int fd;
	struct tls_client *tls;
	struct mesh__buf in, out, plain; /* plain: from `at` on yet to be taken */
	size_t at;
	bool eof, reset;
	int status;
	char head[4096];                 /* the response's status line and fields */
	bool chunked;
	uint64_t left;                   /* of the chunk, or of the body */
	bool ended;
	char trailers[1024];             /* "name: value\r\n" each */
};

/* As `service`, with an identity of its own. The socket takes little ahead of the reader: one that waits is soon felt. */
void h1_open(struct h1_client *c, const struct two_meshes *t, const char *service);

/* At once, with a reset where something was not read; nothing where it was closed. */
void h1_close(struct h1_client *c);

/* Sends all of it, and keeps what comes meanwhile. False when the connection was closed. */
bool h1_send(struct h1_client *c, const void *bytes, size_t len);
bool h1_say(struct h1_client *c, const char *text);

/* A chunk; the last one, with trailers ("name: value\r\n" each, or ""). */
bool h1_send_chunk(struct h1_client *c, const void *bytes, size_t len);
bool h1_send_end(struct h1_client *c, const char *trailers);

/* Sends what the socket takes now: how many of the bytes, 0 for none; -1 when the connection was closed. */
ssize_t h1_try_send(struct h1_client *c, const void *bytes, size_t len);

/* Reads the head of the next response that is none of 1xx: its status; 0 when the connection was closed. */
int h1_head(struct h1_client *c);

/* The next bytes of its body: how many; 0 at its end; -1 when it was cut. */
ssize_t h1_body(struct h1_client *c, char *bytes, size_t size);

/* The rest of the body, as a string of at most 4095 bytes; NULL when it was cut. Static. */
const char *h1_text(struct h1_client *c);

/* Whether something comes within this time. */
bool h1_comes(struct h1_client *c, int timeout_ms);

#endif
