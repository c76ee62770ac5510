/*
 * YAML and JSON text as a tree that knows line and column (both from 1). Aliases, anchors, tags, duplicate keys, non-string keys, depth over 64
 * and texts over the bound are refused. Scalars stay text, with a flag for quoted ones; the reader of a field decides on its type.
 */
#ifndef MESH__WIRE_YAML_H
#define MESH__WIRE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum mesh__node_kind { MESH__NODE_SCALAR, MESH__NODE_LIST, MESH__NODE_MAP };

struct mesh__node {
	enum mesh__node_kind kind;
	int line, column;
	char *key;                 /* in a map: the key; else NULL */
	int key_line, key_column;
	char *text;                /* scalar: its text, no NUL inside */
	bool quoted;               /* scalar: quoted or a block, so a string for sure */
	struct mesh__node *child;  /* list, map: the first member */
	struct mesh__node *next;   /* the next sibling; for a document: the next document */
};

/*
 * Parses all documents of `text` (empty ones are left out) into *out, NULL when there is none. The first fault ends it: MESH_E_INVALID with "LINE:COLUMN: what" as
 * message, MESH_E_TOO_LARGE, MESH_E_NO_MEMORY.
 */
int mesh__yaml_parse(const struct mesh__mem *mem, const char *text, size_t len, size_t max_bytes, struct mesh__node **out, struct mesh__err *err) MESH__MUST_USE;

/* Frees a list of documents; accepts NULL. */
void mesh__yaml_free(struct mesh__node *documents);

/* The member of a map, or NULL. */
const struct mesh__node *mesh__node_get(const struct mesh__node *map, const char *key);

#endif
