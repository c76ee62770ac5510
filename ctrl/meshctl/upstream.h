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

/* To `url` (upstream_target.h; this may block). MESH_E_INVALID, MESH_E_CONNECT (no such name), MESH_E_NO_MEMORY. */
int ctl_upstream_new(const struct mesh__env *env, const char *url, size_t max_body_bytes, struct ctl_upstream **out,
	struct mesh__err *err) MESH__MUST_USE;

/* Before mesh_serve(): from here on the mesh is ready (mesh_set_ready()) while the server behind takes connections. MESH_E_NO_MEMORY, MESH_E_IO, MESH_E_CLOSED. */
int ctl_upstream_start(struct ctl_upstream *upstream, mesh *m, struct mesh__err *err) MESH__MUST_USE;

/* Before mesh_close(): nothing more is said of it. Accepts NULL. */
void ctl_upstream_stop(struct ctl_upstream *upstream);

/* When no request is being handled any more. Accepts NULL. */
void ctl_upstream_free(struct ctl_upstream *upstream);

/* The handler, for mesh_serve() "pool": it waits for the server. `user` is the upstream. */
void ctl_upstream_handle(void *user, mesh_inbound *inbound);

#endif
