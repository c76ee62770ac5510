/*
 * What TLS 1.3 does otherwise (RFC 8446), where mbedTLS has it for servers (3.6): the client's certificate travels encrypted, so that it is looked at between two steps of the handshake and not before them; and a
 * session is resumed by a ticket, whose callbacks are told the configuration alone, so that each connection has a copy of it. With 2.28 nothing of this happens. mbed_* files alone include it.
 *
 * A ticket is the random name of an entry in the server's cache of sessions, which holds the peer's leaf beside mbedTLS's session: who resumes is judged by it again.
 */
#ifndef MESH__IO_MBED_TLS13_H
#define MESH__IO_MBED_TLS13_H

#include "io/mbed_tls.h"

struct mesh__tls13 {
	const struct mesh__tls_conf *conf;
	mbedtls_ssl_config own;   /* the configuration with this connection's callbacks: what it points to is borrowed, nothing in it is freed */
	mbedtls_x509_crt resumed; /* the leaf of the session whose ticket was taken last */
	mbedtls_ssl_context *ssl;
};

/* The versions, suites and key exchanges of a configuration, before any connection. */
void mesh__tls13_conf(struct mesh__tls_conf *conf);

/* Sets `ssl` up under `conf`, for a whole handshake; mbedTLS's number. `t` must stay where it is until mesh__tls13_fini(), which is due whatever the result, after mbedtls_ssl_free(). */
int mesh__tls13_setup(struct mesh__tls13 *t, const struct mesh__tls_conf *conf, mbedtls_ssl_context *ssl);
void mesh__tls13_fini(struct mesh__tls13 *t);

/* The client offers TLS 1.3: it may come with a ticket, and is given some. Not to one that has TLS 1.2 alone, to which mbedTLS would give tickets in place of a session's id. Before mbedTLS sees the ClientHello. */
void mesh__tls13_offered(struct mesh__tls13 *t);

/* Before each step of the handshake. True when it takes the client's certificate, of TLS 1.3: that step will then judge nothing. */
bool mesh__tls13_takes_certificate(struct mesh__tls13 *t);

/* After that step: the chain as it came, unjudged. */
mbedtls_x509_crt *mesh__tls13_chain(const struct mesh__tls13 *t);

/* The leaf of the session that a handshake has resumed; NULL: not in TLS 1.3. */
const mbedtls_x509_crt *mesh__tls13_resumed(const struct mesh__tls13 *t);

#endif
