#include "policy/reading.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/document.h"

struct mesh__place mesh__place_of(const struct mesh__place *up, const struct mesh__node *node)
{
	return (struct mesh__place){.up = up, .node = node, .name = node->key, .line = node->line, .column = node->column};
}

struct mesh__place mesh__place_of_key(const struct mesh__place *up, const struct mesh__node *node)
{
	return (struct mesh__place){.up = up, .node = node, .name = node->key, .line = node->key_line, .column = node->key_column};
}

struct mesh__place mesh__place_of_item(const struct mesh__place *up, const struct mesh__node *node, size_t index)
{
	return (struct mesh__place){.up = up, .node = node, .index = index, .line = node->line, .column = node->column};
}

enum { PATH_TEXT = 256 };

/* Returns the length; as deep as the tables of fields are, which is not deep. */
static size_t put_path(const struct mesh__place *at, char out[PATH_TEXT])
{
	size_t len;
	int n;

	if (at->up == NULL) {
		out[0] = '\0';
		return 0;
	}
	len = put_path(at->up, out);
	if (at->name != NULL) {
		n = snprintf(out + len, PATH_TEXT - len, "%s%.60s", len > 0 ? "." : "", at->name);
	} else {
		n = snprintf(out + len, PATH_TEXT - len, "[%zu]", at->index);
	}
	len += n > 0 ? (size_t)n : 0;
	return len < PATH_TEXT ? len : PATH_TEXT - 1;
}

/* "path: text" in *line, made printable: keys and values are a stranger's. */
static void compose(struct mesh__err *line, const struct mesh__place *at, const char *fmt, va_list args) MESH__PRINTF(3, 0);

static void compose(struct mesh__err *line, const struct mesh__place *at, const char *fmt, va_list args)
{
	char path[PATH_TEXT], text[320];

	(void)put_path(at, path);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	(void)mesh__fail(line, MESH_E_INVALID, "%s%s%s", path, path[0] != '\0' ? ": " : "", text);
}

static void add_line(const struct mesh__reading *r, struct mesh__buf *buf, const struct mesh__place *at, const struct mesh__err *line)
{
	if (buf != NULL) {
		mesh__buf_printf(buf, "%s:%d:%d: %s\n", r->file, at->line, at->column, line->message);
	}
}

void mesh__reading_fault(struct mesh__reading *r, const struct mesh__place *at, const char *fmt, ...)
{
	struct mesh__err line;
	va_list args;

	r->n_faults++;
	if (r->n_faults > MESH__FAULTS_MAX) {
		return;
	}
	va_start(args, fmt);
	compose(&line, at, fmt, args);
	va_end(args);
	if (r->n_faults == 1) {
		(void)mesh__fail(&r->first, MESH_E_INVALID, "%.200s:%d:%d: %s", r->file, at->line, at->column, line.message);
	}
	add_line(r, r->faults, at, &line);
}

void mesh__reading_warn(struct mesh__reading *r, const struct mesh__place *at, const char *fmt, ...)
{
	struct mesh__err line;
	va_list args;

	va_start(args, fmt);
	compose(&line, at, fmt, args);
	va_end(args);
	add_line(r, r->warnings, at, &line);
}

void mesh__reading_refer(struct mesh__reading *r, const struct mesh__place *at, const char *service)
{
	struct mesh__reference *reference;
	char path[PATH_TEXT];

	if (r->referred == NULL) {
		return;
	}
	(void)put_path(at, path);
	reference = mesh__arena_alloc(r->arena, 1, sizeof(*reference));
	if (reference == NULL) {
		r->no_memory = true;
		return;
	}
	*reference = (struct mesh__reference){.service = mesh__arena_strdup(r->arena, service), .path = mesh__arena_strdup(r->arena, path), .line = at->line, .column = at->column};
	r->no_memory |= reference->service == NULL || reference->path == NULL;
	*r->referred = reference;
	r->referred = &reference->next;
}

bool mesh__reading_full(const struct mesh__reading *r)
{
	return r->n_faults >= MESH__FAULTS_MAX;
}

/* ---- Scalars, by the core schema of YAML 1.2.2 (section 10.3.2) ---- */

enum scalar { SCALAR_TEXT, SCALAR_NULL, SCALAR_BOOL, SCALAR_NUMBER };

static bool one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(text, *words) == 0) {
			return true;
		}
	}
	return false;
}

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?  or an octal or hexadecimal number */
static bool is_number(const char *text)
{
	size_t whole, fraction = 0;

	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
		const char *set = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
		size_t n = strspn(text + 2, set);
		return n > 0 && text[2 + n] == '\0';
	}
	text += *text == '-' || *text == '+';
	whole = digits(text);
	text += whole;
	if (*text == '.') {
		text++;
		fraction = digits(text);
		text += fraction;
	}
	if (whole + fraction == 0) {
		return false;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		return digits(text) > 0 && text[digits(text)] == '\0';
	}
	return *text == '\0';
}

static enum scalar scalar_type(const struct mesh__node *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
	static const char *const floats[] = {
		".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN", NULL,
	};

	if (node->quoted) {
		return SCALAR_TEXT;
	}
	if (one_of(node->text, nulls)) {
		return SCALAR_NULL;
	}
	if (one_of(node->text, bools)) {
		return SCALAR_BOOL;
	}
	return one_of(node->text, floats) || is_number(node->text) ? SCALAR_NUMBER : SCALAR_TEXT;
}

/* Tells the fault unless `node` is a scalar with a value. */
static bool is_scalar(struct mesh__reading *r, const struct mesh__place *at, const char *wanted)
{
	if (at->node->kind != MESH__NODE_SCALAR) {
		mesh__reading_fault(r, at, "wants %s, not a %s", wanted, at->node->kind == MESH__NODE_LIST ? "list" : "map");
		return false;
	}
	if (scalar_type(at->node) == SCALAR_NULL) {
		mesh__reading_fault(r, at, "has no value; wants %s", wanted);
		return false;
	}
	return true;
}

bool mesh__read_text(struct mesh__reading *r, const struct mesh__place *at, const char **text)
{
	if (!is_scalar(r, at, "text")) {
		return false;
	}
	if (scalar_type(at->node) != SCALAR_TEXT) {
		mesh__reading_fault(r, at, "wants text, not a %s; write it in quotes: \"%.60s\"",
			scalar_type(at->node) == SCALAR_BOOL ? "truth value" : "number", at->node->text);
		return false;
	}
	if (at->node->text[0] == '\0') {
		mesh__reading_fault(r, at, "is empty");
		return false;
	}
	*text = at->node->text;
	return true;
}

bool mesh__read_bool(struct mesh__reading *r, const struct mesh__place *at, bool *value)
{
	if (!is_scalar(r, at, "true or false")) {
		return false;
	}
	if (scalar_type(at->node) != SCALAR_BOOL) {
		mesh__reading_fault(r, at, "wants true or false, without quotes, not \"%.60s\"", at->node->text);
		return false;
	}
	*value = at->node->text[0] == 't' || at->node->text[0] == 'T';
	return true;
}

bool mesh__read_count(struct mesh__reading *r, const struct mesh__place *at, int32_t min, int32_t max, int32_t *value)
{
	uint64_t n;

	if (!is_scalar(r, at, "a whole number")) {
		return false;
	}
	if (at->node->quoted || at->node->text[digits(at->node->text)] != '\0') {
		mesh__reading_fault(r, at, "wants a whole number in decimal digits, without quotes, not \"%.60s\"", at->node->text);
		return false;
	}
	if (!mesh__str_u64(at->node->text, strlen(at->node->text), (uint64_t)max, &n) || n < (uint64_t)min) {
		mesh__reading_fault(r, at, "%.60s is out of range; it may be from %d to %d", at->node->text, min, max);
		return false;
	}
	*value = (int32_t)n;
	return true;
}

bool mesh__read_duration(struct mesh__reading *r, const struct mesh__place *at, int64_t min_ms, int64_t max_ms,
	int64_t *ms)
{
	char min[24], max[24];
	int64_t value;

	if (!is_scalar(r, at, "a duration")) {
		return false;
	}
	if (!mesh__duration_parse(at->node->text, strlen(at->node->text), &value)) {
		mesh__reading_fault(r, at, "\"%.60s\" is no duration; write a number and a unit (ms, s, m, h), such as 250ms", at->node->text);
		return false;
	}
	if (value < min_ms || value > max_ms) {
		mesh__duration_format(min_ms, min);
		mesh__duration_format(max_ms, max);
		mesh__reading_fault(r, at, "%.60s is out of range; it may be from %s to %s", at->node->text, min, max);
		return false;
	}
	*ms = value;
	return true;
}

/* ---- Decimals, in ten-thousandths ---- */

enum { PLACES = 4, TEN_THOUSAND = 10000 };

void mesh__decimal_format(int32_t value, char *out)
{
	int len = snprintf(out, 16, "%d.%04d", value / TEN_THOUSAND, value % TEN_THOUSAND);

	while (len > 0 && out[len - 1] == '0') {
		out[--len] = '\0';
	}
	if (len > 0 && out[len - 1] == '.') {
		out[--len] = '\0';
	}
}

/* digits, with at most four of them behind a point; false for anything else, and for more than fits. */
static bool parse_decimal(const char *text, int32_t *value)
{
	size_t whole = digits(text), places = 0;
	uint64_t n, fraction = 0;

	if (text[whole] == '.') {
		places = digits(text + whole + 1);
		if (places == 0 || places > PLACES || !mesh__str_u64(text + whole + 1, places, TEN_THOUSAND, &fraction)) {
			return false;
		}
	}
	if (whole == 0 || text[whole + (places > 0 ? places + 1 : 0)] != '\0' || !mesh__str_u64(text, whole, INT32_MAX / TEN_THOUSAND - 1, &n)) {
		return false;
	}
	for (; places < PLACES && places > 0; places++) {
		fraction *= 10;
	}
	*value = (int32_t)(n * TEN_THOUSAND + fraction);
	return true;
}

bool mesh__read_decimal(struct mesh__reading *r, const struct mesh__place *at, int32_t min, int32_t max, int32_t *value)
{
	char least[16], most[16];
	int32_t n;

	if (!is_scalar(r, at, "a number")) {
		return false;
	}
	if (at->node->quoted || !parse_decimal(at->node->text, &n)) {
		mesh__reading_fault(r, at, "wants a decimal number with at most four places, without quotes, not \"%.60s\"", at->node->text);
		return false;
	}
	if (n < min || n > max) {
		mesh__decimal_format(min, least);
		mesh__decimal_format(max, most);
		mesh__reading_fault(r, at, "%.60s is out of range; it may be from %s to %s", at->node->text, least, most);
		return false;
	}
	*value = n;
	return true;
}

/* ---- Words, and what is suggested ---- */

void mesh__suggest(const char *text, const char *const *names, size_t n, char out[96])
{
	const char *near = mesh__str_nearest(text, names, n);

	out[0] = '\0';
	if (near != NULL) {
		(void)snprintf(out, 96, "; did you mean \"%.64s\"?", near);
	}
}

/* "peakEwma, roundRobin" */
static void list_words(const struct mesh__word *words, char out[PATH_TEXT])
{
	size_t len = 0;

	out[0] = '\0';
	for (; words->text != NULL && len < PATH_TEXT - 1; words++) {
		if (words->value != MESH__WORD_NOT_YET) {
			int added = snprintf(out + len, PATH_TEXT - len, "%s%s", len > 0 ? ", " : "", words->text);
			len += added > 0 ? (size_t)added : 0;
		}
	}
}

bool mesh__read_word(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__word *words, int *value)
{
	const char *names[MESH__NAMES_MAX], *text;
	char list[PATH_TEXT], hint[96];
	size_t n = 0;

	if (!mesh__read_text(r, at, &text)) {
		return false;
	}
	list_words(words, list);
	for (; words->text != NULL; words++) {
		if (strcmp(text, words->text) != 0) {
			names[n++] = words->text;
			continue;
		}
		if (words->value == MESH__WORD_NOT_YET) {
			mesh__reading_fault(r, at, "%s is not in force yet; in this version: %s", text, list);
			return false;
		}
		*value = words->value;
		return true;
	}
	mesh__suggest(text, names, n, hint);
	mesh__reading_fault(r, at, "\"%.60s\" is no value of it; in this version: %s%s", text, list, hint);
	return false;
}
