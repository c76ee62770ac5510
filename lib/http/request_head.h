/*
 * A request's header cut into its parts, whatever the version of HTTP it came in, and the rules that keep one request from being read as another (RFC 9112 sections 3, 6, 9; RFC 9113 section 8; THREATS 1 to 4, 12).
 * Pure: no socket, no allocation.
 */
#ifndef MESH__HTTP_REQUEST_HEAD_H
#define MESH__HTTP_REQUEST_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/refusal.h"
#include "http/server.h"

struct mesh__request_head {
	bool http_1_0, http_2; /* neither: HTTP/1.1 */
	const char *method, *path, *query; /* the path normalised (wire/path.h) */
	struct mesh__field_text *fields; /* names in lower case */
	size_t n_fields;
	bool keep_alive;
	bool chunked;
	bool has_body;          /* chunked, or content_length is not 0; HTTP/2 knows by other means */
	bool wants_continue;
	uint64_t content_length;
};

/*
 * Judges a header whose version, method and fields are in *head, and fills in the rest. `target` is cut into path, which is normalised, and query in place, and borrowed. `max_body_bytes` bounds Content-Length. Valid names and values, and a method that is no
 * CONNECT, are the caller's to see to.
 */
enum mesh__refusal mesh__request_judge(struct mesh__request_head *head, char *target, uint64_t max_body_bytes);

#endif
