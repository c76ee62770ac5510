#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/attr.h"
#include "policy/fault.h"
#include "support/request_view.h"

enum { PERCENT = MESH__WHOLE / 100, LAST = MESH__WHOLE - 1 };

static const struct mesh__fault both = {.delay = {.share = 5 * PERCENT, .duration_ms = 200}, .abort = {.share = 3 * PERCENT / 2, .status = 503}};
static const struct mesh__fault always = {.delay = {.share = MESH__WHOLE, .duration_ms = 1}, .abort = {.share = MESH__WHOLE, .reset = true}};
static const struct mesh__fault never = {.delay = {.share = 0, .duration_ms = 1}, .abort = {.share = 0, .reset = true}};
static const struct mesh__fault least = {.delay = {.share = 1, .duration_ms = 3}, .abort = {.share = 1, .slow_body = true}};
static const struct mesh__fault of_grpc = {.abort = {.share = MESH__WHOLE, .grpc_status = 14}};

static void delay_and_abort_are_drawn_independently_and_to_a_millionth(void **state)
{
	static const struct {
		const struct mesh__fault *fault;
		uint64_t delay_dice, abort_dice;
		bool is_grpc;
		int64_t delay_ms;
		bool abort;
	} rows[] = {
		{&both, 0, 0, false, 200, true},
		{&both, 5 * PERCENT - 1, 3 * PERCENT / 2 - 1, false, 200, true},
		{&both, 5 * PERCENT, 3 * PERCENT / 2 - 1, false, 0, true},
		{&both, 5 * PERCENT - 1, 3 * PERCENT / 2, false, 200, false},
		{&both, LAST, LAST, false, 0, false},
		{&both, 0, 0, true, 200, true},
		{&always, LAST, LAST, false, 1, true},
		{&never, 0, 0, false, 0, false},
		{&least, 0, 0, false, 3, true},
		{&least, 1, 1, false, 0, false},
		{&of_grpc, 0, 0, true, 0, true},
		{&of_grpc, 0, 0, false, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__fault_verdict verdict = mesh__fault_decide(rows[i].fault, rows[i].is_grpc, rows[i].delay_dice, rows[i].abort_dice);

		assert_int_equal(verdict.delay_ms, rows[i].delay_ms);
		assert_int_equal(verdict.abort, rows[i].abort);
	}
}

/* ---- Whose ---- */

static const struct mesh__named_match tester = {"x-tester", {.how = MESH__MATCH_EXACT, .text = "1", .len = 1}};
static const struct mesh__route_match carts = {.source = {.service = "cart", .ns = "default"}}, testers = {.headers = &tester, .n_headers = 1};
static const struct mesh__route routes[] = {{.name = "own", .fault = {.abort = {.share = 1, .reset = true}}}, {.name = "none"}, {.name = "zero", .fault = {.abort = {.share = 0, .reset = true}}}};
enum { OWN, NONE, ZERO, NOWHERE };

static const struct mesh__fault *find(struct mesh__injection injection, int route, const char *service, int64_t wall_ms)
{
	static const char *const fields[] = {"x-tester", "1", NULL};
	static struct mesh__service_policy policy; /* what is found is led by it */
	struct mesh__request_view view = {.method = "GET", .path = "/", .query = "", .header = request_view_header, .ctx = fields, .service = service, .ns = "default"};

	policy = (struct mesh__service_policy){.routes = routes, .n_routes = MESH__COUNT(routes), .injection = injection};
	return mesh__fault_find(&policy, route == NOWHERE ? NULL : &routes[route], &view, wall_ms);
}

static void a_fault_for_a_while_holds_in_the_place_of_the_routes_own_until_its_time(void **state)
{
	struct mesh__injection all = {.until_ms = 1000, .fault = both}, one = {.until_ms = 1000, .fault = both, .route = "none"}, some = {.until_ms = 1000, .fault = both, .matches = &carts, .n_matches = 1},
		header = {.until_ms = 1000, .fault = both, .matches = &testers, .n_matches = 1}, nothing = {.until_ms = 0};
	static const struct mesh__fault *const own = &routes[OWN].fault;
	const struct {
		struct mesh__injection injection;
		int route;
		const char *service;
		int64_t wall_ms;
		bool injected;
		const struct mesh__fault *otherwise;
	} rows[] = {
		{nothing, OWN, "cart", 0, false, own},   {nothing, NONE, "cart", 0, false, NULL}, {nothing, ZERO, "cart", 0, false, NULL}, {nothing, NOWHERE, "cart", 0, false, NULL},
		{all, OWN, "cart", 999, true, NULL},     {all, NONE, "cart", 999, true, NULL},    {all, NOWHERE, "cart", 999, true, NULL}, {all, OWN, "cart", 1000, false, own},
		{all, NOWHERE, "cart", 1000, false, NULL}, {one, NONE, "cart", 0, true, NULL},    {one, OWN, "cart", 0, false, own},       {one, NOWHERE, "cart", 0, false, NULL},
		{some, NONE, "cart", 0, true, NULL},     {some, NONE, "web", 0, false, NULL},     {some, OWN, "web", 0, false, own},       {some, NOWHERE, NULL, 0, false, NULL},
		{header, NOWHERE, "web", 0, true, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const struct mesh__fault *found = find(rows[i].injection, rows[i].route, rows[i].service, rows[i].wall_ms);

		if (rows[i].injected ? found == NULL || found->delay.duration_ms != both.delay.duration_ms : found != rows[i].otherwise) {
			fail_msg("row %zu", i);
		}
	}
}

static void a_service_that_injects_nothing_is_known_as_such(void **state)
{
	(void)state;
	assert_false(mesh__fault_is_possible(&(struct mesh__service_policy){.n_routes = 0}));
	assert_false(mesh__fault_is_possible(&(struct mesh__service_policy){.routes = &routes[NONE], .n_routes = 2}));
	assert_true(mesh__fault_is_possible(&(struct mesh__service_policy){.routes = routes, .n_routes = 1}));
	assert_true(mesh__fault_is_possible(&(struct mesh__service_policy){.injection = {.until_ms = 1}}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(delay_and_abort_are_drawn_independently_and_to_a_millionth), cmocka_unit_test(a_fault_for_a_while_holds_in_the_place_of_the_routes_own_until_its_time),
		cmocka_unit_test(a_service_that_injects_nothing_is_known_as_such)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
