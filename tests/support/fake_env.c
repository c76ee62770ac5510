#include "support/fake_env.h"

#include <stdio.h>
#include <string.h>

static int64_t fake_mono_us(void *user)
{
	return atomic_load(&((struct fake_env *)user)->now_us);
}

static int64_t fake_wall_ms(void *user)
{
	return atomic_load(&((struct fake_env *)user)->wall_ms);
}

/* SplitMix64: well spread, and the same in every run. */
static uint64_t next_of_sequence(struct fake_env *fake)
{
	uint64_t z = atomic_fetch_add(&fake->seed, 0x9e3779b97f4a7c15U) + 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static void fake_random(void *user, void *bytes, size_t len)
{
	unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		p[i] = (unsigned char)next_of_sequence(user);
	}
}

static uint64_t fake_dice(void *user)
{
	struct fake_env *fake = user;
	size_t i = atomic_fetch_add(&fake->drawn, 1);

	return i < fake->n_script ? fake->script[i] : next_of_sequence(fake);
}

static void append(struct fake_env *fake, size_t *at, const char *a, const char *b, const char *c)
{
	int n = snprintf(fake->log + *at, sizeof(fake->log) - *at, "%s%s%s", a, b, c);

	if (n > 0 && (size_t)n < sizeof(fake->log) - *at) {
		*at += (size_t)n;
	}
	fake->log[*at] = '\0';
}

static void fake_log(void *user, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields)
{
	static const char *const levels[] = {
#define X(name, text) text,
		MESH__LOG_LEVELS(X)
#undef X
	};
	struct fake_env *fake = user;
	size_t at;

	pthread_mutex_lock(&fake->log_mu);
	at = strlen(fake->log);
	append(fake, &at, levels[level], " ", what);
	for (size_t i = 0; i < n_fields; i++) {
		append(fake, &at, " ", fields[i].key, "=");
		append(fake, &at, fields[i].value, "", "");
	}
	append(fake, &at, "\n", "", "");
	fake->n_events++;
	pthread_mutex_unlock(&fake->log_mu);
}

void fake_env_init(struct fake_env *fake)
{
	memset(fake, 0, sizeof(*fake));
	pthread_mutex_init(&fake->log_mu, NULL);
	atomic_init(&fake->now_us, INT64_C(1000000000));
	atomic_init(&fake->wall_ms, INT64_C(1767225600000));
	atomic_init(&fake->seed, 1);
	fake->env.mem = *mesh__mem_libc();
	fake->env.mono_us = fake_mono_us;
	fake->env.wall_ms = fake_wall_ms;
	fake->env.random = fake_random;
	fake->env.dice = fake_dice;
	fake->env.log = fake_log;
	fake->env.log_level = MESH__LOG_DEBUG;
	fake->env.user = fake;
}

void fake_env_advance_us(struct fake_env *fake, int64_t us)
{
	int64_t before = atomic_fetch_add(&fake->now_us, us);

	/* In whole milliseconds of the monotonic clock, so that many small steps add up. */
	atomic_fetch_add(&fake->wall_ms, (before + us) / 1000 - before / 1000);
}

void fake_env_advance_ms(struct fake_env *fake, int64_t ms)
{
	fake_env_advance_us(fake, ms * 1000);
}

void fake_env_dice(struct fake_env *fake, const uint64_t *script, size_t n)
{
	fake->script = script;
	fake->n_script = n;
	atomic_store(&fake->drawn, 0);
}

size_t fake_env_events(struct fake_env *fake)
{
	size_t n;

	pthread_mutex_lock(&fake->log_mu);
	n = fake->n_events;
	pthread_mutex_unlock(&fake->log_mu);
	return n;
}

bool fake_env_logged(struct fake_env *fake, const char *text)
{
	bool found;

	pthread_mutex_lock(&fake->log_mu);
	found = strstr(fake->log, text) != NULL;
	pthread_mutex_unlock(&fake->log_mu);
	return found;
}
