/* HTTP/1 on a connection of the server core: one request at a time, answered in order; what follows the one at hand waits. A part of core.h. */
#ifndef MESH__HTTP_H1_CONN_H
#define MESH__HTTP_H1_CONN_H

#include "base/buf.h"
#include "http/h1.h"
#include "http/h1_chunks.h"
#include "http/h1_scan.h"
#include "http/reply.h"

/* X(NAME): where the request at hand stands. */
#define MESH__H1_STATES(X)                                                                                             \
	X(NONE)  /* none is at hand */                                                                                   \
	X(HEAD)  /* it has begun */                                                                                      \
	X(BODY)  /* its header is whole; the handler has it already where bodies are streamed */                         \
	X(WHOLE) /* it is whole, and the handler has it */

#define X(name) MESH__H1_##name,
enum mesh__h1_state { MESH__H1_STATES(X) };
#undef X

struct mesh__h1_conn {
	enum mesh__h1_state state;
	int64_t head_due_us; /* of the header, in state HEAD */
	bool pumping;
	bool paused;         /* the socket is not read */
	bool last;           /* the reply at hand is the last */
	bool owes_continue;  /* the peer waits for 100 (Continue) */
	enum mesh__framing framing; /* of the streamed reply at hand */
	uint64_t n_left;     /* of a body of known length, not yet received */
	struct mesh__exchange *x; /* the request at hand; borrowed: it names this connection in turn */
	struct mesh__request_head request; /* how its body comes; its text is the exchange's */
	struct mesh__buf head;    /* a header as it comes */
	struct mesh__h1_scan scan;
	struct mesh__h1_chunks chunks;
	struct mesh__buf trailers; /* of the request at hand, as they come */
	struct mesh__buf pending; /* input that waits for the request at hand */
	size_t pending_used;
};

struct mesh__conn;
struct mesh__protocol;
struct mesh__carrier;

/* ---- h1_conn.c: from bytes to requests ---- */

extern const struct mesh__protocol mesh__h1_protocol;

void mesh__h1_conn_init(struct mesh__conn *c);

/* The reply at hand was sent whole, or cannot be (the connection is then cut): the next request, or the end. `code` is what mesh__exchange_detach() is told. */
void mesh__h1_settle(struct mesh__conn *c, bool sent, int code);

/* Stops reading while too much waits, be it for the request at hand or in it for its reader. */
void mesh__h1_throttle(struct mesh__conn *c);

/* 100 (Continue), where the peer waits for it. */
void mesh__h1_say_continue(struct mesh__conn *c);

/* ---- h1_reply.c: from replies to bytes ---- */

extern const struct mesh__carrier mesh__h1_carrier;

/* Answers the request at hand in the core's own words; cuts a streamed reply that has begun. */
void mesh__h1_refuse(struct mesh__conn *c, enum mesh__refusal refusal);

#endif
