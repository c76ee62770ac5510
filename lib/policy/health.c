#include "policy/health.h"

#include <stddef.h>

enum { SOON_MS = 1000 };

void mesh__health_check_default(struct mesh__health_check *check)
{
	*check = (struct mesh__health_check){.path = "/healthz", .interval_ms = 10000, .timeout_ms = 1000, .unhealthy_after = 3, .healthy_after = 2};
}

bool mesh__health_judge(struct mesh__health *health, const struct mesh__health_check *check, bool passed)
{
	int32_t enough = health->unhealthy ? check->healthy_after : check->unhealthy_after;

	if (passed != health->unhealthy) {
		health->against = 0;
		return false;
	}
	health->against++; /* below `enough`, which is small, or at it: a document may have lowered that meanwhile */
	if (health->against < enough) {
		return false;
	}
	*health = (struct mesh__health){.unhealthy = !health->unhealthy};
	return true;
}

bool mesh__health_passes(int status)
{
	return status >= 200 && status <= 299;
}

int64_t mesh__health_first_ms(const struct mesh__health_check *check, uint64_t draw)
{
	uint64_t most = check->interval_ms < SOON_MS ? (uint64_t)check->interval_ms : SOON_MS;

	return (int64_t)(draw % most);
}

int64_t mesh__health_next_ms(const struct mesh__health_check *check, uint64_t draw)
{
	int64_t tenth = check->interval_ms / 10;

	return check->interval_ms - tenth + (int64_t)(draw % (2 * (uint64_t)tenth + 1));
}
