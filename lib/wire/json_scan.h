/* The gate before the JSON parser: takes RFC 8259 and nothing else. Private to wire/json.c. Pure but for the memory of the keys that are open. */
#ifndef MESH__WIRE_JSON_SCAN_H
#define MESH__WIRE_JSON_SCAN_H

#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum {
	MESH__JSON_DEPTH_MAX = 64,
	MESH__JSON_VALUES_MAX = 262144 /* two bytes of text can make a value of eighty in memory */
};

/*
 * MESH_OK when text[len] is one JSON text: depth at most MESH__JSON_DEPTH_MAX, UTF-8, no duplicate keys (compared decoded), no lone surrogate, no \u0000, every
 * number within a double's range. Else MESH_E_INVALID with "LINE:COLUMN: what (byte N)"; MESH_E_TOO_LARGE, told alike, over MESH__JSON_VALUES_MAX values; or MESH_E_NO_MEMORY. Its stack does not depend on the text; its time is O(n log n).
 */
int mesh__json_scan(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__err *err) MESH__MUST_USE;

#endif
