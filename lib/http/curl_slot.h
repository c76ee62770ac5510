/* Makes and closes the slots of a pool (curl_pool.h). No lock of the pool is held while these run. */
#ifndef MESH__HTTP_CURL_SLOT_H
#define MESH__HTTP_CURL_SLOT_H

#include "http/curl_pool.h"

/* A handle for exchanges with the pool's peer, whose connections are on the list `conns`. */
int mesh__slot_easy(struct mesh__pool *pool, struct mesh__easy *easy, struct mesh__conns *conns, struct mesh__err *err) MESH__MUST_USE;

/* A slot without a connection, not yet on any list. */
int mesh__slot_new(struct mesh__pool *pool, struct mesh__slot **out, struct mesh__err *err) MESH__MUST_USE;

/* Closes its connection and frees it; it is on no list any more. */
void mesh__slot_free(struct mesh__slot *slot);

#endif
