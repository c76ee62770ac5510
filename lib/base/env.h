/*
 * The environment: everything that the library takes from outside itself, injected as one object, so that a test sets the clock and throws the dice.
 * It is filled in before use, never changed after, shared by all threads, and outlives everything made with it.
 */
#ifndef MESH__BASE_ENV_H
#define MESH__BASE_ENV_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

/* X(NAME, "text"): from most to least talkative. */
#define MESH__LOG_LEVELS(X)                                                                                            \
	X(DEBUG, "debug")                                                                                              \
	X(INFO, "info")                                                                                                \
	X(WARN, "warn")                                                                                                \
	X(ERROR, "error")                                                                                              \
	X(OFF, "off")

#define X(name, text) MESH__LOG_##name,
enum mesh__log_level { MESH__LOG_LEVELS(X) };
#undef X

struct mesh__field {
	const char *key;
	const char *value;
};

struct mesh__env {
	struct mesh__mem mem;
	int64_t (*mono_us)(void *user);                         /* microseconds on a clock that never jumps */
	int64_t (*wall_ms)(void *user);                         /* milliseconds since 1970 */
	void (*random)(void *user, void *bytes, size_t len);    /* for secrets and ids; must not fail */
	uint64_t (*dice)(void *user);                           /* for decisions: fast, uniform, not secret */
	/* One event. `what` is a fixed lower-case phrase; `fields` borrowed for the call. Any thread, no lock of the library held. */
	void (*log)(void *user, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields);
	void *user;
	enum mesh__log_level log_level; /* events below are not passed on */
	_Atomic uint64_t dice_state;    /* of the default dice */
};

/* libc's allocator, the system's clocks and random numbers, no log sink. */
void mesh__env_init(struct mesh__env *env);

int64_t mesh__mono_us(const struct mesh__env *env);
int64_t mesh__mono_ms(const struct mesh__env *env);
int64_t mesh__wall_ms(const struct mesh__env *env);
void mesh__random(const struct mesh__env *env, void *bytes, size_t len);
uint64_t mesh__dice(const struct mesh__env *env);

/* Uniform in [0, n), without bias; 0 when n is 0. */
uint64_t mesh__dice_below(const struct mesh__env *env, uint64_t n);

/* `len` random lower-case hexadecimal digits into text[len + 1], from the secret source. */
void mesh__random_hex(const struct mesh__env *env, char *text, size_t len);

/*
 * Logs one event: mesh__log(env, MESH__LOG_WARN, "peer refused", "address", addr, "reason", why, (char *)NULL).
 * Pairs of strings up to NULL, at most 16; a NULL value is left out.
 */
void mesh__log(const struct mesh__env *env, enum mesh__log_level level, const char *what, ...) MESH__NULL_TERMINATED;

/* What a full disk, or a reader who does not read, has cost a log. Zeroed before use. */
struct mesh__log_lost {
	_Atomic uint64_t lines; /* since it was last told */
	_Atomic bool cut;       /* the last that was written is half a line */
};

/*
 * A sink that writes one JSON object a line to descriptor 2: {"time", "level", "event", fields…}. For programs. It does not wait for room: a line that cannot be written is lost, counted in `user` (struct mesh__log_lost; NULL: nowhere),
 * and told, as the event "log lines lost", before the next that can be. Any thread.
 */
void mesh__log_stderr(void *user, enum mesh__log_level level, const char *what, const struct mesh__field *fields, size_t n_fields);

struct mesh__buf;

enum { MESH__LOG_LINE_MAX = 512 * 1024 };

/*
 * What such a line says of the event: "event":"…","key":"value",…, without braces. A value over 2 KiB is cut and ends in "...", and so no event is too long to be told: who makes a name long enough is heard of all the same. With braces
 * around it, it is at most MESH__LOG_LINE_MAX bytes. Any thread.
 */
void mesh__log_put(struct mesh__buf *line, const char *what, const struct mesh__field *fields, size_t n_fields);

/* The text of a level ("info"); static. */
const char *mesh__log_level_name(enum mesh__log_level level);

/* "info" into a level; false when the text names none. */
bool mesh__log_level_parse(const char *text, enum mesh__log_level *level);

#endif
