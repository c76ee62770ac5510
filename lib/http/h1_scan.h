/*
 * Finds the end of a request's header, byte by byte as it comes, and lets nothing pass on the way that two parsers could read differently: bare CR or LF, NUL and other control characters,
 * folded lines, space before a colon (RFC 9112 sections 2.2, 5.1, 5.2). Pure; what it lets through is still to be parsed.
 */
#ifndef MESH__HTTP_H1_SCAN_H
#define MESH__HTTP_H1_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "http/refusal.h"

struct mesh__h1_scan {
	int state;
	size_t n_bytes, max_bytes;
	size_t n_fields, max_fields;
};

void mesh__h1_scan_init(struct mesh__h1_scan *scan, size_t max_bytes, size_t max_fields);

/* *used is how many of the bytes belong to the header; *done says that its empty line was among them. */
enum mesh__refusal mesh__h1_scan(struct mesh__h1_scan *scan, const char *bytes, size_t len, size_t *used, bool *done);

#endif
