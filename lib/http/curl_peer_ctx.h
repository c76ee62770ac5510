/*
 * What this side brings into every handshake of one identity generation: its certificate chain, its key and the roots it trusts, parsed once into OpenSSL's objects. Given to libcurl as texts
 * they would be parsed anew for each connection, at more cost than the handshake's own arithmetic. Immutable; any thread, several at once: connections take references.
 */
#ifndef MESH__HTTP_CURL_PEER_CTX_H
#define MESH__HTTP_CURL_PEER_CTX_H

#include <stdbool.h>

#include "base/env.h"
#include "base/error.h"

struct mesh__curl_peer_ctx;
struct mesh__curl_sessions;

/*
 * *out stays NULL where libcurl's OpenSSL is not the one that we are linked with (curl_peer.h): its handles then get the texts. MESH_E_INVALID: one of them cannot be read, or the key is not the certificate's;
 * MESH_E_NO_MEMORY.
 */
int mesh__curl_peer_ctx_new(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem, struct mesh__curl_peer_ctx **out, struct mesh__err *err) MESH__MUST_USE;

/* What mesh__creds_sound() says (client.h). */
bool mesh__curl_peer_ctx_sound(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem) MESH__MUST_USE;

/* Connections that were made with it keep what they use. Accepts NULL. */
void mesh__curl_peer_ctx_free(struct mesh__curl_peer_ctx *ctx);

/* What a handle's connections use; borrowed for its life. */
struct mesh__curl_peer_use {
	const struct mesh__curl_peer_ctx *ctx;
	struct mesh__curl_sessions *sessions; /* to resume from, and to keep theirs in; NULL: every handshake is a whole one */
};

/* Every connection that `curl` (a CURL) opens from here on shows this chain and trusts these roots alone. False when libcurl refuses the option. */
bool mesh__curl_peer_ctx_use(const struct mesh__curl_peer_use *use, void *curl) MESH__MUST_USE;

#endif
