#include "http/head.h"

#include <string.h>

#include "base/str.h"

void mesh__head_init(struct mesh__head *head, struct mesh__client_response *response)
{
	*head = (struct mesh__head){.response = response, .at = MESH__HEAD_STATUS};
}

static int refuse(struct mesh__err *err, const char *why)
{
	return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_PROTOCOL, "the response is malformed: %s", why);
}

/* RFC 9110 section 5.6.2. */
static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* "HTTP/1.1 200 OK": libcurl has read it too, but what counts here is what we read. */
static int status_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	uint64_t status;

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' || (len > 12 && line[12] != ' ') ||
	    !mesh__str_u64(line + 9, 3, 599, &status) || status < 100) {
		return refuse(err, "its status line is no HTTP/1 status line");
	}
	mesh__client_response_clear(head->response);
	head->response->status = (int)status;
	head->close = line[7] == '0';
	head->chunked = false;
	head->has_length = false;
	head->at = MESH__HEAD_FIELDS;
	return MESH_OK;
}

/* The empty line. An interim response (RFC 9110 section 15.2) says nothing that is kept; we never ask to switch protocols. */
static int end_of_fields(struct mesh__head *head, struct mesh__err *err)
{
	if (head->response->status == 101) {
		return refuse(err, "it switches protocols, which was not asked for");
	}
	if (head->response->status < 200) {
		head->at = MESH__HEAD_STATUS;
		return MESH_OK;
	}
	if (head->chunked && head->has_length) {
		return refuse(err, "it has both Content-Length and Transfer-Encoding");
	}
	head->at = MESH__HEAD_BODY;
	return MESH_OK;
}

/* True when the comma-separated list has the word. */
static bool list_has(const char *value, size_t len, const char *word)
{
	size_t n = strlen(word);

	while (len > 0) {
		const char *comma = memchr(value, ',', len);
		size_t item = comma == NULL ? len : (size_t)(comma - value);
		size_t from = 0, to = item;

		while (from < to && is_space(value[from])) {
			from++;
		}
		while (to > from && is_space(value[to - 1])) {
			to--;
		}
		if (to - from == n && mesh__str_eq_nocase(value + from, n, word)) {
			return true;
		}
		item += comma != NULL;
		value += item;
		len -= item;
	}
	return false;
}

/* The fields that say where the response ends, and whether the connection goes on. */
static int framing(struct mesh__head *head, const char *name, size_t name_len, const char *value, size_t len, struct mesh__err *err)
{
	if (mesh__str_eq_nocase(name, name_len, "content-length")) {
		uint64_t length;

		if (!mesh__str_u64(value, len, INT64_MAX, &length) || (head->has_length && length != head->content_length)) {
			return refuse(err, "its Content-Length is no number, or there are two that differ");
		}
		head->has_length = true;
		head->content_length = length;
	} else if (mesh__str_eq_nocase(name, name_len, "transfer-encoding")) {
		if (head->chunked || !mesh__str_eq_nocase(value, len, "chunked")) {
			return refuse(err, "its Transfer-Encoding is not just \"chunked\"");
		}
		head->chunked = true;
	} else if (mesh__str_eq_nocase(name, name_len, "connection")) {
		head->close = list_has(value, len, "close") || (head->close && !list_has(value, len, "keep-alive"));
	}
	return MESH_OK;
}

static int keep(struct mesh__client_response *response, const char *name, size_t name_len, const char *value, size_t len, struct mesh__err *err)
{
	struct mesh__buf *fields = &response->fields;

	for (size_t i = 0; i < name_len; i++) {
		mesh__buf_chr(fields, name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + ('a' - 'A')) : name[i]);
	}
	mesh__buf_chr(fields, '\0');
	mesh__buf_add(fields, value, len);
	mesh__buf_chr(fields, '\0');
	response->n_fields++;
	return mesh__buf_error(fields, "the header of the response", err);
}

static int field_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	size_t name_len = 0, from, to = len;
	int code;

	while (name_len < len && is_token_char((unsigned char)line[name_len])) {
		name_len++;
	}
	if (name_len == 0 || name_len == len || line[name_len] != ':') {
		return refuse(err, "a line of its header is no \"name: value\"");
	}
	for (from = name_len + 1; from < to && is_space(line[from]); from++) {
	}
	for (; to > from && is_space(line[to - 1]); to--) {
	}
	for (size_t i = from; i < to; i++) {
		unsigned char c = (unsigned char)line[i];
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return refuse(err, "a field of its header has a control character in its value");
		}
	}
	if (head->response->n_fields >= MESH__HEAD_MAX_FIELDS) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the response has more than %d header fields", MESH__HEAD_MAX_FIELDS);
	}
	code = framing(head, line, name_len, line + from, to - from, err);
	return code != MESH_OK ? code : keep(head->response, line, name_len, line + from, to - from, err);
}

int mesh__head_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	if (len > MESH__HEAD_MAX_BYTES - head->n_bytes) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the header of the response is larger than %d bytes", MESH__HEAD_MAX_BYTES);
	}
	head->n_bytes += len;
	if (len > 0 && line[len - 1] == '\n') {
		len--;
	}
	if (len > 0 && line[len - 1] == '\r') {
		len--;
	}
	switch (head->at) {
	case MESH__HEAD_STATUS:
		return status_line(head, line, len, err);
	case MESH__HEAD_FIELDS:
		return len == 0 ? end_of_fields(head, err) : field_line(head, line, len, err);
	case MESH__HEAD_BODY:
		break;
	}
	return MESH_OK;
}
