/* Which endpoint a key goes to (POLICY.md, Load balancing: ringHash, maglev): the one that its table says, unless that is to be avoided or has more than its share of the calls under way. Pure; no allocation. */
#ifndef MESH__POLICY_HASHED_H
#define MESH__POLICY_HASHED_H

#include "policy/balance.h"
#include "policy/ring.h"

/* One of the two. Hosts are numbered as the table's maker had them. */
struct mesh__hash_table {
	const struct mesh__ring_point *ring; /* NULL: a maglev table */
	const uint32_t *maglev;
	size_t size;                         /* of points, or of slots; 0: there is no host */
};

/*
 * The endpoint, host order[…] of the table's, that is first from the key's place on of those least to be avoided with fewer than ceil(1.25·(all calls under way + 1)·weight/all weights) calls under way; an idle one always has. View: all
 * endpoints of the table, with load. MESH__BALANCE_NONE when there is none.
 */
int64_t mesh__hashed_pick(const struct mesh__hash_table *table, const uint32_t *order, const struct mesh__balance_view *view, uint64_t hash);

#endif
