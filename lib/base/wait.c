#include "base/wait.h"

#include <time.h>

enum { LONGEST_US = 1000000000 }; /* one wait; then the caller looks, and waits again */

void mesh__cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

bool mesh__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mu, const struct mesh__env *env, int64_t deadline_us)
{
	int64_t left_us = deadline_us == INT64_MAX ? LONGEST_US : deadline_us - mesh__mono_us(env);
	struct timespec until;

	if (left_us <= 0) {
		return false;
	}
	left_us = left_us < LONGEST_US ? left_us : LONGEST_US;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(left_us / 1000000);
	until.tv_nsec += (long)(left_us % 1000000) * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(cond, mu, &until);
	return true;
}
