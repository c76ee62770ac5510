/* The canonical text of a document: what is stored, sent and merged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "parsed.h"
#include "wire/json.h"

static void assert_same(const struct mesh__document *a, const struct mesh__document *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->ns, b->ns);
	assert_string_equal(a->text, b->text);
	assert_int_equal(a->service.protocol, b->service.protocol);
	assert_int_equal(a->service.timeout_ms, b->service.timeout_ms);
	assert_int_equal(a->service.timeout_set, b->service.timeout_set);
	assert_int_equal(a->service.connect_timeout_ms, b->service.connect_timeout_ms);
	assert_int_equal(a->service.load_balancer.balancer, b->service.load_balancer.balancer);
	assert_int_equal(a->insecure_plaintext, b->insecure_plaintext);
	assert_int_equal(a->n_endpoints, b->n_endpoints);
	for (size_t i = 0; i < a->n_endpoints; i++) {
		assert_memory_equal(&a->endpoints[i].addr, &b->endpoints[i].addr, sizeof(a->endpoints[i].addr));
		assert_string_equal(a->endpoints[i].zone ? a->endpoints[i].zone : "(none)", b->endpoints[i].zone ? b->endpoints[i].zone : "(none)");
		assert_string_equal(a->endpoints[i].version ? a->endpoints[i].version : "(none)", b->endpoints[i].version ? b->endpoints[i].version : "(none)");
	}
}

static const char *const documents[] = {
	SERVICE,
	SERVICE "timeout: 1500us\nconnectTimeout: 60s\n",
	SERVICE "timeout: 1.5s\nconnectTimeout: 999ms\nprotocol: http\nloadBalancer: {}\n",
	SERVICE "timeout: 15s\nloadBalancer: {policy: peakEwma}\nnamespace: shop\n",
	"{\"name\": \"true\", \"namespace\": \"1\", \"kind\": \"Service\", \"apiVersion\": \"mesh/v1\"}",
	ENDPOINTS "insecurePlaintext: TRUE\nendpoints:\n- {zone: \"\\\"q\\\\\", labels: {version: \"\xc3\xa9\"}, address: \"[2001:DB8:0::1]:65535\"}\n- {address: 10.0.0.1:1, labels: {}}\n",
};

static void the_canonical_text_parses_to_the_same_document(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESH__COUNT(documents); i++) {
		struct parsed p = parsed_ok(documents[i]);
		struct parsed again = parsed_with(mesh__mem_libc(), p.documents->text, "elsewhere");
		assert_int_equal(again.code, MESH_OK);
		assert_same(p.documents, again.documents);
		parsed_done(&again);
		parsed_done(&p);
	}
}

/* Of the server's store after its next start, and of each client: as the same, to the last byte. */
static void text_that_yaml_reads_otherwise_than_json_comes_back_as_it_was(void **state)
{
	static const struct {
		const char *said, *body;
	} rows[] = {
		{"x\\u0080y\\ufeff", "x\xc2\x80y\xef\xbb\xbf"},
		{"x \\u0085 y \\u2028 z", "x \xc2\x85 y \xe2\x80\xa8 z"},
		{"\\u2029\\ufffe\\uffff", "\xe2\x80\xa9\xef\xbf\xbe\xef\xbf\xbf"},
		{"\\u0001\\n\\x7f", "\x01\n\x7f"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char text[512];
		struct parsed first, second;

		(void)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: Service\nname: a\nroutes: [{name: r, directResponse: {status: 200, body: \"%s\"}}]\n", rows[i].said);
		first = parsed_ok(text);
		assert_string_equal(first.documents->service.routes[0].direct.body, rows[i].body);
		second = parsed_ok(first.documents->text);
		assert_string_equal(second.documents->service.routes[0].direct.body, rows[i].body);
		assert_string_equal(second.documents->text, first.documents->text);
		parsed_done(&first);
		parsed_done(&second);
	}
}

/* Longer once it is written out, and YAML takes no key of over 1,024 characters. */
static void the_longest_name_of_a_parameter_comes_back(void **state)
{
	char text[1024], name[4 * 129 + 1] = "";

	(void)state;
	for (int i = 0; i < 129; i++) {
		struct parsed p;

		(void)snprintf(text, sizeof(text), "apiVersion: mesh/v1\nkind: Service\nname: a\nroutes: [{name: r, match: [{query: {\"%sa\": x}}]}]\n", name);
		p = parsed_of(text);
		assert_int_equal(p.code, i < 128 ? MESH_OK : MESH_E_INVALID);
		parsed_done(&p);
		memcpy(name + 4 * i, "\\x01", 5);
	}
}

static void the_canonical_text_is_json_and_ignores_order_and_spelling(void **state)
{
	struct parsed a = parsed_ok(SERVICE "timeout: 60s\nprotocol: http\n");
	struct parsed b = parsed_ok("# a comment\nprotocol: 'http'\ntimeout: 1m\nname: \"payments\"\nnamespace: default\nkind: Service\napiVersion: mesh/v1\n");
	struct mesh__json *json = NULL;

	(void)state;
	assert_string_equal(a.documents->text, b.documents->text);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), a.documents->text, strlen(a.documents->text), 4096, &json, NULL), MESH_OK);
	assert_string_equal(mesh__json_text(mesh__json_get(json, "timeout")), "60s");
	mesh__json_free(json);
	parsed_done(&a);
	parsed_done(&b);
}

static void a_text_over_its_kinds_bound_is_a_fault_of_the_document(void **state)
{
	enum { ROUTES = 62, BODY = 16000 };
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__document *list = NULL;
	struct mesh__buf text;

	(void)state;
	mesh__buf_init(&text, mesh__mem_libc(), MESH__DOCUMENT_MAX_BYTES);
	mesh__buf_str(&text, SERVICE "routes:\n");
	for (int i = 0; i < ROUTES; i++) {
		mesh__buf_printf(&text, "- {name: r%d, directResponse: {status: 200, body: \"%0*d\"}}\n", i, BODY, 0);
	}
	assert_int_equal(text.error, MESH_OK);
	assert_int_equal(mesh__documents_parse(mesh__mem_libc(), "t", text.data, text.len, "default", &list, NULL, NULL, &err), MESH_E_INVALID);
	assert_null(list);
	assert_non_null(strstr(err.message, "larger than 983040 bytes, and no Service may be"));
	mesh__buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_canonical_text_parses_to_the_same_document),
		cmocka_unit_test(text_that_yaml_reads_otherwise_than_json_comes_back_as_it_was),
		cmocka_unit_test(the_longest_name_of_a_parameter_comes_back),
		cmocka_unit_test(a_text_over_its_kinds_bound_is_a_fault_of_the_document),
		cmocka_unit_test(the_canonical_text_is_json_and_ignores_order_and_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
