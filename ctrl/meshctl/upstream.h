/*
 * The reverse proxy: requests of the mesh go on to an unchanged HTTP server, and its responses back, both while they pass. It has a loop of its own, "mesh-up", on which every exchange with that server runs; no thread waits.
 */
#ifndef MESHCTL_UPSTREAM_H
#define MESHCTL_UPSTREAM_H

#include <stdbool.h>

#include <meshlib/mesh.h>

#include "base/env.h"
#include "base/error.h"

struct ctl_upstream;

/* To `url` (upstream_target.h; this may block), by HTTP/1.1 or, with `http2`, by HTTP/2 with prior knowledge. MESH_E_INVALID, MESH_E_CONNECT (no such name), MESH_E_NO_MEMORY. */
int ctl_upstream_new(const struct mesh__env *env, const char *url, bool http2, struct ctl_upstream **out, struct mesh__err *err) MESH__MUST_USE;

/* Before mesh_serve(): from here on the mesh is ready (mesh_set_ready()) while the server behind takes connections. MESH_E_NO_MEMORY, MESH_E_IO, MESH_E_CLOSED. */
int ctl_upstream_start(struct ctl_upstream *upstream, mesh *m, struct mesh__err *err) MESH__MUST_USE;

/* The handler, for mesh_serve() "inline", with request bodies "streamed". `user` is the upstream. */
void ctl_upstream_handle(void *user, mesh_inbound *inbound);

/* After mesh_close(): breaks off what is left, and frees. Accepts NULL. */
void ctl_upstream_free(struct ctl_upstream *upstream);

#endif
