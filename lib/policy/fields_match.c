/* What a request is compared with: of routes, and of the rules of authorization. */
#include <string.h>

#include "policy/fields.h"
#include "policy/forms.h"
#include "policy/regex.h"

/* ---- Text ---- */

static void read_present(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	struct mesh__matcher *matcher = slot;
	bool present;

	if (mesh__read_bool(r, at, &present)) {
		matcher->how = present ? MESH__MATCH_PRESENT : MESH__MATCH_ABSENT;
	}
}

static void write_present(struct mesh__json_out *out, const char *name, const void *slot)
{
	const struct mesh__matcher *matcher = slot;

	mesh__json_put_bool(out, name, matcher->how == MESH__MATCH_PRESENT);
}

static const struct mesh__custom_field present = {read_present, write_present, "\"type\":\"boolean\""};

static void free_regex(void *regex)
{
	mesh__regex_free(regex);
}

static const struct mesh__regex *compile(struct mesh__reading *r, const struct mesh__place *at, const char *pattern)
{
	struct mesh__regex *regex = NULL;
	struct mesh__err err = MESH__NO_ERR;

	if (++r->n_regexes > MESH__REGEXES_MAX) {
		mesh__reading_fault(r, at, "is one too many: a document has at most %d regular expressions", MESH__REGEXES_MAX);
		return NULL;
	}
	if (mesh__regex_new(r->mem, pattern, strlen(pattern), &regex, &err) != MESH_OK) {
		r->no_memory |= err.code == MESH_E_NO_MEMORY;
		mesh__reading_fault(r, at, "%s", err.message);
		return NULL;
	}
	if (!mesh__arena_take(r->arena, regex, free_regex)) {
		r->no_memory = true;
		mesh__regex_free(regex);
		return NULL;
	}
	return regex;
}

/* Its text is there; the one member that is said tells how it is compared. */
static void finish_matcher(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	static const struct {
		const char *name;
		enum mesh__match_how how;
	} hows[] = {{"exact", MESH__MATCH_EXACT}, {"prefix", MESH__MATCH_PREFIX}, {"suffix", MESH__MATCH_SUFFIX}, {"regex", MESH__MATCH_REGEX}};
	const struct mesh__node *member = at->node->kind == MESH__NODE_SCALAR ? NULL : at->node->child;
	const char *said = member == NULL ? "exact" : member->key;
	struct mesh__matcher *matcher = base;

	for (size_t i = 0; matcher->text != NULL && i < MESH__COUNT(hows); i++) {
		if (strcmp(said, hows[i].name) == 0) {
			matcher->how = hows[i].how;
			matcher->len = strlen(matcher->text);
		}
	}
	if (matcher->how == MESH__MATCH_REGEX) {
		struct mesh__place place = mesh__place_of(at, member);
		matcher->regex = compile(r, &place, matcher->text);
	}
}

#define EXACT(of) {.name = "exact", .type = MESH__FIELD_TEXT, .form = of, MESH__AT(struct mesh__matcher, text), .says = "equal to it"}
#define PREFIX(of, what) {.name = "prefix", .type = MESH__FIELD_TEXT, .form = of, MESH__AT(struct mesh__matcher, text), .says = what}
#define REGEX {.name = "regex", .type = MESH__FIELD_TEXT, .form = &mesh__form_pattern, MESH__AT(struct mesh__matcher, text), .says = "the whole of it matches the regular expression (PCRE2)"}
#define ON_BORDERS "begins with it, up to the border of a segment"

static const struct mesh__field_rule path_rules[] = {EXACT(&mesh__form_path), PREFIX(&mesh__form_path, ON_BORDERS), REGEX};
static const struct mesh__field_rule plain_path_rules[] = {EXACT(&mesh__form_path), PREFIX(&mesh__form_path, ON_BORDERS)};
static const struct mesh__field_rule text_rules[] = {
	EXACT(&mesh__form_value),
	PREFIX(&mesh__form_value, "begins with it"),
	{.name = "suffix", .type = MESH__FIELD_TEXT, .form = &mesh__form_value, MESH__AT(struct mesh__matcher, text), .says = "ends with it"},
	{.name = "present", .type = MESH__FIELD_CUSTOM, .custom = &present, MESH__ALL_OF(struct mesh__matcher), .says = "true: there, whatever its value; false: not there"},
};
static const struct mesh__field_rule regex_rules[] = {REGEX};
/* A pattern that is not decided in time holds for nothing, which whoever sends the text brings about: a rule that denies must not go by one. */
static const struct mesh__field_rule no_regex_rules[] = {
	{.name = "regex", .type = MESH__FIELD_ELSEWHERE, .says = "is for routes: who may call is compared exactly, or by prefix or suffix"},
};
static const struct mesh__fields regex_too = {MESH__RULES(regex_rules)}, no_regex = {MESH__RULES(no_regex_rules)};

const struct mesh__fields mesh__fields_of_path_match = {MESH__RULES(path_rules), .one_of = true, .scalar = "exact", .check = finish_matcher};
const struct mesh__fields mesh__fields_of_plain_path_match = {MESH__RULES(plain_path_rules), .one_of = true, .scalar = "exact", .check = finish_matcher};
static const struct mesh__fields text_match = {MESH__RULES(text_rules), .more = &regex_too, .one_of = true, .scalar = "exact", .check = finish_matcher};

static const struct mesh__fields plain_text_match = {MESH__RULES(text_rules), .more = &no_regex, .one_of = true, .scalar = "exact", .check = finish_matcher};

const struct mesh__field_rule mesh__plain_named_match_item = {.type = MESH__FIELD_MAP, .fields = &plain_text_match, MESH__AT(struct mesh__named_match, value)};
const struct mesh__field_rule mesh__named_match_item = {.type = MESH__FIELD_MAP, .fields = &text_match, MESH__AT(struct mesh__named_match, value)};

const struct mesh__field_rule mesh__method_item = {.type = MESH__FIELD_TEXT, .form = &mesh__form_method, .size = sizeof(const char *)};

/* ---- Who calls ---- */

static const struct mesh__field_rule label_rules[] = {
	{.name = "version", .type = MESH__FIELD_TEXT, .form = &mesh__form_tag, MESH__AT(struct mesh__labels, version), .says = "the instance's MESH_VERSION"},
	{.name = "zone", .type = MESH__FIELD_TEXT, .form = &mesh__form_tag, MESH__AT(struct mesh__labels, zone), .says = "the instance's MESH_ZONE"},
};

const struct mesh__fields mesh__fields_of_labels = {MESH__RULES(label_rules), .unknown = "labels other than version and zone are not in force yet"};

/* A service alone is one of the document's own namespace: any other is somebody else's. */
static void finish_source(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__source *source = base;

	if (at->node->child == NULL) {
		mesh__reading_fault(r, at, "says nothing; name a service, a namespace or labels");
	} else if (source->service != NULL && source->ns == NULL) {
		source->ns = mesh__arena_strdup(r->arena, r->ns);
		r->no_memory |= source->ns == NULL;
	}
}

static const struct mesh__field_rule caller_rules[] = {
	{.name = "service", .type = MESH__FIELD_TEXT, .form = &mesh__form_label, MESH__AT(struct mesh__source, service), .says = "the calling service"},
	{.name = "namespace", .type = MESH__FIELD_TEXT, .form = &mesh__form_label, MESH__AT(struct mesh__source, ns), .says = "its namespace; of a service without one: the document's own"},
};

static const struct mesh__field_rule source_labels[] = {
	{.name = "labels", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_labels, MESH__AT(struct mesh__source, labels), .says = "of the calling instance"},
};

static const struct mesh__field_rule caller_labels[] = {
	{.name = "labels", .type = MESH__FIELD_ELSEWHERE, .says = "are for routes: a certificate proves service and namespace, and nothing else"},
};

static const struct mesh__fields of_source_labels = {MESH__RULES(source_labels)};
static const struct mesh__fields of_caller_labels = {MESH__RULES(caller_labels)};

const struct mesh__fields mesh__fields_of_source = {MESH__RULES(caller_rules), .more = &of_source_labels, .check = finish_source};
const struct mesh__fields mesh__fields_of_caller = {MESH__RULES(caller_rules), .more = &of_caller_labels, .check = finish_source};

/* ---- What calls are told apart by ---- */

static void read_by_source(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	struct mesh__sticky *sticky = slot;
	bool value;

	if (mesh__read_bool(r, at, &value) && !value) {
		mesh__reading_fault(r, at, "may be true alone; leave it out");
	} else if (sticky != NULL) {
		sticky->on = MESH__STICKY_SOURCE;
	}
}

static void write_by_source(struct mesh__json_out *out, const char *name, const void *slot)
{
	if (((const struct mesh__sticky *)slot)->on == MESH__STICKY_SOURCE) {
		mesh__json_put_bool(out, name, true);
	}
}

static const struct mesh__custom_field by_source = {read_by_source, write_by_source, "\"const\":true"};

static void finish_sticky(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__sticky *sticky = base;
	const char *said = at->node->child->key;

	(void)r;
	if (sticky != NULL && sticky->on == MESH__STICKY_NONE) {
		sticky->on = strcmp(said, "header") == 0 ? MESH__STICKY_HEADER : strcmp(said, "cookie") == 0 ? MESH__STICKY_COOKIE : MESH__STICKY_QUERY;
	}
}

static const struct mesh__field_rule sticky_rules[] = {
	{.name = "header", .type = MESH__FIELD_TEXT, .form = &mesh__form_header, MESH__AT(struct mesh__sticky, name), .says = "by the value of a header"},
	{.name = "cookie", .type = MESH__FIELD_TEXT, .form = &mesh__form_token, MESH__AT(struct mesh__sticky, name), .says = "by the value of a cookie"},
	{.name = "query", .type = MESH__FIELD_TEXT, .form = &mesh__form_parameter, MESH__AT(struct mesh__sticky, name), .says = "by the value of a parameter of the query"},
	{.name = "source", .type = MESH__FIELD_CUSTOM, .custom = &by_source, MESH__ALL_OF(struct mesh__sticky), .says = "true: by the calling instance"},
};

const struct mesh__fields mesh__fields_of_sticky = {MESH__RULES(sticky_rules), .one_of = true, .check = finish_sticky};
