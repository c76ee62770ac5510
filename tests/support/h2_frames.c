#include "h2_frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

enum { BLOCK_MAX = 1 << 24 };

/* ---- Numbers ---- */

static void put(struct mesh__buf *out, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--) {
		mesh__buf_chr(out, (char)(value >> (8 * i)));
	}
}

static uint32_t get(const char *bytes, int n)
{
	uint32_t value = 0;

	for (int i = 0; i < n; i++) {
		value = value << 8 | (uint8_t)bytes[i];
	}
	return value;
}

/* ---- Frames ---- */

void h2_frame_claiming(struct mesh__buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len, size_t claimed)
{
	put(out, claimed, 3);
	put(out, type, 1);
	put(out, flags, 1);
	put(out, stream, 4);
	mesh__buf_add(out, payload, len);
}

void h2_frame(struct mesh__buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
	h2_frame_claiming(out, type, flags, stream, payload, len, len);
}

/* A frame whose payload is one number. */
static void frame_of(struct mesh__buf *out, uint8_t type, uint8_t flags, uint32_t stream, uint64_t value, int bytes)
{
	h2_frame_claiming(out, type, flags, stream, NULL, 0, (size_t)bytes);
	put(out, value, bytes);
}

void h2_settings(struct mesh__buf *out, const struct h2_setting *settings, size_t n)
{
	h2_frame_claiming(out, H2_SETTINGS, 0, 0, NULL, 0, n * 6);
	for (size_t i = 0; i < n; i++) {
		put(out, settings[i].id, 2);
		put(out, settings[i].value, 4);
	}
}

void h2_settings_ack(struct mesh__buf *out)
{
	h2_frame(out, H2_SETTINGS, H2_ACK, 0, NULL, 0);
}

void h2_preface(struct mesh__buf *out)
{
	mesh__buf_str(out, H2_PREFACE);
	h2_settings(out, NULL, 0);
}

void h2_headers(struct mesh__buf *out, uint32_t stream, uint8_t flags, const struct mesh__buf *block)
{
	h2_frame(out, H2_HEADERS, flags, stream, block->data, block->len);
}

void h2_continuation(struct mesh__buf *out, uint32_t stream, uint8_t flags, const void *fragment, size_t len)
{
	h2_frame(out, H2_CONTINUATION, flags, stream, fragment, len);
}

void h2_data(struct mesh__buf *out, uint32_t stream, uint8_t flags, const void *bytes, size_t len)
{
	h2_frame(out, H2_DATA, flags, stream, bytes, len);
}

void h2_rst_stream(struct mesh__buf *out, uint32_t stream, uint32_t error)
{
	frame_of(out, H2_RST_STREAM, 0, stream, error, 4);
}

void h2_goaway(struct mesh__buf *out, uint32_t last_stream, uint32_t error)
{
	frame_of(out, H2_GOAWAY, 0, 0, (uint64_t)last_stream << 32 | error, 8);
}

void h2_ping(struct mesh__buf *out, uint8_t flags, uint64_t opaque)
{
	frame_of(out, H2_PING, flags, 0, opaque, 8);
}

void h2_priority(struct mesh__buf *out, uint32_t stream, uint32_t depends_on, uint8_t weight)
{
	frame_of(out, H2_PRIORITY, 0, stream, (uint64_t)depends_on << 8 | weight, 5);
}

void h2_window_update(struct mesh__buf *out, uint32_t stream, uint32_t increment)
{
	frame_of(out, H2_WINDOW_UPDATE, 0, stream, increment, 4);
}

/* ---- Field blocks ---- */

void h2_integer(struct mesh__buf *block, uint8_t mark, int bits, uint32_t value)
{
	uint32_t most = (1U << bits) - 1;

	if (value < most) {
		mesh__buf_chr(block, (char)(mark | value));
		return;
	}
	mesh__buf_chr(block, (char)(mark | most));
	for (value -= most; value >= 128; value >>= 7) {
		mesh__buf_chr(block, (char)(0x80 | (value & 0x7f)));
	}
	mesh__buf_chr(block, (char)value);
}

static void string(struct mesh__buf *block, const void *bytes, size_t len)
{
	h2_integer(block, 0, 7, (uint32_t)len);
	mesh__buf_add(block, bytes, len);
}

void h2_field_bytes(struct mesh__buf *block, const void *name, size_t name_len, const void *value, size_t value_len)
{
	mesh__buf_chr(block, 0);
	string(block, name, name_len);
	string(block, value, value_len);
}

void h2_field(struct mesh__buf *block, const char *name, const char *value)
{
	h2_field_bytes(block, name, strlen(name), value, strlen(value));
}

void h2_field_indexed(struct mesh__buf *block, const char *name, const char *value)
{
	mesh__buf_chr(block, 0x40);
	string(block, name, strlen(name));
	string(block, value, strlen(value));
}

void h2_index(struct mesh__buf *block, uint32_t index)
{
	h2_integer(block, 0x80, 7, index);
}

/* "name: value\n", where a pseudo-header field's name begins with a colon of its own. */
static void add_lines(struct mesh__buf *block, const char *lines)
{
	while (lines != NULL && *lines != '\0') {
		const char *end = strchr(lines, '\n');
		const char *colon = strstr(lines, ": ");
		if (end == NULL || colon == NULL || colon > end) {
			(void)fprintf(stderr, "h2_frames: no line of a field: %s\n", lines);
			abort();
		}
		h2_field_bytes(block, lines, (size_t)(colon - lines), colon + 2, (size_t)(end - colon - 2));
		lines = end + 1;
	}
}

static void send_block(struct mesh__buf *out, uint32_t stream, bool end_stream, struct mesh__buf *block)
{
	h2_headers(out, stream, (uint8_t)(H2_END_HEADERS | (end_stream ? H2_END_STREAM : 0)), block);
	mesh__buf_fini(block);
}

void h2_request(struct mesh__buf *out, uint32_t stream, bool end_stream, const char *method, const char *authority, const char *path, const char *more)
{
	struct mesh__buf block;

	mesh__buf_init(&block, mesh__mem_libc(), BLOCK_MAX);
	h2_field(&block, ":method", method);
	h2_field(&block, ":scheme", "https");
	h2_field(&block, ":authority", authority);
	h2_field(&block, ":path", path);
	add_lines(&block, more);
	send_block(out, stream, end_stream, &block);
}

void h2_response(struct mesh__buf *out, uint32_t stream, bool end_stream, int status, const char *more)
{
	struct mesh__buf block;
	char text[12];

	mesh__buf_init(&block, mesh__mem_libc(), BLOCK_MAX);
	(void)snprintf(text, sizeof(text), "%d", status);
	h2_field(&block, ":status", text);
	add_lines(&block, more);
	send_block(out, stream, end_stream, &block);
}

void h2_trailers(struct mesh__buf *out, uint32_t stream, const char *lines)
{
	struct mesh__buf block;

	mesh__buf_init(&block, mesh__mem_libc(), BLOCK_MAX);
	add_lines(&block, lines);
	send_block(out, stream, true, &block);
}

/* ---- Reading ---- */

size_t h2_frame_next(const char *bytes, size_t len, struct h2_frame_view *out)
{
	size_t payload;

	if (len < H2_FRAME_HEAD) {
		return 0;
	}
	payload = get(bytes, 3);
	if (len - H2_FRAME_HEAD < payload) {
		return 0;
	}
	*out = (struct h2_frame_view){
	    .type = (uint8_t)bytes[3],
	    .flags = (uint8_t)bytes[4],
	    .stream = get(bytes + 5, 4) & INT32_MAX, /* the first bit is reserved */
	    .payload = bytes + H2_FRAME_HEAD,
	    .len = payload,
	};
	return H2_FRAME_HEAD + payload;
}

uint32_t h2_frame_number(const struct h2_frame_view *frame, size_t at)
{
	return frame->len < at + 4 ? UINT32_MAX : get(frame->payload + at, 4);
}

const char *h2_type_name(uint8_t type)
{
	static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

struct h2_inflater {
	nghttp2_hd_inflater *hd;
};

struct h2_inflater *h2_inflater_new(void)
{
	struct h2_inflater *inflater = calloc(1, sizeof(*inflater));

	if (inflater == NULL || nghttp2_hd_inflate_new(&inflater->hd) != 0) {
		perror("h2_inflater_new");
		abort();
	}
	return inflater;
}

void h2_inflater_free(struct h2_inflater *inflater)
{
	if (inflater != NULL) {
		nghttp2_hd_inflate_del(inflater->hd);
		free(inflater);
	}
}

bool h2_inflate(struct h2_inflater *inflater, const char *block, size_t len, struct mesh__buf *lines)
{
	const uint8_t *in = (const uint8_t *)block;
	int flags = 0;

	while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
		nghttp2_nv field;
		ssize_t n = nghttp2_hd_inflate_hd2(inflater->hd, &field, &flags, in, len, 1);
		if (n < 0) {
			return false;
		}
		in += n;
		len -= (size_t)n;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
			mesh__buf_add(lines, field.name, field.namelen);
			mesh__buf_str(lines, ": ");
			mesh__buf_add(lines, field.value, field.valuelen);
			mesh__buf_chr(lines, '\n');
		} else if ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0 && len == 0) {
			return false;
		}
	}
	return nghttp2_hd_inflate_end_headers(inflater->hd) == 0;
}
