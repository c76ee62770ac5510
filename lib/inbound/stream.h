/*
 * A request whose body is read, or whose reply is written, while it passes: two pipes between the loop of its connection and whoever has the request, which may be any thread. Each function here answers with a code of the public
 * header, and is for the one who has the request, unless it says otherwise.
 */
#ifndef MESH__INBOUND_STREAM_H
#define MESH__INBOUND_STREAM_H

#include "inbound/inbound.h"

/* Of a request whose body comes, on its loop, before anybody else has it. False when out of memory: nothing has happened. */
bool mesh__inbound_stream_open(struct mesh_inbound *in) MESH__MUST_USE;

/* ---- The body ---- */

/* deadline_us 0: does not wait, MESH_E_WOULD_BLOCK. Whole bodies too. */
int mesh__inbound_read(struct mesh_inbound *in, void *buf, size_t size, size_t *n, int64_t deadline_us) MESH__MUST_USE;

/* Reads up to the end into in->collected. When it could not be ended in time it can be gone on with. */
int mesh__inbound_collect(struct mesh_inbound *in, int64_t deadline_us) MESH__MUST_USE;

/* ---- What comes to pass ---- */

int mesh__inbound_on_stream(struct mesh_inbound *in, mesh_inbound_fn fn, void *user) MESH__MUST_USE;

/* ---- The reply ---- */

int mesh__inbound_begin(struct mesh_inbound *in, int32_t status) MESH__MUST_USE;
int mesh__inbound_write(struct mesh_inbound *in, const void *bytes, size_t len, size_t *n, int64_t deadline_us) MESH__MUST_USE;

/* These end the request, whatever they return. */
int mesh__inbound_end(struct mesh_inbound *in);
int mesh__inbound_abort(struct mesh_inbound *in);

/* The same, with a whole reply, of which body and fields are copied; of one that has a stream. */
int mesh__inbound_stream_reply(struct mesh_inbound *in, const struct mesh__reply *reply);

/* The same, with a refusal; `code` is static. */
int mesh__inbound_stream_refuse(struct mesh_inbound *in, int status, const char *code, const char *message, bool unprocessed);

/* Frees what belongs to the stream; with the request. */
void mesh__inbound_stream_free(struct mesh__inbound_stream *s);

#endif
