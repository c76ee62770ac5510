/* Times as people read them: "2026-01-31T23:59:59Z" (RFC 3339, in UTC, whole seconds). Pure. */
#ifndef MESH__WIRE_UTC_H
#define MESH__WIRE_UTC_H

#include <stdbool.h>
#include <stdint.h>

enum { MESH__UTC_TEXT = 32 };

/* Milliseconds since 1970 into out[MESH__UTC_TEXT], what is over a whole second left out; "out of range" for what no calendar holds. */
void mesh__utc_format(int64_t ms, char *out);

/* The reverse, from the year 1970 to 9999. False, *ms untouched, for what is written in any other way, or is no day or time: there is no leap second. */
bool mesh__utc_parse(const char *text, int64_t *ms);

#endif
