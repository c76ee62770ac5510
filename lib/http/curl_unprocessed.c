#include "http/curl_unprocessed.h"

#include <curl/curl.h>
#include <string.h>

#include "base/str.h"
#include "http/curl_easy.h"

enum { DIGITS_MAX = 10, SAYS_NOTHING_OF_GOAWAY_BEFORE = 0x080100 };

/* ---- Reading ---- */

/* What is behind `label` in the line; NULL when that is not there. */
static const char *behind(const char *from, const char *end, const char *label)
{
	const char *at = from == NULL ? NULL : memmem(from, (size_t)(end - from), label, strlen(label));

	return at == NULL ? NULL : at + strlen(label);
}

/* The same where the line begins with it. The request is logged, too, and what it says is a stranger's. */
static const char *behind_first(const char *line, const char *end, const char *label)
{
	size_t len = strlen(label);

	return (size_t)(end - line) >= len && memcmp(line, label, len) == 0 ? line + len : NULL;
}

/* The number that stands at `at`; false when there is none. */
static bool number_at(const char *at, const char *end, uint32_t *out)
{
	size_t digits = 0;
	uint64_t n;

	while (at != NULL && at + digits < end && digits <= DIGITS_MAX && at[digits] >= '0' && at[digits] <= '9') {
		digits++;
	}
	if (at == NULL || !mesh__str_u64(at, digits, UINT32_MAX, &n)) {
		return false;
	}
	*out = (uint32_t)n;
	return true;
}

void mesh__unprocessed_read(struct mesh__unprocessed *u, const char *line, size_t len)
{
	const char *end = line + len, *goaway = behind_first(line, end, "received GOAWAY, ");
	uint32_t last;

	(void)number_at(behind_first(line, end, "Using Stream ID: "), end, &u->stream);
	if (goaway == NULL) {
		goaway = behind_first(line, end, "recveived GOAWAY, "); /* as 7.88 spells it */
	}
	/* Of several the lowest counts: a peer may lower its last stream and not raise it. */
	if (number_at(behind(goaway, end, "last_stream="), end, &last)) {
		u->last = u->goaway && u->last < last ? u->last : last;
		u->goaway = true;
	}
	u->repeats = u->repeats || behind_first(line, end, "REFUSED_STREAM, retrying") != NULL;
	u->closed = u->closed || behind_first(line, end, "Closing connection ") != NULL;
}

/* ---- A handle's log ---- */

/* Of those that share a connection libcurl tells one what concerns all. */
static void tell_connection(struct mesh__easy *e)
{
	const struct mesh__unprocessed *u = &e->unprocessed;

	if (e->conn != NULL && u->goaway) {
		e->conn->last_stream = e->conn->goaway && e->conn->last_stream < u->last ? e->conn->last_stream : u->last;
		e->conn->goaway = true;
	}
	if (e->conn != NULL && u->repeats) {
		e->conn->refused = true;
	}
}

static int on_log(CURL *curl, curl_infotype type, char *bytes, size_t len, void *arg)
{
	struct mesh__easy *e = arg;

	(void)curl;
	if (type == CURLINFO_TEXT) {
		mesh__unprocessed_read(&e->unprocessed, bytes, len);
		tell_connection(e);
	}
	return 0;
}

bool mesh__unprocessed_hook(struct mesh__easy *e)
{
	if (curl_easy_setopt(e->curl, CURLOPT_DEBUGFUNCTION, on_log) != CURLE_OK || curl_easy_setopt(e->curl, CURLOPT_DEBUGDATA, e) != CURLE_OK) {
		return false;
	}
	e->logs = e->proto != MESH__HTTP_1 && curl_version_info(CURLVERSION_NOW)->version_num < SAYS_NOTHING_OF_GOAWAY_BEFORE;
	/* The one thing that takes the other reason to send again out of libcurl, a kept connection that died: it has none for who only receives in RTSP, and asks for no protocol first. */
	e->tells_refused = e->proto != MESH__HTTP_1 && curl_easy_setopt(e->curl, CURLOPT_RTSP_REQUEST, (long)CURL_RTSPREQ_RECEIVE) == CURLE_OK;
	return true;
}

void mesh__unprocessed_listen(struct mesh__easy *e, bool listen)
{
	if (e->logs) {
		(void)curl_easy_setopt(e->curl, CURLOPT_VERBOSE, (long)listen);
	}
}

/* ---- The verdict ---- */

void mesh__unprocessed_again(struct mesh__easy *e)
{
	/* It may also fall back to HTTP/1.1, where a peer asks for that by a reset (HTTP_1_1_REQUIRED), and has a message then. */
	e->unprocessed.refused = e->tells_refused && e->http2 && e->head.n_bytes == 0 && e->text[0] == '\0';
	if (e->conn != NULL) {
		e->conn->refused = e->conn->refused || e->unprocessed.refused;
	}
}

bool mesh__unprocessed_surely(const struct mesh__easy *e, int curl_code)
{
	const struct mesh__unprocessed *u = &e->unprocessed;

	if (!e->http2 || !e->passed || e->head.n_bytes > 0 || e->stopped.code != MESH_OK || curl_code == CURLE_OK) {
		return false;
	}
	return u->refused || (u->stream != 0 && ((u->goaway && u->stream > u->last) || (e->conn != NULL && e->conn->goaway && u->stream > e->conn->last_stream)));
}

bool mesh__unprocessed_farewell(const struct mesh__easy *e)
{
	return e->unprocessed.goaway || (e->conn != NULL && (e->conn->goaway || e->conn->peer_ended));
}

bool mesh__unprocessed_broken_off(const struct mesh__easy *e)
{
	const struct mesh__unprocessed *u = &e->unprocessed;
	int status = e->head.response->status;

	bool explained = mesh__unprocessed_farewell(e) || (e->conn != NULL && e->conn->refused);

	return e->http2 && u->closed && !explained && !e->head.has_length && !e->no_body && status != 204 && status != 304;
}
