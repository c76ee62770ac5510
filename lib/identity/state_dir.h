/*
 * MESH_STATE_DIR: what survives a restart, in <dir>/<ns>.<svc>/<slot>: the identity (one file, so that key and certificate cannot part), the instance id and the last snapshot. A slot is locked
 * (flock) by the process that uses it; a second process of the service takes the next. Directories 0700, files 0600. Blocking; one thread at a time.
 */
#ifndef MESH__IDENTITY_STATE_DIR_H
#define MESH__IDENTITY_STATE_DIR_H

#include "base/env.h"
#include "base/error.h"
#include "identity/svid.h"

struct mesh__state_dir;

int mesh__state_dir_open(const struct mesh__env *env, const char *dir, const char *ns, const char *service, struct mesh__state_dir **out, struct mesh__err *err) MESH__MUST_USE;
void mesh__state_dir_close(struct mesh__state_dir *state);

/* MESH_E_NOT_FOUND when there is none; MESH_E_IDENTITY when it no longer serves (expired, damaged), with the reason. */
int mesh__state_dir_load_svid(struct mesh__state_dir *state, struct mesh__svid **out, struct mesh__err *err) MESH__MUST_USE;
int mesh__state_dir_save_svid(struct mesh__state_dir *state, const struct mesh__svid *svid, struct mesh__err *err) MESH__MUST_USE;

/* The instance id kept here, as a heap string; made and kept on first use. */
int mesh__state_dir_instance(struct mesh__state_dir *state, char **out, struct mesh__err *err) MESH__MUST_USE;

/* The cached snapshot's text. MESH_E_NOT_FOUND without one; MESH_E_INVALID for a torn one; MESH_E_IO, MESH_E_TOO_LARGE, MESH_E_NO_MEMORY. */
int mesh__state_dir_load_snapshot(struct mesh__state_dir *state, char **out, size_t *len, struct mesh__err *err) MESH__MUST_USE;
/* What was kept of another mesh is not to be believed in this one, nor what is older than what could not be kept. */
void mesh__state_dir_forget_snapshot(struct mesh__state_dir *state);
int mesh__state_dir_save_snapshot(struct mesh__state_dir *state, const char *text, size_t len, struct mesh__err *err) MESH__MUST_USE;

#endif
