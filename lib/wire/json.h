/*
 * JSON (RFC 8259). Reading: the text is scanned first (size, depth at most 64, UTF-8, duplicate keys, lone surrogates), because the parser behind it is
 * lenient; only what passes is parsed. Numbers are doubles there, so 64-bit numbers travel as strings. Writing: straight into a buffer.
 */
#ifndef MESH__WIRE_JSON_H
#define MESH__WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

struct mesh__json; /* one value of a parsed text; lives until its root is freed */

/* Parses one text. Errors (with byte offset, and line:column): MESH_E_INVALID, MESH_E_TOO_LARGE (over max_bytes, or over 262144 values), MESH_E_NO_MEMORY. Bounded stack. */
int mesh__json_parse(const struct mesh__mem *mem, const char *text, size_t len, size_t max_bytes, struct mesh__json **out, struct mesh__err *err) MESH__MUST_USE;

/* Frees a root; accepts NULL. */
void mesh__json_free(struct mesh__json *root);

/* The kinds; all accept NULL and say false. */
bool mesh__json_is_object(const struct mesh__json *v);
bool mesh__json_is_array(const struct mesh__json *v);
bool mesh__json_is_string(const struct mesh__json *v);
bool mesh__json_is_null(const struct mesh__json *v); /* the word null, not a value that is absent */

/* The member `key` (exact case), or NULL also when `v` is no object. */
const struct mesh__json *mesh__json_get(const struct mesh__json *v, const char *key);

/* Iterates over an array's or object's members; NULL at the end. */
const struct mesh__json *mesh__json_first(const struct mesh__json *v);
const struct mesh__json *mesh__json_next(const struct mesh__json *member);
size_t mesh__json_count(const struct mesh__json *v);

/* The key of an object's member. */
const char *mesh__json_key(const struct mesh__json *member);

/* The text of a string, or NULL for anything else. Contains no NUL: the scan refuses \u0000. */
const char *mesh__json_text(const struct mesh__json *v);

/* An integer within [min, max], written as a number (magnitude below 2^53, where doubles are exact) or as a string of digits; false for anything else. */
bool mesh__json_i64(const struct mesh__json *v, int64_t min, int64_t max, int64_t *out);
bool mesh__json_u64(const struct mesh__json *v, uint64_t *out);
bool mesh__json_bool(const struct mesh__json *v, bool *out);
bool mesh__json_double(const struct mesh__json *v, double *out); /* of a number alone */

/* Writing. A writer puts the commas; the buffer's own failure is checked by the caller at the end. Keys are NULL inside arrays. */
struct mesh__json_out {
	struct mesh__buf *buf;
	bool comma;
};

void mesh__json_open(struct mesh__json_out *out, const char *key, char bracket);  /* '{' or '[' */
void mesh__json_close(struct mesh__json_out *out, char bracket);                 /* '}' or ']' */
void mesh__json_put_text(struct mesh__json_out *out, const char *key, const char *value);   /* a NULL value writes nothing */
void mesh__json_put_int(struct mesh__json_out *out, const char *key, int64_t value);        /* as a number */
void mesh__json_put_u64(struct mesh__json_out *out, const char *key, uint64_t value);       /* as a string of digits */
void mesh__json_put_bool(struct mesh__json_out *out, const char *key, bool value);
void mesh__json_put_literal(struct mesh__json_out *out, const char *key, const char *value); /* a number, true or false, as it stands: the caller knows that it is one */
void mesh__json_put_double(struct mesh__json_out *out, const char *key, double value, int decimals);
void mesh__json_put_value(struct mesh__json_out *out, const char *key, const struct mesh__json *value); /* a parsed value, written again */

#endif
