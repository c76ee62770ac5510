#include "policy/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mesh__hash(const void *bytes, size_t len, uint64_t seed)
{
	return XXH64(bytes, len, seed);
}
