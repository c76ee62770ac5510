/*
 * An environment under the test's hand: a clock that moves when told to, dice from a script, random numbers that repeat, and a log that is kept.
 * Callable from any thread; the script and the log are the test's to read once other threads are done.
 */
#ifndef TESTS_SUPPORT_FAKE_ENV_H
#define TESTS_SUPPORT_FAKE_ENV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

struct fake_env {
	struct mesh__env env;    /* give &fake.env to what is tested */
	_Atomic int64_t now_us;  /* monotonic; begins at 1000 s */
	_Atomic int64_t wall_ms; /* begins at 2026-01-01T00:00:00Z */
	const uint64_t *script;  /* the dice's next draws, n_script of them; after the last, and without a script, a fixed SplitMix64 sequence */
	size_t n_script;
	_Atomic size_t drawn;    /* dice thrown since the last fake_env_dice() */
	_Atomic uint64_t seed;   /* of the sequence and of the random numbers; changes with every draw */
	pthread_mutex_t log_mu;  /* guards log, n_events */
	char log[8192];          /* "level what key=value key=value\n" per event; what does not fit is left out */
	size_t n_events;
};

/* Allocates with libc; set fake->env.mem (before use) to a fail_mem's `mem` for anything else. */
void fake_env_init(struct fake_env *fake);

/* Moves both clocks. */
void fake_env_advance_us(struct fake_env *fake, int64_t us);
void fake_env_advance_ms(struct fake_env *fake, int64_t ms);

/* Sets the dice's next draws; the array is borrowed. */
void fake_env_dice(struct fake_env *fake, const uint64_t *script, size_t n);

/* True when `text` stands anywhere in the log. */
bool fake_env_logged(struct fake_env *fake, const char *text);

/* How many events there were. */
size_t fake_env_events(struct fake_env *fake);

#endif
