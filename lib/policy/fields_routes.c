/* Subsets and routes: which requests go where, and changed how. */
#include <string.h>

#include "base/str.h"
#include "policy/fields.h"
#include "policy/forms.h"

enum { DAY_MS = 86400000, STATUS_MIN = 200, STATUS_MAX = 599 };

/* ---- Subsets ---- */

static const struct mesh__field_rule subset_rules[] = {
	{.name = "name", .type = MESH__FIELD_TEXT, .required = true, .form = &mesh__form_label, MESH__AT(struct mesh__subset, name), .says = "what a split calls it"},
	{.name = "labels", .type = MESH__FIELD_MAP, .required = true, .fields = &mesh__fields_of_labels, MESH__AT(struct mesh__subset, labels), .says = "the instances that have all of them"},
};

const struct mesh__fields mesh__fields_of_subset = {MESH__RULES(subset_rules)};

/* ---- Where it goes: split and mirror ---- */

#define SIDE(base, path)                                                                                                                                          \
	{.name = "subset", .type = MESH__FIELD_TEXT, .form = &mesh__form_label, MESH__AT(base, path subset), .says = "a subset of the service, defined in `subsets`"},  \
	{.name = "service", .type = MESH__FIELD_TEXT, .form = &mesh__form_service, MESH__AT(base, path service), .says = "another service, `name` or `name.namespace`"}

static const struct mesh__field_rule side_rules[] = {
	SIDE(struct mesh__side, ),
	{.name = "weight", .type = MESH__FIELD_COUNT, .required = true, .max = MESH__WEIGHT_MAX, MESH__AT(struct mesh__side, weight), .says = "its share is its weight of the sum of all"},
};

static void check_side(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	(void)base;
	if (mesh__node_get(at->node, "subset") != NULL && mesh__node_get(at->node, "service") != NULL) {
		mesh__reading_fault(r, at, "names a subset and a service; a subset is of the document's own service");
	}
}

static const struct mesh__fields side_fields = {MESH__RULES(side_rules), .check = check_side};
static const struct mesh__field_rule side_item = {.type = MESH__FIELD_MAP, .fields = &side_fields, MESH__ALL_OF(struct mesh__side)};

static const struct mesh__field_rule mirror_rules[] = {
	SIDE(struct mesh__mirror, to.),
	{.name = "percent", .type = MESH__FIELD_DECIMAL, .max = MESH__WHOLE, MESH__AT(struct mesh__mirror, share), .says = "of the requests; left out: 100"},
};

static void finish_mirror(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__mirror *mirror = base;

	if ((mirror->to.subset == NULL) == (mirror->to.service == NULL)) {
		mesh__reading_fault(r, at, "wants exactly one of subset, service");
	}
	mirror->to.weight = 1;
	if (mesh__node_get(at->node, "percent") == NULL) {
		mirror->share = MESH__WHOLE;
	}
}

static const struct mesh__fields mirror_fields = {MESH__RULES(mirror_rules), .check = finish_mirror};

/* ---- How it is changed ---- */

static const struct mesh__field_rule rewrite_rules[] = {
	{.name = "path", .type = MESH__FIELD_TEXT, .form = &mesh__form_path, MESH__AT(struct mesh__rewrite, path), .says = "in the place of the whole path; the query stays"},
	{.name = "prefix", .type = MESH__FIELD_TEXT, .form = &mesh__form_path, MESH__AT(struct mesh__rewrite, prefix), .says = "in the place of the prefix that matched"},
};

static const struct mesh__fields rewrite_fields = {MESH__RULES(rewrite_rules), .one_of = true};

static bool check_scheme(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (strcmp(text, "http") != 0 && strcmp(text, "https") != 0) {
		mesh__reading_fault(r, at, "\"%.60s\" is no scheme of HTTP; write http or https", text);
		return false;
	}
	memcpy(normal, text, strlen(text) + 1);
	return true;
}

static const struct mesh__text_form scheme_form = {MESH__TEXT_MAX, check_scheme, "^https?$"};

static const struct mesh__field_rule redirect_rules[] = {
	{.name = "status", .type = MESH__FIELD_COUNT, .min = 301, .max = 308, MESH__AT(struct mesh__redirect, status), .says = "301, 302, 303, 307 or 308; left out: 302"},
	{.name = "scheme", .type = MESH__FIELD_TEXT, .form = &scheme_form, MESH__AT(struct mesh__redirect, scheme), .says = "of an absolute location; left out: https"},
	{.name = "host", .type = MESH__FIELD_TEXT, .form = &mesh__form_host, MESH__AT(struct mesh__redirect, host), .says = "of an absolute location, with its port, if any; left out: that which was asked"},
	{.name = "path", .type = MESH__FIELD_TEXT, .form = &mesh__form_path, MESH__AT(struct mesh__redirect, to.path), .says = "in the place of the whole path; the query stays"},
	{.name = "prefix", .type = MESH__FIELD_TEXT, .form = &mesh__form_path, MESH__AT(struct mesh__redirect, to.prefix), .says = "in the place of the prefix that matched"},
};

static void finish_redirect(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__redirect *redirect = base;

	if (redirect->status == 0) {
		redirect->status = 302;
	}
	if (redirect->status > 303 && redirect->status < 307) {
		struct mesh__place place = mesh__place_of(at, mesh__node_get(at->node, "status"));
		mesh__reading_fault(r, &place, "%d is no redirect with a place to go to; write 301, 302, 303, 307 or 308", redirect->status);
	}
	if (redirect->to.path != NULL && redirect->to.prefix != NULL) {
		mesh__reading_fault(r, at, "says path and prefix; only one can hold");
	}
	if (redirect->scheme == NULL && redirect->host == NULL && redirect->to.path == NULL && redirect->to.prefix == NULL) {
		mesh__reading_fault(r, at, "leads to where the request came; say scheme, host, path or prefix");
	}
}

static const struct mesh__fields redirect_fields = {MESH__RULES(redirect_rules), .check = finish_redirect};

static const struct mesh__field_rule direct_rules[] = {
	{.name = "status", .type = MESH__FIELD_COUNT, .required = true, .min = STATUS_MIN, .max = STATUS_MAX, MESH__AT(struct mesh__direct_response, status), .says = "of the answer"},
	{.name = "body", .type = MESH__FIELD_TEXT, .form = &mesh__form_body, MESH__AT(struct mesh__direct_response, body), .says = "left out: none"},
	{.name = "contentType", .type = MESH__FIELD_TEXT, .form = &mesh__form_value, MESH__AT(struct mesh__direct_response, content_type), .says = "left out: text/plain of a body"},
};

static void finish_direct(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__direct_response *direct = base;

	direct->body_len = direct->body == NULL ? 0 : strlen(direct->body);
	if (direct->body_len > 0 && (direct->status == 204 || direct->status == 205 || direct->status == 304)) {
		mesh__reading_fault(r, at, "has a body, and an answer %d has none", direct->status);
	}
}

static const struct mesh__fields direct_fields = {MESH__RULES(direct_rules), .check = finish_direct};

static const struct mesh__field_rule value_item = {.type = MESH__FIELD_TEXT, .form = &mesh__form_value, MESH__AT(struct mesh__header_value, value)};
static const struct mesh__field_rule name_item = {.type = MESH__FIELD_TEXT, .form = &mesh__form_edited_header, .size = sizeof(const char *)};

static const struct mesh__field_rule edit_rules[] = {
	{.name = "set", .type = MESH__FIELD_DICT, .max = MESH__HEADER_EDITS_MAX, .form = &mesh__form_edited_header, .item = &value_item, .item_size = sizeof(struct mesh__header_value), MESH__AT(struct mesh__header_edits, set), .example = "{x-tier: gold}", .says = "in the place of all of the name"},
	{.name = "add", .type = MESH__FIELD_DICT, .max = MESH__HEADER_EDITS_MAX, .form = &mesh__form_edited_header, .item = &value_item, .item_size = sizeof(struct mesh__header_value), MESH__AT(struct mesh__header_edits, add), .example = "{x-via: mesh}", .says = "beside those of the name"},
	{.name = "remove", .type = MESH__FIELD_LIST, .unique = true, .max = MESH__HEADER_EDITS_MAX, .item = &name_item, .item_size = sizeof(const char *), MESH__AT(struct mesh__header_edits, remove), .example = "[x-debug]", .says = "before the others"},
};

static const struct mesh__fields edit_fields = {MESH__RULES(edit_rules)};

static const struct mesh__field_rule headers_rules[] = {
	{.name = "request", .type = MESH__FIELD_MAP, .fields = &edit_fields, MESH__AT(struct mesh__route, headers.request), .says = "before it is sent"},
	{.name = "response", .type = MESH__FIELD_MAP, .fields = &edit_fields, MESH__AT(struct mesh__route, headers.response), .says = "before the caller sees it"},
};

static const struct mesh__fields headers_fields = {MESH__RULES(headers_rules)};

/* ---- Where it goes when nobody there is healthy ---- */

static const struct mesh__field_rule failover_rules[] = {
	{.name = "service", .type = MESH__FIELD_TEXT, .required = true, .form = &mesh__form_service, MESH__AT(struct mesh__failover, service), .says = "another service, `name` or `name.namespace`"},
};

const struct mesh__fields mesh__fields_of_failover = {MESH__RULES(failover_rules)};

/* ---- Which requests ---- */

static const struct mesh__field_rule match_rules[] = {
	{.name = "path", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_path_match, MESH__AT(struct mesh__route_match, path), .says = "the path as normalised, without the query"},
	{.name = "methods", .type = MESH__FIELD_LIST, .unique = true, .min = 1, .max = MESH__METHODS_MAX, .item = &mesh__method_item, .item_size = sizeof(const char *), MESH__AT(struct mesh__route_match, methods.names), .example = "[GET, HEAD]", .says = "one of them"},
	{.name = "headers", .type = MESH__FIELD_DICT, .max = MESH__MATCH_FIELDS_MAX, .form = &mesh__form_header, .item = &mesh__named_match_item, .item_size = sizeof(struct mesh__named_match), MESH__AT(struct mesh__route_match, headers), .example = "{x-canary: {exact: \"1\"}}", .says = "all of them"},
	{.name = "query", .type = MESH__FIELD_DICT, .max = MESH__MATCH_FIELDS_MAX, .form = &mesh__form_parameter, .item = &mesh__named_match_item, .item_size = sizeof(struct mesh__named_match), MESH__AT(struct mesh__route_match, query), .example = "{debug: {present: true}}", .says = "all of the parameters, percent-decoded"},
	{.name = "source", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_source, MESH__AT(struct mesh__route_match, source), .says = "who calls"},
};

static const struct mesh__fields match_fields = {MESH__RULES(match_rules)};
const struct mesh__field_rule mesh__route_match_item = {.type = MESH__FIELD_MAP, .fields = &match_fields, MESH__ALL_OF(struct mesh__route_match)};

/* ---- A route ---- */

static const struct mesh__field_rule route_rules[] = {
	{.name = "name", .type = MESH__FIELD_TEXT, .required = true, .form = &mesh__form_label, MESH__AT(struct mesh__route, name), .says = "unique in the service"},
	{.name = "match", .type = MESH__FIELD_LIST, .min = 1, .max = MESH__MATCHES_MAX, .item = &mesh__route_match_item, .item_size = sizeof(struct mesh__route_match), MESH__AT(struct mesh__route, matches), .example = "[{path: {prefix: /make-payment}}]", .says = "one of these is enough; left out: every request"},
	{.name = "split", .type = MESH__FIELD_LIST, .min = 1, .max = MESH__SIDES_MAX, .item = &side_item, .item_size = sizeof(struct mesh__side), MESH__AT(struct mesh__route, sides), .example = "[{subset: v1, weight: 90}, {subset: v2, weight: 10}]", .says = "where the requests go, by weight; left out: all endpoints of the service"},
	{.name = "stickyOn", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_sticky, MESH__AT(struct mesh__route, sticky), .says = "what keeps a caller on one side of the split"},
	{.name = "otherSubsets", .type = MESH__FIELD_BOOL, MESH__AT(struct mesh__route, other_subsets), .says = "where no endpoint of its side is healthy, the service's other subsets are called"},
	{.name = "mirror", .type = MESH__FIELD_MAP, .fields = &mirror_fields, MESH__AT(struct mesh__route, mirror), .says = "where copies go, whose answers nobody waits for"},
	{.name = "rewrite", .type = MESH__FIELD_MAP, .fields = &rewrite_fields, MESH__AT(struct mesh__route, rewrite), .says = "of the path, before it is sent"},
	{.name = "redirect", .type = MESH__FIELD_MAP, .fields = &redirect_fields, MESH__AT(struct mesh__route, redirect), .says = "the answer, instead of a request"},
	{.name = "directResponse", .type = MESH__FIELD_MAP, .fields = &direct_fields, MESH__AT(struct mesh__route, direct), .says = "the answer, instead of a request"},
	{.name = "headers", .type = MESH__FIELD_MAP, .fields = &headers_fields, MESH__ALL_OF(struct mesh__route), .says = "what is changed in them"},
	{.name = "fault", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_fault, MESH__AT(struct mesh__route, fault), .says = "what is injected, in each try"},
	{.name = "timeout", .type = MESH__FIELD_DURATION, .min = 1, .max = DAY_MS, MESH__AT(struct mesh__route, timeout_ms), .says = "of the whole call; left out: the service's"},
	{.name = "retries", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_retries, MESH__AT(struct mesh__route, retries), .says = "over the service's, field by field"},
	{.name = "hedging", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_hedging, MESH__AT(struct mesh__route, hedging), .says = "over the service's, field by field"},
};

/* Tells of each of `names` (NULL at the end) that the route says. */
static void refuse_beside(struct mesh__reading *r, const struct mesh__place *at, const char *what, const char *const *names)
{
	for (; *names != NULL; names++) {
		const struct mesh__node *said = mesh__node_get(at->node, *names);
		if (said != NULL) {
			struct mesh__place place = mesh__place_of_key(at, said);
			mesh__reading_fault(r, &place, "does nothing beside %s", what);
		}
	}
}

/* Its share would be the sum of the two, which neither line says; and a sticky key has one place for one destination. Names are compared as they are meant, not as they are written. */
static void refuse_side_twice(struct mesh__reading *r, const struct mesh__place *split, const struct mesh__route *route, const struct mesh__node *node, size_t i)
{
	const struct mesh__side *side = &route->sides[i];
	struct mesh__place item = mesh__place_of_item(split, node, i), place;
	const struct mesh__node *named;
	size_t k = 0;

	while (k < i && !(mesh__str_eq(side->subset, route->sides[k].subset) && mesh__str_eq(side->service, route->sides[k].service))) {
		k++;
	}
	if (k == i) {
		return;
	}
	named = mesh__node_get(node, side->subset != NULL ? "subset" : "service");
	if (named == NULL) {
		mesh__reading_fault(r, &item, "leads to all endpoints of the service, as split[%zu] does already", k);
	} else {
		place = mesh__place_of(&item, named);
		mesh__reading_fault(r, &place, "\"%.100s\" stands in split[%zu] already", named->text, k);
	}
}

static void refuse_without_split(struct mesh__reading *r, const struct mesh__place *at, const char *name)
{
	const struct mesh__node *said = mesh__node_get(at->node, name);

	if (said != NULL) {
		struct mesh__place place = mesh__place_of_key(at, said);
		mesh__reading_fault(r, &place, "does nothing without a split");
	}
}

static void check_split(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__route *route)
{
	const struct mesh__node *split = mesh__node_get(at->node, "split");
	struct mesh__place place;
	bool weighs = false;
	size_t i = 0;

	if (split == NULL) {
		refuse_without_split(r, at, "stickyOn");
		refuse_without_split(r, at, "otherSubsets");
		return;
	}
	place = mesh__place_of(at, split);
	for (const struct mesh__node *node = split->child; node != NULL; node = node->next, i++) {
		weighs |= route->sides[i].weight > 0;
		refuse_side_twice(r, &place, route, node, i);
	}
	if (!weighs) {
		mesh__reading_fault(r, &place, "all weights are 0; one at least has to be more");
	}
}

/* A prefix is put in the place of what matched: each way to match must be by one. */
static void check_prefix(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__route *route, const char *name, const char *prefix)
{
	bool all = route->n_matches > 0;

	for (size_t i = 0; i < route->n_matches; i++) {
		all &= route->matches[i].path.how == MESH__MATCH_PREFIX;
	}
	if (prefix != NULL && !all) {
		struct mesh__place edit = mesh__place_of(at, mesh__node_get(at->node, name)), place = mesh__place_of_key(&edit, mesh__node_get(edit.node, "prefix"));
		mesh__reading_fault(r, &place, "has nothing to stand in the place of unless every match has a path with a prefix");
	}
}

static void check_route(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	static const char *const beside_redirect[] = {"directResponse", "split", "stickyOn", "otherSubsets", "mirror", "rewrite", "fault", "timeout", "retries", "hedging", NULL};
	static const char *const beside_direct[] = {"split", "stickyOn", "otherSubsets", "mirror", "rewrite", "fault", "timeout", "retries", "hedging", NULL};
	const struct mesh__route *route = base;

	if (route->redirect.status != 0) {
		refuse_beside(r, at, "redirect", beside_redirect);
	} else if (route->direct.status != 0) {
		refuse_beside(r, at, "directResponse", beside_direct);
	} else {
		check_split(r, at, route);
	}
	check_prefix(r, at, route, "rewrite", route->rewrite.prefix);
	check_prefix(r, at, route, "redirect", route->redirect.to.prefix);
}

const struct mesh__fields mesh__fields_of_route = {MESH__RULES(route_rules), .check = check_route};

/* ---- What stands in other places of the document ---- */

/* The text of a member, or NULL where it is none; what is wrong with it has been told. */
static const char *text_of(const struct mesh__node *map, const char *name)
{
	const struct mesh__node *node = map->kind == MESH__NODE_MAP ? mesh__node_get(map, name) : NULL;

	return node != NULL && node->kind == MESH__NODE_SCALAR ? node->text : NULL;
}

static void check_subset(struct mesh__reading *r, const struct mesh__place *side, const struct mesh__node *subsets)
{
	const char *wanted = text_of(side->node, "subset"), *names[MESH__SUBSETS_MAX];
	struct mesh__place place;
	char hint[96];
	size_t n = 0;

	if (wanted == NULL) {
		return;
	}
	for (const struct mesh__node *s = subsets == NULL ? NULL : subsets->child; s != NULL && n < MESH__SUBSETS_MAX; s = s->next) {
		const char *name = text_of(s, "name");
		if (name != NULL && strcmp(name, wanted) == 0) {
			return;
		}
		if (name != NULL) {
			names[n++] = name;
		}
	}
	place = mesh__place_of(side, mesh__node_get(side->node, "subset"));
	mesh__suggest(wanted, names, n, hint);
	mesh__reading_fault(r, &place, "\"%.60s\" is no subset of the service: `subsets` does not define it%s", wanted, hint);
}

static void check_route_subsets(struct mesh__reading *r, const struct mesh__place *route, const struct mesh__node *subsets)
{
	const struct mesh__node *split = mesh__node_get(route->node, "split"), *mirror = mesh__node_get(route->node, "mirror");
	size_t i = 0;

	if (split != NULL && split->kind == MESH__NODE_LIST) {
		struct mesh__place list = mesh__place_of(route, split);
		for (const struct mesh__node *side = split->child; side != NULL; side = side->next) {
			struct mesh__place place = mesh__place_of_item(&list, side, i++);
			check_subset(r, &place, subsets);
		}
	}
	if (mirror != NULL) {
		struct mesh__place place = mesh__place_of(route, mirror);
		check_subset(r, &place, subsets);
	}
}

void mesh__check_subsets(struct mesh__reading *r, const struct mesh__place *document)
{
	const struct mesh__node *routes = mesh__node_get(document->node, "routes"), *subsets = mesh__node_get(document->node, "subsets");
	struct mesh__place list;
	size_t i = 0;

	if (routes == NULL || routes->kind != MESH__NODE_LIST) {
		return;
	}
	list = mesh__place_of(document, routes);
	for (const struct mesh__node *route = routes->child; route != NULL && !mesh__reading_full(r); route = route->next) {
		struct mesh__place place = mesh__place_of_item(&list, route, i++);
		if (route->kind == MESH__NODE_MAP) {
			check_route_subsets(r, &place, subsets);
		}
	}
}

/* The service's, and what the route says read over it once more: nothing is wrong with it. */
static void inherit(struct mesh__reading *r, const struct mesh__place *at, struct mesh__route *route, const struct mesh__service_policy *policy)
{
	const struct mesh__node *retries = mesh__node_get(at->node, "retries"), *hedging = mesh__node_get(at->node, "hedging");

	route->retries = policy->retries;
	if (retries != NULL) {
		struct mesh__place place = mesh__place_of(at, retries);
		mesh__read_fields(r, &place, &mesh__fields_of_retries, &route->retries);
	}
	route->hedging = policy->hedging;
	if (hedging != NULL) {
		struct mesh__place place = mesh__place_of(at, hedging);
		mesh__read_fields(r, &place, &mesh__fields_of_hedging, &route->hedging);
	}
}

void mesh__routes_inherit(struct mesh__reading *r, const struct mesh__place *document, struct mesh__service_policy *policy)
{
	const struct mesh__node *routes = mesh__node_get(document->node, "routes");
	struct mesh__route *route;
	size_t i = 0;

	memcpy(&route, &policy->routes, sizeof(route));
	for (const struct mesh__node *node = routes == NULL ? NULL : routes->child; node != NULL && i < policy->n_routes; node = node->next, i++) {
		struct mesh__place place = mesh__place_of_item(document, node, i);
		inherit(r, &place, &route[i], policy);
	}
}
