/* Which roots are believed: never ones that would cut this process off from the control plane, whose word alone could put it right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "control/credentials.h"
#include "test_ca.h"

struct two_cas {
	struct mesh__env env;
	struct test_ca old, new;
	struct mesh__svid *under_old, *under_new;
	struct mesh__credentials credentials;
};

static struct two_cas s;

static struct mesh__svid *svid_of(const struct test_ca *ca)
{
	struct mesh__svid *svid;
	char *chain, *key;

	test_ca_leaf(ca, "cart", &chain, &key);
	assert_int_equal(mesh__svid_new(&s.env, key, chain, ca->root, &svid, NULL), MESH_OK);
	mesh__free(chain);
	mesh__free(key);
	return svid;
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&s.env);
	test_ca_init(&s.old, &s.env, "mesh.local");
	test_ca_init(&s.new, &s.env, "mesh.local");
	s.under_old = svid_of(&s.old);
	s.under_new = svid_of(&s.new);
	mesh__credentials_init(&s.credentials, &s.env);
	mesh__credentials_svid(&s.credentials, s.under_old);
	assert_int_equal(mesh__credentials_renew(&s.credentials, NULL), MESH_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__credentials_fini(&s.credentials);
	mesh__svid_unref(s.under_old);
	mesh__svid_unref(s.under_new);
	test_ca_fini(&s.old);
	test_ca_fini(&s.new);
	return 0;
}

static int tell(char *roots, bool *changed)
{
	struct mesh__record record = {.type = MESH__RECORD_TRUST, .sequence = 2, .version = 7, .roots_pem = roots};

	return mesh__credentials_trust(&s.credentials, &record, changed, NULL);
}

static const char *roots_in_force(void)
{
	assert_int_equal(mesh__credentials_renew(&s.credentials, NULL), MESH_OK);
	return mesh__trust_roots(s.credentials.trust);
}

static void takes_roots_that_its_own_certificate_is_under(void **state)
{
	char *both = test_ca_join(s.new.root, s.old.root);
	bool changed;

	(void)state;
	assert_int_equal(tell(both, &changed), MESH_OK);
	assert_true(changed);
	assert_string_equal(roots_in_force(), both);
	mesh__free(both);
}

static void refuses_roots_of_another_mesh(void **state)
{
	bool changed;

	(void)state;
	assert_int_equal(tell(s.new.root, &changed), MESH_E_IDENTITY);
	assert_false(changed);
	assert_string_equal(roots_in_force(), s.old.root);
	assert_int_equal(s.credentials.trust_version, 0);
}

static void forgets_the_roots_told_of_when_a_new_join_brings_others(void **state)
{
	bool changed;

	(void)state;
	assert_int_equal(tell(s.old.root, &changed), MESH_OK);
	assert_int_equal(s.credentials.trust_version, 7);
	mesh__credentials_svid(&s.credentials, s.under_new);
	assert_string_equal(roots_in_force(), s.new.root);
	assert_int_equal(s.credentials.trust_version, 0); /* so that meshd tells of them again */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(takes_roots_that_its_own_certificate_is_under),
		T(refuses_roots_of_another_mesh),
		T(forgets_the_roots_told_of_when_a_new_join_brings_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
