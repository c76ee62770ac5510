#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/trust.h"
#include "support/alloc_fail.h"
#include "support/bad_cert.h"
#include "support/fake_env.h"
#include "support/test_ca.h"

static const char good_uri[] = "spiffe://mesh.local/ns/default/svc/payments";
static const char good_dns[] = "payments.default.mesh.local";

static struct fake_env fake;
static struct test_ca ca;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_ca_fini(&ca);
	return 0;
}

static struct mesh__trust *trust_with(const char *const *revoked, size_t n)
{
	struct mesh__trust *trust = NULL;
	struct mesh__err err = MESH__NO_ERR;

	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", ca.root, revoked, n, &trust, &err), MESH_OK);
	return trust;
}

/* Mints the plan under the intermediate and judges it; the word of the refusal, "" for none. */
static const char *judge(struct bad_cert plan, const char *expect)
{
	struct mesh__trust *trust = trust_with(NULL, 0);
	struct mesh__err err = MESH__NO_ERR;
	const char *word = "unset";
	struct mesh__leaf leaf;
	char *pem;
	int code;

	plan.not_before_ms = mesh__wall_ms(&fake.env) - 60000;
	plan.not_after_ms = plan.not_before_ms + 172800000;
	plan.ca_cert_pem = ca.inter;
	plan.ca_key_pem = ca.inter_key;
	assert_true(bad_cert_mint(&plan, &pem, NULL));
	code = mesh__trust_judge(trust, pem, strlen(pem), expect, &leaf, &word, &err);
	assert_int_equal(code, word[0] == '\0' ? MESH_OK : MESH_E_IDENTITY);
	assert_int_equal(err.message[0] != '\0', code != MESH_OK);
	free(pem);
	mesh__trust_unref(trust);
	return word;
}

static void accepts_a_leaf_of_the_own_trust_domain(void **state)
{
	(void)state;
	assert_string_equal(judge((struct bad_cert){.uri = {good_uri}, .dns = {good_dns}}, NULL), "");
	assert_string_equal(judge((struct bad_cert){.uri = {good_uri}, .dns = {good_dns}}, good_uri), "");
}

/* THREATS 14 and 15, one a row. */
static void refuses_by_the_rule(void **state)
{
	static const struct {
		const char *rule;
		struct bad_cert plan;
		const char *word;
	} rows[] = {
		{"two URI names", {.uri = {good_uri, "spiffe://mesh.local/ns/default/svc/admin"}}, "uri-san"},
		{"the same URI twice", {.uri = {good_uri, good_uri}}, "uri-san"},
		{"no name at all", {.cn = "payments"}, "uri-san"},
		{"the SPIFFE ID only in the CN", {.cn = good_uri, .dns = {good_dns}}, "uri-san"},
		{"the SPIFFE ID only as DNS name", {.dns = {good_uri}}, "uri-san"},
		{"a wildcard in the URI", {.uri = {"spiffe://mesh.local/ns/default/svc/*"}}, "uri-san"},
		{"a wildcard DNS name", {.uri = {good_uri}, .dns = {"*.default.mesh.local"}}, "name"},
		{"no DNS name", {.uri = {good_uri}, .no_dns = true}, "name"},
		{"no DNS name, but the right common name", {.cn = good_dns, .uri = {good_uri}, .no_dns = true}, "name"},
		{"another service's DNS name", {.uri = {good_uri}, .dns = {"admin.default.mesh.local"}}, "name"},
		{"a second DNS name", {.uri = {good_uri}, .dns = {good_dns, "admin.default.mesh.local"}}, "name"},
		{"dot dot", {.uri = {"spiffe://mesh.local/ns/default/svc/../payments"}}, "uri-san"},
		{"double slash", {.uri = {"spiffe://mesh.local//ns/default/svc/payments"}}, "uri-san"},
		{"percent encoding", {.uri = {"spiffe://mesh.local/ns/default/svc/pay%6dents"}}, "uri-san"},
		{"upper case in the path", {.uri = {"spiffe://mesh.local/ns/default/svc/Payments"}}, "uri-san"},
		{"upper case in the scheme", {.uri = {"SPIFFE://mesh.local/ns/default/svc/payments"}}, "uri-san"},
		{"a port", {.uri = {"spiffe://mesh.local:443/ns/default/svc/payments"}}, "uri-san"},
		{"userinfo", {.uri = {"spiffe://root@mesh.local/ns/default/svc/payments"}}, "uri-san"},
		{"a query", {.uri = {"spiffe://mesh.local/ns/default/svc/payments?x"}}, "uri-san"},
		{"a fragment", {.uri = {"spiffe://mesh.local/ns/default/svc/payments#x"}}, "uri-san"},
		{"a trailing slash", {.uri = {"spiffe://mesh.local/ns/default/svc/payments/"}}, "uri-san"},
		{"a NUL inside", {.uri = {"spiffe://mesh.local/ns/default/svc/payments\0evil"}, .uri_len = sizeof("spiffe://mesh.local/ns/default/svc/payments\0evil") - 1}, "uri-san"},
		{"a NUL at the end", {.uri = {good_uri}, .uri_len = sizeof(good_uri)}, "uri-san"},
		{"the trust domain alone", {.uri = {"spiffe://mesh.local"}}, "uri-san"},
		{"another scheme", {.uri = {"https://mesh.local/ns/default/svc/payments"}}, "uri-san"},
		{"seventeen names", {.uri = {good_uri}, .extra_dns = 16}, "uri-san"},
		{"ten thousand names, as PEM over the bound", {.uri = {good_uri}, .extra_dns = 10000}, "malformed"},
		{"another trust domain", {.uri = {"spiffe://other.local/ns/default/svc/payments"}}, "trust-domain"},
		{"a trust domain that begins alike", {.uri = {"spiffe://mesh.local.evil/ns/default/svc/payments"}}, "trust-domain"},
		{"a CA", {.uri = {good_uri}, .ca = true}, "ca"},
		{"keyCertSign in a leaf", {.uri = {good_uri}, .cert_sign = true}, "ca"},
		{"no extended key usage", {.uri = {good_uri}, .eku = BAD_CERT_EKU_NONE}, "eku"},
		{"serverAuth alone", {.uri = {good_uri}, .eku = BAD_CERT_EKU_SERVER}, "eku"},
		{"clientAuth alone", {.uri = {good_uri}, .eku = BAD_CERT_EKU_CLIENT}, "eku"},
		{"any purpose", {.uri = {good_uri}, .eku = BAD_CERT_EKU_ANY}, "eku"},
		{"another purpose", {.uri = {good_uri}, .eku = BAD_CERT_EKU_CODE_SIGNING}, "eku"},
		{"an RSA key", {.uri = {good_uri}, .rsa2048 = true}, "key"},
		{"a P-384 key", {.uri = {good_uri}, .p384 = true}, "key"},
		{"SHA-384", {.uri = {good_uri}, .sha384 = true}, "key"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *word = judge(rows[i].plan, NULL);
		if (strcmp(word, rows[i].word) != 0) {
			fail_msg("%s: \"%s\", not \"%s\"", rows[i].rule, word, rows[i].word);
		}
	}
}

static void refuses_a_name_that_only_begins_alike(void **state)
{
	(void)state;
	assert_string_equal(judge((struct bad_cert){.uri = {"spiffe://mesh.local/ns/default/svc/ab"}}, "spiffe://mesh.local/ns/default/svc/a"), "name");
	assert_string_equal(judge((struct bad_cert){.uri = {"spiffe://mesh.local/ns/default/svc/a"}}, "spiffe://mesh.local/ns/default/svc/ab"), "name");
	assert_string_equal(judge((struct bad_cert){.uri = {"spiffe://mesh.local/ns/prod/svc/a"}}, "spiffe://mesh.local/ns/default/svc/a"), "name");
}

static void refuses_a_revoked_serial(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__leaf leaf;
	struct mesh__trust *trust;
	char *chain, *key;
	const char *word;

	(void)state;
	test_ca_leaf(&ca, "payments", &chain, &key);
	assert_int_equal(mesh__pki_leaf_read(chain, strlen(chain), &leaf, &err), MESH_OK);
	trust = trust_with((const char *const[]){"ff", leaf.serial, "1"}, 3);
	assert_true(mesh__trust_revoked(trust, leaf.serial));
	assert_true(mesh__trust_revoked(trust, "1"));
	assert_true(mesh__trust_revoked(trust, "ff"));
	assert_false(mesh__trust_revoked(trust, "2"));
	assert_int_equal(mesh__trust_judge(trust, chain, strlen(chain), NULL, &leaf, &word, &err), MESH_E_IDENTITY);
	assert_string_equal(word, "revoked");
	assert_non_null(strstr(err.message, leaf.serial));
	assert_int_equal(mesh__trust_judge(trust, chain, strlen(chain), NULL, &leaf, NULL, NULL), MESH_E_IDENTITY);
	mesh__trust_unref(trust);
	mesh__free(chain);
	mesh__free_secret(key);
}

static void refuses_a_bundle_that_cannot_be_one(void **state)
{
	struct mesh__trust *trust;
	struct mesh__err err = MESH__NO_ERR;
	char *chain, *key;

	(void)state;
	test_ca_leaf(&ca, "payments", &chain, &key);
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", chain, NULL, 0, &trust, &err), MESH_E_INVALID);
	assert_null(trust);
	assert_non_null(strstr(err.message, "not one of a CA"));
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", "", NULL, 0, &trust, &err), MESH_E_INVALID);
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", NULL, NULL, 0, &trust, &err), MESH_E_INVALID);
	assert_int_equal(mesh__trust_new(&fake.env, "Mesh.Local", ca.root, NULL, 0, &trust, &err), MESH_E_INVALID);
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", ca.root, (const char *const[]){"FF"}, 1, &trust, &err), MESH_E_INVALID);
	assert_int_equal(mesh__trust_new(&fake.env, "mesh.local", ca.root, (const char *const[]){""}, 1, &trust, &err), MESH_E_INVALID);
	mesh__free(chain);
	mesh__free_secret(key);
}

static void keeps_what_it_was_given(void **state)
{
	char domain[] = "mesh.local";
	struct mesh__trust *trust;

	(void)state;
	assert_int_equal(mesh__trust_new(&fake.env, domain, ca.root, NULL, 0, &trust, NULL), MESH_OK);
	domain[0] = 'x';
	assert_string_equal(mesh__trust_domain(trust), "mesh.local");
	assert_string_equal(mesh__trust_roots(trust), ca.root);
	assert_ptr_equal(mesh__trust_ref(trust), trust);
	mesh__trust_unref(trust);
	assert_string_equal(mesh__trust_domain(trust), "mesh.local");
	mesh__trust_unref(trust);
	mesh__trust_unref(NULL);
}

static void says_so_when_memory_is_out(void **state)
{
	const char *const revoked[] = {"1", "2"};
	struct fail_mem mem;
	bool done = false;

	(void)state;
	for (long n = 1; !done; n++) {
		struct mesh__trust *trust;
		struct fake_env env;
		int code;
		fake_env_init(&env);
		fail_mem_init(&mem);
		fail_mem_next(&mem, n);
		env.env.mem = mem.mem;
		code = mesh__trust_new(&env.env, "mesh.local", ca.root, revoked, 2, &trust, NULL);
		done = mem.count < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		mesh__trust_unref(trust);
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_a_leaf_of_the_own_trust_domain),
		cmocka_unit_test(refuses_by_the_rule),
		cmocka_unit_test(refuses_a_name_that_only_begins_alike),
		cmocka_unit_test(refuses_a_revoked_serial),
		cmocka_unit_test(refuses_a_bundle_that_cannot_be_one),
		cmocka_unit_test(keeps_what_it_was_given),
		cmocka_unit_test(says_so_when_memory_is_out),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
