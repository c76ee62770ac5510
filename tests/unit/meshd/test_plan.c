#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meshd/plan.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct meshd_store *store;
	struct meshd_config *config;
};

static void on_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	(void)user;
	(void)kind;
	(void)name;
}

static void open_config(struct fixture *f)
{
	struct mesh__err err = MESH__NO_ERR;

	if (meshd_store_open(&f->fake.env, scratch_path(&f->scratch, "meshd.db"), &f->store, &err) != MESH_OK
		|| meshd_config_new(&f->fake.env, f->store, on_changed, f, &f->config, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
}

static void close_config(struct fixture *f)
{
	meshd_config_free(f->config);
	meshd_store_close(f->store);
}

static void restart(struct fixture *f)
{
	close_config(f);
	open_config(f);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.store = NULL};
	fake_env_init(&f.fake);
	*state = &f;
	if (scratch_init(&f.scratch) != 0) {
		return -1;
	}
	open_config(&f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_config(f);
	scratch_fini(&f->scratch);
	return 0;
}

/* What a plan would do, as " created a updated b", in the order of names. */
static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_plans(const struct meshd_plan *plan, const char *expected)
{
	char texts[8][80], said[512] = "";
	const char *sorted[8];

	assert_in_range(plan->n, 0, 8);
	for (size_t i = 0; i < plan->n; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), " %s %s", plan->entries[i]->row.name.service, meshd_change_name(plan->entries[i]->row.change));
		sorted[i] = texts[i];
	}
	qsort(sorted, plan->n, sizeof(sorted[0]), by_text);
	for (size_t i = 0; i < plan->n; i++) {
		(void)snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s", sorted[i]);
	}
	assert_string_equal(said, expected);
}

static int commit(struct meshd_plan *plan, const char *operator)
{
	const struct meshd_writer writer = {.who = "admin", .operator = operator};
	int code = meshd_plan_commit(plan, &writer, NULL);

	meshd_plan_free(plan);
	return code;
}

static void plan_apply(struct fixture *f, const char *text, struct meshd_plan *plan)
{
	struct mesh__document *documents = NULL;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__documents_parse(&f->fake.env.mem, "test", text, strlen(text), "default", &documents, NULL, NULL, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(meshd_plan_apply(f->config, documents, plan, NULL), MESH_OK);
}

static void apply(struct fixture *f, const char *text, const char *operator)
{
	struct meshd_plan plan;

	plan_apply(f, text, &plan);
	assert_int_equal(commit(&plan, operator), MESH_OK);
}

static void apply_timeout(struct fixture *f, const char *name, int seconds)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "{apiVersion: mesh/v1, kind: Service, name: %s, timeout: %ds}", name, seconds);
	apply(f, text, "alice");
}

static void delete(struct fixture *f, const char *name)
{
	struct mesh__name which = {.ns = "default"};
	struct meshd_plan plan;

	(void)snprintf(which.service, sizeof(which.service), "%s", name);
	assert_int_equal(meshd_plan_delete(f->config, MESH__KIND_SERVICE, &which, &plan, NULL), MESH_OK);
	assert_int_equal(commit(&plan, "bob"), MESH_OK);
}

/* The timeout of a service in whole seconds; 0: there is no document. */
static int64_t seconds_of(struct fixture *f, const char *key)
{
	const struct meshd_config_entry *entry = meshd_config_find(f->config, MESH__KIND_SERVICE, key);

	return entry == NULL ? 0 : entry->document->service.timeout_ms / 1000;
}

static bool put_history(void *user, const struct meshd_generation *generation, const struct meshd_config_row *change)
{
	char *out = user;
	size_t n = strlen(out);

	assert_string_equal(generation->who, "admin");
	(void)snprintf(out + n, 1024 - n, " %llu:%s:%s:%s", (unsigned long long)generation->number, generation->operator, change->name.service, meshd_change_name(change->change));
	if (generation->rollback) {
		n = strlen(out);
		(void)snprintf(out + n, 1024 - n, ":to%llu", (unsigned long long)generation->restored);
	}
	return true;
}

static void assert_history(struct fixture *f, const char *name, int64_t limit, const char *expected)
{
	const struct meshd_history_query wanted = {.name = name, .limit = limit};
	char said[1024] = "";

	assert_int_equal(meshd_store_history(f->store, &wanted, put_history, said, NULL), MESH_OK);
	assert_string_equal(said, expected);
}

static void a_plan_says_what_a_commit_does_and_changes_nothing_by_itself(void **state)
{
	struct fixture *f = *state;
	struct meshd_plan plan;

	apply_timeout(f, "a", 1);
	plan_apply(f, "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 2s}\n---\n{apiVersion: mesh/v1, kind: Service, name: b}\n", &plan);
	assert_plans(&plan, " a updated b created");
	meshd_plan_free(&plan);
	assert_int_equal(seconds_of(f, "a.default"), 1);
	assert_int_equal(meshd_config_generation(f->config), 1);
	plan_apply(f, "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 1000ms}", &plan);
	assert_plans(&plan, " a unchanged");
	assert_int_equal(commit(&plan, "alice"), MESH_OK);
	assert_int_equal(meshd_config_generation(f->config), 1);
}

static void the_history_says_who_changed_what_and_survives_a_restart(void **state)
{
	struct fixture *f = *state;

	apply(f, "{apiVersion: mesh/v1, kind: Service, name: b}\n---\n{apiVersion: mesh/v1, kind: Service, name: a}\n", "alice");
	apply_timeout(f, "a", 2);
	delete(f, "b");
	restart(f);
	assert_history(f, NULL, 10, " 3:bob:b:deleted 2:alice:a:updated 1:alice:a:created 1:alice:b:created");
	assert_history(f, NULL, 2, " 3:bob:b:deleted 2:alice:a:updated");
	assert_history(f, "b", 10, " 3:bob:b:deleted 1:alice:b:created");
	assert_history(f, "b", 1, " 3:bob:b:deleted");
	assert_history(f, "c", 10, "");
}

static void a_rollback_is_a_new_generation_with_the_old_contents(void **state)
{
	struct fixture *f = *state;
	struct meshd_plan plan;

	apply(f, "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 1s}\n---\n{apiVersion: mesh/v1, kind: Service, name: b, timeout: 1s}\n", "alice");
	apply_timeout(f, "a", 2);
	apply_timeout(f, "c", 3);
	delete(f, "b");
	restart(f);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 1, &plan, NULL), MESH_OK);
	assert_plans(&plan, " a updated b created c deleted");
	assert_int_equal(commit(&plan, "carol"), MESH_OK);
	assert_int_equal(meshd_config_generation(f->config), 5);
	assert_int_equal(seconds_of(f, "a.default"), 1);
	assert_int_equal(seconds_of(f, "b.default"), 1);
	assert_int_equal(seconds_of(f, "c.default"), 0);
	assert_history(f, NULL, 1, " 5:carol:a:updated:to1 5:carol:b:created:to1 5:carol:c:deleted:to1");
	restart(f);
	assert_int_equal(seconds_of(f, "a.default"), 1);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 4, &plan, NULL), MESH_OK); /* a rollback can be rolled back */
	assert_plans(&plan, " a updated b deleted c created");
	meshd_plan_free(&plan);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 0, &plan, NULL), MESH_OK);
	assert_plans(&plan, " a deleted b deleted");
	meshd_plan_free(&plan);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 5, &plan, NULL), MESH_OK);
	assert_plans(&plan, "");
	meshd_plan_free(&plan);
}

/* What a statement gives for the store while nobody has it open; at most 255. */
static int ask(struct fixture *f, const char *sql)
{
	char command[600];
	int status;

	(void)snprintf(command, sizeof(command), "python3 -c \"import sqlite3; c = sqlite3.connect('%s/meshd.db'); r = c.execute('%s').fetchone(); c.commit(); exit(r[0] if r else 0)\"",
		f->scratch.dir, sql);
	close_config(f);
	status = system(command);
	open_config(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_last_thousand_generations_are_kept_and_what_they_stand_on(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_plan plan;
	uint64_t oldest = 0;

	apply_timeout(f, "old", 7);                              /* 1: never touched again, and so in every later one */
	apply_timeout(f, "gone", 8);                             /* 2 */
	delete(f, "gone");                                       /* 3 */
	apply_timeout(f, "a", 4);                                /* 4 */
	apply_timeout(f, "a", 5);                                /* 5 */
	assert_int_equal(ask(f, "update counter set value = 999 where key = \\\"generation\\\""), 0);
	for (int i = 1000; i <= MESHD_HISTORY_MAX + 5; i++) {
		apply_timeout(f, "a", 10 + i % 2);
	}
	assert_int_equal(meshd_store_history_from(f->store, &oldest, NULL), MESH_OK);
	assert_int_equal(oldest, 6);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 5, &plan, &err), MESH_E_NOT_FOUND);
	assert_string_equal(err.message, "generation 5 is no longer kept; the oldest one to go back to is 6");
	meshd_plan_free(&plan);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 6, &plan, NULL), MESH_OK);
	assert_plans(&plan, " a updated");
	meshd_plan_free(&plan);
	assert_int_equal(ask(f, "select count(*) from generation where number < 6"), 0);
	assert_int_equal(ask(f, "select count(*) from revision where generation < 6"), 2); /* old and a as they were then, and nothing of gone */
	assert_int_equal(seconds_of(f, "old.default"), 7);
}

static void a_generation_that_is_not_there_is_named(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_plan plan;

	apply_timeout(f, "a", 1);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 2, &plan, &err), MESH_E_NOT_FOUND);
	assert_string_equal(err.message, "there is no generation 2 yet; the newest is 1");
	meshd_plan_free(&plan);
}

static void who_has_not_seen_a_change_does_not_overwrite_it(void **state)
{
	struct fixture *f = *state;
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_plan plan;

	apply_timeout(f, "a", 1);
	apply_timeout(f, "b", 1);
	apply_timeout(f, "a", 2);
	plan_apply(f, "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 9s}", &plan);
	assert_int_equal(meshd_plan_check(&plan, 2, &err), MESH_E_STATE);
	assert_non_null(strstr(err.message, "Service a.default was changed in generation 3, after generation 2"));
	assert_int_equal(meshd_plan_check(&plan, 3, NULL), MESH_OK);
	assert_int_equal(meshd_plan_check(&plan, 4, NULL), MESH_E_INVALID);
	meshd_plan_free(&plan);
	plan_apply(f, "{apiVersion: mesh/v1, kind: Service, name: b, timeout: 9s}", &plan); /* what others did elsewhere is nothing to it */
	assert_int_equal(meshd_plan_check(&plan, 2, NULL), MESH_OK);
	meshd_plan_free(&plan);
	delete(f, "b");
	plan_apply(f, "{apiVersion: mesh/v1, kind: Service, name: b, timeout: 9s}", &plan); /* a deletion is a change too */
	assert_int_equal(meshd_plan_check(&plan, 3, NULL), MESH_E_STATE);
	meshd_plan_free(&plan);
}

static void a_store_of_before_can_go_back_to_what_was_in_force_at_the_upgrade(void **state)
{
	struct fixture *f = *state;
	struct meshd_plan plan;
	char command[600];

	apply_timeout(f, "a", 1);
	apply_timeout(f, "a", 2);
	close_config(f);
	(void)snprintf(command, sizeof(command), "python3 -c \"import sqlite3; c = sqlite3.connect('%s/meshd.db'); [c.execute(x) for x in ('drop table generation', 'drop table revision',"
		" 'delete from counter where key = \\\"history\\\"', 'delete from migration where version = 2')]; c.commit()\"", f->scratch.dir);
	assert_int_equal(system(command), 0);
	open_config(f);
	assert_history(f, NULL, 10, "");
	apply_timeout(f, "a", 3);
	assert_history(f, NULL, 10, " 3:alice:a:updated");
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 1, &plan, NULL), MESH_E_NOT_FOUND);
	meshd_plan_free(&plan);
	assert_int_equal(meshd_plan_rollback(f->config, f->store, 2, &plan, NULL), MESH_OK);
	assert_int_equal(commit(&plan, "alice"), MESH_OK);
	assert_int_equal(seconds_of(f, "a.default"), 2);
}

static void without_memory_a_rollback_is_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct fail_mem failing;
	int code = MESH_E_NO_MEMORY;

	apply_timeout(f, "a", 1);
	apply_timeout(f, "b", 1);
	close_config(f);
	fail_mem_init(&failing);
	f->fake.env.mem = failing.mem;
	open_config(f);
	for (long n = 1; code != MESH_OK; n++) {
		struct meshd_plan plan;

		fail_mem_next(&failing, n);
		code = meshd_plan_rollback(f->config, f->store, 1, &plan, NULL);
		code = code == MESH_OK ? commit(&plan, "alice") : (meshd_plan_free(&plan), code);
		failing.fail_at = 0;
		if (code != MESH_OK) {
			assert_int_equal(code, MESH_E_NO_MEMORY);
			assert_int_equal(meshd_config_generation(f->config), 2);
			assert_int_equal(seconds_of(f, "b.default"), 1);
		}
	}
	assert_int_equal(meshd_config_generation(f->config), 3);
	assert_int_equal(seconds_of(f, "b.default"), 0);
	close_config(f);
	assert_int_equal(failing.live, 0);
	f->fake.env.mem = *mesh__mem_libc();
	open_config(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_plan_says_what_a_commit_does_and_changes_nothing_by_itself),
		T(the_history_says_who_changed_what_and_survives_a_restart),
		T(a_rollback_is_a_new_generation_with_the_old_contents),
		T(the_last_thousand_generations_are_kept_and_what_they_stand_on),
		T(a_generation_that_is_not_there_is_named),
		T(who_has_not_seen_a_change_does_not_overwrite_it),
		T(a_store_of_before_can_go_back_to_what_was_in_force_at_the_upgrade),
		T(without_memory_a_rollback_is_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
