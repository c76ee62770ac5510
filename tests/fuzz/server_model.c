#include "server_model.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct framing {
	int n_host, n_length, n_coding, n_expect;
	struct text_span host, length, coding, expect;
};

static enum model_verdict worst(enum model_verdict a, enum model_verdict b)
{
	return a > b ? a : b;
}

static enum model_verdict unless(bool fine, enum model_verdict otherwise)
{
	return fine ? MODEL_TAKE : otherwise;
}

/* ---- The request line ---- */

/* The handler has it as it was said, and not normalised. */
static bool is_one_spelling(struct text_span path)
{
	bool one = true;

	for (size_t i = 0; i < path.len; i++) {
		one = one && path.at[i] != '%' && (path.at[i] != '/' || i + 1 == path.len || (path.at[i + 1] != '/' && path.at[i + 1] != '.'));
	}
	return one;
}

static enum model_verdict read_target(struct text_span target, struct model_request *out)
{
	for (size_t i = 0; i < target.len; i++) {
		if (target.at[i] <= ' ' || target.at[i] > '~' || target.at[i] == '#') {
			return MODEL_REFUSE;
		}
	}
	if (target.len > 7 && (strncasecmp(target.at, "http://", 7) == 0 || (target.len > 8 && strncasecmp(target.at, "https://", 8) == 0))) {
		out->path.at = NULL; /* absolute: not compared */
		return MODEL_MAY;
	}
	if (target.len == 0 || target.at[0] != '/') {
		return MODEL_REFUSE;
	}
	(void)text_cut(target, '?', &out->path, &out->query);
	if (!is_one_spelling(out->path)) {
		out->path.at = NULL;
	}
	return unless(text_all_of(target, TEXT_DIGITS TEXT_LETTERS "/-._~?=&"), MODEL_MAY);
}

static enum model_verdict read_method(struct text_span method)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};

	if (!text_all_of(method, TEXT_TOKEN) || (method.len == 7 && memcmp(method.at, "CONNECT", 7) == 0)) {
		return MODEL_REFUSE;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (method.len == strlen(known[i]) && memcmp(method.at, known[i], method.len) == 0) {
			return MODEL_TAKE;
		}
	}
	return MODEL_MAY;
}

static enum model_verdict read_request_line(struct text_span line, struct model_request *out)
{
	const char *first = line.len > 0 ? memchr(line.at, ' ', line.len) : NULL;
	const char *last = line.len > 0 ? memrchr(line.at, ' ', line.len) : NULL;
	struct text_span target;
	const char *version = last != NULL ? last + 1 : NULL;

	if (first == NULL || first == last || line.len - (size_t)(version - line.at) != 8) {
		return MODEL_REFUSE;
	}
	out->http_1_0 = memcmp(version, "HTTP/1.0", 8) == 0;
	if (!out->http_1_0 && memcmp(version, "HTTP/1.1", 8) != 0) {
		return MODEL_REFUSE;
	}
	out->last = out->http_1_0;
	out->method = (struct text_span){line.at, (size_t)(first - line.at)};
	target = (struct text_span){first + 1, (size_t)(last - first) - 1};
	return worst(read_method(out->method), read_target(target, out));
}

/* ---- The fields ---- */

static enum model_verdict weigh_field(struct text_span name, struct text_span value, struct model_request *out, struct framing *f)
{
	if (text_same_nocase(name, "host")) {
		f->n_host++;
		f->host = value;
	} else if (text_same_nocase(name, "content-length")) {
		f->n_length++;
		f->length = value;
	} else if (text_same_nocase(name, "transfer-encoding")) {
		f->n_coding++;
		f->coding = value;
	} else if (text_same_nocase(name, "expect")) {
		f->n_expect++;
		f->expect = value;
		out->expects = true;
	} else if (text_same_nocase(name, "connection")) {
		out->last |= text_same_nocase(value, "close");
		return unless(text_same_nocase(value, "close") || text_same_nocase(value, "keep-alive"), MODEL_MAY);
	} else if (text_same_nocase(name, "upgrade") || text_same_nocase(name, "proxy-connection")) {
		return MODEL_MAY;
	}
	return MODEL_TAKE;
}

static enum model_verdict read_field(struct text_span line, struct model_request *out, struct framing *f)
{
	struct text_span name, value;
	enum model_verdict v = MODEL_TAKE;

	if (!text_cut(line, ':', &name, &value)) {
		return MODEL_REFUSE;
	}
	value = text_trimmed(value);
	if (!text_all_of(name, TEXT_TOKEN) || out->n_fields == MODEL_FIELDS_MAX) {
		return MODEL_REFUSE;
	}
	if (text_has_control(value)) {
		return MODEL_REFUSE;
	}
	for (size_t i = 0; i < value.len; i++) {
		v = worst(v, unless(value.at[i] >= ' ', MODEL_MAY));
	}
	out->names[out->n_fields] = name;
	out->values[out->n_fields++] = value;
	return worst(v, weigh_field(name, value, out, f));
}

static enum model_verdict judge_framing(const struct framing *f, const struct model_request *out, uint64_t max_body, uint64_t *length)
{
	struct text_span number = f->length;
	char digits[24] = "";

	*length = 0;
	if (f->n_host > 1 || (f->n_host == 0 && !out->http_1_0) || (f->n_host == 1 && (f->host.len == 0 || text_has(f->host, '@') || text_has(f->host, '/')))) {
		return MODEL_REFUSE;
	}
	if (f->n_length + f->n_coding > 1 || (f->n_coding > 0 && (out->http_1_0 || !text_same_nocase(f->coding, "chunked")))) {
		return MODEL_REFUSE;
	}
	while (number.len > 1 && number.at[0] == '0') {
		number.at++;
		number.len--;
	}
	if (f->n_length > 0 && (!text_all_of(f->length, TEXT_DIGITS) || number.len > 19)) {
		return MODEL_REFUSE;
	}
	if (f->n_length > 0) {
		memcpy(digits, number.at, number.len);
		*length = strtoull(digits, NULL, 10);
	}
	if (*length > max_body) {
		return MODEL_REFUSE;
	}
	if (f->n_expect > 0 && !out->http_1_0 && (f->n_expect > 1 || !text_same_nocase(f->expect, "100-continue"))) {
		return MODEL_REFUSE;
	}
	return unless(f->n_expect == 0 && number.len == f->length.len && (f->n_host == 0 || text_all_of(f->host, TEXT_DIGITS TEXT_LETTERS ".-")), MODEL_MAY);
}

/* ---- The body ---- */

static enum model_verdict read_size(struct text_span line, uint64_t *size)
{
	struct text_span number, extension;
	bool extended = text_cut(line, ';', &number, &extension);
	char digits[20] = "";

	if (!text_all_of(number, TEXT_HEX)) {
		return MODEL_REFUSE;
	}
	if (number.len >= sizeof(digits) - 4) {
		return number.at[0] == '0' ? MODEL_MAY : MODEL_REFUSE;
	}
	memcpy(digits, number.at, number.len);
	*size = strtoull(digits, NULL, 16);
	return unless(!extended, MODEL_MAY);
}

static enum model_verdict read_trailers(const char *bytes, size_t len, size_t *at)
{
	enum model_verdict v = MODEL_TAKE;
	struct text_span line, name, value;

	while (text_line(bytes, len, at, &line)) {
		if (line.len == 0) {
			return v;
		}
		if (!text_cut(line, ':', &name, &value) || !text_all_of(name, TEXT_TOKEN)) {
			return MODEL_REFUSE;
		}
		v = MODEL_MAY;
	}
	return MODEL_UNFINISHED;
}

/* What has come of a chunk or a body that is not whole. */
static void add_part(const char *bytes, size_t len, uint64_t size, struct mesh__buf *body)
{
	mesh__buf_add(body, bytes, len < size ? len : (size_t)size);
}

static enum model_verdict read_chunks(const char *bytes, size_t len, size_t *at, struct mesh__buf *body)
{
	enum model_verdict v = MODEL_TAKE, rest;
	struct text_span line;
	uint64_t size = 0;

	while (text_line(bytes, len, at, &line)) {
		v = worst(v, read_size(line, &size));
		if (v == MODEL_REFUSE || (v == MODEL_MAY && size == 0 && line.len >= 16)) {
			return v;
		}
		if (size == 0) {
			rest = read_trailers(bytes, len, at);
			return rest == MODEL_UNFINISHED ? rest : worst(v, rest);
		}
		if (size > body->max_bytes - body->len) {
			return MODEL_REFUSE;
		}
		if (len - *at < size + 2) {
			add_part(bytes + *at, len - *at, size, body);
			return len - *at > size && bytes[*at + size] != '\r' ? MODEL_REFUSE : MODEL_UNFINISHED;
		}
		if (memcmp(bytes + *at + size, "\r\n", 2) != 0) {
			return MODEL_REFUSE;
		}
		mesh__buf_add(body, bytes + *at, (size_t)size);
		*at += (size_t)size + 2;
	}
	return MODEL_UNFINISHED;
}

static enum model_verdict read_body(const char *bytes, size_t len, size_t *at, const struct framing *f, uint64_t length, struct mesh__buf *body)
{
	if (f->n_coding > 0) {
		return read_chunks(bytes, len, at, body);
	}
	if (len - *at < length) {
		add_part(bytes + *at, len - *at, length, body);
		return MODEL_UNFINISHED;
	}
	mesh__buf_add(body, bytes + *at, (size_t)length);
	*at += (size_t)length;
	return MODEL_TAKE;
}

/* ---- The whole ---- */

void model_fini(struct model_request *request)
{
	mesh__buf_fini(&request->body);
}

/* The header's verdict; MODEL_UNFINISHED while it is not whole. */
static enum model_verdict read_head(const char *bytes, size_t len, size_t *at, struct model_request *out, struct framing *f, uint64_t *length)
{
	enum model_verdict v;
	struct text_span line;

	while (len - *at >= 2 && memcmp(bytes + *at, "\r\n", 2) == 0) {
		*at += 2;
	}
	if (*at == len || memmem(bytes + *at, len - *at, "\r\n\r\n", 4) == NULL) {
		return MODEL_UNFINISHED;
	}
	(void)text_line(bytes, len, at, &line);
	v = read_request_line(line, out);
	while (v != MODEL_REFUSE && text_line(bytes, len, at, &line) && line.len > 0) {
		v = worst(v, read_field(line, out, f));
	}
	if (v == MODEL_REFUSE || *at > MODEL_HEADER_MAX) {
		return MODEL_REFUSE;
	}
	return worst(v, judge_framing(f, out, out->body.max_bytes, length));
}

enum model_verdict model_read(const char *bytes, size_t len, bool streamed, struct model_request *out)
{
	struct framing f = {0};
	enum model_verdict body;
	uint64_t length = 0;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	mesh__buf_init(&out->body, mesh__mem_libc(), streamed ? SIZE_MAX / 2 : MODEL_BODY_MAX);
	out->head = len > 0 ? read_head(bytes, len, &at, out, &f, &length) : MODEL_UNFINISHED;
	if (out->head == MODEL_UNFINISHED || out->head == MODEL_REFUSE) {
		return out->head;
	}
	body = read_body(bytes, len, &at, &f, length, &out->body);
	out->used = at;
	return body == MODEL_UNFINISHED ? body : worst(out->head, body);
}
