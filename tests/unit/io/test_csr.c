#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/pki.h"
#include "support/bad_cert.h"
#include "support/fake_env.h"
#include "support/patience.h"

static const char good_uri[] = "spiffe://mesh.local/ns/default/svc/payments";

/* Written by openssl. */
static const char empty_subject[] =
	"-----BEGIN CERTIFICATE REQUEST-----\n"
	"MIG5MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKgbVRjgNciwVnMC\n"
	"Gtb+CbeAn2OY87eKVMgDdD06+/Hh777CJklp8uWFtWS+9HxAtJ4YV03ym9I4dYGD\n"
	"jy5ZtDKgADAKBggqhkjOPQQDAgNHADBEAiBEzk2EabkuU26M+BJBlMWUKdwEIrKP\n"
	"wlCPIlvvi/nEuAIgONFPonQ8f9BlpjYovkKY5UEyOfb5HXtNyVBrPWXcYZU=\n"
	"-----END CERTIFICATE REQUEST-----\n";

/* CA:TRUE, marked critical: a parser that knows less than it must stops there with a reason of its own. */
static const char critical_ca[] =
	"-----BEGIN CERTIFICATE REQUEST-----\n"
	"MIHpMIGQAgEAMAwxCjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
	"AASoG1UY4DXIsFZzAhrW/gm3gJ9jmPO3ilTIA3Q9Ovvx4e++wiZJafLlhbVkvvR8\n"
	"QLSeGFdN8pvSOHWBg48uWbQyoCIwIAYJKoZIhvcNAQkOMRMwETAPBgNVHRMBAf8E\n"
	"BTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCPjJXtl68PitahheRcLR4bdUnqd5gO\n"
	"jnZQCMpGCZzf8wIgOcbendj8U4UE3Q5oi5jGqLEQ1JD0dy6eZpy732PoQMU=\n"
	"-----END CERTIFICATE REQUEST-----\n";

static const char compressed_point[] =
	"-----BEGIN CERTIFICATE REQUEST-----\n"
	"MIGmME4CAQAwDDEKMAgGA1UEAwwBeDA5MBMGByqGSM49AgEGCCqGSM49AwEHAyIA\n"
	"AqgbVRjgNciwVnMCGtb+CbeAn2OY87eKVMgDdD06+/HhoAAwCgYIKoZIzj0EAwID\n"
	"SAAwRQIhAN/wjtOFtXl76U3zduJl76UBTQj5We0YmcmBgyRRVsf0AiAYWc5/fTLx\n"
	"Yvz6Au+ljh6PnM8yJcEziKrynOJEQdLL6Q==\n"
	"-----END CERTIFICATE REQUEST-----\n";

static struct fake_env fake;

static int set_up(void **state)
{
	(void)state;
	fake_env_init(&fake);
	return mesh__pki_init(NULL);
}

static void says_what_a_request_asks_for(void **state)
{
	struct mesh__csr asked, looked;
	unsigned char pin[32];
	char *key, *csr;

	(void)state;
	assert_int_equal(mesh__pki_key_new(&fake.env, &key, NULL), MESH_OK);
	assert_int_equal(mesh__pki_pin_of_key(key, pin, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_new(&fake.env, key, good_uri, &csr, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_read(&fake.env, csr, strlen(csr), &asked, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_preview(csr, strlen(csr), &looked, NULL), MESH_OK);
	assert_memory_equal(&looked, &asked, sizeof(asked));
	assert_true(asked.has_uri);
	assert_string_equal(asked.spiffe, good_uri);
	assert_memory_equal(asked.pin, pin, 32);
	mesh__free(csr);

	assert_int_equal(mesh__pki_csr_new(&fake.env, key, NULL, &csr, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_read(&fake.env, csr, strlen(csr), &asked, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_preview(csr, strlen(csr), &looked, NULL), MESH_OK);
	assert_memory_equal(&looked, &asked, sizeof(asked));
	assert_false(asked.has_uri);
	assert_string_equal(asked.spiffe, "");
	mesh__free(csr);
	mesh__free_secret(key);
}

/* THREATS 18, one a row. */
/* The first look says what the whole reading says, but where only arithmetic would tell. */
static void assert_previewed(const char *rule, const char *csr, int code, const char *says)
{
	bool arithmetic = strcmp(says, "not signed by its own key") == 0 || strcmp(says, "no point of P-256") == 0;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__csr asked;
	int previewed = mesh__pki_csr_preview(csr, strlen(csr), &asked, &err);

	if (arithmetic ? previewed != MESH_OK : previewed != code || strstr(err.message, says) == NULL) {
		fail_msg("%s, at the first look: code %d, \"%s\"", rule, previewed, err.message);
	}
}

static void refuses_by_the_rule(void **state)
{
	static const struct {
		const char *rule;
		struct bad_cert plan;
		bool broken;
		int code;
		const char *says;
	} rows[] = {
		{"a plain one is fine", {.cn = NULL}, false, MESH_OK, ""},
		{"a good name is fine", {.uri = {good_uri}}, false, MESH_OK, ""},
		{"a DNS name does not matter", {.uri = {good_uri}, .dns = {"admin.default.mesh.local"}}, false, MESH_OK, ""},
		{"another key's signature", {.uri = {good_uri}}, true, MESH_E_INVALID, "not signed by its own key"},
		{"two URI names", {.uri = {good_uri, good_uri}}, false, MESH_E_INVALID, "more than one URI"},
		{"a URI that is no SPIFFE ID", {.uri = {"https://mesh.local/"}}, false, MESH_E_INVALID, "no SPIFFE ID"},
		{"a NUL inside", {.uri = {"spiffe://mesh.local/ns/default/svc/a\0b"}, .uri_len = 38}, false, MESH_E_INVALID, "no SPIFFE ID"},
		{"to be a CA", {.uri = {good_uri}, .ca = true}, false, MESH_E_INVALID, "asks to be a CA"},
		{"keyCertSign", {.uri = {good_uri}, .cert_sign = true}, false, MESH_E_INVALID, "right to sign"},
		{"an RSA key", {.uri = {good_uri}, .rsa2048 = true}, false, MESH_E_INVALID, "P-256"},
		{"P-384", {.uri = {good_uri}, .p384 = true}, false, MESH_E_INVALID, "P-256"},
		{"SHA-384", {.uri = {good_uri}, .sha384 = true}, false, MESH_E_INVALID, "SHA-256"},
		{"over the bound", {.uri = {good_uri}, .extra_dns = 10000}, false, MESH_E_TOO_LARGE, "at most 16384"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__csr asked;
		char *csr;
		int code;
		assert_true(bad_csr_mint(&rows[i].plan, rows[i].broken, &csr));
		code = mesh__pki_csr_read(&fake.env, csr, strlen(csr), &asked, &err);
		if (code != rows[i].code || strstr(err.message, rows[i].says) == NULL) {
			fail_msg("%s: code %d, \"%s\"", rows[i].rule, code, err.message);
		}
		assert_previewed(rows[i].rule, csr, rows[i].code, rows[i].says);
		free(csr);
	}
}

static void takes_a_request_whose_subject_is_empty(void **state)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__csr asked;

	(void)state;
	if (mesh__pki_csr_read(&fake.env, empty_subject, strlen(empty_subject), &asked, &err) != MESH_OK) {
		fail_msg("%s", err.message);
	}
	assert_false(asked.has_uri);
}

/* The line of older tools, and what stands around the request. */
static void takes_a_new_certificate_request_too(void **state)
{
	struct mesh__csr asked;
	char text[1024];
	size_t begin = strlen("-----BEGIN "), end = (size_t)(strstr(empty_subject, "-----END ") - empty_subject) + strlen("-----END ");

	(void)state;
	(void)snprintf(text, sizeof(text), "hello\n-----BEGIN NEW %.*sNEW %s\nhello\n", (int)(end - begin), empty_subject + begin, empty_subject + end);
	assert_int_equal(mesh__pki_csr_read(&fake.env, text, strlen(text), &asked, NULL), MESH_OK);
}

/* mbedTLS's two lines differ in what they parse: the reasons do not. */
static void gives_one_reason_whatever_the_library_knows(void **state)
{
	static const struct {
		const char *csr, *says;
	} rows[] = {{critical_ca, "asks to be a CA"}, {compressed_point, "P-256, its point not compressed"}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__csr asked;
		assert_int_equal(mesh__pki_csr_read(&fake.env, rows[i].csr, strlen(rows[i].csr), &asked, &err), MESH_E_INVALID);
		if (strstr(err.message, rows[i].says) == NULL) {
			fail_msg("\"%s\" does not say \"%s\"", err.message, rows[i].says);
		}
	}
}

/* Four characters of base64 are three bytes. */
static void says_what_is_wrong_with_the_structure(void **state)
{
	static const struct {
		const char *rule, *from, *to, *says;
	} rows[] = {
		{"a version that is none", "MIG5MGICAQAw", "MIG5MGICAQEw", "malformed"},
		{"a byte behind the request", "YZU=", "YZUA", "malformed"},
		{"a byte too few", "YZU=", "YQ==", "malformed"},
		{"a subject that is no sequence", "AQAwADBZ", "AQAEADBZ", "malformed"},
		{"attributes that are something else", "tDKgADAK", "tDKhADAK", "malformed"},
		{"another curve", "CqGSM49AwEHA0IA", "CqGSM49AwEGA0IA", "P-256"},
		{"another hash", "PQQDAgNH", "PQQDAwNH", "SHA-256"},
		{"a point beside the curve", "BKgbVRjg", "BKgbVRjh", "no point of P-256"},
		{"another signature", "wlCPIlvv", "wlCPIlvw", "not signed by its own key"},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		const char *at = strstr(empty_subject, rows[i].from);
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__csr asked;
		char text[1024];
		if (at == NULL) {
			fail_msg("%s: not to be had", rows[i].rule);
			return;
		}
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - empty_subject), empty_subject, rows[i].to, at + strlen(rows[i].from));
		if (mesh__pki_csr_read(&fake.env, text, strlen(text), &asked, &err) != MESH_E_INVALID || strstr(err.message, rows[i].says) == NULL) {
			fail_msg("%s: \"%s\"", rows[i].rule, err.message);
		}
		assert_previewed(rows[i].rule, text, MESH_E_INVALID, rows[i].says);
	}
}

/* Every character of a good request changed in turn, and the text torn off at each: no crash, and nothing else is ever asked for. */
static void stands_damage_anywhere(void **state)
{
	struct mesh__csr asked;
	char *key, *csr;
	size_t len;

	(void)state;
	assert_int_equal(mesh__pki_key_new(&fake.env, &key, NULL), MESH_OK);
	assert_int_equal(mesh__pki_csr_new(&fake.env, key, good_uri, &csr, NULL), MESH_OK);
	len = strlen(csr);
	for (size_t i = 0; i < len - 1; i += (size_t)walk_stride()) {
		char was = csr[i];
		csr[i] = was == 'A' ? 'B' : 'A';
		if (mesh__pki_csr_read(&fake.env, csr, len, &asked, NULL) == MESH_OK) {
			assert_string_equal(asked.spiffe, good_uri); /* bits of base64 that nothing looks at */
		}
		csr[i] = was;
		assert_int_equal(mesh__pki_csr_read(&fake.env, csr, i, &asked, NULL), MESH_E_INVALID);
	}
	assert_int_equal(mesh__pki_csr_read(&fake.env, csr, len, &asked, NULL), MESH_OK);
	mesh__free(csr);
	mesh__free_secret(key);
}

static void refuses_size_before_anything_else(void **state)
{
	static char big[MESH__CSR_MAX_BYTES + 1];
	struct mesh__csr asked;

	(void)state;
	assert_int_equal(mesh__pki_csr_read(&fake.env, big, sizeof(big), &asked, NULL), MESH_E_TOO_LARGE);
	assert_int_equal(mesh__pki_csr_preview(big, sizeof(big), &asked, NULL), MESH_E_TOO_LARGE);
	assert_int_equal(mesh__pki_csr_read(&fake.env, big, sizeof(big) - 1, &asked, NULL), MESH_E_INVALID);
	assert_int_equal(mesh__pki_csr_read(&fake.env, "", 0, &asked, NULL), MESH_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_a_request_asks_for),
		cmocka_unit_test(refuses_by_the_rule),
		cmocka_unit_test(takes_a_request_whose_subject_is_empty),
		cmocka_unit_test(takes_a_new_certificate_request_too),
		cmocka_unit_test(gives_one_reason_whatever_the_library_knows),
		cmocka_unit_test(says_what_is_wrong_with_the_structure),
		cmocka_unit_test(stands_damage_anywhere),
		cmocka_unit_test(refuses_size_before_anything_else),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
