#include "support/h1_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "h1_client: %s\n", what);
		abort();
	}
}

void h1_open(struct h1_client *c, const struct two_meshes *t, const char *service)
{
	memset(c, 0, sizeof(*c));
	tls_wire_open(&c->wire, t, service, NULL);
}

void h1_close(struct h1_client *c)
{
	tls_wire_close(&c->wire);
}

/* ---- Sending ---- */

bool h1_send(struct h1_client *c, const void *bytes, size_t len)
{
	return tls_wire_send(&c->wire, bytes, len);
}

bool h1_say(struct h1_client *c, const char *text)
{
	return h1_send(c, text, strlen(text));
}

bool h1_send_chunk(struct h1_client *c, const void *bytes, size_t len)
{
	char size[24];

	(void)snprintf(size, sizeof(size), "%zx\r\n", len);
	return h1_say(c, size) && h1_send(c, bytes, len) && h1_say(c, "\r\n");
}

bool h1_send_end(struct h1_client *c, const char *trailers)
{
	return h1_say(c, "0\r\n") && h1_say(c, trailers) && h1_say(c, "\r\n");
}

/* ---- The response ---- */

/* Up to and with the line end into line[size], without it; false when the connection was closed. */
static bool read_line(struct h1_client *c, char *line, size_t size)
{
	char *end;

	while ((end = c->wire.at == c->wire.plain.len ? NULL : memchr(c->wire.plain.data + c->wire.at, '\n', c->wire.plain.len - c->wire.at)) == NULL) {
		if (c->wire.eof) {
			return false;
		}
		tls_wire_step(&c->wire);
	}
	(void)snprintf(line, size, "%.*s", (int)(end - (c->wire.plain.data + c->wire.at)), c->wire.plain.data + c->wire.at);
	line[strcspn(line, "\r")] = '\0';
	c->wire.at = (size_t)(end + 1 - c->wire.plain.data);
	return true;
}

static bool read_fields(struct h1_client *c, char *fields, size_t size)
{
	char line[1024];
	size_t len = 0;

	fields[0] = '\0';
	do {
		if (!read_line(c, line, sizeof(line))) {
			return false;
		}
		len += (size_t)snprintf(fields + len, size - len, "%s%s", line, line[0] == '\0' ? "" : "\r\n");
		must(len < size, "too long a header");
	} while (line[0] != '\0');
	return true;
}

int h1_head(struct h1_client *c)
{
	const char *length;
	char line[256];

	do {
		if (!read_line(c, line, sizeof(line)) || !read_fields(c, c->head, sizeof(c->head))) {
			return 0;
		}
		must(strncmp(line, "HTTP/1.1 ", 9) == 0, "not HTTP/1.1");
		c->status = (int)strtol(line + 9, NULL, 10);
	} while (c->status < 200);
	c->chunked = strcasestr(c->head, "transfer-encoding: chunked") != NULL;
	length = strcasestr(c->head, "content-length: ");
	c->left = length == NULL ? 0 : strtoull(length + 16, NULL, 10);
	c->ended = !c->chunked && c->left == 0;
	return c->status;
}

/* Goes to the next chunk where one is over; false when the connection was closed. */
static bool next_chunk(struct h1_client *c)
{
	char line[64];

	while (c->chunked && c->left == 0 && !c->ended) {
		if (!read_line(c, line, sizeof(line))) {
			return false;
		}
		if (line[0] == '\0') {
			continue; /* what follows the last one's bytes */
		}
		c->left = strtoull(line, NULL, 16);
		c->ended = c->left == 0;
		if (c->ended && !read_fields(c, c->trailers, sizeof(c->trailers))) {
			c->ended = false;
			return false;
		}
	}
	return true;
}

ssize_t h1_body(struct h1_client *c, char *bytes, size_t size)
{
	size_t n;

	if (!next_chunk(c)) {
		return -1;
	}
	if (c->ended) {
		return 0;
	}
	while (c->wire.at == c->wire.plain.len) {
		if (c->wire.eof) {
			return -1;
		}
		tls_wire_step(&c->wire);
	}
	n = c->wire.plain.len - c->wire.at;
	n = n < size ? n : size;
	n = n < c->left ? n : (size_t)c->left;
	memcpy(bytes, c->wire.plain.data + c->wire.at, n);
	c->wire.at += n;
	c->left -= n;
	c->ended = !c->chunked && c->left == 0;
	return (ssize_t)n;
}

const char *h1_text(struct h1_client *c)
{
	static char text[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = h1_body(c, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	text[len] = '\0';
	return n == 0 ? text : NULL;
}
