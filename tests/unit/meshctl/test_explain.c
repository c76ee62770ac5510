#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "meshctl/explain.h"
#include "support/alloc_fail.h"

enum { TEXT_MAX = 1 << 20 };

#define HEAD "apiVersion: mesh/v1\nkind: Service\n"

static const char documents[] =
	HEAD "name: payments\n"
	"timeout: 5s\n"
	"retries: {attempts: 1}\n"
	"subsets:\n"
	"- {name: v1, labels: {version: v1}}\n"
	"- {name: v2, labels: {version: v2}}\n"
	"routes:\n"
	"- name: away\n" /* line 10 */
	"  match: [{path: {prefix: /away}}]\n"
	"  redirect: {host: example.org, prefix: /}\n"
	"- name: edited\n"
	"  match: [{path: /edited, methods: [POST]}, {headers: {x-edit: {present: true}}}]\n"
	"  rewrite: {path: /private}\n"
	"  headers: {request: {set: {x-set: one}, add: {x-set: two}, remove: [x-gone]}}\n"
	"  retries: {backoff: {base: 5ms}}\n"
	"- name: by-user\n"
	"  match: [{path: /user}]\n"
	"  split: [{subset: v1, weight: 1}, {subset: v2, weight: 1}]\n" /* line 20 */
	"  stickyOn: {header: x-user}\n"
	"- name: thirds\n"
	"  match: [{path: /thirds}]\n"
	"  split: [{subset: v1, weight: 2}, {service: other, weight: 1}]\n"
	"  timeout: 500ms\n"
	"authorization:\n"
	"  rules:\n"
	"  - {name: private, action: deny, paths: [/private], headers: {x-set: {exact: two}}}\n"
	"---\n" HEAD "name: other\n"
	"authorization: {default: deny}\n"
	"---\n"
	"apiVersion: mesh/v1\nkind: Endpoints\nname: payments\n"
	"endpoints: [{address: '10.0.0.1:1', labels: {version: v1}}, {address: '10.0.0.2:1', zone: a, labels: {version: v2}}]\n"
	"---\n"
	"apiVersion: mesh/v1\nkind: Endpoints\nname: other\n"
	"endpoints: [{address: '10.0.0.3:1'}]\n"
	"---\n"
	"apiVersion: mesh/v1\nkind: Namespace\nname: default\n"
	"retries:\n"
	"  attempts: 7\n"
	"  perTryTimeout: 3s\n";

static const struct mesh__header_value edit = {"X-Edit", "1"}, gone = {"X-Gone", "1"};

/* One explanation, and all that it stands on. */
struct stage {
	const struct mesh__mem *mem;
	struct mesh__arena *arena;
	const struct ctl_source *sources;
	const char *reports; /* of payments, in JSON; NULL: none */
	struct ctl_ask ask;
	struct ctl_explanation x;
};

static const struct ctl_ground *ground_of(void *ctx, const char *key)
{
	struct stage *s = ctx;
	struct ctl_ground *g = mesh__arena_alloc(s->arena, 1, sizeof(*g));
	bool made = g != NULL && mesh__service_parse(key, "default", &g->name, NULL) == MESH_OK;

	for (size_t i = 0; made && i < MESH__LAYERS; i++) {
		g->sources[i] = ctl_source_find(s->sources, ctl_layer_kind((enum mesh__layer)i), &g->name);
	}
	if (made) {
		(void)snprintf(g->key, sizeof(g->key), "%s", key);
		made = ctl_ground_merge(s->arena, s->mem, g, NULL) == MESH_OK && ctl_ground_endpoints(s->arena, g, NULL, ctl_source_find(s->sources, MESH__KIND_ENDPOINTS, &g->name), NULL) == MESH_OK;
	}
	if (made && s->reports != NULL && strcmp(key, "payments.default") == 0) {
		struct mesh__json *reports = NULL;
		assert_int_equal(mesh__json_parse(s->mem, s->reports, strlen(s->reports), TEXT_MAX, &reports, NULL), MESH_OK);
		ctl_ground_reports(g, reports, &s->ask.from);
		mesh__json_free(reports);
	}
	return made ? g : NULL;
}

/* Of the `documents`, asked from zone a, with what callers report. False when out of memory. */
static bool explain_of(struct stage *s, const struct mesh__mem *mem, const char *text_of, const char *reports, const char *method, const char *target, const struct mesh__header_value *header)
{
	struct mesh__buf text;
	const struct ctl_ground *asked = NULL;
	bool made;

	memset(s, 0, sizeof(*s));
	s->mem = mem;
	s->arena = mesh__arena_new(mem);
	s->reports = reports;
	s->ask = (struct ctl_ask){.from = {.service = "cart", .ns = "default"}, .to = {.service = "payments", .ns = "default"}, .method = method, .target = target, .labels = {.zone = "a"}};
	if (header != NULL) {
		s->ask.headers.list[s->ask.headers.n++] = *header;
		s->ask.headers.list[s->ask.headers.n++] = gone;
	}
	mesh__buf_init(&text, mem, TEXT_MAX);
	mesh__buf_str(&text, text_of);
	made = s->arena != NULL && text.error == MESH_OK && ctl_sources_of_file(s->arena, mem, "f.yaml", &text, "default", &s->sources, NULL, NULL) == MESH_OK;
	if (made) {
		asked = ground_of(s, "payments.default");
		made = asked != NULL && ctl_explain(&s->ask, asked, "mesh.local", ground_of, s, &s->x);
	}
	mesh__buf_fini(&text);
	return made;
}

static bool explain(struct stage *s, const struct mesh__mem *mem, const char *method, const char *target, const struct mesh__header_value *header)
{
	return explain_of(s, mem, documents, NULL, method, target, header);
}

static void done(struct stage *s)
{
	mesh__arena_unref(s->arena);
}

static void the_route_the_side_and_the_server_decide(void **state)
{
	static const struct {
		const char *method, *target;
		const struct mesh__header_value *header;
		const char *route; /* NULL: none */
		size_t match;
		enum ctl_outcome outcome;
		const char *rule;
		double first, second; /* shares */
		const char *sent;
	} rows[] = {
		{"GET", "/", NULL, NULL, 0, CTL_OUTCOME_ALLOWED, NULL, 100, 0, "/"},
		{"GET", "/edited", NULL, NULL, 0, CTL_OUTCOME_ALLOWED, NULL, 100, 0, "/edited"},
		{"POST", "//%65dited?a=b", NULL, "edited", 0, CTL_OUTCOME_DENIED, "private", 100, 0, "/private?a=b"},
		{"GET", "/x", &edit, "edited", 1, CTL_OUTCOME_DENIED, "private", 100, 0, "/private"},
		{"GET", "/private", NULL, NULL, 0, CTL_OUTCOME_ALLOWED, NULL, 100, 0, "/private"},
		{"GET", "/user", NULL, "by-user", 0, CTL_OUTCOME_ALLOWED, NULL, 50, 50, "/user"},
		{"GET", "/thirds", NULL, "thirds", 0, CTL_OUTCOME_DEPENDS, NULL, 200.0 / 3, 100.0 / 3, "/thirds"},
		{"GET", "/a%2fb", NULL, NULL, 0, CTL_OUTCOME_BAD_PATH, NULL, 100, 0, "/a%2fb"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct stage s;
		assert_true(explain(&s, mesh__mem_libc(), rows[i].method, rows[i].target, rows[i].header));
		assert_string_equal(s.x.route == NULL ? "-" : s.x.route->name, rows[i].route == NULL ? "-" : rows[i].route);
		assert_int_equal(s.x.match == NULL ? 0 : s.x.match - s.x.route->matches, rows[i].match);
		assert_int_equal(s.x.outcome, rows[i].outcome);
		assert_string_equal(s.x.ways[0].authz.rule == NULL ? "-" : s.x.ways[0].authz.rule, rows[i].rule == NULL ? "-" : rows[i].rule);
		assert_float_equal(s.x.ways[0].share, rows[i].first, 1e-9);
		assert_float_equal(s.x.n_ways > 1 ? s.x.ways[1].share : 0, rows[i].second, 1e-9);
		assert_string_equal(s.x.sent, rows[i].sent);
		done(&s);
	}
}

static void the_server_sees_the_fields_as_the_route_has_edited_them(void **state)
{
	static const char *const expected[] = {"X-Edit: 1", "x-set: one", "x-set: two"};
	struct stage s;

	(void)state;
	assert_true(explain(&s, mesh__mem_libc(), "GET", "/", &edit));
	assert_int_equal(s.x.headers.n, MESH__COUNT(expected));
	for (size_t i = 0; i < s.x.headers.n; i++) {
		char text[64];
		(void)snprintf(text, sizeof(text), "%s: %s", s.x.headers.list[i].name, s.x.headers.list[i].value);
		assert_string_equal(text, expected[i]);
	}
	done(&s);
}

static void a_redirect_ends_the_call_and_says_where(void **state)
{
	struct stage s;

	(void)state;
	assert_true(explain(&s, mesh__mem_libc(), "GET", "/away/x?y", NULL));
	assert_int_equal(s.x.outcome, CTL_OUTCOME_REDIRECT);
	assert_int_equal(s.x.n_ways, 0);
	assert_string_equal(s.x.location, "https://example.org/x?y");
	done(&s);
}

static void a_key_chooses_one_side(void **state)
{
	static const struct mesh__header_value users[] = {{"x-user", "alice"}, {"x-user", "anna"}, {"x-user", "dave"}, {"x-user", "eve"}};
	size_t of_first = 0;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(users); i++) {
		struct stage s;
		assert_true(explain(&s, mesh__mem_libc(), "GET", "/user", &users[i]));
		assert_true(s.x.by_key);
		assert_float_equal(s.x.ways[0].share + s.x.ways[1].share, 100, 0);
		assert_true(s.x.ways[0].share == 0 || s.x.ways[1].share == 0);
		of_first += s.x.ways[0].share > 0;
		done(&s);
	}
	assert_in_range(of_first, 1, MESH__COUNT(users) - 1);
}

static void why_a_route_is_passed_over_is_the_condition_of_its_nearest_alternative(void **state)
{
	static const struct {
		const char *method, *target, *why[4];
	} rows[] = {
		{"GET", "/nothing", {"path", "header x-edit", "path", "path"}},
		{"POST", "/nothing", {"path", "header x-edit", "path", "path"}},
		{"GET", "/a%2fb", {"path", "header x-edit", "path", "path"}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct stage s;
		assert_true(explain(&s, mesh__mem_libc(), rows[i].method, rows[i].target, NULL));
		for (size_t k = 0; k < s.x.asked->policy->n_routes; k++) {
			char why[CTL_WHY_TEXT];
			ctl_explain_why_not(&s.ask, &s.x.asked->policy->routes[k], why);
			assert_string_equal(why, rows[i].why[k]);
		}
		done(&s);
	}
}

static void the_deadline_is_the_routes_the_services_or_the_callers(void **state)
{
	static const struct {
		const char *target;
		int64_t caller_ms, deadline_ms;
		bool callers;
	} rows[] = {{"/", 0, 5000, false}, {"/", 9000, 5000, false}, {"/", 100, 100, true}, {"/thirds", 0, 500, false}, {"/thirds", 1000, 500, false}, {"/thirds", 499, 499, true}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *whose;
		struct stage s;
		assert_true(explain(&s, mesh__mem_libc(), "GET", rows[i].target, NULL));
		s.ask.timeout_ms = rows[i].caller_ms;
		assert_int_equal(ctl_explain_deadline(&s.x, &whose), rows[i].deadline_ms);
		assert_int_equal(whose == NULL, rows[i].callers);
		done(&s);
	}
}

static void note(void *ctx, const struct ctl_setting_row *row)
{
	char where[CTL_ORIGIN_TEXT];

	ctl_origin_format(&row->origin, where);
	mesh__buf_printf(ctx, "%s %s %s\n", row->path, row->value, where);
}

static void each_setting_is_told_with_the_line_that_says_it(void **state)
{
	static const struct {
		const char *target, *told;
	} rows[] = {
		{"/", "timeout \"5s\" f.yaml:4\n"},
		{"/", "retries.attempts 1 f.yaml:5\n"},
		{"/", "retries.perTryTimeout \"3s\" f.yaml:50\n"},
		{"/", "retries.backoff.max \"250ms\" built in\n"},
		{"/thirds", "timeout \"500ms\" f.yaml:25\n"},
		{"/user", "routes[2].stickyOn {\"header\":\"x-user\"} f.yaml:21\n"},
		{"/away", "routes[0].redirect {\"host\":\"example.org\",\"prefix\":\"/\"} f.yaml:12\n"},
	};
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), TEXT_MAX);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct stage s;
		assert_true(explain(&s, mesh__mem_libc(), "GET", rows[i].target, NULL));
		mesh__buf_clear(&out);
		assert_true(ctl_explain_settings(&s.x, s.x.asked, CTL_OF_CALL, mesh__mem_libc(), note, &out));
		if (strstr(out.data, rows[i].told) == NULL) {
			fail_msg("%s: no %s in\n%s", rows[i].target, rows[i].told, out.data);
		}
		done(&s);
	}
	mesh__buf_fini(&out);
}

static void a_field_of_a_route_stands_over_its_services_but_for_the_window_of_the_budget(void **state)
{
	struct mesh__buf out;
	struct stage s;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), TEXT_MAX);
	assert_true(explain(&s, mesh__mem_libc(), "GET", "/", &edit));
	assert_true(ctl_explain_settings(&s.x, s.x.asked, CTL_OF_CALL, mesh__mem_libc(), note, &out));
	assert_non_null(strstr(out.data, "retries.backoff.base \"5ms\" f.yaml:17\n"));
	assert_null(strstr(out.data, "budget.window"));
	mesh__buf_clear(&out);
	assert_true(ctl_explain_settings(&s.x, s.x.asked, CTL_OF_WAY, mesh__mem_libc(), note, &out));
	assert_non_null(strstr(out.data, "retries.budget.window \"10s\" built in\n"));
	done(&s);
	mesh__buf_fini(&out);
}

static void the_rule_that_decides_is_told_with_its_line(void **state)
{
	struct ctl_origin origin;
	struct stage s;

	(void)state;
	assert_true(explain(&s, mesh__mem_libc(), "GET", "/x", &edit));
	origin = ctl_way_authorization(&s.x.ways[0]);
	assert_int_equal(origin.line, 28);
	done(&s);
	assert_true(explain(&s, mesh__mem_libc(), "GET", "/thirds", NULL));
	assert_int_equal(s.x.ways[1].outcome, CTL_OUTCOME_DENIED);
	origin = ctl_way_authorization(&s.x.ways[1]);
	assert_int_equal(origin.line, 33);
	done(&s);
}

/* ---- Who is called, and who takes over ---- */

#define FOUR HEAD "name: payments\n%s---\napiVersion: mesh/v1\nkind: Endpoints\nname: payments\n"                                                             \
	"endpoints: [{address: '10.0.0.1:1', zone: a}, {address: '10.0.0.2:1', zone: a}, {address: '10.0.0.3:1', zone: b}, {address: '10.0.0.4:1', zone: b}]\n"          \
	"---\napiVersion: mesh/v1\nkind: Endpoints\nname: standby\nendpoints: [{address: '10.0.0.5:1'}]\n"
#define REPORT(of, a, b, c, d)                                                                                                                                      \
	"{\"spiffeId\":\"spiffe://mesh.local/ns/default/svc/" of "\",\"endpoints\":[{\"instance\":\"10.0.0.1:1\",\"ejected\":" a ",\"failedCheck\":false,\"costMs\":1.5},"        \
	"{\"instance\":\"10.0.0.2:1\",\"ejected\":false,\"failedCheck\":" b "},{\"instance\":\"10.0.0.3:1\",\"ejected\":" c ",\"failedCheck\":" c "},{\"instance\":\"10.0.0.4:1\",\"ejected\":" d ",\"failedCheck\":false}]}"

static void health_as_the_callers_report_it_decides_as_in_the_library(void **state)
{
	static const struct {
		const char *fields, *reports;
		bool failover, panic;
		uint32_t near;
		enum ctl_outcome outcome;
	} rows[] = {
		{"", "[]", false, false, 100, CTL_OUTCOME_ALLOWED},
		{"loadBalancer: {zoneAware: false}\n", "[]", false, false, 0, CTL_OUTCOME_ALLOWED},
		{"", "[" REPORT("cart", "true", "false", "false", "false") "]", false, false, 70, CTL_OUTCOME_ALLOWED},
		{"", "[" REPORT("web", "true", "true", "true", "true") "]", false, false, 100, CTL_OUTCOME_ALLOWED}, /* another's */
		{"", "[" REPORT("cart", "true", "true", "true", "true") "," REPORT("cart", "false", "true", "true", "true") "]", false, true, 35 * 2, CTL_OUTCOME_ALLOWED},
		{"", "[" REPORT("cart", "true", "true", "true", "true") "]", false, true, 0, CTL_OUTCOME_ALLOWED},
		{"loadBalancer: {panicThreshold: 0}\n", "[" REPORT("cart", "true", "true", "true", "true") "]", false, false, 0, CTL_OUTCOME_NO_ENDPOINT},
		{"failover: [{service: nobody}, {service: standby}]\n", "[" REPORT("cart", "true", "true", "true", "true") "]", true, false, 0, CTL_OUTCOME_ALLOWED},
		{"failover: [{service: standby}]\n", "[" REPORT("cart", "true", "true", "true", "false") "]", false, false, 0, CTL_OUTCOME_ALLOWED},
		{"failover: [{service: nobody}]\n", "[" REPORT("cart", "true", "true", "true", "true") "]", false, true, 0, CTL_OUTCOME_ALLOWED},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[2048];
		struct stage s;
		(void)snprintf(text, sizeof(text), FOUR, rows[i].fields);
		assert_true(explain_of(&s, mesh__mem_libc(), text, rows[i].reports, "GET", "/", NULL));
		if (s.x.ways[0].failover != rows[i].failover || s.x.ways[0].panic != rows[i].panic || (!rows[i].panic && s.x.ways[0].near_share != rows[i].near) || s.x.outcome != rows[i].outcome) {
			fail_msg("row %zu: failover %d panic %d near %u outcome %s", i, s.x.ways[0].failover, s.x.ways[0].panic, s.x.ways[0].near_share, ctl_outcome_name(s.x.outcome));
		}
		assert_string_equal(s.x.ways[0].place.to->key, rows[i].failover ? "standby.default" : "payments.default");
		done(&s);
	}
}

/* Nobody is at home, and where it goes instead so few are healthy that health is looked at no longer. */
static void who_takes_over_may_be_called_whatever_its_health(void **state)
{
	static const char fields[] = "subsets: [{name: gone, labels: {version: v9}}, {name: near, labels: {zone: a}}]\nroutes: [{name: all, split: [{subset: gone, weight: 1}], otherSubsets: true}]\nloadBalancer: {panicThreshold: 60}\n";
	static const struct {
		const char *reports;
		bool panic;
	} rows[] = {
		{"[" REPORT("cart", "true", "true", "true", "true") "]", true},
		{"[" REPORT("cart", "true", "false", "true", "true") "]", true},
		{"[]", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[2048];
		struct stage s;
		(void)snprintf(text, sizeof(text), FOUR, fields);
		assert_true(explain_of(&s, mesh__mem_libc(), text, rows[i].reports, "GET", "/", NULL));
		if (s.x.outcome != CTL_OUTCOME_ALLOWED || !s.x.ways[0].failover || s.x.ways[0].panic != rows[i].panic) {
			fail_msg("row %zu: failover %d panic %d outcome %s", i, s.x.ways[0].failover, s.x.ways[0].panic, ctl_outcome_name(s.x.outcome));
		}
		assert_string_equal(s.x.ways[0].place.subset, "near");
		done(&s);
	}
}

static void what_the_callers_processes_report_is_added_up(void **state)
{
	const struct ctl_endpoint *e;
	char text[2048];
	struct stage s;

	(void)state;
	(void)snprintf(text, sizeof(text), FOUR, "");
	assert_true(explain_of(&s, mesh__mem_libc(), text, "[" REPORT("cart", "true", "false", "true", "false") "," REPORT("cart", "false", "true", "true", "false") "]", "GET", "/", NULL));
	e = s.x.asked->endpoints;
	assert_int_equal(e[0].callers, 2);
	assert_int_equal(e[0].ejected_by, 1);
	assert_int_equal(e[0].costed, 2);
	assert_float_equal(e[0].cost_least_ms, 1.5, 0);
	assert_int_equal(e[1].failed_check_of, 1);
	assert_int_equal(e[1].costed, 0);
	assert_int_equal(e[2].unhealthy_of, 2);
	assert_int_equal(e[3].unhealthy_of, 0);
	done(&s);
}

static void without_memory_nothing_is_explained_and_nothing_leaks(void **state)
{
	struct fail_mem f;

	(void)state;
	for (long n = 1, over = 0; !over; n++) {
		struct stage s;
		bool made;
		fail_mem_init(&f);
		f.fail_at = n;
		made = explain(&s, &f.mem, "GET", "/thirds", NULL);
		over = f.count < n;
		assert_int_equal(made, over);
		done(&s);
		assert_int_equal(f.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_route_the_side_and_the_server_decide),
		cmocka_unit_test(the_server_sees_the_fields_as_the_route_has_edited_them),
		cmocka_unit_test(a_redirect_ends_the_call_and_says_where),
		cmocka_unit_test(a_key_chooses_one_side),
		cmocka_unit_test(why_a_route_is_passed_over_is_the_condition_of_its_nearest_alternative),
		cmocka_unit_test(the_deadline_is_the_routes_the_services_or_the_callers),
		cmocka_unit_test(each_setting_is_told_with_the_line_that_says_it),
		cmocka_unit_test(a_field_of_a_route_stands_over_its_services_but_for_the_window_of_the_budget),
		cmocka_unit_test(the_rule_that_decides_is_told_with_its_line),
		cmocka_unit_test(health_as_the_callers_report_it_decides_as_in_the_library),
		cmocka_unit_test(who_takes_over_may_be_called_whatever_its_health),
		cmocka_unit_test(what_the_callers_processes_report_is_added_up),
		cmocka_unit_test(without_memory_nothing_is_explained_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
