/*
 * TLS sessions that connections to one endpoint resume from each other, kept as OpenSSL's own objects: the newest is offered by each dial. libcurl would keep them too, but one of TLS 1.3 for a single use (RFC 8446
 * appendix C.4 asks for that against those who would follow a client about, which a mesh whose peers know each other's names does not fear), so that of many who dial at once most would shake hands in whole.
 * <openssl/...> is included by the curl_peer* files alone.
 *
 * Counted; any thread: its lock is taken when a connection is made, never for a call on a kept one.
 */
#ifndef MESH__HTTP_CURL_PEER_SESSIONS_H
#define MESH__HTTP_CURL_PEER_SESSIONS_H

#include <stdbool.h>

#include "base/env.h"

struct mesh__curl_sessions;

/* NULL when out of memory. Only where OpenSSL's objects are ours to touch (curl_peer.h). */
struct mesh__curl_sessions *mesh__curl_sessions_new(const struct mesh__env *env) MESH__MUST_USE;
struct mesh__curl_sessions *mesh__curl_sessions_ref(struct mesh__curl_sessions *sessions);
void mesh__curl_sessions_unref(struct mesh__curl_sessions *sessions); /* Accepts NULL */

/* Connections made under `ssl_ctx` (an SSL_CTX, which holds a reference from here on) offer the newest session, and theirs become the newest. False when out of memory. */
bool mesh__curl_sessions_use(struct mesh__curl_sessions *sessions, void *ssl_ctx) MESH__MUST_USE;

/* Whether there is one to offer. */
bool mesh__curl_sessions_any(struct mesh__curl_sessions *sessions);

#endif
