#include "server_model.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct framing {
	int n_host, n_length, n_coding, n_expect;
	struct model_text host, length, coding, expect;
};

static enum model_verdict worst(enum model_verdict a, enum model_verdict b)
{
	return a > b ? a : b;
}

static enum model_verdict unless(bool fine, enum model_verdict otherwise)
{
	return fine ? MODEL_TAKE : otherwise;
}

bool model_is(struct model_text text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.at, word, text.len) == 0;
}

static bool all_of(struct model_text text, const char *set)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\0' || strchr(set, text.at[i]) == NULL) {
			return false;
		}
	}
	return text.len > 0;
}

static bool has_byte(struct model_text text, char c)
{
	return text.len > 0 && memchr(text.at, c, text.len) != NULL;
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN DIGITS LETTERS "!#$%&'*+-.^_`|~"

static struct model_text trimmed(struct model_text text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t')) {
		text.len--;
	}
	return text;
}

/* The line at bytes[*at], and *at beyond its CR LF; false when there is none. */
static bool next_line(const char *bytes, size_t len, size_t *at, struct model_text *line)
{
	const char *end = *at < len ? memmem(bytes + *at, len - *at, "\r\n", 2) : NULL;

	if (end == NULL) {
		return false;
	}
	*line = (struct model_text){bytes + *at, (size_t)(end - bytes) - *at};
	*at += line->len + 2;
	return true;
}

/* ---- The request line ---- */

static enum model_verdict read_target(struct model_text target, struct model_request *out)
{
	const char *mark;

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
	mark = memchr(target.at, '?', target.len);
	out->path = (struct model_text){target.at, mark != NULL ? (size_t)(mark - target.at) : target.len};
	out->query = mark != NULL ? (struct model_text){mark + 1, target.len - out->path.len - 1} : (struct model_text){target.at + target.len, 0};
	return unless(all_of(target, DIGITS LETTERS "/-._~?=&"), MODEL_MAY);
}

static enum model_verdict read_method(struct model_text method)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};

	if (!all_of(method, TOKEN) || (method.len == 7 && memcmp(method.at, "CONNECT", 7) == 0)) {
		return MODEL_REFUSE;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (method.len == strlen(known[i]) && memcmp(method.at, known[i], method.len) == 0) {
			return MODEL_TAKE;
		}
	}
	return MODEL_MAY;
}

static enum model_verdict read_request_line(struct model_text line, struct model_request *out)
{
	const char *first = line.len > 0 ? memchr(line.at, ' ', line.len) : NULL;
	const char *last = line.len > 0 ? memrchr(line.at, ' ', line.len) : NULL;
	struct model_text target;
	const char *version = last != NULL ? last + 1 : NULL;

	if (first == NULL || first == last || line.len - (size_t)(version - line.at) != 8) {
		return MODEL_REFUSE;
	}
	out->http_1_0 = memcmp(version, "HTTP/1.0", 8) == 0;
	if (!out->http_1_0 && memcmp(version, "HTTP/1.1", 8) != 0) {
		return MODEL_REFUSE;
	}
	out->last = out->http_1_0;
	out->method = (struct model_text){line.at, (size_t)(first - line.at)};
	target = (struct model_text){first + 1, (size_t)(last - first) - 1};
	return worst(read_method(out->method), read_target(target, out));
}

/* ---- The fields ---- */

static enum model_verdict weigh_field(struct model_text name, struct model_text value, struct model_request *out, struct framing *f)
{
	if (model_is(name, "host")) {
		f->n_host++;
		f->host = value;
	} else if (model_is(name, "content-length")) {
		f->n_length++;
		f->length = value;
	} else if (model_is(name, "transfer-encoding")) {
		f->n_coding++;
		f->coding = value;
	} else if (model_is(name, "expect")) {
		f->n_expect++;
		f->expect = value;
		out->expects = true;
	} else if (model_is(name, "connection")) {
		out->last |= model_is(value, "close");
		return unless(model_is(value, "close") || model_is(value, "keep-alive"), MODEL_MAY);
	} else if (model_is(name, "upgrade") || model_is(name, "proxy-connection")) {
		return MODEL_MAY;
	}
	return MODEL_TAKE;
}

static enum model_verdict read_field(struct model_text line, struct model_request *out, struct framing *f)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct model_text name, value;
	enum model_verdict v = MODEL_TAKE;

	if (colon == NULL) {
		return MODEL_REFUSE;
	}
	name = (struct model_text){line.at, (size_t)(colon - line.at)};
	value = trimmed((struct model_text){colon + 1, line.len - name.len - 1});
	if (!all_of(name, TOKEN) || out->n_fields == MODEL_FIELDS_MAX) {
		return MODEL_REFUSE;
	}
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return MODEL_REFUSE;
		}
		v = worst(v, unless(c >= ' ' && c < 0x7f, MODEL_MAY));
	}
	out->names[out->n_fields] = name;
	out->values[out->n_fields++] = value;
	return worst(v, weigh_field(name, value, out, f));
}

static enum model_verdict judge_framing(const struct framing *f, const struct model_request *out, uint64_t *length)
{
	struct model_text number = f->length;
	char digits[24] = "";

	*length = 0;
	if (f->n_host > 1 || (f->n_host == 0 && !out->http_1_0) || (f->n_host == 1 && (f->host.len == 0 || has_byte(f->host, '@') || has_byte(f->host, '/')))) {
		return MODEL_REFUSE;
	}
	if (f->n_length + f->n_coding > 1 || (f->n_coding > 0 && (out->http_1_0 || !model_is(f->coding, "chunked")))) {
		return MODEL_REFUSE;
	}
	while (number.len > 1 && number.at[0] == '0') {
		number.at++;
		number.len--;
	}
	if (f->n_length > 0 && (!all_of(f->length, DIGITS) || number.len > 19)) {
		return MODEL_REFUSE;
	}
	if (f->n_length > 0) {
		memcpy(digits, number.at, number.len);
		*length = strtoull(digits, NULL, 10);
	}
	if (*length > MODEL_BODY_MAX) {
		return MODEL_REFUSE;
	}
	if (f->n_expect > 0 && !out->http_1_0 && (f->n_expect > 1 || !model_is(f->expect, "100-continue"))) {
		return MODEL_REFUSE;
	}
	return unless(f->n_expect == 0 && number.len == f->length.len && (f->n_host == 0 || all_of(f->host, DIGITS LETTERS ".-")), MODEL_MAY);
}

/* ---- The body ---- */

static enum model_verdict read_size(struct model_text line, uint64_t *size)
{
	const char *semicolon = line.len > 0 ? memchr(line.at, ';', line.len) : NULL;
	struct model_text number = {line.at, semicolon != NULL ? (size_t)(semicolon - line.at) : line.len};
	char digits[20] = "";

	if (!all_of(number, DIGITS "abcdefABCDEF")) {
		return MODEL_REFUSE;
	}
	if (number.len >= sizeof(digits) - 4) {
		return number.at[0] == '0' ? MODEL_MAY : MODEL_REFUSE;
	}
	memcpy(digits, number.at, number.len);
	*size = strtoull(digits, NULL, 16);
	return unless(semicolon == NULL, MODEL_MAY);
}

static enum model_verdict read_trailers(const char *bytes, size_t len, size_t *at)
{
	enum model_verdict v = MODEL_TAKE;
	struct model_text line;

	while (next_line(bytes, len, at, &line)) {
		const char *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;

		if (line.len == 0) {
			return v;
		}
		if (colon == NULL || !all_of((struct model_text){line.at, (size_t)(colon - line.at)}, TOKEN)) {
			return MODEL_REFUSE;
		}
		v = MODEL_MAY;
	}
	return MODEL_UNFINISHED;
}

static enum model_verdict read_chunks(const char *bytes, size_t len, size_t *at, struct mesh__buf *body)
{
	enum model_verdict v = MODEL_TAKE, rest;
	struct model_text line;
	uint64_t size = 0;

	while (next_line(bytes, len, at, &line)) {
		v = worst(v, read_size(line, &size));
		if (v == MODEL_REFUSE || (v == MODEL_MAY && size == 0 && line.len >= 16)) {
			return v;
		}
		if (size == 0) {
			rest = read_trailers(bytes, len, at);
			return rest == MODEL_UNFINISHED ? rest : worst(v, rest);
		}
		if (size > MODEL_BODY_MAX - body->len) {
			return MODEL_REFUSE;
		}
		if (len - *at < size + 2) {
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
	struct model_text line;

	while (len - *at >= 2 && memcmp(bytes + *at, "\r\n", 2) == 0) {
		*at += 2;
	}
	if (*at == len || memmem(bytes + *at, len - *at, "\r\n\r\n", 4) == NULL) {
		return MODEL_UNFINISHED;
	}
	(void)next_line(bytes, len, at, &line);
	v = read_request_line(line, out);
	while (v != MODEL_REFUSE && next_line(bytes, len, at, &line) && line.len > 0) {
		v = worst(v, read_field(line, out, f));
	}
	if (v == MODEL_REFUSE || *at > MODEL_HEADER_MAX) {
		return MODEL_REFUSE;
	}
	return worst(v, judge_framing(f, out, length));
}

enum model_verdict model_read(const char *bytes, size_t len, struct model_request *out)
{
	struct framing f = {0};
	enum model_verdict head, body;
	uint64_t length = 0;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	mesh__buf_init(&out->body, mesh__mem_libc(), MODEL_BODY_MAX);
	head = len > 0 ? read_head(bytes, len, &at, out, &f, &length) : MODEL_UNFINISHED;
	if (head == MODEL_UNFINISHED || head == MODEL_REFUSE) {
		return head;
	}
	body = read_body(bytes, len, &at, &f, length, &out->body);
	out->used = at;
	return body == MODEL_UNFINISHED ? body : worst(head, body);
}
