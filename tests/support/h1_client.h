/* HTTP/1.1 over tls_wire.h: what is sent when, and when what has come is read, is the test's. */
#ifndef TESTS_SUPPORT_H1_CLIENT_H
#define TESTS_SUPPORT_H1_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/tls_wire.h"

struct h1_client {
	struct tls_wire wire;
	int status;
	char head[4096];     /* the response's fields, "name: value\r\n" each */
	bool chunked;
	uint64_t left;       /* of the chunk, or of the body */
	bool ended;
	char trailers[1024]; /* as head */
};

void h1_open(struct h1_client *c, const struct two_meshes *t, const char *service);
void h1_close(struct h1_client *c);
bool h1_send(struct h1_client *c, const void *bytes, size_t len);
bool h1_say(struct h1_client *c, const char *text);

/* A chunk; the last one, with trailers ("name: value\r\n" each, or ""). */
bool h1_send_chunk(struct h1_client *c, const void *bytes, size_t len);
bool h1_send_end(struct h1_client *c, const char *trailers);

/* Reads the head of the next response that is none of 1xx: its status; 0 when the connection was closed. */
int h1_head(struct h1_client *c);

/* The next bytes of its body: how many; 0 at its end; -1 when it was cut. */
ssize_t h1_body(struct h1_client *c, char *bytes, size_t size);

/* The rest of the body, as a string of at most 4095 bytes; NULL when it was cut. Static. */
const char *h1_text(struct h1_client *c);

#endif
