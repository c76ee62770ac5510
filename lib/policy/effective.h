/*
 * What a service goes by: its own document over its namespace's over the mesh's over what is built in (POLICY.md), field by field, lists whole; and what a Fault injects into its calls. Pure; on canonical texts, so that whoever keeps documents keeps nothing else.
 */
#ifndef MESH__POLICY_EFFECTIVE_H
#define MESH__POLICY_EFFECTIVE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/name.h"

/* Who says a field, the nearest first. A Fault says `fault` and nothing else, and none of the others says that. */
enum mesh__layer { MESH__LAYER_SERVICE, MESH__LAYER_NAMESPACE, MESH__LAYER_MESH, MESH__LAYER_FAULT, MESH__LAYERS, MESH__LAYER_BUILT_IN = MESH__LAYERS };

/*
 * Adds the one document of kind Service, in canonical form, that `texts` (by layer; NULL: there is none) make of the service `name`. It adds nothing when there is none at all. MESH_E_INVALID when a text is no document,
 * MESH_E_NO_MEMORY, MESH_E_TOO_LARGE.
 */
int mesh__effective(const struct mesh__mem *mem, const struct mesh__name *name, const char *const texts[MESH__LAYERS], struct mesh__buf *out, struct mesh__err *err) MESH__MUST_USE;

/* Told of each field in force: its path ("retries.attempts"), its value in JSON, and who says it. What no document says and nothing is built in for, a list, is left out. Both texts are the caller's for the call alone. */
typedef void (*mesh__effective_fn)(void *ctx, const char *path, const char *value, enum mesh__layer layer);

int mesh__effective_fields(const struct mesh__mem *mem, const char *const texts[MESH__LAYERS], mesh__effective_fn fn, void *ctx, struct mesh__err *err) MESH__MUST_USE;

#endif
