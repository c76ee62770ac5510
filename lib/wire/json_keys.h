/* The keys of the JSON objects that a scan is inside of, to tell duplicates: O(n log n) whatever their order, compared as what they mean. Private to wire/json_scan.c. */
#ifndef MESH__WIRE_JSON_KEYS_H
#define MESH__WIRE_JSON_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/mem.h"

/* A key as written, between its quotes; its escapes are valid. */
struct mesh__json_key {
	uint32_t at, len; /* in the text */
};

/* Begins as {.mem, .text}, the rest zeroes. */
struct mesh__json_keys {
	const struct mesh__mem *mem;
	const char *text; /* borrowed */
	struct mesh__json_key *list; /* of all open objects, innermost last */
	size_t n, cap;
};

void mesh__json_keys_fini(struct mesh__json_keys *keys);

/* Adds a key of the innermost object; false when out of memory. */
bool mesh__json_keys_add(struct mesh__json_keys *keys, struct mesh__json_key key) MESH__MUST_USE;

/* Ends the innermost object, whose keys are those from `first` on, and forgets them. False when two are equal: *at is where the later one stands. */
bool mesh__json_keys_settle(struct mesh__json_keys *keys, size_t first, size_t *at) MESH__MUST_USE;

#endif
