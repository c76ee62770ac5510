/*
 * Server-side TLS that never touches a socket: ciphertext in, plaintext and ciphertext out. TLS 1.2 (ECDHE-ECDSA, AES-GCM or ChaCha20, P-256/X25519), and 1.3 where mbedTLS has it (3.6) and the
 * peer must show a certificate; no renegotiation, no compression, no early data. Sessions are resumed from a cache of ours, by their ids, in 1.3 by tickets that are such ids; the peer's leaf is kept with the session, and is
 * judged again. ALPN "http/1.1", and "h2" where it is asked for; a client that names no protocol is served HTTP/1.1.
 */
#ifndef MESH__IO_TLS_H
#define MESH__IO_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"
#include "io/pki.h"
#include "io/sessions.h"
#include "io/trust.h"

/* Certificate, key, trust: immutable, counted. A rotation makes a new one; connections keep theirs. Any thread. */
struct mesh__tls_conf;

struct mesh__tls_conf_options {
	const char *chain_pem;  /* leaf, then intermediates */
	const char *key_pem;
	struct mesh__trust *trust;
	bool client_optional;   /* true: a client may show no certificate (meshd); one that it shows must be good all the same */
	bool http2;             /* of a client that takes both, "h2" is chosen */
	bool tls12;             /* TLS 1.2 is the most */
	struct mesh__sessions *sessions; /* referenced; one a trust (see there). NULL: every handshake is a whole one */
};

int mesh__tls_conf_new(const struct mesh__env *env, const struct mesh__tls_conf_options *options, struct mesh__tls_conf **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__tls_conf *mesh__tls_conf_ref(struct mesh__tls_conf *conf);
void mesh__tls_conf_unref(struct mesh__tls_conf *conf);

/*
 * The sessions to go on with under `trust`, where a new configuration takes the place of `old` (NULL: of none): those of `old` when its trust says the same, so that a renewed certificate costs
 * no peer a whole handshake; else an empty cache, so that nobody comes back who is believed no longer. For the caller to unref; NULL when out of memory.
 */
struct mesh__sessions *mesh__tls_conf_sessions(const struct mesh__env *env, const struct mesh__tls_conf *old, const struct mesh__trust *trust) MESH__MUST_USE;

/* One connection. One thread at a time. */
struct mesh__tls;

int mesh__tls_new(struct mesh__tls_conf *conf, struct mesh__tls **out) MESH__MUST_USE;
void mesh__tls_free(struct mesh__tls *tls);

/*
 * Takes ciphertext (NULL, 0: just goes on); appends plaintext to `plain` and what is to be sent to `out` (one flight whole, an alert too). MESH_OK, or: MESH_E_CLOSED the peer said
 * close_notify (what came before it is in `plain`; an answer and mesh__tls_close() may still follow); MESH_E_IDENTITY, MESH_E_TLS the handshake was refused, with the reason (send `out`, then close); MESH_E_PROTOCOL a bad record; MESH_E_NO_MEMORY; MESH_E_TOO_LARGE.
 */
int mesh__tls_receive(struct mesh__tls *tls, const char *in, size_t len, struct mesh__buf *plain, struct mesh__buf *out, struct mesh__err *err) MESH__MUST_USE;

/* Encrypts; after the handshake only. */
int mesh__tls_send(struct mesh__tls *tls, const void *bytes, size_t len, struct mesh__buf *out, struct mesh__err *err) MESH__MUST_USE;

/* Appends close_notify. */
void mesh__tls_close(struct mesh__tls *tls, struct mesh__buf *out);

bool mesh__tls_established(const struct mesh__tls *tls);

/* True when the handshake resumed a session: no certificate was shown in it, the peer's leaf is the one that it showed when the session was made. */
bool mesh__tls_resumed(const struct mesh__tls *tls);

/*
 * Whether the connection's first bytes are a ClientHello that offers a session of the cache by its id, so that what follows costs a tenth of a whole handshake. A guess: a ticket of TLS 1.3, and a hello in pieces, is none. Changes nothing.
 */
bool mesh__tls_offers_session(const struct mesh__tls *tls, const char *in, size_t len);

/* True when the handshake settled on "h2"; false before its end. */
bool mesh__tls_is_http2(const struct mesh__tls *tls);

/* The peer's judged leaf, or NULL without one (client_optional). Lives as long as the connection. */
const struct mesh__leaf *mesh__tls_peer(const struct mesh__tls *tls);

/* Why the handshake was refused, one fixed word for the counter: those of mesh__trust_judge, and "no-certificate", "chain", "expired", "not-yet-valid", "protocol". "" before. */
const char *mesh__tls_refusal(const struct mesh__tls *tls);

#endif
