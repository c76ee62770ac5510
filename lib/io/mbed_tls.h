/* What a TLS configuration and its connections share. mbed_* files alone include it. */
#ifndef MESH__IO_MBED_TLS_H
#define MESH__IO_MBED_TLS_H

#include "io/mbed_common.h" /* first: see there */

#include <stdatomic.h>

#include <mbedtls/ssl.h>

#include "io/tls.h"

/* Never changed once made: the connections' handshakes read it from several threads. */
struct mesh__tls_conf {
	_Atomic unsigned refs;
	const struct mesh__env *env;
	struct mesh__trust *trust;
	bool client_optional;
	bool tls13;                      /* where mbedTLS has it. Not where a client may leave its certificate out: mbedTLS verifies one of those before it can be looked at */
	struct mesh__sessions *sessions; /* NULL: none is resumed */
	mbedtls_ssl_config ssl;
	mbedtls_x509_crt chain, roots;
	mbedtls_pk_context key;
};

/* Has the handshakes under this configuration keep and resume sessions; they are borrowed. */
void mesh__mbed_use_sessions(mbedtls_ssl_config *ssl, struct mesh__sessions *sessions);

#endif
