/*
 * A server's HTTP/2 session (lib/http/h2_session) between a test's frames and what it makes of them: what it tells is kept as one line an event, what it says as one line a frame. No socket, no clock. Fails the test where a
 * step of its own fails.
 */
#ifndef TESTS_SUPPORT_H2_BENCH_H
#define TESTS_SUPPORT_H2_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/h2_session.h"
#include "support/alloc_fail.h"
#include "support/h2_frames.h"

enum {
	H2_BENCH_MAX_BLOCK = 8192,
	H2_BENCH_MAX_FIELDS = 16,
	H2_BENCH_MAX_STREAMS = 10,
	H2_BENCH_STREAM_WINDOW = 256 * 1024,
	H2_BENCH_CONNECTION_WINDOW = 1024 * 1024
};

/* A session, what it told, and what it has to say. */
struct h2_bench {
	struct fail_mem mem;
	struct mesh__h2 *h2;
	struct h2_inflater *inflater;
	struct mesh__buf told;  /* one line an event */
	struct mesh__buf in;    /* what the next feed() gives it */
	struct mesh__buf said;  /* "TYPE stream detail\n" a frame */
	struct mesh__buf bytes; /* frames that are not whole yet */
	size_t body_left;       /* of each reply */
	size_t n_data;          /* bytes of DATA that it sent */
	const struct mesh__field_text *trailers;
	size_t n_trailers;
	enum mesh__h2_more last; /* what pull() says once all has been pulled */
	int code;                /* of the last receive or send that failed */
	int64_t now_us;
};

/* The n-th allocation fails, counted from 1; 0: none. False, with bench->code, when there is no session: end it all the same. */
bool h2_bench_begin(struct h2_bench *b, long fail_at);

/* A connection on which both have said their SETTINGS, and nothing else. */
void h2_bench_open(struct h2_bench *b);

/* Asserts that no memory is left. */
void h2_bench_end(struct h2_bench *b);

/* Gives it b->in whole, then lets it say all that it can. */
void h2_bench_feed(struct h2_bench *b);
void h2_bench_listen(struct h2_bench *b);

/* Adds a plain request to b->in. */
void h2_bench_get(struct h2_bench *b, uint32_t stream);

/* Answers 200 with a body of so many bytes, and then what b->last says. */
void h2_bench_reply(struct h2_bench *b, int32_t stream, size_t body_len);

/* All that was told is `text`; `part` was said; it was not. */
void h2_bench_told(struct h2_bench *b, const char *text);
void h2_bench_said(struct h2_bench *b, const char *part);
void h2_bench_not_said(struct h2_bench *b, const char *part);

#endif
