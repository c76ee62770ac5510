/* Ejections as calls meet them: what counts, who probes, how many there may be, and that many threads at once make no difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "outbound/call.h"
#include "outbound/destination.h"
#include "outbound/steps.h"
#include "support/fake_env.h"

enum { ENDPOINTS_MAX = 10, THREADS = 4, ROUNDS = 300, SECOND_MS = 1000, FAILURES = 7 };

static struct {
	struct fake_env fake;
	struct mesh__outbound outbound;
	struct mesh__endpoint_list list;
	struct mesh__endpoint_source source;
	struct mesh__endpoint *endpoints[ENDPOINTS_MAX];
	struct mesh_request *r;
} stage;

static struct mesh__service service;
static struct mesh__group *const all = &service.all;

static int set_up(void **state)
{
	struct mesh__outbound *o = &stage.outbound;

	(void)state;
	memset(&stage, 0, sizeof(stage));
	memset(&service, 0, sizeof(service));
	fake_env_init(&stage.fake);
	o->env = &stage.fake.env;
	o->max_body_bytes = 1000;
	o->metrics = mesh__metrics_new(&stage.fake.env);
	o->tries = o->retries = o->calls_ok = o->calls_failed = mesh__metrics_counter(o->metrics, "n", "Any.", NULL, NULL);
	mesh__endpoint_list_init(&stage.list, &stage.fake.env);
	mesh__destination_list_show(&stage.list.destinations, o->metrics);
	stage.source = mesh__endpoint_source(&stage.list);
	service.destination = stage.source.destination(&stage.list, "payments.default");
	service.known = true;
	all->endpoints = stage.endpoints;
	mesh__service_policy_default(&service.policy);
	stage.r = mesh__request_new(o, "payments", "GET", "/");
	return stage.r == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	stage.r->snapshot = NULL;
	mesh__request_free(stage.r);
	for (size_t i = 0; i < all->n; i++) {
		mesh__endpoint_unref(stage.endpoints[i]);
	}
	assert_int_equal(atomic_load(&service.destination->outlier.n_ejected), 0);
	assert_int_equal(atomic_load(&service.destination->outlier.n_endpoints), 0);
	assert_int_equal(atomic_load(&service.destination->n_unhealthy), 0);
	stage.source.destination_unref(service.destination);
	mesh__endpoint_list_fini(&stage.list);
	mesh__metrics_free(stage.outbound.metrics);
	return 0;
}

/* So many replicas of the service: endpoints[0 … n - 1]. */
static void replicas(size_t n)
{
	static const struct mesh__name name = {.trust_domain = "mesh.local", .ns = "default", .service = "payments"};

	for (; all->n < n; all->n++) {
		struct mesh__endpoint_spec spec = {.service = &name, .destination = service.destination};
		char instance[24];
		(void)snprintf(instance, sizeof(instance), "i%zu", all->n);
		spec.instance = instance;
		assert_int_equal(mesh__addr_parse("address", "127.0.0.1:1", false, &spec.address, NULL), MESH_OK);
		stage.endpoints[all->n] = stage.source.make(&stage.list, &spec);
		assert_non_null(stage.endpoints[all->n]);
	}
}

static int64_t now_us(void)
{
	return mesh__mono_us(&stage.fake.env);
}

static void learn(struct mesh__endpoint *e, enum mesh__blame blame, int times)
{
	for (int i = 0; i < times; i++) {
		mesh__outlier_learn(e, blame, "500", now_us());
	}
}

static bool is_ejected(size_t i)
{
	return !mesh__endpoint_is_healthy(stage.endpoints[i]);
}

static int ejected(void)
{
	return atomic_load(&service.destination->outlier.n_ejected);
}

static struct mesh__endpoint *claim(void)
{
	return mesh__outlier_is_due(&service.destination->outlier, now_us()) ? mesh__outlier_claim(service.destination, all, now_us()) : NULL;
}

/* ---- Which tries eject ---- */

static void seven_failures_in_a_row_eject_and_a_success_between_counts_from_none(void **state)
{
	(void)state;
	replicas(3);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES - 1);
	learn(stage.endpoints[0], MESH__BLAME_UNKNOWN, 100);
	assert_false(is_ejected(0));
	learn(stage.endpoints[0], MESH__BLAME_NOBODY, 1);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES - 1);
	assert_false(is_ejected(0));
	learn(stage.endpoints[1], MESH__BLAME_NOBODY, 1); /* another's success is another's */
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, 1);
	assert_true(is_ejected(0));
	assert_int_equal(ejected(), 1);
	assert_true(fake_env_logged(&stage.fake, "warn endpoint ejected service=payments.default instance=i0 endpoint=127.0.0.1:1 reason=7 failures in a row last=500 for=1000ms ejected=1 of 3\n"));
}

static void what_ends_late_on_an_ejected_endpoint_counts_for_nothing(void **state)
{
	(void)state;
	replicas(2);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
	learn(stage.endpoints[0], MESH__BLAME_NOBODY, 50);
	assert_true(is_ejected(0));
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, 50);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	mesh__outlier_probed(claim(), MESH__BLAME_NOBODY, now_us());
	assert_false(is_ejected(0));
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES - 1);
	assert_false(is_ejected(0));
}

static void a_document_may_say_another_number_or_none(void **state)
{
	struct mesh__service_policy policy;

	(void)state;
	replicas(4);
	mesh__service_policy_default(&policy);
	policy.outlier.consecutive_failures = 2;
	stage.source.tune(service.destination, &policy);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, 2);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, 2);
	assert_int_equal(ejected(), 2);
	policy.outlier.consecutive_failures = 0;
	stage.source.tune(service.destination, &policy);
	assert_int_equal(ejected(), 0);
	assert_false(is_ejected(0) || is_ejected(1));
	assert_true(fake_env_logged(&stage.fake, "info endpoints readmitted service=payments.default endpoints=2 reason=what ejected them is off\n"));
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, 100);
	assert_int_equal(ejected(), 0);
}

/* ---- How many ---- */

static void no_more_than_the_share_are_ejected_however_many_fail(void **state)
{
	(void)state;
	replicas(5);
	for (size_t i = 0; i < all->n; i++) {
		learn(stage.endpoints[i], MESH__BLAME_ENDPOINT, 3 * FAILURES);
	}
	assert_int_equal(ejected(), 2);
	assert_int_equal(atomic_load(&mesh__metrics_counter(stage.outbound.metrics, "mesh_outlier_withheld_total", "", "service", "payments.default")->value), 9);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	mesh__outlier_probed(claim(), MESH__BLAME_NOBODY, now_us());
	learn(stage.endpoints[4], MESH__BLAME_ENDPOINT, FAILURES); /* a place is free */
	assert_true(is_ejected(4));
	assert_int_equal(ejected(), 2);
}

static void lead_home(void)
{
	mesh__request_lead(stage.r, &service, all, NULL);
	stage.r->called = &service;
	stage.r->now_us = now_us();
}

static void the_only_endpoint_may_be_ejected_and_is_called_all_the_same(void **state)
{
	(void)state;
	replicas(1);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
	assert_true(is_ejected(0));
	lead_home();
	assert_int_equal(mesh__step_pick(stage.r), MESH_OK);
	assert_ptr_equal(stage.r->endpoint, stage.endpoints[0]);
	assert_null(stage.r->probes);
}

/* Each fails all endpoints, round after round, as the others do. */
static void *fail_all(void *arg)
{
	_Atomic int *most = arg;

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < all->n; i++) {
			int n;
			mesh__outlier_learn(stage.endpoints[i], MESH__BLAME_ENDPOINT, "500", now_us());
			n = ejected();
			if (n > atomic_load(most)) {
				atomic_store(most, n);
			}
		}
		if (round % 10 == 9) {
			struct mesh__endpoint *e = claim();
			if (e != NULL) {
				mesh__outlier_probed(e, round % 20 == 9 ? MESH__BLAME_NOBODY : MESH__BLAME_ENDPOINT, now_us());
			}
			fake_env_advance_ms(&stage.fake, SECOND_MS);
		}
	}
	return NULL;
}

static void run_threads(void *(*body)(void *), void *arg)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, body, arg), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

static void no_more_than_the_share_also_when_all_fail_on_many_threads_at_once(void **state)
{
	_Atomic int most = 0;
	int unhealthy = 0;

	(void)state;
	replicas(ENDPOINTS_MAX);
	run_threads(fail_all, &most);
	assert_in_range(atomic_load(&most), 1, ENDPOINTS_MAX / 2);
	for (size_t i = 0; i < all->n; i++) {
		unhealthy += is_ejected(i);
	}
	assert_int_equal(unhealthy, ejected());
	assert_int_equal(unhealthy, atomic_load(&service.destination->n_unhealthy));
}

/* ---- The probe ---- */

static void it_is_probed_by_one_call_and_by_no_other_until_that_has_ended(void **state)
{
	struct mesh__endpoint *e = NULL;

	(void)state;
	replicas(3);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, FAILURES);
	fake_env_advance_ms(&stage.fake, SECOND_MS - 1);
	assert_null(claim());
	fake_env_advance_ms(&stage.fake, 1);
	e = claim();
	assert_ptr_equal(e, stage.endpoints[1]);
	fake_env_advance_ms(&stage.fake, 3600 * SECOND_MS);
	assert_null(claim());
	assert_true(is_ejected(1)); /* until it has ended, nobody else goes there */
	mesh__outlier_probed(e, MESH__BLAME_NOBODY, now_us());
	assert_false(is_ejected(1));
	assert_null(claim());
	assert_true(fake_env_logged(&stage.fake, "info endpoint readmitted service=payments.default instance=i1 endpoint=127.0.0.1:1 reason=its probe went well\n"));
}

static void each_probe_that_fails_doubles_its_penalty_to_a_minute(void **state)
{
	static const int64_t seconds[] = {2, 4, 8, 16, 32, 60, 60};
	static const uint64_t nothing_added[MESH__COUNT(seconds)] = {0};

	(void)state;
	replicas(2);
	fake_env_dice(&stage.fake, nothing_added, MESH__COUNT(nothing_added));
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	for (size_t i = 0; i < MESH__COUNT(seconds); i++) {
		struct mesh__endpoint *e = claim();
		assert_ptr_equal(e, stage.endpoints[0]);
		mesh__outlier_probed(e, MESH__BLAME_ENDPOINT, now_us());
		fake_env_advance_ms(&stage.fake, seconds[i] * SECOND_MS - 1);
		assert_null(claim());
		fake_env_advance_ms(&stage.fake, 1);
	}
	assert_true(fake_env_logged(&stage.fake, "reason=its probe failed for=60000ms ejected=1 of 2\n"));
	mesh__outlier_probed(claim(), MESH__BLAME_UNKNOWN, now_us()); /* says nothing: the next one, at once */
	mesh__outlier_probed(claim(), MESH__BLAME_NOBODY, now_us());
	assert_false(is_ejected(0));
}

static _Atomic int claims;

static void *claim_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (claim() != NULL) {
			atomic_fetch_add(&claims, 1);
		}
	}
	return NULL;
}

static void of_many_threads_exactly_one_probes(void **state)
{
	(void)state;
	replicas(3);
	learn(stage.endpoints[2], MESH__BLAME_ENDPOINT, FAILURES);
	for (int round = 1; round <= 20; round++) {
		fake_env_advance_ms(&stage.fake, 100 * SECOND_MS);
		run_threads(claim_often, NULL);
		assert_int_equal(atomic_load(&claims), round);
		mesh__outlier_probed(stage.endpoints[2], MESH__BLAME_ENDPOINT, now_us());
	}
	atomic_store(&claims, 0);
}

/* One subset's calls must not look through its endpoints each time because another's, which nobody calls, is due. */
static void a_group_probes_its_own_and_remembers_that_it_has_none(void **state)
{
	struct mesh__group one = {.n = 2, .endpoints = stage.endpoints}, other = {.n = 2, .endpoints = stage.endpoints + 2};
	struct mesh__destination *d = service.destination;

	(void)state;
	replicas(4);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	assert_true(mesh__outlier_is_due(&d->outlier, now_us()));
	assert_null(mesh__outlier_claim(d, &other, now_us()));
	assert_int_equal(atomic_load(&other.probe_due_us), INT64_MAX);
	assert_int_equal(atomic_load(&other.probe_epoch), atomic_load(&d->outlier.epoch));
	learn(stage.endpoints[3], MESH__BLAME_ENDPOINT, FAILURES);
	assert_null(mesh__outlier_claim(d, &other, now_us()));
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	assert_ptr_equal(mesh__outlier_claim(d, &other, now_us()), stage.endpoints[3]);
	assert_ptr_equal(mesh__outlier_claim(d, &one, now_us()), stage.endpoints[0]);
	assert_false(mesh__outlier_is_due(&d->outlier, now_us()));
	mesh__outlier_probed(stage.endpoints[0], MESH__BLAME_NOBODY, now_us());
	mesh__outlier_probed(stage.endpoints[3], MESH__BLAME_NOBODY, now_us());
}

/* ---- Rates ---- */

enum { INTERVAL_MS = 10 * SECOND_MS, REQUESTS = 100, HOSTS = 5 };

/* Failures in a row eject nobody; of at least so many hosts, over the threshold. */
static void tune_rates(bool success, bool failure)
{
	struct mesh__service_policy policy;

	mesh__service_policy_default(&policy);
	policy.outlier.consecutive_failures = 0;
	policy.outlier.rates[MESH__OUTLIER_SUCCESS_RATE].on = success;
	policy.outlier.rates[MESH__OUTLIER_FAILURE_PERCENT].on = failure;
	stage.source.tune(service.destination, &policy);
}

/* So many of a hundred fail, each, and the interval ends with one more that says so. */
static void an_interval(const int failures[HOSTS])
{
	for (size_t i = 0; i < HOSTS; i++) {
		learn(stage.endpoints[i], MESH__BLAME_ENDPOINT, failures[i]);
		learn(stage.endpoints[i], MESH__BLAME_NOBODY, REQUESTS - failures[i]);
	}
	fake_env_advance_ms(&stage.fake, INTERVAL_MS);
	learn(stage.endpoints[0], MESH__BLAME_NOBODY, 1);
}

static void who_succeeds_less_than_the_others_is_out_when_the_interval_ends_and_comes_back_with_time(void **state)
{
	static const int one_is_bad[HOSTS] = {0, 0, 40, 0, 0}, all_are_well[HOSTS] = {0};

	(void)state;
	replicas(HOSTS);
	tune_rates(true, false);
	learn(stage.endpoints[2], MESH__BLAME_ENDPOINT, 1000);
	assert_int_equal(ejected(), 0); /* not before */
	an_interval(one_is_bad);
	assert_true(is_ejected(2));
	assert_int_equal(ejected(), 1);
	assert_true(fake_env_logged(&stage.fake, "warn endpoint ejected service=payments.default instance=i2 endpoint=127.0.0.1:1 reason=success rate "));
	assert_true(fake_env_logged(&stage.fake, " for=1000ms ejected=1 of 5\n"));
	fake_env_advance_ms(&stage.fake, SECOND_MS - 1);
	assert_null(claim());
	assert_true(is_ejected(2));
	fake_env_advance_ms(&stage.fake, 1);
	lead_home();
	assert_int_equal(mesh__step_pick(stage.r), MESH_OK); /* it is in again, and nobody has probed it */
	assert_null(stage.r->probes);
	assert_int_equal(ejected(), 0);
	assert_true(fake_env_logged(&stage.fake, "info endpoint readmitted service=payments.default instance=i2 endpoint=127.0.0.1:1 reason=its time has passed\n"));
	assert_false(mesh__outlier_is_due(&service.destination->outlier, now_us()));
	an_interval(one_is_bad);
	assert_true(fake_env_logged(&stage.fake, "reason=success rate 60.00% under 61.60% for=2000ms ejected=1 of 5\n"));
	fake_env_advance_ms(&stage.fake, 2 * SECOND_MS);
	assert_null(claim());
	an_interval(all_are_well); /* it was out in it */
	an_interval(all_are_well);
	an_interval(one_is_bad);
	assert_int_equal(stage.endpoints[2]->outlier.ejection.length_us, 2 * SECOND_MS * 1000);
	tune_rates(false, true);
	assert_int_equal(ejected(), 0);
}

static void over_the_threshold_they_are_out_up_to_the_share_and_the_success_rate_comes_first(void **state)
{
	static const int three_are_bad[HOSTS] = {0, 86, 86, 85, 86}, one_is_worse[HOSTS] = {0, 0, 0, 0, 90};

	(void)state;
	replicas(HOSTS);
	tune_rates(false, true);
	an_interval(three_are_bad);
	assert_int_equal(ejected(), 2);
	assert_int_equal(is_ejected(1) + is_ejected(2) + is_ejected(4), 2);
	assert_int_equal(atomic_load(&mesh__metrics_counter(stage.outbound.metrics, "mesh_outlier_withheld_total", "", "service", "payments.default")->value), 1);
	assert_true(fake_env_logged(&stage.fake, "reason=failures 86.00% over 85.00% for=1000ms ejected="));
	tune_rates(false, false);
	assert_int_equal(ejected(), 0);
	tune_rates(true, true);
	an_interval(one_is_worse);
	assert_int_equal(ejected(), 1);
	assert_int_equal(stage.endpoints[4]->outlier.rate, MESH__OUTLIER_SUCCESS_RATE);
	assert_int_equal(stage.endpoints[4]->outlier.ejection.times, 1); /* once, though both say so */
}

static void a_rate_counts_from_when_it_was_switched_on_and_keeps_its_interval_through_other_changes(void **state)
{
	static const int all_are_well[HOSTS] = {0};

	(void)state;
	replicas(HOSTS);
	learn(stage.endpoints[1], MESH__BLAME_NOBODY, 100);
	assert_int_equal(atomic_load(&stage.endpoints[1]->outcomes), 0); /* off: nothing is counted */
	tune_rates(false, true);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, 1000);
	tune_rates(false, false);
	tune_rates(false, true);
	an_interval(all_are_well);
	assert_int_equal(ejected(), 0);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, 1000);
	tune_rates(false, true); /* as it was */
	an_interval(all_are_well);
	assert_true(is_ejected(1));
}

static void *learn_and_come_back(void *arg)
{
	(void)arg;
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < HOSTS; i++) {
			learn(stage.endpoints[i], i == 0 ? MESH__BLAME_ENDPOINT : MESH__BLAME_NOBODY, 40);
		}
		assert_null(claim());
		fake_env_advance_ms(&stage.fake, SECOND_MS);
	}
	return NULL;
}

static void on_many_threads_at_once_the_one_that_fails_is_out_and_no_other(void **state)
{
	(void)state;
	replicas(HOSTS);
	tune_rates(true, true);
	run_threads(learn_and_come_back, NULL);
	assert_true(stage.endpoints[0]->outlier.ejection.times > 1);
	for (size_t i = 1; i < HOSTS; i++) {
		assert_false(is_ejected(i));
		assert_int_equal(stage.endpoints[i]->outlier.ejection.times, 0);
	}
	tune_rates(false, false);
}

/* ---- What the mesh and its documents do to it ---- */

static void an_ejection_leaves_with_its_endpoint_and_nothing_ejects_it_after(void **state)
{
	struct mesh__endpoint *e;

	(void)state;
	replicas(2);
	learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	e = claim();
	stage.source.leave(e);
	assert_int_equal(ejected(), 0);
	mesh__outlier_probed(e, MESH__BLAME_ENDPOINT, now_us()); /* by a call on an older snapshot */
	learn(e, MESH__BLAME_ENDPOINT, 10 * FAILURES);
	assert_int_equal(ejected(), 0);
	assert_null(claim());
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, FAILURES);
	assert_int_equal(ejected(), 1);
	assert_true(fake_env_logged(&stage.fake, "ejected=1 of 1\n"));
}

/* ---- As a call's steps ---- */

static void pick(int32_t tries, bool copy)
{
	lead_home();
	stage.r->tries = tries;
	stage.r->tried[0] = stage.endpoints[0];
	stage.r->copy.of = copy ? service.destination : NULL;
	assert_int_equal(mesh__step_pick(stage.r), MESH_OK);
	stage.r->copy.of = NULL;
}

static void calls_go_elsewhere_while_it_is_ejected(void **state)
{
	(void)state;
	replicas(3);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, FAILURES);
	for (int i = 0; i < 200; i++) {
		pick(0, false);
		assert_ptr_not_equal(stage.r->endpoint, stage.endpoints[1]);
		assert_null(stage.r->probes);
	}
}

static void a_first_try_probes_and_no_retry_and_no_mirrors_copy(void **state)
{
	(void)state;
	replicas(2);
	learn(stage.endpoints[1], MESH__BLAME_ENDPOINT, FAILURES);
	fake_env_advance_ms(&stage.fake, SECOND_MS);
	pick(1, false);
	assert_null(stage.r->probes);
	pick(0, true);
	assert_null(stage.r->probes);
	pick(0, false);
	assert_ptr_equal(stage.r->probes, stage.endpoints[1]);
	assert_ptr_equal(stage.r->endpoint, stage.endpoints[1]);
	mesh__request_let_go(stage.r); /* it was not let in, say */
	assert_null(stage.r->probes);
	assert_true(is_ejected(1));
	pick(0, false); /* the next call has it to do */
	assert_ptr_equal(stage.r->probes, stage.endpoints[1]);
}

/* The call's n-th try on that endpoint ends like this, the call having had so long. */
static void observe_of(size_t i, int32_t tries, int64_t timeout_ms, enum mesh__try_end end, int status, int code)
{
	static const struct mesh__breaker breaker = {9, 9, 9};

	stage.r->called = stage.r->service = &service;
	stage.r->group = all;
	stage.r->tries = tries;
	stage.r->begun_us = now_us();
	stage.r->deadline_us = now_us() + timeout_ms * 1000;
	assert_int_equal(mesh__destination_enter(service.destination, &breaker, NULL), MESH_OK);
	stage.r->held = service.destination;
	stage.r->endpoint = stage.endpoints[i];
	stage.r->end = end;
	stage.r->response.status = status;
	mesh__err_clear(&stage.r->err);
	if (code != MESH_OK) {
		assert_int_equal(mesh__fail(&stage.r->err, code, "it failed"), code);
	}
	mesh__step_observe(stage.r);
}

static void observe(size_t i, enum mesh__try_end end, int status, int code)
{
	observe_of(i, 0, service.policy.timeout_ms, end, status, code);
}

static void what_a_try_ended_with_is_what_is_learned(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int status, code;
		bool ejects;
	} rows[] = {
		{MESH__TRY_ANSWERED, 500, MESH_OK, true},
		{MESH__TRY_ANSWERED, 404, MESH_OK, false},
		{MESH__TRY_UNCONNECTED, 0, MESH_E_CONNECT, true},
		{MESH__TRY_UNSURE, 0, MESH_E_RESET, true},
		{MESH__TRY_STOPPED, 0, MESH_E_TIMEOUT, true}, /* the service's whole time */
		{MESH__TRY_STOPPED, 0, MESH_E_CANCELLED, false},
		{MESH__TRY_LOCAL, 0, MESH_E_OVERLOADED, false},
	};

	(void)state;
	replicas(2);
	for (size_t row = 0; row < MESH__COUNT(rows); row++) {
		for (int i = 0; i < FAILURES; i++) {
			assert_false(is_ejected(0));
			observe(0, rows[row].end, rows[row].status, rows[row].code);
		}
		assert_int_equal(is_ejected(0), rows[row].ejects);
		if (rows[row].ejects) {
			fake_env_advance_ms(&stage.fake, SECOND_MS);
			pick(0, false);
			assert_ptr_equal(stage.r->probes, stage.endpoints[0]);
			observe(0, MESH__TRY_ANSWERED, 200, MESH_OK);
			assert_null(stage.r->probes);
			assert_false(is_ejected(0));
		}
	}
	assert_true(fake_env_logged(&stage.fake, "last=MESH_E_CONNECT "));
}

static void a_callers_own_haste_is_not_the_endpoints_failure_nor_what_earlier_tries_have_left(void **state)
{
	(void)state;
	replicas(2);
	for (int i = 0; i < 2 * FAILURES; i++) {
		observe_of(0, 0, service.policy.timeout_ms - 1, MESH__TRY_STOPPED, 0, MESH_E_TIMEOUT);
		observe_of(0, 1, service.policy.timeout_ms, MESH__TRY_STOPPED, 0, MESH_E_TIMEOUT);
		assert_false(is_ejected(0));
	}
}

/* Else each call of a caller with short deadlines, or with second tries, would be the probe of one that hangs. */
static void a_probe_that_has_no_answer_in_the_time_that_there_was_has_failed_and_one_that_was_cancelled_says_nothing(void **state)
{
	static const struct {
		enum mesh__try_end end;
		int code;
		bool failed;
	} rows[] = {
		{MESH__TRY_STOPPED, MESH_E_TIMEOUT, true}, /* the caller's own */
		{MESH__TRY_OUTRUN, MESH_OK, true},
		{MESH__TRY_STOPPED, MESH_E_CANCELLED, false},
		{MESH__TRY_LOCAL, MESH_E_OVERLOADED, false},
	};

	(void)state;
	replicas(2);
	for (size_t row = 0; row < MESH__COUNT(rows); row++) {
		learn(stage.endpoints[0], MESH__BLAME_ENDPOINT, FAILURES);
		fake_env_advance_ms(&stage.fake, SECOND_MS);
		pick(0, false);
		assert_ptr_equal(stage.r->probes, stage.endpoints[0]);
		observe_of(0, 0, 1, rows[row].end, 0, rows[row].code);
		pick(0, false);
		if (rows[row].failed) {
			assert_null(stage.r->probes);
			fake_env_advance_ms(&stage.fake, 3 * SECOND_MS); /* twice as long, and half of that */
			pick(0, false);
		}
		assert_ptr_equal(stage.r->probes, stage.endpoints[0]);
		observe(0, MESH__TRY_ANSWERED, 200, MESH_OK);
		assert_false(is_ejected(0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(seven_failures_in_a_row_eject_and_a_success_between_counts_from_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_ends_late_on_an_ejected_endpoint_counts_for_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_document_may_say_another_number_or_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_more_than_the_share_are_ejected_however_many_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_only_endpoint_may_be_ejected_and_is_called_all_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_more_than_the_share_also_when_all_fail_on_many_threads_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_probed_by_one_call_and_by_no_other_until_that_has_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_probe_that_fails_doubles_its_penalty_to_a_minute, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_many_threads_exactly_one_probes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_probes_its_own_and_remembers_that_it_has_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_succeeds_less_than_the_others_is_out_when_the_interval_ends_and_comes_back_with_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(over_the_threshold_they_are_out_up_to_the_share_and_the_success_rate_comes_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_rate_counts_from_when_it_was_switched_on_and_keeps_its_interval_through_other_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(on_many_threads_at_once_the_one_that_fails_is_out_and_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_ejection_leaves_with_its_endpoint_and_nothing_ejects_it_after, set_up, tear_down),
		cmocka_unit_test_setup_teardown(calls_go_elsewhere_while_it_is_ejected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_first_try_probes_and_no_retry_and_no_mirrors_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_try_ended_with_is_what_is_learned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_callers_own_haste_is_not_the_endpoints_failure_nor_what_earlier_tries_have_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_probe_that_has_no_answer_in_the_time_that_there_was_has_failed_and_one_that_was_cancelled_says_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
