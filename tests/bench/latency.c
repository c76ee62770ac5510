#include "latency.h"

#include <string.h>

void latency_clear(struct latency *l)
{
	memset(l, 0, sizeof(*l));
}

/* Below 1 << LATENCY_BITS a value is its own bucket; above, each octave has as many buckets. */
static uint32_t bucket_of(uint64_t ns)
{
	uint32_t octave;

	if (ns >> LATENCY_BITS == 0) {
		return (uint32_t)ns;
	}
	octave = 63 - (uint32_t)__builtin_clzll(ns) - LATENCY_BITS;
	if (octave >= LATENCY_OCTAVES - 1) {
		return (LATENCY_OCTAVES << LATENCY_BITS) - 1;
	}
	return ((octave + 1) << LATENCY_BITS) + (uint32_t)(ns >> octave) - (1u << LATENCY_BITS);
}

/* The middle of a bucket. */
static double value_of(uint32_t bucket)
{
	uint32_t octave = bucket >> LATENCY_BITS;
	uint64_t low = bucket & ((1u << LATENCY_BITS) - 1);

	if (octave == 0) {
		return (double)low;
	}
	return (double)((low + (1u << LATENCY_BITS)) << (octave - 1)) + (double)(1ull << (octave - 1)) / 2;
}

void latency_record(struct latency *l, uint64_t ns)
{
	l->counts[bucket_of(ns)]++;
	l->n++;
	if (ns > l->max_ns) {
		l->max_ns = ns;
	}
}

void latency_add(struct latency *to, const struct latency *from)
{
	for (uint32_t i = 0; i < LATENCY_OCTAVES << LATENCY_BITS; i++) {
		to->counts[i] += from->counts[i];
	}
	to->n += from->n;
	if (from->max_ns > to->max_ns) {
		to->max_ns = from->max_ns;
	}
}

double latency_us(const struct latency *l, double share)
{
	uint64_t wanted = (uint64_t)((double)l->n * share);
	uint64_t seen = 0;

	for (uint32_t i = 0; i < LATENCY_OCTAVES << LATENCY_BITS; i++) {
		seen += l->counts[i];
		if (seen > wanted) {
			return value_of(i) / 1000;
		}
	}
	return (double)l->max_ns / 1000;
}
