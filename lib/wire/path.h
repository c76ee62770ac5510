/*
 * The path of a request, brought to one spelling, so that all who decide by it (rules, routes, handlers, logs) decide by the same: two spellings that a server might take for one path are one here, and what servers read differently is
 * none (THREATS 8). RFC 3986 sections 6.2.2 and 5.2.4, with "//" read as "/". Pure.
 */
#ifndef MESH__WIRE_PATH_H
#define MESH__WIRE_PATH_H

#include <stdbool.h>

#include "base/attr.h"

/*
 * Normalises in place a path without query that mesh__target_valid() has taken; it gets no longer. Percent-encoded unreserved characters are decoded, the digits of the other encodings are upper case, runs of slashes are one, dot segments
 * are resolved (above the root stays the root); a slash at the end stays, and what ends with a dot segment has one. Doing it again changes nothing. False, leaving some of it done, for what has more than one reading: '%' without two hex
 * digits behind it, %00, an encoded slash (%2F), a backslash (raw or %5C), a dot segment with parameters ("/..;a/").
 */
bool mesh__path_normalise(char *path) MESH__MUST_USE;

/* Whether two normalised paths are the same octets: "/a;b" and "/a%3Bb" are; "/a" and "/a/" are not. */
bool mesh__path_same(const char *a, const char *b);

/* Whether a normalised path is `prefix` or below it: "/a" has "/a" and "/a/b" and not "/ab"; "/a/" has "/a/b" and not "/a". */
bool mesh__path_under(const char *path, const char *prefix);

#endif
