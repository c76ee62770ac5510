/*
 * A look at the peer's certificates before any arithmetic. mbedTLS verifies signatures with whatever key a stranger sent (an RSA key with a giant exponent costs seconds) before it asks us; but in TLS 1.2 the
 * client's Certificate message travels in the clear, so that whole records can be looked at first and held back when they are over a bound. In TLS 1.3 it does not (mbed_tls13.h). mbed_* files alone include it.
 */
#ifndef MESH__IO_MBED_PREVIEW_H
#define MESH__IO_MBED_PREVIEW_H

#include "io/mbed_common.h"

/* What is refused by the looks of it, here and in TLS 1.3. */
#define MESH__CHAIN_TOO_LONG   "the peer's chain is too long"
#define MESH__CHAIN_NOT_MODERN "every key in the peer's chain must be EC P-256 and every signature ECDSA with SHA-256"

/* Zeroed at first. */
struct mesh__preview {
	bool done;        /* the handshake's plaintext is over: everything that follows may pass */
	bool certificate; /* the peer has shown a certificate, in the clear */
	bool tls13;       /* its ClientHello offers TLS 1.3, or is too odd to tell that it does not */
	const char *word; /* on failure: the counter's word */
};

/*
 * Judges the whole records at `bytes` and says in *cleared how many bytes may pass. MESH_OK; MESH_E_TLS what is no TLS, or a handshake message in pieces (mbedTLS 2.28 takes none either);
 * MESH_E_IDENTITY more than MESH__CHAIN_MAX certificates, or one that is not P-256.
 */
int mesh__preview(struct mesh__preview *preview, const unsigned char *bytes, size_t len, size_t *cleared, struct mesh__err *err) MESH__MUST_USE;

#endif
