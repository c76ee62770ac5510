/* Where the server behind is: what --upstream says. */
#ifndef MESHCTL_UPSTREAM_TARGET_H
#define MESHCTL_UPSTREAM_TARGET_H

#include "http/client.h"

/*
 * "http://host:port", or a UNIX socket: "unix:/path" or "unix:///path" (gRPC's spellings; Docker's is the second). A name is looked up once, here, which blocks: who moves the server starts the proxy anew.
 * MESH_E_INVALID, MESH_E_CONNECT (no such name).
 */
int ctl_upstream_target(const char *url, struct mesh__target *out, struct mesh__err *err) MESH__MUST_USE;

#endif
