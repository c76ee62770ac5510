/* Replies of both listeners. Each takes the caller's reference of the exchange; meshd_peer_address() only looks. */
#ifndef MESHD_REPLY_H
#define MESHD_REPLY_H

#include "base/buf.h"
#include "base/error.h"
#include "http/server.h"

/* The HTTP status and the API's word for a code: MESH_E_INVALID is 400 "invalid", what the store or the CA cannot do is 503 "unavailable". */
int meshd_status_of(int code);
const char *meshd_word_of(int code);

/* Where a request comes from, as text. */
void meshd_peer_address(const struct mesh__exchange *x, char out[MESH__ADDR_TEXT]);

/* A whole text reply, never to be cached; a buffer that has failed becomes a 503. Empties the buffer. */
void meshd_reply(struct mesh__exchange *x, int status, const char *content_type, struct mesh__buf *body);
void meshd_reply_json(struct mesh__exchange *x, int status, struct mesh__buf *body);

/* "{}". */
void meshd_reply_done(struct mesh__exchange *x);

/* A refusal in the control protocol's form. */
void meshd_refuse(struct mesh__exchange *x, int status, const char *code, const char *message);
void meshd_refuse_err(struct mesh__exchange *x, const struct mesh__err *err);

#endif
