/*
 * What the mbed_* files share: the differences between mbedTLS 2.28 and 3.6, random numbers from the environment, error texts, PEM, the profile. Nobody else includes it;
 * they include it before any header of mbedTLS, for the macro below.
 * Functions that return int return MESH_OK or an error told in *err, unless they say that they return mbedTLS's numbers.
 */
#ifndef MESH__IO_MBED_COMMON_H
#define MESH__IO_MBED_COMMON_H

/* 3.x hides the fields of its structures behind this; 2.28 knows nothing of it. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mbedtls/version.h>

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"

/* P-256 and SHA-256 alone. */
extern const mbedtls_x509_crt_profile mesh__mbed_profile;

/* mbedTLS's f_rng; `env` is a const struct mesh__env. */
int mesh__mbed_random(void *env, unsigned char *bytes, size_t len);

/* `code`, or MESH_E_NO_MEMORY where mbedTLS's number `rc` says so, with "<formatted>: <what rc means>". */
int mesh__mbed_fail(struct mesh__err *err, int code, int rc, const char *fmt, ...) MESH__PRINTF(4, 5);

/* The first P-256 private key of a PEM text into `key`, initialised by the caller, who frees it whatever the result. */
int mesh__mbed_key_parse(const struct mesh__env *env, mbedtls_pk_context *key, const char *pem, struct mesh__err *err) MESH__MUST_USE;

/*
 * Holds the key's halves to each other (a millisecond of arithmetic): a key file may have another key's public point beside the private number, and what is signed would then not be what is believed. For keys that come
 * from elsewhere, where nobody verifies at once what they sign.
 */
int mesh__mbed_key_check(const struct mesh__env *env, const mbedtls_pk_context *key, struct mesh__err *err) MESH__MUST_USE;

bool mesh__mbed_is_p256(const mbedtls_pk_context *key);
bool mesh__mbed_same_key(const mbedtls_pk_context *a, const mbedtls_pk_context *b);

/* The SHA-256 of the key's SubjectPublicKeyInfo. */
int mesh__mbed_pin(const mbedtls_pk_context *key, unsigned char pin[32], struct mesh__err *err) MESH__MUST_USE;

/* The first `max` certificates of a PEM text (all must parse, there must be one; with `max` MESH__CHAIN_MAX a further one is refused) into `list`, initialised by the caller, who frees it whatever the result. */
int mesh__mbed_certs_parse(mbedtls_x509_crt *list, const char *pem, size_t max, struct mesh__err *err) MESH__MUST_USE;

/* True for a P-256 key and an ECDSA-SHA-256 signature; for all certificates of a list. */
bool mesh__mbed_cert_modern(const mbedtls_x509_crt *cert);
bool mesh__mbed_list_modern(const mbedtls_x509_crt *list);

/* Lower-case hex without leading zeros into out[MESH__SERIAL_MAX]; false when the serial is longer than RFC 5280 allows (20 bytes). */
bool mesh__mbed_serial(const unsigned char *bytes, size_t len, char *out);

/* Milliseconds since 1970. */
int64_t mesh__mbed_time_ms(const mbedtls_x509_time *time);

/* DER to heap PEM of `mem`; `what` stands in its first line, "CERTIFICATE" or "CERTIFICATE REQUEST". */
int mesh__mbed_pem(const struct mesh__mem *mem, const char *what, const unsigned char *der, size_t len, char **pem, struct mesh__err *err) MESH__MUST_USE;

/*
 * What a handshake's and a chain's verification make of one certificate, inside mbedTLS's verify callback: the validity judged by the environment's clock in place of the system's.
 */
void mesh__mbed_judge_time(const struct mesh__env *env, const mbedtls_x509_crt *cert, uint32_t *flags);

/* The reason in a few words, and the fixed word for the counter ("chain", "expired", "not-yet-valid"). */
const char *mesh__mbed_flags_text(uint32_t flags);
const char *mesh__mbed_flags_word(uint32_t flags);

#endif
