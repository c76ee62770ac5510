#include "wire/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/str.h"
#include "wire/json_scan.h"

/* Doubles hold every integer below this; 2^53 itself may be 2^53 + 1, rounded. */
static const double exact_limit = 9007199254740992.0;

/* struct mesh__json is never defined: it is cJSON's node under a name of ours. */
static const cJSON *node_of(const struct mesh__json *v)
{
	return (const cJSON *)(const void *)v;
}

static const struct mesh__json *value_of(const cJSON *node)
{
	return (const struct mesh__json *)(const void *)node;
}

/* ---- reading ---- */

int mesh__json_parse(const struct mesh__mem *mem, const char *text, size_t len, size_t max_bytes, struct mesh__json **out, struct mesh__err *err)
{
	cJSON *root;
	int code;

	*out = NULL;
	if (len > max_bytes) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "JSON of %zu bytes is over the bound of %zu", len, max_bytes);
	}
	code = mesh__json_scan(mem, text, len, err);
	if (code != MESH_OK) {
		return code;
	}
	root = cJSON_ParseWithLength(text, len);
	if (root == NULL) { /* nothing but memory can stop it after the scan */
		return mesh__fail_memory(err);
	}
	*out = (struct mesh__json *)(void *)root;
	return MESH_OK;
}

void mesh__json_free(struct mesh__json *root)
{
	cJSON_Delete((cJSON *)(void *)root);
}

bool mesh__json_is_object(const struct mesh__json *v)
{
	return cJSON_IsObject(node_of(v));
}

bool mesh__json_is_array(const struct mesh__json *v)
{
	return cJSON_IsArray(node_of(v));
}

bool mesh__json_is_string(const struct mesh__json *v)
{
	return cJSON_IsString(node_of(v));
}

bool mesh__json_is_null(const struct mesh__json *v)
{
	return cJSON_IsNull(node_of(v));
}

const struct mesh__json *mesh__json_get(const struct mesh__json *v, const char *key)
{
	return mesh__json_is_object(v) ? value_of(cJSON_GetObjectItemCaseSensitive(node_of(v), key)) : NULL;
}

const struct mesh__json *mesh__json_first(const struct mesh__json *v)
{
	return v == NULL ? NULL : value_of(node_of(v)->child);
}

const struct mesh__json *mesh__json_next(const struct mesh__json *member)
{
	return member == NULL ? NULL : value_of(node_of(member)->next);
}

size_t mesh__json_count(const struct mesh__json *v)
{
	size_t n = 0;

	for (const struct mesh__json *m = mesh__json_first(v); m != NULL; m = mesh__json_next(m)) {
		n++;
	}
	return n;
}

const char *mesh__json_key(const struct mesh__json *member)
{
	return member == NULL ? NULL : node_of(member)->string;
}

const char *mesh__json_text(const struct mesh__json *v)
{
	return mesh__json_is_string(v) ? node_of(v)->valuestring : NULL;
}

/* Digits behind an optional '-', as a magnitude. */
static bool text_magnitude(const char *text, bool *negative, uint64_t *magnitude)
{
	*negative = text[0] == '-';
	text += *negative;
	return mesh__str_u64(text, strlen(text), UINT64_MAX, magnitude);
}

static bool exact_integer(double number, int64_t *out)
{
	if (!(number > -exact_limit && number < exact_limit) || (double)(int64_t)number != number) {
		return false;
	}
	*out = (int64_t)number;
	return true;
}

bool mesh__json_i64(const struct mesh__json *v, int64_t min, int64_t max, int64_t *out)
{
	const char *text = mesh__json_text(v);
	uint64_t magnitude;
	bool negative;
	int64_t value;

	if (text != NULL) {
		if (!text_magnitude(text, &negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative) {
			return false;
		}
		value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	} else if (!cJSON_IsNumber(node_of(v)) || !exact_integer(node_of(v)->valuedouble, &value)) {
		return false;
	}
	if (value < min || value > max) {
		return false;
	}
	*out = value;
	return true;
}

bool mesh__json_u64(const struct mesh__json *v, uint64_t *out)
{
	const char *text = mesh__json_text(v);
	int64_t value;

	if (text != NULL) {
		return mesh__str_u64(text, strlen(text), UINT64_MAX, out);
	}
	if (!mesh__json_i64(v, 0, INT64_MAX, &value)) {
		return false;
	}
	*out = (uint64_t)value;
	return true;
}

bool mesh__json_bool(const struct mesh__json *v, bool *out)
{
	if (!cJSON_IsBool(node_of(v))) {
		return false;
	}
	*out = cJSON_IsTrue(node_of(v));
	return true;
}

bool mesh__json_double(const struct mesh__json *v, double *out)
{
	if (!cJSON_IsNumber(node_of(v))) {
		return false;
	}
	*out = node_of(v)->valuedouble;
	return true;
}

/* ---- writing ---- */

static void begin_member(struct mesh__json_out *out, const char *key)
{
	if (out->comma) {
		mesh__buf_chr(out->buf, ',');
	}
	out->comma = true;
	if (key != NULL) {
		mesh__str_json(out->buf, key);
		mesh__buf_chr(out->buf, ':');
	}
}

void mesh__json_open(struct mesh__json_out *out, const char *key, char bracket)
{
	begin_member(out, key);
	mesh__buf_chr(out->buf, bracket);
	out->comma = false;
}

void mesh__json_close(struct mesh__json_out *out, char bracket)
{
	mesh__buf_chr(out->buf, bracket);
	out->comma = true;
}

void mesh__json_put_text(struct mesh__json_out *out, const char *key, const char *value)
{
	if (value != NULL) {
		begin_member(out, key);
		mesh__str_json(out->buf, value);
	}
}

void mesh__json_put_int(struct mesh__json_out *out, const char *key, int64_t value)
{
	begin_member(out, key);
	mesh__buf_printf(out->buf, "%lld", (long long)value);
}

void mesh__json_put_u64(struct mesh__json_out *out, const char *key, uint64_t value)
{
	begin_member(out, key);
	mesh__buf_printf(out->buf, "\"%llu\"", (unsigned long long)value);
}

void mesh__json_put_literal(struct mesh__json_out *out, const char *key, const char *value)
{
	begin_member(out, key);
	mesh__buf_str(out->buf, value);
}

void mesh__json_put_bool(struct mesh__json_out *out, const char *key, bool value)
{
	begin_member(out, key);
	mesh__buf_str(out->buf, value ? "true" : "false");
}

/* Appends what printf made of a finite double. Its point is the locale's, of any length: whatever is no part of a number becomes one '.'. */
static void add_number(struct mesh__buf *buf, const char *printed)
{
	static const char parts[] = "0123456789+-eE";
	size_t whole = strspn(printed, parts);

	mesh__buf_add(buf, printed, whole);
	printed += whole;
	if (*printed != '\0') {
		mesh__buf_chr(buf, '.');
		mesh__buf_str(buf, printed + strcspn(printed, parts));
	}
}

void mesh__json_put_double(struct mesh__json_out *out, const char *key, double value, int decimals)
{
	char printed[DBL_MAX_10_EXP + 40];

	begin_member(out, key);
	if (!isfinite(value)) { /* JSON has no word for it */
		mesh__buf_str(out->buf, "null");
		return;
	}
	(void)snprintf(printed, sizeof(printed), "%.*f", decimals < 0 ? 0 : decimals > 17 ? 17 : decimals, value);
	add_number(out->buf, printed);
}

/* The shortest of two forms that reads back as the same double. */
static void put_number(struct mesh__buf *buf, double value)
{
	char printed[48];
	int64_t whole;

	if (exact_integer(value, &whole)) {
		mesh__buf_printf(buf, "%lld", (long long)whole);
		return;
	}
	(void)snprintf(printed, sizeof(printed), "%.15g", value);
	if (strtod(printed, NULL) != value) {
		(void)snprintf(printed, sizeof(printed), "%.17g", value);
	}
	add_number(buf, printed);
}

/* Recursive, as deep as the scan let the value be. */
void mesh__json_put_value(struct mesh__json_out *out, const char *key, const struct mesh__json *value)
{
	const cJSON *node = node_of(value);
	bool object = mesh__json_is_object(value);

	if (value == NULL) {
		return;
	}
	if (object || mesh__json_is_array(value)) {
		mesh__json_open(out, key, object ? '{' : '[');
		for (const struct mesh__json *m = mesh__json_first(value); m != NULL; m = mesh__json_next(m)) {
			mesh__json_put_value(out, object ? mesh__json_key(m) : NULL, m);
		}
		mesh__json_close(out, object ? '}' : ']');
		return;
	}
	if (mesh__json_is_string(value)) {
		mesh__json_put_text(out, key, mesh__json_text(value));
		return;
	}
	begin_member(out, key);
	if (cJSON_IsNumber(node)) {
		put_number(out->buf, node->valuedouble);
	} else {
		mesh__buf_str(out->buf, cJSON_IsTrue(node) ? "true" : cJSON_IsFalse(node) ? "false" : "null");
	}
}
