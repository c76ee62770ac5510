/*
 * What a hostile HTTP/2 server says in answer to one request, step by step, and what a client must make of it: a second opinion from RFC 9113, written without a look at the client. Between what must be taken and what must be
 * refused lies what may be either.
 */
#ifndef TESTS_FUZZ_H2_CLIENT_RESPONSE_SCRIPT_H
#define TESTS_FUZZ_H2_CLIENT_RESPONSE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "client_response_peer.h"

enum script_verdict { SCRIPT_TAKE, SCRIPT_MAY, SCRIPT_REFUSE };

struct script_outcome {
	enum script_verdict verdict;
	int status;
	struct mesh__buf fields;   /* "name: value\n", of the head alone */
	struct mesh__buf body;
	struct mesh__buf trailers; /* likewise */
	bool may_be_unprocessed;   /* the server says, or may be understood to say, that it has not processed the request */
	bool surely_unprocessed;   /* and says nothing after it that could raise a doubt */
	bool odd;                  /* nothing is certain of what follows on the connection */
	bool farewell;             /* the connection surely takes no more requests */
};

/* The bytes of one answer's script, up to the next exchange: how many of them; *way is how that is to be made. */
size_t script_length(const uint8_t *data, size_t size, uint8_t *way);

/* Plays them as the answer to the request of stream `id`: into the response, and what must come of it. `first`: of its connection. `to_head`: the request was a HEAD. Release with script_outcome_fini(). */
void script_play(const uint8_t *data, size_t size, uint32_t id, bool first, bool to_head, struct peer_response *response, struct script_outcome *out);
void script_outcome_fini(struct script_outcome *out);

#endif
