#include "meshca/limit.h"

enum { FULL_US = 1000000 };

void meshca_limit_init(struct meshca_limit *limit, int64_t per_second, int64_t now_us)
{
	limit->per_second = per_second;
	limit->level_us = FULL_US;
	limit->last_us = now_us;
}

bool meshca_limit_take(struct meshca_limit *limit, int64_t now_us)
{
	int64_t cost_us = FULL_US / limit->per_second;
	int64_t passed_us = now_us - limit->last_us;

	limit->last_us = now_us;
	limit->level_us = passed_us >= FULL_US - limit->level_us ? FULL_US : limit->level_us + passed_us;
	if (limit->level_us < cost_us) {
		return false;
	}
	limit->level_us -= cost_us;
	return true;
}
