#include "policy/budget.h"

#include <stddef.h>

/* A slice's number; those of the window are the last ten. A window has a second at least, so that it takes years to come round. */
static uint32_t number_at(const struct mesh__retry_budget *rule, int64_t now_us)
{
	return (uint32_t)(now_us / (rule->window_ms * 1000 / MESH__BUDGET_SLICES));
}

/* The word with one more in it; what stood there of another slice is over. */
static uint64_t one_more(uint64_t word, uint32_t number)
{
	return (word >> 32 == number ? word : (uint64_t)number << 32) + 1;
}

static uint64_t count_in(uint64_t word, uint32_t number)
{
	return number - (uint32_t)(word >> 32) < MESH__BUDGET_SLICES ? word & UINT32_MAX : 0;
}

/* Counted in millionths; `retries_now` is the word of the slice at hand. */
static bool within(const struct mesh__budget *b, const struct mesh__retry_budget *rule, uint32_t number, uint64_t retries_now)
{
	uint64_t calls = 0, retries = count_in(retries_now, number);

	for (uint32_t i = 0; i < MESH__BUDGET_SLICES; i++) {
		calls += count_in(atomic_load_explicit(&b->slices[i].calls, memory_order_relaxed), number);
		if (i != number % MESH__BUDGET_SLICES) {
			retries += count_in(atomic_load_explicit(&b->slices[i].retries, memory_order_relaxed), number);
		}
	}
	/* At most 10 slices of 2^32 calls: 4.3e16; the floor at most a million a second for a day: 8.7e16. */
	return (retries + 1) * MESH__WHOLE <= calls * (uint64_t)rule->share + (uint64_t)rule->min_per_second * (uint64_t)rule->window_ms * (MESH__WHOLE / 1000);
}

void mesh__budget_deposit(struct mesh__budget *b, const struct mesh__retry_budget *rule, int64_t now_us)
{
	uint32_t number = number_at(rule, now_us);
	_Atomic uint64_t *calls = &b->slices[number % MESH__BUDGET_SLICES].calls;
	uint64_t word = atomic_load_explicit(calls, memory_order_relaxed);

	if (word >> 32 == number) {
		(void)atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
		return;
	}
	while (!atomic_compare_exchange_weak_explicit(calls, &word, one_more(word, number), memory_order_relaxed, memory_order_relaxed)) {
	}
}

bool mesh__budget_has(const struct mesh__budget *b, const struct mesh__retry_budget *rule, int64_t now_us)
{
	uint32_t number = number_at(rule, now_us);

	return within(b, rule, number, atomic_load_explicit(&b->slices[number % MESH__BUDGET_SLICES].retries, memory_order_relaxed));
}

bool mesh__budget_withdraw(struct mesh__budget *b, const struct mesh__retry_budget *rule, int64_t now_us)
{
	uint32_t number = number_at(rule, now_us);
	_Atomic uint64_t *retries = &b->slices[number % MESH__BUDGET_SLICES].retries;
	uint64_t word = atomic_load_explicit(retries, memory_order_relaxed);

	while (within(b, rule, number, word)) {
		if (atomic_compare_exchange_weak_explicit(retries, &word, one_more(word, number), memory_order_relaxed, memory_order_relaxed)) {
			return true;
		}
	}
	return false;
}
