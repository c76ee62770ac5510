#include "client_response_model.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 1 << 16 };

struct framing {
	int n_length, n_coding;
	struct text_span length, coding;
};

static enum model_verdict worst(enum model_verdict a, enum model_verdict b)
{
	return a > b ? a : b;
}

static enum model_verdict unless(bool fine, enum model_verdict otherwise)
{
	return fine ? MODEL_TAKE : otherwise;
}

/* "HTTP/1.1 200 OK". Other versions, other spacing: whatever the client makes of them. */
static enum model_verdict read_status_line(struct text_span line, struct model_response *out)
{
	struct text_span digits = {line.at + 9, 3};

	if (line.len < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 || (line.at[7] != '1' && line.at[7] != '0') || line.at[8] != ' ' || !text_all_of(digits, TEXT_DIGITS)) {
		return MODEL_REFUSE;
	}
	out->status = (digits.at[0] - '0') * 100 + (digits.at[1] - '0') * 10 + digits.at[2] - '0';
	if (out->status < 100 || out->status > 599 || out->status == 101) {
		return MODEL_REFUSE;
	}
	return unless(line.at[7] == '1' && line.len > 13 && line.at[12] == ' ' && text_all_of((struct text_span){line.at + 13, line.len - 13}, TEXT_TOKEN " "), MODEL_MAY);
}

static enum model_verdict read_field(struct text_span line, struct model_response *out, struct framing *f)
{
	static const char *const delicate[] = {"connection", "upgrade", "trailer", "proxy-connection", "content-encoding", "content-range"};
	struct text_span name, value;
	enum model_verdict v = MODEL_TAKE;

	if (!text_cut(line, ':', &name, &value) || !text_all_of(name, TEXT_TOKEN)) {
		return MODEL_REFUSE;
	}
	value = text_trimmed(value);
	if (text_has_control(value)) {
		return MODEL_REFUSE;
	}
	if (out->n_fields == MODEL_FIELDS_MAX) {
		v = MODEL_MAY;
	} else {
		out->names[out->n_fields] = name;
		out->values[out->n_fields++] = value;
	}
	if (text_same_nocase(name, "content-length")) {
		f->n_length++;
		f->length = value;
	} else if (text_same_nocase(name, "transfer-encoding")) {
		f->n_coding++;
		f->coding = value;
	}
	for (size_t i = 0; i < sizeof(delicate) / sizeof(delicate[0]); i++) {
		v = worst(v, unless(!text_same_nocase(name, delicate[i]), MODEL_MAY));
	}
	return worst(v, unless(value.len == 0 || text_all_of(value, TEXT_TOKEN " \t\"()<>@,;:/[]?={}\\"), MODEL_MAY));
}

/* One head at bytes[*at]. */
static enum model_verdict read_head(const char *bytes, size_t len, size_t *at, struct model_response *out, struct framing *f)
{
	enum model_verdict v;
	struct text_span line;

	out->n_fields = 0;
	*f = (struct framing){0};
	if (!text_line(bytes, len, at, &line)) {
		return MODEL_REFUSE;
	}
	v = read_status_line(line, out);
	while (v != MODEL_REFUSE && text_line(bytes, len, at, &line)) {
		if (line.len == 0) {
			return v;
		}
		v = worst(v, read_field(line, out, f));
	}
	return MODEL_REFUSE; /* also: it is not whole */
}

static enum model_verdict read_sized(const char *bytes, size_t len, struct text_span length, struct model_response *out)
{
	uint64_t size;

	if (!text_all_of(length, TEXT_DIGITS) || length.len > 9) {
		return text_all_of(length, TEXT_DIGITS) && length.at[0] == '0' ? MODEL_MAY : MODEL_REFUSE;
	}
	size = strtoull(length.at, NULL, 10);
	if (size > len - out->used) {
		return MODEL_REFUSE;
	}
	mesh__buf_add(&out->body, bytes + out->used, (size_t)size);
	out->used += (size_t)size;
	out->by_length = size > 0;
	return unless(length.len == 1 || length.at[0] != '0', MODEL_MAY);
}

static enum model_verdict read_chunks(const char *bytes, size_t len, struct model_response *out)
{
	struct text_span line;

	while (text_line(bytes, len, &out->used, &line)) {
		size_t size;

		if (!text_all_of(line, TEXT_HEX) || line.len > 8) {
			return MODEL_MAY; /* extensions, spaces: libcurl's affair */
		}
		size = strtoul(line.at, NULL, 16);
		if (size == 0) {
			return unless(text_line(bytes, len, &out->used, &line) && line.len == 0, MODEL_MAY); /* else trailers */
		}
		if (len - out->used < size + 2) {
			return MODEL_REFUSE;
		}
		if (memcmp(bytes + out->used + size, "\r\n", 2) != 0) {
			return MODEL_MAY;
		}
		mesh__buf_add(&out->body, bytes + out->used, size);
		out->used += size + 2;
	}
	return memchr(bytes + out->used, '\n', len - out->used) != NULL ? MODEL_MAY : MODEL_REFUSE;
}

static enum model_verdict read_body(const char *bytes, size_t len, bool ended, bool none, const struct framing *f, struct model_response *out)
{
	if (f->n_length > 0 && f->n_coding > 0) {
		return MODEL_REFUSE;
	}
	if (f->n_coding > 1 || (f->n_coding == 1 && !text_same_nocase(f->coding, "chunked"))) {
		return MODEL_REFUSE;
	}
	if (f->n_length > 0 && !text_all_of(f->length, TEXT_DIGITS)) {
		return MODEL_REFUSE;
	}
	if (none) {
		return unless(f->n_length + f->n_coding < 2 && f->length.len < 10, MODEL_MAY);
	}
	if (f->n_coding == 1) {
		return read_chunks(bytes, len, out);
	}
	if (f->n_length > 0) {
		return f->n_length > 1 ? MODEL_MAY : read_sized(bytes, len, f->length, out);
	}
	mesh__buf_add(&out->body, bytes + out->used, len - out->used);
	out->used = len;
	return unless(ended, MODEL_REFUSE);
}

/* LF without CR ends a line too, if the reader likes; what it does with NUL is as open. */
static bool has_loose_end(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((bytes[i] == '\n' && (i == 0 || bytes[i - 1] != '\r')) || bytes[i] == '\0') {
			return true;
		}
	}
	return false;
}

enum model_verdict model_read(const char *bytes, size_t len, bool ended, bool to_head, struct model_response *out)
{
	struct framing f;
	enum model_verdict v = MODEL_TAKE;

	memset(out, 0, sizeof(*out));
	mesh__buf_init(&out->body, mesh__mem_libc(), BODY_MAX);
	do {
		v = worst(v, read_head(bytes, len, &out->used, out, &f));
	} while (v != MODEL_REFUSE && out->status < 200);
	if (has_loose_end(bytes, v == MODEL_REFUSE ? len : out->used)) {
		return MODEL_MAY;
	}
	if (v == MODEL_REFUSE) {
		return v;
	}
	return worst(v, read_body(bytes, len, ended, to_head || out->status == 204 || out->status == 304, &f, out));
}
