/*
 * HTTP/2 over tls_wire.h, with several streams on one connection: whole bodies are sent within the server's windows, what comes is counted and checked (serving_is_filled()), and a stream whose reader is slow gives no window back.
 */
#ifndef TESTS_SUPPORT_H2_CALLER_H
#define TESTS_SUPPORT_H2_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/h2_frames.h"
#include "support/tls_wire.h"

enum { H2_CALLER_STREAMS = 8 };

struct h2_caller_stream {
	int64_t window;   /* what the server lets us send */
	int status;       /* 0: none yet */
	size_t n_body;    /* bytes that came */
	bool intact;      /* as serving_fill() fills */
	bool slow;        /* gives no window back; set to false, it gives what it owes at the next step */
	size_t owed;
	bool ended;
	bool was_reset;
	uint32_t error;   /* of the reset */
	char text[256];   /* the beginning of the body */
	char lines[1024]; /* fields and trailers, "name: value\n" each */
};

struct h2_caller {
	struct tls_wire wire;
	struct h2_inflater *inflater;
	struct mesh__buf out;
	int64_t window, first_window;
	size_t owed;
	uint32_t n_streams;
	struct h2_caller_stream streams[H2_CALLER_STREAMS];
	bool goaway;
	bool goaway_apart; /* it began a TLS record, and all before it had been taken */
	uint32_t last; /* the last stream that it lets finish */
};

void h2_caller_open(struct h2_caller *c, const struct two_meshes *t, const char *service);
void h2_caller_close(struct h2_caller *c);

/* Begins a request on a new stream; its number from 0. */
uint32_t h2_caller_request(struct h2_caller *c, const char *method, const char *path, bool ended);

/* Sends DATA within the windows, and takes what comes meanwhile. False when the stream or the connection has ended. */
bool h2_caller_send(struct h2_caller *c, uint32_t n, const void *bytes, size_t len);
/* The end of the request; trailers as lines "name: value\n", or NULL. */
void h2_caller_end(struct h2_caller *c, uint32_t n, const char *trailers);
void h2_caller_reset(struct h2_caller *c, uint32_t n, uint32_t error);

/* Takes at least one frame, waiting for it; false when the connection has ended. */
bool h2_caller_step(struct h2_caller *c);

/* Until the response's head, or its end, or a reset; false when the connection ended before. */
bool h2_caller_await_head(struct h2_caller *c, uint32_t n);
bool h2_caller_await_end(struct h2_caller *c, uint32_t n);

#endif
