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
#include "wire/json.h"
#include "wire/yaml.h"

/* More are not told: a document of a megabyte must not be answered with ten. */
enum { MESH__FAULTS_MAX = 1000 };

struct mesh__reading {
	const struct mesh__mem *mem;
	struct mesh__arena *arena;  /* of the document at hand: what is read is kept there */
	const char *file;
	struct mesh__buf *faults;   /* may be NULL */
	struct mesh__buf *warnings; /* may be NULL */
	size_t n_faults;
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

struct mesh__word {
	const char *text;
	int value; /* MESH__WORD_NOT_YET: known, not in force */
};

enum { MESH__WORD_NOT_YET = -1, MESH__WORDS_MAX = 32 };

/* One of at most MESH__WORDS_MAX words that are in force. */
bool mesh__read_word(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__word *words, size_t n,
	int *value);

/* A known member of a map. */
struct mesh__field_rule {
	const char *name;
	bool required;
	/* Reads the value at its place into the map's target; NULL: not in force yet. */
	void (*read)(struct mesh__reading *r, const struct mesh__place *at, void *target);
	/* Writes the canonical form of what was read from `node`, under `name`; NULL: somebody else writes it. */
	void (*write)(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target);
};

struct mesh__fields {
	const struct mesh__field_rule *rules; /* at most MESH__WORDS_MAX */
	size_t n;
	const char *unknown; /* what is said of a member that is not listed; NULL: it is passed over */
};

/* Reads the members of a map by their rules: tells what is unknown (with a suggestion), not in force yet, or missing. */
void mesh__read_fields(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields,
	void *target);

/* Writes the members that the map has, in the order of the rules. */
void mesh__write_fields(struct mesh__json_out *out, const struct mesh__node *node, const struct mesh__fields *fields,
	const void *target);

#endif
