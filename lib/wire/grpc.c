#include "wire/grpc.h"

#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"

enum { TIMEOUT_DIGITS = 8, TIMEOUT_MAX = 99999999 };

const char *mesh__grpc_status_name(enum mesh__grpc_status status)
{
	static const char *const names[] = {
#define X(name) #name,
		MESH__GRPC_STATUSES(X)
#undef X
	};

	return (unsigned)status < MESH__COUNT(names) ? names[status] : names[MESH__GRPC_UNKNOWN];
}

enum mesh__grpc_status mesh__grpc_status_parse(const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);
	uint64_t n;

	if (len > 2 || (len == 2 && text[0] == '0') || !mesh__str_u64(text, len, MESH__GRPC_UNAUTHENTICATED, &n)) {
		return MESH__GRPC_UNKNOWN;
	}
	return (enum mesh__grpc_status)n;
}

enum mesh__grpc_status mesh__grpc_status_of_http(int status)
{
	switch (status) {
	case 400:
		return MESH__GRPC_INTERNAL;
	case 401:
		return MESH__GRPC_UNAUTHENTICATED;
	case 403:
		return MESH__GRPC_PERMISSION_DENIED;
	case 404:
		return MESH__GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return MESH__GRPC_UNAVAILABLE;
	default:
		return MESH__GRPC_UNKNOWN;
	}
}

enum mesh__grpc_status mesh__grpc_status_of_refusal(int status)
{
	switch (status) {
	case 413:
	case 429:
		return MESH__GRPC_RESOURCE_EXHAUSTED;
	case 500:
		return MESH__GRPC_INTERNAL;
	case 504:
		return MESH__GRPC_DEADLINE_EXCEEDED;
	default:
		return mesh__grpc_status_of_http(status);
	}
}

bool mesh__grpc_status_is_failure(enum mesh__grpc_status status)
{
	switch (status) {
	case MESH__GRPC_UNKNOWN:
	case MESH__GRPC_DEADLINE_EXCEEDED:
	case MESH__GRPC_UNIMPLEMENTED:
	case MESH__GRPC_INTERNAL:
	case MESH__GRPC_UNAVAILABLE:
	case MESH__GRPC_DATA_LOSS:
		return true;
	default:
		return false;
	}
}

bool mesh__grpc_content_type(const char *value)
{
	static const char type[] = "application/grpc";
	size_t len = sizeof(type) - 1;

	if (value == NULL || strnlen(value, len) < len || !mesh__str_eq_nocase(value, len, type)) {
		return false;
	}
	if (value[len] == '+') {
		return value[len + 1] != '\0' && value[len + 1] != ';';
	}
	while (value[len] == ' ' || value[len] == '\t') {
		len++;
	}
	return value[len] == '\0' || value[len] == ';';
}

/* ---- grpc-timeout ---- */

/* From the finest on. A nanosecond is no whole number of microseconds: it is read on its own, and never written but for what has no other form. */
static const struct {
	char letter;
	int64_t us;
} units[] = {{'u', 1}, {'m', 1000}, {'S', 1000000}, {'M', 60000000}, {'H', 3600000000}};

void mesh__grpc_timeout_format(int64_t left_us, char out[MESH__GRPC_TIMEOUT_TEXT])
{
	size_t i = 0;
	int64_t n;

	if (left_us <= 0) {
		memcpy(out, "1n", sizeof("1n"));
		return;
	}
	while (left_us / units[i].us > TIMEOUT_MAX && i + 1 < MESH__COUNT(units)) {
		i++;
	}
	n = left_us / units[i].us;
	n = n < TIMEOUT_MAX ? n : TIMEOUT_MAX; /* eleven thousand years, where the clock has more */
	(void)snprintf(out, MESH__GRPC_TIMEOUT_TEXT, "%u%c", (unsigned)n, units[i].letter);
}

bool mesh__grpc_timeout_parse(const char *text, int64_t *us)
{
	size_t len = strnlen(text, TIMEOUT_DIGITS + 2);
	uint64_t n;

	if (len < 2 || len > TIMEOUT_DIGITS + 1 || !mesh__str_u64(text, len - 1, TIMEOUT_MAX, &n)) {
		return false;
	}
	if (text[len - 1] == 'n') {
		*us = (int64_t)(n / 1000 + (n % 1000 != 0));
		return true;
	}
	for (size_t i = 0; i < MESH__COUNT(units); i++) {
		if (text[len - 1] == units[i].letter) {
			*us = (int64_t)n * units[i].us; /* at most 99999999 hours, a thirtieth of what has room */
			return true;
		}
	}
	return false;
}

/* ---- grpc-retry-pushback-ms ---- */

int64_t mesh__grpc_pushback_parse(const char *text)
{
	uint64_t ms;

	return mesh__str_u64(text, strlen(text), INT32_MAX, &ms) ? (int64_t)ms : -1;
}

/* ---- grpc-message ---- */

static bool stands_for_itself(char c)
{
	return c >= ' ' && c <= '~' && c != '%';
}

void mesh__grpc_message_encode(struct mesh__buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (stands_for_itself(*text)) {
			mesh__buf_chr(out, *text);
		} else {
			mesh__buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
		}
	}
}

void mesh__grpc_message_decode(struct mesh__buf *out, const char *value)
{
	while (*value != '\0') {
		unsigned char byte;

		if (*value == '%' && strnlen(value + 1, 2) == 2 && mesh__str_unhex(value + 1, 2, &byte, 1)) {
			mesh__buf_chr(out, (char)byte);
			value += 3;
		} else {
			mesh__buf_chr(out, *value++);
		}
	}
}
