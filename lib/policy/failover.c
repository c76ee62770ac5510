#include "policy/failover.h"

int64_t mesh__failover_standing(int64_t before, struct mesh__level all, int64_t now_us)
{
	if (all.healthy == 0) {
		return MESH__STANDING_LEFT;
	}
	if (before == MESH__STANDING_IN_USE) {
		return before;
	}
	if (all.healthy * 2 < all.n) {
		return MESH__STANDING_LEFT;
	}
	if (before == MESH__STANDING_LEFT) {
		return now_us;
	}
	return now_us - before >= (int64_t)MESH__FAILOVER_RETURN_MS * 1000 ? MESH__STANDING_IN_USE : before;
}
