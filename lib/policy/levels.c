#include "policy/levels.h"

#include "policy/service.h"

enum { OVERPROVISIONED = 140, ALL = 100 };

uint32_t mesh__level_health(struct mesh__level level)
{
	uint64_t health;

	if (level.n == 0) {
		return 0;
	}
	health = (uint64_t)level.healthy * OVERPROVISIONED / level.n;
	return health < ALL ? (uint32_t)health : ALL;
}

/* Of them together; no more than all calls. */
static uint32_t total_health(const struct mesh__level *levels, size_t n)
{
	uint32_t total = 0;

	for (size_t i = 0; i < n; i++) {
		total += mesh__level_health(levels[i]);
	}
	return total < ALL ? total : ALL;
}

void mesh__levels_load(const struct mesh__level *levels, size_t n, uint32_t load[])
{
	uint32_t total = total_health(levels, n), left = ALL, first = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t share = total == 0 ? 0 : (mesh__level_health(levels[i]) * ALL + total / 2) / total;
		load[i] = share < left ? share : left;
		left -= load[i];
	}
	while (total > 0 && load[first] == 0) {
		first++;
	}
	if (total > 0) {
		load[first] += left; /* what rounding has left over */
	}
}

bool mesh__panic_is_due(const struct mesh__level *levels, size_t n, int32_t threshold)
{
	uint64_t all = 0, healthy = 0;

	for (size_t i = 0; i < n; i++) {
		all += levels[i].n;
		healthy += levels[i].healthy;
	}
	return threshold > 0 && all > 0 && healthy * MESH__WHOLE < all * (uint64_t)threshold && total_health(levels, n) < ALL;
}
