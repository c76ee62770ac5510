#include "meshd/lease.h"

void meshd_lease_rules_default(struct meshd_lease_rules *rules)
{
	*rules = (struct meshd_lease_rules){.heartbeat_ms = 3000, .lease_ms = 10000, .grace_ms = 30000};
}

bool meshd_lease_ended(const struct meshd_lease_rules *rules, int64_t started_ms, int64_t renewed_ms, int64_t now_ms)
{
	return now_ms - started_ms >= rules->grace_ms && now_ms - renewed_ms >= rules->lease_ms;
}

bool meshd_lease_expiring(const struct meshd_lease_rules *rules, int64_t renewed_ms, int64_t now_ms)
{
	return now_ms - renewed_ms > 2 * rules->heartbeat_ms;
}
