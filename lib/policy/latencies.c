#include "policy/latencies.h"

#include <stdbool.h>
#include <stddef.h>

#include "policy/service.h"

/* ---- Buckets: of 1 us up to 16, then sixteen for each power of two ---- */

enum { PARTS = 16, PARTS_LOG2 = 4 };

static size_t bucket_of(int64_t us)
{
	uint32_t value = us < 0 ? 0 : us > MESH__LATENCIES_MAX_US ? (uint32_t)MESH__LATENCIES_MAX_US : (uint32_t)us;
	uint32_t octave = PARTS_LOG2;

	if (value < PARTS) {
		return value;
	}
	while (value >> octave > 1) {
		octave++;
	}
	return (octave - PARTS_LOG2 + 1) * PARTS + (value >> (octave - PARTS_LOG2)) % PARTS;
}

/* The most that is counted there. */
static int64_t top_of(size_t bucket)
{
	size_t octave = bucket / PARTS;

	return octave == 0 ? (int64_t)bucket : ((int64_t)(PARTS + bucket % PARTS + 1) << (octave - 1)) - 1;
}

/* ---- Counting ---- */

static uint32_t period_at(int64_t now_us)
{
	return (uint32_t)(now_us / MESH__LATENCIES_PERIOD_US);
}

void mesh__latencies_add(struct mesh__latencies *l, int64_t us, int64_t now_us)
{
	uint32_t period = period_at(now_us);
	size_t i = period % MESH__LATENCIES_SLICES;
	uint32_t before = atomic_load_explicit(&l->slices[i].period, memory_order_relaxed);

	if (before != period && atomic_compare_exchange_strong_explicit(&l->slices[i].period, &before, period, memory_order_relaxed, memory_order_relaxed)) {
		for (size_t b = 0; b < MESH__LATENCIES_BUCKETS; b++) {
			atomic_store_explicit(&l->slices[i].counts[b], 0, memory_order_relaxed);
		}
	}
	(void)atomic_fetch_add_explicit(&l->slices[i].counts[bucket_of(us)], 1, memory_order_relaxed);
}

/* ---- Percentiles ---- */

struct sums {
	uint64_t counts[MESH__LATENCIES_BUCKETS];
	uint64_t all;
};

static void sum_up(const struct mesh__latencies *l, uint32_t period, struct sums *sums)
{
	*sums = (struct sums){.all = 0};
	for (size_t i = 0; i < MESH__LATENCIES_SLICES; i++) {
		bool recent = period - atomic_load_explicit(&l->slices[i].period, memory_order_relaxed) < MESH__LATENCIES_SLICES;
		for (size_t b = 0; recent && b < MESH__LATENCIES_BUCKETS; b++) {
			uint32_t n = atomic_load_explicit(&l->slices[i].counts[b], memory_order_relaxed);
			sums->counts[b] += n;
			sums->all += n;
		}
	}
}

/* -1: not known. Of 10 slices of 2^32 in 368 buckets no product overflows: 1.6e13 * 1e6. */
static int64_t compute(const struct mesh__latencies *l, int32_t millionths, uint32_t period)
{
	struct sums sums;
	uint64_t wanted, so_far = 0;

	sum_up(l, period, &sums);
	if (sums.all * (uint64_t)(MESH__WHOLE - millionths) < MESH__WHOLE) {
		return -1;
	}
	wanted = sums.all * (uint64_t)millionths;
	for (size_t b = 0; b < MESH__LATENCIES_BUCKETS; b++) {
		so_far += sums.counts[b];
		if (so_far * MESH__WHOLE >= wanted) {
			return top_of(b);
		}
	}
	return top_of(MESH__LATENCIES_BUCKETS - 1);
}

/* One word says of which period (its low bits: they come round after two days) and which percentile it is, and what it was. What is not known is not kept. */
enum { US_BITS = 28, MILLIONTHS_BITS = 20 };

int64_t mesh__latencies_percentile(struct mesh__latencies *l, int32_t millionths, int64_t now_us)
{
	uint32_t period = period_at(now_us);
	uint64_t tag = (uint64_t)(period & UINT16_MAX) << MILLIONTHS_BITS | (uint64_t)millionths;
	_Atomic uint64_t *kept = &l->kept[(uint32_t)millionths * UINT32_C(2654435761) >> 29];
	uint64_t word = atomic_load_explicit(kept, memory_order_relaxed);
	int64_t us;

	if (word >> US_BITS == tag) {
		return (int64_t)(word & ((UINT64_C(1) << US_BITS) - 1));
	}
	us = compute(l, millionths, period);
	if (us >= 0) {
		atomic_store_explicit(kept, tag << US_BITS | (uint64_t)us, memory_order_relaxed);
	}
	return us;
}
