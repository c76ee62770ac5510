/* Who may call whom. */
#include <string.h>

#include "policy/fields.h"
#include "policy/forms.h"

static const struct mesh__word actions[] = {{"deny", false}, {"allow", true}, {NULL, 0}};
static const struct mesh__word defaults[] = {{"allow", false}, {"deny", true}, {NULL, 0}};
static const struct mesh__word modes[] = {{"enforce", false}, {"audit", true}, {NULL, 0}};

static const struct mesh__field_rule source_item = {.type = MESH__FIELD_MAP, .fields = &mesh__fields_of_caller, MESH__ALL_OF(struct mesh__source)};
static const struct mesh__field_rule path_item = {.type = MESH__FIELD_MAP, .fields = &mesh__fields_of_plain_path_match, MESH__ALL_OF(struct mesh__matcher)};

static const struct mesh__field_rule authz_rules[] = {
	{.name = "name", .type = MESH__FIELD_TEXT, .required = true, .form = &mesh__form_label, MESH__AT(struct mesh__authz_rule, name), .says = "told in the refusal and in the audit log"},
	{.name = "action", .type = MESH__FIELD_WORD, .required = true, .words = actions, MESH__AT(struct mesh__authz_rule, allow), .says = "what becomes of the requests that it holds for"},
	{.name = "from", .type = MESH__FIELD_LIST, .min = 1, .max = MESH__AUTHZ_SOURCES_MAX, .item = &source_item, .item_size = sizeof(struct mesh__source), MESH__AT(struct mesh__authz_rule, from), .example = "[{service: cart}]", .says = "who calls; left out: everybody"},
	{.name = "methods", .type = MESH__FIELD_LIST, .unique = true, .min = 1, .max = MESH__METHODS_MAX, .item = &mesh__method_item, .item_size = sizeof(const char *), MESH__AT(struct mesh__authz_rule, methods.names), .example = "[GET, POST]", .says = "left out: every method"},
	{.name = "paths", .type = MESH__FIELD_LIST, .min = 1, .max = MESH__AUTHZ_PATHS_MAX, .item = &path_item, .item_size = sizeof(struct mesh__matcher), MESH__AT(struct mesh__authz_rule, paths), .example = "[/make-payment, {prefix: /admin}]", .says = "the path as normalised; left out: every path"},
	{.name = "headers", .type = MESH__FIELD_DICT, .max = MESH__MATCH_FIELDS_MAX, .form = &mesh__form_header, .item = &mesh__plain_named_match_item, .item_size = sizeof(struct mesh__named_match), MESH__AT(struct mesh__authz_rule, headers), .example = "{x-canary: {exact: \"1\"}}", .says = "all of them"},
};

/* A refusal that no rule decided is told as `default`'s: in the counters and in the audit log the two must not be one. */
static void check_rule(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__node *name = mesh__node_get(at->node, "name");

	(void)base;
	if (strcmp(name->text, "default") == 0) {
		struct mesh__place place = mesh__place_of(at, name);
		mesh__reading_fault(r, &place, "\"default\" is what refusals and counters call the default; give the rule another name");
	}
}

static const struct mesh__fields authz_fields = {MESH__RULES(authz_rules), .check = check_rule};
static const struct mesh__field_rule authz_item = {.type = MESH__FIELD_MAP, .fields = &authz_fields, MESH__ALL_OF(struct mesh__authz_rule)};

static const struct mesh__field_rule default_rules[] = {
	{.name = "default", .type = MESH__FIELD_WORD, .words = defaults, MESH__AT(struct mesh__authorization, default_deny), .says = "what becomes of requests that no rule holds for"},
	{.name = "mode", .type = MESH__FIELD_WORD, .words = modes, MESH__AT(struct mesh__authorization, audit), .says = "audit: what would be denied is logged and let in"},
};

static const struct mesh__field_rule own_rules[] = {
	{.name = "rules", .type = MESH__FIELD_LIST, .unique = true, .max = MESH__AUTHZ_RULES_MAX, .item = &authz_item, .item_size = sizeof(struct mesh__authz_rule), MESH__AT(struct mesh__authorization, rules), .example = "[{name: carts-pay, action: allow, from: [{service: cart}]}]", .says = "the first that holds decides"},
};

static const struct mesh__field_rule elsewhere_rules[] = {
	{.name = "rules", .type = MESH__FIELD_ELSEWHERE, .says = "belong to a Service: a rule names its callers, methods and paths"},
};

static const struct mesh__fields own = {MESH__RULES(own_rules)};
static const struct mesh__fields elsewhere = {MESH__RULES(elsewhere_rules)};

const struct mesh__fields mesh__fields_of_authorization = {MESH__RULES(default_rules), .more = &own};
const struct mesh__fields mesh__fields_of_authorization_defaults = {MESH__RULES(default_rules), .more = &elsewhere};
