/* The ring of consistent hashing (POLICY.md, Load balancing: ringHash): each host has points on a circle of 2^64 places, and a key is of the host whose point comes first at or behind it. Pure; no allocation. */
#ifndef MESH__POLICY_RING_H
#define MESH__POLICY_RING_H

#include <stddef.h>
#include <stdint.h>

enum { MESH__RING_LEAST = 1024, MESH__RING_MOST = 4096, MESH__HASH_KEY_MAX = 256 };

/* A host as ring and maglev table know it: the same key, the same places, whatever the others are. */
struct mesh__hash_host {
	const char *key;  /* its stable id; of one that is longer than MESH__HASH_KEY_MAX bytes these count */
	uint32_t weight;  /* over 0 */
};

struct mesh__ring_point {
	uint64_t hash;
	uint32_t host;
};

/*
 * How many points a ring of at least `least` has. A host has weight·2^k of them, at least one, where k, which may be negative, is the smallest that gives `least` in all: so there are fewer than twice `least` beside what those "at least one"
 * add, and a host that comes or goes leaves the points of the others alone but where it moves k.
 */
size_t mesh__ring_size(const struct mesh__hash_host *hosts, size_t n, size_t least);

/* Fills in points[mesh__ring_size()]: the i-th of a host, from 0, at XXH64(key + "_" + i, seed 0); in their order on the circle. */
void mesh__ring_fill(const struct mesh__hash_host *hosts, size_t n, size_t least, struct mesh__ring_point *points);

/* The index of the first point whose hash is not less; behind the last one it is the first. */
size_t mesh__ring_find(const struct mesh__ring_point *points, size_t n, uint64_t hash);

#endif
