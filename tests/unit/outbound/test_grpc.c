#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/grpc.h"
#include "outbound/steps.h"
#include "support/fake_env.h"

static struct {
	struct fake_env fake;
	struct mesh__outbound outbound;
	struct mesh__endpoint_list list;
	struct mesh__endpoint_source source;
	struct mesh__destination *destination;
	struct mesh__endpoint *endpoint;
	struct mesh_request *r;
} stage;

static struct mesh__service service;

static int set_up(void **state)
{
	static const struct mesh__name name = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"};
	struct mesh__endpoint_spec spec = {.service = &name, .instance = "a"};
	struct mesh__outbound *o = &stage.outbound;

	(void)state;
	memset(&stage, 0, sizeof(stage));
	fake_env_init(&stage.fake);
	o->env = &stage.fake.env;
	o->max_body_bytes = 1000;
	o->metrics = mesh__metrics_new(&stage.fake.env);
	o->tries = mesh__metrics_counter(o->metrics, "tries", "Tries.", NULL, NULL);
	o->retries = mesh__metrics_counter(o->metrics, "retries", "Retries.", NULL, NULL);
	mesh__endpoint_list_init(&stage.list, &stage.fake.env);
	stage.source = mesh__endpoint_source(&stage.list);
	stage.destination = stage.source.destination(&stage.list, "payments.default");
	spec.destination = stage.destination;
	assert_int_equal(mesh__addr_parse("address", "127.0.0.1:1", false, &spec.address, NULL), MESH_OK);
	stage.endpoint = stage.source.make(&stage.list, &spec);
	mesh__service_policy_default(&service.policy);
	stage.r = mesh__request_new(o, "payments", "POST", "/shop.Carts/Pay");
	return stage.r == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	stage.r->service = NULL;
	mesh__request_free(stage.r);
	mesh__endpoint_unref(stage.endpoint);
	stage.source.destination_unref(stage.destination);
	mesh__endpoint_list_fini(&stage.list);
	mesh__metrics_free(stage.outbound.metrics);
	return 0;
}

/* "name: value" of what a try adds; NULL when it does not. */
static const char *added(const char *name)
{
	struct mesh__client_request out = {.n_fields = stage.r->n_fields};

	stage.r->called = stage.r->service = &service;
	mesh__grpc_add_fields(stage.r, stage.r->fields, &out);
	for (size_t i = stage.r->n_fields; i < out.n_fields; i++) {
		if (strcmp(stage.r->fields[i].name, name) == 0) {
			return stage.r->fields[i].value;
		}
	}
	return NULL;
}

static void a_call_with_grpcs_content_type_takes_its_deadline_along(void **state)
{
	(void)state;
	service.policy.protocol = MESH__PROTOCOL_GRPC;
	stage.r->now_us = 5000000;
	stage.r->try_deadline_us = 6500001;
	assert_null(added("grpc-timeout"));
	assert_null(added("te"));
	assert_int_equal(mesh__request_field(stage.r, "Content-Type", "application/json"), MESH_OK);
	assert_null(added("grpc-timeout"));
	assert_int_equal(mesh__request_field(stage.r, "Content-Type", "application/grpc+proto"), MESH_OK);
	assert_string_equal(added("grpc-timeout"), "1500001u");
	assert_string_equal(added("te"), "trailers");
	service.policy.protocol = MESH__PROTOCOL_HTTP; /* a field of the connection there */
	assert_null(added("te"));
}

static void the_callers_grpc_timeout_is_its_timeout_and_what_is_left_goes_on(void **state)
{
	static const struct {
		const char *value;
		int64_t timeout_ms;
	} rows[] = {{"5S", 5000}, {"1500u", 1}, {"1n", 1}, {"0S", 1}, {"250m", 250}, {"24H", 86400000}, {"99999999H", 86400000}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__request_field(stage.r, "Grpc-Timeout", rows[i].value), MESH_OK);
		assert_int_equal(stage.r->timeout_ms, rows[i].timeout_ms);
	}
	assert_int_equal(mesh__request_field(stage.r, "grpc-timeout", "soon"), MESH_E_INVALID);
	assert_int_equal(stage.r->timeout_ms, 86400000);
	assert_int_equal(stage.r->n_fields, 0); /* never twice */
	stage.r->try_deadline_us = 42;
	assert_string_equal(added("grpc-timeout"), "42u");
}

/* ---- What a response says ---- */

static void put_fields(struct mesh__buf *buf, size_t *n, const char *name, const char *value)
{
	mesh__buf_add(buf, name, strlen(name) + 1);
	mesh__buf_add(buf, value, strlen(value) + 1);
	(*n)++;
}

/* NULL: not said. */
static void answer(int http, const char *head, const char *trailer, bool not_processed)
{
	struct mesh__client_response *response = &stage.r->response;

	mesh__client_response_clear(response);
	response->status = http;
	if (head != NULL) {
		put_fields(&response->fields, &response->n_fields, "grpc-status", head);
	}
	if (not_processed) {
		put_fields(&response->fields, &response->n_fields, "mesh-not-processed", "1");
	}
	if (trailer != NULL) {
		mesh__buf_add(&response->body, "x", 1);
		assert_true(mesh__trailers_add(&response->trailers, "grpc-status", strlen("grpc-status"), trailer, strlen(trailer)));
	}
}

static void the_status_is_in_the_trailers_or_in_a_head_without_any(void **state)
{
	static const struct {
		int http;
		const char *head, *trailer;
		enum mesh__grpc_status status;
	} rows[] = {
		{200, NULL, "0", MESH__GRPC_OK}, {200, NULL, "14", MESH__GRPC_UNAVAILABLE}, {200, "5", NULL, MESH__GRPC_NOT_FOUND}, {200, "0", "13", MESH__GRPC_INTERNAL}, {200, NULL, "seven", MESH__GRPC_UNKNOWN},
		{200, NULL, NULL, MESH__GRPC_UNKNOWN}, {503, NULL, NULL, MESH__GRPC_UNAVAILABLE}, {404, NULL, NULL, MESH__GRPC_UNIMPLEMENTED}, {503, "7", NULL, MESH__GRPC_PERMISSION_DENIED},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		answer(rows[i].http, rows[i].head, rows[i].trailer, false);
		assert_int_equal(mesh__grpc_status_of(&stage.r->response), rows[i].status);
	}
}

static void only_a_refusal_in_trailers_alone_says_that_nothing_was_processed(void **state)
{
	static const struct {
		int http;
		const char *head, *trailer;
		bool not_processed, says;
	} rows[] = {
		{200, "14", NULL, true, true}, {200, "8", NULL, true, true}, {200, "14", NULL, false, false}, {200, "4", NULL, true, false}, {200, "0", NULL, true, false}, {200, NULL, NULL, true, false},
		{200, NULL, "14", true, false}, {204, "14", NULL, true, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		answer(rows[i].http, rows[i].head, rows[i].trailer, rows[i].not_processed);
		assert_int_equal(mesh__grpc_says_not_processed(&stage.r->response), rows[i].says);
	}
}

/* ---- What it teaches ---- */

static void observe(enum mesh__try_end end)
{
	static const struct mesh__breaker breaker = {9, 9, 9};

	assert_int_equal((stage.r->copy.of == NULL ? mesh__destination_enter : mesh__destination_enter_copy)(stage.destination, &breaker, NULL), MESH_OK);
	stage.r->held = stage.destination;
	stage.r->called = stage.r->service = &service;
	stage.r->endpoint = stage.endpoint;
	stage.r->end = end;
	stage.r->result.total_us = 1000;
	mesh__step_observe(stage.r);
}

static double cost(void)
{
	return mesh__endpoint_cost(stage.endpoint, 1, mesh__mono_us(&stage.fake.env));
}

static int64_t counted(const char *status)
{
	return atomic_load(&mesh__metrics_counter(stage.outbound.metrics, "mesh_grpc_status_total", "", "status", status)->value);
}

static void a_failure_by_its_status_makes_the_endpoint_dear_and_each_status_is_counted(void **state)
{
	double before;

	(void)state;
	assert_int_equal(mesh__request_field(stage.r, "content-type", "application/grpc"), MESH_OK);
	answer(200, NULL, "0", false);
	observe(MESH__TRY_ANSWERED);
	answer(200, NULL, "5", false); /* the caller asked for what is not there */
	observe(MESH__TRY_ANSWERED);
	before = cost();
	assert_true(before > 0 && before <= 1001);
	answer(200, "13", NULL, false);
	observe(MESH__TRY_ANSWERED);
	assert_true(cost() >= 2 * before - 2);
	answer(200, "14", NULL, true);
	observe(MESH__TRY_NOT_PROCESSED);
	stage.r->response.status = 0;
	observe(MESH__TRY_UNSURE); /* nobody answered */
	assert_int_equal(counted("OK"), 1);
	assert_int_equal(counted("NOT_FOUND"), 1);
	assert_int_equal(counted("INTERNAL"), 1);
	assert_int_equal(counted("UNAVAILABLE"), 1);
	assert_int_equal(counted("UNKNOWN"), 0);
}

static void without_grpcs_content_type_nothing_is_made_of_a_status(void **state)
{
	(void)state;
	answer(200, NULL, "13", false);
	observe(MESH__TRY_ANSWERED);
	assert_true(cost() <= 1001);
	assert_int_equal(counted("INTERNAL"), 0);
}

static void a_status_that_is_a_failure_counts_towards_an_ejection_also_where_http_says_200(void **state)
{
	(void)state;
	assert_int_equal(mesh__request_field(stage.r, "content-type", "application/grpc"), MESH_OK);
	for (int32_t i = 0; i < service.policy.outlier.consecutive_failures; i++) {
		assert_true(mesh__endpoint_is_healthy(stage.endpoint));
		answer(200, NULL, i % 2 == 0 ? "13" : "14", false);
		observe(MESH__TRY_ANSWERED);
	}
	assert_false(mesh__endpoint_is_healthy(stage.endpoint));
	assert_true(fake_env_logged(&stage.fake, "reason=7 failures in a row last=INTERNAL "));
}

static void of_a_mirrors_copy_no_status_is_counted(void **state)
{
	(void)state;
	assert_int_equal(mesh__request_field(stage.r, "content-type", "application/grpc"), MESH_OK);
	answer(200, "13", NULL, false);
	stage.r->copy.of = stage.destination;
	observe(MESH__TRY_ANSWERED);
	stage.r->copy.of = NULL;
	assert_int_equal(counted("INTERNAL"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_call_with_grpcs_content_type_takes_its_deadline_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_callers_grpc_timeout_is_its_timeout_and_what_is_left_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_status_is_in_the_trailers_or_in_a_head_without_any, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_refusal_in_trailers_alone_says_that_nothing_was_processed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_by_its_status_makes_the_endpoint_dear_and_each_status_is_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_grpcs_content_type_nothing_is_made_of_a_status, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_status_that_is_a_failure_counts_towards_an_ejection_also_where_http_says_200, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_a_mirrors_copy_no_status_is_counted, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
