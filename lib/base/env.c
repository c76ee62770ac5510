#include "base/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

enum { MAX_FIELDS = 16, MAX_REDRAWS = 64, LOGGED_BYTES = 2048 };

static int64_t system_mono_us(void *user)
{
	struct timespec ts;

	(void)user;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t system_wall_ms(void *user)
{
	struct timespec ts;

	(void)user;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void system_random(void *user, void *bytes, size_t len)
{
	unsigned char *p = bytes;

	(void)user;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno != EINTR) {
			abort(); /* a kernel without randomness: no secret may be made at all */
		}
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

void mesh__env_init(struct mesh__env *env)
{
	uint64_t seed;

	memset(env, 0, sizeof(*env));
	env->mem = *mesh__mem_libc();
	env->mono_us = system_mono_us;
	env->wall_ms = system_wall_ms;
	env->random = system_random;
	env->log_level = MESH__LOG_INFO;
	system_random(NULL, &seed, sizeof(seed));
	atomic_store_explicit(&env->dice_state, seed, memory_order_relaxed);
}

int64_t mesh__mono_us(const struct mesh__env *env)
{
	return env->mono_us(env->user);
}

int64_t mesh__mono_ms(const struct mesh__env *env)
{
	return env->mono_us(env->user) / 1000;
}

int64_t mesh__wall_ms(const struct mesh__env *env)
{
	return env->wall_ms(env->user);
}

void mesh__random(const struct mesh__env *env, void *bytes, size_t len)
{
	env->random(env->user, bytes, len);
}

/* SplitMix64 (Steele, Lea, Flood 2014): one atomic addition, so that threads share it without a lock. */
static uint64_t split_mix(struct mesh__env *env)
{
	uint64_t z = atomic_fetch_add_explicit(&env->dice_state, 0x9e3779b97f4a7c15U, memory_order_relaxed) + 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

uint64_t mesh__dice(const struct mesh__env *env)
{
	/* The counter of the default dice is the one part of the environment that moves. */
	return env->dice != NULL ? env->dice(env->user) : split_mix((struct mesh__env *)(uintptr_t)env);
}

uint64_t mesh__dice_below(const struct mesh__env *env, uint64_t n)
{
	uint64_t limit, draw;

	if (n < 2) {
		return 0;
	}
	limit = UINT64_MAX - UINT64_MAX % n; /* draws at or above it would favour small results */
	draw = mesh__dice(env);
	for (int i = 0; i < MAX_REDRAWS && draw >= limit; i++) { /* injected dice may be stuck: better biased than hung */
		draw = mesh__dice(env);
	}
	return draw % n;
}

void mesh__random_hex(const struct mesh__env *env, char *text, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	mesh__random(env, text, len);
	for (size_t i = 0; i < len; i++) {
		text[i] = digits[(unsigned char)text[i] & 0xf];
	}
	text[len] = '\0';
}

void mesh__log(const struct mesh__env *env, enum mesh__log_level level, const char *what, ...)
{
	struct mesh__field fields[MAX_FIELDS];
	size_t n = 0;
	va_list args;
	const char *key;

	if (env->log == NULL || level < env->log_level) {
		return;
	}
	va_start(args, what);
	while (n < MAX_FIELDS && (key = va_arg(args, const char *)) != NULL) {
		const char *value = va_arg(args, const char *);
		if (value != NULL) {
			fields[n++] = (struct mesh__field){key, value};
		}
	}
	va_end(args);
	env->log(env->user, level, what, fields, n);
}

const char *mesh__log_level_name(enum mesh__log_level level)
{
	static const char *const names[] = {
#define X(name, text) text,
		MESH__LOG_LEVELS(X)
#undef X
	};

	return (unsigned)level < MESH__COUNT(names) ? names[level] : "unknown";
}

/* Long values are cut, not the event dropped: else whoever makes a name long enough would not be heard of. */
static void put_value(struct mesh__buf *line, const char *value)
{
	char cut[LOGGED_BYTES + sizeof("...")];

	if (strlen(value) > LOGGED_BYTES) {
		(void)snprintf(cut, sizeof(cut), "%.*s...", LOGGED_BYTES, value);
		value = cut;
	}
	mesh__str_json(line, value);
}

void mesh__log_put(struct mesh__buf *line, const char *what, const struct mesh__field *fields, size_t n_fields)
{
	mesh__buf_str(line, "\"event\":");
	put_value(line, what);
	for (size_t i = 0; i < n_fields && i < MAX_FIELDS; i++) {
		mesh__buf_chr(line, ',');
		put_value(line, fields[i].key);
		mesh__buf_chr(line, ':');
		put_value(line, fields[i].value);
	}
}

static void put_line(struct mesh__buf *text, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields)
{
	struct timespec ts;
	struct tm tm;
	char stamp[32];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	mesh__buf_printf(text, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",", stamp, (int)(ts.tv_nsec / 1000000), mesh__log_level_name(level));
	mesh__log_put(text, what, fields, n_fields);
	mesh__buf_str(text, "}\n");
}

static void put_lost(struct mesh__buf *text, bool cut, uint64_t lines)
{
	char count[24];
	struct mesh__field field = {"lines", count};

	if (cut) {
		mesh__buf_chr(text, '\n');
	}
	if (lines > 0) {
		(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)lines);
		put_line(text, MESH__LOG_WARN, "log lines lost", &field, 1);
	}
}

void mesh__log_stderr(void *user, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields)
{
	struct mesh__log_lost *lost = user;
	uint64_t lines = lost != NULL && atomic_load(&lost->lines) > 0 ? atomic_exchange(&lost->lines, 0) : 0;
	bool cut = lost != NULL && atomic_load(&lost->cut) && atomic_exchange(&lost->cut, false);
	struct mesh__buf text;
	ssize_t n = -1;
	size_t told;

	mesh__buf_init(&text, mesh__mem_libc(), MESH__LOG_LINE_MAX);
	put_lost(&text, cut, lines);
	told = text.len;
	put_line(&text, level, what, fields, n_fields);
	if (text.error == MESH_OK) {
		n = write(STDERR_FILENO, text.data, text.len); /* one write a line: lines of several threads do not mix */
	}
	if (lost != NULL && (text.error != MESH_OK || n != (ssize_t)text.len)) {
		atomic_fetch_add(&lost->lines, 1 + (n < (ssize_t)told ? lines : 0));
		atomic_store(&lost->cut, n > 0 ? n != (ssize_t)told : cut);
	}
	mesh__buf_fini(&text);
}

bool mesh__log_level_parse(const char *text, enum mesh__log_level *level)
{
	for (int i = MESH__LOG_DEBUG; i <= MESH__LOG_OFF; i++) {
		if (strcmp(text, mesh__log_level_name((enum mesh__log_level)i)) == 0) {
			*level = (enum mesh__log_level)i;
			return true;
		}
	}
	return false;
}
