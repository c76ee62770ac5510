#include "policy/match.h"

#include <string.h>

#include "base/str.h"
#include "policy/regex.h"
#include "wire/url.h"

/* The longest that a regular expression takes, decoded, and its NUL; what is longer equals nothing that a document can say either. */
enum { VALUE_MAX = MESH__REGEX_SUBJECT_MAX + 1 };

static bool regex_holds(const struct mesh__matcher *m, const char *value, size_t len, struct mesh__request_view *view)
{
	enum mesh__regex_verdict verdict;

	if (view->gave_up >= MESH__GIVE_UPS_MAX) {
		return false;
	}
	verdict = mesh__regex_match(m->regex, value, len);
	view->gave_up += verdict == MESH__REGEX_GAVE_UP;
	return verdict == MESH__REGEX_MATCH;
}

static bool text_holds(const struct mesh__matcher *m, const char *value, struct mesh__request_view *view)
{
	size_t len = strlen(value);

	switch (m->how) {
	case MESH__MATCH_EXACT:
		return len == m->len && memcmp(value, m->text, len) == 0;
	case MESH__MATCH_PREFIX:
		return len >= m->len && memcmp(value, m->text, m->len) == 0;
	case MESH__MATCH_SUFFIX:
		return len >= m->len && memcmp(value + len - m->len, m->text, m->len) == 0;
	case MESH__MATCH_REGEX:
		return regex_holds(m, value, len, view);
	case MESH__MATCH_ANY:
	case MESH__MATCH_PRESENT:
		return true;
	case MESH__MATCH_ABSENT:
		break;
	}
	return false;
}

/* "/a" has "/a" and "/a/b", and not "/ab"; "/a/" has "/a/b", and not "/a". */
static bool is_under(const char *path, const struct mesh__matcher *m)
{
	return strncmp(path, m->text, m->len) == 0 && (path[m->len] == '\0' || path[m->len] == '/' || (m->len > 0 && m->text[m->len - 1] == '/'));
}

bool mesh__match_path(const struct mesh__matcher *m, struct mesh__request_view *view)
{
	if (m->how == MESH__MATCH_ANY || view->path == NULL) {
		return m->how == MESH__MATCH_ANY;
	}
	return m->how == MESH__MATCH_PREFIX ? is_under(view->path, m) : text_holds(m, view->path, view);
}

bool mesh__match_method(const struct mesh__methods *methods, const struct mesh__request_view *view)
{
	for (size_t i = 0; i < methods->n; i++) {
		if (strcmp(methods->names[i], view->method) == 0) {
			return true;
		}
	}
	return methods->n == 0;
}

static bool header_holds(const struct mesh__named_match *h, enum mesh__values values, struct mesh__request_view *view)
{
	const char *value;
	bool there = false;

	for (size_t at = 0; (value = view->header(view->ctx, h->name, &at)) != NULL; there = true) {
		bool holds = text_holds(&h->value, value, view);

		if (holds != (values == MESH__EVERY_VALUE)) {
			return holds;
		}
	}
	return there ? values == MESH__EVERY_VALUE : (h->value.how == MESH__MATCH_ABSENT || h->value.how == MESH__MATCH_ANY);
}

bool mesh__match_headers(const struct mesh__named_match *headers, size_t n, enum mesh__values values, struct mesh__request_view *view)
{
	for (size_t i = 0; i < n; i++) {
		if (!header_holds(&headers[i], values, view)) {
			return false;
		}
	}
	return true;
}

static bool parameter_holds(const struct mesh__named_match *p, struct mesh__request_view *view)
{
	const char *query = view->query;
	char value[VALUE_MAX];
	bool there = false;

	for (; mesh__query_next(&query, p->name, value, sizeof(value)); there = true) {
		if (text_holds(&p->value, value, view)) {
			return true;
		}
	}
	return !there && (p->value.how == MESH__MATCH_ABSENT || p->value.how == MESH__MATCH_ANY);
}

bool mesh__match_query(const struct mesh__named_match *parameters, size_t n, struct mesh__request_view *view)
{
	for (size_t i = 0; i < n; i++) {
		if (!parameter_holds(&parameters[i], view)) {
			return false;
		}
	}
	return true;
}

static bool is(const char *said, const char *found)
{
	return said == NULL || mesh__str_eq(said, found);
}

bool mesh__match_labels(const struct mesh__labels *said, const struct mesh__labels *found)
{
	return is(said->version, found->version) && is(said->zone, found->zone);
}

bool mesh__match_source(const struct mesh__source *s, const struct mesh__request_view *view)
{
	return is(s->service, view->service) && is(s->ns, view->ns) && mesh__match_labels(&s->labels, &view->labels);
}
