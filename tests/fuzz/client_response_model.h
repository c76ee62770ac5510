/*
 * A second opinion about a response: what RFC 9112 leaves no doubt about, written without a look at the client. Between what must be taken and what must be refused lies what may be either.
 */
#ifndef TESTS_FUZZ_CLIENT_RESPONSE_MODEL_H
#define TESTS_FUZZ_CLIENT_RESPONSE_MODEL_H

#include <stdbool.h>

#include "base/buf.h"
#include "support/text_span.h"

enum { MODEL_FIELDS_MAX = 64 };

enum model_verdict { MODEL_TAKE, MODEL_MAY, MODEL_REFUSE };

struct model_response {
	int status;
	struct text_span names[MODEL_FIELDS_MAX], values[MODEL_FIELDS_MAX];
	size_t n_fields;
	struct mesh__buf body;
	size_t used;    /* of the bytes; what is beyond them was not asked for */
	bool by_length; /* a Content-Length that is not 0 says where it ends */
};

/* The answer to one request, HEAD or another. `ended`: the peer has ended its side after the bytes, in order. Release with mesh__buf_fini(&out->body). */
enum model_verdict model_read(const char *bytes, size_t len, bool ended, bool to_head, struct model_response *out);

#endif
