#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/pki.h"
#include "support/alloc_fail.h"
#include "support/bad_cert.h"
#include "support/fake_env.h"
#include "support/test_ca.h"

static const int64_t hour_ms = 3600000;
static const struct mesh__name payments = {"mesh.local", "default", "payments"};
static const char payments_uri[] = "spiffe://mesh.local/ns/default/svc/payments";

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

static struct mesh__validity two_days(void)
{
	int64_t now_ms = mesh__wall_ms(&fake.env);

	return (struct mesh__validity){now_ms - 60000, now_ms + 48 * hour_ms};
}

static char *new_key(void)
{
	char *key = NULL;

	assert_int_equal(mesh__pki_key_new(&fake.env, &key, NULL), MESH_OK);
	return key;
}

static char *new_csr(const char *key)
{
	char *csr = NULL;

	assert_int_equal(mesh__pki_csr_new(&fake.env, key, NULL, &csr, NULL), MESH_OK);
	return csr;
}

/* A leaf for who asks with a sound request. */
static int leaf_for(const struct mesh__name *name, const char *csr, const char *issuer, const char *issuer_key, const struct mesh__validity *validity, char **cert, char *serial, struct mesh__err *err)
{
	struct mesh__csr asked;

	assert_int_equal(mesh__pki_csr_read(&fake.env, csr, strlen(csr), &asked, NULL), MESH_OK);
	return mesh__pki_leaf(&fake.env, name, &asked, issuer, issuer_key, validity, cert, serial, err);
}

/* ---- hashes and keys ---- */

static void hashes_as_fips_180_says(void **state)
{
	static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	unsigned char digest[32];
	char hex[65];

	(void)state;
	mesh__sha256("abc", 3, digest);
	mesh__str_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, abc);
}

static void one_key_has_one_pin(void **state)
{
	unsigned char of_key[32], of_cert[32], of_other[32];
	struct mesh__cert facts;
	char *other = new_key();

	(void)state;
	assert_int_equal(mesh__pki_pin_of_key(ca.root_key, of_key, NULL), MESH_OK);
	assert_int_equal(mesh__pki_pin_of_cert(ca.root, of_cert, NULL), MESH_OK);
	assert_int_equal(mesh__pki_pin_of_key(other, of_other, NULL), MESH_OK);
	assert_int_equal(mesh__pki_cert_read(ca.root, &facts, NULL), MESH_OK);
	assert_memory_equal(of_key, of_cert, 32);
	assert_memory_equal(of_key, facts.pin, 32);
	assert_memory_not_equal(of_key, of_other, 32);
	mesh__free_secret(other);
}

static void knows_which_key_belongs_to_a_certificate(void **state)
{
	(void)state;
	assert_true(mesh__pki_matches(ca.root, ca.root_key));
	assert_false(mesh__pki_matches(ca.root, ca.inter_key));
	assert_false(mesh__pki_matches("", ca.root_key));
	assert_false(mesh__pki_matches(ca.root, ""));
	assert_false(mesh__pki_matches(ca.root, NULL));
}

/* Where the key is taken from elsewhere at once; else by whoever is shown what it signed. */
static void a_key_of_two_keys_halves_is_found_out(void **state)
{
	static const char mixed[] =
		"-----BEGIN EC PRIVATE KEY-----\n"
		"MHcCAQEEIBVHqiLWf1qCBq7SVARlLHuS03BtT2PV5p8A5d321ofUoAoGCCqGSM49\n"
		"AwEHoUQDQgAE8V5AHMR8QYHqRkzu03Tz5RqMDzLYDbzoJDrQczSl+w1ORBzqbnE2\n"
		"dVYBqRy5D5dI+nhek0BezZsl/mu6v18iGw==\n"
		"-----END EC PRIVATE KEY-----\n";
	struct mesh__validity validity = two_days();
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__csr asked;
	unsigned char pin[32];
	char *csr = new_csr(mixed), *root = NULL;

	(void)state;
	assert_int_equal(mesh__pki_pin_of_key(mixed, pin, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "halves"));
	assert_int_equal(mesh__pki_root(&fake.env, "mesh.local", mixed, &validity, &root, &err), MESH_E_INVALID);
	assert_null(root);
	assert_int_equal(mesh__pki_csr_read(&fake.env, csr, strlen(csr), &asked, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "not signed by its own key"));
	mesh__free(csr);
}

static void refuses_a_key_that_is_none_of_ours(void **state)
{
	struct bad_cert rsa = {.cn = "rsa", .rsa2048 = true, .not_after_ms = hour_ms}, p384 = {.cn = "p384", .p384 = true, .not_after_ms = hour_ms};
	struct mesh__err err = MESH__NO_ERR;
	unsigned char pin[32];
	char *cert, *key;

	(void)state;
	assert_true(bad_cert_mint(&rsa, &cert, &key));
	assert_int_equal(mesh__pki_pin_of_key(key, pin, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "P-256"));
	free(cert);
	free(key);
	assert_true(bad_cert_mint(&p384, &cert, &key));
	assert_int_equal(mesh__pki_pin_of_key(key, pin, &err), MESH_E_INVALID);
	free(cert);
	free(key);
	assert_int_equal(mesh__pki_pin_of_key("nonsense", pin, &err), MESH_E_INVALID);
	assert_int_equal(mesh__pki_pin_of_key(ca.root, pin, &err), MESH_E_INVALID);
}

static void refuses_a_text_over_the_bound(void **state)
{
	static char big[MESH__PEM_MAX_BYTES + 2];
	struct mesh__cert facts;
	unsigned char pin[32];

	(void)state;
	memset(big, '\n', sizeof(big) - 1);
	assert_int_equal(mesh__pki_pin_of_key(big, pin, NULL), MESH_E_TOO_LARGE);
	assert_int_equal(mesh__pki_cert_read(big, &facts, NULL), MESH_E_TOO_LARGE);
	big[MESH__PEM_MAX_BYTES] = '\0';
	assert_int_equal(mesh__pki_cert_read(big, &facts, NULL), MESH_E_INVALID);
}

/* ---- what is issued ---- */

static void a_root_is_what_the_design_says(void **state)
{
	struct mesh__cert facts;

	(void)state;
	assert_int_equal(mesh__pki_cert_read(ca.root, &facts, NULL), MESH_OK);
	assert_true(facts.ca);
	assert_int_equal(facts.pathlen, -1);
	assert_true(mesh__pki_self_signed(ca.root));
	assert_string_equal(facts.subject, "CN=mesh.local root");
	assert_string_equal(facts.issuer, "CN=mesh.local root");
	assert_string_equal(facts.uri, "spiffe://mesh.local");
	assert_string_equal(facts.dns, "");
	assert_int_equal(strlen(facts.serial), 32);
}

static void an_intermediate_may_sign_leaves_alone(void **state)
{
	struct mesh__cert facts;

	(void)state;
	assert_int_equal(mesh__pki_cert_read(ca.inter, &facts, NULL), MESH_OK);
	assert_true(facts.ca);
	assert_int_equal(facts.pathlen, 0);
	assert_false(mesh__pki_self_signed(ca.inter));
	assert_string_equal(facts.subject, "CN=mesh.local intermediate");
	assert_string_equal(facts.issuer, "CN=mesh.local root");
	assert_string_equal(facts.uri, "spiffe://mesh.local");
	assert_int_equal(mesh__pki_chain_verify(&fake.env, ca.inter, ca.root, NULL), MESH_OK);
}

static void a_leaf_is_what_the_design_says(void **state)
{
	struct mesh__validity validity = two_days();
	char serial[MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key), *cert;
	struct mesh__cert facts;
	struct mesh__leaf leaf;

	(void)state;
	assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.inter_key, &validity, &cert, serial, NULL), MESH_OK);
	assert_int_equal(mesh__pki_leaf_read(cert, strlen(cert), &leaf, NULL), MESH_OK);
	assert_int_equal(mesh__pki_cert_read(cert, &facts, NULL), MESH_OK);
	assert_string_equal(leaf.spiffe, payments_uri);
	assert_string_equal(leaf.name.service, "payments");
	assert_string_equal(leaf.serial, serial);
	assert_string_equal(facts.serial, serial);
	assert_int_equal(strlen(serial), 32);
	assert_string_equal(facts.subject, "");
	assert_string_equal(facts.issuer, "CN=mesh.local intermediate");
	assert_string_equal(facts.dns, "payments.default.mesh.local");
	assert_false(facts.ca);
	assert_int_equal(leaf.not_before_ms, validity.not_before_ms / 1000 * 1000);
	assert_int_equal(leaf.not_after_ms, validity.not_after_ms / 1000 * 1000);
	assert_true(mesh__pki_matches(cert, key));
	mesh__free(cert);
	mesh__free(csr);
	mesh__free_secret(key);
}

/* RFC 5758 section 3.2: absent, not NULL; strict verifiers refuse what is signed otherwise. */
static void signature_algorithms_have_no_parameters(void **state)
{
	struct mesh__validity validity = two_days();
	char serial[MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key), *cert;

	(void)state;
	assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.inter_key, &validity, &cert, serial, NULL), MESH_OK);
	assert_int_equal(bare_algorithms(cert), 2);
	assert_int_equal(bare_algorithms(ca.inter), 2);
	assert_int_equal(bare_algorithms(ca.root), 2);
	assert_int_equal(bare_algorithms(csr), 1);
	mesh__free(cert);
	mesh__free(csr);
	mesh__free_secret(key);
}

static void a_leaf_does_not_outlive_its_issuer(void **state)
{
	struct mesh__validity validity = two_days();
	char serial[MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key), *cert;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__cert issuer;
	struct mesh__leaf leaf;

	(void)state;
	assert_int_equal(mesh__pki_cert_read(ca.inter, &issuer, NULL), MESH_OK);
	validity.not_after_ms = issuer.not_after_ms + hour_ms;
	assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.inter_key, &validity, &cert, serial, NULL), MESH_OK);
	assert_int_equal(mesh__pki_leaf_read(cert, strlen(cert), &leaf, NULL), MESH_OK);
	assert_int_equal(leaf.not_after_ms, issuer.not_after_ms);
	mesh__free(cert);
	validity.not_before_ms = issuer.not_after_ms;
	assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.inter_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "expired"));
	mesh__free(csr);
	mesh__free_secret(key);
}

/* RFC 5280 section 4.1.2.5: the form of a time changes with the year 2050. */
static void a_certificate_may_end_on_either_side_of_2050(void **state)
{
	static const int64_t ends_ms[] = {INT64_C(2524607999000), INT64_C(2524608000000), INT64_C(253402300799000)};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(ends_ms); i++) {
		struct mesh__validity validity = {0, ends_ms[i]};
		struct mesh__cert facts;
		char *root;
		assert_int_equal(mesh__pki_root(&fake.env, "mesh.local", ca.root_key, &validity, &root, NULL), MESH_OK);
		assert_int_equal(mesh__pki_cert_read(root, &facts, NULL), MESH_OK);
		assert_int_equal(facts.not_before_ms, 0);
		assert_true(facts.not_after_ms == ends_ms[i]);
		mesh__free(root);
	}
}

static void no_two_serials_are_alike_and_each_is_positive(void **state)
{
	struct mesh__validity validity = two_days();
	char serial[32][MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key);

	(void)state;
	for (size_t i = 0; i < 32; i++) {
		char *cert;
		assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.inter_key, &validity, &cert, serial[i], NULL), MESH_OK);
		assert_int_equal(strlen(serial[i]), 32);
		assert_in_range(serial[i][0], '4', '7');
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(serial[i], serial[j]);
		}
		mesh__free(cert);
	}
	mesh__free(csr);
	mesh__free_secret(key);
}

static void refuses_to_sign_what_makes_no_sense(void **state)
{
	struct mesh__validity validity = two_days();
	struct mesh__err err = MESH__NO_ERR;
	char serial[MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key), *ca_csr = new_csr(ca.inter_key), *root_csr = new_csr(ca.root_key), *leaf_chain, *leaf_key, *cert = NULL;
	struct mesh__csr asked, unread = {.has_uri = false};
	struct mesh__name bad = {"mesh.local", "default", "Pay/ments"};

	(void)state;
	test_ca_leaf(&ca, "payments", &leaf_chain, &leaf_key);
	assert_int_equal(leaf_for(&payments, ca_csr, ca.inter, ca.inter_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "CA's own"));
	assert_int_equal(mesh__pki_leaf(&fake.env, &payments, &unread, ca.inter, ca.inter_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_int_equal(mesh__pki_csr_read(&fake.env, root_csr, strlen(root_csr), &asked, NULL), MESH_OK);
	assert_int_equal(mesh__pki_intermediate(&fake.env, "mesh.local", &asked, ca.root, ca.root_key, &validity, &cert, &err), MESH_E_INVALID);
	assert_int_equal(leaf_for(&bad, csr, ca.inter, ca.inter_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_int_equal(leaf_for(&payments, csr, ca.inter, ca.root_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_int_equal(leaf_for(&payments, csr, leaf_chain, leaf_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_int_equal(leaf_for(&payments, csr, NULL, ca.inter_key, &validity, &cert, serial, &err), MESH_E_INVALID);
	assert_int_equal(mesh__pki_root(&fake.env, "mesh local", key, &validity, &cert, &err), MESH_E_INVALID);
	validity.not_after_ms = INT64_C(253402300800000); /* the year 10000 */
	assert_int_equal(mesh__pki_root(&fake.env, "mesh.local", key, &validity, &cert, &err), MESH_E_INVALID);
	validity.not_before_ms = -1000;
	assert_int_equal(mesh__pki_root(&fake.env, "mesh.local", key, &validity, &cert, &err), MESH_E_INVALID);
	assert_null(cert);
	mesh__free(leaf_chain);
	mesh__free_secret(leaf_key);
	mesh__free(root_csr);
	mesh__free(ca_csr);
	mesh__free(csr);
	mesh__free_secret(key);
}

/* A root from elsewhere, with a name in pieces: the leaf's issuer must be its subject, byte by byte. */
static void signs_under_a_root_that_others_made(void **state)
{
	struct bad_cert plan = {.ca = true, .cn = "Somebody's Root\\, Inc., O=Somebody, C=DE", .not_before_ms = mesh__wall_ms(&fake.env) - hour_ms, .not_after_ms = mesh__wall_ms(&fake.env) + 9000 * hour_ms};
	struct mesh__validity validity = two_days();
	char serial[MESH__SERIAL_MAX];
	char *key = new_key(), *csr = new_csr(key), *root, *root_key, *cert;
	struct mesh__cert facts, root_facts;

	(void)state;
	assert_true(bad_cert_mint(&plan, &root, &root_key));
	assert_int_equal(leaf_for(&payments, csr, root, root_key, &validity, &cert, serial, NULL), MESH_OK);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, cert, root, NULL), MESH_OK);
	assert_int_equal(mesh__pki_cert_read(cert, &facts, NULL), MESH_OK);
	assert_int_equal(mesh__pki_cert_read(root, &root_facts, NULL), MESH_OK);
	assert_string_equal(facts.issuer, root_facts.subject);
	mesh__free(cert);
	free(root);
	free(root_key);
	mesh__free(csr);
	mesh__free_secret(key);
}

/* ---- reading ---- */

static void reads_a_leaf_as_der_that_is_whole(void **state)
{
	static const unsigned char nonsense[] = {0x30, 3, 1, 1, 0xff};
	struct mesh__leaf leaf;

	(void)state;
	assert_int_equal(mesh__pki_leaf_read(nonsense, sizeof(nonsense), &leaf, NULL), MESH_E_IDENTITY);
	assert_int_equal(mesh__pki_leaf_read(nonsense, 1, &leaf, NULL), MESH_E_IDENTITY);
	assert_int_equal(mesh__pki_leaf_read("", 0, &leaf, NULL), MESH_E_IDENTITY);
	assert_int_equal(mesh__pki_leaf_read(NULL, 0, &leaf, NULL), MESH_E_IDENTITY);
	assert_int_equal(mesh__pki_leaf_read("text", 4, &leaf, NULL), MESH_E_IDENTITY);
	assert_int_equal(mesh__pki_leaf_read(ca.root, strlen(ca.root), &leaf, NULL), MESH_E_IDENTITY);
}

static void tells_the_facts_of_foreign_certificates_too(void **state)
{
	struct bad_cert rsa = {.cn = "rsa", .ca = true, .pathlen = 4, .rsa2048 = true, .sha384 = true, .dns = {"a.test", "b.test"}, .not_before_ms = hour_ms, .not_after_ms = 2 * hour_ms};
	struct mesh__cert facts;
	char *cert, *key;

	(void)state;
	assert_true(bad_cert_mint(&rsa, &cert, &key));
	assert_int_equal(mesh__pki_cert_read(cert, &facts, NULL), MESH_OK);
	assert_true(mesh__pki_self_signed(cert));
	assert_true(facts.ca);
	assert_int_equal(facts.pathlen, 3);
	assert_string_equal(facts.dns, "a.test");
	assert_string_equal(facts.uri, "");
	assert_int_equal(facts.not_before_ms, hour_ms);
	assert_int_equal(facts.not_after_ms, 2 * hour_ms);
	free(cert);
	free(key);
}

static void shows_no_name_with_bytes_that_are_not_text(void **state)
{
	struct bad_cert plan = {.cn = "x", .uri = {"spiffe://mesh.local\0/evil"}, .uri_len = 25, .dns = {"a\nb"}, .not_after_ms = hour_ms};
	struct mesh__cert facts;
	char *cert;

	(void)state;
	assert_true(bad_cert_mint(&plan, &cert, NULL));
	assert_int_equal(mesh__pki_cert_read(cert, &facts, NULL), MESH_OK);
	assert_string_equal(facts.uri, "");
	assert_string_equal(facts.dns, "");
	free(cert);
}

static void splits_a_text_into_its_certificates(void **state)
{
	char *chain = test_ca_join(ca.inter, ca.root), *out[MESH__CHAIN_MAX];
	char *torn = test_ca_join(ca.inter, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
	size_t n;

	(void)state;
	assert_int_equal(mesh__pki_split(mesh__mem_libc(), chain, out, &n, NULL), MESH_OK);
	assert_int_equal(n, 2);
	assert_string_equal(out[0], ca.inter);
	assert_string_equal(out[1], ca.root);
	mesh__free(out[0]);
	mesh__free(out[1]);
	assert_int_equal(mesh__pki_split(mesh__mem_libc(), torn, out, &n, NULL), MESH_E_INVALID);
	assert_int_equal(n, 0);
	assert_int_equal(mesh__pki_split(mesh__mem_libc(), "", out, &n, NULL), MESH_E_INVALID);
	assert_int_equal(n, 0);
	mesh__free(torn);
	mesh__free(chain);
}

static void takes_no_more_certificates_than_the_bound(void **state)
{
	char *chain = test_ca_join(ca.root, ""), *out[MESH__CHAIN_MAX];
	size_t n;

	(void)state;
	for (size_t count = 1; count <= MESH__CHAIN_MAX + 1; count++) {
		int code = mesh__pki_split(mesh__mem_libc(), chain, out, &n, NULL);
		char *longer;
		assert_int_equal(code, count <= MESH__CHAIN_MAX ? MESH_OK : MESH_E_TOO_LARGE);
		assert_int_equal(n, count <= MESH__CHAIN_MAX ? count : 0);
		while (n > 0) {
			mesh__free(out[--n]);
		}
		longer = test_ca_join(chain, ca.root);
		mesh__free(chain);
		chain = longer;
	}
	mesh__free(chain);
}

/* ---- chains ---- */

static void verifies_a_chain_by_the_clock_of_the_environment(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct test_ca other;
	char *chain, *key;

	(void)state;
	test_ca_leaf(&ca, "payments", &chain, &key);
	test_ca_init(&other, &fake.env, "mesh.local");
	assert_int_equal(mesh__pki_chain_verify(&fake.env, chain, ca.root, &err), MESH_OK);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, chain, other.root, &err), MESH_E_IDENTITY);
	fake_env_advance_ms(&fake, 48 * hour_ms);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, chain, ca.root, &err), MESH_OK); /* in its last second */
	fake_env_advance_ms(&fake, 1000);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, chain, ca.root, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "expired"));
	fake_env_advance_ms(&fake, -48 * hour_ms - 1000 - 61000);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, chain, ca.root, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "not valid yet"));
	fake_env_advance_ms(&fake, 61000);
	test_ca_fini(&other);
	mesh__free(chain);
	mesh__free_secret(key);
}

static void refuses_a_chain_with_a_key_of_another_kind_or_that_cannot_be_read(void **state)
{
	struct bad_cert rsa = {.cn = "rsa", .ca = true, .rsa2048 = true, .not_after_ms = 4000000000000};
	struct mesh__err err = MESH__NO_ERR;
	char *cert, *mixed;

	(void)state;
	assert_true(bad_cert_mint(&rsa, &cert, NULL));
	mixed = test_ca_join(ca.inter, cert);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, mixed, ca.root, &err), MESH_E_IDENTITY);
	assert_non_null(strstr(err.message, "must be EC P-256"));
	assert_int_equal(mesh__pki_chain_verify(&fake.env, "no PEM", ca.root, NULL), MESH_E_INVALID);
	assert_int_equal(mesh__pki_chain_verify(&fake.env, ca.inter, "no PEM", NULL), MESH_E_INVALID);
	mesh__free(mixed);
	free(cert);
}

static void says_so_when_memory_is_out(void **state)
{
	struct fail_mem mem;
	bool done = false;

	(void)state;
	for (long n = 1; !done; n++) {
		char *key = NULL, *csr = NULL, *root = NULL, *out[MESH__CHAIN_MAX];
		struct mesh__validity validity = two_days();
		struct fake_env env;
		size_t n_out;
		int code;
		fake_env_init(&env);
		fail_mem_init(&mem);
		fail_mem_next(&mem, n);
		env.env.mem = mem.mem;
		code = mesh__pki_key_new(&env.env, &key, NULL);
		code = code != MESH_OK ? code : mesh__pki_csr_new(&env.env, key, payments_uri, &csr, NULL);
		code = code != MESH_OK ? code : mesh__pki_root(&env.env, "mesh.local", key, &validity, &root, NULL);
		code = code != MESH_OK ? code : mesh__pki_split(&env.env.mem, ca.root, out, &n_out, NULL);
		done = mem.count < n;
		assert_int_equal(code, done ? MESH_OK : MESH_E_NO_MEMORY);
		if (code == MESH_OK) {
			mesh__free(out[0]);
		}
		mesh__free(root);
		mesh__free(csr);
		mesh__free_secret(key);
		assert_int_equal(mem.live, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_as_fips_180_says),
		cmocka_unit_test(one_key_has_one_pin),
		cmocka_unit_test(knows_which_key_belongs_to_a_certificate),
		cmocka_unit_test(a_key_of_two_keys_halves_is_found_out),
		cmocka_unit_test(refuses_a_key_that_is_none_of_ours),
		cmocka_unit_test(refuses_a_text_over_the_bound),
		cmocka_unit_test(a_root_is_what_the_design_says),
		cmocka_unit_test(an_intermediate_may_sign_leaves_alone),
		cmocka_unit_test(a_leaf_is_what_the_design_says),
		cmocka_unit_test(signature_algorithms_have_no_parameters),
		cmocka_unit_test(a_leaf_does_not_outlive_its_issuer),
		cmocka_unit_test(a_certificate_may_end_on_either_side_of_2050),
		cmocka_unit_test(no_two_serials_are_alike_and_each_is_positive),
		cmocka_unit_test(refuses_to_sign_what_makes_no_sense),
		cmocka_unit_test(signs_under_a_root_that_others_made),
		cmocka_unit_test(reads_a_leaf_as_der_that_is_whole),
		cmocka_unit_test(tells_the_facts_of_foreign_certificates_too),
		cmocka_unit_test(shows_no_name_with_bytes_that_are_not_text),
		cmocka_unit_test(splits_a_text_into_its_certificates),
		cmocka_unit_test(takes_no_more_certificates_than_the_bound),
		cmocka_unit_test(verifies_a_chain_by_the_clock_of_the_environment),
		cmocka_unit_test(refuses_a_chain_with_a_key_of_another_kind_or_that_cannot_be_read),
		cmocka_unit_test(says_so_when_memory_is_out),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
