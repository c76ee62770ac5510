/*
 * Request bodies that are taken whole, over HTTP/2: what those of one connection hold together is bounded by their streams' windows. A part of core.h; bodies that are streamed have bounds of their own.
 *
 * A stream's window is given back as its body comes, as long as the bodies of the connection, those with a handler among them, hold no more than the budget: limits.max_bodies_bytes, or two bodies of the largest size where that is more.
 * Over it one stream alone goes on: the oldest whose body is not whole, and it only while those that are whole hold no more than half the budget. That cannot lock up: handlers end without what is held back, and when they have, the oldest
 * goes on until it is whole, or until body_ms, whatever the others hold; then the next is the oldest.
 * So a connection holds at most the budget, its half, one body more, and a stream's first window for each of its streams, which it has without our leave.
 */
#ifndef MESH__HTTP_H2_BODIES_H
#define MESH__HTTP_H2_BODIES_H

#include <stdbool.h>
#include <stddef.h>

struct mesh__conn;
struct mesh__h2_stream;

/* A connection's. */
struct mesh__h2_bodies {
	size_t held;   /* bytes of memory */
	size_t whole;  /* of them, of those that are whole */
	bool holding;  /* a stream's window is held back */
};

/* A stream's part. */
struct mesh__h2_body {
	size_t held;
	bool whole;
	size_t owed;   /* bytes that came and whose window was not given back */
	bool waited;   /* it was owed some for a while */
};

/* `n` more bytes have come, and are in its exchange's body. */
void mesh__h2_bodies_fed(struct mesh__h2_stream *st, size_t n);

/* The body is whole. */
void mesh__h2_bodies_whole(struct mesh__h2_stream *st);

/* The stream has parted with its exchange. Once or more. */
void mesh__h2_bodies_over(struct mesh__h2_stream *st);

#endif
