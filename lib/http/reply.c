#include "http/reply.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "wire/url.h"

/* X(status, phrase): RFC 9110 section 15, RFC 6585. */
#define PHRASES(X)                                                                                                     \
	X(200, "OK") X(201, "Created") X(202, "Accepted") X(203, "Non-Authoritative Information") X(204, "No Content")  \
	X(205, "Reset Content") X(206, "Partial Content") X(300, "Multiple Choices") X(301, "Moved Permanently")        \
	X(302, "Found") X(303, "See Other") X(304, "Not Modified") X(307, "Temporary Redirect")                         \
	X(308, "Permanent Redirect") X(400, "Bad Request") X(401, "Unauthorized") X(402, "Payment Required")            \
	X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed") X(406, "Not Acceptable")                   \
	X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone") X(411, "Length Required")                           \
	X(412, "Precondition Failed") X(413, "Content Too Large") X(414, "URI Too Long")                                \
	X(415, "Unsupported Media Type") X(416, "Range Not Satisfiable") X(417, "Expectation Failed")                   \
	X(418, "I'm a teapot") X(421, "Misdirected Request") X(422, "Unprocessable Content") X(425, "Too Early")        \
	X(426, "Upgrade Required") X(428, "Precondition Required") X(429, "Too Many Requests")                          \
	X(431, "Request Header Fields Too Large") X(500, "Internal Server Error") X(501, "Not Implemented")             \
	X(502, "Bad Gateway") X(503, "Service Unavailable") X(504, "Gateway Timeout")                                   \
	X(505, "HTTP Version Not Supported")

static const char *phrase_of(int status)
{
	switch (status) {
#define X(number, phrase)                                                                                              \
	case number:                                                                                                    \
		return phrase;
		PHRASES(X)
#undef X
	default:
		return "";
	}
}

void mesh__reply_date(int64_t wall_ms, char *out)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < 0) {
		memset(&tm, 0, sizeof(tm));
		tm.tm_mday = 1;
	}
	/* The moduli tell the compiler what gmtime_r has promised: the text fits. */
	(void)snprintf(out, MESH__DATE_TEXT, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[(unsigned)tm.tm_wday % 7], (unsigned)tm.tm_mday % 32,
		months[(unsigned)tm.tm_mon % 12], ((unsigned)tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 24, (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61);
}

/* By hand: two calls of printf took a tenth of the instructions that a small reply costs on this side of TLS. */
static void put_number(struct mesh__buf *out, uint64_t n)
{
	char digits[24], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	mesh__buf_add(out, at, (size_t)(digits + sizeof(digits) - at));
}

void mesh__reply_head(struct mesh__buf *out, int status, const char *date, enum mesh__framing framing, uint64_t body_len, bool close)
{
	mesh__buf_str(out, "HTTP/1.1 ");
	put_number(out, (size_t)status);
	mesh__buf_chr(out, ' ');
	mesh__buf_str(out, phrase_of(status));
	mesh__buf_str(out, "\r\nDate: ");
	mesh__buf_str(out, date);
	if (framing == MESH__FRAMING_LENGTH) {
		mesh__buf_str(out, "\r\nContent-Length: ");
		put_number(out, body_len);
		mesh__buf_str(out, "\r\n");
	} else {
		mesh__buf_str(out, framing == MESH__FRAMING_CHUNKED ? "\r\nTransfer-Encoding: chunked\r\n" : "\r\n");
	}
	if (close) {
		mesh__buf_str(out, "Connection: close\r\n");
	}
}

bool mesh__reply_field_goes(const char *name, size_t name_len, const char *value, size_t value_len)
{
	return mesh__field_name_valid(name, name_len) && mesh__field_value_valid(value, value_len) && !mesh__field_is_hop(name, name_len) && !mesh__str_eq_nocase(name, name_len, "Date");
}

static void put_field(struct mesh__buf *out, const struct mesh__field_text *field, size_t name_len, size_t value_len)
{
	mesh__buf_add(out, field->name, name_len);
	mesh__buf_add(out, ": ", 2);
	mesh__buf_add(out, field->value, value_len);
	mesh__buf_add(out, "\r\n", 2);
}

void mesh__reply_fields(struct mesh__buf *out, const struct mesh__field_text *fields, size_t n_fields)
{
	for (size_t i = 0; i < n_fields; i++) {
		size_t name_len = strlen(fields[i].name), value_len = strlen(fields[i].value);

		if (mesh__reply_field_goes(fields[i].name, name_len, fields[i].value, value_len)) {
			put_field(out, &fields[i], name_len, value_len);
		}
	}
}

void mesh__reply_trailers(struct mesh__buf *out, const struct mesh__field_text *fields, size_t n_fields)
{
	for (size_t i = 0; i < n_fields; i++) {
		size_t name_len = strlen(fields[i].name), value_len = strlen(fields[i].value);

		if (mesh__reply_field_goes(fields[i].name, name_len, fields[i].value, value_len) && mesh__field_may_trail(fields[i].name, name_len)) {
			put_field(out, &fields[i], name_len, value_len);
		}
	}
}

bool mesh__reply_length(const struct mesh__field_text *fields, size_t n_fields, uint64_t *length)
{
	int n = 0;

	for (size_t i = 0; i < n_fields; i++) {
		const char *value = fields[i].value;
		size_t len = strlen(value);

		if (mesh__str_eq_nocase(fields[i].name, strlen(fields[i].name), "Content-Length")) {
			if (len == 0 || strspn(value, "0123456789") != len || !mesh__str_u64(value, len, UINT64_MAX, length)) {
				return false;
			}
			n++;
		}
	}
	return n == 1;
}

void mesh__reply_error(struct mesh__buf *out, const char *code, const char *message)
{
	mesh__buf_str(out, "{\"error\":");
	mesh__str_json(out, code);
	mesh__buf_str(out, ",\"message\":");
	mesh__str_json(out, message);
	mesh__buf_str(out, "}\n");
}
