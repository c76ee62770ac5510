#include "server_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/text_span.h"

static bool starts(struct text_span line, const char *with)
{
	return line.len >= strlen(with) && memcmp(line.at, with, strlen(with)) == 0;
}

static bool status_line(struct text_span line, int *status)
{
	if (line.len < 13 || !starts(line, "HTTP/1.1 ") || line.at[12] != ' ') {
		return false;
	}
	*status = (line.at[9] - '0') * 100 + (line.at[10] - '0') * 10 + line.at[11] - '0';
	return *status >= 100 && *status < 600;
}

static bool take_field(struct text_span line, struct answer *out)
{
	if (text_has_control(line) || !text_has(line, ':') || starts(line, "Set-Cookie")) { /* a handler that tries to split its answer */
		return false;
	}
	if (starts(line, "Content-Length: ")) {
		if (out->has_length || out->chunked) {
			return false;
		}
		out->has_length = true;
		out->length = (size_t)strtoull(line.at + 16, NULL, 10);
	} else if (starts(line, "Transfer-Encoding: ")) {
		if (out->has_length || out->chunked || !text_same(line, "Transfer-Encoding: chunked")) {
			return false;
		}
		out->chunked = true;
	} else if (starts(line, "Connection: close")) {
		out->close = true;
	} else if (starts(line, "X-Tag: ")) {
		(void)snprintf(out->tag, sizeof(out->tag), "%.*s", (int)(line.len - 7), line.at + 7);
	}
	return true;
}

int answer_head(const char *bytes, size_t len, size_t *at, struct answer *out)
{
	struct text_span line;

	memset(out, 0, sizeof(*out));
	if (!text_line(bytes, len, at, &line)) {
		return 0;
	}
	if (!status_line(line, &out->status)) {
		return -1;
	}
	while (text_line(bytes, len, at, &line)) {
		if (line.len == 0) {
			out->body = bytes + *at;
			return 1;
		}
		if (!take_field(line, out)) {
			return -1;
		}
	}
	return 0;
}

/* The trailer section: what may stand there, and an empty line. */
static int trailers(const char *bytes, size_t len, size_t *at)
{
	struct text_span line;

	while (text_line(bytes, len, at, &line)) {
		if (line.len == 0) {
			return 1;
		}
		if (!starts(line, "x-sum: ") && !starts(line, "X-Sum: ")) {
			return -1;
		}
	}
	return 0;
}

int answer_chunks(const char *bytes, size_t len, size_t *at)
{
	struct text_span line;
	size_t size;

	while (text_line(bytes, len, at, &line)) {
		if (!text_all_of(line, TEXT_HEX)) {
			return -1;
		}
		size = (size_t)strtoull(line.at, NULL, 16);
		if (size == 0) {
			return trailers(bytes, len, at);
		}
		if (len - *at < size + 2) {
			return 0;
		}
		if (memcmp(bytes + *at + size, "\r\n", 2) != 0) {
			return -1;
		}
		*at += size + 2;
	}
	return 0;
}
