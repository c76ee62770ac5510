#include "http/head.h"

#include <string.h>

#include "base/str.h"
#include "http/h1_byte.h"
#include "wire/url.h"

void mesh__head_init(struct mesh__head *head, struct mesh__client_response *response)
{
	*head = (struct mesh__head){.response = response, .at = MESH__HEAD_STATUS};
}

static int refuse(struct mesh__err *err, const char *why)
{
	return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_PROTOCOL, "the response is malformed: %s", why);
}

/* RFC 9110 section 5.6.2: a token's characters, each in lower case; 0 for all others. */
static const unsigned char token_lower[256] = {
	['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm',
	['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
	['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm',
	['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

/* How long the version is, with the space behind it; 0: it is none that the connection speaks. Of HTTP/2 libcurl makes such a line itself. */
static size_t version_len(const struct mesh__head *head, const char *line, size_t len)
{
	if (head->http2) {
		return len >= 7 && memcmp(line, "HTTP/2 ", 7) == 0 ? 7 : 0;
	}
	return len >= 9 && memcmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') && line[8] == ' ' ? 9 : 0;
}

/* "HTTP/1.1 200 OK": libcurl has read it too, but what counts here is what we read. */
static int status_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	size_t at = version_len(head, line, len);
	uint64_t status;

	if (at == 0 || len < at + 3 || (len > at + 3 && line[at + 3] != ' ') || !mesh__str_u64(line + at, 3, 599, &status) || status < 100) {
		return refuse(err, "its status line is none of the connection's protocol");
	}
	mesh__client_response_clear(head->response);
	head->response->status = (int)status;
	head->close = !head->http2 && line[7] == '0'; /* unless it says otherwise */
	head->says_close = head->says_keep = false;
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
	head->close = head->says_close || (head->close && !head->says_keep); /* RFC 9112 section 9.3 */
	head->at = MESH__HEAD_BODY;
	return MESH_OK;
}

static bool is_name(const char *name, size_t len, const char *what, size_t what_len)
{
	return len == what_len && memcmp(name, what, what_len) == 0;
}

/* The fields that say where the response ends, and whether the connection goes on. `name` is in lower case. */
static int framing(struct mesh__head *head, const char *name, size_t name_len, const char *value, size_t len, struct mesh__err *err)
{
	if (is_name(name, name_len, "content-length", 14)) {
		uint64_t length;

		if (!mesh__str_u64(value, len, INT64_MAX, &length) || (head->has_length && length != head->content_length)) {
			return refuse(err, "its Content-Length is no number, or there are two that differ");
		}
		head->has_length = true;
		head->content_length = length;
	} else if (head->http2 && (is_name(name, name_len, "transfer-encoding", 17) || is_name(name, name_len, "connection", 10))) {
		return refuse(err, "it has a field of HTTP/1's connections"); /* RFC 9113 section 8.2.2 */
	} else if (is_name(name, name_len, "transfer-encoding", 17)) {
		if (head->chunked || !mesh__str_eq_nocase(value, len, "chunked")) {
			return refuse(err, "its Transfer-Encoding is not just \"chunked\"");
		}
		head->chunked = true;
	} else if (is_name(name, name_len, "connection", 10)) {
		head->says_close |= mesh__field_list_has(value, len, "close");
		head->says_keep |= mesh__field_list_has(value, len, "keep-alive");
	}
	return MESH_OK;
}

/* Without a branch a byte. */
static bool is_value(const char *text, size_t len)
{
	int classes = MESH__BYTE_VALUE;

	for (size_t i = 0; i < len; i++) {
		classes &= mesh__byte_classes[(unsigned char)text[i]];
	}
	return classes != 0;
}

/* Writes the pair into `out`, which has room for the line and one byte more; its length, or 0 with the reason in *why. */
static size_t write_pair(const char *line, size_t len, char *out, size_t *name_len, const char **why)
{
	size_t n = 0, from, to = len;

	for (unsigned char c; n < len && (c = token_lower[(unsigned char)line[n]]) != 0; n++) {
		out[n] = (char)c;
	}
	if (n == 0 || n == len || line[n] != ':') {
		*why = "a line of its header is no \"name: value\"";
		return 0;
	}
	*name_len = n;
	for (from = n + 1; from < to && mesh__byte_is_blank(line[from]); from++) {
	}
	for (; to > from && mesh__byte_is_blank(line[to - 1]); to--) {
	}
	out[n++] = '\0';
	if (!is_value(line + from, to - from)) {
		*why = "a field of its header has a control character in its value";
		return 0;
	}
	memcpy(out + n, line + from, to - from);
	n += to - from;
	out[n++] = '\0';
	return n;
}

/* This runs for every field of every response: one pass, straight to where it is kept. */
static int field_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	struct mesh__buf *fields = &head->response->fields;
	char *pair = mesh__buf_reserve(fields, len + 2);
	const char *why = NULL;
	size_t name_len, n;
	int code;

	if (pair == NULL) {
		return mesh__buf_error(fields, "the header of the response", err);
	}
	n = write_pair(line, len, pair, &name_len, &why);
	if (n == 0) {
		code = refuse(err, why);
	} else if (head->response->n_fields >= MESH__HEAD_MAX_FIELDS) {
		code = mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the response has more than %d header fields", MESH__HEAD_MAX_FIELDS);
	} else {
		code = framing(head, pair, name_len, pair + name_len + 1, n - name_len - 2, err);
	}
	if (code == MESH_OK) {
		fields->len += n;
		head->response->n_fields++;
	}
	fields->data[fields->len] = '\0';
	return code;
}

/* Those that may not stand there are dropped; what is no field at all spoils the response. libcurl ends the section with an empty line, or not. */
static int trailer_line(struct mesh__head *head, const char *line, size_t len, struct mesh__err *err)
{
	struct mesh__trailers *trailers = &head->response->trailers;
	const char *colon = memchr(line, ':', len);
	size_t from = colon != NULL ? (size_t)(colon - line) + 1 : 0, to = len;

	if (len == 0) {
		return MESH_OK;
	}
	for (; from < to && mesh__byte_is_blank(line[from]); from++) {
	}
	for (; to > from && mesh__byte_is_blank(line[to - 1]); to--) {
	}
	if (colon == NULL || !mesh__field_name_valid(line, (size_t)(colon - line)) || !mesh__field_value_valid(line + from, to - from)) {
		return refuse(err, "a line of its trailers is no \"name: value\"");
	}
	if (mesh__trailers_add(trailers, line, (size_t)(colon - line), line + from, to - from)) {
		return MESH_OK;
	}
	if (trailers->text.error == MESH_E_NO_MEMORY) {
		return mesh__fail_memory(err);
	}
	return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "the response has more trailers than the %d, in %d bytes, that are taken", MESH__TRAILERS_MAX, MESH__TRAILERS_MAX_BYTES);
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
		return trailer_line(head, line, len, err);
	}
	return MESH_OK;
}
