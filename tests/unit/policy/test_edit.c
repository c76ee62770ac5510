#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "policy/edit.h"

enum { ROOM = 64 };

static struct mesh__route_match match_of(enum mesh__match_how how, const char *text)
{
	return (struct mesh__route_match){.path = {.how = how, .text = text, .len = text != NULL ? strlen(text) : 0}};
}

static void a_prefix_is_replaced_on_segment_borders_and_the_query_stays(void **state)
{
	static const struct {
		const char *matched, *path, *query, *prefix, *target;
	} rows[] = {
		{"/v1", "/v1/pay", NULL, "/v2", "/v2/pay"},
		{"/v1", "/v1", NULL, "/v2", "/v2"},
		{"/v1", "/v1/", NULL, "/v2", "/v2/"},
		{"/v1", "/v1/pay", "a=/v1&b=2", "/v2", "/v2/pay?a=/v1&b=2"},
		{"/v1", "/v1/pay", "", "/v2", "/v2/pay?"},
		{"/v1", "/v1/pay", NULL, "/v2/", "/v2/pay"},
		{"/v1/", "/v1/pay", NULL, "/v2", "/v2/pay"},
		{"/v1/", "/v1/", NULL, "/v2/", "/v2/"},
		{"/v1", "/v1/pay", NULL, "/", "/pay"},
		{"/v1", "/v1", NULL, "/", "/"},
		{"/v1", "/v1", "q", "/", "/?q"},
		{"/", "/pay", NULL, "/v2", "/v2/pay"},
		{"/", "/", NULL, "/v2", "/v2/"},
		{"/", "/pay", NULL, "/", "/pay"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__route_match match = match_of(MESH__MATCH_PREFIX, rows[i].matched);
		struct mesh__edit_view view = {"payments", rows[i].path, rows[i].query, &match};
		struct mesh__rewrite rewrite = {.prefix = rows[i].prefix};
		char out[ROOM];

		assert_int_equal(mesh__edit_target(&rewrite, &view, out, sizeof(out)), strlen(rows[i].target));
		assert_string_equal(out, rows[i].target);
	}
}

static void a_whole_path_is_replaced_whatever_has_matched_and_a_prefix_only_where_one_has(void **state)
{
	static const enum mesh__match_how hows[] = {MESH__MATCH_ANY, MESH__MATCH_EXACT, MESH__MATCH_REGEX};
	static const struct mesh__rewrite path = {.path = "/new"}, prefix = {.prefix = "/new"}, none = {NULL, NULL};
	char out[ROOM];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(hows); i++) {
		struct mesh__route_match match = match_of(hows[i], "/old");
		struct mesh__edit_view view = {"payments", "/old", "q=1", &match};

		assert_int_equal(mesh__edit_target(&path, &view, out, sizeof(out)), 8);
		assert_string_equal(out, "/new?q=1");
		assert_int_equal(mesh__edit_target(&prefix, &view, out, sizeof(out)), 8);
		assert_string_equal(out, "/old?q=1");
		assert_int_equal(mesh__edit_target(&none, &view, out, sizeof(out)), 8);
		assert_string_equal(out, "/old?q=1");
	}
	assert_int_equal(mesh__edit_target(&path, &(struct mesh__edit_view){"payments", "/old", NULL, NULL}, out, sizeof(out)), 4);
	assert_string_equal(out, "/new");
}

static void a_location_is_absolute_where_it_says_a_host_or_a_scheme(void **state)
{
	static const struct {
		struct mesh__redirect redirect;
		const char *location;
	} rows[] = {
		{{.status = 302}, "/old/a?q=1"},
		{{.status = 302, .host = "shop.example"}, "https://shop.example/old/a?q=1"},
		{{.status = 302, .host = "shop.example:8443", .scheme = "http"}, "http://shop.example:8443/old/a?q=1"},
		{{.status = 302, .scheme = "http"}, "http://payments/old/a?q=1"},
		{{.status = 302, .to = {.path = "/new"}}, "/new?q=1"},
		{{.status = 302, .to = {.prefix = "/new"}}, "/new/a?q=1"},
		{{.status = 302, .host = "shop.example", .to = {.prefix = "/"}}, "https://shop.example/a?q=1"},
	};
	struct mesh__route_match match = match_of(MESH__MATCH_PREFIX, "/old");
	struct mesh__edit_view view = {"payments", "/old/a", "q=1", &match};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char out[ROOM];

		assert_int_equal(mesh__edit_location(&rows[i].redirect, &view, out, sizeof(out)), strlen(rows[i].location));
		assert_string_equal(out, rows[i].location);
	}
}

static void what_does_not_fit_is_nothing_and_writes_nothing_behind_its_room(void **state)
{
	static const struct mesh__rewrite rewrite = {.prefix = "/v2"};
	static const struct mesh__redirect redirect = {.status = 308, .scheme = "http", .host = "h", .to = {.prefix = "/v2"}};
	struct mesh__route_match match = match_of(MESH__MATCH_PREFIX, "/v1");
	struct mesh__edit_view view = {"payments", "/v1/pay", "q", &match};

	(void)state;
	for (size_t cap = 0; cap <= ROOM / 2; cap++) {
		char out[ROOM];

		memset(out, '#', sizeof(out));
		assert_int_equal(mesh__edit_target(&rewrite, &view, out, cap), cap > strlen("/v2/pay?q") ? strlen("/v2/pay?q") : 0);
		assert_int_equal(out[cap], '#');
		memset(out, '#', sizeof(out));
		assert_int_equal(mesh__edit_location(&redirect, &view, out, cap), cap > strlen("http://h/v2/pay?q") ? strlen("http://h/v2/pay?q") : 0);
		assert_int_equal(out[cap], '#');
	}
}

static void what_is_removed_or_set_is_taken_away_and_what_is_added_is_not(void **state)
{
	static const char *const removed[] = {"x-gone", "x-both"};
	static const struct mesh__header_value set[] = {{"x-set", "1"}}, added[] = {{"x-added", "1"}, {"x-both", "1"}};
	static const struct mesh__header_edits edits = {removed, MESH__COUNT(removed), set, MESH__COUNT(set), added, MESH__COUNT(added)}, none = {.n_add = 0};
	static const struct {
		const char *name;
		bool drops;
	} rows[] = {{"x-gone", true}, {"X-Gone", true}, {"x-set", true}, {"X-SET", true}, {"x-both", true}, {"x-added", false}, {"x-gon", false}, {"x-gone2", false}, {"", false}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__edit_drops(&edits, rows[i].name), rows[i].drops);
		assert_false(mesh__edit_drops(&none, rows[i].name));
	}
	assert_true(mesh__edit_is_none(&none));
	assert_false(mesh__edit_is_none(&edits));
	assert_false(mesh__edit_is_none(&(struct mesh__header_edits){.add = added, .n_add = 1}));
	assert_false(mesh__edit_is_none(&(struct mesh__header_edits){.set = set, .n_set = 1}));
	assert_false(mesh__edit_is_none(&(struct mesh__header_edits){.remove = removed, .n_remove = 1}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_is_replaced_on_segment_borders_and_the_query_stays),
		cmocka_unit_test(a_whole_path_is_replaced_whatever_has_matched_and_a_prefix_only_where_one_has),
		cmocka_unit_test(a_location_is_absolute_where_it_says_a_host_or_a_scheme),
		cmocka_unit_test(what_does_not_fit_is_nothing_and_writes_nothing_behind_its_room),
		cmocka_unit_test(what_is_removed_or_set_is_taken_away_and_what_is_added_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
