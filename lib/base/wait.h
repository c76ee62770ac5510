/* Condition variables on the monotonic clock: a jump of the wall clock neither ends a wait nor prolongs it. */
#ifndef MESH__BASE_WAIT_H
#define MESH__BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"

void mesh__cond_init(pthread_cond_t *cond);

/*
 * Waits on `cond` with `mu` held until it is signalled or `deadline_us` (on the clock of `env`; INT64_MAX: for ever) has come; false, without waiting, when it has passed. Wakes may be spurious: look, then call again.
 */
bool mesh__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mu, const struct mesh__env *env, int64_t deadline_us);

#endif
