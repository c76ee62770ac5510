#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
	char changed[256]; /* keys, each with a space before it */
};

static void on_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	struct fixture *f = user;
	size_t n = strlen(f->changed);

	assert_int_equal(kind, MESH__KIND_SERVICE);
	(void)snprintf(f->changed + n, sizeof(f->changed) - n, " %s.%s", name->service, name->ns);
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

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.changed = ""};
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

static struct mesh__document *parse(struct fixture *f, const char *text)
{
	struct mesh__document *documents = NULL;
	struct mesh__err err = MESH__NO_ERR;

	if (mesh__documents_parse(&f->fake.env.mem, "test", text, strlen(text), "default", &documents, NULL, NULL, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	return documents;
}

static const struct meshd_writer alice = {.who = "admin", .operator = "alice"};

static int apply_documents(struct fixture *f, struct mesh__document *documents)
{
	struct meshd_plan plan;
	int code = meshd_plan_apply(f->config, documents, &plan, NULL);

	code = code == MESH_OK ? meshd_plan_commit(&plan, &alice, NULL) : code;
	meshd_plan_free(&plan);
	return code;
}

static void apply(struct fixture *f, const char *text)
{
	assert_int_equal(apply_documents(f, parse(f, text)), MESH_OK);
}

static int delete(struct fixture *f, enum mesh__kind kind, const char *name)
{
	struct mesh__name which = {.ns = "default"};
	struct meshd_plan plan;
	int code;

	(void)snprintf(which.service, sizeof(which.service), "%s", name);
	code = meshd_plan_delete(f->config, kind, &which, &plan, NULL);
	code = code == MESH_OK ? meshd_plan_commit(&plan, &alice, NULL) : code;
	meshd_plan_free(&plan);
	return code;
}

static const char two[] = "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 1s}\n---\n{apiVersion: mesh/v1, kind: Service, name: b}\n";
static const char one[] = "{apiVersion: mesh/v1, kind: Service, name: a, timeout: 2s}\n";

static void a_write_of_several_documents_is_one_generation(void **state)
{
	struct fixture *f = *state;

	apply(f, two);
	assert_int_equal(meshd_config_generation(f->config), 1);
	assert_string_equal(f->changed, " a.default b.default");
	apply(f, one);
	assert_int_equal(meshd_config_generation(f->config), 2);
	assert_int_equal(meshd_config_changed_at(f->config, "a.default"), 2);
	assert_int_equal(meshd_config_changed_at(f->config, "b.default"), 1);
	assert_int_equal(meshd_config_changed_at(f->config, "c.default"), 0);
	assert_int_equal(meshd_config_find(f->config, MESH__KIND_SERVICE, "a.default")->document->service.timeout_ms, 2000);
}

static void what_is_unchanged_makes_no_generation(void **state)
{
	struct fixture *f = *state;

	apply(f, two);
	f->changed[0] = '\0';
	apply(f, "kind: Service\napiVersion: mesh/v1\ntimeout: 1000ms\nname: a\n");
	assert_int_equal(meshd_config_generation(f->config), 1);
	assert_string_equal(f->changed, "");
}

static void generations_and_documents_survive_a_restart(void **state)
{
	struct fixture *f = *state;

	apply(f, two);
	apply(f, one);
	close_config(f);
	open_config(f);
	assert_int_equal(meshd_config_generation(f->config), 2);
	assert_int_equal(meshd_config_find(f->config, MESH__KIND_SERVICE, "a.default")->document->service.timeout_ms, 2000);
	assert_non_null(meshd_config_find(f->config, MESH__KIND_SERVICE, "b.default"));
}

static void a_deletion_is_a_generation_that_a_resume_can_see(void **state)
{
	struct fixture *f = *state;

	apply(f, two);
	assert_int_equal(delete(f, MESH__KIND_SERVICE, "b"), MESH_OK);
	assert_int_equal(delete(f, MESH__KIND_SERVICE, "b"), MESH_E_NOT_FOUND);
	assert_int_equal(delete(f, MESH__KIND_ENDPOINTS, "b"), MESH_E_NOT_FOUND);
	close_config(f);
	open_config(f);
	assert_null(meshd_config_find(f->config, MESH__KIND_SERVICE, "b.default"));
	assert_int_equal(meshd_config_changed_at(f->config, "b.default"), 2);
	assert_int_equal(meshd_config_generation(f->config), 2);
}

static void without_memory_a_write_is_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct fail_mem failing;
	int code = MESH_E_NO_MEMORY;

	close_config(f);
	fail_mem_init(&failing);
	f->fake.env.mem = failing.mem;
	open_config(f);
	for (long n = 1; code != MESH_OK; n++) {
		struct mesh__document *documents = parse(f, two);

		fail_mem_next(&failing, n);
		code = apply_documents(f, documents);
		failing.fail_at = 0;
		if (code != MESH_OK) {
			assert_int_equal(code, MESH_E_NO_MEMORY);
			assert_int_equal(meshd_config_generation(f->config), 0);
			assert_null(meshd_config_find(f->config, MESH__KIND_SERVICE, "a.default"));
		}
	}
	assert_int_equal(meshd_config_generation(f->config), 1);
	close_config(f);
	assert_int_equal(failing.live, 0);
	f->fake.env.mem = *mesh__mem_libc();
	open_config(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_write_of_several_documents_is_one_generation),
		T(what_is_unchanged_makes_no_generation),
		T(generations_and_documents_survive_a_restart),
		T(a_deletion_is_a_generation_that_a_resume_can_see),
		T(without_memory_a_write_is_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
