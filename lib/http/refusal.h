/* Why the server core refuses a request by itself: the status, the counter's word, and the sentence for whoever sent it. One list. */
#ifndef MESH__HTTP_REFUSAL_H
#define MESH__HTTP_REFUSAL_H

/* X(NAME, status, "word", "sentence") */
#define MESH__REFUSALS(X)                                                                                              \
	X(NONE, 0, "", "")                                                                                              \
	X(MALFORMED, 400, "malformed", "the request is not valid HTTP")                                                 \
	X(FRAMING, 400, "framing", "the length of the body is malformed, or said twice")                                \
	X(CHUNK, 400, "chunk", "a chunk of the body is malformed")                                                      \
	X(HOST, 400, "host", "there must be one valid Host field, and an absolute target must agree with it")           \
	X(TARGET, 400, "target", "the request target is not a path that can be served")                                 \
	X(TIMEOUT, 408, "timeout", "the request did not arrive in time")                                                \
	X(BODY_TOO_LARGE, 413, "body-too-large", "the body is larger than this server takes")                           \
	X(TARGET_TOO_LONG, 414, "target-too-long", "the request target is longer than this server takes")               \
	X(EXPECTATION, 417, "expectation", "the only expectation that can be met is 100-continue")                      \
	X(HEADER_TOO_LARGE, 431, "header-too-large", "the header is larger than this server takes, or has too many fields") \
	X(NO_REPLY, 500, "no-reply", "the handler gave no answer")                                                      \
	X(METHOD, 501, "method", "the method is not known")                                                             \
	X(UPGRADE, 501, "upgrade", "no upgrade of the protocol is supported")                                           \
	X(LATE, 503, "late", "the handler did not answer in time")                                                      \
	X(NO_MEMORY, 503, "no-memory", "the server is out of memory")                                                   \
	X(VERSION, 505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")

#define X(name, status, word, sentence) MESH__REFUSAL_##name,
enum mesh__refusal { MESH__REFUSALS(X) };
#undef X

struct mesh__refusal_text {
	int status;
	const char *word;
	const char *sentence;
};

const struct mesh__refusal_text *mesh__refusal_text(enum mesh__refusal refusal);

/* What the handler, if it has the request, finds when it reads on. */
int mesh__refusal_code(enum mesh__refusal refusal);

#endif
