/*
 * The other end of one HTTP/2 connection of the fuzzed server: what it says, with a memory of what each of its streams then must come to, and what it hears, held to RFC 9113 as a strict client holds it: frames, windows, field
 * blocks, the order of a stream's frames.
 */
#ifndef TESTS_FUZZ_H2_SERVER_PEER_H
#define TESTS_FUZZ_H2_SERVER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "server_io.h"
#include "support/h2_frames.h"
#include "support/text_span.h"

enum { H2_STREAMS = 160, H2_BODY_MAX = 4096, H2_AT_ONCE = 100 };

/* What the handler may make of a stream. */
enum h2_fate {
	H2_UNBORN,
	H2_GROWING,  /* well-formed so far, not whole */
	H2_WHOLE,    /* a good request: it must be handled, unless the connection is in doubt */
	H2_BAD,      /* malformed: it must not be, or, of a body that comes while it is handled, not come to its end */
	H2_TAKEN_BACK, /* whole or not, then reset: it may be */
	H2_ANYTHING  /* arbitrary bytes were involved */
};

struct h2_stream {
	enum h2_fate fate;
	int n_handled;
	uint32_t length;       /* Content-Length; UINT32_MAX: none */
	struct mesh__buf body; /* sent so far */
	int method;            /* of h2_methods[] */
	bool trailers;
	bool ended;            /* we have said END_STREAM */
	bool gone;             /* and do not wait for an answer */
	/* What was heard of it. */
	bool head, final, over, reset;
	int status;
	char tag[32];
	struct mesh__buf heard;
	uint32_t trailer;      /* how many trailing blocks */
	int64_t window;
	bool answered;         /* the handler has said all: `expected` */
	bool cut;              /* or has cut it off */
	struct mesh__buf expected;
	bool expected_known;
};

struct h2_link {
	struct io_peer peer;
	bool dialled, greeted;
	unsigned serial;
	struct mesh__buf out;    /* said, and not sent yet */
	struct h2_inflater *inflater;
	size_t at;               /* how much of what came was read */
	struct mesh__buf block;
	uint32_t block_stream;   /* whose field block comes; 0: none */
	bool block_ends;
	uint32_t next;           /* the next new stream */
	uint32_t highest;        /* the highest that was begun by whatever means */
	struct h2_stream streams[H2_STREAMS];
	bool doubtful;           /* something was said that may end the connection, or hold a request back */
	int n_resets;
	int n_settings, n_acks, n_pings, n_pongs;
	int64_t window, initial_window;
	struct { int ack; int64_t by; uint32_t below; } shrinks[64]; /* of the streams' windows, in force once they are acknowledged */
	int n_shrinks;
	int n_busy;              /* requests that the handler has and has not answered */
	bool goaway, refusal;    /* GOAWAY came; with an error */
};

extern const char *const h2_methods[8];

/* The stream that `selector` names: with its top bit one of those begun, else the next new one (or, when there are no more, none: NULL). *id is its number. */
struct h2_stream *h2_pick(struct h2_link *l, uint8_t selector, uint32_t *id);
struct h2_stream *h2_stream_of(struct h2_link *l, uint32_t id); /* NULL: not one of those */

void h2_link_init(struct h2_link *l, unsigned serial);
void h2_link_fini(struct h2_link *l);

/* A request on a new stream: `shape` is its method, whether it ends, whether it has a length and which; `flaw` 0: well-formed. */
void h2_say_request(struct h2_link *l, uint8_t selector, uint8_t shape, uint8_t flaw);
void h2_say_data(struct h2_link *l, uint8_t selector, uint8_t len, uint8_t flags);
void h2_say_trailers(struct h2_link *l, uint8_t selector, uint8_t flaw);
void h2_say_reset(struct h2_link *l, uint8_t selector, uint8_t error);
void h2_say_window(struct h2_link *l, uint8_t selector, uint8_t size);
void h2_say_settings(struct h2_link *l, uint8_t kind);
void h2_say_ping(struct h2_link *l, uint8_t flags);
void h2_say_frame(struct h2_link *l, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes, size_t len);
void h2_say_bytes(struct h2_link *l, const void *bytes, size_t len);

/* Reads what has come since; aborts where a server may not say so. */
void h2_listen(struct h2_link *l);

#endif
