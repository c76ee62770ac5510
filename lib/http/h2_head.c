#include "http/h2_head.h"

#include <string.h>

#include "base/str.h"
#include "wire/url.h"

struct parse {
	const char *method, *scheme, *authority;
	char *path;
	char *cookie;     /* where it is joined; empty so far: none has come */
	size_t cookie_len;
	bool malformed;
};

static bool is_cookie(const char *name)
{
	return strcmp(name, "cookie") == 0;
}

/* The pairs, and behind them the cookie in one piece: "; " takes no more than the two NULs of a pair. */
size_t mesh__h2_head_size(const struct mesh__h2_block *block)
{
	const char *at = block->pairs;
	size_t cookie = 0;

	for (size_t i = 0; i < block->n; i++) {
		size_t name_len = strlen(at), value_len = strlen(at + name_len + 1);

		cookie += is_cookie(at) ? value_len + 2 : 0;
		at += name_len + value_len + 2;
	}
	return block->len + cookie + 1;
}

/* Once each. */
static void take_pseudo(struct parse *p, const char *name, char *value)
{
	const char **slot = strcmp(name, ":method") == 0 ? &p->method : strcmp(name, ":scheme") == 0 ? &p->scheme : strcmp(name, ":authority") == 0 ? &p->authority : NULL;

	if (slot != NULL && *slot == NULL) {
		*slot = value;
	} else if (strcmp(name, ":path") == 0 && p->path == NULL) {
		p->path = value;
	} else {
		p->malformed = true;
	}
}

static bool is_lower(const char *name)
{
	return strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL;
}

/* Fields that say how a connection goes on (RFC 9113 section 8.2.2); what is about a body's length is judged with the rest. */
static bool is_connections(const char *name, const char *value)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "upgrade"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			return true;
		}
	}
	return strcmp(name, "te") == 0 && !mesh__str_eq_nocase(value, strlen(value), "trailers");
}

static void put_field(struct mesh__request_head *out, const char *name, const char *value)
{
	out->fields[out->n_fields++] = (struct mesh__field_text){name, value};
}

static void take_crumb(struct parse *p, struct mesh__request_head *out, const char *value)
{
	size_t len = strlen(value);

	if (p->cookie_len == 0) {
		put_field(out, "cookie", p->cookie);
	} else {
		memcpy(p->cookie + p->cookie_len, "; ", 2);
		p->cookie_len += 2;
	}
	memcpy(p->cookie + p->cookie_len, value, len + 1);
	p->cookie_len += len;
}

static void take_field(struct parse *p, struct mesh__request_head *out, const char *name, const char *value)
{
	if (!mesh__field_name_valid(name, strlen(name)) || !is_lower(name) || !mesh__field_value_valid(value, strlen(value)) || is_connections(name, value)) {
		p->malformed = true;
	} else if (is_cookie(name) && *value != '\0') {
		take_crumb(p, out, value);
	} else {
		put_field(out, name, value);
	}
}

static void read_pairs(struct parse *p, char *text, size_t n, struct mesh__request_head *out)
{
	for (size_t i = 0; i < n; i++) {
		char *name = text, *value = text + strlen(text) + 1;

		text = value + strlen(value) + 1;
		if (*name != ':') {
			take_field(p, out, name, value);
		} else if (out->n_fields == 0) {
			take_pseudo(p, name, value);
		} else {
			p->malformed = true; /* RFC 9113 section 8.3: before all others */
		}
	}
}

/* :authority says it; a Host that says the same is one too many, one that says anything else is another request (RFC 9113 section 8.3.1). */
static enum mesh__refusal settle_host(const struct parse *p, struct mesh__request_head *out)
{
	size_t n = 0;

	if (p->authority == NULL) {
		return MESH__REFUSAL_NONE;
	}
	for (size_t i = 0; i < out->n_fields; i++) {
		if (strcmp(out->fields[i].name, "host") != 0) {
			out->fields[n++] = out->fields[i];
		} else if (!mesh__str_eq_nocase(p->authority, strlen(p->authority), out->fields[i].value)) {
			return MESH__REFUSAL_HOST;
		}
	}
	out->n_fields = n;
	put_field(out, "host", p->authority);
	return MESH__REFUSAL_NONE;
}

static bool is_http(const char *scheme)
{
	return scheme != NULL && (mesh__str_eq_nocase(scheme, strlen(scheme), "https") || mesh__str_eq_nocase(scheme, strlen(scheme), "http"));
}

enum mesh__refusal mesh__h2_head_parse(const struct mesh__h2_block *block, char *text, struct mesh__field_text *fields, uint64_t max_body_bytes, struct mesh__request_head *out)
{
	struct parse p = {.cookie = text + block->len};
	enum mesh__refusal refusal;

	*out = (struct mesh__request_head){.http_2 = true, .method = "", .path = "", .query = "", .fields = fields};
	memcpy(text, block->pairs, block->len);
	*p.cookie = '\0';
	read_pairs(&p, text, block->n, out);
	out->method = p.method != NULL ? p.method : "";
	if (block->too_large) {
		return MESH__REFUSAL_HEADER_TOO_LARGE;
	}
	if (strcmp(out->method, "CONNECT") == 0) {
		return MESH__REFUSAL_TARGET;
	}
	if (p.malformed || p.path == NULL || !is_http(p.scheme) || !mesh__method_valid(out->method)) {
		return MESH__REFUSAL_MALFORMED;
	}
	refusal = settle_host(&p, out);
	return refusal != MESH__REFUSAL_NONE ? refusal : mesh__request_judge(out, p.path, max_body_bytes);
}
