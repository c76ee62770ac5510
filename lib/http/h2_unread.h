/*
 * Whether a peer has handed on the trailers that it was sent, which GOAWAY must not overtake. Pure: the caller brings the time, asks (by PING), and says GOAWAY.
 *
 * libcurl before 8 hands on the trailers behind a body when it finds nothing more to read on the connection, and drops them, gRPC's status among them, when GOAWAY or the connection's end is what it finds. A PING behind the
 * stream's end that is answered shows that it reads; when it is then left in quiet for a moment, its next read finds nothing. So another PING would show no more, and only keep it reading. Who does not answer, as most do not who
 * have nothing under way, has had MESH__H2_UNREAD_MS.
 */
#ifndef MESH__HTTP_H2_UNREAD_H
#define MESH__HTTP_H2_UNREAD_H

#include <stdbool.h>
#include <stdint.h>

/* A response's field, "1" where it may end before its request: should it, the reset comes when the caller has read the end (h2_conn.h). Others may send both in one. */
#define MESH__H2_ENDS_APART "mesh-ends-apart"

enum { MESH__H2_UNREAD_MS = 1000, MESH__H2_QUIET_MS = 250 };

/* Zeroed: nothing was sent. */
struct mesh__h2_unread {
	bool any;            /* a stream has ended with trailers, the last at ended_us */
	int64_t ended_us;
	uint64_t asked;      /* the number of the PING behind the last end of a stream; 0: none yet */
	bool answered;       /* it was, at answered_us */
	int64_t answered_us;
};

enum mesh__h2_unread_verdict {
	MESH__H2_UNREAD_NONE, /* GOAWAY may be said */
	MESH__H2_UNREAD_ASK,  /* a PING is to be sent: mesh__h2_unread_asked() */
	MESH__H2_UNREAD_WAIT
};

/* A stream has ended. */
void mesh__h2_unread_ended(struct mesh__h2_unread *u, bool with_trailers, int64_t now_us);

/* A PING was sent; they are numbered from 1, and answered in order. */
void mesh__h2_unread_asked(struct mesh__h2_unread *u, uint64_t number);

/* `answered`: the number of the last PING that was. No stream is under way. */
enum mesh__h2_unread_verdict mesh__h2_unread_next(struct mesh__h2_unread *u, uint64_t answered, int64_t now_us);

#endif
