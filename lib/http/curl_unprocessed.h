/*
 * What a peer said of requests that it has not processed (RFC 9113 section 8.7), as far as libcurl lets it be seen. Without doubt means that the request may be made again elsewhere, whatever its method; so doubt means
 * that it may have been processed.
 *
 * A refused stream (RST_STREAM with REFUSED_STREAM, and since 8.1 a stream above the last one of a GOAWAY): libcurl sets about sending again by itself, before the first byte of a response, and is the only one to say nothing of
 * it: for a connection that died it has a message, and when it gives a session up for a fault in it, it has read something by then, if nothing.
 * A stream above the last one of a GOAWAY, before 8.1: the exchange fails with CURLE_HTTP2 and no message, and so do others. What it logs tells the two numbers; they are looked for there.
 */
#ifndef MESH__HTTP_CURL_UNPROCESSED_H
#define MESH__HTTP_CURL_UNPROCESSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mesh__easy;

struct mesh__unprocessed {
	bool refused;            /* the stream was: libcurl set about sending again, and was stopped */
	bool repeats;            /* libcurl says that it will, for that reason */
	uint32_t stream;         /* the number of ours; 0: not known */
	bool goaway;             /* one came, with `last` */
	uint32_t last;
	bool closed;             /* libcurl closed the connection */
};

/* A line of libcurl's log. Pure. */
void mesh__unprocessed_read(struct mesh__unprocessed *u, const char *line, size_t len);

/* libcurl sets about sending a second time what was let through once. */
void mesh__unprocessed_again(struct mesh__easy *e);

/* True when the peer has surely not processed the exchange, which ended with `curl_code` (a CURLcode). */
bool mesh__unprocessed_surely(const struct mesh__easy *e, int curl_code);

/*
 * True when a response that libcurl takes for whole has broken off: before 8.1 a session that it gave up, because the peer broke the protocol, looks to it like the end of a body whose length was not said. It closes the connection
 * then; after a stream that has ended it does so only where the peer has said farewell, or has ended the connection too.
 */
bool mesh__unprocessed_broken_off(const struct mesh__easy *e);

/* True when the connection was told, while the exchange was under way, that it ends (GOAWAY), or did end. Only where libcurl's log is read. */
bool mesh__unprocessed_farewell(const struct mesh__easy *e);

/* Has the handle log from here to the exchange's end, where the log is needed; and no more, as lines cost time. */
void mesh__unprocessed_listen(struct mesh__easy *e, bool listen);

/* Makes the handle's log go here, for its life, and nowhere else. False when libcurl refuses. */
bool mesh__unprocessed_hook(struct mesh__easy *e);

#endif
