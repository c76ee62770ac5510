/* What makes an identity of a chain, a key and roots: OpenSSL's finding beside mbedTLS's, which decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/mem.h"
#include "cast.h"
#include "http/client.h"
#include "support/bad_cert.h"
#include "support/fake_env.h"

static const int64_t hour_ms = 3600000;
static const char cart_uri[] = "spiffe://mesh.local/ns/default/svc/cart";

static struct fake_env fake;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	return cast_begin(&fake.env, true);
}

static void assert_found(const char *rule, const char *chain, const char *key, const char *roots, bool sound)
{
	bool decided = mesh__pki_matches(chain, key) && mesh__pki_chain_verify(&fake.env, chain, roots, NULL) == MESH_OK;
	bool found = mesh__creds_sound(&fake.env, chain, key, roots);

	if (decided != sound || found != sound) {
		fail_msg("%s: mbedTLS says %s, OpenSSL %s", rule, decided ? "yes" : "no", found ? "yes" : "no");
	}
}

static void is_sound_only_when_all_of_it_belongs_together(void **state)
{
	char *inter_of_two = test_ca_join(cast.ca.inter, cast.ca.root), *two_roots = test_ca_join(cast.stranger.root, cast.ca.root), *alone = strdup(cast.cart.chain);
	char *second = strstr(alone + 1, "-----BEGIN CERTIFICATE-----");

	(void)state;
	assert_non_null(second);
	*second = '\0';
	{
		const struct {
			const char *rule, *chain, *key, *roots;
			bool sound;
		} rows[] = {
			{"what a CA gave", cast.cart.chain, cast.cart.key, cast.ca.root, true},
			{"one root of several", cast.cart.chain, cast.cart.key, two_roots, true},
			{"an intermediate that is trusted itself", cast.cart.chain, cast.cart.key, cast.ca.inter, true},
			{"a CA of its own is one too", inter_of_two, cast.ca.inter_key, cast.ca.root, true},
			{"the intermediate is with the roots", alone, cast.cart.key, inter_of_two, true},
			{"without the intermediate", alone, cast.cart.key, cast.ca.root, false},
			{"a leaf that is trusted itself", alone, cast.cart.key, alone, false},
			{"another's key", cast.cart.chain, cast.payments.key, cast.ca.root, false},
			{"another's root", cast.cart.chain, cast.cart.key, cast.stranger.root, false},
			{"a chain that is none", "", cast.cart.key, cast.ca.root, false},
			{"a key that is none", cast.cart.chain, "", cast.ca.root, false},
			{"roots that are none", cast.cart.chain, cast.cart.key, "", false},
			{"a certificate for a key", cast.cart.chain, cast.cart.chain, cast.ca.root, false},
			{"a key for a certificate", cast.cart.key, cast.cart.key, cast.ca.root, false},
		};
		for (size_t i = 0; i < MESH__COUNT(rows); i++) {
			assert_found(rows[i].rule, rows[i].chain, rows[i].key, rows[i].roots, rows[i].sound);
		}
	}
	mesh__free(inter_of_two);
	mesh__free(two_roots);
	free(alone);
}

static void is_sound_only_in_its_time_by_the_clock_of_the_environment(void **state)
{
	static const struct {
		const char *rule;
		int64_t ms;
		bool sound;
	} rows[] = {
		{"at once", 0, true},
		{"not before its first second", -60001, false},
		{"in its first second", -60000, true},
		{"in its last second", 48 * 3600000LL + 999, true},
		{"behind its last second", 48 * 3600000LL + 1000, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		fake_env_advance_ms(&fake, rows[i].ms);
		assert_found(rows[i].rule, cast.cart.chain, cast.cart.key, cast.ca.root, rows[i].sound);
		fake_env_advance_ms(&fake, -rows[i].ms);
	}
}

/* A leaf by the plan under an issuer by the plan, that under our intermediate or, with `of_root`, our root. */
static void issuer_must_be_good(void **state)
{
	static const char mixed_key[] =
		"-----BEGIN EC PRIVATE KEY-----\n"
		"MHcCAQEEIBVHqiLWf1qCBq7SVARlLHuS03BtT2PV5p8A5d321ofUoAoGCCqGSM49\n"
		"AwEHoUQDQgAE8V5AHMR8QYHqRkzu03Tz5RqMDzLYDbzoJDrQczSl+w1ORBzqbnE2\n"
		"dVYBqRy5D5dI+nhek0BezZsl/mu6v18iGw==\n"
		"-----END EC PRIVATE KEY-----\n";
	static const struct {
		const char *rule;
		struct bad_cert issuer, leaf;
		bool of_root, sound;
	} rows[] = {
		{"a good one", {.cn = "i", .ca = true}, {.uri = {cart_uri}}, true, true},
		{"a path that is longer than allowed", {.cn = "i", .ca = true}, {.uri = {cart_uri}}, false, false},
		{"an issuer that is no CA", {.cn = "i", .uri = {cart_uri}}, {.uri = {cart_uri}}, true, false},
		{"an issuer with a key of another curve", {.cn = "i", .ca = true, .p384 = true}, {.uri = {cart_uri}}, true, false},
		{"an issuer with an RSA key", {.cn = "i", .ca = true, .rsa2048 = true}, {.uri = {cart_uri}}, true, false},
		{"an issuer signed with another hash", {.cn = "i", .ca = true, .sha384 = true}, {.uri = {cart_uri}}, true, false},
		{"a leaf signed with another hash", {.cn = "i", .ca = true}, {.uri = {cart_uri}, .sha384 = true}, true, false},
		{"an issuer that has ended", {.cn = "i", .ca = true, .not_after_ms = -1000}, {.uri = {cart_uri}}, true, false},
		{"an issuer that has not begun", {.cn = "i", .ca = true, .not_before_ms = 60000}, {.uri = {cart_uri}}, true, false},
		{"a key of two keys' halves", {.cn = "i", .ca = true}, {.uri = {cart_uri}, .key_pem = mixed_key}, true, false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct bad_cert issuer = rows[i].issuer, leaf = rows[i].leaf;
		int64_t now_ms = mesh__wall_ms(&fake.env);
		char *issuer_cert, *issuer_key, *leaf_cert, *leaf_key, *upper, *chain;

		issuer.not_before_ms = now_ms + (issuer.not_before_ms != 0 ? issuer.not_before_ms : -120000);
		issuer.not_after_ms = now_ms + (issuer.not_after_ms != 0 ? issuer.not_after_ms : hour_ms);
		issuer.ca_cert_pem = rows[i].of_root ? cast.ca.root : cast.ca.inter;
		issuer.ca_key_pem = rows[i].of_root ? cast.ca.root_key : cast.ca.inter_key;
		assert_true(bad_cert_mint(&issuer, &issuer_cert, &issuer_key));
		leaf.not_before_ms = now_ms - 60000;
		leaf.not_after_ms = now_ms + hour_ms;
		leaf.ca_cert_pem = issuer_cert;
		leaf.ca_key_pem = issuer_key;
		assert_true(bad_cert_mint(&leaf, &leaf_cert, &leaf_key));
		upper = test_ca_join(leaf_cert, issuer_cert);
		chain = test_ca_join(upper, rows[i].of_root ? "" : cast.ca.inter);
		assert_found(rows[i].rule, chain, leaf.key_pem != NULL ? leaf.key_pem : leaf_key, cast.ca.root, rows[i].sound);
		mesh__free(chain);
		mesh__free(upper);
		free(leaf_cert);
		free(leaf_key);
		free(issuer_cert);
		free(issuer_key);
	}
}

static void bounds_come_first(void **state)
{
	static char big[MESH__PEM_MAX_BYTES + 2];
	char *chain = test_ca_join(cast.cart.chain, ""), *more;

	(void)state;
	for (int n = 2; n < MESH__CHAIN_MAX + 2; n++) {
		assert_found("a long chain", chain, cast.cart.key, cast.ca.root, n <= MESH__CHAIN_MAX);
		more = test_ca_join(chain, cast.ca.inter);
		mesh__free(chain);
		chain = more;
	}
	(void)snprintf(big, sizeof(big), "%s%*s", cast.cart.chain, (int)(sizeof(big) - strlen(cast.cart.chain) - 1), " ");
	assert_found("a long text", big, cast.cart.key, cast.ca.root, false);
	mesh__free(chain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_sound_only_when_all_of_it_belongs_together),
		cmocka_unit_test(is_sound_only_in_its_time_by_the_clock_of_the_environment),
		cmocka_unit_test(issuer_must_be_good),
		cmocka_unit_test(bounds_come_first),
	};

	return cmocka_run_group_tests(tests, set_up, cast_tear_down);
}
