#include "base/str.h"

#include <stdio.h>
#include <string.h>

bool mesh__str_u64(const char *text, size_t len, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (len == 0) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned char)text[i] - (unsigned)'0';
		if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
			return false;
		}
		v = v * 10 + digit;
	}
	if (v > max) {
		return false;
	}
	*value = v;
	return true;
}

bool mesh__str_eq(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Not tolower(): the application's locale must have no say in what equals what. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool mesh__str_eq_nocase(const char *a, size_t len, const char *b)
{
	size_t i = 0;

	while (i < len && b[i] != '\0' && (a[i] == b[i] || lower(a[i]) == lower(b[i]))) {
		i++;
	}
	return i == len && b[i] == '\0';
}

bool mesh__str_eq_secret(const void *a, const void *b, size_t len)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char diff = 0;

	for (size_t i = 0; i < len; i++) {
		diff |= (unsigned char)(x[i] ^ y[i]);
	}
	return diff == 0;
}

/* wyhash's mixing step over eight bytes at a time, seeded: enough against collisions by someone who cannot see the seed. */
__extension__ typedef unsigned __int128 wide;

static uint64_t mix(uint64_t a, uint64_t b)
{
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t mesh__str_hash(const char *text, uint64_t seed)
{
	size_t len = strlen(text);
	uint64_t hash = seed ^ len;

	while (len > 0) {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);
		memcpy(&word, text, n);
		hash = mix(hash ^ word ^ 0xa0761d6478bd642fU, seed ^ 0xe7037ed1a0b428dbU);
		text += n;
		len -= n;
	}
	return mix(hash ^ 0x8ebc6af09c88c6e3U, seed ^ 0x589965cc75374cc3U);
}

bool mesh__str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of the UTF-8 sequence at `p`, 0 when it is none. RFC 3629 section 4. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char c = p[0];
	size_t len = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

	if (len == 0 || len > left) {
		return 0;
	}
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f)) {
		return 0;
	}
	return len;
}

bool mesh__str_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0;

	while (i < len) {
		size_t n = utf8_sequence(p + i, len - i);
		if (n == 0) {
			return false;
		}
		i += n;
	}
	return true;
}

void mesh__str_hex(const void *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 0xf];
	}
	out[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool mesh__str_unhex(const char *text, size_t text_len, void *bytes, size_t len)
{
	unsigned char *out = bytes;

	if (text_len / 2 != len || text_len % 2 != 0) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* The character of a sequence of two or three bytes; 0 for others. */
static unsigned code_of(const unsigned char *p, size_t n)
{
	return n == 2 ? (unsigned)(p[0] & 0x1f) << 6 | (p[1] & 0x3f) : n == 3 ? (unsigned)(p[0] & 0x0f) << 12 | (unsigned)(p[1] & 0x3f) << 6 | (p[2] & 0x3f) : 0;
}

/* What JSON may hold as it is and YAML not: controls, ends of lines, the byte order mark, what is no character. */
static bool yaml_minds(unsigned code)
{
	return (code >= 0x80 && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff || code >= 0xfffe;
}

void mesh__str_json(struct mesh__buf *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text);

	mesh__buf_chr(out, '"');
	while (left > 0) {
		size_t n = utf8_sequence(p, left);
		if (n == 0) {
			mesh__buf_str(out, "\\ufffd");
			n = 1;
		} else if (n == 1 && (*p == '"' || *p == '\\')) {
			mesh__buf_chr(out, '\\');
			mesh__buf_chr(out, (char)*p);
		} else if (n == 1 && (*p < 0x20 || *p == 0x7f)) {
			mesh__buf_printf(out, "\\u%04x", *p);
		} else if (yaml_minds(code_of(p, n))) {
			mesh__buf_printf(out, "\\u%04x", code_of(p, n));
		} else {
			mesh__buf_add(out, p, n);
		}
		p += n;
		left -= n;
	}
	mesh__buf_chr(out, '"');
}

struct unit {
	const char *name;
	int64_t us;
};

static const struct unit units[] = {
	{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", INT64_C(3600000000)}, {"d", INT64_C(86400000000)},
};

/* No duration is longer: a hundred years. It keeps every sum of two in range. */
static const int64_t longest_us = INT64_C(36525) * 86400000000;

static const struct unit *find_unit(const char *name, size_t len)
{
	for (size_t i = 0; i < MESH__COUNT(units); i++) {
		if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0) {
			return &units[i];
		}
	}
	return NULL;
}

bool mesh__duration_parse(const char *text, size_t len, int64_t *ms)
{
	size_t whole = 0, end, fraction_len;
	uint64_t value, fraction = 0;
	int64_t scale = 1, us;
	const struct unit *unit;

	while (whole < len && text[whole] >= '0' && text[whole] <= '9') {
		whole++;
	}
	end = whole;
	if (end < len && text[end] == '.') {
		end++;
		while (end < len && text[end] >= '0' && text[end] <= '9') {
			end++;
		}
		fraction_len = end - whole - 1;
		if (fraction_len > 6 || !mesh__str_u64(text + whole + 1, fraction_len, 999999, &fraction)) {
			return false;
		}
		for (size_t i = 0; i < fraction_len; i++) {
			scale *= 10;
		}
	}
	unit = find_unit(text + end, len - end);
	if (unit == NULL || !mesh__str_u64(text, whole, (uint64_t)(longest_us / unit->us), &value)) {
		return false;
	}
	us = (int64_t)value * unit->us + (int64_t)fraction * unit->us / scale;
	if (us > longest_us) {
		return false;
	}
	*ms = us / 1000;
	return true;
}

void mesh__duration_format(int64_t ms, char *out)
{
	if (ms != 0 && ms % 3600000 == 0) {
		(void)snprintf(out, 24, "%lldh", (long long)(ms / 3600000));
	} else if (ms % 1000 == 0) {
		(void)snprintf(out, 24, "%llds", (long long)(ms / 1000));
	} else {
		(void)snprintf(out, 24, "%lldms", (long long)ms);
	}
}

enum { LONGEST_NAME = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's distance, one row at a time; both at most LONGEST_NAME bytes. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[LONGEST_NAME + 1];

	for (size_t j = 0; j <= b_len; j++) {
		row[j] = j;
	}
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

const char *mesh__str_nearest(const char *text, const char *const *names, size_t n)
{
	size_t len = strlen(text), best = len / 3 + 2;
	const char *nearest = NULL;

	for (size_t i = 0; len <= LONGEST_NAME && i < n; i++) {
		size_t name_len = strlen(names[i]);
		size_t d = name_len > LONGEST_NAME ? best : distance(text, len, names[i], name_len);
		if (d < best && d < name_len) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
