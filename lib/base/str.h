/* Text: numbers, encodings, durations, suggestions. Pure functions on the caller's memory; any thread. */
#ifndef MESH__BASE_STR_H
#define MESH__BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Decimal digits alone (no sign, no space, no leading '+'), at most `max`. False and *value untouched otherwise. */
bool mesh__str_u64(const char *text, size_t len, uint64_t max, uint64_t *value);

/* True when the two are of one length and equal; a NULL equals only NULL. */
bool mesh__str_eq(const char *a, const char *b);

/* Equality of ASCII text whatever its case, up to `len` bytes of `a` against the whole of `b`. */
bool mesh__str_eq_nocase(const char *a, size_t len, const char *b);

/* Compares secrets of `len` bytes in a time that does not depend on their contents. */
bool mesh__str_eq_secret(const void *a, const void *b, size_t len);

bool mesh__str_starts(const char *text, const char *prefix);

/* Valid UTF-8 by RFC 3629 (no surrogates, no overlong forms, at most U+10FFFF). */
bool mesh__str_utf8(const char *text, size_t len);

/* A hash of the text, for tables: with a seed that nobody outside can see, nobody can choose names that collide. */
uint64_t mesh__str_hash(const char *text, uint64_t seed);

/* Lower-case hexadecimal; `out` has room for 2·len + 1. */
void mesh__str_hex(const void *bytes, size_t len, char *out);

/* Exactly 2·len hexadecimal digits of either case into bytes[len]. */
bool mesh__str_unhex(const char *text, size_t text_len, void *bytes, size_t len);

/* A JSON string with its quotes (RFC 8259 section 7), which YAML 1.1 reads as the same text: what that takes for a line's end, or not at all, is escaped. Bytes that are not UTF-8 become U+FFFD. */
void mesh__str_json(struct mesh__buf *out, const char *text);

/* "250ms", "15s", "1m", "2h", "1.5s", "0s" into milliseconds, rounded down; units us ms s m h d, at most six decimals, at most a hundred years. */
bool mesh__duration_parse(const char *text, size_t len, int64_t *ms);

/* The shortest exact form: 90000 is "90s", 1500 is "1500ms"; out[24]. */
void mesh__duration_format(int64_t ms, char *out);

/* The element of `names` (n of them) nearest to `text` by edit distance, or NULL when none is near enough to suggest. */
const char *mesh__str_nearest(const char *text, const char *const *names, size_t n);

#endif
