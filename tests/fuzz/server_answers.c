#include "server_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The line at *at without its CR LF; false when it is not whole. */
static bool next_line(const char *bytes, size_t len, size_t *at, const char **line, size_t *line_len)
{
	const char *end = *at < len ? memmem(bytes + *at, len - *at, "\r\n", 2) : NULL;

	if (end == NULL) {
		return false;
	}
	*line = bytes + *at;
	*line_len = (size_t)(end - *line);
	*at += *line_len + 2;
	return true;
}

static bool starts(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

static bool status_line(const char *line, size_t len, int *status)
{
	if (len < 13 || !starts(line, len, "HTTP/1.1 ") || line[12] != ' ') {
		return false;
	}
	*status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
	return *status >= 100 && *status < 600;
}

static bool plain(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) {
			return false;
		}
	}
	return memchr(line, ':', len) != NULL;
}

static bool take_field(const char *line, size_t len, struct answer *out)
{
	if (!plain(line, len)) {
		return false;
	}
	if (starts(line, len, "Content-Length: ")) {
		if (out->has_length || out->chunked) {
			return false;
		}
		out->has_length = true;
		out->length = (size_t)strtoull(line + 16, NULL, 10);
	} else if (starts(line, len, "Transfer-Encoding: ")) {
		if (out->has_length || out->chunked || !starts(line + 19, len - 19, "chunked")) {
			return false;
		}
		out->chunked = true;
	} else if (starts(line, len, "Connection: close")) {
		out->close = true;
	} else if (starts(line, len, "X-Tag: ")) {
		(void)snprintf(out->tag, sizeof(out->tag), "%.*s", (int)(len - 7), line + 7);
	}
	return true;
}

int answer_head(const char *bytes, size_t len, size_t *at, struct answer *out)
{
	const char *line;
	size_t n;

	memset(out, 0, sizeof(*out));
	if (!next_line(bytes, len, at, &line, &n)) {
		return 0;
	}
	if (!status_line(line, n, &out->status)) {
		return -1;
	}
	while (next_line(bytes, len, at, &line, &n)) {
		if (n == 0) {
			out->body = bytes + *at;
			return 1;
		}
		if (!take_field(line, n, out)) {
			return -1;
		}
	}
	return 0;
}

int answer_chunks(const char *bytes, size_t len, size_t *at)
{
	const char *line;
	size_t n, size;

	while (next_line(bytes, len, at, &line, &n)) {
		if (n == 0 || strspn(line, "0123456789abcdef") != n) {
			return -1;
		}
		size = (size_t)strtoull(line, NULL, 16);
		if (len - *at < size + 2) {
			return 0;
		}
		if (memcmp(bytes + *at + size, "\r\n", 2) != 0) {
			return -1;
		}
		*at += size + 2;
		if (size == 0) {
			return 1;
		}
	}
	return 0;
}
