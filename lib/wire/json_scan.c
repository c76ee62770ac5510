#include "wire/json_scan.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "wire/json_keys.h"

enum {
	NUMBER_MAX = 62,          /* the parser behind us reads no longer ones */
	EXPONENT_LIMIT = 1000000 /* beyond any double's, far below an int's */
};

struct level {
	char bracket;
	size_t keys; /* how many keys were open before this object's */
};

struct scan {
	const char *text;
	size_t len, at;
	struct level levels[MESH__JSON_DEPTH_MAX];
	size_t depth, n_values;
	struct mesh__json_keys keys;
	struct mesh__err *err;
};

/* ---- faults ---- */

static int fault_of(const struct scan *s, int code, size_t at, const char *what)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		if (s->text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)s->text[i] & 0xc0) != 0x80) {
			column++; /* columns count characters, as an editor does */
		}
	}
	return mesh__fail(s->err, code, "%zu:%zu: %s (byte %zu)", line, column, what, at);
}

static int fault(const struct scan *s, size_t at, const char *what)
{
	return fault_of(s, MESH_E_INVALID, at, what);
}

/* ---- strings ---- */

static int hex4(const char *p, size_t left)
{
	unsigned char bytes[2];

	return left >= 4 && mesh__str_unhex(p, 4, bytes, 2) ? bytes[0] << 8 | bytes[1] : -1;
}

static bool is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* What follows a backslash; s->at is on it. */
static int scan_escape(struct scan *s)
{
	size_t start = s->at - 1;
	const char *p = s->text + s->at;
	size_t left = s->len - s->at;
	int unit, low;

	if (left == 0 || *p == '\0' || strchr("\"\\/bfnrtu", *p) == NULL) {
		return fault(s, start, "unknown escape in a string");
	}
	if (*p != 'u') {
		s->at++;
		return MESH_OK;
	}
	unit = hex4(p + 1, left - 1);
	if (unit < 0) {
		return fault(s, start, "\\u needs four hexadecimal digits");
	}
	if (unit == 0) {
		return fault(s, start, "\\u0000 is not taken");
	}
	if (!is_high(unit) && !is_low(unit)) {
		s->at += 5;
		return MESH_OK;
	}
	low = left >= 11 && p[5] == '\\' && p[6] == 'u' ? hex4(p + 7, 4) : -1;
	if (is_low(unit) || !is_low(low)) {
		return fault(s, start, "lone surrogate in a string");
	}
	s->at += 11;
	return MESH_OK;
}

/* A character beyond ASCII at s->at. Only strings may hold one, so here is where UTF-8 is checked. */
static int scan_beyond_ascii(struct scan *s)
{
	unsigned char lead = (unsigned char)s->text[s->at];
	size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	if (n > s->len - s->at || !mesh__str_utf8(s->text + s->at, n)) {
		return fault(s, s->at, "this is not UTF-8");
	}
	s->at += n;
	return MESH_OK;
}

/* A string whose opening quote is at s->at; *key gets what stands between the quotes. */
static int scan_string(struct scan *s, struct mesh__json_key *key)
{
	size_t start = s->at++;
	int code;

	while (s->at < s->len) {
		unsigned char c = (unsigned char)s->text[s->at];
		if (c == '"') {
			*key = (struct mesh__json_key){(uint32_t)(start + 1), (uint32_t)(s->at - start - 1)};
			s->at++;
			return MESH_OK;
		}
		if (c < 0x20) {
			return fault(s, s->at, "control character in a string");
		}
		if (c >= 0x80) {
			code = scan_beyond_ascii(s);
		} else {
			s->at++;
			code = c == '\\' ? scan_escape(s) : MESH_OK;
		}
		if (code != MESH_OK) {
			return code;
		}
	}
	return fault(s, start, "this string does not end");
}

/* ---- numbers and words ---- */

static size_t scan_digits(struct scan *s)
{
	size_t start = s->at;

	while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9') {
		s->at++;
	}
	return s->at - start;
}

static bool take(struct scan *s, const char *one_of)
{
	if (s->at < s->len && s->text[s->at] != '\0' && strchr(one_of, s->text[s->at]) != NULL) {
		s->at++;
		return true;
	}
	return false;
}

/* True when the number rounds to infinity. The point is folded into the exponent: strtod()'s point is the locale's. */
static bool overflows(const char *mantissa, size_t len, long exponent)
{
	char number[NUMBER_MAX + 16];
	size_t n = 0;
	bool fraction = false;

	for (size_t i = 0; i < len; i++) {
		if (mantissa[i] == '.') {
			fraction = true;
		} else {
			number[n++] = mantissa[i];
			exponent -= fraction;
		}
	}
	(void)snprintf(number + n, sizeof(number) - n, "e%ld", exponent);
	return isinf(strtod(number, NULL));
}

static int scan_number(struct scan *s)
{
	size_t start = s->at, mantissa_len, exponent_at;
	long exponent = 0;

	(void)take(s, "-");
	if (!take(s, "0") && scan_digits(s) == 0) {
		return fault(s, start, "this is no JSON value");
	}
	if (take(s, ".") && scan_digits(s) == 0) {
		return fault(s, start, "a number's point needs a digit behind it");
	}
	mantissa_len = s->at - start;
	if (take(s, "eE")) {
		bool negative = take(s, "-");
		(void)(negative || take(s, "+"));
		exponent_at = s->at;
		if (scan_digits(s) == 0) {
			return fault(s, start, "a number's exponent needs a digit");
		}
		for (size_t i = exponent_at; i < s->at && exponent < EXPONENT_LIMIT; i++) {
			exponent = exponent * 10 + (s->text[i] - '0');
		}
		exponent = negative ? -exponent : exponent;
	}
	if (s->at - start > NUMBER_MAX) {
		return fault(s, start, "number too long; send it as a string");
	}
	if (overflows(s->text + start, mantissa_len, exponent)) {
		return fault(s, start, "number out of range");
	}
	return MESH_OK;
}

static int scan_word(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < MESH__COUNT(words); i++) {
		size_t n = strlen(words[i]);
		if (s->len - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
			s->at += n;
			return MESH_OK;
		}
	}
	return fault(s, s->at, "this is no JSON value");
}

/* ---- structure ---- */

static void skip_space(struct scan *s)
{
	while (take(s, " \t\n\r")) {
	}
}

/* `"key":` before a member's value. */
static int scan_key(struct scan *s)
{
	struct mesh__json_key key;
	int code;

	skip_space(s);
	if (s->at == s->len || s->text[s->at] != '"') {
		return fault(s, s->at, "a key in quotes is expected here");
	}
	code = scan_string(s, &key);
	if (code != MESH_OK) {
		return code;
	}
	if (!mesh__json_keys_add(&s->keys, key)) {
		return mesh__fail_memory(s->err);
	}
	skip_space(s);
	return take(s, ":") ? MESH_OK : fault(s, s->at, "':' is expected here");
}

/* Opens a level; *empty when it is closed again at once. */
static int open_level(struct scan *s, bool *empty)
{
	char bracket = s->text[s->at];

	if (s->depth == MESH__JSON_DEPTH_MAX) {
		return fault(s, s->at, "nested too deep (64 levels at most)");
	}
	s->at++;
	skip_space(s);
	*empty = take(s, bracket == '{' ? "}" : "]");
	if (*empty) {
		return MESH_OK;
	}
	s->levels[s->depth++] = (struct level){bracket, s->keys.n};
	return bracket == '{' ? scan_key(s) : MESH_OK;
}

/* After a value: closes what ends here, until a comma promises another value or the outermost level is closed. */
static int after_value(struct scan *s)
{
	while (s->depth > 0) {
		const struct level *level = &s->levels[s->depth - 1];
		bool object = level->bracket == '{';
		size_t duplicate;

		skip_space(s);
		if (take(s, ",")) {
			return object ? scan_key(s) : MESH_OK;
		}
		if (!take(s, object ? "}" : "]")) {
			return fault(s, s->at, object ? "',' or '}' is expected here" : "',' or ']' is expected here");
		}
		if (object && !mesh__json_keys_settle(&s->keys, level->keys, &duplicate)) {
			return fault(s, duplicate - 1, "duplicate key");
		}
		s->depth--;
	}
	return MESH_OK;
}

/* One value; a container that is not empty is only opened: *opened. */
static int scan_value(struct scan *s, bool *opened)
{
	struct mesh__json_key ignored;
	bool empty = true;
	int code;

	*opened = false;
	skip_space(s);
	if (s->at == s->len) {
		return fault(s, s->at, "the text ends where a value is expected");
	}
	if (++s->n_values > MESH__JSON_VALUES_MAX) {
		return fault_of(s, MESH_E_TOO_LARGE, s->at, "too many values");
	}
	switch (s->text[s->at]) {
	case '{':
	case '[':
		code = open_level(s, &empty);
		*opened = !empty;
		return code;
	case '"':
		return scan_string(s, &ignored);
	case 't':
	case 'f':
	case 'n':
		return scan_word(s);
	default:
		return scan_number(s);
	}
}

int mesh__json_scan(const struct mesh__mem *mem, const char *text, size_t len, struct mesh__err *err)
{
	struct scan s = {.text = text, .len = len, .err = err, .keys = {.mem = mem, .text = text}};
	bool opened = true;
	int code = len < UINT32_MAX ? MESH_OK : mesh__fail(err, MESH_E_TOO_LARGE, "JSON over 4 GiB");

	do {
		if (code == MESH_OK) {
			code = scan_value(&s, &opened);
		}
		if (code == MESH_OK && !opened) {
			code = after_value(&s);
		}
	} while (code == MESH_OK && s.depth > 0);
	if (code == MESH_OK) {
		skip_space(&s);
		if (s.at < s.len) {
			code = fault(&s, s.at, "something follows the JSON text");
		}
	}
	mesh__json_keys_fini(&s.keys);
	return code;
}
