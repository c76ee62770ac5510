/*
 * How long the tries of the last half minute took, for percentiles of it: log-linear histograms, one for each three seconds, so that what is old goes by itself. A value is known to a sixteenth. Pure but for what it counts: no clock, no
 * lock, no allocation; any thread. What is counted in the moment in which a slice begins anew may be lost.
 */
#ifndef MESH__POLICY_LATENCIES_H
#define MESH__POLICY_LATENCIES_H

#include <stdatomic.h>
#include <stdint.h>

enum {
	MESH__LATENCIES_SLICES = 10,
	MESH__LATENCIES_PERIOD_US = 3000000,
	MESH__LATENCIES_MAX_US = (1 << 26) - 1, /* 67 s: what takes longer counts as that */
	MESH__LATENCIES_BUCKETS = 16 * 23,
	MESH__LATENCIES_KEPT = 8
};

/* Zeroed: nothing was counted. */
struct mesh__latencies {
	struct {
		_Atomic uint32_t period; /* whose it is */
		_Atomic uint32_t counts[MESH__LATENCIES_BUCKETS];
	} slices[MESH__LATENCIES_SLICES];
	_Atomic uint64_t kept[MESH__LATENCIES_KEPT]; /* percentiles of this period: see latencies.c */
};

/* A try has taken so long. */
void mesh__latencies_add(struct mesh__latencies *latencies, int64_t us, int64_t now_us);

/*
 * What so many millionths of them (1 to MESH__WHOLE - 1) took at most, by up to a sixteenth more; -1 while there are so few that not one of them would have taken longer. Computed once in three seconds.
 */
int64_t mesh__latencies_percentile(struct mesh__latencies *latencies, int32_t millionths, int64_t now_us);

#endif
