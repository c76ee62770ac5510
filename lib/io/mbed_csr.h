/* Certificate requests, for the mbed_* files. */
#ifndef MESH__IO_MBED_CSR_H
#define MESH__IO_MBED_CSR_H

#include "io/mbed_common.h" /* first: see there */

#include <mbedtls/x509_csr.h>

/* mesh__pki_csr_read() that also keeps the parsed request; `csr` is initialised by the caller, who frees it whatever the result. */
int mesh__mbed_csr_read(const struct mesh__env *env, mbedtls_x509_csr *csr, const char *pem, size_t len, struct mesh__csr *out, struct mesh__err *err) MESH__MUST_USE;

#endif
