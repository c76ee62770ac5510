#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/yaml.h"

#define BYTES(s) s, sizeof(s) - 1

enum { MAX = 1024 * 1024 };

static struct mesh__node *must_parse(const char *text)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__node *documents;

	if (mesh__yaml_parse(mesh__mem_libc(), text, strlen(text), MAX, &documents, &err) != MESH_OK) {
		fail_msg("%s: %s", text, err.message);
	}
	return documents;
}

static void assert_at(const struct mesh__node *node, int line, int column)
{
	assert_non_null(node);
	assert_int_equal(node->line, line);
	assert_int_equal(node->column, column);
}

static void knows_line_and_column_of_keys_and_values(void **state)
{
	struct mesh__node *d = must_parse("apiVersion: mesh/v1\nretries:\n  attempts: 2\n  retryOn: [unsent,\n    reset]\n\xc3\xa4\xc3\xa4: \"x\"\n");
	const struct mesh__node *retries = mesh__node_get(d, "retries");
	const struct mesh__node *on = mesh__node_get(retries, "retryOn");
	const struct mesh__node *umlaut = mesh__node_get(d, "\xc3\xa4\xc3\xa4");

	(void)state;
	assert_int_equal(d->kind, MESH__NODE_MAP);
	assert_null(d->key);
	assert_at(d, 1, 1);
	assert_at(mesh__node_get(d, "apiVersion"), 1, 13);
	assert_string_equal(mesh__node_get(d, "apiVersion")->text, "mesh/v1");
	assert_at(retries, 3, 3);
	assert_int_equal(retries->key_line, 2);
	assert_int_equal(retries->key_column, 1);
	assert_int_equal(on->kind, MESH__NODE_LIST);
	assert_at(on, 4, 12);
	assert_at(on->child, 4, 13);
	assert_at(on->child->next, 5, 5);
	assert_string_equal(on->child->next->text, "reset");
	assert_null(on->child->next->next);
	assert_at(umlaut, 6, 5); /* columns count characters */
	mesh__yaml_free(d);
}

static void tells_quoted_scalars_from_plain_ones(void **state)
{
	static const struct {
		const char *text, *value;
		bool quoted;
	} rows[] = {
		{"a: 1", "1", false}, {"a: \"1\"", "1", true}, {"a: '1'", "1", true}, {"a: |\n  1\n", "1\n", true}, {"a: >-\n  1\n  2\n", "1 2", true}, {"a: true", "true", false},
		{"a:", "", false}, {"a: ''", "", true}, {"{\"a\":\"\\u00e4\"}", "\xc3\xa4", true}, {"{\"a\":1}", "1", false}, {"a: x # remark", "x", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__node *d = must_parse(rows[i].text);
		const struct mesh__node *a = mesh__node_get(d, "a");
		assert_non_null(a);
		assert_int_equal(a->kind, MESH__NODE_SCALAR);
		assert_string_equal(a->text, rows[i].value);
		assert_int_equal(a->quoted, rows[i].quoted);
		mesh__yaml_free(d);
	}
}

static void lists_documents_and_leaves_empty_ones_out(void **state)
{
	static const char *const nothing[] = {"", "\n", "# remark\n", "---\n", "---\n---\n...\n", "\xef\xbb\xbf"};
	struct mesh__node *d = must_parse("---\na: 1\n---\n# nothing\n---\n- b\n---\nc\n");

	(void)state;
	assert_int_equal(d->kind, MESH__NODE_MAP);
	assert_int_equal(d->next->kind, MESH__NODE_LIST);
	assert_int_equal(d->next->line, 6);
	assert_string_equal(d->next->next->text, "c");
	assert_null(d->next->next->next);
	mesh__yaml_free(d);
	for (size_t i = 0; i < MESH__COUNT(nothing); i++) {
		assert_null(must_parse(nothing[i]));
	}
	mesh__yaml_free(NULL);
}

static void reads_json_as_it_stands(void **state)
{
	struct mesh__node *d = must_parse("{\"kind\":\"Service\",\"retries\":{\"attempts\":2,\"on\":[\"a\",\"b\"]},\n\t\"empty\":{},\"none\":[]}");

	(void)state;
	assert_string_equal(mesh__node_get(d, "kind")->text, "Service");
	assert_string_equal(mesh__node_get(mesh__node_get(d, "retries"), "attempts")->text, "2");
	assert_int_equal(mesh__node_get(d, "empty")->kind, MESH__NODE_MAP);
	assert_null(mesh__node_get(d, "empty")->child);
	assert_int_equal(mesh__node_get(d, "none")->kind, MESH__NODE_LIST);
	assert_null(mesh__node_get(mesh__node_get(d, "none"), "x"));
	assert_null(mesh__node_get(NULL, "x"));
	mesh__yaml_free(d);
}

static void refuses_with_line_and_column(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *message; /* its beginning */
	} bad[] = {
		{BYTES("a: &x 1\n"), "1:4: anchors"},
		{BYTES("a: 1\nb: *x\n"), "2:4: aliases"},
		{BYTES("&x a: 1\n"), "1:1: anchors"},
		{BYTES("- &x [1]\n"), "1:3: anchors"},
		{BYTES("- &x {a: 1}\n"), "1:3: anchors"},
		{BYTES("a: !!str 1\n"), "1:4: tags"},
		{BYTES("a: !local {}\n"), "1:4: tags"},
		{BYTES("a: ! 1\n"), "1:4: tags"},
		{BYTES("%TAG !e! tag:example.com,2000:\n---\na: 1\n"), "1:1: tags"},
		{BYTES("a: 1\nb: 2\na: 3\n"), "3:1: duplicate key \"a\", first at 1:1"},
		{BYTES("x:\n  - {a: 1, \"a\": 2}\n"), "2:12: duplicate key \"a\""},
		{BYTES("{\"a\":1,\"\\u0061\":2}"), "1:8: duplicate key"},
		{BYTES("[a]: 1\n"), "1:1: a key must be a string"},
		{BYTES("{a: 1}: 1\n"), "1:1: a key must be a string"},
		{BYTES("? [a]\n: 1\n"), "1:3: a key must be a string"},
		{BYTES("? {a: 1}\n"), "1:3: a key must be a string"},
		{BYTES("?\n: 1\n"), "1:2: a key must not be empty"},
		{BYTES("\"\": 1\n"), "1:1: a key must not be empty"},
		{BYTES("a: \"x\\0y\"\n"), "1:4: a NUL"},
		{BYTES("\"x\\0\": 1\n"), "1:1: a NUL"},
		{BYTES("a: 1\n\tb: 2\n"), "2:1: "},
		{BYTES("a: [1, 2\n"), "2:1: "},
		{BYTES("a: 'x\n"), "2:1: "},
		{BYTES("a: b: c\n"), "1:5: "},
		{BYTES("a\nb: 1\n"), "2:2: "},
		{BYTES("ok: 1\nx\xc3\xa4y: \xff\n"), "2:6: "},
		{BYTES("a: \x01\n"), "1:4: "},
		{BYTES("a: x\0y\n"), "1:5: "},
		{BYTES("\xff\xfe" "a\0"), "1:1: "}, /* no other encoding slips in behind a byte order mark */
		{BYTES("a: @x\n"), "1:4: "},
		{BYTES("a: \"\\ud800\"\n"), "1:7: "},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__node *d;
		int code = mesh__yaml_parse(mesh__mem_libc(), bad[i].text, bad[i].len, MAX, &d, &err);
		if (code != MESH_E_INVALID || strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) {
			fail_msg("%s: \"%s\"", bad[i].text, err.message);
		}
		assert_null(d);
	}
}

static char *repeat(const char *unit, size_t n, size_t *len)
{
	size_t size = strlen(unit);
	char *text = malloc(n * size + 1);

	for (size_t i = 0; i < n; i++) {
		memcpy(text + i * size, unit, size);
	}
	text[n * size] = '\0';
	*len = n * size;
	return text;
}

static void *parse_deep_texts(void *unused)
{
	static const char *const units[] = {"[", "{a: ", "- ", "? ", "[\n", "{\"a\":["};

	(void)unused;
	for (size_t i = 0; i < MESH__COUNT(units); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__node *d;
		size_t len;
		char *text = repeat(units[i], 100000, &len);
		assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), text, len, MAX, &d, &err), MESH_E_INVALID);
		if (units[i][0] != '?') { /* a key that is a map is refused at once */
			assert_non_null(strstr(err.message, "nested too deep"));
		}
		free(text);
	}
	return NULL;
}

static void refuses_100000_levels_on_a_bounded_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, parse_deep_texts, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pthread_attr_destroy(&attr), 0);
}

static void takes_64_levels_and_refuses_65(void **state)
{
	char text[131];
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__node *d;

	(void)state;
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), text + 1, 128, MAX, &d, &err), MESH_OK);
	mesh__yaml_free(d);
	assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), text, 130, MAX, &d, &err), MESH_E_INVALID);
	assert_string_equal(err.message, "1:65: nested too deep (64 levels at most)");
}

static void refuses_what_is_over_its_bounds(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__node *d;
	size_t len;
	char *text = repeat("a,", 250000, &len);

	(void)state;
	assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), "a: 1\n", 5, 4, &d, &err), MESH_E_TOO_LARGE);
	assert_null(d);
	text[0] = '[';
	text[1] = 'a';
	assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), text, len, MAX, &d, &err), MESH_E_TOO_LARGE);
	assert_non_null(strstr(err.message, "too many values"));
	free(text);
}

/* Each directive is compared with all before it; line ends of every kind count. */
static void refuses_a_flood_of_directives_at_once(void **state)
{
	static const char *const ends[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8"};
	static char text[MAX];

	(void)state;
	for (size_t e = 0; e < MESH__COUNT(ends); e++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__node *d;
		size_t len = 0;
		for (size_t i = 0; len + 40 < sizeof(text); i++) {
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%%TAG !%zu! b%s", i, ends[e]);
		}
		assert_int_equal(mesh__yaml_parse(mesh__mem_libc(), text, len, MAX, &d, &err), MESH_E_INVALID);
		assert_non_null(strstr(err.message, "so many"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_line_and_column_of_keys_and_values),
		cmocka_unit_test(tells_quoted_scalars_from_plain_ones),
		cmocka_unit_test(lists_documents_and_leaves_empty_ones_out),
		cmocka_unit_test(reads_json_as_it_stands),
		cmocka_unit_test(refuses_with_line_and_column),
		cmocka_unit_test(refuses_100000_levels_on_a_bounded_stack),
		cmocka_unit_test(takes_64_levels_and_refuses_65),
		cmocka_unit_test(refuses_what_is_over_its_bounds),
		cmocka_unit_test(refuses_a_flood_of_directives_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
