/*
 * An SVID: the private key, the certificate chain and the roots of one identity generation, checked to belong together. Immutable, counted, any thread.
 */
#ifndef MESH__IDENTITY_SVID_H
#define MESH__IDENTITY_SVID_H

#include <stdint.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"

struct mesh__svid {
	_Atomic int refs;
	char *key_pem;          /* wiped when the last reference goes */
	char *chain_pem;        /* leaf, then intermediates */
	char *roots_pem;
	struct mesh__leaf leaf; /* names, serial, times */
};

/* Copies its arguments after checking that the leaf is one of the mesh, that the key is its own, and that the chain verifies up to the roots at the wall clock. MESH_E_IDENTITY with the reason. */
int mesh__svid_new(const struct mesh__env *env, const char *key_pem, const char *chain_pem, const char *roots_pem, struct mesh__svid **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__svid *mesh__svid_ref(struct mesh__svid *svid);
void mesh__svid_unref(struct mesh__svid *svid);

/* From three PEM files (MESH_CERTIFICATE, MESH_KEY, MESH_BUNDLE). MESH_E_IO, MESH_E_TOO_LARGE, MESH_E_IDENTITY, naming the file. */
int mesh__svid_from_files(const struct mesh__env *env, const char *cert_file, const char *key_file, const char *roots_file, struct mesh__svid **out, struct mesh__err *err) MESH__MUST_USE;

/* The root of `roots_pem` whose public key has this pin, as heap PEM. MESH_E_NOT_FOUND when none has; MESH_E_NO_MEMORY; what mesh__pki_split() says of the text. */
int mesh__svid_pinned_root(const struct mesh__env *env, const char *roots_pem, const unsigned char pin[32], char **out, struct mesh__err *err) MESH__MUST_USE;

/*
 * When to renew: a point drawn between 25% and 45% of the certificate's life since it was issued (not since the minute before, to which it is dated back), as milliseconds from now (0: at once). `wall_ms` is only used to see how old the certificate is when it comes; the
 * wait itself is on the monotonic clock. Pure.
 */
int64_t mesh__svid_renew_in_ms(const struct mesh__leaf *leaf, int64_t wall_ms, uint64_t draw);

#endif
