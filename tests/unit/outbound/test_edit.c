#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "http/cancel.h"
#include "outbound/edit.h"
#include "outbound/steps.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

enum { TEXT = 4096, DEADLINE_MS = 1000 };

static struct {
	struct fail_mem mem;
	struct fake_env fake;
	struct mesh__outbound outbound;
	struct mesh_request *r;
} stage;

static const struct mesh__route_match under_old = {.path = {.how = MESH__MATCH_PREFIX, .text = "/old", .len = 4}};
static const char *const gone[] = {"x-gone"};
static const struct mesh__header_value set[] = {{"x-set", "new"}, {"x-set-too", "new"}}, added[] = {{"x-twice", "2"}};

static struct mesh__service service = {.name = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"}};

static void begin(const char *method, const char *path)
{
	stage.r = mesh__request_new(&stage.outbound, "payments", method, path);
	assert_non_null(stage.r);
	(void)snprintf(stage.r->key, sizeof(stage.r->key), "payments.default");
	stage.r->now_us = mesh__mono_us(&stage.fake.env);
	stage.r->deadline_us = stage.r->now_us + DEADLINE_MS * 1000;
}

static void end(void)
{
	mesh__request_free(stage.r);
	stage.r = NULL;
}

static int set_up(void **state)
{
	(void)state;
	memset(&stage, 0, sizeof(stage));
	fail_mem_init(&stage.mem);
	fake_env_init(&stage.fake);
	stage.fake.env.mem = stage.mem.mem;
	stage.outbound.env = &stage.fake.env;
	stage.outbound.max_body_bytes = 1000;
	stage.outbound.metrics = mesh__metrics_new(&stage.fake.env);
	return stage.outbound.metrics == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	end();
	mesh__metrics_free(stage.outbound.metrics);
	assert_int_equal(stage.mem.live, 0);
	return 0;
}

static int take(const struct mesh__route *route)
{
	stage.r->called = stage.r->service = &service;
	stage.r->route = route;
	stage.r->match = route->n_matches > 0 ? &under_old : NULL;
	return mesh__step_edit(stage.r);
}

/* "name: value" lines of what would be sent. */
static const char *sent(char text[TEXT])
{
	const struct mesh__edited *e = stage.r->edited;
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < e->n_fields; i++) {
		n += (size_t)snprintf(text + n, TEXT - n, "%s: %s\n", e->fields[i].name, e->fields[i].value);
	}
	return text;
}

/* The same of the response that is shown. */
static const char *shown(char text[TEXT])
{
	const char *name, *value;
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; mesh__client_response_field(mesh__request_head(stage.r), i, &name, &value); i++) {
		n += (size_t)snprintf(text + n, TEXT - n, "%s: %s\n", name, value);
	}
	return text;
}

static void add_fields(void)
{
	assert_int_equal(mesh__request_field(stage.r, "X-Kept", "1"), MESH_OK);
	assert_int_equal(mesh__request_field(stage.r, "X-Gone", "1"), MESH_OK);
	assert_int_equal(mesh__request_field(stage.r, "X-Set", "old"), MESH_OK);
	assert_int_equal(mesh__request_field(stage.r, "x-twice", "1"), MESH_OK);
	assert_int_equal(mesh__request_field(stage.r, "x-set", "older"), MESH_OK);
}

static void what_is_sent_is_the_routes_and_what_the_caller_said_stays_for_the_next_call(void **state)
{
	static const struct mesh__route route = {.name = "r", .n_matches = 1, .rewrite = {.prefix = "/new"}, .headers.request = {gone, 1, set, 2, added, 1}};
	char text[TEXT];

	(void)state;
	begin("GET", "//old/./a%41?q=%2f");
	add_fields();
	assert_int_equal(take(&route), MESH_OK);
	assert_true(stage.r->sends_edited);
	assert_string_equal(stage.r->edited->target, "/new/aA?q=%2f");
	assert_string_equal(sent(text), "X-Kept: 1\nx-twice: 1\nx-set: new\nx-set-too: new\nx-twice: 2\n");
	assert_string_equal(stage.r->path, "//old/./a%41?q=%2f");
	assert_int_equal(stage.r->n_fields, 5);
	mesh__request_clear(stage.r);
	assert_false(stage.r->sends_edited);
	assert_null(stage.r->route);
}

static void fields_alone_leave_the_target_as_the_caller_wrote_it(void **state)
{
	static const struct mesh__route route = {.name = "r", .headers.request = {.remove = gone, .n_remove = 1}};
	char text[TEXT];

	(void)state;
	begin("GET", "/a%2fb//c?");
	assert_int_equal(mesh__request_field(stage.r, "x-gone", "1"), MESH_OK);
	assert_int_equal(take(&route), MESH_OK);
	assert_string_equal(stage.r->edited->target, "/a%2fb//c?");
	assert_string_equal(sent(text), "");
}

static void the_whole_path_is_rewritten_also_where_the_callers_has_no_one_spelling(void **state)
{
	static const struct mesh__route route = {.name = "r", .rewrite = {.path = "/new"}};

	(void)state;
	begin("GET", "/a%2fb?q");
	assert_int_equal(take(&route), MESH_OK);
	assert_string_equal(stage.r->edited->target, "/new?q");
}

static void a_route_that_edits_nothing_costs_no_memory(void **state)
{
	static const struct mesh__route route = {.name = "r"};
	long before;

	(void)state;
	begin("GET", "/old");
	before = stage.mem.count;
	assert_int_equal(take(&route), MESH_OK);
	assert_int_equal(mesh__edit_response(stage.r), MESH_OK);
	assert_false(stage.r->sends_edited || stage.r->shows_edited || stage.r->answered_here);
	assert_ptr_equal(mesh__request_head(stage.r), &stage.r->response);
	assert_int_equal(stage.mem.count, before);
}

static void a_request_that_is_called_again_costs_no_more_memory(void **state)
{
	static const struct mesh__route route = {.name = "r", .n_matches = 1, .rewrite = {.prefix = "/new"}, .headers = {.request = {gone, 1, set, 2, added, 1}, .response = {gone, 1, set, 2, added, 1}}};
	long before = 0;

	(void)state;
	begin("GET", "/old");
	add_fields();
	for (int call = 0; call < 3; call++) {
		mesh__request_clear(stage.r);
		assert_int_equal(take(&route), MESH_OK);
		assert_int_equal(mesh__edit_response(stage.r), MESH_OK);
		before = call == 0 ? stage.mem.count : before;
	}
	assert_int_equal(stage.mem.count, before);
}

static void all_fields_of_the_caller_and_all_edits_have_room_and_a_target_that_has_none_is_refused(void **state)
{
	static struct mesh__header_value many[MESH__HEADER_EDITS_MAX];
	static char path[MESH__TARGET_MAX + 1], longer[] = "/longer";
	static const struct mesh__route fields = {.name = "r", .headers.request = {.set = many, .n_set = MESH__HEADER_EDITS_MAX, .add = many, .n_add = MESH__HEADER_EDITS_MAX}};
	static const struct mesh__route rewrite = {.name = "r", .n_matches = 1, .rewrite = {.prefix = longer}};
	static const struct mesh__route redirect = {.name = "r", .n_matches = 1, .redirect = {.status = 302, .to = {.prefix = longer}}};

	(void)state;
	for (size_t i = 0; i < MESH__HEADER_EDITS_MAX; i++) {
		many[i] = (struct mesh__header_value){"x-many", "1"};
	}
	(void)snprintf(path, sizeof(path), "/old/%0*d", MESH__TARGET_MAX - 5, 0);
	begin("GET", path);
	for (size_t i = 0; i < MESH__REQUEST_FIELDS_MAX; i++) {
		assert_int_equal(mesh__request_field(stage.r, "x-kept", "1"), MESH_OK);
	}
	assert_int_equal(take(&fields), MESH_OK);
	assert_int_equal(stage.r->edited->n_fields, MESH__REQUEST_FIELDS_MAX + 2 * MESH__HEADER_EDITS_MAX);
	mesh__request_clear(stage.r);
	assert_int_equal(take(&rewrite), MESH_E_TOO_LARGE);
	assert_false(stage.r->sends_edited);
	assert_int_equal(stage.r->err.origin, MESH__ORIGIN_POLICY);
	assert_string_equal(stage.r->err.message, "payments.default: route r: `rewrite` makes the path longer than 8192 bytes");
	assert_int_equal(take(&redirect), MESH_OK); /* who is sent there may bear it */
}

static void a_redirect_is_an_answer_of_its_own(void **state)
{
	static const struct mesh__route routes[] = {
		{.name = "r", .n_matches = 1, .redirect = {.status = 308, .to = {.prefix = "/new"}}},
		{.name = "r", .redirect = {.status = 301, .scheme = "http"}},
		{.name = "r", .redirect = {.status = 302, .host = "shop.example"}, .headers.response = {.set = set, .n_set = 1}},
	};
	static const char *const expected[] = {"location: /new/a?q=1\n", "location: http://payments.default.mesh.local/old/a?q=1\n", "location: https://shop.example/old/a?q=1\nx-set: new\n"};
	char text[TEXT];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(routes); i++) {
		begin("POST", "/old/a?q=1");
		assert_int_equal(take(&routes[i]), MESH_OK);
		assert_true(stage.r->answered_here);
		assert_int_equal(mesh__edit_response(stage.r), MESH_OK);
		assert_int_equal(stage.r->response.status, routes[i].redirect.status);
		assert_string_equal(shown(text), expected[i]);
		assert_int_equal(stage.r->response.body.len, 0);
		assert_int_equal(stage.r->tries, 0);
		end();
	}
	assert_int_equal(mesh__metrics_counter(stage.outbound.metrics, "mesh_route_answers_total", "", "how", "redirect")->value, MESH__COUNT(routes));
}

static void a_direct_response_is_its_status_its_type_and_to_all_but_head_its_body(void **state)
{
	static const struct mesh__route typed = {.name = "r", .direct = {503, "{}", 2, "application/json"}}, text_alone = {.name = "r", .direct = {200, "a", 1, NULL}}, bare = {.name = "r", .direct = {.status = 204}};
	char text[TEXT];

	(void)state;
	begin("GET", "/old");
	assert_int_equal(take(&typed), MESH_OK);
	assert_true(stage.r->answered_here);
	assert_int_equal(stage.r->response.status, 503);
	assert_string_equal(shown(text), "content-type: application/json\n");
	assert_string_equal(stage.r->response.body.data, "{}");
	end();
	begin("HEAD", "/old");
	assert_int_equal(take(&typed), MESH_OK);
	assert_int_equal(stage.r->response.status, 503);
	assert_int_equal(stage.r->response.body.len, 0);
	end();
	begin("GET", "/old");
	assert_int_equal(take(&text_alone), MESH_OK);
	assert_string_equal(shown(text), "content-type: text/plain\n");
	end();
	begin("GET", "/old");
	assert_int_equal(take(&bare), MESH_OK);
	assert_int_equal(stage.r->response.status, 204);
	assert_string_equal(shown(text), "");
	assert_int_equal(mesh__metrics_counter(stage.outbound.metrics, "mesh_route_answers_total", "", "how", "directResponse")->value, 4);
}

static void to_grpc_either_is_a_status_alone(void **state)
{
	static const struct {
		struct mesh__route route;
		const char *fields;
	} rows[] = {
		{{.name = "r", .direct = {503, "closed 50%", 10, "text/plain"}}, "content-type: application/grpc\ngrpc-status: 14\ngrpc-message: closed 50%25\n"},
		{{.name = "r", .direct = {.status = 404}}, "content-type: application/grpc\ngrpc-status: 12\n"},
		{{.name = "r", .direct = {403, "no", 2, NULL}}, "content-type: application/grpc\ngrpc-status: 7\ngrpc-message: no\n"},
		{{.name = "r", .direct = {200, "ok", 2, NULL}}, "content-type: application/grpc\ngrpc-status: 2\ngrpc-message: ok\n"},
		{{.name = "r", .redirect = {.status = 307, .to = {.path = "/x"}}}, "content-type: application/grpc\ngrpc-status: 2\ngrpc-message: redirected to /x\n"},
	};
	char text[TEXT];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		begin("POST", "/shop.Carts/Pay");
		assert_int_equal(mesh__request_field(stage.r, "content-type", "application/grpc+proto"), MESH_OK);
		assert_int_equal(take(&rows[i].route), MESH_OK);
		assert_int_equal(stage.r->response.status, 200);
		assert_string_equal(shown(text), rows[i].fields);
		assert_int_equal(stage.r->response.body.len, 0);
		end();
	}
}

static void a_call_that_may_not_begin_is_not_answered_either(void **state)
{
	static const struct mesh__route route = {.name = "r", .direct = {.status = 204}};

	(void)state;
	begin("GET", "/old");
	mesh__cancel_fire(stage.r->cancel);
	assert_int_equal(take(&route), MESH_E_CANCELLED);
	mesh__cancel_reset(stage.r->cancel);
	stage.r->now_us = stage.r->deadline_us;
	assert_int_equal(take(&route), MESH_E_TIMEOUT);
	stage.r->now_us -= DEADLINE_MS * 1000;
	atomic_store(&stage.outbound.closed, true);
	assert_int_equal(take(&route), MESH_E_CLOSED);
	assert_false(stage.r->answered_here);
	assert_int_equal(stage.r->response.status, 0);
}

static void what_the_server_answered_stays_beside_what_is_shown(void **state)
{
	static const struct mesh__route route = {.name = "r", .headers.response = {gone, 1, set, 1, added, 1}};
	const char *name, *value;
	char text[TEXT];

	(void)state;
	begin("GET", "/old");
	stage.r->response.status = 200;
	mesh__client_response_add(&stage.r->response, "x-gone", "1");
	mesh__client_response_add(&stage.r->response, "x-kept", "");
	mesh__client_response_add(&stage.r->response, "x-set", "old");
	assert_int_equal(take(&route), MESH_OK);
	assert_int_equal(mesh__edit_response(stage.r), MESH_OK);
	assert_string_equal(shown(text), "x-kept: \nx-set: new\nx-twice: 2\n");
	assert_true(mesh__client_response_field(&stage.r->response, 0, &name, &value));
	assert_string_equal(name, "x-gone");
	mesh__request_clear(stage.r);
	assert_string_equal(shown(text), "");
}

static void with_each_allocation_failing_it_says_so_and_leaves_nothing(void **state)
{
	static const struct mesh__route routes[] = {
		{.name = "r", .n_matches = 1, .rewrite = {.prefix = "/new"}, .headers = {.request = {gone, 1, set, 2, added, 1}, .response = {gone, 1, set, 2, added, 1}}},
		{.name = "r", .redirect = {.status = 302, .host = "shop.example"}, .headers.response = {.set = set, .n_set = 1}},
		{.name = "r", .direct = {503, "{}", 2, "application/json"}},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(routes); i++) {
		for (long n = 1, done = 0; !done; n++) {
			long live = stage.mem.live;
			int code;

			begin("GET", "/old");
			fail_mem_next(&stage.mem, n);
			code = take(&routes[i]);
			code = code == MESH_OK ? mesh__edit_response(stage.r) : code;
			done = stage.mem.count < n;
			fail_mem_next(&stage.mem, 0);
			assert_true(code == MESH_E_NO_MEMORY || (code == MESH_OK && (done || i > 0))); /* a metric is not worth a call */
			assert_false(done && code != MESH_OK);
			assert_int_equal(stage.r->err.code, code);
			end();
			assert_true(i > 0 || stage.mem.live == live);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
		ROW(what_is_sent_is_the_routes_and_what_the_caller_said_stays_for_the_next_call),
		ROW(fields_alone_leave_the_target_as_the_caller_wrote_it),
		ROW(the_whole_path_is_rewritten_also_where_the_callers_has_no_one_spelling),
		ROW(a_route_that_edits_nothing_costs_no_memory),
		ROW(a_request_that_is_called_again_costs_no_more_memory),
		ROW(all_fields_of_the_caller_and_all_edits_have_room_and_a_target_that_has_none_is_refused),
		ROW(a_redirect_is_an_answer_of_its_own),
		ROW(a_direct_response_is_its_status_its_type_and_to_all_but_head_its_body),
		ROW(to_grpc_either_is_a_status_alone),
		ROW(a_call_that_may_not_begin_is_not_answered_either),
		ROW(what_the_server_answered_stays_beside_what_is_shown),
		ROW(with_each_allocation_failing_it_says_so_and_leaves_nothing),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
