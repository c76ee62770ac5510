#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "meshd/faults.h"
#include "meshd/plan.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

/* The fake's clock begins at midnight, 2026-01-01. */
#define FAULT(name, until, more) "{apiVersion: mesh/v1, kind: Fault, name: " name ", fault: {until: \"2026-01-01T" until "Z\", abort: {percent: 1, status: 503}" more "}}\n---\n"
#define SERVICE(name, routes) "{apiVersion: mesh/v1, kind: Service, name: " name ", routes: [" routes "]}\n---\n"

enum { SECOND_MS = 1000, TEXT = 1024 };

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct fail_mem failing;
	struct meshd meshd;
};

static void on_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	(void)name;
	if (kind == MESH__KIND_FAULT) {
		meshd_faults_changed(user);
	}
}

static void open_meshd(struct fixture *f)
{
	struct meshd *m = &f->meshd;

	*m = (struct meshd){.env = &f->fake.env};
	assert_int_equal(meshd_store_open(m->env, scratch_path(&f->scratch, "meshd.db"), &m->store, NULL), MESH_OK);
	assert_int_equal(meshd_audit_open(m->env, scratch_path(&f->scratch, "audit.log"), &m->audit, NULL), MESH_OK);
	assert_int_equal(meshd_config_new(m->env, m->store, on_changed, m, &m->config, NULL), MESH_OK);
	meshd_faults_changed(m);
}

static void close_meshd(struct fixture *f)
{
	meshd_config_free(f->meshd.config);
	meshd_audit_close(f->meshd.audit);
	meshd_store_close(f->meshd.store);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.meshd = {.store = NULL}};
	fake_env_init(&f.fake);
	fail_mem_init(&f.failing);
	f.fake.env.mem = f.failing.mem;
	*state = &f;
	if (scratch_init(&f.scratch) != 0) {
		return -1;
	}
	open_meshd(&f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_meshd(f);
	scratch_fini(&f->scratch);
	return f->failing.live == 0 ? 0 : -1;
}

static struct mesh__document *parse(struct fixture *f, const char *text)
{
	struct mesh__document *documents = NULL;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__documents_parse(&f->fake.env.mem, "test", text, strlen(text), "default", &documents, NULL, NULL, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	return documents;
}

static void commit(struct meshd_plan *plan)
{
	static const struct meshd_writer writer = {.who = "admin"};

	assert_int_equal(meshd_plan_commit(plan, &writer, NULL), MESH_OK);
	meshd_plan_free(plan);
}

static void apply(struct fixture *f, const char *text)
{
	struct meshd_plan plan;

	assert_int_equal(meshd_plan_apply(f->meshd.config, parse(f, text), &plan, NULL), MESH_OK);
	commit(&plan);
}

static bool is_there(const struct fixture *f, const char *key)
{
	return meshd_config_find(f->meshd.config, MESH__KIND_FAULT, key) != NULL;
}

static bool put_history(void *user, const struct meshd_generation *generation, const struct meshd_config_row *change)
{
	char *out = user;
	size_t n = strlen(out);

	(void)snprintf(out + n, TEXT - n, "%llu: %s %s by %s\n", (unsigned long long)generation->number, change->name.service, meshd_change_name(change->change), generation->who);
	return true;
}

static void assert_history(struct fixture *f, int64_t limit, const char *expected)
{
	const struct meshd_history_query wanted = {.limit = limit};
	char said[TEXT] = "";

	assert_int_equal(meshd_store_history(f->meshd.store, &wanted, put_history, said, NULL), MESH_OK);
	assert_string_equal(said, expected);
}

/* ---- Whether they fit ---- */

static void a_fault_fits_its_service_as_it_will_be_and_has_time_left(void **state)
{
	static const struct {
		const char *text, *faults;
	} rows[] = {
		{FAULT("a", "00:00:01", ""), ""},
		{FAULT("a", "00:00:00", ""), "test:1:1: fault.until: is over already\n"},
		{FAULT("a", "00:00:01", ", route: pay"), ""},
		{FAULT("a", "00:00:01", ", route: payy"), "test:1:1: fault.route: service a.default has no route \"payy\"; did you mean \"pay\"?\n"},
		{FAULT("b", "00:00:01", ", route: pay"), "test:1:1: fault.route: service b.default has no route \"pay\"\n"},
		{SERVICE("a", "{name: other}") FAULT("a", "00:00:01", ", route: pay"), "test:3:1: fault.route: service a.default has no route \"pay\"\n"},
		{FAULT("b", "00:00:01", ", route: new") SERVICE("b", "{name: new}"), ""},
	};
	struct fixture *f = *state;

	apply(f, SERVICE("a", "{name: pay}, {name: rest}"));
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__document *documents = parse(f, rows[i].text);
		struct mesh__buf faults;

		mesh__buf_init(&faults, mesh__mem_libc(), TEXT);
		meshd_faults_check(&f->meshd, "test", documents, &faults);
		assert_string_equal(faults.data == NULL ? "" : faults.data, rows[i].faults);
		mesh__buf_fini(&faults);
		mesh__documents_free(documents);
	}
}

/* ---- Their end ---- */

static void each_is_taken_back_when_its_time_is_over_in_a_generation_of_its_own(void **state)
{
	struct fixture *f = *state;

	apply(f, SERVICE("a", "") FAULT("a", "00:00:02", "") FAULT("b", "00:00:01", "") FAULT("c", "01:00:00", ""));
	meshd_faults_expire(&f->meshd);
	assert_int_equal(meshd_config_generation(f->meshd.config), 1);
	fake_env_advance_ms(&f->fake, SECOND_MS - 1);
	meshd_faults_expire(&f->meshd);
	assert_true(is_there(f, "b.default"));
	fake_env_advance_ms(&f->fake, 1);
	meshd_faults_expire(&f->meshd);
	assert_false(is_there(f, "b.default"));
	assert_true(is_there(f, "a.default"));
	fake_env_advance_ms(&f->fake, 5 * SECOND_MS);
	meshd_faults_expire(&f->meshd);
	assert_false(is_there(f, "a.default"));
	assert_true(is_there(f, "c.default"));
	assert_non_null(meshd_config_find(f->meshd.config, MESH__KIND_SERVICE, "a.default"));
	assert_history(f, 2, "3: a deleted by meshd (expired)\n2: b deleted by meshd (expired)\n");
	assert_true(fake_env_logged(&f->fake, "fault is over service=a.default generation=3"));
}

/* Meshd answers nobody while it commits. */
static void of_many_that_are_over_a_few_are_taken_back_at_a_time(void **state)
{
	enum { MANY = 2 * MESHD_FAULTS_AT_ONCE + 1 };
	struct fixture *f = *state;
	char text[MANY * 128] = "";

	for (size_t i = 0, n = 0; i < MANY; i++, n = strlen(text)) {
		(void)snprintf(text + n, sizeof(text) - n, FAULT("s%zu", "00:00:01", ""), i);
	}
	apply(f, text);
	fake_env_advance_ms(&f->fake, SECOND_MS);
	for (uint64_t left = MANY; left > 0;) {
		uint64_t some = left < MESHD_FAULTS_AT_ONCE ? left : MESHD_FAULTS_AT_ONCE;
		meshd_faults_expire(&f->meshd);
		left -= some;
		assert_int_equal(meshd_config_generation(f->meshd.config), 1 + MANY - left);
	}
	meshd_faults_expire(&f->meshd);
	assert_int_equal(meshd_config_generation(f->meshd.config), 1 + MANY);
}

static void so_it_is_when_meshd_was_not_there_at_the_time(void **state)
{
	struct fixture *f = *state;

	apply(f, FAULT("a", "00:00:01", "") FAULT("b", "00:00:02", "") FAULT("c", "00:00:09", ""));
	close_meshd(f);
	fake_env_advance_ms(&f->fake, 5 * SECOND_MS);
	open_meshd(f);
	meshd_faults_expire(&f->meshd);
	assert_false(is_there(f, "a.default") || is_there(f, "b.default"));
	assert_true(is_there(f, "c.default"));
	assert_history(f, 2, "3: b deleted by meshd (expired)\n2: a deleted by meshd (expired)\n");
}

static void a_later_one_in_its_place_has_its_own_time(void **state)
{
	struct fixture *f = *state;

	apply(f, FAULT("a", "00:00:01", ""));
	apply(f, FAULT("a", "00:00:05", ""));
	fake_env_advance_ms(&f->fake, 2 * SECOND_MS);
	meshd_faults_expire(&f->meshd);
	assert_true(is_there(f, "a.default"));
	fake_env_advance_ms(&f->fake, 3 * SECOND_MS);
	meshd_faults_expire(&f->meshd);
	assert_false(is_there(f, "a.default"));
}

static void one_that_cannot_be_taken_back_is_so_later(void **state)
{
	struct fixture *f = *state;

	apply(f, FAULT("a", "00:00:01", ""));
	fake_env_advance_ms(&f->fake, SECOND_MS);
	fail_mem_next(&f->failing, 1);
	meshd_faults_expire(&f->meshd);
	fail_mem_next(&f->failing, 0);
	assert_true(is_there(f, "a.default"));
	assert_true(fake_env_logged(&f->fake, "was not taken back"));
	meshd_faults_expire(&f->meshd);
	assert_true(is_there(f, "a.default")); /* not at once: a full disk stays full for a while */
	fake_env_advance_ms(&f->fake, 10 * SECOND_MS);
	meshd_faults_expire(&f->meshd);
	assert_false(is_there(f, "a.default"));
}

static void a_rollback_brings_back_none_whose_time_is_over(void **state)
{
	struct fixture *f = *state;
	struct meshd_plan plan;

	apply(f, FAULT("a", "00:00:01", "") FAULT("b", "00:00:01", "") FAULT("c", "01:00:00", ""));
	apply(f, FAULT("b", "02:00:00", "") FAULT("c", "02:00:00", "") FAULT("d", "02:00:00", ""));
	fake_env_advance_ms(&f->fake, SECOND_MS);
	meshd_faults_expire(&f->meshd);
	assert_int_equal(meshd_plan_rollback(f->meshd.config, f->meshd.store, 1, &plan, NULL), MESH_OK);
	commit(&plan);
	assert_false(is_there(f, "a.default") || is_there(f, "b.default") || is_there(f, "d.default"));
	assert_int_equal(meshd_config_find(f->meshd.config, MESH__KIND_FAULT, "c.default")->document->service.injection.until_ms, atomic_load(&f->fake.wall_ms) + 3599 * SECOND_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fault_fits_its_service_as_it_will_be_and_has_time_left, setup, teardown),
		cmocka_unit_test_setup_teardown(each_is_taken_back_when_its_time_is_over_in_a_generation_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(of_many_that_are_over_a_few_are_taken_back_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(so_it_is_when_meshd_was_not_there_at_the_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_later_one_in_its_place_has_its_own_time, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_taken_back_is_so_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rollback_brings_back_none_whose_time_is_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
