/* XXH64: fast, well spread, the same on every machine and in every version. Not for keys that somebody might choose so that they collide. Pure. */
#ifndef MESH__POLICY_HASH_H
#define MESH__POLICY_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t mesh__hash(const void *bytes, size_t len, uint64_t seed);

/* The `turn`-th place on a circle of 2^64: steps of the golden ratio, of all steps the one whose places are spread most evenly after any number of them. */
static inline uint64_t mesh__spread(uint64_t turn)
{
	return turn * 0x9e3779b97f4a7c15;
}

#endif
