/* HTTP/1 on a connection of the server core: one request at a time, answered in order; what follows the one at hand waits. A part of core.h. */
#ifndef MESH__HTTP_H1_CONN_H
#define MESH__HTTP_H1_CONN_H

#include "base/buf.h"
#include "http/h1.h"
#include "http/h1_chunks.h"
#include "http/h1_scan.h"

/* X(NAME): where the request at hand stands. */
#define MESH__H1_STATES(X)                                                                                             \
	X(NONE)    /* none is at hand */                                                                                 \
	X(HEAD)    /* it has begun */                                                                                    \
	X(BODY)    /* its header is whole */                                                                             \
	X(HANDLER) /* it is whole, and the handler has it */                                                             \
	X(STREAM)  /* the handler has begun a reply of unknown length */

#define X(name) MESH__H1_##name,
enum mesh__h1_state { MESH__H1_STATES(X) };
#undef X

struct mesh__h1_conn {
	enum mesh__h1_state state;
	int64_t due_us;      /* of the state */
	bool pumping;
	bool last;           /* the reply at hand is the last */
	struct mesh__exchange *x; /* the request at hand; borrowed: it names this connection in turn */
	struct mesh__request_head request; /* how its body comes; its text is the exchange's */
	struct mesh__buf head;    /* a header as it comes */
	struct mesh__h1_scan scan;
	struct mesh__h1_chunks chunks;
	struct mesh__buf pending; /* input that waits for the request at hand */
	size_t pending_used;
};

struct mesh__conn;
extern const struct mesh__protocol mesh__h1_protocol;

void mesh__h1_conn_init(struct mesh__conn *c);

#endif
