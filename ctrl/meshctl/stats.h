/*
 * What many calls came to: counts by status, error, instance and version, and every call's time, so that percentiles
 * are exact. One thread at a time; each thread fills in its own, and they are added up.
 */
#ifndef MESHCTL_STATS_H
#define MESHCTL_STATS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/map.h"

enum { CTL_STATUS_MAX = 600, CTL_CODE_MAX = 64 };

struct ctl_stats {
	const struct mesh__env *env;
	int64_t calls, ok, failed, tries;
	int64_t status[CTL_STATUS_MAX];
	int64_t errors[CTL_CODE_MAX];  /* by code; unknown ones in the last */
	struct mesh__map instances;    /* id -> int64_t */
	struct mesh__map versions;
};

/* One call's end. */
struct ctl_outcome {
	int32_t code;         /* MESH_OK: a response came */
	int32_t status;
	int32_t tries;
	const char *instance; /* NULL: none answered */
	const char *version;
};

struct ctl_latency {
	double p50, p90, p99, max; /* milliseconds */
};

void ctl_stats_init(struct ctl_stats *stats, const struct mesh__env *env);
void ctl_stats_fini(struct ctl_stats *stats);

/* False when out of memory: the call is then missing from instances or versions. */
bool ctl_stats_add(struct ctl_stats *stats, const struct ctl_outcome *outcome);
bool ctl_stats_merge(struct ctl_stats *into, const struct ctl_stats *from);

/* True for a response of 2xx or 3xx. */
bool ctl_outcome_ok(const struct ctl_outcome *outcome);

/* Sorts times[0 .. n) of microseconds; the percentiles are by nearest rank. All 0 when n is 0. */
void ctl_latency_of(int64_t *times_us, size_t n, struct ctl_latency *out);

/* The object of -o json (its keys are a contract: DESIGN section 6), and the same for a person. */
void ctl_stats_json(const struct ctl_stats *stats, const struct ctl_latency *latency, double seconds, struct mesh__buf *out);
void ctl_stats_text(const struct ctl_stats *stats, const struct ctl_latency *latency, double seconds, struct mesh__buf *out);

#endif
