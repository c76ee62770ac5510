/*
 * A whole HTTP/1.1 request header into its parts, held to the rules of request_head.h (RFC 9112; THREATS 1 to 4). Pure: no socket, no allocation.
 * llhttp is the parser; mesh__h1_scan() has gone before it, and what llhttp is lenient about is judged here and there.
 */
#ifndef MESH__HTTP_H1_H
#define MESH__HTTP_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/request_head.h"

/*
 * Parses a header that mesh__h1_scan() has found whole: text[len] (empty lines before it taken away) is cut up in place and borrowed by *out, as is fields[max_fields], which has room for
 * as many as the scan counted. `max_body_bytes` bounds Content-Length.
 */
enum mesh__refusal mesh__h1_parse(char *text, size_t len, struct mesh__field_text *fields, size_t max_fields, uint64_t max_body_bytes, struct mesh__request_head *out);

#endif
