/*
 * What the CA signs with: the intermediate, its key, and the roots that it hangs from, loaded from a directory and held to each other. The root's key is not kept here: it is read where an
 * intermediate is made, and wiped again, so a directory without it (an offline root) serves as well until the intermediate ends. One thread.
 */
#ifndef MESHCA_KEYSTORE_H
#define MESHCA_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"
#include "meshca/dir.h"

struct meshca_keystore {
	const struct mesh__env *env;
	const struct meshca_dir *dir;
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1]; /* the issuer's URI SAN says it */
	char *roots_pem;
	char *issuer_pem;
	char *issuer_key;              /* locked in memory where the system allows it; wiped at fini */
	struct mesh__cert issuer;
	struct mesh__cert root;        /* the one that the issuer hangs from */
	unsigned char root_pins[MESH__CHAIN_MAX][32];
	size_t n_roots;
	int64_t renew_after_us;        /* not before this moment is a failed renewal tried again */
};

/*
 * Loads issuer.crt, issuer.key and roots.crt and checks that they belong together, that the chain verifies, and that the trust domain is `trust_domain` (NULL: any). With `create` a
 * directory that has none of it gets a root and an intermediate (of "mesh.local" without `trust_domain`), and one with a root but no intermediate gets that. Anything in between is refused with what is missing and what to do.
 * On failure nothing is held. Errors: MESH_E_NOT_FOUND, MESH_E_INVALID, MESH_E_IDENTITY, MESH_E_DENIED, MESH_E_IO, MESH_E_NO_MEMORY.
 */
int meshca_keystore_open(const struct mesh__env *env, const struct meshca_dir *dir, const char *trust_domain, bool create, struct meshca_keystore *out, struct mesh__err *err) MESH__MUST_USE;

/*
 * When less than a third of the intermediate's life is left and root.key is there: renews it on the disk and in here. MESH_OK also when there is nothing to do; *renewed says which. On failure the
 * old one stays, and the next attempt comes an hour later.
 */
int meshca_keystore_renew(struct meshca_keystore *store, bool *renewed, struct mesh__err *err) MESH__MUST_USE;

/* Wipes the key. A zeroed one is accepted. */
void meshca_keystore_fini(struct meshca_keystore *store);

#endif
