#include "policy/maglev.h"

#include <string.h>

#include "policy/hash.h"

static const uint32_t nobody = UINT32_MAX;

static void begin(const struct mesh__hash_host *host, struct mesh__maglev_turn *turn, uint32_t size)
{
	size_t len = strnlen(host->key, MESH__HASH_KEY_MAX);

	turn->next = (uint32_t)(mesh__hash(host->key, len, 0) % size);
	turn->step = (uint32_t)(mesh__hash(host->key, len, 1) % (size - 1)) + 1;
	turn->due = 0;
}

/* The next of its slots that is free. There is one: `size` is prime, so its order has them all. */
static void take(struct mesh__maglev_turn *turn, uint32_t host, uint32_t *table, uint32_t size)
{
	while (table[turn->next] != nobody) {
		turn->next = (uint32_t)(((uint64_t)turn->next + turn->step) % size);
	}
	table[turn->next] = host;
}

void mesh__maglev_fill(const struct mesh__hash_host *hosts, size_t n, struct mesh__maglev_turn *turns, uint32_t *table, uint32_t size)
{
	uint32_t heaviest = 0, taken = 0;

	for (uint32_t i = 0; i < size; i++) {
		table[i] = nobody;
	}
	for (size_t i = 0; i < n; i++) {
		begin(&hosts[i], &turns[i], size);
		heaviest = hosts[i].weight > heaviest ? hosts[i].weight : heaviest;
	}
	for (uint64_t round = 1; taken < size; round++) {
		for (size_t i = 0; i < n && taken < size; i++) {
			if (round * hosts[i].weight >= turns[i].due) {
				turns[i].due += heaviest;
				take(&turns[i], (uint32_t)i, table, size);
				taken++;
			}
		}
	}
}
