#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/document.h"
#include "policy/effective.h"
#include "support/alloc_fail.h"

enum { OUTPUT_MAX = 1 << 20 };

#define SERVICE(fields) "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Service\",\"name\":\"payments\",\"namespace\":\"shop\"" fields "}"
#define NAMESPACE(fields) "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Namespace\",\"name\":\"shop\"" fields "}"
#define MESH(fields) "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Mesh\",\"name\":\"mesh\"" fields "}"

#define INJECTED ",\"fault\":{\"until\":\"2026-01-31T23:59:59Z\",\"route\":\"a\",\"match\":[{\"source\":{\"service\":\"cart\"}}],\"abort\":{\"percent\":1.5,\"status\":503}}"
#define FAULT "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Fault\",\"name\":\"payments\",\"namespace\":\"shop\"" INJECTED "}"

static const struct mesh__name name = {.service = "payments", .ns = "shop"};

static void the_nearest_layer_that_says_a_field_has_it_and_lists_are_taken_whole(void **state)
{
	static const struct {
		const char *texts[MESH__LAYERS];
		const char *effective;
	} rows[] = {
		{{NULL, NULL, NULL}, ""},
		{{SERVICE(""), NULL, NULL}, SERVICE("")},
		{{NULL, NAMESPACE(""), NULL}, SERVICE("")},
		{{NULL, NULL, MESH(",\"timeout\":\"9s\"")}, SERVICE(",\"timeout\":\"9s\"")},
		{{SERVICE(",\"timeout\":\"2s\""), NAMESPACE(",\"timeout\":\"3s\",\"connectTimeout\":\"1s\""), MESH(",\"timeout\":\"4s\",\"connectTimeout\":\"2s\"")}, SERVICE(",\"timeout\":\"2s\",\"connectTimeout\":\"1s\"")},
		{{SERVICE(",\"circuitBreaker\":{\"maxPending\":1}"), NAMESPACE(",\"circuitBreaker\":{\"maxRequests\":2}"), MESH(",\"circuitBreaker\":{\"maxConnections\":3,\"maxRequests\":3,\"maxPending\":3}")},
			SERVICE(",\"circuitBreaker\":{\"maxConnections\":3,\"maxRequests\":2,\"maxPending\":1}")},
		{{SERVICE(",\"protocol\":\"grpc\",\"loadBalancer\":{}"), NULL, MESH(",\"loadBalancer\":{\"policy\":\"roundRobin\"}")}, SERVICE(",\"protocol\":\"grpc\",\"loadBalancer\":{\"policy\":\"roundRobin\"}")},
		{{SERVICE(",\"retries\":{\"retryOn\":[\"reset\"],\"budget\":{\"percent\":0.5}}"), NAMESPACE(",\"retries\":{\"attempts\":1,\"retryOn\":[\"unsent\",503],\"budget\":{\"percent\":5,\"minPerSecond\":0}}"), NULL},
			SERVICE(",\"retries\":{\"attempts\":1,\"retryOn\":[\"reset\"],\"budget\":{\"percent\":0.5,\"minPerSecond\":0}}")},
		{{SERVICE(",\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"1\"}}],\"routes\":[{\"name\":\"a\",\"split\":[{\"subset\":\"v1\",\"weight\":1}],\"stickyOn\":{\"source\":true}}],"
				"\"authorization\":{\"rules\":[{\"name\":\"a\",\"action\":\"deny\"}]}"), NAMESPACE(",\"authorization\":{\"mode\":\"audit\"}"), MESH(",\"authorization\":{\"default\":\"deny\",\"mode\":\"enforce\"}")},
			SERVICE(",\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"1\"}}],\"routes\":[{\"name\":\"a\",\"split\":[{\"subset\":\"v1\",\"weight\":1}],\"stickyOn\":{\"source\":true}}],"
				"\"authorization\":{\"default\":\"deny\",\"mode\":\"audit\",\"rules\":[{\"name\":\"a\",\"action\":\"deny\"}]}")},
		{{[MESH__LAYER_FAULT] = FAULT}, SERVICE(INJECTED)},
		{{SERVICE(",\"timeout\":\"2s\""), NULL, MESH(",\"connectTimeout\":\"2s\""), FAULT}, SERVICE(",\"timeout\":\"2s\",\"connectTimeout\":\"2s\"" INJECTED)},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf out;
		mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
		assert_int_equal(mesh__effective(mesh__mem_libc(), &name, rows[i].texts, &out, NULL), MESH_OK);
		assert_string_equal(out.data == NULL ? "" : out.data, rows[i].effective);
		mesh__buf_fini(&out);
	}
}

static void what_comes_out_is_a_document_of_the_service(void **state)
{
	static const char *const texts[MESH__LAYERS] = {NULL, NAMESPACE(",\"connectTimeout\":\"250ms\",\"circuitBreaker\":{\"maxPending\":0}"), MESH(",\"timeout\":\"1s\",\"loadBalancer\":{\"policy\":\"roundRobin\"}")};
	struct mesh__document *d;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
	assert_int_equal(mesh__effective(mesh__mem_libc(), &name, texts, &out, NULL), MESH_OK);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", out.data, out.len, "elsewhere", &d, NULL, NULL, NULL), MESH_OK);
	assert_int_equal(d->kind, MESH__KIND_SERVICE);
	assert_string_equal(d->name, "payments");
	assert_string_equal(d->ns, "shop");
	assert_string_equal(d->text, out.data);
	assert_int_equal(d->service.timeout_ms, 1000);
	assert_true(d->service.timeout_set);
	assert_int_equal(d->service.connect_timeout_ms, 250);
	assert_int_equal(d->service.load_balancer.balancer, MESH__BALANCER_ROUND_ROBIN);
	assert_int_equal(d->service.breaker.max_pending, 0);
	assert_int_equal(d->service.breaker.max_requests, MESH__BREAKER_BUILT_IN);
	mesh__documents_free(d);
	mesh__buf_fini(&out);
}

static void note_field(void *ctx, const char *path, const char *value, enum mesh__layer layer)
{
	static const char *const layers[] = {"service", "namespace", "mesh", "fault", "built in"};

	mesh__buf_printf(ctx, "%s %s %s\n", path, value, layers[layer]);
}

static void each_field_in_force_is_told_with_who_says_it(void **state)
{
	static const char *const texts[MESH__LAYERS] = {SERVICE(",\"timeout\":\"2s\""), NAMESPACE(",\"timeout\":\"3s\",\"circuitBreaker\":{\"maxPending\":7}"), MESH(",\"connectTimeout\":\"4s\"")};
	static const char *const told[] = {"protocol \"http\" built in\n", "timeout \"2s\" service\n", "connectTimeout \"4s\" mesh\n", "loadBalancer.policy \"peakEwma\" built in\n", "loadBalancer.panicThreshold 50 built in\n",
		"loadBalancer.zoneAware true built in\n",
		"circuitBreaker.maxConnections 1024 built in\n", "circuitBreaker.maxPending 7 namespace\n", "rateLimit.requestsPerSecond \"off\" built in\n", "rateLimit.burst 50 built in\n", "outlierDetection.successRate.stdevFactor 1.9 built in\n", "concurrencyLimit.mode \"off\" built in\n"};
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
	assert_int_equal(mesh__effective_fields(mesh__mem_libc(), texts, note_field, &out, NULL), MESH_OK);
	for (size_t i = 0; i < MESH__COUNT(told); i++) {
		assert_non_null(strstr(out.data, told[i]));
	}
	assert_null(strstr(out.data, "apiVersion"));
	mesh__buf_fini(&out);
}

static void what_a_fault_injects_stands_in_what_comes_out_and_in_no_document_of_ones_own(void **state)
{
	static const char *const texts[MESH__LAYERS] = {[MESH__LAYER_FAULT] = FAULT};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__document *d;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
	assert_int_equal(mesh__effective(mesh__mem_libc(), &name, texts, &out, NULL), MESH_OK);
	assert_int_equal(mesh__effective_parse(mesh__mem_libc(), "f", out.data, "elsewhere", &d, NULL), MESH_OK);
	assert_int_equal(d->kind, MESH__KIND_SERVICE);
	assert_string_equal(d->text, out.data);
	assert_int_equal(d->service.injection.until_ms, INT64_C(1769903999000));
	assert_string_equal(d->service.injection.route, "a");
	assert_int_equal(d->service.injection.n_matches, 1);
	assert_string_equal(d->service.injection.matches[0].source.service, "cart");
	assert_int_equal(d->service.injection.fault.abort.share, 15000);
	assert_int_equal(d->service.injection.fault.abort.status, 503);
	assert_int_equal(d->service.injection.fault.delay.share, 0);
	mesh__documents_free(d);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", out.data, out.len, "elsewhere", &d, NULL, NULL, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "fault: belongs to one of its routes, or for a while to a document of kind Fault"));
	mesh__buf_clear(&out);
	assert_int_equal(mesh__effective_fields(mesh__mem_libc(), texts, note_field, &out, NULL), MESH_OK);
	assert_non_null(strstr(out.data, "\"status\":503}} fault\n"));
	mesh__buf_clear(&out);
	assert_int_equal(mesh__effective_fields(mesh__mem_libc(), (const char *const[MESH__LAYERS]){NULL}, note_field, &out, NULL), MESH_OK);
	assert_null(strstr(out.data, "\nfault "));
	mesh__buf_fini(&out);
}

static void a_text_that_is_no_document_is_told(void **state)
{
	static const char *const bad[] = {"[]", "{", "5", "a: &b"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		const char *texts[MESH__LAYERS] = {SERVICE(""), bad[i], NULL};
		struct mesh__buf out;
		mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
		assert_int_equal(mesh__effective(mesh__mem_libc(), &name, texts, &out, NULL), MESH_E_INVALID);
		assert_int_equal(mesh__effective_fields(mesh__mem_libc(), texts, note_field, &out, NULL), MESH_E_INVALID);
		assert_int_equal(out.len, 0);
		mesh__buf_fini(&out);
	}
}

static void every_failing_allocation_is_told_and_nothing_leaks(void **state)
{
	static const char *const texts[MESH__LAYERS] = {SERVICE(",\"timeout\":\"2s\""), NAMESPACE(",\"timeout\":\"3s\",\"circuitBreaker\":{\"maxPending\":7}"), MESH(",\"connectTimeout\":\"4s\"")};

	(void)state;
	for (long n = 1, finished = 0; !finished; n++) {
		struct mesh__buf out, fields;
		struct fail_mem mem;
		int code, told;
		fail_mem_init(&mem);
		mem.fail_at = n;
		mesh__buf_init(&out, &mem.mem, OUTPUT_MAX);
		mesh__buf_init(&fields, mesh__mem_libc(), OUTPUT_MAX);
		code = mesh__effective(&mem.mem, &name, texts, &out, NULL);
		told = mesh__effective_fields(&mem.mem, texts, note_field, &fields, NULL);
		finished = mem.count < n;
		assert_true((code == MESH_OK || code == MESH_E_NO_MEMORY) && (told == MESH_OK || told == MESH_E_NO_MEMORY));
		assert_int_equal(code == MESH_OK && told == MESH_OK, finished);
		mesh__buf_fini(&out);
		mesh__buf_fini(&fields);
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_layer_that_says_a_field_has_it_and_lists_are_taken_whole),
		cmocka_unit_test(what_comes_out_is_a_document_of_the_service),
		cmocka_unit_test(each_field_in_force_is_told_with_who_says_it),
		cmocka_unit_test(what_a_fault_injects_stands_in_what_comes_out_and_in_no_document_of_ones_own),
		cmocka_unit_test(a_text_that_is_no_document_is_told),
		cmocka_unit_test(every_failing_allocation_is_told_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
