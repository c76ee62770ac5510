#include "meshctl/intention.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/authorize.h"

/* ---- The rule ---- */

static void put_texts(struct mesh__json_out *json, const char *key, const char *const *texts, size_t n)
{
	if (n > 0) {
		mesh__json_open(json, key, '[');
		for (size_t i = 0; i < n; i++) {
			mesh__json_put_text(json, NULL, texts[i]);
		}
		mesh__json_close(json, ']');
	}
}

static void put_paths(struct mesh__json_out *json, const struct ctl_intention *in)
{
	if (in->n_paths + in->n_prefixes == 0) {
		return;
	}
	mesh__json_open(json, "paths", '[');
	for (size_t i = 0; i < in->n_paths; i++) {
		mesh__json_put_text(json, NULL, in->paths[i]);
	}
	for (size_t i = 0; i < in->n_prefixes; i++) {
		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "prefix", in->prefixes[i]);
		mesh__json_close(json, '}');
	}
	mesh__json_close(json, ']');
}

static void put_rule(struct mesh__json_out *json, const struct ctl_intention *in, const char *name)
{
	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "name", name);
	mesh__json_put_text(json, "action", in->allow ? "allow" : "deny");
	if (in->service != NULL || in->ns != NULL) {
		mesh__json_open(json, "from", '[');
		mesh__json_open(json, NULL, '{');
		mesh__json_put_text(json, "service", in->service);
		mesh__json_put_text(json, "namespace", in->ns);
		mesh__json_close(json, '}');
		mesh__json_close(json, ']');
	}
	put_texts(json, "methods", in->methods, in->n_methods);
	put_paths(json, in);
	mesh__json_close(json, '}');
}

static void put_head(struct mesh__json_out *json, const struct mesh__name *to)
{
	mesh__json_put_text(json, "apiVersion", "mesh/v1");
	mesh__json_put_text(json, "kind", "Service");
	mesh__json_put_text(json, "name", to->service);
	mesh__json_put_text(json, "namespace", to->ns);
}

void ctl_intention_alone(const struct ctl_intention *in, const struct mesh__name *to, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	put_head(&json, to);
	mesh__json_open(&json, "authorization", '{');
	mesh__json_open(&json, "rules", '[');
	put_rule(&json, in, "alone");
	mesh__json_close(&json, ']');
	mesh__json_close(&json, '}');
	mesh__json_close(&json, '}');
}

/* ---- Its place among the others ---- */

static bool same_source(const struct mesh__source *a, const struct mesh__source *b)
{
	return mesh__str_eq(a->service, b->service) && mesh__str_eq(a->ns, b->ns);
}

static bool same_matcher(const struct mesh__matcher *a, const struct mesh__matcher *b)
{
	return a->how == b->how && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* Whether they speak of the same requests, word by word. */
static bool same_requests(const struct mesh__authz_rule *a, const struct mesh__authz_rule *b)
{
	bool same = a->n_from == b->n_from && a->methods.n == b->methods.n && a->n_paths == b->n_paths && a->n_headers + b->n_headers == 0;

	for (size_t i = 0; same && i < a->n_from; i++) {
		same = same_source(&a->from[i], &b->from[i]);
	}
	for (size_t i = 0; same && i < a->methods.n; i++) {
		same = strcmp(a->methods.names[i], b->methods.names[i]) == 0;
	}
	for (size_t i = 0; same && i < a->n_paths; i++) {
		same = same_matcher(&a->paths[i], &b->paths[i]);
	}
	return same;
}

/* How narrow the circle is: a service, a namespace, anybody; and in each, some requests or all. */
static int narrowness(const struct mesh__authz_rule *rule)
{
	int source = rule->n_from == 0 ? 0 : 2;

	for (size_t i = 0; i < rule->n_from && source == 2; i++) {
		source = rule->from[i].service != NULL ? 2 : 1;
	}
	return source * 4 + (rule->n_paths > 0) + (rule->methods.n > 0) + (rule->n_headers > 0);
}

/* ---- Its name ---- */

static bool is_taken(const struct mesh__authorization *there, const char *name, const struct mesh__authz_rule *rule)
{
	for (size_t i = 0; i < there->n_rules; i++) {
		if (strcmp(there->rules[i].name, name) == 0 && !same_requests(&there->rules[i], rule)) {
			return true;
		}
	}
	return false;
}

/* "allow-cart", "deny-all", "allow-namespace-shop"; with a number behind it where that name is another rule's. */
static void make_name(const struct ctl_intention *in, const struct mesh__authorization *there, const struct mesh__authz_rule *rule, char name[MESH__LABEL_MAX + 1])
{
	char base[2 * MESH__LABEL_MAX + 16];
	size_t len;

	(void)snprintf(base, sizeof(base), "%s-%s%s", in->allow ? "allow" : "deny", in->service != NULL || in->ns == NULL ? "" : "namespace-", in->service != NULL ? in->service : in->ns != NULL ? in->ns : "all");
	len = strlen(base) < MESH__LABEL_MAX - 4 ? strlen(base) : MESH__LABEL_MAX - 4;
	while (base[len - 1] == '-') {
		len--;
	}
	base[len] = '\0';
	memcpy(name, base, len + 1); /* which leaves room for a number */
	for (int n = 2; is_taken(there, name, rule) && n <= MESH__AUTHZ_RULES_MAX + 1; n++) {
		(void)snprintf(name + len, MESH__LABEL_MAX + 1 - len, "-%d", n);
	}
}

/* ---- The document ---- */

static void put_rules(struct mesh__json_out *json, const struct ctl_intention *in, const struct mesh__json *rules, const struct mesh__authorization *there, const struct mesh__authz_rule *rule)
{
	const struct mesh__json *at = mesh__json_first(rules);
	char name[MESH__LABEL_MAX + 1];
	bool put = false;

	make_name(in, there, rule, name);
	mesh__json_open(json, "rules", '[');
	for (size_t i = 0; at != NULL && i < there->n_rules; i++, at = mesh__json_next(at)) {
		if (same_requests(&there->rules[i], rule)) {
			continue;
		}
		if (!put && narrowness(&there->rules[i]) <= narrowness(rule)) {
			put_rule(json, in, name);
			put = true;
		}
		mesh__json_put_value(json, NULL, at);
	}
	if (!put) {
		put_rule(json, in, name);
	}
	mesh__json_close(json, ']');
}

static void put_authorization(struct mesh__json_out *json, const struct ctl_intention *in, const struct mesh__json *old, const struct mesh__authorization *there, const struct mesh__authz_rule *rule)
{
	mesh__json_open(json, "authorization", '{');
	for (const struct mesh__json *m = mesh__json_first(old); m != NULL; m = mesh__json_next(m)) {
		bool replaced = strcmp(mesh__json_key(m), "rules") == 0 || (in->fallback != NULL && strcmp(mesh__json_key(m), "default") == 0);
		if (!replaced) {
			mesh__json_put_value(json, mesh__json_key(m), m);
		}
	}
	mesh__json_put_text(json, "default", in->fallback);
	put_rules(json, in, mesh__json_get(old, "rules"), there, rule);
	mesh__json_close(json, '}');
}

void ctl_intention_write(const struct ctl_intention *in, const struct mesh__name *to, const struct mesh__json *document, const struct mesh__authorization *there, const struct mesh__authz_rule *rule, struct mesh__buf *out)
{
	struct mesh__json_out json = {.buf = out};

	mesh__json_open(&json, NULL, '{');
	if (document == NULL) {
		put_head(&json, to);
	}
	for (const struct mesh__json *m = mesh__json_first(document); m != NULL; m = mesh__json_next(m)) {
		if (strcmp(mesh__json_key(m), "authorization") != 0) {
			mesh__json_put_value(&json, mesh__json_key(m), m);
		}
	}
	put_authorization(&json, in, mesh__json_get(document, "authorization"), there, rule);
	mesh__json_close(&json, '}');
}

/* ---- What it says of a caller ---- */

enum holds { NO, PERHAPS, YES };

static enum holds holds(const struct mesh__authz_rule *rule, const struct mesh__request_view *view)
{
	enum holds method = rule->methods.n == 0 ? YES : view->method == NULL ? PERHAPS : mesh__match_method(&rule->methods, view) ? YES : NO;
	enum holds path = rule->n_paths == 0 ? YES : view->path == NULL ? PERHAPS : mesh__authz_speaks_of(rule, view->path) ? YES : NO;
	enum holds headers = rule->n_headers == 0 ? YES : PERHAPS;
	enum holds least = mesh__authz_is_from(rule, view) ? YES : NO;

	least = method < least ? method : least;
	least = path < least ? path : least;
	return headers < least ? headers : least;
}

void ctl_intention_find(const struct mesh__authorization *a, const struct ctl_question *question, struct ctl_finding *finding)
{
	struct mesh__request_view view = {.method = question->method, .path = question->path, .service = question->service, .ns = question->ns};
	bool depends = false;

	*finding = (struct ctl_finding){.otherwise_allowed = !a->default_deny};
	for (size_t i = 0; i < a->n_rules && finding->rule == NULL; i++) {
		enum holds verdict = holds(&a->rules[i], &view);

		if (verdict == YES) {
			finding->rule = &a->rules[i];
			finding->otherwise_allowed = a->rules[i].allow;
		} else if (verdict == PERHAPS) {
			finding->may[finding->n_may++] = &a->rules[i];
		}
	}
	for (size_t i = 0; i < finding->n_may; i++) {
		depends = depends || finding->may[i]->allow != finding->otherwise_allowed;
	}
	if (depends) {
		finding->answer = a->audit ? CTL_MAY_DENY : CTL_DEPENDS;
	} else {
		finding->answer = finding->otherwise_allowed ? CTL_ALLOWED : a->audit ? CTL_WOULD_DENY : CTL_NOT_ALLOWED;
	}
}
