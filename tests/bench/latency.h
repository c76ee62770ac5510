/*
 * A histogram of latencies: 512 buckets an octave, so that a percentile is right to 0.2%, in memory that a measurement does not grow.
 * One thread writes it; add them up afterwards.
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stdint.h>

#define LATENCY_BITS 9
#define LATENCY_OCTAVES 32

struct latency {
	uint32_t counts[LATENCY_OCTAVES << LATENCY_BITS];
	uint64_t n;
	uint64_t max_ns;
};

void latency_clear(struct latency *l);
void latency_record(struct latency *l, uint64_t ns);
void latency_add(struct latency *to, const struct latency *from);

/* The value that `share` (0 to 1) of the calls did not exceed, in microseconds; 0 when there are none. */
double latency_us(const struct latency *l, double share);

#endif
