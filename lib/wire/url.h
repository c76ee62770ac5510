/* URLs: the control server's address, and request targets. */
#ifndef MESH__WIRE_URL_H
#define MESH__WIRE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct mesh__origin_url {
	bool tls;       /* https */
	char host[254]; /* a name or an IP literal without brackets */
	bool v6;
	uint16_t port;
};

/* Exactly "https://host:port" (or http:// where allow_http), with an optional single trailing slash; the port is required. */
int mesh__origin_url_parse(const char *what, const char *text, bool allow_http, struct mesh__origin_url *out, struct mesh__err *err) MESH__MUST_USE;

enum { MESH__TARGET_MAX = 8192 };

/* True for a request target in origin form: '/', then path and query of visible ASCII without '#', at most MESH__TARGET_MAX bytes. RFC 9112 section 3.2.1. */
bool mesh__target_valid(const char *text, size_t len);

enum mesh__query { MESH__QUERY_ABSENT, MESH__QUERY_GIVEN, MESH__QUERY_BAD };

/* The value of `key` in a query ("a=b&c=d"), the first of several, percent-decoded (and '+' as space) into out[cap]; "" when it is absent, or BAD: malformed or too long, which is not the same. */
enum mesh__query mesh__query_get(const char *query, const char *key, char *out, size_t cap);

/*
 * The next value of parameter `key` from *query on, which moves behind it, decoded the same way into out[cap]; so is the name before it is compared, and "a" is "a=". What is malformed or too long is passed over. False: there is no more.
 */
bool mesh__query_next(const char **query, const char *key, char *out, size_t cap);

/* Percent-encodes everything but unreserved characters (RFC 3986 section 2.3) into out[cap]; false when it does not fit. */
bool mesh__percent_encode(const char *text, char *out, size_t cap);

/* HTTP field names (token, RFC 9110 section 5.6.2) and values (visible, space, tab, obs-text; no leading or trailing space; RFC 9110 section 5.5). */
bool mesh__field_name_valid(const char *name, size_t len);
bool mesh__field_value_valid(const char *value, size_t len);

/* True when the comma-separated list (RFC 9110 section 5.6.1) has the token, in any case. What stands between two commas is one element: "a close" is no "close". */
bool mesh__field_list_has(const char *list, size_t len, const char *token);

/* A method: a token of at most 32 bytes, and not CONNECT. */
bool mesh__method_valid(const char *method);

/* True for Host, Connection, Content-Length, Transfer-Encoding, Keep-Alive, Upgrade, TE, Trailer, Expect, Proxy-Connection: fields of one connection (RFC 9110 section 7.6.1), in any case. */
bool mesh__field_is_hop(const char *name, size_t len);

/* True for names that begin with "mesh-" in any case: the library owns them. */
bool mesh__field_is_mesh(const char *name, size_t len);

/* True for names that may stand in a trailer: not those of one connection, nor a credential (Authorization, Proxy-Authorization, Cookie), nor mesh-*, nor a claim of who calls: whoever has judged the header would be deceived. RFC 9110 section 6.5.1. */
bool mesh__field_may_trail(const char *name, size_t len);

/* True for X-Forwarded-Client-Cert, in any case and with '_' for any '-' (CGI makes one of both): a claim of who calls, which in a mesh the certificate alone says. */
bool mesh__field_is_claim(const char *name, size_t len);

#endif
