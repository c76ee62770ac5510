/*
 * Whom to believe: the roots of the own trust domain and the serials that were revoked. Immutable once made, shared by reference count; any thread.
 * Bundles are keyed by trust domain: a certificate of another one is refused whatever signed it.
 */
#ifndef MESH__IO_TRUST_H
#define MESH__IO_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"

struct mesh__trust;

/* Copies its arguments; `revoked` are serials in any order. Roots must be CA certificates. */
int mesh__trust_new(const struct mesh__env *env, const char *trust_domain, const char *roots_pem, const char *const *revoked, size_t n_revoked, struct mesh__trust **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__trust *mesh__trust_ref(struct mesh__trust *trust);
void mesh__trust_unref(struct mesh__trust *trust);

/* True when both say the same of every peer: one domain, the same roots, the same serials revoked. */
bool mesh__trust_same(const struct mesh__trust *a, const struct mesh__trust *b);

const char *mesh__trust_domain(const struct mesh__trust *trust);
const char *mesh__trust_roots(const struct mesh__trust *trust);
bool mesh__trust_revoked(const struct mesh__trust *trust, const char *serial);

/*
 * The one judgement of a peer's leaf, used inbound and outbound alike: mesh__pki_leaf_read, then trust domain, revocation and, unless `expect` is NULL, exactly that SPIFFE ID.
 * The chain up to a root is the TLS library's part. MESH_E_IDENTITY with the reason; `reason` (may be NULL) gets one of the fixed words for the counter: "malformed", "uri-san", "ca", "eku",
 * "key", "trust-domain", "revoked", "name".
 */
int mesh__trust_judge(const struct mesh__trust *trust, const void *cert, size_t len, const char *expect, struct mesh__leaf *leaf, const char **reason, struct mesh__err *err) MESH__MUST_USE;

#endif
