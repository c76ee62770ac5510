/* To which side of a split a request goes (POLICY.md, Routes). Pure; no allocation. */
#ifndef MESH__POLICY_SPLIT_H
#define MESH__POLICY_SPLIT_H

#include "policy/match.h"

/* The side of the `turn`-th request: over any run of turns each side has its weight's share of them but for a few (a golden ratio sequence: no more than 3 off in the first 10,000). At least one of the `n` sides weighs something. */
size_t mesh__split_draw(const struct mesh__side *sides, size_t n, uint64_t turn);

/* The side of a key: the same in every process. When weights change, the keys that move are those that the sides that gain by it win from the others, no more (weighted rendezvous over XXH64 of key and side). */
size_t mesh__split_sticky(const struct mesh__side *sides, size_t n, const char *key, size_t len);

/* The key of a request; into room[cap] where it has to be decoded, else borrowed. "source" is the calling instance. NULL: the request has none, or an empty one. */
const char *mesh__sticky_key(const struct mesh__sticky *sticky, const struct mesh__request_view *view, char *room, size_t cap, size_t *len);

#endif
