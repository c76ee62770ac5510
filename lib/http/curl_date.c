#include <curl/curl.h>
#include <string.h>

#include "base/str.h"
#include "http/client.h"

static const int64_t longest_ms = 86400000;

int64_t mesh__client_response_retry_after_ms(const struct mesh__client_response *r, int64_t wall_ms)
{
	const char *value = mesh__client_response_header(r, "retry-after");
	uint64_t seconds;
	int64_t ms;

	if (value == NULL) {
		return -1;
	}
	if (mesh__str_u64(value, strlen(value), (uint64_t)longest_ms / 1000, &seconds)) {
		return (int64_t)seconds * 1000;
	}
	if (strspn(value, "0123456789") == strlen(value)) {
		return value[0] == '\0' ? -1 : longest_ms; /* libcurl would take eight digits for a day of the calendar */
	}
	ms = (int64_t)curl_getdate(value, NULL);
	if (ms < 0) {
		return -1;
	}
	ms = ms > INT64_MAX / 1000 ? longest_ms : ms * 1000 - wall_ms;
	return ms < 0 ? 0 : ms < longest_ms ? ms : longest_ms;
}
