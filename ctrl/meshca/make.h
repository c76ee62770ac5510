/* Making a CA: the root, and intermediates under it. Each step leaves whole files, in an order that a crash cannot turn into a lie. */
#ifndef MESHCA_MAKE_H
#define MESHCA_MAKE_H

#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "meshca/dir.h"

#define MESHCA_ROOT_CERT "root.crt"
#define MESHCA_ROOT_KEY "root.key"
#define MESHCA_ROOTS "roots.crt"
#define MESHCA_ISSUER_CERT "issuer.crt"
#define MESHCA_ISSUER_KEY "issuer.key"
#define MESHCA_ISSUER_CSR "issuer.csr"

enum {
	MESHCA_ROOT_DAYS = 3650,
	MESHCA_ISSUER_DAYS = 365,
	MESHCA_CERTS_MAX_BYTES = 16 * 1024 /* of one certificate file: what goes into an answer must fit a frame */
};

/* root.key, unless it is there, and root.crt over it. MESH_E_EXISTS when root.crt is there. */
int meshca_make_root(const struct mesh__env *env, const struct meshca_dir *dir, const char *trust_domain, int days, struct mesh__err *err) MESH__MUST_USE;

/*
 * An intermediate signed by the root in `root`, written to `out` with a copy of the root: roots.crt, issuer.key, issuer.crt, in this order. With `csr_pem` the key was made elsewhere,
 * and no issuer.key is written. Its life ends with the root's at the latest. MESH_E_EXISTS when issuer.crt is there.
 */
int meshca_make_issuer(const struct mesh__env *env, const struct meshca_dir *root, const struct meshca_dir *out, const char *csr_pem, int days, struct mesh__err *err) MESH__MUST_USE;

/* The same intermediate, its key kept, with a new life: issuer.crt is replaced by one rename. */
int meshca_remake_issuer(const struct mesh__env *env, const struct meshca_dir *dir, const char *issuer_key_pem, int days, struct mesh__err *err) MESH__MUST_USE;

/* issuer.key, unless it is there, and issuer.csr over it, to be signed where the root is. MESH_E_EXISTS when there is a request or an intermediate already. */
int meshca_make_request(const struct mesh__env *env, const struct meshca_dir *dir, struct mesh__err *err) MESH__MUST_USE;

#endif
