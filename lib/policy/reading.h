/*
 * Reading one configuration document: where a value stands, what its text means, and every fault that is found on the way. Private to policy/.
 * A reader that finds a fault tells it and returns false; the others go on, so that all are told at once.
 */
#ifndef MESH__POLICY_READING_H
#define MESH__POLICY_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/yaml.h"

/* More are not told: a document of a megabyte must not be answered with ten. */
enum { MESH__FAULTS_MAX = 1000 };

struct mesh__reference; /* policy/document.h */

struct mesh__reading {
	const struct mesh__mem *mem;
	struct mesh__arena *arena;  /* of the document at hand: what is read is kept there */
	const char *ns;             /* its namespace: what a name without one is of */
	const char *file;
	struct mesh__buf *faults;   /* may be NULL */
	struct mesh__buf *warnings; /* may be NULL */
	struct mesh__reference **referred; /* where the next one goes; NULL: nobody asks */
	bool effective;             /* it is what documents make together (policy/effective.h) */
	size_t n_faults;
	size_t n_regexes;           /* of the document at hand */
	size_t n_not_yet;           /* of them: nothing is wrong with the value */
	struct mesh__err first;     /* the first fault */
	bool no_memory;
};

/* A value in its place: a path of members and indices, on the stack, and where it stands in the file. */
struct mesh__place {
	const struct mesh__place *up;  /* NULL: the document */
	const struct mesh__node *node; /* the value; NULL: it is missing */
	const char *name;              /* NULL: a member of a list, or the document */
	size_t index;
	int line, column;
};

/* The place of a value, of its key, or of a member of a list. */
struct mesh__place mesh__place_of(const struct mesh__place *up, const struct mesh__node *node);
struct mesh__place mesh__place_of_key(const struct mesh__place *up, const struct mesh__node *node);
struct mesh__place mesh__place_of_item(const struct mesh__place *up, const struct mesh__node *node, size_t index);

/* Tells a fault, or a warning: "file:line:column: path: text". */
void mesh__reading_fault(struct mesh__reading *r, const struct mesh__place *at, const char *fmt, ...) MESH__PRINTF(3, 4);
void mesh__reading_warn(struct mesh__reading *r, const struct mesh__place *at, const char *fmt, ...) MESH__PRINTF(3, 4);

/* Keeps that the document names that other service there. */
void mesh__reading_refer(struct mesh__reading *r, const struct mesh__place *at, const char *service);

/* True when so many faults were told that the rest is passed over. */
bool mesh__reading_full(const struct mesh__reading *r);

/* A scalar that is text by YAML's core schema (`123`, `true` and `~` are not, `"123"` is) and not empty. Borrowed from the node. */
bool mesh__read_text(struct mesh__reading *r, const struct mesh__place *at, const char **text);

/* Unquoted true or false. */
bool mesh__read_bool(struct mesh__reading *r, const struct mesh__place *at, bool *value);

/* A whole number within [min, max], in decimal digits, unquoted. */
bool mesh__read_count(struct mesh__reading *r, const struct mesh__place *at, int32_t min, int32_t max, int32_t *value);

/* A duration within [min_ms, max_ms]. */
bool mesh__read_duration(struct mesh__reading *r, const struct mesh__place *at, int64_t min_ms, int64_t max_ms,
	int64_t *ms);

/* A decimal number within [min, max], unquoted, with at most four places; all in ten-thousandths. */
bool mesh__read_decimal(struct mesh__reading *r, const struct mesh__place *at, int32_t min, int32_t max, int32_t *value);

/* The shortest form of ten-thousandths, "1.5" of 15000, into out[16]. */
void mesh__decimal_format(int32_t value, char *out);

struct mesh__word {
	const char *text; /* NULL: the end of them */
	int value;        /* MESH__WORD_NOT_YET: known, not in force */
};

enum { MESH__WORD_NOT_YET = -1, MESH__NAMES_MAX = 40 };

/* One of at most MESH__NAMES_MAX words that are in force. */
bool mesh__read_word(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__word *words, int *value);

/* Writes `; did you mean "name"?` into out, or "" when none of the `n` names is near. */
void mesh__suggest(const char *text, const char *const *names, size_t n, char out[96]);

#endif
