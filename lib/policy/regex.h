/*
 * Regular expressions (PCRE2), for patterns and subjects that somebody hostile may have chosen: what is compiled is bounded in size, and a match in steps and in memory, which is the caller's stack.
 * Bytes, not characters; a match is of the whole subject. Groups do not capture unless they are named.
 */
#ifndef MESH__POLICY_REGEX_H
#define MESH__POLICY_REGEX_H

#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum {
	MESH__REGEX_PATTERN_MAX = 256,   /* bytes */
	MESH__REGEX_COMPILED_MAX = 8192, /* bytes: a repeated group is compiled as many times */
	MESH__REGEX_SUBJECT_MAX = 8192   /* bytes; a longer one does not match */
};

struct mesh__regex;

/* GAVE_UP: undecided within the bounds; it counts as no match. */
enum mesh__regex_verdict { MESH__REGEX_NO_MATCH, MESH__REGEX_MATCH, MESH__REGEX_GAVE_UP };

/* Compiles. The caller frees; immutable, any thread may match with it. MESH_E_INVALID, with what is wrong and where (from 1) in err; MESH_E_NO_MEMORY. */
int mesh__regex_new(const struct mesh__mem *mem, const char *pattern, size_t len, struct mesh__regex **out, struct mesh__err *err) MESH__MUST_USE;
void mesh__regex_free(struct mesh__regex *regex); /* accepts NULL */

/* Whether the whole subject matches. Allocates nothing; takes up to 66 KiB of the stack, and for the worst of patterns some milliseconds. */
enum mesh__regex_verdict mesh__regex_match(const struct mesh__regex *regex, const char *subject, size_t len);

#endif
