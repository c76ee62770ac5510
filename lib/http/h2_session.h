/*
 * One HTTP/2 connection seen from the server (RFC 9113), on nghttp2: bytes in, events out; replies in, bytes out. Never a socket, never a clock. What the protocol itself forbids is answered here, by resetting the stream or
 * with GOAWAY; a peer that floods is told ENHANCE_YOUR_CALM (h2_flood.h). One thread. Memory comes from the given allocator, and is bounded by the limits: the header at hand, and what nghttp2 keeps of at most max_streams
 * streams; bodies it does not keep.
 */
#ifndef MESH__HTTP_H2_SESSION_H
#define MESH__HTTP_H2_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/mem.h"
#include "http/h2_flood.h"
#include "http/server.h"

/* What every HTTP/2 connection begins with: 24 bytes that no HTTP/1 request can be. */
#define MESH__H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { MESH__H2_PREFACE_BYTES = sizeof(MESH__H2_PREFACE) - 1 };

/* RFC 9113 section 7: those that are used here. */
enum mesh__h2_code {
	MESH__H2_NO_ERROR = 0,
	MESH__H2_PROTOCOL_ERROR = 1,
	MESH__H2_INTERNAL_ERROR = 2,
	MESH__H2_REFUSED_STREAM = 7,
	MESH__H2_CANCEL = 8,
	MESH__H2_ENHANCE_YOUR_CALM = 11
};

struct mesh__h2_limits {
	uint32_t max_streams;       /* at a time */
	uint32_t max_block_bytes;   /* of a header, decoded, 32 bytes a field added; what is over it is left out, and said */
	uint32_t max_fields;        /* likewise, without the pseudo-header */
	uint32_t stream_window;     /* bytes of a body that may come before they are given back with mesh__h2_consume() */
	uint32_t connection_window; /* bytes of all bodies; given back as they come */
};

/* A header, or trailers: "name\0value\0", pseudo-header fields first. Names are in lower case; both were found valid (RFC 9113 sections 8.2, 8.3). */
struct mesh__h2_block {
	const char *pairs;
	size_t len, n;
	bool too_large; /* some are missing */
};

/* What a stream has to send. */
enum mesh__h2_more {
	MESH__H2_MORE,
	MESH__H2_LATER,    /* nothing now: mesh__h2_resume() when there is */
	MESH__H2_END,      /* these bytes (or none) are the last */
	MESH__H2_TRAILERS, /* likewise; mesh__h2_trailers() was called from within pull() */
	MESH__H2_BROKEN    /* the stream is reset, INTERNAL_ERROR */
};

/*
 * Called from within mesh__h2_receive() and mesh__h2_send() alone, with what is borrowed for the call. The callee may call everything below but these two and mesh__h2_free().
 * `user` is the stream's, from mesh__h2_set_user(); NULL before.
 */
struct mesh__h2_events {
	/* A request has begun: its header is whole. `end`: it has no body. */
	void (*head)(void *arg, int32_t id, const struct mesh__h2_block *block, bool end);
	void (*data)(void *arg, int32_t id, void *user, const char *bytes, size_t len);
	/* The request is whole, and its body as long as it said; `block` is its trailers, if any. Not called after a head with `end`. */
	void (*end)(void *arg, int32_t id, void *user, const struct mesh__h2_block *block);
	/* Up to `size` > 0 bytes of the reply into buf; *n how many. With LATER and BROKEN it is 0. */
	enum mesh__h2_more (*pull)(void *arg, int32_t id, void *user, char *buf, size_t size, size_t *n);
	/* The reply has gone, its end too, and the request is not whole: the stream stays until that ends, or mesh__h2_reset() with NO_ERROR, which says that the rest is not wanted (RFC 9113 section 8.1). */
	void (*early)(void *arg, int32_t id, void *user);
	/* A stream is over (`user` NULL: perhaps one whose head was never told): `code` NO_ERROR in order, else it was reset, by whomever. The last that is heard of it. */
	void (*closed)(void *arg, int32_t id, void *user, uint32_t code);
};

struct mesh__h2;

/* The events are borrowed as long as it lives. SETTINGS are the first that it has to send. */
int mesh__h2_new(const struct mesh__mem *mem, const struct mesh__h2_limits *limits, int64_t now_us, const struct mesh__h2_events *events, void *arg, struct mesh__h2 **out) MESH__MUST_USE;

/* Calls nothing back: streams that are not closed are forgotten. Accepts NULL. */
void mesh__h2_free(struct mesh__h2 *h2);

/*
 * Takes bytes from the peer, the preface first. MESH_OK also where the peer has broken the protocol: then GOAWAY is what there is to send, and mesh__h2_is_over() after it. MESH_E_PROTOCOL: there is no preface, or nothing
 * could be said; MESH_E_NO_MEMORY: the connection is to be closed.
 */
int mesh__h2_receive(struct mesh__h2 *h2, const char *bytes, size_t len, int64_t now_us) MESH__MUST_USE;

/* The next bytes for the peer, valid until the next call of anything here; *len 0: none now. MESH_E_NO_MEMORY, MESH_E_PROTOCOL: the connection is to be closed. */
int mesh__h2_send(struct mesh__h2 *h2, int64_t now_us, const char **bytes, size_t *len) MESH__MUST_USE;

/* Something is to be sent, as far as the windows allow. */
bool mesh__h2_wants_send(const struct mesh__h2 *h2);

/* Nothing more is to be received nor sent: GOAWAY has been said, here or there, and the streams are over. */
bool mesh__h2_is_over(const struct mesh__h2 *h2);

/* The peer's SETTINGS have come. */
bool mesh__h2_is_settled(const struct mesh__h2 *h2);

/* A header has begun to come and is not whole. */
bool mesh__h2_in_header(const struct mesh__h2 *h2);

/* Frames other than DATA that wait to be sent. */
size_t mesh__h2_n_waiting(const struct mesh__h2 *h2);

/* Why the peer was told to calm down; MESH__H2_FLOOD_NONE before. */
enum mesh__h2_flood mesh__h2_flooded(const struct mesh__h2 *h2);

/* The code of the GOAWAY by which the connection ends for the peer's fault; MESH__H2_NO_ERROR before. */
uint32_t mesh__h2_fault(const struct mesh__h2 *h2);

/* How many streams have been reset here because of what the peer sent on them, those of mesh__h2_reset() aside. */
uint64_t mesh__h2_n_stream_faults(const struct mesh__h2 *h2);

/* The calls about a stream that is not there (any more) do nothing and succeed. */

void mesh__h2_set_user(struct mesh__h2 *h2, int32_t id, void *user);

/* The head of the reply, status 100 to 599; an interim one (below 200) has no `body`. With `body` the rest is pulled; without it the reply ends here. Names in any case. MESH_E_NO_MEMORY. */
int mesh__h2_reply(struct mesh__h2 *h2, int32_t id, int status, const struct mesh__field_text *fields, size_t n_fields, bool body) MESH__MUST_USE;

/* The trailers, from within pull(), which then returns MESH__H2_TRAILERS. MESH_E_NO_MEMORY. */
int mesh__h2_trailers(struct mesh__h2 *h2, int32_t id, const struct mesh__field_text *fields, size_t n_fields) MESH__MUST_USE;

/* Has pull() called again after MESH__H2_LATER. */
int mesh__h2_resume(struct mesh__h2 *h2, int32_t id) MESH__MUST_USE;

/* So many bytes of a body have been read: the peer may send as many more. MESH_E_NO_MEMORY. */
int mesh__h2_consume(struct mesh__h2 *h2, int32_t id, size_t len) MESH__MUST_USE;

/* Resets a stream. `closed` follows. MESH_E_NO_MEMORY. */
int mesh__h2_reset(struct mesh__h2 *h2, int32_t id, enum mesh__h2_code code) MESH__MUST_USE;

/*
 * The connection is to end in order, in two steps: the first asks the peer for no new streams and refuses none, as some are on their way; the second names the last stream that is answered. What is under way goes on,
 * but h2_conn.h tells why neither is said before it has ended. MESH_E_NO_MEMORY.
 */
int mesh__h2_announce_end(struct mesh__h2 *h2) MESH__MUST_USE;
int mesh__h2_end(struct mesh__h2 *h2) MESH__MUST_USE;

/* Asks the peer to show that it has read what was sent before (PING). The questions are numbered from 1; mesh__h2_answered() is the last that was answered, 0 before. MESH_E_NO_MEMORY. */
int mesh__h2_ask(struct mesh__h2 *h2, uint64_t *number) MESH__MUST_USE;
uint64_t mesh__h2_answered(const struct mesh__h2 *h2);

/* The connection ends at once: GOAWAY is the last that is sent. MESH_E_NO_MEMORY. */
int mesh__h2_terminate(struct mesh__h2 *h2, enum mesh__h2_code code) MESH__MUST_USE;

#endif
