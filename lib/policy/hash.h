/* XXH64: fast, well spread, the same on every machine and in every version. Not for keys that somebody might choose so that they collide. Pure. */
#ifndef MESH__POLICY_HASH_H
#define MESH__POLICY_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t mesh__hash(const void *bytes, size_t len, uint64_t seed);

#endif
