#include "outbound/levels.h"

#include "outbound/endpoint.h"

/* What was counted, in one word: who finds it whole needs no lock. The epoch of the count stands above the two numbers, and more endpoints than they can tell are not in one group (wire/message.h). */
enum { COUNT_BITS = 19 };

static const uint64_t count_mask = ((uint64_t)1 << COUNT_BITS) - 1;
static const uint64_t is_counted = (uint64_t)1 << 63;

static uint64_t epoch_bits(uint32_t epoch)
{
	return (uint64_t)(epoch & ((UINT32_C(1) << (63 - 2 * COUNT_BITS)) - 1)) << (2 * COUNT_BITS);
}

static uint64_t count(const struct mesh__group *group, uint32_t epoch)
{
	uint64_t healthy[MESH__N_LEVELS] = {0, 0};

	for (size_t i = 0; i < group->n; i++) {
		healthy[i < group->n_near ? MESH__NEAR : MESH__FAR] += mesh__endpoint_is_healthy(group->endpoints[i]);
	}
	return is_counted | epoch_bits(epoch) | healthy[MESH__NEAR] << COUNT_BITS | healthy[MESH__FAR];
}

struct mesh__levels mesh__levels_of(struct mesh__group *group, const struct mesh__destination *destination)
{
	size_t n_far = group->n - group->n_near;
	struct mesh__levels levels = {{{group->n_near, group->n_near}, {n_far, n_far}}};
	uint32_t epoch;
	uint64_t word;

	if (atomic_load_explicit(&destination->n_unhealthy, memory_order_relaxed) == 0) {
		return levels;
	}
	epoch = atomic_load_explicit(&destination->health_epoch, memory_order_acquire);
	word = atomic_load_explicit(&group->counted, memory_order_relaxed);
	if ((word & ~(count_mask | count_mask << COUNT_BITS)) != (is_counted | epoch_bits(epoch))) {
		word = count(group, epoch);
		atomic_store_explicit(&group->counted, word, memory_order_relaxed);
	}
	levels.at[MESH__NEAR].healthy = (size_t)(word >> COUNT_BITS & count_mask);
	levels.at[MESH__FAR].healthy = (size_t)(word & count_mask);
	return levels;
}

struct mesh__level mesh__levels_all(const struct mesh__levels *levels)
{
	const struct mesh__level *near = &levels->at[MESH__NEAR], *far = &levels->at[MESH__FAR];

	return (struct mesh__level){near->n + far->n, near->healthy + far->healthy};
}

struct mesh__candidates mesh__levels_draw(const struct mesh__levels *levels, const struct mesh__env *env)
{
	size_t n_near = levels->at[MESH__NEAR].n, n_far = levels->at[MESH__FAR].n;
	const struct mesh__candidates near = {0, n_near, false}, far = {n_near, n_far, false};
	uint32_t load[MESH__N_LEVELS];

	if (n_near == 0 || levels->at[MESH__NEAR].healthy == n_near) {
		return n_near == 0 ? far : near; /* as it is almost always */
	}
	mesh__levels_load(levels->at, MESH__N_LEVELS, load);
	if (load[MESH__NEAR] == 0 || load[MESH__FAR] == 0) {
		return load[MESH__NEAR] == 0 && n_far > 0 ? far : near;
	}
	return mesh__dice_below(env, load[MESH__NEAR] + load[MESH__FAR]) < load[MESH__NEAR] ? near : far;
}
