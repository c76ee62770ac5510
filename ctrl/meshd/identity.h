/* meshd's own name, meshd.mesh-system.<trust domain>: a new key with every certificate, renewed well before its end. */
#ifndef MESHD_IDENTITY_H
#define MESHD_IDENTITY_H

#include "meshd/meshd.h"

/* Asks the CA for a certificate, then and again for its renewal, until meshd stops. `obtained` runs after each success. MESH_E_NO_MEMORY. */
int meshd_identity_start(struct meshd *meshd, void (*obtained)(struct meshd *meshd), struct mesh__err *err) MESH__MUST_USE;

/* Puts identity and trust into force on the control listener, as far as each is there. */
int meshd_identity_apply(struct meshd *meshd, struct mesh__err *err) MESH__MUST_USE;

void meshd_identity_fini(struct meshd *meshd);

/* When to renew a leaf with so much life left: at a point between 25% and 45% of it, so that a fleet does not renew at once. Pure. */
int64_t meshd_identity_renew_in(int64_t life_ms, uint64_t dice);

#endif
