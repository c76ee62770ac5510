#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshd/audit.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"
#include "wire/json.h"

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct meshd_audit *audit;
};

static int setup(void **state)
{
	static struct fixture f;

	fake_env_init(&f.fake);
	*state = &f;
	return scratch_init(&f.scratch) == 0 && meshd_audit_open(&f.fake.env, scratch_path(&f.scratch, "audit.log"), &f.audit, NULL) == MESH_OK ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_audit_close(f->audit);
	scratch_fini(&f->scratch);
	return 0;
}

/* The last lines, parsed: the array must be JSON. */
static struct mesh__json *tail(struct fixture *f, int64_t limit)
{
	struct mesh__json *json = NULL;
	struct mesh__buf out;

	mesh__buf_init(&out, mesh__mem_libc(), 1 << 20);
	assert_int_equal(meshd_audit_tail(f->audit, limit, &out, NULL), MESH_OK);
	assert_int_equal(mesh__json_parse(mesh__mem_libc(), out.data, out.len, 1 << 20, &json, NULL), MESH_OK);
	mesh__buf_fini(&out);
	return json;
}

static void each_event_is_one_line_of_json_with_time_event_and_result(void **state)
{
	struct fixture *f = *state;
	struct mesh__json *json;
	const struct mesh__json *line;

	assert_int_equal(meshd_audit_allowed(f->audit, NULL, "token-created", NULL, "token", "ab", "absent", NULL, "service", "pay", (char *)NULL), MESH_OK);
	json = tail(f, 10);
	line = mesh__json_first(json);
	assert_string_equal(mesh__json_text(mesh__json_get(line, "time")), "2026-01-01T00:00:00.000Z");
	assert_string_equal(mesh__json_text(mesh__json_get(line, "event")), "token-created");
	assert_string_equal(mesh__json_text(mesh__json_get(line, "result")), "allowed");
	assert_string_equal(mesh__json_text(mesh__json_get(line, "service")), "pay");
	assert_null(mesh__json_get(line, "absent"));
	assert_null(mesh__json_get(line, "reason"));
	mesh__json_free(json);
}

static void a_first_line_stands_before_the_one_that_follows(void **state)
{
	struct fixture *f = *state;
	struct mesh__json *json;
	const struct mesh__json *line;

	assert_int_equal(meshd_audit_first(f->audit, NULL, "token-used", NULL, "token", "ab", (char *)NULL), MESH_OK);
	assert_int_equal(meshd_audit_allowed(f->audit, NULL, "certificate-issued", NULL, "serial", "cd", (char *)NULL), MESH_OK);
	json = tail(f, 10);
	assert_int_equal(mesh__json_count(json), 2);
	line = mesh__json_first(json);
	assert_string_equal(mesh__json_text(mesh__json_get(line, "event")), "token-used");
	assert_string_equal(mesh__json_text(mesh__json_get(line, "result")), "allowed");
	assert_string_equal(mesh__json_text(mesh__json_get(mesh__json_next(line), "serial")), "cd");
	mesh__json_free(json);
}

static void threat_23_nothing_that_a_stranger_sends_makes_a_line_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct mesh__json *json;

	meshd_audit_refused(f->audit, "token-refused", "no\n{\"event\":\"token-created\"}", "instance", "x\r\n\x1b[2J\"}\n{", (char *)NULL);
	json = tail(f, 10);
	assert_int_equal(mesh__json_count(json), 1);
	mesh__json_free(json);
}

static void the_tail_is_bounded_by_its_limit_with_the_newest_last(void **state)
{
	struct fixture *f = *state;
	struct mesh__json *json;
	char number[16];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(number, sizeof(number), "%d", i);
		assert_int_equal(meshd_audit_allowed(f->audit, NULL, "e", number, (char *)NULL), MESH_OK);
	}
	for (int64_t limit = 1; limit < 25; limit++) {
		const struct mesh__json *line = NULL;

		json = tail(f, limit);
		assert_int_equal(mesh__json_count(json), limit > 20 ? 20 : limit);
		for (const struct mesh__json *l = mesh__json_first(json); l != NULL; l = mesh__json_next(l)) {
			line = l;
		}
		assert_string_equal(mesh__json_text(mesh__json_get(line, "reason")), "19");
		mesh__json_free(json);
	}
}

static void a_flood_of_refusals_is_counted_and_not_written(void **state)
{
	struct fixture *f = *state;
	const struct mesh__json *last = NULL;
	struct mesh__json *json;

	for (int i = 0; i < 1000; i++) {
		meshd_audit_refused(f->audit, "admin-unauthorized", "wrong", (char *)NULL);
	}
	fake_env_advance_ms(&f->fake, 1000);
	meshd_audit_refused(f->audit, "admin-unauthorized", "wrong", (char *)NULL);
	json = tail(f, 100);
	assert_int_equal(mesh__json_count(json), 21);
	for (const struct mesh__json *l = mesh__json_first(json); l != NULL; l = mesh__json_next(l)) {
		last = l;
	}
	assert_string_equal(mesh__json_text(mesh__json_get(last, "suppressed")), "980");
	mesh__json_free(json);
}

static void a_line_that_a_crash_tore_is_gone_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	struct mesh__json *json;
	FILE *file;

	assert_int_equal(meshd_audit_allowed(f->audit, NULL, "first", NULL, (char *)NULL), MESH_OK);
	meshd_audit_close(f->audit);
	file = fopen(scratch_path(&f->scratch, "audit.log"), "a");
	assert_non_null(file);
	assert_true(fputs("{\"time\":\"2026-01-01T00:0", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(meshd_audit_open(&f->fake.env, scratch_path(&f->scratch, "audit.log"), &f->audit, NULL), MESH_OK);
	assert_int_equal(meshd_audit_allowed(f->audit, NULL, "second", NULL, (char *)NULL), MESH_OK);
	json = tail(f, 10);
	assert_int_equal(mesh__json_count(json), 2);
	assert_string_equal(mesh__json_text(mesh__json_get(mesh__json_next(mesh__json_first(json)), "event")), "second");
	mesh__json_free(json);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(each_event_is_one_line_of_json_with_time_event_and_result),
		T(a_first_line_stands_before_the_one_that_follows),
		T(threat_23_nothing_that_a_stranger_sends_makes_a_line_of_its_own),
		T(the_tail_is_bounded_by_its_limit_with_the_newest_last),
		T(a_line_that_a_crash_tore_is_gone_at_the_next_start),
		T(a_flood_of_refusals_is_counted_and_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
