#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/fields.h"
#include "policy/schema_json.h"
#include "support/alloc_fail.h"
#include "wire/json.h"

enum { OUTPUT_MAX = 1 << 20 };

static const struct mesh__json *member(const struct mesh__json *of, const char *const *path)
{
	for (; *path != NULL; path++) {
		of = mesh__json_get(of, *path);
	}
	return of;
}

static void it_is_json_with_the_type_the_bounds_and_what_is_built_in(void **state)
{
	static const char *const pending[] = {"$defs", "Service", "properties", "circuitBreaker", "properties", "maxPending", NULL};
	static const char *const unknown[] = {"$defs", "Service", "additionalProperties", NULL};
	struct mesh__json *schema = NULL;
	const struct mesh__json *field;
	struct mesh__buf out;
	int64_t value;
	bool truth = true;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
	mesh__policy_schema(&out);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), out.data, out.len, OUTPUT_MAX, &schema, NULL), MESH_OK);
	field = member(schema, pending);
	assert_string_equal(mesh__json_text(mesh__json_get(field, "type")), "integer");
	assert_true(mesh__json_i64(mesh__json_get(field, "minimum"), 0, 10, &value));
	assert_true(mesh__json_i64(mesh__json_get(field, "maximum"), MESH__BREAKER_MOST, MESH__BREAKER_MOST, &value));
	assert_true(mesh__json_i64(mesh__json_get(field, "default"), MESH__BREAKER_BUILT_IN, MESH__BREAKER_BUILT_IN, &value));
	assert_true(mesh__json_bool(member(schema, unknown), &truth));
	assert_false(truth);
	mesh__json_free(schema);
	mesh__buf_fini(&out);
}

static void what_is_not_in_force_yet_is_not_in_it(void **state)
{
	const struct mesh__field_rule *rule;
	struct mesh__json *schema = NULL;
	struct mesh__buf out;

	(void)state;
	mesh__buf_init(&out, mesh__mem_libc(), OUTPUT_MAX);
	mesh__policy_schema(&out);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), out.data, out.len, OUTPUT_MAX, &schema, NULL), MESH_OK);
	for (size_t i = 0; (rule = mesh__rule_at(mesh__fields_of_kind(MESH__KIND_SERVICE), i)) != NULL; i++) {
		const char *path[] = {"$defs", "Service", "properties", rule->name, NULL};
		assert_int_equal(member(schema, path) == NULL, rule->not_yet || rule->elsewhere != NULL);
	}
	mesh__json_free(schema);
	mesh__buf_fini(&out);
}

static void a_failing_allocation_is_the_buffers(void **state)
{
	(void)state;
	for (long n = 1, done = 0; !done; n++) {
		struct fail_mem mem;
		struct mesh__buf out;
		fail_mem_init(&mem);
		mem.fail_at = n;
		mesh__buf_init(&out, &mem.mem, OUTPUT_MAX);
		mesh__policy_schema(&out);
		done = mem.count < n;
		assert_int_equal(out.error, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__buf_fini(&out);
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_json_with_the_type_the_bounds_and_what_is_built_in),
		cmocka_unit_test(what_is_not_in_force_yet_is_not_in_it),
		cmocka_unit_test(a_failing_allocation_is_the_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
