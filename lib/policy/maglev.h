/*
 * Maglev's table (POLICY.md, Load balancing: maglev): a key is of the host that has the slot hash mod size. Each host has an order of its own in which it would take the slots, and they take one in turn until none is left: shares are
 * more even than a ring's, and finding one costs a load; when a host goes, a few keys of others move with its own. Pure; no allocation.
 */
#ifndef MESH__POLICY_MAGLEV_H
#define MESH__POLICY_MAGLEV_H

#include <stddef.h>
#include <stdint.h>

#include "policy/ring.h"

enum { MESH__MAGLEV_SIZE = 65537 };

/* Where a host stands while the table is filled. */
struct mesh__maglev_turn {
	uint32_t next, step;
	uint64_t due;
};

/*
 * Fills in table[size], of a prime `size`, with indices of hosts: host k would take the slots offset = XXH64(key, 0) mod size, offset + skip, … with skip = XXH64(key, 1) mod (size - 1) + 1. The heaviest take one in every round, one of
 * half their weight in every other. turns[n] is room. At least one host.
 */
void mesh__maglev_fill(const struct mesh__hash_host *hosts, size_t n, struct mesh__maglev_turn *turns, uint32_t *table, uint32_t size);

#endif
