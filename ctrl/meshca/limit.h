/* The issue rate: a token bucket that holds one second's worth. Pure; the caller brings the monotonic time. */
#ifndef MESHCA_LIMIT_H
#define MESHCA_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct meshca_limit {
	int64_t per_second;
	int64_t level_us; /* what has been saved up: one certificate costs 1000000 / per_second, a full bucket is 1000000 */
	int64_t last_us;
};

/* A full bucket; `per_second` is 1 to 1000000. */
void meshca_limit_init(struct meshca_limit *limit, int64_t per_second, int64_t now_us);

/* Takes one; false when there is none. */
bool meshca_limit_take(struct meshca_limit *limit, int64_t now_us);

#endif
