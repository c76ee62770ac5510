#include "wire/path.h"

#include <string.h>

#include "base/str.h"

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Most paths are spelled as they should be, which one look at each byte tells. */
static bool may_be_spelled_otherwise(const char *path)
{
	for (; *path != '\0'; path++) {
		if (*path == '%' || *path == '\\' || (*path == '/' && (path[1] == '/' || path[1] == '.'))) {
			return true;
		}
	}
	return false;
}

/* Decoded: the byte of two hex digits at `text`, of which the first may be the end. */
static bool decode(const char *text, char *c)
{
	return text[0] != '\0' && text[1] != '\0' && mesh__str_unhex(text, 2, c, 1);
}

/* Of the bytes that a server might take for something else than they are here: an encoded slash is data to one and a slash to the next, a backslash is a slash to some, and a NUL ends the path for those who count no bytes. */
static bool has_two_readings(char c)
{
	return c == '\0' || c == '/' || c == '\\';
}

static bool settle_encodings(char *path)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = path;

	for (const char *in = path; *in != '\0'; in++) {
		char c = *in;

		if (c != '%') {
			if (c == '\\') {
				return false;
			}
			*out++ = c;
			continue;
		}
		if (!decode(in + 1, &c) || has_two_readings(c)) {
			return false;
		}
		if (is_unreserved(c)) {
			*out++ = c;
		} else {
			*out++ = '%';
			*out++ = digits[(unsigned char)c >> 4];
			*out++ = digits[(unsigned char)c & 0xf];
		}
		in += 2;
	}
	*out = '\0';
	return true;
}

/* What stands between two slashes: 1 for ".", 2 for "..", else 0; -1 for one of them with parameters, which Java's servers resolve and others do not. */
static int dots(const char *segment, size_t len)
{
	size_t n = strspn(segment, ".");

	if (n == 0 || n > 2) {
		return 0;
	}
	return n == len ? (int)n : segment[n] == ';' ? -1 : 0;
}

/* In `path` up to `out` stands what is settled: "/segment" any number of times. */
static bool settle_segments(char *path)
{
	char *out = path;
	const char *in = path + 1;

	for (;;) {
		size_t len = strcspn(in, "/");
		bool last = in[len] == '\0';
		int n = dots(in, len);

		if (n < 0) {
			return false;
		}
		if (n == 2) {
			while (out > path && *--out != '/') {
			}
		} else if (n == 0 && len > 0) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		if (last) {
			if (n > 0 || len == 0) {
				*out++ = '/';
			}
			*out = '\0';
			return true;
		}
		in += len + 1;
	}
}

bool mesh__path_normalise(char *path)
{
	return !may_be_spelled_otherwise(path) || (settle_encodings(path) && settle_segments(path));
}

/* The octet that a normalised path says next, -1 at its end. */
static int next_octet(const char **at)
{
	char c = **at;

	if (c == '\0') {
		return -1;
	}
	if (c != '%' || !decode(*at + 1, &c)) {
		*at += 1;
		return (unsigned char)c;
	}
	*at += 3;
	return (unsigned char)c;
}

bool mesh__path_same(const char *a, const char *b)
{
	int octet;

	do {
		octet = next_octet(&a);
		if (octet != next_octet(&b)) {
			return false;
		}
	} while (octet >= 0);
	return true;
}

bool mesh__path_under(const char *path, const char *prefix)
{
	int octet, last = -1;

	while ((octet = next_octet(&prefix)) >= 0) {
		if (octet != next_octet(&path)) {
			return false;
		}
		last = octet;
	}
	return last == '/' || *path == '\0' || *path == '/';
}
