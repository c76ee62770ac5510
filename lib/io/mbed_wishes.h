/*
 * What a certificate request asks for: the extensions in its attributes (RFC 2985 section 5.4.2). Of these mbedTLS 2.28 parses none, and 3.6 some, refusing requests with others. mbed_* files alone include it.
 */
#ifndef MESH__IO_MBED_WISHES_H
#define MESH__IO_MBED_WISHES_H

#include "io/mbed_common.h" /* first: see there */

#include <mbedtls/asn1.h>

/* Judges the contents of the attributes and notes the URI name in *out, zeroed by the caller. MESH_E_INVALID with the reason. */
int mesh__csr_wishes(const mbedtls_asn1_buf *attributes, struct mesh__csr *out, struct mesh__err *err) MESH__MUST_USE;

#endif
