/*
 * TLS sessions that connections to one endpoint, under one identity generation, resume from each other. Counted; any thread: its locks are taken when a connection is made, never for a call on a kept one.
 *
 * A session is kept as soon as its handshake is done: before this side has judged the peer. So the share also knows the leaves whose whole handshake on it was judged good, chain and all; who resumes
 * checks that his peer's leaf is among them. After a refusal the share is spoiled: what is in it is used no more, and its owner makes another.
 */
#ifndef MESH__HTTP_CURL_SHARE_H
#define MESH__HTTP_CURL_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"

struct mesh__share;
struct mesh__curl_sessions;

/* *out stays NULL where resumed peers could not be seen (curl_peer.h): every handshake is then a whole one. MESH_E_NO_MEMORY. */
int mesh__share_new(const struct mesh__env *env, struct mesh__share **out, struct mesh__err *err) MESH__MUST_USE;
struct mesh__share *mesh__share_ref(struct mesh__share *share);

/* After the last handle that uses it has been cleaned up. Accepts NULL. */
void mesh__share_unref(struct mesh__share *share);

/* The sessions themselves, borrowed. */
struct mesh__curl_sessions *mesh__share_sessions(struct mesh__share *share);

/* The leaf of a whole handshake was judged good, until `not_after_ms`. The last few such are remembered. */
void mesh__share_vouch(struct mesh__share *share, const unsigned char sha256[32], int64_t not_after_ms);
bool mesh__share_vouched(struct mesh__share *share, const unsigned char sha256[32]);

void mesh__share_spoil(struct mesh__share *share);

/* False: it is spoiled, or a leaf in it is about to expire, so that a new dial better begins with a new one. */
bool mesh__share_good(struct mesh__share *share);

#endif
