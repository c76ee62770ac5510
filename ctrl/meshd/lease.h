/* Leases: how long an instance counts as alive without a heartbeat. Pure; times are milliseconds of the monotonic clock, so that no step of the wall clock ends one. */
#ifndef MESHD_LEASE_H
#define MESHD_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct meshd_lease_rules {
	int64_t heartbeat_ms; /* 3000: what clients are told */
	int64_t lease_ms;     /* 10000: without a heartbeat for so long it ends */
	int64_t grace_ms;     /* 30000: after meshd's start none ends, so that all clients can come back first */
};

void meshd_lease_rules_default(struct meshd_lease_rules *rules);

/* True when a lease last renewed at `renewed_ms` has ended; `started_ms` is meshd's start. */
bool meshd_lease_ended(const struct meshd_lease_rules *rules, int64_t started_ms, int64_t renewed_ms, int64_t now_ms);

/* True when it lives, but two heartbeats in a row are missing. */
bool meshd_lease_expiring(const struct meshd_lease_rules *rules, int64_t renewed_ms, int64_t now_ms);

#endif
