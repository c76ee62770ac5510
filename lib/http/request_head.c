#include "http/request_head.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "wire/path.h"
#include "wire/url.h"

/* What the fields that rule a message say. */
struct rulers {
	const char *host, *length, *coding, *expect;
	int n_host, n_length, n_coding, n_expect;
	bool close, upgrade, has_upgrade;
};

static void read_ruler(const char *name, const char *value, struct rulers *r)
{
	if (strcmp(name, "host") == 0) {
		r->host = value;
		r->n_host++;
	} else if (strcmp(name, "content-length") == 0) {
		r->length = value;
		r->n_length++;
	} else if (strcmp(name, "transfer-encoding") == 0) {
		r->coding = value;
		r->n_coding++;
	} else if (strcmp(name, "expect") == 0) {
		r->expect = value;
		r->n_expect++;
	} else if (strcmp(name, "connection") == 0) {
		r->close |= mesh__field_list_has(value, strlen(value), "close");
		r->upgrade |= mesh__field_list_has(value, strlen(value), "upgrade");
	} else if (strcmp(name, "upgrade") == 0) {
		r->has_upgrade = true;
	}
}

static struct rulers read_rulers(const struct mesh__request_head *head)
{
	struct rulers r = {0};

	for (size_t i = 0; i < head->n_fields; i++) {
		const char *name = head->fields[i].name;
		char first = name[0];

		/* Most fields rule nothing, which their first letter says at a fraction of what six comparisons cost. */
		if (first == 'h' || first == 'c' || first == 't' || first == 'e' || first == 'u') {
			read_ruler(name, head->fields[i].value, &r);
		}
	}
	return r;
}

/* One length or one "chunked", never both, and "chunked" in HTTP/1.1 alone: RFC 9112 section 6.3 allows to refuse the rest. In HTTP/2 a body ends where its stream does. */
static enum mesh__refusal judge_framing(const struct rulers *r, uint64_t max_body_bytes, struct mesh__request_head *head)
{
	if (r->n_length + r->n_coding > 1 || (r->n_coding > 0 && (head->http_1_0 || head->http_2))) {
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

static enum mesh__refusal judge_host(const struct rulers *r, const struct mesh__request_head *head)
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

/* Origin form, or in HTTP/1 an absolute form whose authority is that of Host (RFC 9112 section 3.2); cuts the target into path, here normalised for all who look at it later, and query. */
static enum mesh__refusal judge_target(char *target, const struct rulers *r, struct mesh__request_head *head)
{
	size_t scheme = head->http_2 ? 0 : scheme_len(target);
	char *path = target, *query;

	if (strlen(target) > MESH__TARGET_MAX) {
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
	head->query = query != NULL ? query : "";
	if (scheme > 0 && *path == '\0') {
		head->path = "/";
	} else if (mesh__target_valid(path, strlen(path)) && mesh__path_normalise(path)) {
		head->path = path;
	} else {
		return MESH__REFUSAL_TARGET;
	}
	return strchr(head->query, '#') == NULL ? MESH__REFUSAL_NONE : MESH__REFUSAL_TARGET;
}

static enum mesh__refusal judge_wishes(const struct rulers *r, struct mesh__request_head *head)
{
	head->keep_alive = !head->http_1_0 && !r->close;
	if (r->n_expect > 0 && !head->http_1_0) {
		if (r->n_expect > 1 || !mesh__str_eq_nocase(r->expect, strlen(r->expect), "100-continue")) {
			return MESH__REFUSAL_EXPECTATION;
		}
		head->wants_continue = head->has_body || head->http_2;
	}
	return r->upgrade && r->has_upgrade ? MESH__REFUSAL_UPGRADE : MESH__REFUSAL_NONE;
}

enum mesh__refusal mesh__request_judge(struct mesh__request_head *head, char *target, uint64_t max_body_bytes)
{
	struct rulers rulers = read_rulers(head);
	enum mesh__refusal refusal = judge_framing(&rulers, max_body_bytes, head);

	if (refusal == MESH__REFUSAL_NONE) {
		refusal = judge_host(&rulers, head);
	}
	if (refusal == MESH__REFUSAL_NONE) {
		refusal = judge_target(target, &rulers, head);
	}
	return refusal == MESH__REFUSAL_NONE ? judge_wishes(&rulers, head) : refusal;
}
