/* Certificate requests, for the mbed_* files. */
#ifndef MESH__IO_MBED_CSR_H
#define MESH__IO_MBED_CSR_H

#include "io/mbed_common.h" /* first: see there */

/* mesh__pki_csr_read() that also gives the public key; `key` is initialised by the caller, who frees it whatever the result. */
int mesh__mbed_csr_read(mbedtls_pk_context *key, const char *pem, size_t len, struct mesh__csr *out, struct mesh__err *err) MESH__MUST_USE;

#endif
