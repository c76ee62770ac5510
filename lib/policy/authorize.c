#include "policy/authorize.h"

#include "wire/path.h"

bool mesh__authz_is_from(const struct mesh__authz_rule *rule, const struct mesh__request_view *view)
{
	for (size_t i = 0; i < rule->n_from; i++) {
		if (mesh__match_source(&rule->from[i], view)) {
			return true;
		}
	}
	return rule->n_from == 0;
}

bool mesh__authz_speaks_of(const struct mesh__authz_rule *rule, const char *path)
{
	for (size_t i = 0; i < rule->n_paths; i++) {
		const struct mesh__matcher *m = &rule->paths[i];

		if (m->how == MESH__MATCH_PREFIX ? mesh__path_under(path, m->text) : mesh__path_same(path, m->text)) {
			return true;
		}
	}
	return rule->n_paths == 0;
}

bool mesh__authz_holds(const struct mesh__authz_rule *rule, struct mesh__request_view *view)
{
	return mesh__authz_is_from(rule, view) && mesh__match_method(&rule->methods, view) && mesh__authz_speaks_of(rule, view->path)
		&& mesh__match_headers(rule->headers, rule->n_headers, rule->allow ? MESH__EVERY_VALUE : MESH__ANY_VALUE, view);
}

struct mesh__authz_verdict mesh__authorize(const struct mesh__authorization *a, struct mesh__request_view *view)
{
	struct mesh__authz_verdict verdict = {.allow = !a->default_deny};

	for (size_t i = 0; i < a->n_rules; i++) {
		if (mesh__authz_holds(&a->rules[i], view)) {
			verdict.allow = a->rules[i].allow;
			verdict.rule = a->rules[i].name;
			break;
		}
	}
	if (!verdict.allow && a->audit) {
		verdict.allow = verdict.audit_only = true;
	}
	return verdict;
}
