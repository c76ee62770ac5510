/*
 * A request's header as HTTP/2 brings it into the parts that HTTP/1.1's has, held to the rules of request_head.h (RFC 9113 sections 8.2 and 8.3; THREATS 12). Pure. What nghttp2 has checked already is not believed.
 */
#ifndef MESH__HTTP_H2_HEAD_H
#define MESH__HTTP_H2_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "http/h2_session.h"
#include "http/request_head.h"

/* The bytes that mesh__h2_head_parse() needs for a header. */
size_t mesh__h2_head_size(const struct mesh__h2_block *block);

/*
 * Fills in *out, which borrows text[mesh__h2_head_size()] and fields[block->n]. :authority becomes the field "host", crumbs of a cookie are joined (RFC 9113 section 8.2.3). out->method is set, "" at worst, whatever is
 * found; `max_body_bytes` bounds Content-Length.
 */
enum mesh__refusal mesh__h2_head_parse(const struct mesh__h2_block *block, char *text, struct mesh__field_text *fields, uint64_t max_body_bytes, struct mesh__request_head *out);

#endif
