/*
 * The chunked coding (RFC 9112 section 7.1), decoded as it comes. Strict: CR LF everywhere, a size of hexadecimal digits alone, extensions ignored but well-formed and bounded,
 * trailer fields well-formed and bounded. Pure.
 */
#ifndef MESH__HTTP_H1_CHUNKS_H
#define MESH__HTTP_H1_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/refusal.h"

struct mesh__h1_chunks {
	int state;
	int n_digits;
	uint64_t left;  /* of the chunk at hand */
	size_t n_extra; /* bytes of extensions and trailers so far */
	struct mesh__buf *trailers; /* takes the trailer fields, "name:value\n" each; NULL: they are discarded */
};

void mesh__h1_chunks_init(struct mesh__h1_chunks *chunks, struct mesh__buf *trailers);

/* Appends data to `body`, whose bound is the body's; *used and *done as with mesh__h1_scan(). */
enum mesh__refusal mesh__h1_chunks(struct mesh__h1_chunks *chunks, const char *bytes, size_t len, struct mesh__buf *body, size_t *used, bool *done);

#endif
