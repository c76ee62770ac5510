#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "policy/regex.h"
#include "policy/route.h"
#include "support/request_view.h"

static struct mesh__request_view view_of(const char *method, const char *path, const char *query, const char *const *fields)
{
	return (struct mesh__request_view){.method = method, .path = path, .query = query, .header = request_view_header, .ctx = fields, .service = "cart", .ns = "default", .labels = {.version = "v1", .zone = "a"}};
}

static struct mesh__matcher matcher(enum mesh__match_how how, const char *text)
{
	struct mesh__matcher m = {.how = how, .text = text, .len = text == NULL ? 0 : strlen(text)};
	struct mesh__regex *regex = NULL;
	struct mesh__err err;

	if (how == MESH__MATCH_REGEX && mesh__regex_new(mesh__mem_libc(), text, m.len, &regex, &err) != MESH_OK) {
		fail_msg("%s: %s", text, err.message);
	}
	m.regex = regex;
	return m;
}

static void matcher_done(struct mesh__matcher *m)
{
	mesh__regex_free((struct mesh__regex *)(uintptr_t)m->regex);
}

static void a_path_is_the_same_or_under_a_prefix_of_whole_segments_or_fits_a_pattern(void **state)
{
	static const struct {
		enum mesh__match_how how;
		const char *text, *path;
		bool holds;
	} rows[] = {
		{MESH__MATCH_ANY, NULL, "/a", true}, {MESH__MATCH_ANY, NULL, NULL, true},
		{MESH__MATCH_EXACT, "/pay", "/pay", true}, {MESH__MATCH_EXACT, "/pay", "/pay/", false}, {MESH__MATCH_EXACT, "/pay", "/Pay", false}, {MESH__MATCH_EXACT, "/pay", NULL, false},
		{MESH__MATCH_PREFIX, "/pay", "/pay", true}, {MESH__MATCH_PREFIX, "/pay", "/pay/", true}, {MESH__MATCH_PREFIX, "/pay", "/pay/now", true}, {MESH__MATCH_PREFIX, "/pay", "/payments", false},
		{MESH__MATCH_PREFIX, "/pay", "/pa", false}, {MESH__MATCH_PREFIX, "/pay", "/x/pay", false}, {MESH__MATCH_PREFIX, "/pay/", "/pay/now", true}, {MESH__MATCH_PREFIX, "/pay/", "/pay", false},
		{MESH__MATCH_PREFIX, "/", "/", true}, {MESH__MATCH_PREFIX, "/", "/a", true}, {MESH__MATCH_PREFIX, "/", NULL, false},
		{MESH__MATCH_REGEX, "/users/[0-9]+", "/users/17", true}, {MESH__MATCH_REGEX, "/users/[0-9]+", "/users/17/x", false}, {MESH__MATCH_REGEX, ".*", NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__matcher m = matcher(rows[i].how, rows[i].text);
		struct mesh__request_view view = view_of("GET", rows[i].path, "", NULL);
		if (mesh__match_path(&m, &view) != rows[i].holds) {
			fail_msg("row %zu: %s", i, rows[i].text);
		}
		matcher_done(&m);
	}
}

static void a_field_holds_by_one_of_its_values_and_absent_by_none(void **state)
{
	static const char *const none[] = {NULL}, *const once[] = {"x-a", "1", "x-b", "2", NULL}, *const twice[] = {"x-a", "0", "x-a", "1", NULL}, *const empty[] = {"x-a", "", NULL};
	static const struct {
		enum mesh__match_how how;
		const char *text;
		const char *const *fields;
		bool holds;
	} rows[] = {
		{MESH__MATCH_EXACT, "1", once, true}, {MESH__MATCH_EXACT, "1", twice, true}, {MESH__MATCH_EXACT, "1", none, false}, {MESH__MATCH_EXACT, "2", once, false}, {MESH__MATCH_EXACT, "", empty, true},
		{MESH__MATCH_EXACT, "11", once, false}, {MESH__MATCH_PREFIX, "", none, false}, {MESH__MATCH_PREFIX, "", once, true}, {MESH__MATCH_PREFIX, "12", once, false}, {MESH__MATCH_SUFFIX, "1", once, true},
		{MESH__MATCH_SUFFIX, "01", once, false}, {MESH__MATCH_REGEX, "[1-3]", once, true}, {MESH__MATCH_REGEX, "[1-3]", none, false},
		{MESH__MATCH_PRESENT, NULL, once, true}, {MESH__MATCH_PRESENT, NULL, empty, true}, {MESH__MATCH_PRESENT, NULL, none, false},
		{MESH__MATCH_ABSENT, NULL, once, false}, {MESH__MATCH_ABSENT, NULL, empty, false}, {MESH__MATCH_ABSENT, NULL, none, true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__named_match h = {.name = "x-a", .value = matcher(rows[i].how, rows[i].text)};
		struct mesh__request_view view = view_of("GET", "/", "", rows[i].fields);
		if (mesh__match_headers(&h, 1, MESH__ANY_VALUE, &view) != rows[i].holds) {
			fail_msg("row %zu", i);
		}
		matcher_done(&h.value);
	}
}

static void a_parameter_is_compared_decoded_name_and_value(void **state)
{
	static const struct {
		enum mesh__match_how how;
		const char *text, *query;
		bool holds;
	} rows[] = {
		{MESH__MATCH_EXACT, "a b", "q=a%20b", true}, {MESH__MATCH_EXACT, "a b", "q=a+b", true}, {MESH__MATCH_EXACT, "a", "%71=a", true}, {MESH__MATCH_EXACT, "a", "p=a&q=a", true}, {MESH__MATCH_EXACT, "a", "q=b&q=a", true},
		{MESH__MATCH_EXACT, "a", "", false}, {MESH__MATCH_EXACT, "a", "qq=a", false}, {MESH__MATCH_EXACT, "a", "p=q=a", false}, {MESH__MATCH_EXACT, "", "q", true}, {MESH__MATCH_EXACT, "", "q=", true},
		{MESH__MATCH_PRESENT, NULL, "p&q", true}, {MESH__MATCH_PRESENT, NULL, "q=%zz", false}, {MESH__MATCH_ABSENT, NULL, "p=1", true}, {MESH__MATCH_ABSENT, NULL, "q", false},
		{MESH__MATCH_REGEX, "[0-9]+", "q=17", true}, {MESH__MATCH_REGEX, "[0-9]+", "q=17x", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__named_match p = {.name = "q", .value = matcher(rows[i].how, rows[i].text)};
		struct mesh__request_view view = view_of("GET", "/", rows[i].query, NULL);
		if (mesh__match_query(&p, 1, &view) != rows[i].holds) {
			fail_msg("row %zu: %s", i, rows[i].query);
		}
		matcher_done(&p.value);
	}
}

static void a_source_holds_when_all_that_is_said_of_it_does(void **state)
{
	static const struct {
		struct mesh__source said;
		bool holds;
	} rows[] = {
		{{NULL, NULL, {NULL, NULL}}, true}, {{"cart", NULL, {NULL, NULL}}, true}, {{"cart", "default", {"v1", "a"}}, true}, {{"car", NULL, {NULL, NULL}}, false}, {{"cart", "other", {NULL, NULL}}, false},
		{{NULL, "default", {NULL, NULL}}, true}, {{NULL, NULL, {"v2", NULL}}, false}, {{NULL, NULL, {NULL, "b"}}, false},
	};
	struct mesh__request_view view = view_of("GET", "/", "", NULL), nobody = {.service = NULL};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__match_source(&rows[i].said, &view), rows[i].holds);
		assert_int_equal(mesh__match_source(&rows[i].said, &nobody), i == 0);
	}
}

/* POLICY.md's own example, and what it leaves open. */
static void the_first_route_of_which_an_alternative_holds_is_taken(void **state)
{
	static const char *const post_put[] = {"POST", "PUT"}, *const canary[] = {"x-canary", "1", NULL}, *const plain[] = {NULL};
	static const struct mesh__named_match header = {"x-canary", {.how = MESH__MATCH_EXACT, .text = "1", .len = 1}};
	static const struct mesh__route_match testers[] = {
		{.path = {.how = MESH__MATCH_PREFIX, .text = "/make-payment", .len = 13}, .methods = {post_put, 2}, .headers = &header, .n_headers = 1, .source = {.service = "cart"}},
		{.path = {.how = MESH__MATCH_EXACT, .text = "/canary", .len = 7}},
	};
	static const struct mesh__route routes[] = {{.name = "canary-testers", .matches = testers, .n_matches = 2}, {.name = "default"}, {.name = "never"}};
	static const struct {
		const char *method, *path;
		const char *const *fields;
		const char *route;
		int match; /* the alternative; -1: none */
	} rows[] = {
		{"POST", "/make-payment", canary, "canary-testers", 0}, {"PUT", "/make-payment/now", canary, "canary-testers", 0}, {"GET", "/make-payment", canary, "default", -1}, {"post", "/make-payment", canary, "default", -1},
		{"POST", "/make-payment", plain, "default", -1}, {"POST", "/make-payments", canary, "default", -1}, {"GET", "/canary", plain, "canary-testers", 1}, {"GET", NULL, canary, "default", -1},
	};
	const struct mesh__route_match *match;
	struct mesh__request_view view;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		view = view_of(rows[i].method, rows[i].path, "", rows[i].fields);
		assert_string_equal(mesh__route_find(routes, 3, &view, &match)->name, rows[i].route);
		assert_ptr_equal(match, rows[i].match < 0 ? NULL : &testers[rows[i].match]);
	}
	view = view_of("GET", "/", "", plain);
	assert_null(mesh__route_find(routes, 1, &view, &match));
	assert_null(mesh__route_find(routes, 0, &view, &match));
}

static void after_some_that_gave_up_no_other_pattern_is_tried(void **state)
{
	struct mesh__matcher slow = matcher(MESH__MATCH_REGEX, "(?:a|b)*c"), quick = matcher(MESH__MATCH_REGEX, ".*");
	char path[2000];
	struct mesh__request_view view = view_of("GET", path, "", NULL);

	(void)state;
	memset(path, 'a', sizeof(path)); /* it would match, were there room for so many steps */
	path[sizeof(path) - 2] = 'c';
	path[sizeof(path) - 1] = '\0';
	assert_true(mesh__match_path(&quick, &view));
	for (uint32_t i = 0; i < MESH__GIVE_UPS_MAX; i++) {
		assert_int_equal(view.gave_up, i);
		assert_false(mesh__match_path(&slow, &view));
	}
	assert_false(mesh__match_path(&quick, &view));
	assert_false(mesh__match_path(&slow, &view));
	assert_int_equal(view.gave_up, MESH__GIVE_UPS_MAX);
	matcher_done(&slow);
	matcher_done(&quick);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_the_same_or_under_a_prefix_of_whole_segments_or_fits_a_pattern),
		cmocka_unit_test(a_field_holds_by_one_of_its_values_and_absent_by_none),
		cmocka_unit_test(a_parameter_is_compared_decoded_name_and_value),
		cmocka_unit_test(a_source_holds_when_all_that_is_said_of_it_does),
		cmocka_unit_test(the_first_route_of_which_an_alternative_holds_is_taken),
		cmocka_unit_test(after_some_that_gave_up_no_other_pattern_is_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
