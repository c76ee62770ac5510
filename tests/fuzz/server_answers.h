/* What a server has said on one connection, read strictly (RFC 9112), answer by answer. */
#ifndef TESTS_FUZZ_SERVER_ANSWERS_H
#define TESTS_FUZZ_SERVER_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

struct answer {
	int status;
	bool close;          /* it says that it is the last */
	bool chunked;
	bool has_length;
	size_t length;       /* Content-Length */
	char tag[32];        /* the value of X-Tag, "" without one */
	const char *body;    /* of the answer's bytes, still chunked */
};

/* Reads one head at bytes[*at] and moves *at beyond it. 1: read; 0: there is but a part of one; -1: it is malformed. */
int answer_head(const char *bytes, size_t len, size_t *at, struct answer *out);

/* Moves *at beyond a chunked body and its trailers, of which only X-Sum may be there. The same results. */
int answer_chunks(const char *bytes, size_t len, size_t *at);

#endif
