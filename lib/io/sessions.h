/*
 * TLS sessions that a server may resume (RFC 5246 section 7.3), kept serialised under their ids. Bounded in number, bytes and age: the oldest go first. Counted; any thread: the loops of one server share one cache.
 *
 * One cache serves one trust: who is believed anew, or no longer, begins with an empty one. Renewing the server's own certificate changes nothing for its peers, so the cache stays.
 */
#ifndef MESH__IO_SESSIONS_H
#define MESH__IO_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

enum {
	MESH__SESSION_ID_BYTES = 32,
	MESH__SESSION_MAX_BYTES = 4096,      /* of one, serialised; a peer's certificate is the most of it. A larger one is not kept. */
	MESH__SESSIONS_MAX = 8192,
	MESH__SESSIONS_MAX_BYTES = 12 * 1024 * 1024,
	MESH__SESSION_LIFE_MS = 2 * 3600 * 1000
};

struct mesh__sessions;

/* NULL when out of memory. */
struct mesh__sessions *mesh__sessions_new(const struct mesh__env *env) MESH__MUST_USE;
struct mesh__sessions *mesh__sessions_ref(struct mesh__sessions *sessions);
void mesh__sessions_unref(struct mesh__sessions *sessions);

/* Keeps a copy for MESH__SESSION_LIFE_MS, at most until `not_after_ms` on the wall clock: the end of the peer's certificate. Not kept: what is too large, or when memory is out. An id is never put twice. */
void mesh__sessions_put(struct mesh__sessions *sessions, const unsigned char id[MESH__SESSION_ID_BYTES], const void *bytes, size_t len, int64_t not_after_ms);

/* Copies a session out, and leaves it in: one may be resumed by several connections. Its size, or 0: there is none. */
size_t mesh__sessions_get(struct mesh__sessions *sessions, const unsigned char id[MESH__SESSION_ID_BYTES], unsigned char bytes[MESH__SESSION_MAX_BYTES]);

#endif
