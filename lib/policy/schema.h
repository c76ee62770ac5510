/*
 * What the fields of a document are: tables, from which they are read, checked and written again, merged, and described as a JSON Schema. The tables are in fields.h. Private to policy/.
 * A value is read into a struct, the *base*, at the rule's offset; what it leads to stands in the reading's arena.
 */
#ifndef MESH__POLICY_SCHEMA_H
#define MESH__POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/reading.h"
#include "wire/json.h"
#include "wire/yaml.h"

enum mesh__field_type {
	MESH__FIELD_TEXT,      /* const char * */
	MESH__FIELD_WORD,      /* an enum, or a bool */
	MESH__FIELD_BOOL,      /* bool */
	MESH__FIELD_COUNT,     /* int32_t or uint32_t */
	MESH__FIELD_DECIMAL,   /* int32_t, in ten-thousandths; so a percentage is in millionths of the whole */
	MESH__FIELD_DURATION,  /* int64_t, in milliseconds */
	MESH__FIELD_MAP,       /* a struct, at the offset */
	MESH__FIELD_LIST,      /* a pointer, and behind it a size_t that counts the items */
	MESH__FIELD_DICT,      /* likewise: names that the document chooses; an item begins with its own, a const char * */
	MESH__FIELD_CUSTOM,    /* as its functions say */
	MESH__FIELD_ELSEWHERE  /* known, and has no place here: `says` tells which has it */
};

/* Text of one form. */
struct mesh__text_form {
	size_t max_bytes;
	/* Tells what is wrong with a text that is not too long, or writes its normal form into normal[MESH__FORM_TEXT]; NULL: everything is right, as it stands. */
	bool (*check)(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal);
	const char *pattern; /* for JSON Schema (ECMA-262), at least as wide; NULL: none */
};

/* As long as a normal form gets. */
enum { MESH__FORM_TEXT = 1025 };

struct mesh__field_rule;

/* What no table can say. */
struct mesh__custom_field {
	void (*read)(struct mesh__reading *r, const struct mesh__place *at, void *slot); /* slot: at the offset; NULL: nowhere */
	void (*write)(struct mesh__json_out *out, const char *name, const void *slot); /* NULL: the document writes it */
	const char *schema; /* its JSON Schema: the members of the object, without the brackets */
};

struct mesh__fields {
	const struct mesh__field_rule *rules;
	size_t n;
	const struct mesh__fields *more; /* whose rules follow; NULL: none. At most MESH__NAMES_MAX in all */
	const char *unknown;             /* what is said of a member that is not listed; NULL: "unknown field" */
	bool ignores_unknown;
	bool one_of;                     /* exactly one member is said */
	const char *scalar;              /* the member that a scalar in the place of the map stands for; NULL: none */
	/* What one field alone cannot know; after all have been read, when nothing was wrong with any. */
	void (*check)(struct mesh__reading *r, const struct mesh__place *at, void *base); /* base NULL: nowhere */
};

struct mesh__field_rule {
	const char *name; /* NULL: an item */
	enum mesh__field_type type;
	bool required;
	bool not_yet;        /* read and checked, and then refused: this version would do nothing with it */
	const char *elsewhere; /* where one's own document has it: only what documents make together says it here. NULL: this is its place */
	bool unique;         /* LIST: no two items begin with the same const char * */
	size_t offset, size; /* MESH__AT(), MESH__ALL_OF(); size 0: checked, and kept nowhere */
	int64_t min, max;    /* of the value, in its unit; of how many items */
	const struct mesh__word *words;
	const struct mesh__text_form *form;  /* of a TEXT, or of a DICT's names */
	const struct mesh__fields *fields;   /* of a MAP */
	const struct mesh__field_rule *item; /* of a LIST, a DICT; its offset is in the item */
	size_t item_size;                    /* 0: checked, and kept nowhere */
	const struct mesh__custom_field *custom;
	const char *example;                 /* of a LIST, for messages; NULL: none */
	const char *says;                    /* one line, for people */
};

#define MESH__AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define MESH__ALL_OF(type) .offset = 0, .size = sizeof(type) /* the base itself */

#define MESH__RULES(array) .rules = array, .n = MESH__COUNT(array)

/* The rules one after the other, those of `more` too: rule = mesh__rule_at(fields, i), NULL behind the last. */
const struct mesh__field_rule *mesh__rule_at(const struct mesh__fields *fields, size_t i);
const struct mesh__field_rule *mesh__rule_find(const struct mesh__fields *fields, const char *name);

/* Reads a map by its rules into `base`; tells what is unknown (with a suggestion), missing, or not in force yet. */
void mesh__read_fields(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__fields *fields, void *base);

/* False for what is kept nowhere, and for what the document writes by itself. */
bool mesh__rule_is_written(const struct mesh__field_rule *rule);

/* Writes one value that is no map and no list. */
void mesh__write_leaf(struct mesh__json_out *out, const char *name, const struct mesh__field_rule *rule, const void *base);

/* Writes the members that the node has, in the order of the rules, in their canonical form. */
void mesh__write_fields(struct mesh__json_out *out, const struct mesh__node *node, const struct mesh__fields *fields, const void *base);

#endif
