/*
 * Joining a mesh as a service: options for mesh_open(), with a token of its own where the admin interface is at hand;
 * and the wait until the mesh is ready.
 */
#ifndef MESHCTL_JOIN_H
#define MESHCTL_JOIN_H

#include <stdint.h>

#include <meshlib/mesh.h>

#include "meshctl/command.h"

/*
 * Opens a mesh as `service` ("name" or "name.namespace"; NULL: what MESH_SERVICE or the token's record says). The
 * command's --namespace, --version, --zone, --listen and --advertise are taken where
 * they are given. MESH_TOKEN unset: mints one, for one use; MESH_CONTROL unset: takes meshd's. CTL_OK, or the exit
 * code, its message given.
 */
int ctl_join(struct ctl *ctl, const char *service, mesh **out) MESH__MUST_USE;

/*
 * Waits for mesh_wait_ready(), until `timeout_ms` or a signal on `signals` (-1: none). CTL_OK, or the exit code, its
 * message given; CTL_OK too after a signal, which *stopped tells.
 */
int ctl_join_wait(struct ctl *ctl, mesh *m, int64_t timeout_ms, int signals, bool *stopped) MESH__MUST_USE;

#endif
