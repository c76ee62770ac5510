#include "wire/url.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"

enum { METHOD_MAX = 32, DNS_LABEL_MAX = 63 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char to_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* ---- the control server's address ---- */

static int refuse(const char *what, const char *text, const char *why, bool allow_http, struct mesh__err *err)
{
	return mesh__fail(err, MESH_E_INVALID, "%s \"%.200s\": %s; write %s://host:port", what, text, why, allow_http ? "http or https" : "https");
}

/* A last label of digits means an address (WHATWG URL, "ends in a number"): resolvers read "127.1" and "0x7f.1" as ones. */
static bool ends_in_number(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot == NULL ? host : dot + 1;

	return last[strspn(last, "0123456789")] == '\0' || (last[0] == '0' && last[1] == 'x');
}

static bool host_name_valid(const char *host)
{
	size_t label = 0;

	for (const char *p = host;; p++) {
		if (*p == '.' || *p == '\0') {
			if (label == 0 || label > DNS_LABEL_MAX || p[-1] == '-') {
				return false;
			}
			label = 0;
			if (*p == '\0') {
				return true;
			}
		} else if (is_alnum(*p) || *p == '_' || (*p == '-' && label > 0)) {
			label++;
		} else {
			return false;
		}
	}
}

/* Brings url->host, as written, to canonical form. */
static bool settle_host(struct mesh__origin_url *url)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	if (url->v6) {
		return inet_pton(AF_INET6, url->host, bytes) == 1 && inet_ntop(AF_INET6, bytes, url->host, sizeof(url->host)) != NULL;
	}
	for (char *p = url->host; *p != '\0'; p++) {
		*p = to_lower(*p);
	}
	return ends_in_number(url->host) ? inet_pton(AF_INET, url->host, bytes) == 1 : host_name_valid(url->host);
}

/* Digits and at most one slash behind them. */
static bool parse_port(const char *text, uint16_t *port)
{
	size_t len = strspn(text, "0123456789");
	uint64_t value;

	if (text[0] == '0' || strlen(text + len) > 1 || (text[len] != '\0' && text[len] != '/') || !mesh__str_u64(text, len, UINT16_MAX, &value)) {
		return false;
	}
	*port = (uint16_t)value;
	return true;
}

int mesh__origin_url_parse(const char *what, const char *text, bool allow_http, struct mesh__origin_url *out, struct mesh__err *err)
{
	struct mesh__origin_url url = {.tls = false};
	const char *host, *end;
	size_t len;

	if (text == NULL || text[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "%s is missing; write %s://host:port", what, allow_http ? "http or https" : "https");
	}
	url.tls = mesh__str_starts(text, "https://");
	if (!url.tls && !(allow_http && mesh__str_starts(text, "http://"))) {
		return refuse(what, text, "the scheme is wrong", allow_http, err);
	}
	host = strstr(text, "://") + 3;
	url.v6 = *host == '[';
	host += url.v6;
	end = host + strcspn(host, url.v6 ? "]" : ":/");
	len = (size_t)(end - host);
	if (end[0] == '\0' || end[url.v6] != ':') {
		return refuse(what, text, "there is no port", allow_http, err);
	}
	if (len >= sizeof(url.host)) {
		return refuse(what, text, "the host is too long", allow_http, err);
	}
	memcpy(url.host, host, len);
	if (!settle_host(&url)) {
		return refuse(what, text, "the host is neither a name nor an IP address", allow_http, err);
	}
	if (!parse_port(end + url.v6 + 1, &url.port)) {
		return refuse(what, text, "after the port, a number from 1 to 65535, nothing may follow", allow_http, err);
	}
	*out = url;
	return MESH_OK;
}

/* ---- request targets ---- */

bool mesh__target_valid(const char *text, size_t len)
{
	if (len == 0 || len > MESH__TARGET_MAX || text[0] != '/') {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '#') {
			return false;
		}
	}
	return true;
}

/* Decodes text[len] into out[cap]; a NUL cannot be told from the end, so "%00" is malformed. */
static bool percent_decode(const char *text, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i] == '+' ? ' ' : text[i];
		if (c == '%') {
			if (len - i < 3 || !mesh__str_unhex(text + i + 1, 2, &c, 1) || c == '\0') {
				return false;
			}
			i += 2;
		}
		if (n + 1 >= cap) {
			return false;
		}
		out[n++] = c;
	}
	if (cap == 0) {
		return false;
	}
	out[n] = '\0';
	return true;
}

enum mesh__query mesh__query_get(const char *query, const char *key, char *out, size_t cap)
{
	size_t key_len = strlen(key);

	out[0] = '\0';
	while (query != NULL && *query != '\0') {
		size_t len = strcspn(query, "&");
		if (len > key_len && query[key_len] == '=' && memcmp(query, key, key_len) == 0) {
			if (percent_decode(query + key_len + 1, len - key_len - 1, out, cap)) {
				return MESH__QUERY_GIVEN;
			}
			out[0] = '\0';
			return MESH__QUERY_BAD;
		}
		query += len;
		query += *query == '&';
	}
	return MESH__QUERY_ABSENT;
}

/* Whether text[len] is `key` once it is decoded. */
static bool decodes_to(const char *text, size_t len, const char *key)
{
	for (size_t i = 0; i < len; i++, key++) {
		char c = text[i] == '+' ? ' ' : text[i];
		if (c == '%') {
			if (len - i < 3 || !mesh__str_unhex(text + i + 1, 2, &c, 1)) {
				return false;
			}
			i += 2;
		}
		if (*key == '\0' || c != *key) {
			return false;
		}
	}
	return *key == '\0';
}

bool mesh__query_next(const char **query, const char *key, char *out, size_t cap)
{
	while (**query != '\0') {
		const char *at = *query;
		size_t len = strcspn(at, "&"), name = strcspn(at, "=&"), value = name + (at[name] == '=');

		*query += len + (at[len] == '&');
		if (decodes_to(at, name, key) && percent_decode(at + value, len - value, out, cap)) {
			return true;
		}
	}
	return false;
}

bool mesh__percent_encode(const char *text, char *out, size_t cap)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = is_alnum(*text) || strchr("-._~", c) != NULL;
		if (cap - n <= (plain ? 1U : 3U)) {
			return false;
		}
		if (plain) {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 0xf];
		}
	}
	if (n >= cap) {
		return false;
	}
	out[n] = '\0';
	return true;
}

/* ---- fields and methods ---- */

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(text[i]) && (text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text[i]) == NULL)) {
			return false;
		}
	}
	return len > 0;
}

bool mesh__field_name_valid(const char *name, size_t len)
{
	return is_token(name, len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool mesh__field_value_valid(const char *value, size_t len)
{
	if (len > 0 && (is_blank(value[0]) || is_blank(value[len - 1]))) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			return false;
		}
	}
	return true;
}

bool mesh__field_list_has(const char *list, size_t len, const char *token)
{
	while (len > 0) {
		const char *comma = memchr(list, ',', len);
		size_t item = comma == NULL ? len : (size_t)(comma - list);
		size_t from = 0, to = item;

		while (from < to && is_blank(list[from])) {
			from++;
		}
		while (to > from && is_blank(list[to - 1])) {
			to--;
		}
		if (mesh__str_eq_nocase(list + from, to - from, token)) {
			return true;
		}
		item += comma != NULL;
		list += item;
		len -= item;
	}
	return false;
}

bool mesh__method_valid(const char *method)
{
	size_t len = strlen(method);

	return len <= METHOD_MAX && is_token(method, len) && !mesh__str_eq_nocase(method, len, "CONNECT");
}

bool mesh__field_is_hop(const char *name, size_t len)
{
	static const char *const hops[] = {
		"Host", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade", "TE", "Trailer", "Expect", "Proxy-Connection",
	};

	for (size_t i = 0; i < MESH__COUNT(hops); i++) {
		if (mesh__str_eq_nocase(name, len, hops[i])) {
			return true;
		}
	}
	return false;
}

bool mesh__field_is_mesh(const char *name, size_t len)
{
	return len >= 5 && mesh__str_eq_nocase(name, 5, "mesh-");
}

bool mesh__field_is_claim(const char *name, size_t len)
{
	static const char claim[] = "X-Forwarded-Client-Cert";
	char dashed[sizeof(claim)];

	if (len != sizeof(claim) - 1) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		dashed[i] = (char)(name[i] == '_' ? '-' : name[i]);
	}
	return mesh__str_eq_nocase(dashed, len, claim);
}

bool mesh__field_may_trail(const char *name, size_t len)
{
	static const char *const credentials[] = {"Authorization", "Proxy-Authorization", "Cookie"};

	for (size_t i = 0; i < MESH__COUNT(credentials); i++) {
		if (mesh__str_eq_nocase(name, len, credentials[i])) {
			return false;
		}
	}
	return !mesh__field_is_hop(name, len) && !mesh__field_is_mesh(name, len) && !mesh__field_is_claim(name, len);
}
