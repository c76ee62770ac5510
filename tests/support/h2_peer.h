/*
 * Either end of an HTTP/2 connection for tests, over raw_server.h's connections: what comes is told frame by frame, what goes is what the test says (h2_frames.h). A script of a server begins with h2_peer_greet(); a test
 * that is the client wraps its socket: `struct raw_conn conn = {.fd = fd}`, and sends h2_preface() itself. It blocks; a test's socket has a deadline of its own.
 *
 *	static void refuses_the_first(struct raw_conn *conn)
 *	{
 *		struct h2_peer peer;
 *		struct h2_message request;
 *		h2_peer_init(&peer, conn);
 *		if (h2_peer_greet(&peer, NULL, 0) && h2_peer_message(&peer, &request)) {
 *			h2_rst_stream(&peer.out, request.stream, H2_REFUSED_STREAM);
 *			(void)h2_peer_flush(&peer);
 *		}
 *		h2_peer_fini(&peer);
 *	}
 */
#ifndef TESTS_SUPPORT_H2_PEER_H
#define TESTS_SUPPORT_H2_PEER_H

#include "h2_frames.h"
#include "raw_server.h"

enum { H2_LINES_MAX = 8192 };

struct h2_peer {
	struct raw_conn *conn;
	struct mesh__buf in;         /* what came and is not given out yet */
	size_t n_given;              /* of it: the frame that was given out last */
	struct mesh__buf out;        /* for what is to be said next; h2_peer_flush() sends it */
	struct h2_inflater *inflater;
	struct mesh__buf block;      /* of the field block that comes */
};

/* A request's or a response's field block. */
struct h2_message {
	uint32_t stream;
	bool ended;               /* END_STREAM: no body, or these are the trailers */
	char lines[H2_LINES_MAX]; /* "name: value\n"; cut where it is longer */
};

void h2_peer_init(struct h2_peer *peer, struct raw_conn *conn);
void h2_peer_fini(struct h2_peer *peer);

/* Sends `out` and empties it. False when the connection is no more. */
bool h2_peer_flush(struct h2_peer *peer);

/* The server's beginning: reads the client's preface and answers with SETTINGS. False when it is none. */
bool h2_peer_greet(struct h2_peer *peer, const struct h2_setting *settings, size_t n);

/* The next frame, whatever it is; its payload is borrowed until the next read. Nothing is answered. False at the end of the connection. */
bool h2_peer_frame(struct h2_peer *peer, struct h2_frame_view *frame);

/*
 * As a peer that behaves: SETTINGS and PING are answered, the windows that DATA took are given back, each field block is inflated. The next frame of `type` on `stream` (0: on any stream); all others are passed over. False at
 * the end of the connection.
 */
bool h2_peer_await(struct h2_peer *peer, uint8_t type, uint32_t stream, struct h2_frame_view *frame);

/* Likewise, the next whole field block of any stream: for a server the next request (or its trailers). */
bool h2_peer_message(struct h2_peer *peer, struct h2_message *message);

/* The value of a message's field, copied (cut) to out; false when there is none. The first of several. */
bool h2_message_field(const struct h2_message *message, const char *name, char *out, size_t size);

/* Reads a body: DATA of `stream` until its end (of trailers too), as await does. False at the end of the connection or a reset of the stream. */
bool h2_peer_body(struct h2_peer *peer, uint32_t stream, struct mesh__buf *body);

/* Likewise, the next stream that the other end has ended: for a server a request that has come whole, whatever else came between. */
bool h2_peer_ended(struct h2_peer *peer, uint32_t *stream);

/* A whole answer, sent: HEADERS, then the body in one DATA frame (at most H2_FRAME_MAX) with END_STREAM. */
bool h2_peer_answer(struct h2_peer *peer, uint32_t stream, int status, const char *body);

/* For scripts: each request is counted and answered so once it is whole, until `answer` fails or the client ends the connection. */
void h2_serve(struct raw_conn *conn, bool (*answer)(struct h2_peer *peer, uint32_t stream));

/* Scripts: answers each request with 200 and "ok"; counts as requests the frames that are part of one, and answers none. */
void h2_answer_ok(struct raw_conn *conn);
void h2_count_requests(struct raw_conn *conn);

#endif
