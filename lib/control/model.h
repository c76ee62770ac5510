/*
 * What the control plane has said so far: per service its endpoints, its documents and their versions; the roots and revocations. Records go in, services come out. The last good stays: a record that cannot be used
 * is refused by name and changes nothing. Control loop only.
 */
#ifndef MESH__CONTROL_MODEL_H
#define MESH__CONTROL_MODEL_H

#include "base/map.h"
#include "control/snapshot.h"
#include "policy/document.h"
#include "wire/message.h"

struct mesh__model;

int mesh__model_new(const struct mesh__env *env, const struct mesh__endpoint_source *source, const char *trust_domain, const char *ns, struct mesh__model **out, struct mesh__err *err) MESH__MUST_USE;
void mesh__model_free(struct mesh__model *model);

/* The trust domain is known once there is an identity: before any record is applied. What was asked for before learns it too. */
void mesh__model_trust_domain(struct mesh__model *model, const char *trust_domain);

/* Adds the static documents of MESH_ENDPOINTS: endpoints, which stand beside what the control plane says, and what their Service, their Namespace and the Mesh make of the policy (policy/effective.h). After mesh__model_own() and before any record; MESH_E_NO_MEMORY: none was added, a later call may add them all. Without a control plane they (none, too) tell this process's own policy, which stays unknown when they fail. */
int mesh__model_static(struct mesh__model *model, const struct mesh__document *documents, struct mesh__err *err) MESH__MUST_USE;

/*
 * Applies an ENDPOINTS or CONFIG record. MESH_OK and *changed, or the refusal: MESH_E_INVALID (a set that merely comes empty, a document that does not parse, a service, or the endpoints of one, never asked for), MESH_E_NO_MEMORY. What stood before stands then.
 */
int mesh__model_apply(struct mesh__model *model, const struct mesh__record *record, bool *changed, struct mesh__err *err) MESH__MUST_USE;

/* The services as calls see them: "service.namespace" -> struct mesh__service. Borrowed until the next apply. */
const struct mesh__map *mesh__model_services(const struct mesh__model *model);

/* Adds a service to what is subscribed to; true when it is new. False also when out of memory (then a later call asks again). */
bool mesh__model_want(struct mesh__model *model, const char *key);

/* Whether a document has, since this was last asked, named services as destinations that were not subscribed to. Now they are. */
bool mesh__model_wants_more(struct mesh__model *model);

/* Says which service this process is: its configuration is subscribed to, unless it is `alone`, without a control plane. Before any record. False when out of memory. */
bool mesh__model_own(struct mesh__model *model, const char *key, bool alone) MESH__MUST_USE;
bool mesh__model_is_own(const struct mesh__model *model, const char *key);

/* What that service's documents say, borrowed until the next apply; NULL: nobody has told yet, neither the control plane nor, without one, the static documents. */
const struct mesh__service_policy *mesh__model_own_policy(const struct mesh__model *model);

/* Whether asking for it again may help: it is not subscribed to, and there is room for it. */
bool mesh__model_may_want(const struct mesh__model *model, const char *key);

/* The subscription with versions, so that only changes come. The strings are borrowed; the caller frees the array with mesh__free(). */
int mesh__model_interests(const struct mesh__model *model, struct mesh__msg_interest **out, size_t *n, struct mesh__err *err) MESH__MUST_USE;

/* The records that would bring an empty model here: the cached snapshot. Appends lines. */
void mesh__model_dump(const struct mesh__model *model, struct mesh__buf *out);

#endif
