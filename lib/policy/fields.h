/*
 * The fields of each kind of document, as POLICY.md names them: which are in force, how they are read, how they are
 * written again. Private to policy/.
 */
#ifndef MESH__POLICY_FIELDS_H
#define MESH__POLICY_FIELDS_H

#include "policy/document.h"
#include "policy/reading.h"

enum { MESH__STATIC_ENDPOINTS_MAX = 1000 };

/* All fields of a document of `kind`, those of its head included; they read into and write from a struct mesh__document. */
const struct mesh__fields *mesh__fields_of_kind(enum mesh__kind kind);

/* The fields of the head alone, for a document whose kind is not known. */
const struct mesh__fields *mesh__fields_of_head(void);

/* Reads `kind` of a document; tells the fault when it is none, or not in force yet. */
bool mesh__read_kind(struct mesh__reading *r, const struct mesh__place *at, enum mesh__kind *kind);

#endif
