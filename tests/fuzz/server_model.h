/*
 * A second opinion about a request: what RFC 9112 and THREATS 1 to 4 leave no doubt about, written without a look at the server core. Between what must be taken and what must be refused lies what may be
 * either; whatever is taken must come out as the model reads it.
 */
#ifndef TESTS_FUZZ_SERVER_MODEL_H
#define TESTS_FUZZ_SERVER_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "support/text_span.h"

enum { MODEL_HEADER_MAX = 2048, MODEL_FIELDS_MAX = 16, MODEL_BODY_MAX = 4096 };

enum model_verdict {
	MODEL_UNFINISHED, /* more bytes may make it anything */
	MODEL_TAKE,       /* must be taken */
	MODEL_MAY,        /* may be taken or refused */
	MODEL_REFUSE      /* must be refused */
};

struct model_request {
	struct text_span method, path, query;
	struct text_span names[MODEL_FIELDS_MAX], values[MODEL_FIELDS_MAX];
	size_t n_fields;
	bool http_1_0;
	bool last;             /* surely: nothing after it is a request */
	bool expects;          /* it has an Expect field */
	struct mesh__buf body; /* whole when the request is; else what has come of it */
	enum model_verdict head; /* of the header alone */
	size_t used;           /* bytes of the whole request */
};

/* Reads the first request, whose body has a bound unless it is `streamed`; release with model_fini() whatever the verdict. */
enum model_verdict model_read(const char *bytes, size_t len, bool streamed, struct model_request *out);
void model_fini(struct model_request *request);

#endif
