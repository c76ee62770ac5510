#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meshd/effective.h"
#include "meshd/plan.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "unit/meshd/scratch.h"

struct fixture {
	struct scratch scratch;
	struct fake_env fake;
	struct fail_mem failing;
	struct meshd_store *store;
	struct meshd_config *config;
	struct meshd_effective effective;
};

static void on_changed(void *user, enum mesh__kind kind, const struct mesh__name *name)
{
	(void)user;
	(void)kind;
	(void)name;
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.store = NULL};
	fake_env_init(&f.fake);
	fail_mem_init(&f.failing);
	f.fake.env.mem = f.failing.mem;
	*state = &f;
	return scratch_init(&f.scratch) == 0 && meshd_store_open(&f.fake.env, scratch_path(&f.scratch, "meshd.db"), &f.store, NULL) == MESH_OK
		&& meshd_config_new(&f.fake.env, f.store, on_changed, &f, &f.config, NULL) == MESH_OK ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meshd_effective_fini(&f->effective);
	meshd_config_free(f->config);
	meshd_store_close(f->store);
	scratch_fini(&f->scratch);
	return f->failing.live == 0 ? 0 : -1;
}

static void commit(struct meshd_plan *plan)
{
	const struct meshd_writer writer = {.who = "admin"};

	assert_int_equal(meshd_plan_commit(plan, &writer, NULL), MESH_OK);
	meshd_plan_free(plan);
}

static void apply(struct fixture *f, const char *text)
{
	struct mesh__document *documents = NULL;
	struct meshd_plan plan;

	assert_int_equal(mesh__documents_parse(&f->fake.env.mem, "t", text, strlen(text), "default", &documents, NULL, NULL, NULL), MESH_OK);
	assert_int_equal(meshd_plan_apply(f->config, documents, &plan, NULL), MESH_OK);
	commit(&plan);
}

static const char *text_of(struct fixture *f, const char *key)
{
	const char *text = NULL;

	assert_int_equal(meshd_effective_text(f->config, key, &f->effective, &text, NULL), MESH_OK);
	return text;
}

#define SHOP "{apiVersion: mesh/v1, kind: Namespace, name: shop, timeout: 8s}"
#define HEAD(name, ns) "{\"apiVersion\":\"mesh/v1\",\"kind\":\"Service\",\"name\":\"" name "\",\"namespace\":\"" ns "\""

static void a_document_alone_is_what_its_service_goes_by_as_it_stands(void **state)
{
	struct fixture *f = *state;

	assert_null(text_of(f, "payments.shop"));
	apply(f, "{apiVersion: mesh/v1, kind: Service, name: payments, namespace: shop, timeout: 1s}");
	assert_ptr_equal(text_of(f, "payments.shop"), meshd_config_find(f->config, MESH__KIND_SERVICE, "payments.shop")->row.text);
	assert_null(text_of(f, "payments.default"));
}

static void it_is_made_anew_only_when_a_document_that_applies_has_changed(void **state)
{
	const struct mesh__name shop = {.ns = "shop", .service = "shop"};
	struct fixture *f = *state;
	struct meshd_plan plan;
	const char *made;

	apply(f, SHOP);
	made = text_of(f, "payments.shop");
	assert_string_equal(made, HEAD("payments", "shop") ",\"timeout\":\"8s\"}");
	apply(f, "{apiVersion: mesh/v1, kind: Service, name: orders, namespace: shop, timeout: 1s}");
	apply(f, "{apiVersion: mesh/v1, kind: Namespace, name: other, timeout: 1s}");
	assert_ptr_equal(text_of(f, "payments.shop"), made);
	assert_int_equal(f->effective.generation, 1);
	apply(f, "{apiVersion: mesh/v1, kind: Mesh, name: mesh, connectTimeout: 2s}");
	assert_string_equal(text_of(f, "payments.shop"), HEAD("payments", "shop") ",\"timeout\":\"8s\",\"connectTimeout\":\"2s\"}");
	assert_int_equal(f->effective.generation, 4);
	assert_int_equal(meshd_plan_delete(f->config, MESH__KIND_NAMESPACE, &shop, &plan, NULL), MESH_OK);
	commit(&plan);
	assert_string_equal(text_of(f, "payments.shop"), HEAD("payments", "shop") ",\"connectTimeout\":\"2s\"}");
}

static void without_memory_nothing_is_told_and_the_old_text_stays(void **state)
{
	struct fixture *f = *state;
	const char *text = NULL;
	int code = MESH_E_NO_MEMORY;

	apply(f, SHOP);
	(void)text_of(f, "payments.shop");
	apply(f, "{apiVersion: mesh/v1, kind: Namespace, name: shop, timeout: 9s}");
	for (long n = 1; code != MESH_OK; n++) {
		fail_mem_next(&f->failing, n);
		code = meshd_effective_text(f->config, "payments.shop", &f->effective, &text, NULL);
		f->failing.fail_at = 0;
		assert_true(code == MESH_OK || (code == MESH_E_NO_MEMORY && text == NULL && f->effective.generation == 1));
	}
	assert_string_equal(text, HEAD("payments", "shop") ",\"timeout\":\"9s\"}");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_document_alone_is_what_its_service_goes_by_as_it_stands),
		T(it_is_made_anew_only_when_a_document_that_applies_has_changed),
		T(without_memory_nothing_is_told_and_the_old_text_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
