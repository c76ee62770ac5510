#include "http/h1.h"

#include <llhttp.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "http/h1_byte.h"
#include "wire/url.h"

enum { TARGET_MAX_BYTES = 8192 };

/* ---- llhttp: is it HTTP, and where are its parts? ---- */

struct parse {
	char *text;
	char *target;
	size_t target_len;
	struct mesh__field_text *fields;
	size_t n_fields, max_fields;
	bool in_name;
	bool complete;
};

/* llhttp's pointers lead into p->text, which we may write to. */
static char *writable(const struct parse *p, const char *at)
{
	return p->text + (at - p->text);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	if (p->target == NULL) {
		p->target = writable(p, at);
	}
	p->target_len += len;
	return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	(void)len;
	if (p->in_name) {
		return 0;
	}
	if (p->n_fields == p->max_fields) {
		return -1;
	}
	p->in_name = true;
	p->fields[p->n_fields++].name = writable(p, at);
	return 0;
}

static int on_name_complete(llhttp_t *parser)
{
	((struct parse *)parser->data)->in_name = false;
	return 0;
}

static int on_head_complete(llhttp_t *parser)
{
	(void)parser;
	return 1; /* the body is not llhttp's: mesh__h1_chunks() reads it more strictly */
}

static int on_complete(llhttp_t *parser)
{
	((struct parse *)parser->data)->complete = true;
	return 0;
}

static enum mesh__refusal run_llhttp(struct parse *p, size_t len, llhttp_t *parser)
{
	static const llhttp_settings_t settings = {
		.on_url = on_url,
		.on_header_field = on_name,
		.on_header_field_complete = on_name_complete,
		.on_headers_complete = on_head_complete,
		.on_message_complete = on_complete,
	};
	llhttp_errno_t rc;

	llhttp_init(parser, HTTP_REQUEST, &settings);
	parser->data = p;
	rc = llhttp_execute(parser, p->text, len);
	if (rc == HPE_INVALID_METHOD) {
		return MESH__REFUSAL_METHOD;
	}
	if (rc == HPE_INVALID_CONTENT_LENGTH || rc == HPE_UNEXPECTED_CONTENT_LENGTH || rc == HPE_INVALID_TRANSFER_ENCODING) {
		return MESH__REFUSAL_FRAMING;
	}
	if (rc == HPE_INVALID_URL) {
		return MESH__REFUSAL_TARGET;
	}
	return (rc == HPE_OK || rc == HPE_PAUSED_UPGRADE) && p->complete ? MESH__REFUSAL_NONE : MESH__REFUSAL_MALFORMED;
}

/* Ends each name at its colon and each value at its line end, both of which the scan has seen. */
static void cut_fields(struct parse *p)
{
	for (size_t i = 0; i < p->n_fields; i++) {
		char *c = writable(p, p->fields[i].name);
		char *end;

		for (; *c != ':'; c++) {
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
		}
		*c++ = '\0';
		end = c + strcspn(c, "\r");
		while (mesh__byte_is_blank(*c)) {
			c++;
		}
		while (end > c && mesh__byte_is_blank(end[-1])) {
			end--;
		}
		*end = '\0';
		p->fields[i].value = c;
	}
}

/* ---- The rules ---- */

/* What the fields that rule a message say. */
struct rulers {
	const char *host, *length, *coding, *expect;
	int n_host, n_length, n_coding, n_expect;
	bool close, upgrade, has_upgrade;
};

static struct rulers read_rulers(const struct parse *p)
{
	struct rulers r = {0};

	for (size_t i = 0; i < p->n_fields; i++) {
		const char *name = p->fields[i].name, *value = p->fields[i].value;

		if (strcmp(name, "host") == 0) {
			r.host = value;
			r.n_host++;
		} else if (strcmp(name, "content-length") == 0) {
			r.length = value;
			r.n_length++;
		} else if (strcmp(name, "transfer-encoding") == 0) {
			r.coding = value;
			r.n_coding++;
		} else if (strcmp(name, "expect") == 0) {
			r.expect = value;
			r.n_expect++;
		} else if (strcmp(name, "connection") == 0) {
			r.close |= mesh__field_list_has(value, strlen(value), "close");
			r.upgrade |= mesh__field_list_has(value, strlen(value), "upgrade");
		} else if (strcmp(name, "upgrade") == 0) {
			r.has_upgrade = true;
		}
	}
	return r;
}

/* One length or one "chunked", never both, and nothing chunked in 1.0: RFC 9112 section 6.3 allows to refuse the rest. */
static enum mesh__refusal judge_framing(const struct rulers *r, uint64_t max_body_bytes, struct mesh__h1_head *head)
{
	if (r->n_length + r->n_coding > 1 || (r->n_coding > 0 && head->http_1_0)) {
		return MESH__REFUSAL_FRAMING;
	}
	if (r->n_coding > 0) {
		head->chunked = mesh__str_eq_nocase(r->coding, strlen(r->coding), "chunked");
		head->has_body = head->chunked;
		return head->chunked ? MESH__REFUSAL_NONE : MESH__REFUSAL_FRAMING;
	}
	if (r->n_length > 0) {
		size_t len = strlen(r->length);

		if (len == 0 || strspn(r->length, "0123456789") != len || !mesh__str_u64(r->length, len, UINT64_MAX, &head->content_length)) {
			return MESH__REFUSAL_FRAMING;
		}
		head->has_body = head->content_length > 0;
	}
	return head->content_length > max_body_bytes ? MESH__REFUSAL_BODY_TOO_LARGE : MESH__REFUSAL_NONE;
}

/* host[:port]: a name of plain characters ('@' of userinfo, '/', '?' and '#' are none of them), or an IPv6 literal in brackets. */
static bool authority_valid(const char *text)
{
	static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~!$&'()*+,;=%";
	bool literal = *text == '[';
	size_t host = literal ? strspn(++text, "0123456789abcdefABCDEF:.") : strspn(text, plain);
	uint64_t port;

	if (host == 0 || (literal && text[host++] != ']')) {
		return false;
	}
	text += host;
	return *text == '\0' || (*text == ':' && (text[1] == '\0' || mesh__str_u64(text + 1, strlen(text + 1), UINT16_MAX, &port)));
}

static enum mesh__refusal judge_host(const struct rulers *r, const struct mesh__h1_head *head)
{
	if (r->n_host == 0) {
		return head->http_1_0 ? MESH__REFUSAL_NONE : MESH__REFUSAL_HOST;
	}
	return r->n_host == 1 && authority_valid(r->host) ? MESH__REFUSAL_NONE : MESH__REFUSAL_HOST;
}

static size_t scheme_len(const char *target)
{
	return strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;
}

/* Origin form, or an absolute form whose authority is that of Host (RFC 9112 section 3.2); cuts the target into path and query. */
static enum mesh__refusal judge_target(char *target, const struct rulers *r, struct mesh__h1_head *head)
{
	size_t scheme = scheme_len(target);
	char *path = target, *query;

	if (strlen(target) > TARGET_MAX_BYTES) {
		return MESH__REFUSAL_TARGET_TOO_LONG;
	}
	if (scheme > 0) {
		size_t authority = strcspn(target + scheme, "/?#");

		path = target + scheme + authority;
		if (r->host == NULL || !mesh__str_eq_nocase(target + scheme, authority, r->host)) {
			return MESH__REFUSAL_HOST;
		}
	}
	query = strchr(path, '?');
	if (query != NULL) {
		*query++ = '\0';
	}
	head->path = scheme > 0 && *path == '\0' ? "/" : path;
	head->query = query != NULL ? query : "";
	if (!mesh__target_valid(head->path, strlen(head->path)) || strchr(head->query, '#') != NULL) {
		return MESH__REFUSAL_TARGET;
	}
	return MESH__REFUSAL_NONE;
}

static enum mesh__refusal judge_wishes(const struct rulers *r, struct mesh__h1_head *head)
{
	head->keep_alive = !head->http_1_0 && !r->close;
	if (r->n_expect > 0 && !head->http_1_0) {
		if (r->n_expect > 1 || !mesh__str_eq_nocase(r->expect, strlen(r->expect), "100-continue")) {
			return MESH__REFUSAL_EXPECTATION;
		}
		head->wants_continue = head->has_body;
	}
	return r->upgrade && r->has_upgrade ? MESH__REFUSAL_UPGRADE : MESH__REFUSAL_NONE;
}

/* "METHOD SP target SP HTTP/1.x": the two versions that are spoken, single spaces, no CONNECT. Says so before llhttp, which knows more. */
static enum mesh__refusal judge_line(char *text, size_t len, struct mesh__h1_head *head)
{
	size_t end = strcspn(text, "\r");
	size_t method = strcspn(text, " ");
	size_t target;

	if (end >= len || method >= end) {
		return MESH__REFUSAL_MALFORMED;
	}
	target = strcspn(text + method + 1, " \r");
	if (target == 0 || end < 9 || method + 1 + target + 9 != end || memcmp(text + end - 9, " HTTP/", 6) != 0) {
		return MESH__REFUSAL_MALFORMED;
	}
	head->http_1_0 = memcmp(text + end - 3, "1.0", 3) == 0;
	if (!head->http_1_0 && memcmp(text + end - 3, "1.1", 3) != 0) {
		return MESH__REFUSAL_VERSION;
	}
	return method == 7 && memcmp(text, "CONNECT", 7) == 0 ? MESH__REFUSAL_TARGET : MESH__REFUSAL_NONE;
}

enum mesh__refusal mesh__h1_parse(char *text, size_t len, struct mesh__field_text *fields, size_t max_fields, uint64_t max_body_bytes, struct mesh__h1_head *out)
{
	struct parse p = {.text = text, .fields = fields, .max_fields = max_fields};
	enum mesh__refusal refusal;
	struct rulers rulers;
	llhttp_t parser;

	*out = (struct mesh__h1_head){.method = text, .path = "", .query = "", .fields = fields};
	refusal = judge_line(text, len, out);
	if (refusal != MESH__REFUSAL_NONE) {
		return refusal;
	}
	refusal = run_llhttp(&p, len, &parser);
	if (refusal != MESH__REFUSAL_NONE) {
		return refusal;
	}
	if (p.target == NULL || p.n_fields != max_fields) {
		return MESH__REFUSAL_MALFORMED; /* llhttp and the scan read it differently */
	}
	cut_fields(&p);
	out->n_fields = p.n_fields;
	text[strcspn(text, " ")] = '\0';
	p.target[p.target_len] = '\0';
	rulers = read_rulers(&p);
	refusal = judge_framing(&rulers, max_body_bytes, out);
	if (refusal == MESH__REFUSAL_NONE) {
		refusal = judge_host(&rulers, out);
	}
	if (refusal == MESH__REFUSAL_NONE) {
		refusal = judge_target(p.target, &rulers, out);
	}
	return refusal == MESH__REFUSAL_NONE ? judge_wishes(&rulers, out) : refusal;
}
