/*
 * The peer's certificate as the live connection itself has it, read from OpenSSL under libcurl: a resumed handshake shows none, and since 8.12 libcurl's CURLINFO_CERTINFO is
 * empty on it: the session is kept serialised, without the chain, but with the leaf. <openssl/...> is included by the curl_peer* files alone.
 */
#ifndef MESH__HTTP_CURL_PEER_H
#define MESH__HTTP_CURL_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

enum { MESH__PEER_MAX_BYTES = 8 * 1024 };

struct mesh__curl_peer {
	bool resumed;                     /* no certificate was shown in this handshake; this one is the session's */
	bool session_later;               /* what can be resumed of it comes behind the handshake (TLS 1.3) */
	unsigned char sha256[32];         /* of the leaf's DER */
	size_t len;
	unsigned char der[MESH__PEER_MAX_BYTES];
};

/*
 * Before OpenSSL's first use: no clean-up of it at exit(). That would wait for ever in a child that was forked while another thread was in OpenSSL, for a lock of that thread; without it the end of the process takes the memory.
 * No effect in a program that has used OpenSSL before.
 */
void mesh__curl_peer_init(void);

/* False when libcurl runs on another OpenSSL than the one that this library is linked with: its structures are then not ours to read, and no session may be resumed. */
bool mesh__curl_peer_readable(void);

/* Of the connection that `curl` (a CURL) is about to send on, within its pre-request callback; only where they are readable. */
bool mesh__curl_peer_http2(void *curl) MESH__MUST_USE; /* the handshake settled on "h2" */
bool mesh__curl_peer_ended(void *curl) MESH__MUST_USE; /* the peer has said close_notify: nothing sent will be read */

/* Of the connection that `curl` (a CURL) is about to send on, within its pre-request callback; only where they are readable. False: there is no certificate, or one too large. */
bool mesh__curl_peer_read(void *curl, struct mesh__curl_peer *out) MESH__MUST_USE;

#endif
