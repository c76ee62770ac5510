/* Fail static across a restart: the last snapshot in the state directory, kept as the very records that would bring it. Control loop only. */
#ifndef MESH__CONTROL_CACHE_H
#define MESH__CONTROL_CACHE_H

#include "control/credentials.h"
#include "control/model.h"
#include "identity/state_dir.h"

/* Writes what there is; nothing when there is nothing yet. */
int mesh__cache_save(struct mesh__state_dir *state, const struct mesh__env *env, const struct mesh__credentials *credentials, const struct mesh__model *model, struct mesh__err *err) MESH__MUST_USE;

/* Reads it, each record judged as meshd's own would be; true when anything was taken. */
bool mesh__cache_load(struct mesh__state_dir *state, const struct mesh__env *env, struct mesh__credentials *credentials, struct mesh__model *model);

#endif
