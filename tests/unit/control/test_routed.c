/* What subsets and routes lead to, as a service is built with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "control/routed.h"
#include "policy/document.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"

enum { N = 4, MOST = 8 };

struct mesh__endpoint {
	struct mesh__labels labels;
	struct mesh__hash_host host;
};

static struct mesh__endpoint endpoints[N] = {{{"v1", "a"}, {"c", 1}}, {{"v1", "b"}, {"a", 2}}, {{"v2", "a"}, {"d", 1}}, {{NULL, NULL}, {"b", 1}}};

static struct {
	struct fake_env fake;
	struct fail_mem mem;
	struct mesh__endpoint_source source;
	struct mesh__counter counter;
	char told[MOST][128]; /* what counters were asked for */
	size_t n_told;
} f;

static void nothing(struct mesh__endpoint *endpoint)
{
	(void)endpoint;
}

static void no_destination(struct mesh__destination *destination)
{
	(void)destination;
}

static void labels(const struct mesh__endpoint *endpoint, struct mesh__labels *out)
{
	*out = endpoint->labels;
}

static void host(const struct mesh__endpoint *endpoint, struct mesh__hash_host *out)
{
	*out = (struct mesh__hash_host){.key = endpoint->host.key, .weight = endpoint->host.weight};
}

static struct mesh__counter *routed(void *ctx, const char *to)
{
	assert_ptr_equal(ctx, &f);
	assert_true(f.n_told < MOST);
	(void)snprintf(f.told[f.n_told++], sizeof(f.told[0]), "%s", to);
	return &f.counter;
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	fake_env_init(&f.fake);
	fail_mem_init(&f.mem);
	f.fake.env.mem = f.mem.mem;
	f.source = (struct mesh__endpoint_source){.destination_unref = no_destination, .unref = nothing, .labels = labels, .host = host, .routed = routed, .faulted = routed, .ctx = &f};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.mem.live, 0);
	return 0;
}

/* A service with all endpoints and these fields of its document, not prepared; NULL: out of memory. */
static struct mesh__service *service_with(const char *fields)
{
	struct mesh__service *s = mesh__alloc(&f.fake.env.mem, sizeof(*s) + N * sizeof(struct mesh__endpoint *));
	struct mesh__document *d = NULL;
	struct mesh__err err = MESH__NO_ERR;
	char text[2048];

	(void)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: Service\nname: payments\n%s", fields);
	if (s != NULL && mesh__documents_parse(&f.fake.env.mem, "f", text, strlen(text), "default", &d, NULL, NULL, &err) != MESH_OK) {
		if (err.code != MESH_E_NO_MEMORY) {
			fail_msg("%s", err.message);
		}
		mesh__free(s);
		s = NULL;
	}
	if (s != NULL) {
		atomic_init(&s->refs, 1);
		s->source = &f.source;
		(void)snprintf(s->key, sizeof(s->key), "payments.default");
		mesh__service_policy_copy(&s->policy, &d->service);
		for (; s->n < N; s->n++) {
			s->endpoints[s->n] = &endpoints[s->n];
		}
	}
	mesh__documents_free(d);
	return s;
}

static struct mesh__service *prepared(const char *fields, const struct mesh__service *before)
{
	struct mesh__service *s = service_with(fields);

	assert_true(mesh__service_prepare(s, before, &f.fake.env));
	return s;
}

#define SUBSETS "subsets: [{name: v1, labels: {version: v1}}, {name: east, labels: {zone: a}}, {name: old-east, labels: {version: v1, zone: a}}, {name: none, labels: {version: v9}}]\n"
#define ROUTES "routes:\n- {name: testers, match: [{path: /t}], split: [{subset: east, weight: 1}]}\n- {name: plain, match: [{path: /p}]}\n- {name: rest, split: [{subset: v1, weight: 8}, {service: next.other, weight: 1}, {weight: 1}]}\n"

static void a_subset_has_the_endpoints_that_have_all_of_its_labels(void **state)
{
	static const struct {
		const char *name;
		size_t n, at[2];
	} rows[] = {{"v1", 2, {0, 1}}, {"east", 2, {0, 2}}, {"old-east", 1, {0}}, {"none", 0, {0}}};
	struct mesh__service *s = prepared(SUBSETS, NULL);

	(void)state;
	assert_int_equal(s->all.n, N);
	assert_null(s->all.subset);
	assert_ptr_equal(s->all.endpoints, s->endpoints);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const struct mesh__group *group = mesh__service_subset(s, rows[i].name);
		assert_ptr_equal(group, &s->subsets[i]);
		assert_string_equal(group->subset, rows[i].name);
		assert_int_equal(group->n, rows[i].n);
		for (size_t k = 0; k < group->n; k++) {
			assert_ptr_equal(group->endpoints[k], &endpoints[rows[i].at[k]]);
		}
	}
	assert_null(mesh__service_subset(s, "v2"));
	mesh__service_unref(s);
}

static void the_endpoints_of_the_own_zone_stand_first_in_every_group_and_the_others_stay_in_their_order(void **state)
{
	static const struct {
		const char *zone, *fields;
		size_t n_near, order[N], n_near_v1;
	} rows[] = {
		{NULL, SUBSETS, 0, {0, 1, 2, 3}, 0}, {"b", SUBSETS, 1, {1, 0, 2, 3}, 1}, {"a", SUBSETS, 2, {0, 2, 1, 3}, 1}, {"c", SUBSETS, 0, {0, 1, 2, 3}, 0},
		{"b", SUBSETS "loadBalancer: {zoneAware: false}\n", 0, {0, 1, 2, 3}, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__service *s;
		f.source.zone = rows[i].zone;
		s = prepared(rows[i].fields, NULL);
		assert_int_equal(s->all.n_near, rows[i].n_near);
		for (size_t k = 0; k < N; k++) {
			assert_ptr_equal(s->all.endpoints[k], &endpoints[rows[i].order[k]]);
		}
		assert_int_equal(s->subsets[0].n_near, rows[i].n_near_v1);
		assert_true(rows[i].n_near_v1 == 0 || strcmp(s->subsets[0].endpoints[0]->labels.zone, rows[i].zone) == 0);
		mesh__service_unref(s);
	}
}

/* A group that was left, and a log that was told so, are so still when an endpoint comes or goes. */
static void what_calls_have_found_out_goes_on_when_the_service_is_built_anew(void **state)
{
	struct mesh__service *before = prepared(SUBSETS ROUTES, NULL), *s;

	(void)state;
	atomic_store(&before->all.standing, 7);
	atomic_store(&before->subsets[2].standing, -1);
	atomic_store(&before->told.panic, true);
	atomic_store(&before->routes[2].sides[1].told.failover, true);
	f.n_told = 0;
	s = prepared(SUBSETS ROUTES, before);
	assert_int_equal(atomic_load(&s->all.standing), 7);
	assert_int_equal(atomic_load(&s->subsets[2].standing), -1);
	assert_int_equal(atomic_load(&s->subsets[1].standing), 0);
	assert_true(atomic_load(&s->told.panic));
	assert_false(atomic_load(&s->told.failover));
	assert_true(atomic_load(&s->routes[2].sides[1].told.failover));
	assert_false(atomic_load(&s->routes[2].sides[0].told.failover));
	mesh__service_unref(before);
	mesh__service_unref(s);
}

static void a_side_leads_to_a_subset_to_another_service_or_to_all_and_is_counted_by_its_name(void **state)
{
	struct mesh__service *s = prepared(SUBSETS ROUTES, NULL);
	static const char *const told[] = {"payments.default/testers/east", "payments.default/plain", "payments.default/rest/v1", "payments.default/rest/next.other", "payments.default/rest"};

	(void)state;
	assert_ptr_equal(s->routes[0].sides[0].group, &s->subsets[1]);
	assert_ptr_equal(s->routes[1].sides[0].group, &s->all);
	assert_ptr_equal(s->routes[2].sides[0].group, &s->subsets[0]);
	assert_null(s->routes[2].sides[1].group);
	assert_string_equal(s->routes[2].sides[1].service, "next.other");
	assert_ptr_equal(s->routes[2].sides[2].group, &s->all);
	assert_int_equal(f.n_told, MESH__COUNT(told));
	for (size_t i = 0; i < MESH__COUNT(told); i++) {
		assert_string_equal(f.told[i], told[i]);
	}
	mesh__service_unref(s);
}

static void turns_go_on_by_name_when_the_document_changes(void **state)
{
	struct mesh__service *before = prepared(SUBSETS ROUTES, NULL), *after;

	(void)state;
	atomic_store(&before->all.turn, 11);
	atomic_store(&before->subsets[1].turn, 12);
	atomic_store(&before->routes[2].turn, 13);
	f.n_told = 0;
	after = prepared("subsets: [{name: east, labels: {zone: b}}]\nroutes: [{name: rest, split: [{subset: east, weight: 1}]}, {name: new}]\n", before);
	assert_int_equal(after->all.turn, 11);
	assert_int_equal(after->subsets[0].turn, 12);
	assert_int_equal(after->routes[0].turn, 13);
	mesh__service_unref(before);
	mesh__service_unref(after);
}

static void a_service_without_subsets_and_routes_has_nothing_prepared(void **state)
{
	struct mesh__service *s = prepared("timeout: 1s\n", NULL);

	(void)state;
	assert_null(s->prepared);
	assert_int_equal(s->all.n, N);
	mesh__service_unref(s);
}

static void survives_every_failing_allocation(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__service *s = service_with(SUBSETS ROUTES);
		f.n_told = 0;
		fail_mem_next(&f.mem, n);
		done = mesh__service_prepare(s, NULL, &f.fake.env);
		assert_int_equal(done, f.mem.count < n);
		fail_mem_next(&f.mem, 0);
		mesh__service_unref(s);
		assert_int_equal(f.mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_subset_has_the_endpoints_that_have_all_of_its_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(the_endpoints_of_the_own_zone_stand_first_in_every_group_and_the_others_stay_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_calls_have_found_out_goes_on_when_the_service_is_built_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_side_leads_to_a_subset_to_another_service_or_to_all_and_is_counted_by_its_name, setup, teardown),
		cmocka_unit_test_setup_teardown(turns_go_on_by_name_when_the_document_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_service_without_subsets_and_routes_has_nothing_prepared, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_every_failing_allocation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
