#include "wire/name.h"

#include <stdio.h>
#include <string.h>

static const char spiffe_scheme[] = "spiffe://";
static const char spiffe_ns[] = "/ns/";
static const char spiffe_svc[] = "/svc/";

/* Not isalnum(): the locale must have no say in who is who. */
static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool mesh__label_valid(const char *text, size_t len)
{
	if (len == 0 || len > MESH__LABEL_MAX || text[0] == '-' || text[len - 1] == '-') {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_label_char(text[i])) {
			return false;
		}
	}
	return true;
}

int mesh__label_check(const char *what, const char *text, struct mesh__err *err)
{
	if (text == NULL || text[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "%s is missing", what);
	}
	if (!mesh__label_valid(text, strlen(text))) {
		return mesh__fail(err, MESH_E_INVALID,
			"%s \"%.100s\" is no valid name; use lower-case letters, digits and inner hyphens, at most %d", what, text, MESH__LABEL_MAX);
	}
	return MESH_OK;
}

bool mesh__trust_domain_valid(const char *text, size_t len)
{
	size_t start = 0;

	if (len > MESH__TRUST_DOMAIN_MAX) {
		return false;
	}
	for (size_t i = 0; i <= len; i++) {
		if (i == len || text[i] == '.') {
			if (!mesh__label_valid(text + start, i - start)) {
				return false;
			}
			start = i + 1;
		}
	}
	return true;
}

struct rest {
	const char *text;
	size_t len;
};

/* Takes `word` off the front. */
static bool take_word(struct rest *rest, const char *word)
{
	size_t n = strlen(word);

	if (rest->len < n || memcmp(rest->text, word, n) != 0) {
		return false;
	}
	rest->text += n;
	rest->len -= n;
	return true;
}

/* Takes what stands before the next slash, or all, into out[cap]. A NUL inside is copied like any byte: the checks that follow refuse it. */
static size_t take_part(struct rest *rest, char *out, size_t cap)
{
	const char *slash = rest->len == 0 ? NULL : memchr(rest->text, '/', rest->len);
	size_t n = slash == NULL ? rest->len : (size_t)(slash - rest->text);

	if (n >= cap) {
		return 0;
	}
	memcpy(out, rest->text, n);
	out[n] = '\0';
	rest->text += n;
	rest->len -= n;
	return n;
}

bool mesh__spiffe_parse(const char *text, size_t len, struct mesh__name *name)
{
	struct rest rest = {text, len};
	struct mesh__name parsed;

	if (len >= MESH__SPIFFE_MAX || !take_word(&rest, spiffe_scheme)
		|| !mesh__trust_domain_valid(parsed.trust_domain, take_part(&rest, parsed.trust_domain, sizeof(parsed.trust_domain)))
		|| !take_word(&rest, spiffe_ns) || !mesh__label_valid(parsed.ns, take_part(&rest, parsed.ns, sizeof(parsed.ns)))
		|| !take_word(&rest, spiffe_svc) || !mesh__label_valid(parsed.service, take_part(&rest, parsed.service, sizeof(parsed.service)))
		|| rest.len != 0) {
		return false;
	}
	*name = parsed;
	return true;
}

void mesh__spiffe_format(const struct mesh__name *name, char *out)
{
	(void)snprintf(out, MESH__SPIFFE_MAX, "%s%s%s%s%s%s", spiffe_scheme, name->trust_domain, spiffe_ns, name->ns, spiffe_svc, name->service);
}

void mesh__dns_format(const struct mesh__name *name, char *out)
{
	(void)snprintf(out, MESH__DNS_MAX, "%s.%s.%s", name->service, name->ns, name->trust_domain);
}

void mesh__service_key(const struct mesh__name *name, char *out)
{
	size_t service_len = strlen(name->service), ns_len = strlen(name->ns);

	/* Each call makes one: printf's way takes longer than all else that resolving does. */
	memcpy(out, name->service, service_len);
	out[service_len] = '.';
	memcpy(out + service_len + 1, name->ns, ns_len + 1);
}

int mesh__service_parse(const char *text, const char *own_ns, struct mesh__name *name, struct mesh__err *err)
{
	const char *dot;
	const char *ns;
	bool service_valid;
	size_t service_len;

	if (text == NULL || text[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "service is missing");
	}
	dot = strchr(text, '.');
	ns = dot == NULL ? own_ns : dot + 1;
	service_len = dot == NULL ? strlen(text) : (size_t)(dot - text);
	service_valid = mesh__label_valid(text, service_len);
	if (dot == NULL && service_valid && mesh__label_check("namespace", ns, err) != MESH_OK) {
		return MESH_E_INVALID; /* the name given is right: what it was to be completed with is not */
	}
	if (!service_valid || (dot != NULL && !mesh__label_valid(ns, strlen(ns)))) {
		return mesh__fail(err, MESH_E_INVALID,
			"service \"%.140s\" is no valid name; write service or service.namespace, each of lower-case letters, digits and inner hyphens, at most %d",
			text, MESH__LABEL_MAX);
	}
	memcpy(name->service, text, service_len);
	name->service[service_len] = '\0';
	memmove(name->ns, ns, strlen(ns) + 1); /* own_ns may be name->ns itself */
	return MESH_OK;
}
