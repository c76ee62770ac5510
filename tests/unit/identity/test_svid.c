#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/file.h"
#include "identity/svid.h"
#include "support/alloc_fail.h"
#include "support/fake_env.h"
#include "support/test_ca.h"

static struct fake_env fake;
static struct test_ca ca, stranger;
static char *chain, *key;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	test_ca_init(&stranger, &fake.env, "mesh.local");
	test_ca_leaf(&ca, "payments", &chain, &key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__free(chain);
	mesh__free_secret(key);
	test_ca_fini(&ca);
	test_ca_fini(&stranger);
	return 0;
}

/* ---- renewal ---- */

enum { BACKDATE = 60000, HOUR = 3600000, LIFE = 48 * HOUR, Q = LIFE / 4, TOP = Q + LIFE / 5 };

static void renews_between_a_quarter_and_45_percent_of_its_life(void **state)
{
	static const struct {
		int64_t issued, not_after, wall;
		uint64_t draw;
		int64_t in_ms;
	} rows[] = {
		{0, LIFE, 0, 0, Q},                          /* the earliest */
		{0, LIFE, 0, LIFE / 5, TOP},                 /* the latest: 26 h and more are left */
		{0, LIFE, 0, LIFE / 5 + 1, Q},               /* draws wrap */
		{0, LIFE, 60000, 0, Q - 60000},              /* a minute old */
		{0, LIFE, Q, 0, 0},                          /* just now */
		{0, LIFE, Q, 1, 1},
		{0, LIFE, TOP + 1, LIFE / 5, 0},             /* overdue: at once, whatever the draw */
		{0, LIFE, LIFE - 1, LIFE / 5, 0},
		{0, LIFE, LIFE, 0, 0},                       /* expired */
		{0, LIFE, LIFE + 1, LIFE / 5, 0},
		{0, LIFE, INT64_MAX, 5, 0},
		{1000, 1000 + LIFE, 0, 0, Q},                /* a clock that is behind: as if new */
		{1000, 1000 + LIFE, -10LL * LIFE, 7, Q + 7},
		{0, 20000, 0, 0, 5000},                      /* --leaf-ttl 20s */
		{0, 20000, 0, 4000, 9000},
		{0, 3, 0, UINT64_MAX, 0},
		{5, 5, 5, 0, 0},                             /* no life at all */
		{5, 4, 4, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__leaf leaf = {.not_before_ms = rows[i].issued - BACKDATE, .not_after_ms = rows[i].not_after};
		int64_t in_ms = mesh__svid_renew_in_ms(&leaf, rows[i].wall, rows[i].draw);

		if (in_ms != rows[i].in_ms) {
			print_error("row %zu: %lld, not %lld\n", i, (long long)in_ms, (long long)rows[i].in_ms);
		}
		assert_true(in_ms == rows[i].in_ms);
	}
}

static void every_draw_falls_into_the_range(void **state)
{
	struct mesh__leaf leaf = {.not_before_ms = -BACKDATE, .not_after_ms = LIFE};

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t in_ms = mesh__svid_renew_in_ms(&leaf, 0, mesh__dice(&fake.env));
		assert_true(in_ms >= Q && in_ms <= TOP);
	}
}

/* ---- what belongs together ---- */

static void takes_what_belongs_together(void **state)
{
	struct mesh__svid *svid = NULL;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__svid_new(&fake.env, key, chain, ca.root, &svid, &err), MESH_OK);
	assert_string_equal(svid->leaf.spiffe, "spiffe://mesh.local/ns/default/svc/payments");
	assert_string_equal(svid->key_pem, key);
	assert_ptr_not_equal(svid->key_pem, key);
	assert_ptr_equal(mesh__svid_ref(svid), svid);
	mesh__svid_unref(svid);
	mesh__svid_unref(svid);
	mesh__svid_unref(NULL);
}

static void refuses_what_does_not(void **state)
{
	char *other_chain, *other_key, *bare = strdup(chain), *second;
	struct mesh__svid *svid;

	(void)state;
	test_ca_leaf(&ca, "cart", &other_chain, &other_key);
	second = strstr(bare + 1, "-----BEGIN CERTIFICATE-----");
	assert_non_null(second);
	*second = '\0';
	{
		const struct {
			const char *key, *chain, *roots, *said;
		} rows[] = {
			{other_key, chain, ca.root, "private key"},
			{key, other_chain, ca.root, "private key"},
			{key, chain, stranger.root, ""},
			{key, bare, ca.root, ""},            /* without the intermediate */
			{key, ca.inter, ca.root, ""},        /* a CA is no leaf */
			{"", chain, ca.root, ""},
			{key, "", ca.root, ""},
			{key, chain, "", ""},
			{chain, key, ca.root, ""},
		};
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			struct mesh__err err = MESH__NO_ERR;
			int code = mesh__svid_new(&fake.env, rows[i].key, rows[i].chain, rows[i].roots, &svid, &err);

			assert_int_not_equal(code, MESH_OK);
			assert_null(svid);
			assert_int_equal(err.code, code);
			assert_string_not_equal(err.message, "");
			assert_non_null(strstr(err.message, rows[i].said));
		}
	}
	free(bare);
	mesh__free(other_chain);
	mesh__free_secret(other_key);
}

static void refuses_one_that_has_expired_or_is_not_yet_valid(void **state)
{
	struct mesh__svid *svid = NULL;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	fake.wall_ms += 49 * HOUR;
	assert_int_equal(mesh__svid_new(&fake.env, key, chain, ca.root, &svid, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "expired"));
	fake.wall_ms -= 49 * HOUR + 2 * HOUR;
	assert_int_equal(mesh__svid_new(&fake.env, key, chain, ca.root, &svid, &err), MESH_E_IDENTITY);
	assert_null(svid);
}

static void from_files_names_the_file_that_is_wrong(void **state)
{
	char dir[] = "/tmp/mesh-svid-XXXXXX", cert_file[64], key_file[64], roots_file[64];
	struct mesh__svid *svid = NULL;
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", dir);
	(void)snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
	(void)snprintf(roots_file, sizeof(roots_file), "%s/roots.pem", dir);
	assert_int_equal(mesh__svid_from_files(&fake.env, cert_file, key_file, roots_file, &svid, &err), MESH_E_NOT_FOUND);
	assert_non_null(strstr(err.message, cert_file));
	assert_int_equal(mesh__file_write(cert_file, chain, strlen(chain), 0600, false, &err), MESH_OK);
	assert_int_equal(mesh__svid_from_files(&fake.env, cert_file, key_file, roots_file, &svid, &err), MESH_E_NOT_FOUND);
	assert_non_null(strstr(err.message, key_file));
	assert_int_equal(mesh__file_write(key_file, key, strlen(key), 0600, false, &err), MESH_OK);
	assert_int_equal(mesh__file_write(roots_file, stranger.root, strlen(stranger.root), 0600, false, &err), MESH_OK);
	assert_int_equal(mesh__svid_from_files(&fake.env, cert_file, key_file, roots_file, &svid, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, roots_file));
	assert_int_equal(mesh__file_write(roots_file, ca.root, strlen(ca.root), 0600, false, &err), MESH_OK);
	assert_int_equal(mesh__svid_from_files(&fake.env, cert_file, key_file, roots_file, &svid, &err), MESH_OK);
	mesh__svid_unref(svid);
	assert_int_equal(unlink(cert_file) | unlink(key_file) | unlink(roots_file) | rmdir(dir), 0);
}

static void walks_every_failing_allocation(void **state)
{
	static struct fake_env other; /* the blocks of set_up belong to the first one's allocator */
	struct fail_mem f;

	(void)state;
	fake_env_init(&other);
	for (long n = 1, done = 0; !done; n++) {
		struct mesh__svid *svid = NULL;
		struct mesh__err err = MESH__NO_ERR;
		int code;

		fail_mem_init(&f);
		f.fail_at = n;
		other.env.mem = f.mem;
		code = mesh__svid_new(&other.env, key, chain, ca.root, &svid, &err);
		done = f.count < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__svid_unref(svid);
		assert_int_equal(f.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(renews_between_a_quarter_and_45_percent_of_its_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_draw_falls_into_the_range, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_what_belongs_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_what_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_one_that_has_expired_or_is_not_yet_valid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(from_files_names_the_file_that_is_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(walks_every_failing_allocation, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
