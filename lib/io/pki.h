/*
 * Keys, certificate requests and certificates: P-256 with ECDSA-SHA-256 alone (DESIGN section 5; RFC 5280, RFC 2986). Everything is PEM. Pure but for the environment's random numbers
 * and wall clock; any thread.
 */
#ifndef MESH__IO_PKI_H
#define MESH__IO_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"
#include "wire/name.h"

enum {
	MESH__SERIAL_MAX = 41,               /* lower-case hex without leading zeros, and a NUL */
	MESH__PEM_MAX_BYTES = 64 * 1024,     /* no PEM input is taken that is larger */
	MESH__CSR_MAX_BYTES = 16 * 1024,
	MESH__CHAIN_MAX = 8,                 /* certificates in one PEM text */
	MESH__PUBLIC_KEY_BYTES = 91          /* a P-256 key, its point not compressed, as DER SubjectPublicKeyInfo: always that many */
};

/* One-time set-up of the crypto library (psa_crypto_init, one AES operation), safe to call from several threads, cheap after the first. Called by every program and by mesh_open(). */
int mesh__pki_init(struct mesh__err *err) MESH__MUST_USE;

/* A new private key, as heap PEM to be freed with mesh__free_secret(). */
int mesh__pki_key_new(const struct mesh__env *env, char **key_pem, struct mesh__err *err) MESH__MUST_USE;

/* The SHA-256 of the public key (DER SubjectPublicKeyInfo) of a certificate (the first in the text) or of a private key. */
int mesh__pki_pin_of_cert(const char *cert_pem, unsigned char pin[32], struct mesh__err *err) MESH__MUST_USE;
int mesh__pki_pin_of_key(const char *key_pem, unsigned char pin[32], struct mesh__err *err) MESH__MUST_USE;

/* A request signed with the key. `spiffe` (NULL: none) is put in as a URI SAN. Heap PEM. Whoever reads it finds out whether the key's private half belongs to its public one. */
int mesh__pki_csr_new(const struct mesh__env *env, const char *key_pem, const char *spiffe, char **csr_pem, struct mesh__err *err) MESH__MUST_USE;

/* What a request asks for. */
struct mesh__csr {
	unsigned char key[MESH__PUBLIC_KEY_BYTES];
	unsigned char pin[32];              /* of the key */
	bool has_uri;
	char spiffe[MESH__SPIFFE_MAX];      /* its one URI SAN, "" without */
};

/*
 * Reads and judges a request: size, self-signature, P-256, at most one URI SAN and that a valid SPIFFE ID, no CA:TRUE, no keyCertSign. Whether the name may be had is the caller's question.
 * Errors: MESH_E_INVALID with the reason, MESH_E_TOO_LARGE before any parsing.
 */
int mesh__pki_csr_read(const struct mesh__env *env, const char *csr_pem, size_t len, struct mesh__csr *out, struct mesh__err *err) MESH__MUST_USE;

/*
 * The same but for the self-signature, which is more than a millisecond of arithmetic, and for whether the key is a point of the curve: for who hands the request to a CA, which reads it whole, and nothing is
 * issued over *out.
 */
int mesh__pki_csr_preview(const char *csr_pem, size_t len, struct mesh__csr *out, struct mesh__err *err) MESH__MUST_USE;

/* ---- Issuing. An issuer's key is one that mesh__pki_matches() found to be its certificate's: here the public halves alone are compared, not the private one each time. ---- */

/* The times of a new certificate, in milliseconds since 1970, cut to seconds. */
struct mesh__validity {
	int64_t not_before_ms;
	int64_t not_after_ms;
};

/* A self-signed root: CN "<trust domain> root", CA:TRUE, keyCertSign + cRLSign, URI SAN spiffe://<trust domain>. Heap PEM. */
int mesh__pki_root(const struct mesh__env *env, const char *trust_domain, const char *key_pem, const struct mesh__validity *validity, char **cert_pem, struct mesh__err *err) MESH__MUST_USE;

/* An intermediate over the key of a request that mesh__pki_csr_read() took: CN "<trust domain> intermediate", CA:TRUE, pathlen 0, keyCertSign + cRLSign, URI SAN spiffe://<trust domain>. Heap PEM. */
int mesh__pki_intermediate(const struct mesh__env *env, const char *trust_domain, const struct mesh__csr *csr, const char *root_pem, const char *root_key_pem, const struct mesh__validity *validity, char **cert_pem, struct mesh__err *err) MESH__MUST_USE;

/*
 * A leaf for `name` over the key of a request that mesh__pki_csr_read() took: empty subject, random 128-bit serial, CA:FALSE critical, digitalSignature critical, EKU serverAuth + clientAuth, subject and authority key ids,
 * SAN critical with one URI (the SPIFFE ID) and one DNS name. not_after is cut to the issuer's. Heap PEM of the leaf alone; serial[MESH__SERIAL_MAX].
 */
int mesh__pki_leaf(const struct mesh__env *env, const struct mesh__name *name, const struct mesh__csr *csr, const char *issuer_pem, const char *issuer_key_pem, const struct mesh__validity *validity, char **cert_pem, char *serial, struct mesh__err *err) MESH__MUST_USE;

/* ---- Judging ---- */

/* A peer's certificate, judged. */
struct mesh__leaf {
	struct mesh__name name;
	char spiffe[MESH__SPIFFE_MAX];
	char serial[MESH__SERIAL_MAX];
	int64_t not_before_ms, not_after_ms;
};

/*
 * Reads the first certificate of `pem` (or one DER certificate) and holds it to the rules for a leaf that do not need a chain: exactly one URI SAN, a valid SPIFFE ID; exactly one DNS SAN, that of the SPIFFE ID; no CA, no keyCertSign; EKU present with
 * serverAuth and clientAuth; P-256 key, ECDSA-SHA-256 signature; at most 16 SANs, each in DER, no wildcard among
 * them. Neither chain nor time is checked here. MESH_E_IDENTITY with the reason; caps come before arithmetic.
 */
int mesh__pki_leaf_read(const void *cert, size_t len, struct mesh__leaf *out, struct mesh__err *err) MESH__MUST_USE;

/* The same, with the fixed word for the counter in *reason when the leaf is refused: "malformed", "uri-san", "ca", "eku", "key", "name". */
int mesh__pki_leaf_judge(const void *cert, size_t len, struct mesh__leaf *out, const char **reason, struct mesh__err *err) MESH__MUST_USE;

/* Judges a CA of a peer's chain (PEM or DER): one that names a trust domain issues for that one alone. MESH_E_IDENTITY with the reason. Whether it may sign at all is the chain's question. */
int mesh__pki_ca_judge(const void *cert, size_t len, const char *trust_domain, struct mesh__err *err) MESH__MUST_USE;

/* Facts of any certificate (the first of the text), for `meshca show`, `meshctl cert show` and checks. */
struct mesh__cert {
	bool ca;
	int pathlen;                         /* -1: none */
	char subject[256], issuer[256];
	char serial[MESH__SERIAL_MAX];
	char uri[MESH__SPIFFE_MAX];          /* the first URI SAN, "" without */
	char dns[MESH__DNS_MAX];             /* the first DNS SAN, "" without */
	unsigned char pin[32];
	int64_t not_before_ms, not_after_ms;
};
int mesh__pki_cert_read(const char *pem, struct mesh__cert *out, struct mesh__err *err) MESH__MUST_USE;

/* True when the first certificate's issuer is its subject and the signature verifies with its own key (a millisecond of arithmetic). */
bool mesh__pki_self_signed(const char *pem);

/* True when the private key belongs to the first certificate. */
bool mesh__pki_matches(const char *cert_pem, const char *key_pem);

/* Verifies chain_pem (leaf first) up to one of roots_pem at the wall clock of `env`, path lengths included. MESH_E_IDENTITY with the reason. */
int mesh__pki_chain_verify(const struct mesh__env *env, const char *chain_pem, const char *roots_pem, struct mesh__err *err) MESH__MUST_USE;

/* The certificates of a PEM text, one heap PEM each, at most MESH__CHAIN_MAX; each is parsed. *n certificates in out[]; on failure none. */
int mesh__pki_split(const struct mesh__mem *mem, const char *pem, char *out[MESH__CHAIN_MAX], size_t *n, struct mesh__err *err) MESH__MUST_USE;

/* SHA-256. */
void mesh__sha256(const void *bytes, size_t len, unsigned char out[32]);

#endif
