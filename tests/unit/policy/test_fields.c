/*
 * Every field of POLICY.md: how it is read, written again, and refused. What is not in force yet is read all the same, so these tests leave that one fault out of what they look at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/fields.h"
#include "support/alloc_fail.h"

enum { OUTPUT_MAX = 1 << 20 };

static const char not_yet[] = "not in force yet: this version would do nothing with it";

struct read {
	struct mesh__node *node;
	struct mesh__document doc;
	struct mesh__buf faults; /* but those of what is not in force yet */
	char *canonical;         /* NULL: there are faults */
	bool no_memory;
};

/* The lines that tell of something else. */
static void keep_other_lines(struct mesh__buf *out, const char *lines)
{
	while (lines != NULL && *lines != '\0') {
		size_t len = strcspn(lines, "\n") + 1;
		char line[1024];
		(void)snprintf(line, sizeof(line), "%.*s", (int)len, lines);
		if (strstr(line, not_yet) == NULL) {
			mesh__buf_str(out, line);
		}
		lines += len;
	}
}

static char *canonical_of(const struct mesh__mem *mem, const struct read *read, enum mesh__kind kind)
{
	struct mesh__buf text;
	struct mesh__json_out out = {.buf = &text};

	mesh__buf_init(&text, mem, OUTPUT_MAX);
	mesh__json_open(&out, NULL, '{');
	mesh__write_fields(&out, read->node, mesh__fields_of_kind(kind), &read->doc);
	mesh__json_close(&out, '}');
	return mesh__buf_take(&text);
}

static struct read read_with(const struct mesh__mem *mem, enum mesh__kind kind, const char *text)
{
	struct read out = {.node = NULL};
	struct mesh__buf faults;
	struct mesh__reading r = {.mem = mem, .file = "f", .ns = "shop", .faults = &faults, .first = MESH__NO_ERR};

	mesh__buf_init(&faults, mesh__mem_libc(), OUTPUT_MAX);
	mesh__buf_init(&out.faults, mesh__mem_libc(), OUTPUT_MAX);
	mesh__service_policy_default(&out.doc.service);
	r.arena = out.doc.arena = mesh__arena_new(mem);
	out.no_memory = r.arena == NULL || mesh__yaml_parse(mem, text, strlen(text), OUTPUT_MAX, &out.node, NULL) != MESH_OK;
	if (!out.no_memory) {
		struct mesh__place at = mesh__place_of(NULL, out.node);
		mesh__read_fields(&r, &at, mesh__fields_of_kind(kind), &out.doc);
		if (kind == MESH__KIND_SERVICE) {
			mesh__check_subsets(&r, &at);
		}
		out.no_memory = r.no_memory;
	}
	keep_other_lines(&out.faults, faults.data);
	mesh__buf_fini(&faults);
	if (!out.no_memory && out.faults.len == 0) {
		out.canonical = canonical_of(mem, &out, kind);
		out.no_memory = out.canonical == NULL;
	}
	return out;
}

static void done(struct read *read)
{
	mesh__yaml_free(read->node);
	mesh__arena_unref(read->doc.arena);
	mesh__buf_fini(&read->faults);
	mesh__free(read->canonical);
}

#define HEAD "apiVersion: mesh/v1\nkind: Service\nname: payments\n"

static struct read read_ok(const char *lines)
{
	char text[8192];
	struct read read;

	(void)snprintf(text, sizeof(text), HEAD "%s", lines);
	read = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, text);
	if (read.faults.len > 0) {
		print_message("%s", read.faults.data);
	}
	assert_non_null(read.canonical);
	return read;
}

/* ---- The document of POLICY.md ---- */

static const char policy_md[] =
	"protocol: http\n"
	"timeout: 15s\n"
	"connectTimeout: 1s\n"
	"retries: {attempts: 2, perTryTimeout: 0s, retryOn: [unsent, connect-failure, reset, gateway-error], backoff: {base: 25ms, max: 250ms},\n"
	"          budget: {percent: 20, minPerSecond: 10, window: 10s}}\n"
	"hedging: {delay: p95, maxExtraPercent: 5}\n"
	"loadBalancer: {policy: peakEwma, slowStart: 0s, panicThreshold: 50, hashOn: {header: x-user}, zoneAware: true}\n"
	"circuitBreaker: {maxConnections: 1024, maxRequests: 1024, maxPending: 1024}\n"
	"outlierDetection: {consecutiveFailures: 7, baseEjection: 1s, maxEjection: 60s, maxEjectionPercent: 50,\n"
	"                   successRate: {stdevFactor: 1.9, minHosts: 5, minRequests: 100, interval: 10s},\n"
	"                   failurePercent: {threshold: 85, minHosts: 5, minRequests: 50, interval: 10s}}\n"
	"healthCheck: {path: /healthz, interval: 10s, timeout: 1s, unhealthyAfter: 3, healthyAfter: 2}\n"
	"rateLimit: {requestsPerSecond: 100, burst: 50, per: source}\n"
	"concurrencyLimit: {mode: aimd, min: 4, max: 1000}\n"
	"subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n"
	"routes:\n"
	"- name: canary-testers\n"
	"  match: [{headers: {x-canary: {exact: \"1\"}}, path: {prefix: /make-payment}, methods: [POST], source: {service: cart}}]\n"
	"  split: [{subset: v2, weight: 100}]\n"
	"- name: default\n"
	"  split: [{subset: v1, weight: 90}, {subset: v2, weight: 10}]\n"
	"  stickyOn: {header: x-user}\n"
	"  mirror: {subset: v2, percent: 20}\n"
	"  fault: {abort: {percent: 1.5, status: 503}, delay: {percent: 5, duration: 200ms}}\n"
	"  timeout: 2s\n"
	"  retries: {attempts: 1}\n"
	"failover: [{service: payments-dr}]\n"
	"authorization: {default: deny, mode: enforce, rules: [{name: carts-pay, action: allow, from: [{service: cart}], methods: [POST], paths: [/make-payment]}]}\n";

/* Canonically, without what this version keeps nowhere. */
static const char policy_md_canonical[] =
	"{\"protocol\":\"http\",\"timeout\":\"15s\",\"connectTimeout\":\"1s\",\"loadBalancer\":{\"policy\":\"peakEwma\",\"slowStart\":\"0s\",\"panicThreshold\":50,\"hashOn\":{\"header\":\"x-user\"},\"zoneAware\":true},"
	"\"retries\":{\"attempts\":2,\"perTryTimeout\":\"0s\",\"retryOn\":[\"unsent\",\"connect-failure\",\"reset\",\"gateway-error\"],"
	"\"backoff\":{\"base\":\"25ms\",\"max\":\"250ms\"},\"budget\":{\"percent\":20,\"minPerSecond\":10,\"window\":\"10s\"}},"
	"\"hedging\":{\"delay\":\"p95\",\"maxExtraPercent\":5},\"circuitBreaker\":{\"maxConnections\":1024,\"maxRequests\":1024,\"maxPending\":1024},"
	"\"outlierDetection\":{\"consecutiveFailures\":7,\"baseEjection\":\"1s\",\"maxEjection\":\"60s\",\"maxEjectionPercent\":50,"
	"\"successRate\":{\"stdevFactor\":1.9,\"minHosts\":5,\"minRequests\":100,\"interval\":\"10s\"},"
	"\"failurePercent\":{\"threshold\":85,\"minHosts\":5,\"minRequests\":50,\"interval\":\"10s\"}},"
	"\"healthCheck\":{\"path\":\"/healthz\",\"interval\":\"10s\",\"timeout\":\"1s\",\"unhealthyAfter\":3,\"healthyAfter\":2},"
	"\"rateLimit\":{\"requestsPerSecond\":100,\"burst\":50,\"per\":\"source\"},\"concurrencyLimit\":{\"mode\":\"aimd\",\"min\":4,\"max\":1000},"
	"\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"v1\"}},{\"name\":\"v2\",\"labels\":{\"version\":\"v2\"}}],"
	"\"routes\":[{\"name\":\"canary-testers\",\"match\":[{\"path\":{\"prefix\":\"/make-payment\"},\"methods\":[\"POST\"],\"headers\":{\"x-canary\":{\"exact\":\"1\"}},\"source\":{\"service\":\"cart\"}}],"
	"\"split\":[{\"subset\":\"v2\",\"weight\":100}]},"
	"{\"name\":\"default\",\"split\":[{\"subset\":\"v1\",\"weight\":90},{\"subset\":\"v2\",\"weight\":10}],\"stickyOn\":{\"header\":\"x-user\"},"
	"\"mirror\":{\"subset\":\"v2\",\"percent\":20},\"fault\":{\"delay\":{\"percent\":5,\"duration\":\"200ms\"},\"abort\":{\"percent\":1.5,\"status\":503}},\"timeout\":\"2s\",\"retries\":{\"attempts\":1}}],"
	"\"failover\":[{\"service\":\"payments-dr.shop\"}],"
	"\"authorization\":{\"default\":\"deny\",\"mode\":\"enforce\",\"rules\":[{\"name\":\"carts-pay\",\"action\":\"allow\",\"from\":[{\"service\":\"cart\"}],\"methods\":[\"POST\"],\"paths\":[{\"exact\":\"/make-payment\"}]}]}}";

static void the_document_of_the_policy_is_read_whole_and_written_again(void **state)
{
	struct read read = read_ok(policy_md), again;

	(void)state;
	assert_string_equal(read.canonical, policy_md_canonical);
	again = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, policy_md_canonical);
	assert_string_equal(again.faults.data, "f:1:1: apiVersion: is missing\nf:1:1: kind: is missing\nf:1:1: name: is missing\n");
	done(&again);
	done(&read);
}

static void its_routes_and_subsets_are_what_it_says(void **state)
{
	struct read read = read_ok(policy_md);
	const struct mesh__service_policy *p = &read.doc.service;
	const struct mesh__route *canary = &p->routes[0], *rest = &p->routes[1];

	(void)state;
	assert_int_equal(p->n_subsets, 2);
	assert_string_equal(p->subsets[1].name, "v2");
	assert_string_equal(p->subsets[1].labels.version, "v2");
	assert_null(p->subsets[1].labels.zone);
	assert_int_equal(p->n_routes, 2);
	assert_int_equal(canary->n_matches, 1);
	assert_int_equal(canary->matches[0].path.how, MESH__MATCH_PREFIX);
	assert_string_equal(canary->matches[0].path.text, "/make-payment");
	assert_int_equal(canary->matches[0].path.len, strlen("/make-payment"));
	assert_int_equal(canary->matches[0].methods.n, 1);
	assert_string_equal(canary->matches[0].methods.names[0], "POST");
	assert_int_equal(canary->matches[0].n_headers, 1);
	assert_string_equal(canary->matches[0].headers[0].name, "x-canary");
	assert_int_equal(canary->matches[0].headers[0].value.how, MESH__MATCH_EXACT);
	assert_string_equal(canary->matches[0].headers[0].value.text, "1");
	assert_int_equal(canary->matches[0].n_query, 0);
	assert_string_equal(canary->matches[0].source.service, "cart");
	assert_string_equal(canary->matches[0].source.ns, "shop");
	assert_int_equal(canary->timeout_ms, 0);
	assert_int_equal(rest->n_matches, 0);
	assert_int_equal(rest->n_sides, 2);
	assert_string_equal(rest->sides[0].subset, "v1");
	assert_int_equal(rest->sides[0].weight, 90);
	assert_int_equal(rest->sticky.on, MESH__STICKY_HEADER);
	assert_string_equal(rest->sticky.name, "x-user");
	assert_string_equal(rest->mirror.to.subset, "v2");
	assert_int_equal(rest->mirror.share, MESH__WHOLE / 5);
	assert_int_equal(rest->timeout_ms, 2000);
	done(&read);
}

static void a_route_has_the_services_retries_and_hedging_with_its_own_fields_over_them(void **state)
{
	struct read read = read_ok("routes:\n- name: a\n  retries: {attempts: 1, backoff: {max: 1s}, retryOn: [503]}\n  hedging: {delay: 40ms}\n- name: b\n"
		"retries: {attempts: 5, budget: {percent: 0.5}, backoff: {base: 7ms}}\nhedging: {maxExtraPercent: 1}\n");
	const struct mesh__retries *a = &read.doc.service.routes[0].retries, *b = &read.doc.service.routes[1].retries;

	(void)state;
	assert_int_equal(a->attempts, 1);
	assert_int_equal(a->backoff.base_ms, 7);
	assert_int_equal(a->backoff.max_ms, 1000);
	assert_int_equal(a->budget.share, 5000);
	assert_int_equal(a->on, 0);
	assert_int_equal(a->codes[(503 - MESH__RETRY_CODE_MIN) / 64], UINT64_C(1) << ((503 - MESH__RETRY_CODE_MIN) % 64));
	assert_memory_equal(b, &read.doc.service.retries, sizeof(*b));
	assert_int_equal(b->attempts, 5);
	assert_true(read.doc.service.routes[0].hedging.on);
	assert_int_equal(read.doc.service.routes[0].hedging.delay_ms, 40);
	assert_int_equal(read.doc.service.routes[0].hedging.max_extra, 10000);
	assert_false(read.doc.service.routes[1].hedging.on);
	done(&read);
}

static void the_rules_of_authorization_are_what_it_says(void **state)
{
	struct read read = read_ok("authorization:\n  default: deny\n  mode: audit\n  rules:\n"
		"  - {name: a, action: allow, from: [{service: cart}, {namespace: ops}, {service: web, namespace: front}], methods: [GET, POST], paths: [/a, {prefix: /b/}], headers: {X-Tier: {present: false}}}\n"
		"  - {name: b, action: deny}\n");
	const struct mesh__authorization *a = &read.doc.service.authorization;
	const struct mesh__authz_rule *rule = a->rules;

	(void)state;
	assert_true(a->default_deny);
	assert_true(a->audit);
	assert_int_equal(a->n_rules, 2);
	assert_true(rule->allow);
	assert_int_equal(rule->n_from, 3);
	assert_string_equal(rule->from[0].ns, "shop");
	assert_null(rule->from[1].service);
	assert_string_equal(rule->from[1].ns, "ops");
	assert_string_equal(rule->from[2].service, "web");
	assert_string_equal(rule->from[2].ns, "front");
	assert_int_equal(rule->methods.n, 2);
	assert_int_equal(rule->n_paths, 2);
	assert_int_equal(rule->paths[0].how, MESH__MATCH_EXACT);
	assert_int_equal(rule->paths[1].how, MESH__MATCH_PREFIX);
	assert_string_equal(rule->headers[0].name, "x-tier");
	assert_int_equal(rule->headers[0].value.how, MESH__MATCH_ABSENT);
	assert_false(rule[1].allow);
	assert_int_equal(rule[1].n_from + rule[1].n_paths + rule[1].methods.n + rule[1].n_headers, 0);
	done(&read);
}

/* ---- Every other form of a value: as it is written, and its canonical form ---- */

static void every_form_of_a_value_is_taken_and_written_canonically(void **state)
{
	static const struct {
		const char *lines, *canonical;
	} rows[] = {
		{"retries: {}\n", "{\"retries\":{}}"},
		{"retries: {retryOn: [503, unsent, 429, 5xx, retriable-4xx, retriable-429, \"unavailable\"]}\n", "{\"retries\":{\"retryOn\":[\"unsent\",\"5xx\",\"retriable-4xx\",\"retriable-429\",\"unavailable\",429,503]}}"},
		{"retries: {retryOn: []}\n", "{\"retries\":{\"retryOn\":[]}}"},
		{"retries: {retryOn: [cancelled, deadline-exceeded, internal, resource-exhausted, 400, 599]}\n", "{\"retries\":{\"retryOn\":[\"cancelled\",\"deadline-exceeded\",\"internal\",\"resource-exhausted\",400,599]}}"},
		{"retries: {budget: {percent: 0.0001}}\n", "{\"retries\":{\"budget\":{\"percent\":0.0001}}}"},
		{"retries: {budget: {percent: 100.0}}\n", "{\"retries\":{\"budget\":{\"percent\":100}}}"},
		{"retries: {budget: {percent: 33.25, minPerSecond: 0, window: 1000ms}}\n", "{\"retries\":{\"budget\":{\"percent\":33.25,\"minPerSecond\":0,\"window\":\"1s\"}}}"},
		{"hedging: {delay: 250ms}\n", "{\"hedging\":{\"delay\":\"250ms\"}}"},
		{"hedging: {delay: off}\n", "{\"hedging\":{\"delay\":\"off\"}}"},
		{"hedging: {delay: p99.9, maxExtraPercent: 0}\n", "{\"hedging\":{\"delay\":\"p99.9\",\"maxExtraPercent\":0}}"},
		{"healthCheck: {}\n", "{\"healthCheck\":{}}"},
		{"healthCheck: {path: off, interval: 1000ms}\n", "{\"healthCheck\":{\"path\":\"off\",\"interval\":\"1s\"}}"},
		{"subsets: []\nroutes: []\n", "{\"subsets\":[],\"routes\":[]}"},
		{"subsets: [{name: a, labels: {zone: east, version: v1}}]\n", "{\"subsets\":[{\"name\":\"a\",\"labels\":{\"version\":\"v1\",\"zone\":\"east\"}}]}"},
		{"routes: [{name: a, match: [{path: /x, query: {debug: {present: true}, \"a b\": {suffix: z}}}]}]\n",
			"{\"routes\":[{\"name\":\"a\",\"match\":[{\"path\":{\"exact\":\"/x\"},\"query\":{\"debug\":{\"present\":true},\"a b\":{\"suffix\":\"z\"}}}]}]}"},
		{"routes: [{name: a, match: [{path: {regex: \"/v[0-9]+\"}, headers: {X-A: {regex: \"a|b\"}, x-b: \"1\"}}]}]\n",
			"{\"routes\":[{\"name\":\"a\",\"match\":[{\"path\":{\"regex\":\"/v[0-9]+\"},\"headers\":{\"x-a\":{\"regex\":\"a|b\"},\"x-b\":{\"exact\":\"1\"}}}]}]}"},
		{"routes: [{name: a, match: [{}, {source: {namespace: ops, labels: {version: v1}}}]}]\n",
			"{\"routes\":[{\"name\":\"a\",\"match\":[{},{\"source\":{\"namespace\":\"ops\",\"labels\":{\"version\":\"v1\"}}}]}]}"},
		{"routes: [{name: a, split: [{service: payments-next, weight: 5}, {service: b.other, weight: 0}, {weight: 1000000}]}]\n",
			"{\"routes\":[{\"name\":\"a\",\"split\":[{\"service\":\"payments-next.shop\",\"weight\":5},{\"service\":\"b.other\",\"weight\":0},{\"weight\":1000000}]}]}"},
		{"routes: [{name: a, split: [{weight: 1}], stickyOn: {cookie: session}}, {name: b, split: [{weight: 1}], stickyOn: {query: user}}, {name: c, split: [{weight: 1}], stickyOn: {source: true}}]\n",
			"{\"routes\":[{\"name\":\"a\",\"split\":[{\"weight\":1}],\"stickyOn\":{\"cookie\":\"session\"}},{\"name\":\"b\",\"split\":[{\"weight\":1}],\"stickyOn\":{\"query\":\"user\"}},"
			"{\"name\":\"c\",\"split\":[{\"weight\":1}],\"stickyOn\":{\"source\":true}}]}"},
		{"routes: [{name: a, mirror: {service: shadow}}]\n", "{\"routes\":[{\"name\":\"a\",\"mirror\":{\"service\":\"shadow.shop\"}}]}"},
		{"routes: [{name: a, rewrite: {path: /new}}, {name: b, match: [{path: {prefix: /old}}], rewrite: {prefix: /}}]\n",
			"{\"routes\":[{\"name\":\"a\",\"rewrite\":{\"path\":\"/new\"}},{\"name\":\"b\",\"match\":[{\"path\":{\"prefix\":\"/old\"}}],\"rewrite\":{\"prefix\":\"/\"}}]}"},
		{"routes: [{name: a, redirect: {host: \"x.example:8443\", scheme: https, status: 308}}]\n", "{\"routes\":[{\"name\":\"a\",\"redirect\":{\"status\":308,\"scheme\":\"https\",\"host\":\"x.example:8443\"}}]}"},
		{"routes: [{name: a, directResponse: {status: 503, body: \"away\\n\", contentType: text/html}}]\n",
			"{\"routes\":[{\"name\":\"a\",\"directResponse\":{\"status\":503,\"body\":\"away\\u000a\",\"contentType\":\"text/html\"}}]}"},
		{"routes: [{name: a, headers: {request: {set: {X-A: b}, add: {x-b: c}, remove: [X-C]}, response: {remove: [server]}}}]\n",
			"{\"routes\":[{\"name\":\"a\",\"headers\":{\"request\":{\"set\":{\"x-a\":\"b\"},\"add\":{\"x-b\":\"c\"},\"remove\":[\"x-c\"]},\"response\":{\"remove\":[\"server\"]}}}]}"},
		{"rateLimit: {requestsPerSecond: 0.5, per: total}\n", "{\"rateLimit\":{\"requestsPerSecond\":0.5,\"per\":\"total\"}}"},
		{"rateLimit: {per: source, burst: 1000000, requestsPerSecond: 200000}\n", "{\"rateLimit\":{\"requestsPerSecond\":200000,\"burst\":1000000,\"per\":\"source\"}}"},
		{"rateLimit: {requestsPerSecond: 0.0001}\n", "{\"rateLimit\":{\"requestsPerSecond\":0.0001}}"},
		{"concurrencyLimit: {max: 1000000, min: 1, mode: off}\n", "{\"concurrencyLimit\":{\"mode\":\"off\",\"min\":1,\"max\":1000000}}"},
		{"rateLimit: {requestsPerSecond: off}\n", "{\"rateLimit\":{\"requestsPerSecond\":\"off\"}}"},
		{"authorization: {}\n", "{\"authorization\":{}}"},
		{"authorization: {rules: []}\n", "{\"authorization\":{\"rules\":[]}}"},
		{"routes: [{name: a, fault: {abort: {percent: 0.001, grpcStatus: 14}, delay: {percent: 100, duration: 1h}}}, {name: b, fault: {abort: {reset: true, percent: 0}}}, {name: c, fault: {abort: {percent: 1, slowBody: true, reset: false}}}]\n",
			"{\"routes\":[{\"name\":\"a\",\"fault\":{\"delay\":{\"percent\":100,\"duration\":\"1h\"},\"abort\":{\"percent\":0.001,\"grpcStatus\":14}}},"
			"{\"name\":\"b\",\"fault\":{\"abort\":{\"percent\":0,\"reset\":true}}},{\"name\":\"c\",\"fault\":{\"abort\":{\"percent\":1,\"reset\":false,\"slowBody\":true}}}]}"},
		/* read, and kept nowhere */
		{"loadBalancer: {hashOn: {source: true}}\n", "{\"loadBalancer\":{\"hashOn\":{\"source\":true}}}"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct read read = read_ok(rows[i].lines), again;
		char text[4096];
		assert_string_equal(read.canonical, rows[i].canonical);
		(void)snprintf(text, sizeof(text), "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Service\",\"name\":\"payments\"%s%s", strlen(read.canonical) > 2 ? "," : "", read.canonical + 1);
		again = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, text);
		assert_string_equal(again.canonical, read.canonical);
		done(&again);
		done(&read);
	}
}

static void what_a_value_leaves_out_is_filled_in(void **state)
{
	struct read read = read_ok("routes:\n- {name: a, mirror: {service: shadow}}\n- {name: b, redirect: {path: /x}}\n- {name: c, directResponse: {status: 200, body: hello}}\n");
	const struct mesh__route *routes = read.doc.service.routes;

	(void)state;
	assert_int_equal(routes[0].mirror.share, MESH__WHOLE);
	assert_string_equal(routes[0].mirror.to.service, "shadow.shop");
	assert_int_equal(routes[1].redirect.status, 302);
	assert_int_equal(routes[2].direct.body_len, 5);
	assert_null(routes[2].direct.content_type);
	done(&read);
}

static void other_services_that_are_named_are_told_with_their_places_to_whoever_asks_for_warnings(void **state)
{
	static const char text[] = HEAD "routes:\n- name: a\n  split: [{service: b, weight: 1}, {service: c.other, weight: 1}, {weight: 1}]\n";
	struct mesh__document *d = NULL;
	struct mesh__buf warnings;

	(void)state;
	mesh__buf_init(&warnings, mesh__mem_libc(), OUTPUT_MAX);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", text, strlen(text), "shop", &d, NULL, &warnings, NULL), MESH_OK);
	assert_string_equal(d->references->service, "b.shop");
	assert_string_equal(d->references->path, "routes[0].split[0].service");
	assert_int_equal(d->references->line, 6);
	assert_int_equal(d->references->column, 21);
	assert_string_equal(d->references->next->service, "c.other");
	assert_null(d->references->next->next);
	mesh__documents_free(d);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "f", text, strlen(text), "shop", &d, NULL, NULL, NULL), MESH_OK);
	assert_null(d->references);
	mesh__documents_free(d);
	mesh__buf_fini(&warnings);
}

/* ---- What is refused: the whole line ---- */

static const struct {
	const char *lines, *faults;
} refusals[] = {
	{"routes: [{name: a, match: [{path: {regex: \"/(a\"}}]}]\n", "f:4:43: routes[0].match[0].path.regex: not a regular expression: missing closing parenthesis (at character 4)\n"},
	{"retries: {attempts: 11}\n", "f:4:21: retries.attempts: 11 is out of range; it may be from 0 to 10\n"},
	{"retries: {retryOn: unsent}\n", "f:4:20: retries.retryOn: wants a list such as [unsent, connect-failure, 503]\n"},
	{"retries: {retryOn: [unsend, 200, 503x]}\n",
		"f:4:21: retries.retryOn[0]: \"unsend\" is no value of it; in this version: unsent, connect-failure, reset, gateway-error, 5xx, retriable-4xx, retriable-429, unavailable, cancelled, deadline-exceeded, internal, resource-exhausted; did you mean \"unsent\"?\n"
		"f:4:29: retries.retryOn[1]: 200 is out of range; it may be from 400 to 599\n"
		"f:4:34: retries.retryOn[2]: \"503x\" is no value of it; in this version: unsent, connect-failure, reset, gateway-error, 5xx, retriable-4xx, retriable-429, unavailable, cancelled, deadline-exceeded, internal, resource-exhausted; did you mean \"5xx\"?\n"},
	{"retries: {budget: {percent: 100.0001, minPerSecond: -1, window: 1ms}}\n",
		"f:4:29: retries.budget.percent: 100.0001 is out of range; it may be from 0 to 100\n"
		"f:4:53: retries.budget.minPerSecond: wants a whole number in decimal digits, without quotes, not \"-1\"\n"
		"f:4:65: retries.budget.window: 1ms is out of range; it may be from 1s to 1h\n"},
	{"retries: {budget: {percent: 1.00001}}\n", "f:4:29: retries.budget.percent: wants a decimal number with at most four places, without quotes, not \"1.00001\"\n"},
	{"retries: {budget: {percent: \"5\"}}\n", "f:4:29: retries.budget.percent: wants a decimal number with at most four places, without quotes, not \"5\"\n"},
	{"retries: {budget: {percent: 5%}}\n", "f:4:29: retries.budget.percent: wants a decimal number with at most four places, without quotes, not \"5%\"\n"},
	{"retries: {budget: {percent: 1e1}}\n", "f:4:29: retries.budget.percent: wants a decimal number with at most four places, without quotes, not \"1e1\"\n"},
	{"retries: {budget: {percent: 5.}}\n", "f:4:29: retries.budget.percent: wants a decimal number with at most four places, without quotes, not \"5.\"\n"},
	{"hedging: {delay: p100}\n", "f:4:18: hedging.delay: \"p100\" is no percentile; write p and a number under 100, such as p95\n"},
	{"hedging: {delay: p}\n", "f:4:18: hedging.delay: \"p\" is no percentile; write p and a number under 100, such as p95\n"},
	{"hedging: {delay: soon}\n", "f:4:18: hedging.delay: \"soon\" is no duration; write a number and a unit (ms, s, m, h), such as 250ms\n"},
	{"subsets: [{name: a}]\n", "f:4:11: subsets[0].labels: is missing\n"},
	{"subsets: [{name: a, labels: {tier: x}}]\n", "f:4:30: subsets[0].labels.tier: labels other than version and zone are not in force yet\n"},
	{"subsets: [{name: a, labels: {}}, {name: b, labels: {}}, {name: a, labels: {}}]\n", "f:4:64: subsets[2].name: \"a\" stands in subsets[0] already\n"},
	{"routes: [{name: a}, {name: a}]\n", "f:4:28: routes[1].name: \"a\" stands in routes[0] already\n"},
	{"routes: [{split: [{weight: 1}]}]\n", "f:4:10: routes[0].name: is missing\n"},
	{"routes: {name: a}\n", "f:4:9: routes: wants a list such as [{name: default, split: [{subset: v1, weight: 100}]}]\n"},
	{"routes: [{name: a, match: []}]\n", "f:4:27: routes[0].match: is empty; name at least 1, or leave it out\n"},
	{"routes: [{name: a, match: [{path: {exact: /a, prefix: /b}}]}]\n", "f:4:35: routes[0].match[0].path: wants exactly one of exact, prefix, regex\n"},
	{"routes: [{name: a, match: [{path: {}}]}]\n", "f:4:35: routes[0].match[0].path: wants exactly one of exact, prefix, regex\n"},
	{"routes: [{name: a, match: [{path: {suffix: /a}}]}]\n", "f:4:36: routes[0].match[0].path.suffix: unknown field; did you mean \"prefix\"?\n"},
	{"routes: [{name: a, match: [{path: a/b}, {path: /a?b}, {path: \"/a b\"}]}]\n",
		"f:4:35: routes[0].match[0].path: \"a/b\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'\n"
		"f:4:48: routes[0].match[1].path: \"/a?b\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'\n"
		"f:4:62: routes[0].match[2].path: \"/a b\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'\n"},
	{"routes: [{name: a, match: [{path: /a//b}, {path: {prefix: /%61/../c}}, {path: /a%2Fb}]}]\n",
		"f:4:35: routes[0].match[0].path: \"/a//b\" is not how paths are compared; write \"/a/b\"\n"
		"f:4:59: routes[0].match[1].path.prefix: \"/%61/../c\" is not how paths are compared; write \"/c\"\n"
		"f:4:79: routes[0].match[2].path: \"/a%2Fb\" has more than one reading, so requests for it are refused\n"},
	{"routes: [{name: a, match: [{methods: [post]}, {methods: [GET, GET]}, {methods: [\"A B\"]}]}]\n",
		"f:4:39: routes[0].match[0].methods[0]: \"post\" matches nothing, as methods are compared with their case; write it in capitals\n"
		"f:4:63: routes[0].match[1].methods[1]: \"GET\" stands in methods[0] already\n"
		"f:4:81: routes[0].match[2].methods[0]: \"A B\" is no HTTP method that is carried\n"},
	{"routes: [{name: a, match: [{headers: {\"x a\": \"1\"}}, {headers: {x-a: \"1\", X-A: \"2\"}}, {headers: {x-a: 1}}]}]\n",
		"f:4:39: routes[0].match[0].headers.x a: \"x a\" is no header's name\n"
		"f:4:74: routes[0].match[1].headers.X-A: is there already, in other letters\n"
		"f:4:102: routes[0].match[2].headers.x-a: wants text, not a number; write it in quotes: \"1\"\n"},
	{"routes: [{name: a, match: [{source: {}}]}]\n", "f:4:37: routes[0].match[0].source: says nothing; name a service, a namespace or labels\n"},
	{"subsets: [{name: v1, labels: {}}]\nroutes:\n- name: a\n  split: [{subset: v2, weight: 1}]\n  mirror: {subset: w}\n",
		"f:7:20: routes[0].split[0].subset: \"v2\" is no subset of the service: `subsets` does not define it; did you mean \"v1\"?\n"
		"f:8:20: routes[0].mirror.subset: \"w\" is no subset of the service: `subsets` does not define it\n"},
	{"routes: [{name: a, split: [{subset: v1, weight: 0}]}]\n",
		"f:4:27: routes[0].split: all weights are 0; one at least has to be more\n"
		"f:4:37: routes[0].split[0].subset: \"v1\" is no subset of the service: `subsets` does not define it\n"},
	{"routes: [{name: a, split: [{service: b}]}]\n", "f:4:28: routes[0].split[0].weight: is missing\n"},
	{"routes: [{name: a, split: [{service: b, weight: 1000001}]}]\n", "f:4:49: routes[0].split[0].weight: 1000001 is out of range; it may be from 0 to 1000000\n"},
	{"routes: [{name: a, split: [{service: b, subset: v, weight: 1}]}]\n",
		"f:4:28: routes[0].split[0]: names a subset and a service; a subset is of the document's own service\n"
		"f:4:49: routes[0].split[0].subset: \"v\" is no subset of the service: `subsets` does not define it\n"},
	{"subsets: [{name: v, labels: {}}]\nroutes: [{name: a, split: [{service: b, weight: 1}, {subset: v, weight: 1}, {service: b.shop, weight: 0}, {service: b.other, weight: 1}, {subset: v, weight: 2}]}]\n",
		"f:5:87: routes[0].split[2].service: \"b.shop\" stands in split[0] already\n"
		"f:5:147: routes[0].split[4].subset: \"v\" stands in split[1] already\n"},
	{"routes: [{name: a, split: [{weight: 90}, {service: b, weight: 1}, {weight: 9}]}]\n", "f:4:67: routes[0].split[2]: leads to all endpoints of the service, as split[0] does already\n"},
	{"routes: [{name: a, split: [{service: A, weight: 1}]}]\n", "f:4:38: routes[0].split[0].service: service \"A\" is no valid name; write service or service.namespace, each of lower-case letters, digits and inner hyphens, at most 63\n"},
	{"routes: [{name: a, stickyOn: {header: x-user}}]\n", "f:4:20: routes[0].stickyOn: does nothing without a split\n"},
	{"routes: [{name: a, otherSubsets: true}, {name: b, otherSubsets: true, directResponse: {status: 200}}]\n",
		"f:4:20: routes[0].otherSubsets: does nothing without a split\nf:4:51: routes[1].otherSubsets: does nothing beside directResponse\n"},
	{"failover: [{service: payments-dr}, {service: f}, {service: payments-dr.shop}, {service: payments.other}]\n",
		"f:4:50: failover[2]: \"payments-dr.shop\" stands in failover[0] already\n"},
	{"routes: [{name: a, split: [{weight: 1}], stickyOn: {source: false}}]\n", "f:4:61: routes[0].stickyOn.source: may be true alone; leave it out\n"},
	{"routes: [{name: a, split: [{weight: 1}], stickyOn: {}}]\n", "f:4:52: routes[0].stickyOn: wants exactly one of header, cookie, query, source\n"},
	{"routes: [{name: a, mirror: {percent: 5}}]\n", "f:4:28: routes[0].mirror: wants exactly one of subset, service\n"},
	{"routes: [{name: a, rewrite: {prefix: /x}}, {name: b, match: [{path: /a}], redirect: {prefix: /x}}]\n",
		"f:4:30: routes[0].rewrite.prefix: has nothing to stand in the place of unless every match has a path with a prefix\n"
		"f:4:86: routes[1].redirect.prefix: has nothing to stand in the place of unless every match has a path with a prefix\n"},
	{"routes: [{name: a, redirect: {status: 304, path: /}}, {name: b, redirect: {}}, {name: c, redirect: {scheme: ftp}}]\n",
		"f:4:39: routes[0].redirect.status: 304 is no redirect with a place to go to; write 301, 302, 303, 307 or 308\n"
		"f:4:75: routes[1].redirect: leads to where the request came; say scheme, host, path or prefix\n"
		"f:4:109: routes[2].redirect.scheme: \"ftp\" is no scheme of HTTP; write http or https\n"},
	{"routes: [{name: a, redirect: {path: /x}, split: [{weight: 1}], timeout: 1s}]\n",
		"f:4:42: routes[0].split: does nothing beside redirect\nf:4:64: routes[0].timeout: does nothing beside redirect\n"},
	{"routes: [{name: a, directResponse: {status: 204, body: x}}, {name: b, directResponse: {status: 200}, mirror: {service: b}}]\n",
		"f:4:36: routes[0].directResponse: has a body, and an answer 204 has none\nf:4:102: routes[1].mirror: does nothing beside directResponse\n"},
	{"routes: [{name: a, headers: {request: {add: {Grpc-Timeout: 1H, grpc: \"1\"}}, response: {set: {grpc-status: \"0\"}, remove: [x-a, grpc-message]}}}]\n",
		"f:4:46: routes[0].headers.request.add.Grpc-Timeout: belongs to gRPC\n"
		"f:4:94: routes[0].headers.response.set.grpc-status: belongs to gRPC\n"
		"f:4:127: routes[0].headers.response.remove[1]: belongs to gRPC\n"},
	{"routes: [{name: a, headers: {request: {set: {Host: x, mesh-try: \"1\", Content-Length: \"1\", x-ok: \" a\"}, remove: [x-forwarded-client-cert]}}}]\n",
		"f:4:46: routes[0].headers.request.set.Host: is of one connection, which the library keeps in order\n"
		"f:4:55: routes[0].headers.request.set.mesh-try: belongs to the mesh itself\n"
		"f:4:70: routes[0].headers.request.set.Content-Length: is of one connection, which the library keeps in order\n"
		"f:4:97: routes[0].headers.request.set.x-ok: is no header's value: it holds a control character, or begins or ends with a space\n"
		"f:4:113: routes[0].headers.request.remove[0]: belongs to the mesh itself\n"},
	{"routes: [{name: a, fault: {abort: {percent: 101, status: 200}, delay: {percent: 1}}}]\n",
		"f:4:45: routes[0].fault.abort.percent: 101 is out of range; it may be from 0 to 100\n"
		"f:4:58: routes[0].fault.abort.status: 200 is out of range; it may be from 400 to 599\n"
		"f:4:71: routes[0].fault.delay.duration: is missing\n"},
	{"routes: [{name: a, fault: {}}, {name: b, fault: {abort: {percent: 1}}}, {name: c, fault: {abort: {percent: 1, reset: true, status: 500}}}, {name: d, redirect: {path: /}, fault: {abort: {percent: 1, reset: true}}}]\n",
		"f:4:27: routes[0].fault: injects nothing; say delay, abort or both\n"
		"f:4:57: routes[1].fault.abort: wants exactly one of status, grpcStatus, reset, slowBody beside percent\n"
		"f:4:98: routes[2].fault.abort: wants exactly one of status, grpcStatus, reset, slowBody beside percent\n"
		"f:4:171: routes[3].fault: does nothing beside redirect\n"},
	{"routes: [{name: a, timeout: 0s}]\n", "f:4:29: routes[0].timeout: 0s is out of range; it may be from 1ms to 24h\n"},
	{"authorization: {default: denied, mode: auditing}\n",
		"f:4:26: authorization.default: \"denied\" is no value of it; in this version: allow, deny; did you mean \"deny\"?\n"
		"f:4:40: authorization.mode: \"auditing\" is no value of it; in this version: enforce, audit; did you mean \"audit\"?\n"},
	{"authorization: {rules: [{name: a}, {name: a, action: allow}, {action: deny, from: [], paths: [{regex: x}]}]}\n",
		"f:4:25: authorization.rules[0].action: is missing\n"
		"f:4:43: authorization.rules[1].name: \"a\" stands in rules[0] already\n"
		"f:4:83: authorization.rules[2].from: is empty; name at least 1, or leave it out\n"
		"f:4:96: authorization.rules[2].paths[0].regex: unknown field\n"
		"f:4:62: authorization.rules[2].name: is missing\n"},
	{"authorization: {rules: [{name: default, action: allow}]}\n",
		"f:4:32: authorization.rules[0].name: \"default\" is what refusals and counters call the default; give the rule another name\n"},
	{"outlierDetection: {consecutiveFailure: 1, baseEjection: 0s}\n",
		"f:4:20: outlierDetection.consecutiveFailure: unknown field; did you mean \"consecutiveFailures\"?\n"
		"f:4:57: outlierDetection.baseEjection: 0s is out of range; it may be from 1ms to 1h\n"},
	{"rateLimit: {requestsPerSecond: 0, burst: 0}\n",
		"f:4:32: rateLimit.requestsPerSecond: 0 is out of range; it may be from 0.0001 to 200000\n"
		"f:4:42: rateLimit.burst: 0 is out of range; it may be from 1 to 1000000\n"},
	{"rateLimit: {requestsPerSecond: 200000.0001, burst: 1000001}\n",
		"f:4:32: rateLimit.requestsPerSecond: 200000.0001 is out of range; it may be from 0.0001 to 200000\n"
		"f:4:52: rateLimit.burst: 1000001 is out of range; it may be from 1 to 1000000\n"},
	{"rateLimit: {requestsPerSecond: -1}\n", "f:4:32: rateLimit.requestsPerSecond: wants a decimal number with at most four places, without quotes, not \"-1\"\n"},
	{"rateLimit: {requestsPerSecond: 1e3}\n", "f:4:32: rateLimit.requestsPerSecond: wants a decimal number with at most four places, without quotes, not \"1e3\"\n"},
	{"rateLimit: {requestsPerSecond: [1]}\n", "f:4:32: rateLimit.requestsPerSecond: wants a number, not a list\n"},
	{"rateLimit: {per: caller}\nconcurrencyLimit: {mode: gradient}\nfailover: [{}]\nhealthCheck: {path: healthz}\n",
		"f:4:18: rateLimit.per: \"caller\" is no value of it; in this version: source, total\n"
		"f:5:26: concurrencyLimit.mode: \"gradient\" is no value of it; in this version: off, aimd\n"
		"f:6:12: failover[0].service: is missing\n"
		"f:7:21: healthCheck.path: \"healthz\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'\n"},
};

static void each_fault_is_told_in_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(refusals); i++) {
		char text[2048];
		struct read read;
		(void)snprintf(text, sizeof(text), HEAD "%s", refusals[i].lines);
		read = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, text);
		assert_string_equal(read.faults.data == NULL ? "" : read.faults.data, refusals[i].faults);
		done(&read);
	}
}

static void health_checks_are_on_where_they_are_said_and_not_off(void **state)
{
	static const struct {
		const char *lines;
		bool on;
		const char *path;
		int64_t interval_ms;
	} rows[] = {
		{"", false, "/healthz", 10000},
		{"healthCheck: {}\n", true, "/healthz", 10000},
		{"healthCheck: {interval: 2s}\n", true, "/healthz", 2000},
		{"healthCheck: {path: /ready}\n", true, "/ready", 10000},
		{"healthCheck: {path: off, interval: 2s}\n", false, "off", 2000},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct read read = read_ok(rows[i].lines);
		const struct mesh__health_check *check = &read.doc.service.health;
		assert_int_equal(check->on, rows[i].on);
		assert_string_equal(check->path, rows[i].path);
		assert_int_equal(check->interval_ms, rows[i].interval_ms);
		assert_int_equal(check->timeout_ms, 1000);
		assert_int_equal(check->unhealthy_after, 3);
		assert_int_equal(check->healthy_after, 2);
		done(&read);
	}
}

/* ---- Namespace and Mesh ---- */

static void a_namespace_and_a_mesh_take_what_is_the_same_for_all(void **state)
{
	static const char lines[] = "timeout: 2s\nconnectTimeout: 1s\nretries: {attempts: 1}\nhedging: {delay: p95}\nloadBalancer: {policy: roundRobin}\ncircuitBreaker: {maxPending: 1}\nauthorization: {default: deny, mode: audit}\n";
	static const enum mesh__kind kinds[] = {MESH__KIND_NAMESPACE, MESH__KIND_MESH};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(kinds); i++) {
		char text[1024];
		struct read read;
		(void)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: %s\nname: mesh\n%s", mesh__kind_name(kinds[i]), lines);
		read = read_with(mesh__mem_libc(), kinds[i], text);
		assert_int_equal(read.faults.len, 0);
		assert_string_equal(read.canonical, "{\"timeout\":\"2s\",\"connectTimeout\":\"1s\",\"loadBalancer\":{\"policy\":\"roundRobin\"},\"retries\":{\"attempts\":1},\"hedging\":{\"delay\":\"p95\"},"
			"\"circuitBreaker\":{\"maxPending\":1},\"authorization\":{\"default\":\"deny\",\"mode\":\"audit\"}}");
		assert_true(read.doc.service.authorization.default_deny);
		done(&read);
	}
}

static void what_is_one_services_is_refused_there(void **state)
{
	struct read read = read_with(mesh__mem_libc(), MESH__KIND_MESH, "apiVersion: mesh/v1\nkind: Mesh\nname: mesh\nnamespace: a\nprotocol: grpc\nsubsets: []\nroutes: 5\nfailover: []\nauthorization: {rules: []}\ntimout: 1s\n");

	(void)state;
	assert_string_equal(read.faults.data,
		"f:4:1: namespace: is not said here: a Namespace is the one that it is named as, and a Mesh is of none\n"
		"f:5:1: protocol: belongs to a Service: it is not the same for all of them\n"
		"f:6:1: subsets: belongs to a Service: it is not the same for all of them\n"
		"f:7:1: routes: belongs to a Service: it is not the same for all of them\n"
		"f:8:1: failover: belongs to a Service: it is not the same for all of them\n"
		"f:9:17: authorization.rules: belong to a Service: a rule names its callers, methods and paths\n"
		"f:10:1: timout: unknown field; did you mean \"timeout\"?\n");
	done(&read);
	read = read_with(mesh__mem_libc(), MESH__KIND_MESH, "apiVersion: mesh/v1\nkind: Mesh\nname: all\n");
	assert_string_equal(read.faults.data, "f:3:7: name: there is one Mesh; it is named mesh\n");
	done(&read);
}

/* ---- Fault ---- */

static void a_fault_has_a_time_and_injects_something(void **state)
{
	static const struct {
		const char *lines, *faults;
	} rows[] = {
		{"fault: {until: 2026-01-31T23:59:59Z, abort: {percent: 1, reset: true}}\n", ""},
		{"timeout: 1s\n", "f:1:1: fault: is missing\n"},
		{"fault: {until: 2026-01-31T23:59:59Z}\n", "f:4:8: fault: injects nothing; say delay, abort or both\n"},
		{"fault: {abort: {percent: 1, reset: true}}\n", "f:4:8: fault.until: is missing\n"},
		{"fault: {until: 2026-02-30T23:59:59Z, abort: {percent: 1, reset: true}}\n", "f:4:16: fault.until: \"2026-02-30T23:59:59Z\" is no time; write it in UTC, as in 2026-01-31T23:59:59Z\n"},
		{"fault: {until: 1970-01-01T00:00:00Z, abort: {percent: 1, reset: true}}\n", "f:4:16: fault.until: \"1970-01-01T00:00:00Z\" is no time; write it in UTC, as in 2026-01-31T23:59:59Z\n"},
		{"fault: {until: 10m, delay: {percent: 1, duration: 2h}}\n", "f:4:16: fault.until: \"10m\" is no time; write it in UTC, as in 2026-01-31T23:59:59Z\nf:4:51: fault.delay.duration: 2h is out of range; it may be from 1ms to 1h\n"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[1024];
		struct read read;
		(void)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: Fault\nname: a\n%s", rows[i].lines);
		read = read_with(mesh__mem_libc(), MESH__KIND_FAULT, text);
		if (strncmp(rows[i].lines, "timeout", 7) == 0) {
			assert_non_null(strstr(read.faults.data, rows[i].faults));
			assert_non_null(strstr(read.faults.data, "f:4:1: timeout: unknown field"));
		} else {
			assert_string_equal(read.faults.data == NULL ? "" : read.faults.data, rows[i].faults);
		}
		done(&read);
	}
}

/* ---- Bounds ---- */

static void lists_are_taken_up_to_their_bounds(void **state)
{
	static const struct {
		const char *before, *item, *after; /* the item with a number in it */
		size_t max;
	} rows[] = {
		{"routes: [", "{name: r%zu}", "]", MESH__ROUTES_MAX},
		{"subsets: [", "{name: s%zu, labels: {}}", "]", MESH__SUBSETS_MAX},
		{"routes: [{name: a, split: [", "{service: s%zu, weight: 1}", "]}]", MESH__SIDES_MAX},
		{"routes: [{name: a, match: [", "{path: /%zu}", "]}]", MESH__MATCHES_MAX},
		{"routes: [{name: a, match: [{headers: {", "x-%zu: a", "}}]}]", MESH__MATCH_FIELDS_MAX},
		{"routes: [{name: a, match: [{query: {", "x-%zu: a", "}}]}]", MESH__MATCH_FIELDS_MAX},
		{"routes: [{name: a, match: [{methods: [", "M%zu", "]}]}]", MESH__METHODS_MAX},
		{"routes: [{name: a, headers: {request: {set: {", "x-%zu: a", "}}}}]", MESH__HEADER_EDITS_MAX},
		{"authorization: {rules: [", "{name: r%zu, action: deny}", "]}", MESH__AUTHZ_RULES_MAX},
		{"authorization: {rules: [{name: a, action: deny, from: [", "{service: s%zu}", "]}]}", MESH__AUTHZ_SOURCES_MAX},
		{"authorization: {rules: [{name: a, action: deny, paths: [", "/%zu", "]}]}", MESH__AUTHZ_PATHS_MAX},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		for (size_t over = 0; over <= 1; over++) {
			struct mesh__buf text;
			struct read read;
			mesh__buf_init(&text, mesh__mem_libc(), OUTPUT_MAX);
			mesh__buf_printf(&text, HEAD "%s", rows[i].before);
			for (size_t k = 0; k < rows[i].max + over; k++) {
				char item[64];
				size_t at = strcspn(rows[i].item, "%");
				(void)snprintf(item, sizeof(item), "%.*s%zu%s", (int)at, rows[i].item, k, rows[i].item + at + strlen("%zu"));
				mesh__buf_printf(&text, "%s%s", k > 0 ? ", " : "", item);
			}
			mesh__buf_str(&text, rows[i].after);
			read = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, text.data);
			assert_int_equal(read.canonical != NULL, over == 0);
			assert_int_equal(over == 1, read.faults.data != NULL && strstr(read.faults.data, "are taken\n") != NULL);
			done(&read);
			mesh__buf_fini(&text);
		}
	}
}

static void a_document_has_so_many_regular_expressions_and_no_more(void **state)
{
	char lines[64 * 1024];

	(void)state;
	for (int n = MESH__REGEXES_MAX; n <= MESH__REGEXES_MAX + 1; n++) {
		size_t len = (size_t)snprintf(lines, sizeof(lines), "apiVersion: mesh/v1\nkind: Service\nname: payments\nroutes:\n");
		struct read read;
		for (int i = 0; i < n; i++) {
			if (i % MESH__MATCHES_MAX == 0) {
				len += (size_t)snprintf(lines + len, sizeof(lines) - len, "- name: r%d\n  match:\n", i);
			}
			len += (size_t)snprintf(lines + len, sizeof(lines) - len, "  - path: {regex: a%d}\n", i);
		}
		read = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, lines);
		assert_string_equal(read.faults.len == 0 ? "" : read.faults.data, n == MESH__REGEXES_MAX ? "" : "f:271:19: routes[4].match[0].path.regex: is one too many: a document has at most 256 regular expressions\n");
		done(&read);
	}
}

static void text_is_taken_up_to_its_bound(void **state)
{
	static const struct {
		const char *before, *after;
		size_t max;
	} rows[] = {
		{"routes: [{name: a, match: [{path: /", "}]}]", MESH__TEXT_MAX - 1},
		{"routes: [{name: a, match: [{headers: {x: ", "}}]}]", MESH__TEXT_MAX},
		{"routes: [{name: a, match: [{headers: {", ": x}}]}]", 128},
		{"routes: [{name: a, match: [{path: {regex: ", "}}]}]", 256},
		{"routes: [{name: a, directResponse: {status: 200, body: ", "}}]", MESH__DIRECT_BODY_MAX},
		{"routes: [{name: ", "}]", MESH__LABEL_MAX},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		for (size_t over = 0; over <= 1; over++) {
			struct mesh__buf text;
			struct read read;
			mesh__buf_init(&text, mesh__mem_libc(), OUTPUT_MAX);
			mesh__buf_printf(&text, HEAD "%s", rows[i].before);
			for (size_t k = 0; k < rows[i].max + over; k++) {
				mesh__buf_chr(&text, 'a');
			}
			mesh__buf_str(&text, rows[i].after);
			read = read_with(mesh__mem_libc(), MESH__KIND_SERVICE, text.data);
			assert_int_equal(read.canonical != NULL, over == 0);
			assert_int_equal(over == 1, read.faults.data != NULL && strstr(read.faults.data, "is longer than") != NULL);
			done(&read);
			mesh__buf_fini(&text);
		}
	}
}

/* ---- Memory ---- */

static void every_failing_allocation_is_told_and_nothing_leaks(void **state)
{
	static const char head[] = HEAD;
	char text[4096];

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", head, policy_md);
	for (long n = 1, finished = 0; !finished; n++) {
		struct fail_mem mem;
		struct read read;
		fail_mem_init(&mem);
		mem.fail_at = n;
		read = read_with(&mem.mem, MESH__KIND_SERVICE, text);
		finished = mem.count < n;
		assert_int_equal(read.no_memory, !finished);
		done(&read);
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_of_the_policy_is_read_whole_and_written_again),
		cmocka_unit_test(its_routes_and_subsets_are_what_it_says),
		cmocka_unit_test(a_route_has_the_services_retries_and_hedging_with_its_own_fields_over_them),
		cmocka_unit_test(the_rules_of_authorization_are_what_it_says),
		cmocka_unit_test(every_form_of_a_value_is_taken_and_written_canonically),
		cmocka_unit_test(what_a_value_leaves_out_is_filled_in),
		cmocka_unit_test(other_services_that_are_named_are_told_with_their_places_to_whoever_asks_for_warnings),
		cmocka_unit_test(each_fault_is_told_in_its_place),
		cmocka_unit_test(health_checks_are_on_where_they_are_said_and_not_off),
		cmocka_unit_test(a_namespace_and_a_mesh_take_what_is_the_same_for_all),
		cmocka_unit_test(a_fault_has_a_time_and_injects_something),
		cmocka_unit_test(what_is_one_services_is_refused_there),
		cmocka_unit_test(lists_are_taken_up_to_their_bounds),
		cmocka_unit_test(a_document_has_so_many_regular_expressions_and_no_more),
		cmocka_unit_test(text_is_taken_up_to_its_bound),
		cmocka_unit_test(every_failing_allocation_is_told_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
