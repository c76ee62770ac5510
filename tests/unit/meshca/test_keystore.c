#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "fake_env.h"
#include "meshca/keystore.h"
#include "meshca/make.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct place {
	struct fake_env fake;
	char path[64];
	struct meshca_dir dir;
};

static void place_empty(struct place *p)
{
	DIR *d = opendir(p->path);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
		}
	}
	(void)closedir(d);
}

static int setup(void **state)
{
	struct place *p = test_calloc(1, sizeof(*p));

	fake_env_init(&p->fake);
	(void)snprintf(p->path, sizeof(p->path), "/tmp/meshca-test-XXXXXX");
	if (mkdtemp(p->path) == NULL || mesh__pki_init(NULL) != MESH_OK || meshca_dir_open(p->path, MESHCA_DIR_PRIVATE, &p->dir, NULL) != MESH_OK) {
		return -1;
	}
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	place_empty(p);
	meshca_dir_close(&p->dir);
	(void)rmdir(p->path);
	test_free(p);
	return 0;
}

static struct meshca_keystore must_open(struct place *p, bool create)
{
	struct meshca_keystore store;
	struct mesh__err err = MESH__NO_ERR;

	if (meshca_keystore_open(&p->fake.env, &p->dir, NULL, create, &store, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	return store;
}

static void renews_in_the_last_third_with_the_same_key(void **state)
{
	struct place *p = *state;
	struct meshca_keystore store = must_open(p, true);
	struct mesh__cert before = store.issuer;
	bool renewed;

	fake_env_advance_ms(&p->fake, 240 * DAY_MS);
	assert_int_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_false(renewed);
	fake_env_advance_ms(&p->fake, 10 * DAY_MS);
	assert_int_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_true(renewed);
	assert_memory_equal(store.issuer.pin, before.pin, sizeof(before.pin));
	assert_string_not_equal(store.issuer.serial, before.serial);
	assert_true(store.issuer.not_after_ms > before.not_after_ms + 200 * DAY_MS);
	meshca_keystore_fini(&store);
	store = must_open(p, false);
	assert_string_not_equal(store.issuer.serial, before.serial);
	meshca_keystore_fini(&store);
}

static void does_not_renew_without_the_roots_key(void **state)
{
	struct place *p = *state;
	struct meshca_keystore store = must_open(p, true);
	bool renewed;

	assert_int_equal(unlinkat(p->dir.fd, MESHCA_ROOT_KEY, 0), 0);
	fake_env_advance_ms(&p->fake, 300 * DAY_MS);
	assert_int_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_false(renewed);
	meshca_keystore_fini(&store);
}

static void a_failed_renewal_keeps_the_old_one_and_waits_an_hour(void **state)
{
	struct place *p = *state;
	struct meshca_keystore store = must_open(p, true);
	char *kept = NULL;
	bool renewed;

	assert_int_equal(meshca_dir_read(&p->dir, &p->fake.env.mem, MESHCA_ROOT_KEY, 4096, true, &kept, NULL), MESH_OK);
	assert_int_equal(meshca_dir_write(&p->dir, MESHCA_ROOT_KEY, "no key", 0600, true, NULL), MESH_OK);
	fake_env_advance_ms(&p->fake, 300 * DAY_MS);
	assert_int_not_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_false(renewed);
	assert_non_null(store.issuer_key);
	assert_int_equal(meshca_dir_write(&p->dir, MESHCA_ROOT_KEY, kept, 0600, true, NULL), MESH_OK);
	assert_int_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_false(renewed);
	fake_env_advance_ms(&p->fake, 3600 * 1000);
	assert_int_equal(meshca_keystore_renew(&store, &renewed, NULL), MESH_OK);
	assert_true(renewed);
	mesh__free_secret(kept);
	meshca_keystore_fini(&store);
}

static void an_intermediate_that_ended_while_nobody_served_is_renewed_at_the_start(void **state)
{
	struct place *p = *state;
	struct meshca_keystore store = must_open(p, true);
	struct mesh__err err = MESH__NO_ERR;
	int64_t ended_ms = store.issuer.not_after_ms;

	meshca_keystore_fini(&store);
	fake_env_advance_ms(&p->fake, 500 * DAY_MS);
	assert_int_equal(meshca_keystore_open(&p->fake.env, &p->dir, NULL, false, &store, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "does not hang from"));
	store = must_open(p, true);
	assert_true(store.issuer.not_after_ms > ended_ms);
	meshca_keystore_fini(&store);
}

static void a_root_that_has_ended_signs_nothing(void **state)
{
	struct place *p = *state;
	struct meshca_keystore store = must_open(p, true);
	struct mesh__err err = MESH__NO_ERR;

	meshca_keystore_fini(&store);
	fake_env_advance_ms(&p->fake, 3700 * DAY_MS);
	assert_int_equal(meshca_keystore_open(&p->fake.env, &p->dir, NULL, true, &store, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "root's life ended"));
}

/* Each allocation of a first start fails once: it says so, and the next start finishes the work. */
static void survives_every_failing_allocation(void **state)
{
	struct place *p = *state;
	struct fail_mem f;
	bool done = false;

	for (long n = 1; !done; n++) {
		struct meshca_keystore store;
		int code;

		fail_mem_init(&f);
		p->fake.env.mem = f.mem;
		f.fail_at = n;
		code = meshca_keystore_open(&p->fake.env, &p->dir, NULL, true, &store, NULL);
		done = f.count < n;
		assert_true(code == MESH_OK || (!done && code == MESH_E_NO_MEMORY));
		if (code == MESH_OK) {
			meshca_keystore_fini(&store);
		}
		f.fail_at = 0;
		store = must_open(p, true);
		meshca_keystore_fini(&store);
		assert_int_equal(f.live, 0);
		place_empty(p);
	}
	p->fake.env.mem = *mesh__mem_libc();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(renews_in_the_last_third_with_the_same_key, setup, teardown),
		cmocka_unit_test_setup_teardown(does_not_renew_without_the_roots_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_renewal_keeps_the_old_one_and_waits_an_hour, setup, teardown),
		cmocka_unit_test_setup_teardown(an_intermediate_that_ended_while_nobody_served_is_renewed_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(a_root_that_has_ended_signs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_every_failing_allocation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
