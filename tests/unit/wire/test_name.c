#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/name.h"

#define L63 "a23456789012345678901234567890123456789012345678901234567890123"
#define BYTES(s) s, sizeof(s) - 1

struct text {
	const char *text;
	size_t len;
};

static void takes_labels_of_lower_case_digits_and_inner_hyphens(void **state)
{
	static const struct text good[] = {{BYTES("a")}, {BYTES("0")}, {BYTES("payments-v2")}, {BYTES("a--b")}, {BYTES(L63)}};
	static const struct text bad[] = {
		{BYTES("")}, {BYTES("-a")}, {BYTES("a-")}, {BYTES("-")}, {BYTES("A")}, {BYTES("a_b")}, {BYTES("a.b")}, {BYTES("a b")}, {BYTES("a\0b")},
		{BYTES("a\n")}, {BYTES("\xc3\xa4")}, {BYTES("a/b")}, {BYTES("*")}, {BYTES(L63 "4")},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		assert_true(mesh__label_valid(good[i].text, good[i].len));
	}
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		assert_false(mesh__label_valid(bad[i].text, bad[i].len));
	}
}

static void label_check_names_the_thing_and_the_remedy(void **state)
{
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__label_check("service", "payments", &err), MESH_OK);
	assert_int_equal(mesh__label_check("service", "Pay_ments", &err), MESH_E_INVALID);
	assert_non_null(strstr(err.message, "service \"Pay_ments\""));
	assert_non_null(strstr(err.message, "lower-case"));
	assert_int_equal(mesh__label_check("instance", "", &err), MESH_E_INVALID);
	assert_string_equal(err.message, "instance is missing");
	assert_int_equal(mesh__label_check("instance", NULL, NULL), MESH_E_INVALID);
}

static void bounds_a_trust_domain_so_that_the_dns_name_fits(void **state)
{
	char longest[MESH__TRUST_DOMAIN_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 10; i < sizeof(longest); i += 10) {
		longest[i] = '.';
	}
	longest[MESH__TRUST_DOMAIN_MAX] = 'a';
	assert_false(mesh__trust_domain_valid(longest, MESH__TRUST_DOMAIN_MAX + 1));
	longest[MESH__TRUST_DOMAIN_MAX - 1] = 'a';
	assert_true(mesh__trust_domain_valid(longest, MESH__TRUST_DOMAIN_MAX));
	assert_true(MESH__DNS_MAX - 1 <= 253);
	assert_true(mesh__trust_domain_valid(BYTES("mesh.local")));
	assert_false(mesh__trust_domain_valid(BYTES("")));
	assert_false(mesh__trust_domain_valid(BYTES(".mesh")));
	assert_false(mesh__trust_domain_valid(BYTES("mesh.")));
	assert_false(mesh__trust_domain_valid(BYTES("mesh..local")));
	assert_false(mesh__trust_domain_valid(BYTES("Mesh.local")));
}

static void parses_a_spiffe_id_into_its_parts(void **state)
{
	struct mesh__name name;

	(void)state;
	assert_true(mesh__spiffe_parse(BYTES("spiffe://mesh.local/ns/default/svc/payments"), &name));
	assert_string_equal(name.trust_domain, "mesh.local");
	assert_string_equal(name.ns, "default");
	assert_string_equal(name.service, "payments");
}

static void keeps_svc_a_apart_from_svc_ab(void **state)
{
	struct mesh__name a, ab;

	(void)state;
	assert_true(mesh__spiffe_parse(BYTES("spiffe://m/ns/n/svc/a"), &a));
	assert_true(mesh__spiffe_parse(BYTES("spiffe://m/ns/n/svc/ab"), &ab));
	assert_string_not_equal(a.service, ab.service);
}

static void refuses_every_other_form_of_a_spiffe_id(void **state)
{
	static const struct {
		const char *rule;
		const char *text;
		size_t len;
	} bad[] = {
		{"empty", BYTES("")},
		{"no path", BYTES("spiffe://m")},
		{"trailing slash", BYTES("spiffe://m/ns/n/svc/a/")},
		{"more path", BYTES("spiffe://m/ns/n/svc/a/b")},
		{"dot segment", BYTES("spiffe://m/ns/n/svc/..")},
		{"dot segment inside", BYTES("spiffe://m/ns/n/../n/svc/a")},
		{"single dot", BYTES("spiffe://m/ns/./svc/a")},
		{"empty segment", BYTES("spiffe://m/ns//svc/a")},
		{"double slash", BYTES("spiffe://m//ns/n/svc/a")},
		{"percent", BYTES("spiffe://m/ns/n/svc/%61")},
		{"percent slash", BYTES("spiffe://m/ns/n/svc/a%2fb")},
		{"upper-case scheme", BYTES("SPIFFE://m/ns/n/svc/a")},
		{"upper-case trust domain", BYTES("spiffe://M/ns/n/svc/a")},
		{"upper-case service", BYTES("spiffe://m/ns/n/svc/A")},
		{"upper-case word", BYTES("spiffe://m/NS/n/svc/a")},
		{"port", BYTES("spiffe://m:443/ns/n/svc/a")},
		{"userinfo", BYTES("spiffe://u@m/ns/n/svc/a")},
		{"query", BYTES("spiffe://m/ns/n/svc/a?x=1")},
		{"fragment", BYTES("spiffe://m/ns/n/svc/a#x")},
		{"wildcard service", BYTES("spiffe://m/ns/n/svc/*")},
		{"wildcard trust domain", BYTES("spiffe://*.m/ns/n/svc/a")},
		{"NUL behind", BYTES("spiffe://m/ns/n/svc/a\0")},
		{"NUL and more", BYTES("spiffe://m/ns/n/svc/a\0b")},
		{"NUL in the trust domain", BYTES("spiffe://m\0.evil/ns/n/svc/a")},
		{"other scheme", BYTES("https://m/ns/n/svc/a")},
		{"one slash", BYTES("spiffe:/m/ns/n/svc/a")},
		{"no trust domain", BYTES("spiffe:///ns/n/svc/a")},
		{"missing svc", BYTES("spiffe://m/ns/n")},
		{"missing name", BYTES("spiffe://m/ns/n/svc/")},
		{"words swapped", BYTES("spiffe://m/svc/a/ns/n")},
		{"Kubernetes form", BYTES("spiffe://m/ns/n/sa/a")},
		{"space in front", BYTES(" spiffe://m/ns/n/svc/a")},
		{"newline behind", BYTES("spiffe://m/ns/n/svc/a\n")},
		{"cut short", BYTES("spiffe:/")},
		{"label too long", BYTES("spiffe://m/ns/n/svc/" L63 "4")},
		{"text too long", BYTES("spiffe://" L63 L63 L63 L63 L63 "/ns/n/svc/a")},
	};
	struct mesh__name name = {"untouched", "untouched", "untouched"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		if (mesh__spiffe_parse(bad[i].text, bad[i].len, &name)) {
			fail_msg("taken: %s", bad[i].rule);
		}
	}
	assert_string_equal(name.service, "untouched");
}

static void never_reads_past_the_length_it_was_given(void **state)
{
	static const char text[] = "spiffe://m/ns/n/svc/ab";
	struct mesh__name name;

	(void)state;
	assert_true(mesh__spiffe_parse(text, sizeof(text) - 2, &name));
	assert_string_equal(name.service, "a");
}

static void longest_names_survive_formatting(void **state)
{
	struct mesh__name name, back;
	char spiffe[MESH__SPIFFE_MAX], dns[MESH__DNS_MAX], key[MESH__SERVICE_KEY_MAX];

	(void)state;
	memset(&name, 0, sizeof(name));
	memset(name.trust_domain, 'a', MESH__TRUST_DOMAIN_MAX);
	name.trust_domain[60] = '.';
	memcpy(name.ns, L63, MESH__LABEL_MAX);
	memcpy(name.service, L63, MESH__LABEL_MAX);
	mesh__spiffe_format(&name, spiffe);
	assert_true(mesh__spiffe_parse(spiffe, strlen(spiffe), &back));
	assert_memory_equal(&name, &back, sizeof(name));
	mesh__dns_format(&name, dns);
	assert_int_equal(strlen(dns), 63 + 1 + 63 + 1 + 120);
	mesh__service_key(&name, key);
	assert_string_equal(key, L63 "." L63);
}

static void formats_the_names_of_a_service(void **state)
{
	static const struct mesh__name name = {"mesh.local", "default", "payments"};
	char spiffe[MESH__SPIFFE_MAX], dns[MESH__DNS_MAX], key[MESH__SERVICE_KEY_MAX];

	(void)state;
	mesh__spiffe_format(&name, spiffe);
	mesh__dns_format(&name, dns);
	mesh__service_key(&name, key);
	assert_string_equal(spiffe, "spiffe://mesh.local/ns/default/svc/payments");
	assert_string_equal(dns, "payments.default.mesh.local");
	assert_string_equal(key, "payments.default");
}

static void a_bare_service_is_one_of_the_own_namespace(void **state)
{
	struct mesh__name name = {.trust_domain = "kept"};
	struct mesh__err err = MESH__NO_ERR;

	(void)state;
	assert_int_equal(mesh__service_parse("cart", "shop", &name, &err), MESH_OK);
	assert_string_equal(name.service, "cart");
	assert_string_equal(name.ns, "shop");
	assert_int_equal(mesh__service_parse("cart.eu", "shop", &name, &err), MESH_OK);
	assert_string_equal(name.ns, "eu");
	assert_int_equal(mesh__service_parse("till", name.ns, &name, &err), MESH_OK);
	assert_string_equal(name.ns, "eu");
	assert_string_equal(name.trust_domain, "kept");
}

static void refuses_a_service_that_is_no_name(void **state)
{
	static const char *const bad[] = {"", ".", "a.", ".b", "a.b.c", "A", "a b", "a/b", "*", L63 "4", "a." L63 "4"};
	struct mesh__name name = {.service = "untouched"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(mesh__service_parse(bad[i], "n", &name, &err), MESH_E_INVALID);
		assert_string_not_equal(err.message, "");
	}
	assert_int_equal(mesh__service_parse(NULL, "n", &name, NULL), MESH_E_INVALID);
	{
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(mesh__service_parse("cart", "Shop", &name, &err), MESH_E_INVALID);
		assert_non_null(strstr(err.message, "namespace \"Shop\""));
	}
	assert_string_equal(name.service, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_labels_of_lower_case_digits_and_inner_hyphens),
		cmocka_unit_test(label_check_names_the_thing_and_the_remedy),
		cmocka_unit_test(bounds_a_trust_domain_so_that_the_dns_name_fits),
		cmocka_unit_test(parses_a_spiffe_id_into_its_parts),
		cmocka_unit_test(keeps_svc_a_apart_from_svc_ab),
		cmocka_unit_test(refuses_every_other_form_of_a_spiffe_id),
		cmocka_unit_test(never_reads_past_the_length_it_was_given),
		cmocka_unit_test(longest_names_survive_formatting),
		cmocka_unit_test(formats_the_names_of_a_service),
		cmocka_unit_test(a_bare_service_is_one_of_the_own_namespace),
		cmocka_unit_test(refuses_a_service_that_is_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
