#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "inbound/authenticate.h"
#include "test_ca.h"

static struct mesh__env env;
static struct test_ca ca, other_ca;

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	test_ca_init(&ca, &env, "mesh.local");
	test_ca_init(&other_ca, &env, "mesh.local");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_ca_fini(&other_ca);
	test_ca_fini(&ca);
	return 0;
}

/* A new certificate of payments, believing in `roots` but for one serial. */
static struct mesh__creds *generation(const struct mesh__env *in, uint64_t number, const char *roots, const char *revoked)
{
	struct mesh__creds *creds = NULL;
	struct mesh__trust *trust;
	char *chain, *key;

	test_ca_leaf(&ca, "payments", &chain, &key);
	assert_int_equal(mesh__trust_new(&env, "mesh.local", roots, &revoked, revoked != NULL, &trust, NULL), MESH_OK);
	assert_int_equal(mesh__creds_new(in, number, chain, key, trust, &creds, NULL), MESH_OK);
	mesh__trust_unref(trust);
	mesh__free(chain);
	mesh__free_secret(key);
	return creds;
}

static void sessions_outlive_a_renewed_certificate_and_no_change_of_trust(void **state)
{
	char *both = test_ca_join(other_ca.root, ca.root);
	const struct {
		const char *rule, *roots, *revoked;
		bool go_on;
	} rows[] = {
		{"a renewed certificate", ca.root, NULL, true},
		{"a serial was revoked", ca.root, "0a", false},
		{"another root", both, "0a", false},
		{"a renewed certificate again", both, "0a", true},
	};
	struct mesh__creds *creds = generation(&env, 1, ca.root, NULL);
	struct mesh__tls_conf *conf, *next;

	(void)state;
	assert_int_equal(mesh__authenticate_conf(&env, creds, false, NULL, &conf, NULL), MESH_OK);
	mesh__creds_unref(creds);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__sessions *before, *after;

		creds = generation(&env, i + 2, rows[i].roots, rows[i].revoked);
		assert_int_equal(mesh__authenticate_conf(&env, creds, false, conf, &next, NULL), MESH_OK);
		before = mesh__tls_conf_sessions(&env, conf, mesh__creds_trust(creds));
		after = mesh__tls_conf_sessions(&env, next, mesh__creds_trust(creds));
		if ((before == after) != rows[i].go_on) {
			fail_msg("%s", rows[i].rule);
		}
		mesh__sessions_unref(before);
		mesh__sessions_unref(after);
		mesh__tls_conf_unref(conf);
		mesh__creds_unref(creds);
		conf = next;
	}
	mesh__tls_conf_unref(conf);
	mesh__free(both);
}

/* mbedTLS's own allocations are not counted here. */
static void says_so_when_memory_is_out(void **state)
{
	struct mesh__creds *creds = generation(&env, 1, ca.root, NULL);
	bool made = false;

	(void)state;
	for (long n = 1; !made; n++) {
		struct mesh__env tight = env;
		struct mesh__tls_conf *conf;
		struct fail_mem fail;
		int code;

		fail_mem_init(&fail);
		fail.fail_at = n;
		tight.mem = fail.mem;
		code = mesh__authenticate_conf(&tight, creds, false, NULL, &conf, NULL);
		made = fail.count < n;
		assert_int_equal(code, made ? MESH_OK : MESH_E_NO_MEMORY);
		assert_true((conf != NULL) == made);
		mesh__tls_conf_unref(conf);
		assert_int_equal(fail.live, 0);
	}
	mesh__creds_unref(creds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_outlive_a_renewed_certificate_and_no_change_of_trust),
		cmocka_unit_test(says_so_when_memory_is_out),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
