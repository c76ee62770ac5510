/* What an injected try leaves behind for who judges it: as much time as it took, and an endpoint that has one call less. In whole calls: api/test_faults.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/steps.h"
#include "support/fake_env.h"

enum { BEGUN_US = 1000, DELAY_US = 70000, LONG_US = 1000000 };

static void the_time_that_a_fault_takes_is_the_trys_own_and_the_endpoints(void **state)
{
	static const struct mesh__fault faults[] = {{.abort = {.share = MESH__WHOLE, .reset = true}}, {.abort = {.share = MESH__WHOLE, .status = 503}}, {.delay = {.share = MESH__WHOLE, .duration_ms = 1}}};
	static const int32_t codes[] = {MESH_E_RESET, MESH_OK, MESH_E_TIMEOUT};
	struct fake_env fake;
	struct mesh__outbound outbound = {.max_body_bytes = 1000};
	char somewhere[] = "somewhere";
	struct mesh__endpoint endpoint = {.instance = somewhere};
	struct mesh__counter counter = {0};
	const struct mesh__faulted faulted = {.on = true, .delays = &counter, .aborts = &counter};
	struct mesh__service service;
	struct mesh_request *r;

	(void)state;
	memset(&service, 0, sizeof(service));
	mesh__service_policy_default(&service.policy);
	fake_env_init(&fake);
	outbound.env = &fake.env;
	r = mesh__request_new(&outbound, "payments", "GET", "/");
	assert_non_null(r);
	(void)snprintf(r->key, sizeof(r->key), "payments.default");
	r->service = &service;
	r->endpoint = &endpoint;
	r->faulted = &faulted;
	for (size_t i = 0; i < MESH__COUNT(faults); i++) {
		atomic_store(&endpoint.inflight, 1);
		mesh__client_response_clear(&r->response);
		memset(&r->result, 0, sizeof(r->result));
		r->fault = &faults[i];
		r->aborts = faults[i].abort.share > 0;
		r->now_us = BEGUN_US + DELAY_US;
		r->delayed_us = -BEGUN_US;
		r->deadline_us = r->try_deadline_us = codes[i] == MESH_E_TIMEOUT ? r->now_us : LONG_US;
		assert_true(mesh__step_inject(r));
		assert_int_equal(r->try_code, codes[i]);
		mesh__step_judge(r);
		assert_int_equal(r->result.total_us, DELAY_US);
		assert_int_equal(r->result.sent, MESH__SENT_MAYBE);
		assert_int_equal(endpoint.inflight, 0);
	}
	r->service = NULL;
	mesh__request_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_time_that_a_fault_takes_is_the_trys_own_and_the_endpoints)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
