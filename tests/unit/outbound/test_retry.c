/* What one call's tries leave behind for others and for its caller: the destination's budget, the endpoint that answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/call.h"
#include "outbound/destination.h"
#include "outbound/steps.h"
#include "support/fake_env.h"

enum { SECOND_US = 1000000, CALLS = 10 };

static struct {
	struct fake_env fake;
	struct mesh__outbound outbound;
	struct mesh__endpoint_list list;
	struct mesh__endpoint_source source;
	struct mesh_request *r;
} stage;

static struct mesh__service service;
static struct mesh__endpoint somewhere;

static int set_up(void **state)
{
	(void)state;
	memset(&stage, 0, sizeof(stage));
	memset(&service, 0, sizeof(service));
	fake_env_init(&stage.fake);
	stage.outbound.env = &stage.fake.env;
	stage.outbound.max_body_bytes = 1000;
	stage.outbound.metrics = mesh__metrics_new(&stage.fake.env);
	mesh__endpoint_list_init(&stage.list, &stage.fake.env);
	stage.source = mesh__endpoint_source(&stage.list);
	service.destination = stage.source.destination(&stage.list, "payments.default");
	mesh__service_policy_default(&service.policy);
	stage.r = mesh__request_new(&stage.outbound, "payments", "GET", "/");
	assert_non_null(stage.r);
	stage.r->called = stage.r->service = &service;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__request_free(stage.r);
	stage.source.destination_unref(service.destination);
	mesh__endpoint_list_fini(&stage.list);
	mesh__metrics_free(stage.outbound.metrics);
	return 0;
}

/* The first try of a call by this route begins. */
static void admit(const struct mesh__route *route, int64_t now_us)
{
	stage.r->route = route;
	stage.r->endpoint = &somewhere;
	stage.r->tries = 0;
	stage.r->now_us = now_us;
	stage.r->deadline_us = now_us + SECOND_US;
	assert_int_equal(mesh__step_admit(stage.r), MESH_OK);
	mesh__destination_leave(stage.r->held);
}

static bool retries(const struct mesh__route *route)
{
	stage.r->route = route;
	stage.r->tries = 1;
	stage.r->end = MESH__TRY_UNCONNECTED;
	return mesh__step_retry(stage.r);
}

static void routes_with_windows_of_their_own_share_what_the_destination_has_counted(void **state)
{
	static const int64_t windows_ms[] = {10000, 3600000, 1000};
	struct mesh__route routes[MESH__COUNT(windows_ms)];

	(void)state;
	service.policy.retries.budget = (struct mesh__retry_budget){.share = MESH__WHOLE / 5, .window_ms = 10000};
	service.policy.retries.backoff.base_ms = 0;
	memset(routes, 0, sizeof(routes));
	for (size_t i = 0; i < MESH__COUNT(routes); i++) {
		routes[i].retries = service.policy.retries;
		routes[i].retries.budget.window_ms = windows_ms[i];
	}
	for (int64_t i = 0; i < CALLS; i++) {
		admit(&routes[(size_t)i % MESH__COUNT(routes)], (720 + i / 2) * SECOND_US);
	}
	assert_true(retries(&routes[0])); /* a fifth of the ten, whoever asks */
	assert_true(retries(&routes[1]));
	assert_false(retries(&routes[2]));
	assert_false(retries(&routes[0]));
	assert_false(retries(NULL));
}

static struct mesh__endpoint *endpoint(const char *instance)
{
	static const struct mesh__name name = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"};
	struct mesh__endpoint_spec spec = {.service = &name, .instance = instance, .destination = service.destination};

	assert_int_equal(mesh__addr_parse("address", "127.0.0.1:1", false, &spec.address, NULL), MESH_OK);
	return stage.source.make(&stage.list, &spec);
}

/* Also past as many tries as an error can tell of. */
static void the_answer_is_of_who_gave_it_and_not_of_who_was_chosen_after(void **state)
{
	static const struct mesh__breaker breaker = {9, 9, 9};
	struct mesh__endpoint *first = endpoint("first"), *last = endpoint("last"), *chosen = endpoint("chosen");

	(void)state;
	stage.outbound.tries = stage.outbound.retries = stage.outbound.calls_ok = mesh__metrics_counter(stage.outbound.metrics, "n", "Any.", NULL, NULL);
	for (int32_t i = 0; i < MESH__TRIES_MAX + 2; i++) {
		assert_int_equal(mesh__destination_enter(service.destination, &breaker, NULL), MESH_OK);
		stage.r->held = service.destination;
		stage.r->endpoint = i <= MESH__TRIES_MAX ? first : last;
		stage.r->end = MESH__TRY_ANSWERED;
		stage.r->response.status = 503;
		mesh__step_observe(stage.r);
	}
	stage.r->endpoint = chosen; /* for another try, which is not let in */
	assert_int_equal(mesh__fail(&stage.r->err, MESH_E_TIMEOUT, "the deadline passed"), MESH_E_TIMEOUT);
	assert_int_equal(mesh__call_conclude(stage.r), MESH_OK);
	assert_string_equal(stage.r->instance, "last");
	mesh__endpoint_unref(first);
	mesh__endpoint_unref(last);
	mesh__endpoint_unref(chosen);
}

/* Another would be as large, and the handler has done its work: a GET of it must not have it done three times. */
static void an_answer_that_is_larger_than_is_taken_is_not_asked_for_again(void **state)
{
	struct mesh__endpoint *e = endpoint("first");

	(void)state;
	assert_true((service.policy.retries.on >> MESH__RETRY_ON_RESET & 1) != 0);
	assert_true(stage.r->idempotent);
	admit(NULL, 720 * SECOND_US);
	stage.r->endpoint = e;
	stage.r->tries = 1;
	stage.r->result.sent = MESH__SENT_MAYBE;
	stage.r->try_code = mesh__fail_at(&stage.r->err, MESH__ORIGIN_PEER, MESH_E_TOO_LARGE, "larger than is taken");
	atomic_store(&e->inflight, 1);
	mesh__step_judge(stage.r);
	assert_false(mesh__step_retry(stage.r));
	assert_true(stage.r->error.may_be_processed);
	mesh__endpoint_unref(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(routes_with_windows_of_their_own_share_what_the_destination_has_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_answer_is_of_who_gave_it_and_not_of_who_was_chosen_after, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_that_is_larger_than_is_taken_is_not_asked_for_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
