/* Subject alternative names (RFC 5280 section 4.2.1.6), which 2.28 neither writes nor gives back. mbed_* files alone include it. */
#ifndef MESH__IO_MBED_SAN_H
#define MESH__IO_MBED_SAN_H

#include "io/mbed_der.h"

enum mesh__san_type { MESH__SAN_DNS = 2, MESH__SAN_URI = 6 };

/* Writes the extension's value: `uri`, then `dns` (either may be NULL). */
void mesh__san_write(struct mesh__der *d, const char *uri, const char *dns);

/* How many names of the type (of any, when it is 0) a certificate has; the first of them in *first (unless NULL), which is NULL when there is none. */
size_t mesh__san_find(const mbedtls_x509_crt *cert, int type, const mbedtls_x509_buf **first);

/*
 * True of a URI or DNS name in the constructed form, which DER does not know (X.690 section 10.2): mbedTLS takes its contents for the name, OpenSSL reads pieces of a name in them. And whether a certificate is
 * free of such.
 */
bool mesh__san_misshapen(int tag);
bool mesh__san_der(const mbedtls_x509_crt *cert);

/* True when a CA names a trust domain (by a URI SAN "spiffe://<trust domain>") that is not this one: it issues for its own alone. */
bool mesh__san_foreign_ca(const mbedtls_x509_crt *cert, const char *trust_domain);

#endif
