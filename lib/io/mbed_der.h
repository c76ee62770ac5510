/*
 * Writing DER (X.690) and what certificates and requests have in common (RFC 5280, RFC 2986). mbedTLS's own writers of both are not used: 2.28's give ECDSA's AlgorithmIdentifier a NULL for parameters, which
 * RFC 5758 section 3.2 forbids and strict verifiers refuse. Everything is written backwards, the last field first, as a length stands before what it measures. mbed_* files alone include it.
 */
#ifndef MESH__IO_MBED_DER_H
#define MESH__IO_MBED_DER_H

#include "io/mbed_common.h" /* first: see there */

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

/* The two arguments that are an OID: MESH__OID(KEY_USAGE). */
#define MESH__OID(name) MBEDTLS_OID_##name, MBEDTLS_OID_SIZE(MBEDTLS_OID_##name)

enum {
	MESH__DER_SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE,
	MESH__DER_SET = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET,
	MESH__DER_CONTEXT = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_CONTEXT_SPECIFIC /* + its number */
};

struct mesh__der {
	unsigned char *start; /* of the buffer */
	unsigned char *p;     /* what is written fills [p, end) */
	unsigned char *end;
	int rc;               /* mbedTLS's number for the first failure; the contents are void then */
};

struct mesh__der mesh__der(unsigned char *buf, size_t size);

void mesh__der_fail(struct mesh__der *d, int rc);

/* Bytes as they are. */
void mesh__der_raw(struct mesh__der *d, const void *bytes, size_t len);

/* Makes what was written since d->p stood at `mark` the contents of an element. */
void mesh__der_wrap(struct mesh__der *d, const unsigned char *mark, int tag);

/* An element with these contents. */
void mesh__der_put(struct mesh__der *d, int tag, const void *bytes, size_t len);

/* Makes what was written since d->p stood at `mark` the value of an extension. */
void mesh__der_extension(struct mesh__der *d, const unsigned char *mark, const char *oid, size_t oid_len, bool critical);

/* A Name with a common name alone, or, with NULL, with nothing. */
void mesh__der_name(struct mesh__der *d, const char *common_name);

/* The SubjectPublicKeyInfo of a key. */
void mesh__der_key(struct mesh__der *d, const mbedtls_pk_context *key);

/* The AlgorithmIdentifier of all our signatures: ECDSA with SHA-256. */
void mesh__der_algorithm(struct mesh__der *d);

/* The body, the algorithm and the signature over the body: a certificate or a request. A failure of `body` becomes one of `d`. */
void mesh__der_signed(struct mesh__der *d, const struct mesh__der *body, const struct mesh__env *env, mbedtls_pk_context *key);

/* For reading: enters an element that must fill [*p, end). mbedTLS's error number, or 0. */
int mesh__der_enter(unsigned char **p, const unsigned char *end, int tag);

#endif
