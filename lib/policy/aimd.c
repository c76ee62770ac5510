#include "policy/aimd.h"

/*
 * A round trip, for what it is counted here, takes no less than the first: calls that take a millisecond would have it grow by thousands before a slower one among them tells of it, and fall to the least within one hiccup. For falling
 * it takes no more than the second: what times out tells of it late, and goes on telling.
 */
enum { ROUND_LEAST_US = 50000, ROUND_MOST_US = 250000 };

static int32_t within(const struct mesh__concurrency_limit *rule, int32_t limit)
{
	limit = limit == 0 ? MESH__CONCURRENCY_FIRST : limit;
	limit = limit > rule->min ? limit : rule->min;
	return limit < rule->max ? limit : rule->max;
}

static void fall(const struct mesh__concurrency_limit *rule, struct mesh__aimd_state *s, const struct mesh__aimd_sample *sample)
{
	int64_t since_us = sample->now_us - s->cut_us;

	if (s->cut_us != 0 && (since_us < ROUND_LEAST_US || (sample->began_us < s->cut_us && since_us < ROUND_MOST_US))) {
		return;
	}
	s->limit = within(rule, (int32_t)((int64_t)s->limit * 9 / 10) + (s->limit == 1));
	s->cut_us = s->round_us = sample->now_us;
	s->steps = s->left = 1;
}

static void grow(const struct mesh__concurrency_limit *rule, struct mesh__aimd_state *s, const struct mesh__aimd_sample *sample, int32_t under_way)
{
	if (sample->began_us < s->cut_us) {
		return; /* it tells of another limit */
	}
	if (sample->began_us >= s->round_us && sample->now_us - s->round_us >= ROUND_LEAST_US) {
		s->steps = s->steps < s->limit ? s->steps * 2 : s->limit;
		s->steps = s->steps > 0 ? s->steps : 1;
		s->left = s->steps;
		s->round_us = sample->now_us;
	}
	if (s->left > 0 && (int64_t)under_way * 2 >= s->limit && s->limit < rule->max) {
		s->limit++;
		s->left--;
	}
}

void mesh__aimd_learn(const struct mesh__concurrency_limit *rule, struct mesh__aimd_state *s, const struct mesh__aimd_sample *sample, int32_t under_way)
{
	s->limit = within(rule, s->limit);
	switch (sample->outcome) {
	case MESH__AIMD_WELL:
		grow(rule, s, sample, under_way);
		break;
	case MESH__AIMD_OVERLOAD:
		fall(rule, s, sample);
		break;
	case MESH__AIMD_UNTOLD:
		break;
	}
}

bool mesh__aimd_enter(struct mesh__aimd *a, const struct mesh__concurrency_limit *rule, int32_t *limit)
{
	int32_t under_way = atomic_load_explicit(&a->under_way, memory_order_relaxed);

	*limit = within(rule, atomic_load_explicit(&a->limit, memory_order_relaxed));
	while (under_way < *limit) {
		if (atomic_compare_exchange_weak_explicit(&a->under_way, &under_way, under_way + 1, memory_order_relaxed, memory_order_relaxed)) {
			return true;
		}
	}
	return false;
}

void mesh__aimd_leave(struct mesh__aimd *a, const struct mesh__concurrency_limit *rule, const struct mesh__aimd_sample *sample)
{
	int32_t under_way = atomic_fetch_sub_explicit(&a->under_way, 1, memory_order_relaxed);

	if (!atomic_exchange_explicit(&a->taught, true, memory_order_acquire)) {
		mesh__aimd_learn(rule, &a->state, sample, under_way);
		atomic_store_explicit(&a->limit, a->state.limit, memory_order_relaxed);
		atomic_store_explicit(&a->taught, false, memory_order_release);
	}
}
