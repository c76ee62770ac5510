/* A reply's head as text (RFC 9112 section 4, RFC 9110 section 6.6.1). Pure. */
#ifndef MESH__HTTP_REPLY_H
#define MESH__HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/server.h"

enum { MESH__DATE_TEXT = 30 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* An IMF-fixdate (RFC 9110 section 5.6.7), whatever the process's locale. */
void mesh__reply_date(int64_t wall_ms, char *out);

/* How the body's end will be known. */
enum mesh__framing { MESH__FRAMING_LENGTH, MESH__FRAMING_CHUNKED, MESH__FRAMING_CLOSE, MESH__FRAMING_NONE };

/* Status line and the fields that are ours, without the empty line. */
void mesh__reply_head(struct mesh__buf *out, int status, const char *date, enum mesh__framing framing, uint64_t body_len, bool close);

/* False for a field of the caller's that does not go out: those that are ours (of the connection, and Date) and, lest a reply be split, those that are not valid. */
bool mesh__reply_field_goes(const char *name, size_t name_len, const char *value, size_t value_len);

/* The caller's fields that go out, as lines. */
void mesh__reply_fields(struct mesh__buf *out, const struct mesh__field_text *fields, size_t n_fields);

/* The same for a trailer section: without those that may not stand there. */
void mesh__reply_trailers(struct mesh__buf *out, const struct mesh__field_text *fields, size_t n_fields);

/* The length that a valid Content-Length among the fields tells. False: there is none, or there are several. */
bool mesh__reply_length(const struct mesh__field_text *fields, size_t n_fields, uint64_t *length);

/* {"error": code, "message": text} */
void mesh__reply_error(struct mesh__buf *out, const char *code, const char *message);

#endif
