/*
 * The reverse proxy: a handler that passes each request on to an unchanged HTTP server and its response back, bodies
 * buffered up to a bound.
 */
#ifndef MESHCTL_UPSTREAM_H
#define MESHCTL_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <meshlib/mesh.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"

struct ctl_upstream;

/*
 * To http://host:port. A name is looked up once, here (this blocks). MESH_E_INVALID, MESH_E_CONNECT (no such name),
 * MESH_E_NO_MEMORY.
 */
int ctl_upstream_new(const struct mesh__env *env, const char *url, size_t max_body_bytes, struct ctl_upstream **out,
	struct mesh__err *err) MESH__MUST_USE;

/* When no request is being handled any more. Accepts NULL. */
void ctl_upstream_free(struct ctl_upstream *upstream);

/* The handler, for mesh_serve() "pool": it waits for the server. `user` is the upstream. */
void ctl_upstream_handle(void *user, mesh_inbound *inbound);

/* The status for an exchange that failed with `code`: 502, 503 or 504. */
int32_t ctl_gateway_status(int32_t code);

/*
 * True for a field that ends at this hop: one of RFC 9110 section 7.6.1, one that `connection` (the value of the
 * Connection field, or NULL) names, one of the mesh's own, and
 * x-forwarded-client-cert, by which a caller could claim to be another. All but the second also with '_' for '-',
 * because a CGI program cannot tell them apart.
 */
bool ctl_field_stays(const char *name, const char *connection);

/* Of an answer to `method` with this Content-Length (NULL: none): the length to pass on where there is no body to count, which is to HEAD; else `body_len`. */
size_t ctl_gateway_length(const char *method, const char *content_length, size_t body_len);

/* {"error": …, "message": …} for a gateway's failure, into `out`. */
void ctl_gateway_body(int32_t status, const char *message, struct mesh__buf *out);

#endif
