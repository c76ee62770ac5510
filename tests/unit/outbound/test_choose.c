/* What a document says of weights and of slow start, in the endpoints that calls go to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"
#include "outbound/steps.h"
#include "support/static_mesh.h"

/* 5 standard deviations of the draws are at most 158. */
enum { DRAWS = 4000, OFF = 158, WINDOW_MS = 10000 };

/* Ports from 1; the last weighs two. */
#define ENDPOINTS "---\napiVersion: mesh/v1\nkind: Endpoints\nname: payments\ninsecurePlaintext: true\nendpoints: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2'}, {address: '127.0.0.1:3'}, {address: '127.0.0.1:4', weight: 2}]\n"

static struct static_mesh stage;

static int tear_down(void **state)
{
	(void)state;
	static_mesh_close(&stage);
	return 0;
}

static void open_mesh(const char *load_balancer)
{
	char documents[1024];

	(void)snprintf(documents, sizeof(documents), "%s---\napiVersion: mesh/v1\nkind: Service\nname: payments\nloadBalancer: %s\n", ENDPOINTS, load_balancer);
	static_mesh_open(&stage, documents, NULL);
}

/* How many of DRAWS calls go to the port. */
static int share(unsigned port)
{
	struct mesh_request *r = static_mesh_request(&stage, "payments.default", "/");
	int n = 0;

	for (int i = 0; i < DRAWS; i++) {
		static_mesh_route(&stage, r);
		assert_int_equal(mesh__step_pick(r), MESH_OK);
		n += r->endpoint->target.address.port == port;
	}
	mesh__request_free(r);
	return n;
}

/* The port weighs so much, and the others together that: an ordinary endpoint weighs 100. */
static void assert_share(unsigned port, int weight, int others)
{
	int mean = DRAWS * weight / (weight + others), got = share(port);

	assert_in_range(got, mean < OFF ? 1 : mean - OFF, mean + OFF);
}

static void an_endpoint_that_is_well_again_comes_to_its_share_over_the_window(void **state)
{
	static const char *const rows[] = {"{policy: random, slowStart: 10s}", "{policy: roundRobin, slowStart: 10s}"};
	static const struct {
		int64_t after_ms; /* the one before */
		int weight;
	} steps[] = {{0, 10}, {WINDOW_MS / 20, 10}, {WINDOW_MS * 9 / 20, 50}, {WINDOW_MS / 2, 100}, {WINDOW_MS, 100}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__endpoint *e;
		open_mesh(rows[i]);
		assert_share(1, 100, 400); /* all are as new */
		fake_env_advance_ms(&stage.fake, WINDOW_MS);
		e = static_mesh_endpoint(&stage, "payments.default", 1);
		assert_share(1, 100, 400);
		(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_CHECK, true);
		assert_int_equal(share(1), 0);
		(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_CHECK, false);
		for (size_t k = 0; k < MESH__COUNT(steps); k++) {
			fake_env_advance_ms(&stage.fake, steps[k].after_ms);
			assert_share(1, steps[k].weight, 400);
			assert_share(4, 200, 200 + steps[k].weight); /* and the others have the rest */
		}
		if (i + 1 < MESH__COUNT(rows)) {
			static_mesh_close(&stage);
		}
	}
}

static void without_a_window_it_has_its_whole_share_at_once(void **state)
{
	struct mesh__endpoint *e;

	(void)state;
	open_mesh("{policy: random}");
	e = static_mesh_endpoint(&stage, "payments.default", 1);
	(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_CHECK, true);
	(void)mesh__endpoint_mark(e, MESH__UNHEALTHY_CHECK, false);
	assert_share(1, 100, 400);
	assert_share(4, 200, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_endpoint_that_is_well_again_comes_to_its_share_over_the_window, tear_down),
		cmocka_unit_test_teardown(without_a_window_it_has_its_whole_share_at_once, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
