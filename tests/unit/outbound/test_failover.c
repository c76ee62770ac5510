/* Where tries go, by the health of endpoints: own zone first, others where nobody is healthy, all where too few are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/failover.h"
#include "outbound/steps.h"
#include "policy/failover.h"
#include "support/static_mesh.h"

enum { DRAWS = 4000, RETURN_MS = MESH__FAILOVER_RETURN_MS };

/* payments: ports from 1, four in zone a (1 to 4), two elsewhere (5, 6); payments-dr: 11, 12; payments-far: 21; payments-gone has none. */
#define ENDPOINTS(name, list) "---\napiVersion: mesh/v1\nkind: Endpoints\nname: " name "\ninsecurePlaintext: true\nendpoints: [" list "]\n"
#define AT(port, zone, version) "{address: '127.0.0.1:" #port "', zone: " zone ", labels: {version: " version "}}"
#define PAYMENTS ENDPOINTS("payments", AT(5, "b", "v2") "," AT(1, "a", "v1") "," AT(2, "a", "v1") "," AT(6, "c", "v2") "," AT(3, "a", "v1") "," AT(4, "a", "v1"))
#define DR ENDPOINTS("payments-dr", AT(11, "a", "v1") "," AT(12, "b", "v1"))
#define FAR ENDPOINTS("payments-far", AT(21, "z", "v1"))
#define SERVICE(fields) "---\napiVersion: mesh/v1\nkind: Service\nname: payments\n" fields
#define SUBSETS "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n"

static struct static_mesh stage;

static void open_mesh(const char *documents, const char *zone)
{
	static_mesh_open(&stage, documents, zone);
}

static int tear_down(void **state)
{
	(void)state;
	static_mesh_close(&stage);
	return 0;
}

static void mark(const char *key, unsigned port, bool unhealthy)
{
	(void)mesh__endpoint_mark(static_mesh_endpoint(&stage, key, port), MESH__UNHEALTHY_CHECK, unhealthy);
}

static void mark_all(const char *key, unsigned first, unsigned last, bool unhealthy)
{
	for (unsigned port = first; port <= last; port++) {
		mark(key, port, unhealthy);
	}
}

/* The port that a new call of payments goes to; 0: none. */
static unsigned pick_of(struct mesh_request *r)
{
	static_mesh_route(&stage, r);
	return mesh__step_pick(r) != MESH_OK || r->service == NULL ? 0 : r->endpoint->target.address.port;
}

static unsigned pick(void)
{
	struct mesh_request *r = static_mesh_request(&stage, "payments.default", "/");
	unsigned port = pick_of(r);

	mesh__request_free(r);
	return port;
}

/* How many of DRAWS calls go to ports from … to. */
static unsigned share(unsigned first, unsigned last)
{
	struct mesh_request *r = static_mesh_request(&stage, "payments.default", "/");
	unsigned n = 0;

	for (int i = 0; i < DRAWS; i++) {
		unsigned port = pick_of(r);
		n += port >= first && port <= last;
	}
	mesh__request_free(r);
	return n;
}

/* ---- Zones ---- */

/* With fixed dice the verdict is the same in every run; 5 standard deviations of DRAWS are at most 158. */
static void assert_spill(unsigned percent_near)
{
	int near = (int)share(1, 4), mean = (int)percent_near * DRAWS / 100;

	if (percent_near == 0 || percent_near == 100) {
		assert_int_equal(near, mean);
	}
	assert_in_range(near, mean < 158 ? 0 : mean - 158, mean + 158);
}

static void the_own_zone_is_called_and_spills_by_envoys_table_and_takes_it_back(void **state)
{
	static const unsigned near[] = {100, 100, 70, 35, 0}; /* percent, with so many of four unhealthy */

	(void)state;
	open_mesh(PAYMENTS, "a");
	for (unsigned down = 0; down <= 4; down++) {
		assert_spill(near[down]);
		if (down < 4) {
			mark("payments.default", down + 1, true);
		}
	}
	for (unsigned down = 4; down-- > 0;) {
		mark("payments.default", down + 1, false);
		assert_spill(near[down]);
	}
}

static void the_unhealthy_are_not_called_where_others_are(void **state)
{
	(void)state;
	open_mesh(PAYMENTS, "a");
	mark("payments.default", 2, true);
	mark("payments.default", 4, true);
	mark("payments.default", 6, true);
	assert_int_equal(share(2, 2) + share(4, 4) + share(6, 6), 0);
	assert_true(share(5, 5) > 0);
}

static void without_a_zone_or_with_none_here_or_where_it_is_not_wanted_all_are_one(void **state)
{
	static const struct {
		const char *documents, *zone;
	} rows[] = {{PAYMENTS, NULL}, {PAYMENTS, "x"}, {PAYMENTS SERVICE("loadBalancer: {zoneAware: false}\n"), "a"}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		open_mesh(rows[i].documents, rows[i].zone);
		assert_in_range(share(5, 6), DRAWS / 3 - 158, DRAWS / 3 + 158);
		if (i + 1 < MESH__COUNT(rows)) {
			static_mesh_close(&stage);
		}
	}
}

static void a_retry_stays_in_the_zone_while_somebody_healthy_there_has_not_been_asked(void **state)
{
	struct mesh_request *r;

	(void)state;
	open_mesh(PAYMENTS, "a");
	mark("payments.default", 1, true);
	mark("payments.default", 2, true);
	for (int i = 0; i < 100; i++) {
		r = static_mesh_request(&stage, "payments.default", "/");
		r->tried[r->tries++] = static_mesh_endpoint(&stage, "payments.default", 3);
		assert_int_equal(mesh__step_pick(r), MESH_OK);
		assert_int_equal(r->endpoint->target.address.port, 4);
		r->tried[r->tries++] = r->endpoint;
		assert_int_equal(mesh__step_pick(r), MESH_OK);
		assert_in_range(r->endpoint->target.address.port, 5, 6);
		mesh__request_free(r);
	}
}

/* ---- Panic ---- */

static void with_fewer_than_the_threshold_healthy_all_are_called_and_it_is_counted_and_logged(void **state)
{
	size_t told;

	(void)state;
	open_mesh(PAYMENTS, NULL);
	told = fake_env_events(&stage.fake);
	mark_all("payments.default", 1, 3, true);
	assert_in_range(share(1, 3), 0, 0); /* half are healthy: no panic yet */
	assert_false(fake_env_logged(&stage.fake, "panic"));
	mark("payments.default", 4, true);
	assert_in_range(share(1, 4), DRAWS * 2 / 3 - 158, DRAWS * 2 / 3 + 158); /* all alike */
	assert_int_equal(static_mesh_count(&stage, "mesh_panic_tries_total{service=\"payments.default\"} "), DRAWS);
	assert_true(fake_env_logged(&stage.fake, "warn panic begins service=payments.default healthy=2 of 6 calls=to all, healthy or not"));
	assert_int_equal(fake_env_events(&stage.fake), told + 1);
	mark("payments.default", 4, false);
	assert_int_equal(share(1, 3), 0);
	assert_true(fake_env_logged(&stage.fake, "info panic ends service=payments.default healthy=3 of 6 calls=to the healthy"));
	assert_int_equal(static_mesh_count(&stage, "mesh_panic_tries_total{service=\"payments.default\"} "), DRAWS);
	assert_int_equal(fake_env_events(&stage.fake), told + 2);
}

static void a_zone_that_is_down_is_no_panic_while_the_others_are_well(void **state)
{
	(void)state;
	open_mesh(PAYMENTS, "a");
	mark_all("payments.default", 1, 4, true);
	assert_int_equal(share(5, 6), DRAWS);
	mark("payments.default", 5, true);
	assert_in_range(share(1, 4), DRAWS * 2 / 3 - 158, DRAWS * 2 / 3 + 158); /* all, whatever zone */
}

static void a_threshold_of_0_is_no_panic_and_with_nobody_healthy_an_error_that_says_so(void **state)
{
	struct mesh_request *r;

	(void)state;
	open_mesh(PAYMENTS SERVICE("loadBalancer: {panicThreshold: 0}\n"), "a");
	mark_all("payments.default", 1, 5, true);
	assert_int_equal(share(6, 6), DRAWS);
	mark("payments.default", 6, true);
	r = static_mesh_request(&stage, "payments.default", "/");
	assert_int_equal(mesh__step_pick(r), MESH_E_NO_ENDPOINT);
	assert_string_equal(r->err.message, "none of the 6 endpoints of payments.default is healthy");
	mesh__request_free(r);
}

static void there_is_no_panic_while_another_has_somebody_healthy(void **state)
{
	(void)state;
	open_mesh(PAYMENTS DR SERVICE("failover: [{service: payments-dr}]\n"), NULL);
	mark_all("payments.default", 1, 5, true);
	assert_int_equal(share(6, 6), DRAWS);
	mark("payments-dr.default", 11, true);
	assert_int_equal(share(6, 6), DRAWS);
	mark("payments-dr.default", 12, true);
	assert_in_range(share(1, 5), DRAWS * 5 / 6 - 158, DRAWS * 5 / 6 + 158);
	assert_int_equal(static_mesh_count(&stage, "mesh_panic_tries_total{service=\"payments.default\"} "), DRAWS);
}

/* ---- Failover ---- */

static void calls_go_to_the_first_service_that_has_somebody_healthy_and_come_back_when_half_have_been_for_a_while(void **state)
{
	(void)state;
	open_mesh(PAYMENTS DR FAR SERVICE("failover: [{service: payments-dr}, {service: payments-far}]\n"), "a");
	mark_all("payments.default", 1, 5, true);
	assert_int_equal(pick(), 6); /* one is enough to stay */
	mark("payments.default", 6, true);
	assert_int_equal(pick(), 11); /* its own zone's */
	assert_true(fake_env_logged(&stage.fake, "warn failover begins service=payments.default to=payments-dr.default"));
	mark_all("payments-dr.default", 11, 12, true);
	assert_int_equal(pick(), 21);
	mark("payments-far.default", 21, true);
	assert_in_range(pick(), 1, 6); /* nobody is: panic, at home */
	mark("payments-far.default", 21, false);
	assert_int_equal(pick(), 21);
	fake_env_advance_ms(&stage.fake, RETURN_MS); /* it has recovered, too */
	assert_int_equal(pick(), 21);
	mark_all("payments.default", 1, 2, false);
	assert_int_equal(pick(), 21);
	fake_env_advance_ms(&stage.fake, 10 * RETURN_MS);
	assert_int_equal(pick(), 21); /* a third is not half */
	mark("payments.default", 5, false);
	assert_int_equal(pick(), 21);
	fake_env_advance_ms(&stage.fake, RETURN_MS - 1);
	assert_int_equal(pick(), 21);
	fake_env_advance_ms(&stage.fake, 1);
	assert_in_range(pick(), 1, 5);
	assert_true(fake_env_logged(&stage.fake, "info failover ends service=payments.default"));
	assert_int_equal(static_mesh_count(&stage, "mesh_failover_tries_total{service=\"payments.default\"} "), 8);
}

static void what_takes_over_is_left_and_taken_again_as_slowly(void **state)
{
	(void)state;
	open_mesh(PAYMENTS DR FAR SERVICE("failover: [{service: payments-dr}, {service: payments-far}]\n"), NULL);
	mark_all("payments.default", 1, 6, true);
	mark_all("payments-dr.default", 11, 12, true);
	assert_int_equal(pick(), 21);
	mark_all("payments-dr.default", 11, 12, false);
	assert_int_equal(pick(), 21);
	fake_env_advance_ms(&stage.fake, RETURN_MS);
	assert_in_range(pick(), 11, 12);
}

/* Home again before its time, where nobody else can. */
static void one_that_recovers_is_called_at_once_where_nobody_else_is_healthy(void **state)
{
	(void)state;
	open_mesh(PAYMENTS DR SERVICE("failover: [{service: payments-dr}]\n"), NULL);
	mark_all("payments.default", 1, 6, true);
	assert_in_range(pick(), 11, 12);
	mark_all("payments.default", 1, 4, false);
	assert_in_range(pick(), 11, 12);
	mark_all("payments-dr.default", 11, 12, true);
	assert_in_range(pick(), 1, 4);
	assert_int_equal(static_mesh_count(&stage, "mesh_panic_tries_total{service=\"payments.default\"} "), 0);
}

static void other_subsets_take_over_before_services_where_the_route_lets_them(void **state)
{
	static const struct {
		const char *route;
		unsigned to;
	} rows[] = {{"routes: [{name: a, split: [{subset: v1, weight: 1}], otherSubsets: true}]\n", 5}, {"routes: [{name: a, split: [{subset: v1, weight: 1}]}]\n", 11}};
	char documents[4096];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		(void)snprintf(documents, sizeof(documents), "%s%s", PAYMENTS DR SERVICE(SUBSETS "failover: [{service: payments-dr}]\n"), rows[i].route);
		open_mesh(documents, "b");
		assert_in_range(pick(), 1, 4);
		mark_all("payments.default", 1, 4, true);
		mark("payments.default", 6, true);
		mark("payments-dr.default", 12, true);
		assert_int_equal(pick(), rows[i].to);
		if (i + 1 < MESH__COUNT(rows)) {
			static_mesh_close(&stage);
		}
	}
}

/* a -> b -> a: what takes over sends nothing on by its own document. */
static void a_service_that_takes_over_sends_nothing_on(void **state)
{
	struct mesh_request *r;

	(void)state;
	open_mesh(PAYMENTS DR SERVICE("failover: [{service: payments-dr}]\n") "---\napiVersion: mesh/v1\nkind: Service\nname: payments-dr\nfailover: [{service: payments}, {service: payments-far}]\n" FAR, NULL);
	mark_all("payments.default", 1, 6, true);
	r = static_mesh_request(&stage, "payments.default", "/");
	assert_int_equal(mesh__step_pick(r), MESH_OK);
	assert_string_equal(r->service->key, "payments-dr.default");
	mark_all("payments-dr.default", 11, 12, true);
	assert_in_range(pick(), 1, 6); /* panic, and not payments-far */
	r->tried[r->tries++] = r->endpoint;
	assert_int_equal(mesh__step_pick(r), MESH_OK); /* nor does a retry of a try there */
	assert_string_equal(r->service->key, "payments.default");
	mesh__request_free(r);
}

static void a_service_without_endpoints_is_stood_in_for_and_one_that_nobody_knows_is_waited_for_only_where_nobody_else_is(void **state)
{
	struct mesh_request *r;

	(void)state;
	open_mesh(DR SERVICE("failover: [{service: payments-later}, {service: payments-dr}]\n") PAYMENTS, NULL);
	mark_all("payments.default", 1, 6, true);
	assert_in_range(pick(), 11, 12);
	mark_all("payments-dr.default", 11, 12, true);
	assert_in_range(pick(), 1, 6); /* panic helps sooner */
	static_mesh_close(&stage);
	open_mesh(DR SERVICE("failover: [{service: payments-later}, {service: payments-dr}]\nloadBalancer: {panicThreshold: 0}\n")
		"---\napiVersion: mesh/v1\nkind: Service\nname: payments-dr\nloadBalancer: {panicThreshold: 0}\n" PAYMENTS, NULL);
	mark_all("payments.default", 1, 6, true);
	mark_all("payments-dr.default", 11, 12, true);
	r = static_mesh_request(&stage, "payments.default", "/");
	assert_int_equal(mesh__step_pick(r), MESH_OK);
	assert_null(r->service);
	assert_string_equal(r->awaited, "payments-later.default");
	static_mesh_route(&stage, r);
	r->tries = 1; /* what it has tried is in its snapshot: that it does not let go of */
	assert_int_equal(mesh__step_pick(r), MESH_E_NO_ENDPOINT);
	assert_string_equal(r->err.message, "none of the 6 endpoints of payments.default is healthy; failover to payments-later.default: nothing is known of it yet; "
		"failover to payments-dr.default: none of its 2 endpoints is healthy");
	mesh__request_free(r);
}

/* The certificate, the circuit and the budget are those of who takes over; the rule and the deadline those of the call. */
static void a_try_elsewhere_is_that_services_and_the_call_remains_its_own(void **state)
{
	struct mesh_request *r;
	int64_t deadline_us;

	(void)state;
	open_mesh(PAYMENTS DR SERVICE("failover: [{service: payments-dr}]\ntimeout: 3s\nretries: {attempts: 7}\nhedging: {delay: 10ms}\n")
		"---\napiVersion: mesh/v1\nkind: Service\nname: payments-dr\ntimeout: 9s\nretries: {attempts: 1}\ncircuitBreaker: {maxRequests: 1}\n", NULL);
	mark_all("payments.default", 1, 6, true);
	r = static_mesh_request(&stage, "payments.default", "/");
	r->deadline_us = deadline_us = r->now_us + 3000000;
	assert_int_equal(mesh__step_pick(r), MESH_OK);
	assert_string_equal(r->service->key, "payments-dr.default");
	assert_string_equal(r->endpoint->target.spiffe, "spiffe://mesh.local/ns/default/svc/payments-dr");
	assert_string_equal(r->endpoint->target.host, "payments-dr.default.mesh.local");
	assert_int_equal(mesh__retries_of(r)->attempts, 7);
	assert_true(mesh__hedging_of(r)->on);
	assert_int_equal(r->deadline_us, deadline_us);
	assert_int_equal(mesh__step_admit(r), MESH_OK);
	assert_string_equal(r->held->key, "payments-dr.default");
	assert_int_equal(mesh__step_admit(r), MESH_E_OVERLOADED); /* a second one is one too many there */
	mesh__destination_leave(mesh__snapshot_find(stage.snapshot, "payments-dr.default")->destination);
	mesh__request_free(r);
}

/* What takes over has a longer timeout of its own, which no call that was not made of it ever has. */
static void who_takes_over_and_lets_the_calls_whole_time_pass_is_ejected(void **state)
{
	struct mesh__endpoint *e;

	(void)state;
	open_mesh(PAYMENTS FAR SERVICE("failover: [{service: payments-far}]\ntimeout: 3s\n") "---\napiVersion: mesh/v1\nkind: Service\nname: payments-far\ntimeout: 9s\n", NULL);
	mark_all("payments.default", 1, 6, true);
	e = static_mesh_endpoint(&stage, "payments-far.default", 21);
	for (int i = 0; i < 7; i++) {
		struct mesh_request *r = static_mesh_request(&stage, "payments.default", "/");

		assert_true(mesh__endpoint_is_healthy(e));
		r->begun_us = r->now_us;
		r->deadline_us = r->now_us + 3000000;
		assert_int_equal(mesh__step_pick(r), MESH_OK);
		assert_ptr_equal(r->endpoint, e);
		assert_int_equal(mesh__step_admit(r), MESH_OK);
		r->try_code = mesh__fail(&r->err, MESH_E_TIMEOUT, "the deadline passed");
		mesh__step_judge(r);
		mesh__step_observe(r);
		mesh__request_free(r);
	}
	assert_false(mesh__endpoint_is_healthy(e));
}

/* ---- Many calls at once, while endpoints come and go ---- */

enum { CALLERS = 3, PICKS = 2000 };

static void *pick_often(void *arg)
{
	struct mesh_request *r = static_mesh_request(&stage, "payments.default", "/");

	for (int i = 0; i < PICKS; i++) {
		*(unsigned *)arg += pick_of(r) != 0;
	}
	mesh__request_free(r);
	return NULL;
}

static void every_one_of_many_calls_at_once_finds_somebody(void **state)
{
	unsigned found[CALLERS] = {0};
	pthread_t threads[CALLERS];

	(void)state;
	open_mesh(PAYMENTS DR SERVICE("failover: [{service: payments-dr}]\n"), "a");
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, pick_often, &found[i]), 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		mark_all("payments.default", 1, 6, i % 2 == 0);
		mark_all("payments-dr.default", 11, 12, i % 3 == 0);
		fake_env_advance_ms(&stage.fake, RETURN_MS / 2);
	}
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(found[i], PICKS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_own_zone_is_called_and_spills_by_envoys_table_and_takes_it_back, tear_down),
		cmocka_unit_test_teardown(the_unhealthy_are_not_called_where_others_are, tear_down),
		cmocka_unit_test_teardown(without_a_zone_or_with_none_here_or_where_it_is_not_wanted_all_are_one, tear_down),
		cmocka_unit_test_teardown(a_retry_stays_in_the_zone_while_somebody_healthy_there_has_not_been_asked, tear_down),
		cmocka_unit_test_teardown(with_fewer_than_the_threshold_healthy_all_are_called_and_it_is_counted_and_logged, tear_down),
		cmocka_unit_test_teardown(a_zone_that_is_down_is_no_panic_while_the_others_are_well, tear_down),
		cmocka_unit_test_teardown(a_threshold_of_0_is_no_panic_and_with_nobody_healthy_an_error_that_says_so, tear_down),
		cmocka_unit_test_teardown(there_is_no_panic_while_another_has_somebody_healthy, tear_down),
		cmocka_unit_test_teardown(calls_go_to_the_first_service_that_has_somebody_healthy_and_come_back_when_half_have_been_for_a_while, tear_down),
		cmocka_unit_test_teardown(what_takes_over_is_left_and_taken_again_as_slowly, tear_down),
		cmocka_unit_test_teardown(one_that_recovers_is_called_at_once_where_nobody_else_is_healthy, tear_down),
		cmocka_unit_test_teardown(other_subsets_take_over_before_services_where_the_route_lets_them, tear_down),
		cmocka_unit_test_teardown(a_service_that_takes_over_sends_nothing_on, tear_down),
		cmocka_unit_test_teardown(a_service_without_endpoints_is_stood_in_for_and_one_that_nobody_knows_is_waited_for_only_where_nobody_else_is, tear_down),
		cmocka_unit_test_teardown(every_one_of_many_calls_at_once_finds_somebody, tear_down),
		cmocka_unit_test_teardown(a_try_elsewhere_is_that_services_and_the_call_remains_its_own, tear_down),
		cmocka_unit_test_teardown(who_takes_over_and_lets_the_calls_whole_time_pass_is_ejected, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
