/*
 * HTTP/2 on a connection of the server core: many requests at once, each a stream. A part of core.h.
 *
 * GOAWAY in order goes out alone, once no stream is under way, and behind trailers once the peer has handed them on (h2_unread.h): callers of libcurl before 8 lose the trailers of a response, gRPC's status among them, where it
 * comes before that. In the drain's grace new streams are taken meanwhile, but gRPC's no more once GOAWAY has been said, as their status would be lost; after it, and when the peer is believed no longer, none is: they are reset with
 * REFUSED_STREAM, which says that they were not processed.
 *
 * A reply that ends before its request: RST_STREAM with NO_ERROR goes out when the peer has answered a PING behind the end, or MESH__H2_UNREAD_MS after it; the same callers throw away what they read of a reply in one piece with the
 * reset. Until then the stream counts, and what still comes of the request is thrown away; its window is not given back.
 */
#ifndef MESH__HTTP_H2_CONN_H
#define MESH__HTTP_H2_CONN_H

#include "base/buf.h"
#include "http/h2_bodies.h"
#include "http/h2_session.h"
#include "http/h2_unread.h"
#include "http/trailers.h"
#include "io/loop.h"

enum { MESH__H2_MAX_STREAMS = 100 };

/* Counts against MESH__H2_MAX_STREAMS as long as the peer has it open or the handler is at work on it, whichever is longer. */
struct mesh__h2_stream {
	struct mesh__h2_stream *next;
	struct mesh__conn *conn;
	int32_t id;
	struct mesh__exchange *x; /* borrowed: it names this stream in turn; NULL once it is over, or was refused before there was one */
	bool is_head;
	bool owes_continue;
	bool closed;              /* HTTP/2 is done with it */
	bool lost;                /* and its exchange has not been told */
	bool broken;              /* it is to be reset */
	bool dead;                /* nobody needs it any more */
	struct mesh__h2_body request; /* where its body is taken whole */
	bool early;               /* its reply has ended, and its request has not: it is to be reset with NO_ERROR */
	uint64_t early_asked;     /* when this PING has been answered; 0: it is not sent yet */
	int64_t early_until_us;   /* or then */
	/* What is to be sent. */
	struct mesh__exchange *holder; /* counted: `body` is its */
	const char *body;         /* then `out` from out_used on */
	size_t body_left;
	struct mesh__buf out;
	size_t out_used;
	struct mesh__trailers trailers;
	bool ended;               /* nothing is added to it */
	bool end_pulled;          /* and its end is on its way */
	bool pulled;              /* some of it, since the last sweep */
	int64_t write_until_us;   /* when the peer must have taken some; 0: nothing waits */
};

struct mesh__h2_conn {
	struct mesh__h2 *session;
	struct mesh__h2_stream *streams; /* the newest first */
	int n_streams;
	int n_lost;
	struct mesh__h2_bodies bodies;
	int n_early;
	bool fresh;                 /* there may be requests whose handlers have not got them */
	bool choked;                /* there may be writers that wait for room */
	bool reap;                  /* there are dead streams */
	bool working;               /* in the middle of something: what is to be sent is, when that is done */
	bool posted;
	bool parted;
	bool farewell;              /* GOAWAY is owed: mesh__h2_announce_end(), or mesh__h2_end() where it is ending */
	bool announced;             /* the first was said */
	bool ending;                /* no new stream is taken */
	struct mesh__h2_unread unread;
	int64_t settle_us;          /* the peer's SETTINGS are due; 0: they came */
	int64_t header_us;          /* the rest of a header is due; 0: none is at hand */
	uint64_t n_faults;          /* of streams, that were counted */
	bool faulty;                /* the connection's was */
	struct mesh__post post;
	char preface[MESH__H2_PREFACE_BYTES]; /* in plaintext: what has come of it */
	size_t preface_len;
};

struct mesh__conn;
extern const struct mesh__h2_events mesh__h2_stream_events; /* of which the connection is the argument */

/* In plaintext: finds out by the first bytes whether it is HTTP/2 or HTTP/1. */
void mesh__h2_conn_sniff(struct mesh__conn *c);

/* Speaks HTTP/2 from here on. False: out of memory; the connection is to be closed. */
bool mesh__h2_conn_init(struct mesh__conn *c);

/* ---- Between h2_conn.c and h2_stream.c ---- */

/* Takes no new stream from here on, and ends the connection in order when those under way have ended. */
void mesh__h2_conn_end(struct mesh__conn *c);

/* There is something to be sent: as soon as nobody is in the middle of anything. */
void mesh__h2_conn_flush_soon(struct mesh__conn *c);

/* A writer waits for room, and there is some. */
bool mesh__h2_stream_has_room(const struct mesh__h2_stream *st);

/* Does what is overdue. */
void mesh__h2_stream_sweep(struct mesh__h2_stream *st, int64_t now_us);

/* Its reply has ended before its request: asks the peer, or resets it. */
void mesh__h2_stream_end_early(struct mesh__h2_stream *st, int64_t now_us);

/* Tells its exchange that the peer has gone. */
void mesh__h2_stream_lose(struct mesh__h2_stream *st);

void mesh__h2_stream_free(struct mesh__h2_stream *st);

#endif
