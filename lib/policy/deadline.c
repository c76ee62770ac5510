#include "policy/deadline.h"

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t allowed_ms(const struct mesh__deadline_inputs *in)
{
	int64_t ms = in->policy_ms;

	if (in->caller_ms > 0) {
		ms = in->policy_set ? smaller(in->caller_ms, in->policy_ms) : in->caller_ms;
	}
	return in->parent_left_ms >= 0 ? smaller(ms, in->parent_left_ms) : ms;
}

int64_t mesh__deadline_decide(const struct mesh__deadline_inputs *in, int64_t now_us)
{
	int64_t ms = allowed_ms(in);

	/* A time beyond the clock's end is its end: a huge number from a caller must not become a deadline in the past. */
	return ms > (INT64_MAX - now_us) / 1000 ? INT64_MAX : now_us + ms * 1000;
}

int64_t mesh__deadline_of_try(int64_t deadline_us, int64_t per_try_ms, int64_t now_us)
{
	return per_try_ms > 0 && per_try_ms < (deadline_us - now_us) / 1000 ? now_us + per_try_ms * 1000 : deadline_us;
}

int64_t mesh__deadline_left_ms(int64_t deadline_us, int64_t now_us)
{
	int64_t left_us = deadline_us - now_us;

	return left_us <= 0 ? 0 : left_us / 1000 + (left_us % 1000 != 0);
}
