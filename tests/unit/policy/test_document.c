#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "parsed.h"
#include "support/alloc_fail.h"

enum { OUTPUT_MAX = 1 << 20 };

/* ---- What is taken ---- */

static void a_service_without_fields_has_the_built_in_policy(void **state)
{
	struct parsed p = parsed_ok(SERVICE);
	const struct mesh__document *d = p.documents;

	(void)state;
	assert_int_equal(d->kind, MESH__KIND_SERVICE);
	assert_string_equal(d->name, "payments");
	assert_string_equal(d->ns, "default");
	assert_int_equal(d->line, 1);
	assert_int_equal(d->service.protocol, MESH__PROTOCOL_HTTP);
	assert_int_equal(d->service.timeout_ms, 15000);
	assert_false(d->service.timeout_set);
	assert_int_equal(d->service.connect_timeout_ms, 1000);
	assert_int_equal(d->service.load_balancer.balancer, MESH__BALANCER_PEAK_EWMA);
	assert_null(d->next);
	parsed_done(&p);
}

static void a_service_takes_every_field_in_force(void **state)
{
	struct parsed p = parsed_ok(SERVICE "namespace: shop\nprotocol: http\ntimeout: 2s\nconnectTimeout: 250ms\nloadBalancer: {policy: roundRobin}\n");
	const struct mesh__document *d = p.documents;

	(void)state;
	assert_string_equal(d->ns, "shop");
	assert_int_equal(d->service.timeout_ms, 2000);
	assert_true(d->service.timeout_set);
	assert_int_equal(d->service.connect_timeout_ms, 250);
	assert_int_equal(d->service.load_balancer.balancer, MESH__BALANCER_ROUND_ROBIN);
	assert_string_equal(d->text,
		"{\"apiVersion\":\"mesh/v1\",\"kind\":\"Service\",\"name\":\"payments\",\"namespace\":\"shop\",\"protocol\":\"http\","
		"\"timeout\":\"2s\",\"connectTimeout\":\"250ms\",\"loadBalancer\":{\"policy\":\"roundRobin\"}}");
	parsed_done(&p);
}

static void json_is_taken_as_well_as_yaml(void **state)
{
	struct parsed p = parsed_ok("{\"apiVersion\": \"mesh/v1\", \"kind\": \"Service\", \"name\": \"123\", \"timeout\": \"1m\"}");

	(void)state;
	assert_string_equal(p.documents->name, "123");
	assert_int_equal(p.documents->service.timeout_ms, 60000);
	parsed_done(&p);
}

static void endpoints_are_read_with_zone_and_version(void **state)
{
	struct parsed p = parsed_ok(ENDPOINTS
		"endpoints:\n- {address: 10.0.0.1:443, zone: a, labels: {version: v1}}\n- address: \"[::1]:8080\"\n- {address: 10.0.0.1:444}\n");
	const struct mesh__document *d = p.documents;

	(void)state;
	assert_int_equal(d->kind, MESH__KIND_ENDPOINTS);
	assert_int_equal(d->n_endpoints, 3);
	assert_string_equal(d->endpoints[0].addr.ip, "10.0.0.1");
	assert_int_equal(d->endpoints[0].addr.port, 443);
	assert_string_equal(d->endpoints[0].zone, "a");
	assert_string_equal(d->endpoints[0].version, "v1");
	assert_true(d->endpoints[1].addr.v6);
	assert_int_equal(d->endpoints[1].addr.port, 8080);
	assert_null(d->endpoints[1].zone);
	assert_null(d->endpoints[1].version);
	assert_false(d->insecure_plaintext);
	assert_string_equal(parsed_text(&p.warnings), "");
	parsed_done(&p);
}

static void documents_keep_their_order_and_lines(void **state)
{
	struct parsed p = parsed_ok("---\n" SERVICE "---\n" ENDPOINTS "endpoints: [{address: 10.0.0.1:1}]\n---\n" SERVICE "namespace: other\n");
	const struct mesh__document *d = p.documents;

	(void)state;
	assert_int_equal(d->line, 2);
	assert_int_equal(d->next->kind, MESH__KIND_ENDPOINTS);
	assert_int_equal(d->next->line, 6);
	assert_string_equal(d->next->next->ns, "other");
	assert_null(d->next->next->next);
	parsed_done(&p);
}

static void a_text_without_documents_is_an_empty_list(void **state)
{
	static const char *const texts[] = {"", "\n\n", "# nothing\n", "---\n---\n"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(texts); i++) {
		struct parsed p = parsed_ok(texts[i]);
		assert_null(p.documents);
		parsed_done(&p);
	}
}

static void the_namespace_left_out_is_the_callers(void **state)
{
	struct parsed p = parsed_with(mesh__mem_libc(), SERVICE, "shop");

	(void)state;
	assert_int_equal(p.code, MESH_OK);
	assert_string_equal(p.documents->ns, "shop");
	parsed_done(&p);
	p = parsed_with(mesh__mem_libc(), SERVICE, "No Name");
	assert_int_equal(p.code, MESH_E_INVALID);
	assert_null(p.documents);
	parsed_done(&p);
}

static void durations_are_taken_up_to_their_bounds(void **state)
{
	static const struct {
		const char *line;
		int64_t timeout_ms, connect_timeout_ms;
	} rows[] = {
		{"timeout: 1ms\n", 1, 1000},           {"timeout: 24h\n", 86400000, 1000},      {"timeout: 1d\n", 86400000, 1000},
		{"timeout: 1.5s\n", 1500, 1000},       {"timeout: 1500us\n", 1, 1000},          {"timeout: \"3s\"\n", 3000, 1000},
		{"connectTimeout: 1ms\n", 15000, 1},   {"connectTimeout: 60s\n", 15000, 60000}, {"connectTimeout: 1m\n", 15000, 60000},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), SERVICE "%s", rows[i].line);
		struct parsed p = parsed_ok(text);
		assert_int_equal(p.documents->service.timeout_ms, rows[i].timeout_ms);
		assert_int_equal(p.documents->service.connect_timeout_ms, rows[i].connect_timeout_ms);
		parsed_done(&p);
	}
}

static void the_protocols_in_force_are_taken_and_written_again(void **state)
{
	static const struct {
		const char *text;
		enum mesh__protocol protocol;
		const char *written;
	} rows[] = {
		{"protocol: http\n", MESH__PROTOCOL_HTTP, "\"protocol\":\"http\""},
		{"protocol: http2\n", MESH__PROTOCOL_HTTP2, "\"protocol\":\"http2\""},
		{"protocol: grpc\n", MESH__PROTOCOL_GRPC, "\"protocol\":\"grpc\""},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[128];
		struct parsed p;

		(void)snprintf(text, sizeof(text), SERVICE "%s", rows[i].text);
		p = parsed_ok(text);
		assert_int_equal(p.documents->service.protocol, rows[i].protocol);
		assert_non_null(strstr(p.documents->text, rows[i].written));
		parsed_done(&p);
	}
}

static void circuit_limits_are_taken_up_to_their_bounds(void **state)
{
	static const struct {
		const char *line;
		struct mesh__breaker breaker;
		const char *canonical; /* the end of it */
	} rows[] = {
		{"", {1024, 1024, 1024}, "}"},
		{"circuitBreaker: {}\n", {1024, 1024, 1024}, "\"circuitBreaker\":{}}"},
		{"circuitBreaker: {maxRequests: 1}\n", {1024, 1, 1024}, "\"circuitBreaker\":{\"maxRequests\":1}}"},
		{"circuitBreaker: {maxPending: 0, maxConnections: 1000000}\n", {1000000, 1024, 0}, "\"circuitBreaker\":{\"maxConnections\":1000000,\"maxPending\":0}}"},
		{"circuitBreaker: {maxConnections: 1, maxRequests: 1000000, maxPending: 1000000}\n", {1, 1000000, 1000000}, "\"maxRequests\":1000000,\"maxPending\":1000000}}"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), SERVICE "%s", rows[i].line);
		struct parsed p = parsed_ok(text);
		const char *canonical = p.documents->text;
		assert_memory_equal(&p.documents->service.breaker, &rows[i].breaker, sizeof(rows[i].breaker));
		assert_string_equal(canonical + strlen(canonical) - strlen(rows[i].canonical), rows[i].canonical);
		parsed_done(&p);
	}
}

static void unquoted_text_that_is_text_in_the_core_schema_is_taken(void **state)
{
	static const char *const zones[] = {"no", "on", "yes", "y", "1a", "v1.2.3", "1_000", "0b1", "0x", "0o8", "e5", "1e", ".e1", "tRue", "+", "-a", ".", "1.2.3", "'5'", "\"null\""};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(zones); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), ENDPOINTS "endpoints:\n- address: 10.0.0.1:80\n  zone: %s\n", zones[i]);
		struct parsed p = parsed_ok(text);
		assert_non_null(p.documents->endpoints[0].zone);
		parsed_done(&p);
	}
}

/* ---- What is refused: the whole line that is told ---- */

struct refusal {
	const char *text;
	const char *faults;
};

static void check_refusals(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct parsed p = parsed_of(rows[i].text);
		assert_string_equal(parsed_text(&p.faults), rows[i].faults);
		assert_int_equal(p.code, MESH_E_INVALID);
		assert_int_equal(p.err.code, MESH_E_INVALID);
		assert_null(p.documents);
		parsed_done(&p);
	}
}

static void refuses_circuit_limits_that_are_none(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "circuitBreaker: 5\n", "f.yaml:4:17: circuitBreaker: wants a map of fields\n"},
		{SERVICE "circuitBreaker: {maxRequest: 1}\n", "f.yaml:4:18: circuitBreaker.maxRequest: unknown field; did you mean \"maxRequests\"?\n"},
		{SERVICE "circuitBreaker: {maxRequests: 0, maxConnections: 0, maxPending: 1000001}\n",
			"f.yaml:4:31: circuitBreaker.maxRequests: 0 is out of range; it may be from 1 to 1000000\n"
			"f.yaml:4:50: circuitBreaker.maxConnections: 0 is out of range; it may be from 1 to 1000000\n"
			"f.yaml:4:65: circuitBreaker.maxPending: 1000001 is out of range; it may be from 0 to 1000000\n"},
		{SERVICE "circuitBreaker: {maxPending: 99999999999999999999}\n", "f.yaml:4:30: circuitBreaker.maxPending: 99999999999999999999 is out of range; it may be from 0 to 1000000\n"},
		{SERVICE "circuitBreaker: {maxPending: \"5\"}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number in decimal digits, without quotes, not \"5\"\n"},
		{SERVICE "circuitBreaker: {maxPending: 1.5}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number in decimal digits, without quotes, not \"1.5\"\n"},
		{SERVICE "circuitBreaker: {maxPending: -1}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number in decimal digits, without quotes, not \"-1\"\n"},
		{SERVICE "circuitBreaker: {maxPending: 0x10}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number in decimal digits, without quotes, not \"0x10\"\n"},
		{SERVICE "circuitBreaker: {maxPending: many}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number in decimal digits, without quotes, not \"many\"\n"},
		{SERVICE "circuitBreaker: {maxPending: }\n", "f.yaml:4:30: circuitBreaker.maxPending: has no value; wants a whole number\n"},
		{SERVICE "circuitBreaker: {maxPending: [1]}\n", "f.yaml:4:30: circuitBreaker.maxPending: wants a whole number, not a list\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void refuses_what_is_wrong_with_the_head(void **state)
{
	static const struct refusal rows[] = {
		{"kind: Service\nname: a\n", "f.yaml:1:1: apiVersion: is missing\n"},
		{"apiVersion: mesh/v2\nkind: Service\nname: a\n", "f.yaml:1:13: apiVersion: \"mesh/v2\" is not known; write mesh/v1\n"},
		{"apiVersion: mesh/v1\nname: a\n", "f.yaml:1:1: kind: is missing\n"},
		{"apiVersion: mesh/v1\nkind: service\nname: a\n",
			"f.yaml:2:7: kind: \"service\" is no value of it; in this version: Service, Endpoints, Namespace, Mesh, Fault; did you mean \"Service\"?\n"},
		{"apiVersion: mesh/v1\nkind: Mesh\nname: a\n", "f.yaml:3:7: name: there is one Mesh; it is named mesh\n"},
		{"apiVersion: mesh/v1\nkind: Service\n", "f.yaml:1:1: name: is missing\n"},
		{"apiVersion: mesh/v1\nkind: Service\nname: 123\n", "f.yaml:3:7: name: wants text, not a number; write it in quotes: \"123\"\n"},
		{"apiVersion: mesh/v1\nkind: Service\nname: Pay_ments\n",
			"f.yaml:3:7: name: \"Pay_ments\" is no name; use lower-case letters, digits and inner hyphens, at most 63\n"},
		{"apiVersion: mesh/v1\nkind: Service\nname:\n", "f.yaml:3:6: name: has no value; wants text\n"},
		{"apiVersion: mesh/v1\nkind: Service\nname: ''\n", "f.yaml:3:7: name: is empty\n"},
		{"apiVersion: mesh/v1\nkind: Service\nname: [a]\n", "f.yaml:3:7: name: wants text, not a list\n"},
		{"apiVersion: mesh/v1\nkind: {a: b}\nname: a\n", "f.yaml:2:7: kind: wants text, not a map\n"},
		{SERVICE "namespace: mesh-system\n", "f.yaml:4:12: namespace: mesh-system belongs to the mesh itself\n"},
		{"- a\n- b\n", "f.yaml:1:1: a document is a map that begins with `apiVersion: mesh/v1`, not a list\n"},
		{"hello\n", "f.yaml:1:1: a document is a map that begins with `apiVersion: mesh/v1`, not a scalar\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void refuses_unknown_fields_with_a_suggestion(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "timout: 1s\n", "f.yaml:4:1: timout: unknown field; did you mean \"timeout\"?\n"},
		{SERVICE "Timeout: 1s\n", "f.yaml:4:1: Timeout: unknown field; did you mean \"timeout\"?\n"},
		{SERVICE "conectTimeout: 1s\n", "f.yaml:4:1: conectTimeout: unknown field; did you mean \"connectTimeout\"?\n"},
		{SERVICE "retrys: {}\n", "f.yaml:4:1: retrys: unknown field; did you mean \"retries\"?\n"},
		{SERVICE "colour: red\n", "f.yaml:4:1: colour: unknown field\n"},
		{SERVICE "loadBalancer: {polcy: roundRobin}\n", "f.yaml:4:16: loadBalancer.polcy: unknown field; did you mean \"policy\"?\n"},
		{ENDPOINTS "endpoints: [{adress: 10.0.0.1:1}]\n",
			"f.yaml:4:14: endpoints[0].adress: unknown field; did you mean \"address\"?\nf.yaml:4:13: endpoints[0].address: is missing\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1, labels: {tier: x}}]\n",
			"f.yaml:4:44: endpoints[0].labels.tier: labels other than version are not in force yet\n"},
		{SERVICE "insecurePlaintext: true\n", "f.yaml:4:1: insecurePlaintext: unknown field\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void refuses_a_service_that_fails_over_to_itself(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "failover: [{service: dr}, {service: payments}]\n", "f.yaml:4:27: failover[1]: is the service itself\n"},
		{SERVICE "namespace: a\nfailover: [{service: payments.b}, {service: payments.a}]\n", "f.yaml:5:35: failover[1]: is the service itself\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void a_rate_of_outlier_detection_is_on_where_it_is_said_and_off_again_where_it_can_eject_nobody(void **state)
{
	static const struct {
		const char *lines;
		bool success, failure;
	} rows[] = {
		{"", false, false},
		{"outlierDetection: {successRate: {}}\n", true, false},
		{"outlierDetection: {failurePercent: {minHosts: 2}}\n", false, true},
		{"outlierDetection: {successRate: {stdevFactor: 0}, failurePercent: {threshold: 100}}\n", false, false},
		{"outlierDetection: {successRate: {stdevFactor: 0.0001}, failurePercent: {threshold: 0}}\n", true, true},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[256];
		struct parsed p;
		(void)snprintf(text, sizeof(text), SERVICE "%s", rows[i].lines);
		p = parsed_of(text);
		assert_non_null(p.documents);
		assert_int_equal(p.documents->service.outlier.rates[MESH__OUTLIER_SUCCESS_RATE].on, rows[i].success);
		assert_int_equal(p.documents->service.outlier.rates[MESH__OUTLIER_FAILURE_PERCENT].on, rows[i].failure);
		parsed_done(&p);
	}
}

static void refuses_values_that_are_not_in_force_yet(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "protocol: tcp\n", "f.yaml:4:11: protocol: tcp is not in force yet; in this version: http, http2, grpc\n"},
		{SERVICE "protocol: htp\n", "f.yaml:4:11: protocol: \"htp\" is no value of it; in this version: http, http2, grpc; did you mean \"http\"?\n"},
		{SERVICE "loadBalancer: {policy: roundrobin}\n",
			"f.yaml:4:24: loadBalancer.policy: \"roundrobin\" is no value of it; in this version: peakEwma, leastRequest, roundRobin, random, ringHash, maglev; did you mean \"roundRobin\"?\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void refuses_wrong_types_and_ranges(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "timeout: 15\n", "f.yaml:4:10: timeout: \"15\" is no duration; write a number and a unit (ms, s, m, h), such as 250ms\n"},
		{SERVICE "timeout: soon\n", "f.yaml:4:10: timeout: \"soon\" is no duration; write a number and a unit (ms, s, m, h), such as 250ms\n"},
		{SERVICE "timeout: -1s\n", "f.yaml:4:10: timeout: \"-1s\" is no duration; write a number and a unit (ms, s, m, h), such as 250ms\n"},
		{SERVICE "timeout: 0s\n", "f.yaml:4:10: timeout: 0s is out of range; it may be from 1ms to 24h\n"},
		{SERVICE "timeout: 25h\n", "f.yaml:4:10: timeout: 25h is out of range; it may be from 1ms to 24h\n"},
		{SERVICE "timeout: 86400001ms\n", "f.yaml:4:10: timeout: 86400001ms is out of range; it may be from 1ms to 24h\n"},
		{SERVICE "timeout: ~\n", "f.yaml:4:10: timeout: has no value; wants a duration\n"},
		{SERVICE "timeout: [1s]\n", "f.yaml:4:10: timeout: wants a duration, not a list\n"},
		{SERVICE "connectTimeout: 61s\n", "f.yaml:4:17: connectTimeout: 61s is out of range; it may be from 1ms to 60s\n"},
		{SERVICE "connectTimeout: 999us\n", "f.yaml:4:17: connectTimeout: 999us is out of range; it may be from 1ms to 60s\n"},
		{SERVICE "loadBalancer: roundRobin\n", "f.yaml:4:15: loadBalancer: wants a map of fields\n"},
		{SERVICE "protocol: true\n", "f.yaml:4:11: protocol: wants text, not a truth value; write it in quotes: \"true\"\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1}]\ninsecurePlaintext: \"true\"\n",
			"f.yaml:5:20: insecurePlaintext: wants true or false, without quotes, not \"true\"\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1}]\ninsecurePlaintext: yes\n",
			"f.yaml:5:20: insecurePlaintext: wants true or false, without quotes, not \"yes\"\n"},
	};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
}

static void refuses_unquoted_scalars_that_are_no_text_where_text_is_wanted(void **state)
{
	static const char *const numbers[] = {"1", "-1", "+1", "0", "1.0", ".5", "1.", "1e3", "1E+3", "-.5e-1", "0x1F", "0o17", ".inf", "-.INF", ".nan"};
	static const char *const truths[] = {"true", "True", "FALSE"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(numbers) + MESH__COUNT(truths); i++) {
		bool number = i < MESH__COUNT(numbers);
		const char *value = number ? numbers[i] : truths[i - MESH__COUNT(numbers)];
		char text[256], wanted[256];
		(void)snprintf(text, sizeof(text), ENDPOINTS "endpoints:\n- address: 10.0.0.1:80\n  zone: %s\n", value);
		(void)snprintf(wanted, sizeof(wanted), "f.yaml:6:9: endpoints[0].zone: wants text, not a %s; write it in quotes: \"%s\"\n",
			number ? "number" : "truth value", value);
		check_refusals(&(struct refusal){text, wanted}, 1);
	}
}

static void refuses_bad_endpoints(void **state)
{
	static const struct refusal rows[] = {
		{ENDPOINTS, "f.yaml:1:1: endpoints: is missing\n"},
		{ENDPOINTS "endpoints: []\n", "f.yaml:4:12: endpoints: is empty; name at least 1\n"},
		{ENDPOINTS "endpoints: 10.0.0.1:80\n", "f.yaml:4:12: endpoints: wants a list such as [{address: \"10.0.0.1:443\"}]\n"},
		{ENDPOINTS "endpoints: [10.0.0.1:80]\n", "f.yaml:4:13: endpoints[0]: wants a map of fields\n"},
		{ENDPOINTS "endpoints: [{zone: a}]\n", "f.yaml:4:13: endpoints[0].address: is missing\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1}, {address: 10.0.0.2:1}, {address: 10.0.0.1:1}]\n",
			"f.yaml:4:69: endpoints[2].address: \"10.0.0.1:1\" stands in endpoints[0] already\n"},
		{ENDPOINTS "endpoints: [{address: \"[::1]:1\"}, {address: \"[0:0::1]:1\"}]\n",
			"f.yaml:4:45: endpoints[1].address: \"[0:0::1]:1\" stands in endpoints[0] already\n"},
		{ENDPOINTS "endpoints: [{address: 0.0.0.0:1}]\n", "f.yaml:4:23: endpoints[0].address: \"0.0.0.0:1\" is an address to listen on, not to call\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1, zone: \"a b\"}]\n",
			"f.yaml:4:41: endpoints[0].zone: \"a b\" holds a space or a control character\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1, zone: \"1234567890123456789012345678901234567890123456789012345678901234\"}]\n",
			"f.yaml:4:41: endpoints[0].zone: is longer than 63 bytes\n"},
	};
	static const char *const addresses[] = {"localhost:80", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "'::1:80'", "'[::1]'", "10.0.0.01:80", "10.0.0.1:080"};

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
	for (size_t i = 0; i < MESH__COUNT(addresses); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), ENDPOINTS "endpoints:\n- address: %s\n", addresses[i]);
		struct parsed p = parsed_of(text);
		assert_int_equal(p.code, MESH_E_INVALID);
		assert_ptr_equal(strstr(parsed_text(&p.faults), "f.yaml:5:12: endpoints[0].address: address \""), p.faults.data);
		parsed_done(&p);
	}
}

static void refuses_two_documents_of_one_kind_namespace_and_name(void **state)
{
	static const struct refusal rows[] = {
		{SERVICE "---\n" SERVICE "namespace: default\n", "f.yaml:5:1: Service payments in namespace default stands in line 1 already\n"},
		{SERVICE "---\n" SERVICE "timeout: 0s\n",
			"f.yaml:8:10: timeout: 0s is out of range; it may be from 1ms to 24h\nf.yaml:5:1: Service payments in namespace default stands in line 1 already\n"},
	};
	struct parsed p;

	(void)state;
	check_refusals(rows, MESH__COUNT(rows));
	p = parsed_ok(SERVICE "---\napiVersion: mesh/v1\nkind: Endpoints\nname: payments\nendpoints: [{address: 10.0.0.1:1}]\n---\n" SERVICE "namespace: b\n");
	parsed_done(&p);
}

static void refuses_what_is_no_yaml_with_its_place(void **state)
{
	static const char *const texts[] = {"a: [b\n", "a: 1\na: 2\n", "a: &x 1\n", "a: *x\n", "a: !!str 1\n", "\tx: 1\n", "? [a]\n: b\n", "a: \"\xff\"\n"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(texts); i++) {
		struct parsed p = parsed_of(texts[i]);
		int line = 0, column = 0;
		assert_int_equal(p.code, MESH_E_INVALID);
		assert_null(p.documents);
		assert_int_equal(sscanf(parsed_text(&p.faults), "f.yaml:%d:%d: ", &line, &column), 2);
		assert_in_range(line, 1, 3);
		assert_in_range(column, 1, 20);
		assert_memory_equal(p.err.message, p.faults.data, p.faults.len - 1);
		parsed_done(&p);
	}
}

static void tells_all_faults_at_once(void **state)
{
	struct parsed p = parsed_of("kind: Service\nname: A\ntimout: 1s\noutlierDetection: {successRate: {minHosts: 0}}\nprotocol: tcp\n---\nkind: Endpoints\nname: b\n");

	(void)state;
	assert_string_equal(parsed_text(&p.faults),
		"f.yaml:2:7: name: \"A\" is no name; use lower-case letters, digits and inner hyphens, at most 63\n"
		"f.yaml:3:1: timout: unknown field; did you mean \"timeout\"?\n"
		"f.yaml:4:44: outlierDetection.successRate.minHosts: 0 is out of range; it may be from 1 to 1000000\n"
		"f.yaml:5:11: protocol: tcp is not in force yet; in this version: http, http2, grpc\n"
		"f.yaml:1:1: apiVersion: is missing\n"
		"f.yaml:7:1: apiVersion: is missing\n"
		"f.yaml:7:1: endpoints: is missing\n");
	assert_string_equal(p.err.message,
		"f.yaml:2:7: name: \"A\" is no name; use lower-case letters, digits and inner hyphens, at most 63 (the first of 7 faults)");
	assert_null(p.documents);
	parsed_done(&p);
}

static void control_characters_of_a_stranger_reach_no_terminal(void **state)
{
	struct parsed p = parsed_of(SERVICE "\"a\\n\\e[31mb\": 1\nprotocol: \"x\\ny\"\n");

	(void)state;
	assert_string_equal(parsed_text(&p.faults),
		"f.yaml:4:1: a??[31mb: unknown field\n"
		"f.yaml:5:11: protocol: \"x?y\" is no value of it; in this version: http, http2, grpc\n");
	parsed_done(&p);
}

static void faults_are_bounded(void **state)
{
	struct mesh__buf text;
	struct parsed p;
	size_t lines = 0;

	(void)state;
	mesh__buf_init(&text, mesh__mem_libc(), OUTPUT_MAX);
	mesh__buf_str(&text, SERVICE);
	for (int i = 0; i < 5000; i++) {
		mesh__buf_printf(&text, "a%d: 1\n", i);
	}
	p = parsed_of(text.data);
	for (const char *c = p.faults.data; *c != '\0'; c++) {
		lines += *c == '\n';
	}
	assert_int_equal(lines, 1001);
	assert_non_null(strstr(p.faults.data, "f.yaml: too many faults; there may be more\n"));
	parsed_done(&p);
	mesh__buf_fini(&text);
}

static void endpoints_and_documents_are_bounded(void **state)
{
	static const struct {
		int n;
		int code;
	} rows[] = {{1000, MESH_OK}, {1001, MESH_E_INVALID}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__buf a, b;
		struct parsed p;
		mesh__buf_init(&a, mesh__mem_libc(), OUTPUT_MAX);
		mesh__buf_init(&b, mesh__mem_libc(), OUTPUT_MAX);
		mesh__buf_str(&a, ENDPOINTS "endpoints:\n");
		for (int k = 0; k < rows[i].n; k++) {
			mesh__buf_printf(&a, "- address: 10.0.%d.%d:80\n", k / 200, k % 200 + 1);
			mesh__buf_printf(&b, "---\napiVersion: mesh/v1\nkind: Service\nname: s%d\n", k);
		}
		p = parsed_of(a.data);
		assert_int_equal(p.code, rows[i].code);
		parsed_done(&p);
		p = parsed_of(b.data);
		assert_int_equal(p.code, rows[i].code);
		parsed_done(&p);
		mesh__buf_fini(&a);
		mesh__buf_fini(&b);
	}
}

static void a_text_over_the_bound_is_too_large(void **state)
{
	char *text = calloc(1, MESH__DOCUMENT_MAX_BYTES + 2);
	struct parsed p;

	(void)state;
	memset(text, '#', MESH__DOCUMENT_MAX_BYTES + 1);
	p = parsed_of(text);
	assert_int_equal(p.code, MESH_E_TOO_LARGE);
	assert_null(p.documents);
	assert_non_null(strstr(p.err.message, "f.yaml"));
	parsed_done(&p);
	free(text);
}

/* ---- Warnings ---- */

static void warns_of_what_is_taken_and_still_doubtful(void **state)
{
	static const struct {
		const char *text, *warnings;
	} rows[] = {
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1}]\ninsecurePlaintext: true\n",
			"f.yaml:5:20: insecurePlaintext: calls to it are neither encrypted nor authenticated\n"},
		{ENDPOINTS "endpoints: [{address: 10.0.0.1:1}]\ninsecurePlaintext: false\n", ""},
		{SERVICE "connectTimeout: 2s\ntimeout: 1s\n",
			"f.yaml:4:17: connectTimeout: is longer than the timeout of the whole call, which ends it first\n"},
		{SERVICE "connectTimeout: 2s\ntimeout: 2s\n", ""},
		{SERVICE "timeout: 500ms\n", ""},
		{SERVICE "loadBalancer: {policy: ringHash}\n",
			"f.yaml:4:24: loadBalancer.policy: nothing is hashed, and calls go anywhere, unless hashOn is said, here or in another document that the service inherits from\n"},
		{SERVICE "loadBalancer: {slowStart: 1s, policy: maglev}\n",
			"f.yaml:4:39: loadBalancer.policy: nothing is hashed, and calls go anywhere, unless hashOn is said, here or in another document that the service inherits from\n"},
		{SERVICE "loadBalancer: {policy: maglev, hashOn: {source: true}}\n", ""},
		{SERVICE "loadBalancer: {policy: leastRequest}\n", ""},
		{SERVICE "loadBalancer: {hashOn: {source: true}}\n", ""},
		{SERVICE "failover: [{service: dr}]\n",
			"f.yaml:4:1: failover: of several endpoints outlierDetection.maxEjectionPercent keeps some in, whatever they answer, and calls go elsewhere when none is healthy; say 100, or healthCheck\n"},
		{SERVICE "failover: [{service: dr}]\nhealthCheck: {}\n", ""},
		{SERVICE "failover: [{service: dr}]\noutlierDetection: {maxEjectionPercent: 100}\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct parsed p = parsed_ok(rows[i].text);
		assert_string_equal(parsed_text(&p.warnings), rows[i].warnings);
		parsed_done(&p);
	}
}

/* ---- Memory ---- */

static void every_failing_allocation_is_an_error_without_a_leak(void **state)
{
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{SERVICE "timeout: 1s\nloadBalancer: {policy: roundRobin}\nroutes: [{name: a, split: [{service: b, weight: 1}]}]\n---\n" ENDPOINTS "endpoints: [{address: 10.0.0.1:1, zone: a, labels: {version: v}}]\ninsecurePlaintext: true\n", MESH_OK},
		{SERVICE "timout: 1s\nretries: 1\n", MESH_E_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		bool finished = false;
		for (long n = 1; !finished; n++) {
			struct fail_mem mem;
			struct parsed p;
			fail_mem_init(&mem);
			mem.fail_at = n;
			p = parsed_with(&mem.mem, rows[i].text, "default");
			finished = mem.count < n;
			if (finished) {
				assert_int_equal(p.code, rows[i].code);
			} else if (p.code != MESH_E_NO_MEMORY) {
				/* Only a warning may be lost. */
				assert_int_equal(p.code, MESH_OK);
				assert_int_equal(p.warnings.error, MESH_E_NO_MEMORY);
			}
			assert_true((p.documents != NULL) == (p.code == MESH_OK));
			parsed_done(&p);
			assert_int_equal(mem.live, 0);
		}
	}
}

static void buffers_and_error_may_be_left_out(void **state)
{
	struct mesh__document *list;

	(void)state;
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", SERVICE, strlen(SERVICE), "default", &list, NULL, NULL, NULL), MESH_OK);
	mesh__documents_free(list);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", "a: 1\nb: 2\n", 10, "default", &list, NULL, NULL, NULL), MESH_E_INVALID);
	assert_null(list);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", "{", 1, "default", &list, NULL, NULL, NULL), MESH_E_INVALID);
	assert_null(list);
	mesh__documents_free(NULL);
}

/* ---- Words ---- */

static void kinds_are_named_in_any_case_and_number(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		enum mesh__kind kind;
	} rows[] = {
		{"service", true, MESH__KIND_SERVICE},      {"Services", true, MESH__KIND_SERVICE}, {"SERVICE", true, MESH__KIND_SERVICE},
		{"Endpoints", true, MESH__KIND_ENDPOINTS}, {"endpoint", true, MESH__KIND_ENDPOINTS}, {"namespaces", true, MESH__KIND_NAMESPACE}, {"mesh", true, MESH__KIND_MESH}, {"", false, 0}, {"servic", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		enum mesh__kind kind = MESH__KIND_SERVICE;
		assert_int_equal(mesh__kind_parse(rows[i].text, &kind), rows[i].ok);
		if (rows[i].ok) {
			assert_int_equal(kind, rows[i].kind);
		}
	}
	assert_string_equal(mesh__kind_name(MESH__KIND_SERVICE), "Service");
	assert_string_equal(mesh__kind_name(MESH__KIND_ENDPOINTS), "Endpoints");
	assert_string_equal(mesh__protocol_name(MESH__PROTOCOL_GRPC), "grpc");
	assert_string_equal(mesh__balancer_name(MESH__BALANCER_PEAK_EWMA), "peakEwma");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_without_fields_has_the_built_in_policy),
		cmocka_unit_test(a_service_takes_every_field_in_force),
		cmocka_unit_test(json_is_taken_as_well_as_yaml),
		cmocka_unit_test(endpoints_are_read_with_zone_and_version),
		cmocka_unit_test(documents_keep_their_order_and_lines),
		cmocka_unit_test(a_text_without_documents_is_an_empty_list),
		cmocka_unit_test(the_namespace_left_out_is_the_callers),
		cmocka_unit_test(durations_are_taken_up_to_their_bounds),
		cmocka_unit_test(the_protocols_in_force_are_taken_and_written_again),
		cmocka_unit_test(circuit_limits_are_taken_up_to_their_bounds),
		cmocka_unit_test(refuses_circuit_limits_that_are_none),
		cmocka_unit_test(unquoted_text_that_is_text_in_the_core_schema_is_taken),
		cmocka_unit_test(refuses_what_is_wrong_with_the_head),
		cmocka_unit_test(refuses_unknown_fields_with_a_suggestion),
		cmocka_unit_test(refuses_a_service_that_fails_over_to_itself),
		cmocka_unit_test(a_rate_of_outlier_detection_is_on_where_it_is_said_and_off_again_where_it_can_eject_nobody),
		cmocka_unit_test(refuses_values_that_are_not_in_force_yet),
		cmocka_unit_test(refuses_wrong_types_and_ranges),
		cmocka_unit_test(refuses_unquoted_scalars_that_are_no_text_where_text_is_wanted),
		cmocka_unit_test(refuses_bad_endpoints),
		cmocka_unit_test(refuses_two_documents_of_one_kind_namespace_and_name),
		cmocka_unit_test(refuses_what_is_no_yaml_with_its_place),
		cmocka_unit_test(tells_all_faults_at_once),
		cmocka_unit_test(control_characters_of_a_stranger_reach_no_terminal),
		cmocka_unit_test(faults_are_bounded),
		cmocka_unit_test(endpoints_and_documents_are_bounded),
		cmocka_unit_test(a_text_over_the_bound_is_too_large),
		cmocka_unit_test(warns_of_what_is_taken_and_still_doubtful),
		cmocka_unit_test(every_failing_allocation_is_an_error_without_a_leak),
		cmocka_unit_test(buffers_and_error_may_be_left_out),
		cmocka_unit_test(kinds_are_named_in_any_case_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
