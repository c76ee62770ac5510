/*
 * Reads the head of a response line by line, as libcurl hands it over, into a struct mesh__client_response. It is stricter than libcurl where leniency would let two readers disagree about the
 * same bytes (RFC 9112 section 6.3), and it holds the bounds. Pure.
 */
#ifndef MESH__HTTP_HEAD_H
#define MESH__HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/client.h"

enum { MESH__HEAD_MAX_BYTES = 64 * 1024, MESH__HEAD_MAX_FIELDS = 256 };

enum mesh__head_at { MESH__HEAD_STATUS, MESH__HEAD_FIELDS, MESH__HEAD_BODY };

struct mesh__head {
	struct mesh__client_response *response;
	enum mesh__head_at at;     /* what comes next; in MESH__HEAD_BODY further lines are trailers */
	size_t n_bytes;            /* of all lines, those of interim responses and trailers too */
	bool http2;                /* the connection speaks HTTP/2, where frames say what lines say in HTTP/1; set by the owner before the first line */
	bool close;                /* the peer will not serve another request on this connection; right once the head is whole */
	bool says_close, says_keep;
	bool chunked;
	bool has_length;
	uint64_t content_length;
};

void mesh__head_init(struct mesh__head *head, struct mesh__client_response *response);

/* Takes one line with its line end. MESH_E_PROTOCOL, MESH_E_TOO_LARGE, MESH_E_NO_MEMORY. */
int mesh__head_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err) MESH__MUST_USE;

#endif
