/*
 * HTTP/2 frame by frame (RFC 9113), as either end would say it and as no end should: everything goes out as it is asked for, whether or not it follows the rules. Pure: bytes in, bytes out; h2_peer.h is the same on a
 * connection. Field blocks are written as literals without index and without Huffman code (RFC 7541 section 6.2.2), so that a block's bytes can be told by hand; what comes is inflated by nghttp2.
 * Appends to a buffer: a test looks at mesh__buf_error() itself, or gives it room enough.
 */
#ifndef TESTS_SUPPORT_H2_FRAMES_H
#define TESTS_SUPPORT_H2_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 section 3.4, without the SETTINGS frame that must follow */

enum { H2_FRAME_HEAD = 9, H2_FRAME_MAX = 16384 /* of a payload, unless SETTINGS say otherwise */, H2_WINDOW = 65535 };

/* RFC 9113 section 6. */
enum h2_type { H2_DATA, H2_HEADERS, H2_PRIORITY, H2_RST_STREAM, H2_SETTINGS, H2_PUSH_PROMISE, H2_PING, H2_GOAWAY, H2_WINDOW_UPDATE, H2_CONTINUATION };
enum h2_flag { H2_ACK = 0x1, H2_END_STREAM = 0x1, H2_END_HEADERS = 0x4, H2_PADDED = 0x8, H2_HAS_PRIORITY = 0x20 };

/* RFC 9113 section 7. */
enum h2_error {
	H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_INTERNAL_ERROR, H2_FLOW_CONTROL_ERROR, H2_SETTINGS_TIMEOUT, H2_STREAM_CLOSED, H2_FRAME_SIZE_ERROR,
	H2_REFUSED_STREAM, H2_CANCEL, H2_COMPRESSION_ERROR, H2_CONNECT_ERROR, H2_ENHANCE_YOUR_CALM, H2_INADEQUATE_SECURITY, H2_HTTP_1_1_REQUIRED
};

/* RFC 9113 section 6.5.2. */
enum h2_setting_id { H2_HEADER_TABLE_SIZE = 1, H2_ENABLE_PUSH, H2_MAX_CONCURRENT_STREAMS, H2_INITIAL_WINDOW_SIZE, H2_MAX_FRAME_SIZE, H2_MAX_HEADER_LIST_SIZE };

struct h2_setting {
	uint16_t id;
	uint32_t value;
};

/* ---- Frames ---- */

/* Any frame at all. `len` may be up to 2^24 - 1. */
void h2_frame(struct mesh__buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len);

/* The same with a head that says `claimed` bytes of payload, whatever follows. */
void h2_frame_claiming(struct mesh__buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len, size_t claimed);

void h2_settings(struct mesh__buf *out, const struct h2_setting *settings, size_t n);
void h2_settings_ack(struct mesh__buf *out);

/* A client's beginning: the preface and SETTINGS that change nothing. */
void h2_preface(struct mesh__buf *out);

/* END_HEADERS is among the flags only where the caller puts it there. */
void h2_headers(struct mesh__buf *out, uint32_t stream, uint8_t flags, const struct mesh__buf *block);
void h2_continuation(struct mesh__buf *out, uint32_t stream, uint8_t flags, const void *fragment, size_t len);
void h2_data(struct mesh__buf *out, uint32_t stream, uint8_t flags, const void *bytes, size_t len);
void h2_rst_stream(struct mesh__buf *out, uint32_t stream, uint32_t error);
void h2_goaway(struct mesh__buf *out, uint32_t last_stream, uint32_t error);
void h2_ping(struct mesh__buf *out, uint8_t flags, uint64_t opaque);
void h2_priority(struct mesh__buf *out, uint32_t stream, uint32_t depends_on, uint8_t weight);
void h2_window_update(struct mesh__buf *out, uint32_t stream, uint32_t increment);

/* ---- Field blocks ---- */

/* One field, to the byte: nothing is lowered, nothing is checked. */
void h2_field(struct mesh__buf *block, const char *name, const char *value);
void h2_field_bytes(struct mesh__buf *block, const void *name, size_t name_len, const void *value, size_t value_len);

/* The same, put into the decoder's table (RFC 7541 section 6.2.1), where the next one has the index H2_FIRST_INDEX and pushes it on by one; and a field of the table. */
enum { H2_FIRST_INDEX = 62 };
void h2_field_indexed(struct mesh__buf *block, const char *name, const char *value);
void h2_index(struct mesh__buf *block, uint32_t index);

/* An integer with a prefix of `bits`, below the `mark` of its first byte (RFC 7541 section 5.1). */
void h2_integer(struct mesh__buf *block, uint8_t mark, int bits, uint32_t value);

/* A message in whole: the pseudo-header fields, then `more`, lines of "name: value\n" in order (NULL: none), in one HEADERS frame with END_HEADERS. */
void h2_request(struct mesh__buf *out, uint32_t stream, bool end_stream, const char *method, const char *authority, const char *path, const char *more);
void h2_response(struct mesh__buf *out, uint32_t stream, bool end_stream, int status, const char *more);

/* Fields after a body: lines as above, with END_STREAM. */
void h2_trailers(struct mesh__buf *out, uint32_t stream, const char *lines);

/* ---- Reading ---- */

struct h2_frame_view {
	uint8_t type, flags;
	uint32_t stream;
	const char *payload;
	size_t len;
};

/* The frame at the beginning of the bytes, and how many of them it is; 0: it has not come whole yet. Borrows. */
size_t h2_frame_next(const char *bytes, size_t len, struct h2_frame_view *out);

/* The 32 bits at `at` of a payload, such as RST_STREAM's error (0), GOAWAY's last stream (0) and error (4); UINT32_MAX where it is too short. */
uint32_t h2_frame_number(const struct h2_frame_view *frame, size_t at);

/* The name of a type, for messages; "?" for none that RFC 9113 knows. */
const char *h2_type_name(uint8_t type);

/* One connection's decoder of field blocks: it has a table, so each block must go through it, in order. */
struct h2_inflater;
struct h2_inflater *h2_inflater_new(void); /* aborts when it cannot */
void h2_inflater_free(struct h2_inflater *inflater);

/* Appends a whole block's fields as "name: value\n". False when it is not one. */
bool h2_inflate(struct h2_inflater *inflater, const char *block, size_t len, struct mesh__buf *lines);

#endif
