#include "io/mbed_common.h" /* first: see there */

#include <string.h>

#include <mbedtls/ecp.h>

#include "base/mem.h"

enum { KEY_PEM_BYTES = 512, PUBLIC_DER_BYTES = 128 };

int mesh__pki_key_new(const struct mesh__env *env, char **key_pem, struct mesh__err *err)
{
	unsigned char text[KEY_PEM_BYTES];
	mbedtls_pk_context key;
	int code = MESH_OK;
	int rc;

	mbedtls_pk_init(&key);
	rc = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
	if (rc == 0) {
		rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key), mesh__mbed_random, (void *)(uintptr_t)env);
	}
	if (rc == 0) {
		rc = mbedtls_pk_write_key_pem(&key, text, sizeof(text));
	}
	if (rc != 0) {
		code = mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "a new P-256 key cannot be made");
		goto out;
	}
	*key_pem = mesh__strdup(&env->mem, (const char *)text);
	if (*key_pem == NULL) {
		code = mesh__fail_memory(err);
	}
out:
	mesh__wipe(text, sizeof(text));
	mbedtls_pk_free(&key);
	return code;
}

bool mesh__mbed_is_p256(const mbedtls_pk_context *key)
{
	return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY && mbedtls_pk_ec(*key)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

bool mesh__mbed_same_key(const mbedtls_pk_context *a, const mbedtls_pk_context *b)
{
	return mesh__mbed_is_p256(a) && mesh__mbed_is_p256(b) && mbedtls_ecp_point_cmp(&mbedtls_pk_ec(*a)->Q, &mbedtls_pk_ec(*b)->Q) == 0;
}

static int parse_key(const struct mesh__env *env, mbedtls_pk_context *key, const char *pem)
{
	size_t len = strlen(pem) + 1; /* mbedTLS counts the NUL of a PEM text */

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_parse_key(key, (const unsigned char *)pem, len, NULL, 0, mesh__mbed_random, (void *)(uintptr_t)env);
#else
	(void)env;
	return mbedtls_pk_parse_key(key, (const unsigned char *)pem, len, NULL, 0);
#endif
}

int mesh__mbed_key_check(const struct mesh__env *env, const mbedtls_pk_context *key, struct mesh__err *err)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	int rc = mbedtls_pk_check_pair(key, key, mesh__mbed_random, (void *)(uintptr_t)env);
#else
	int rc = mbedtls_pk_check_pair(key, key);

	(void)env;
#endif
	return rc == 0 ? MESH_OK : mesh__mbed_fail(err, MESH_E_INVALID, rc, "the private key's halves do not belong together");
}

int mesh__mbed_key_parse(const struct mesh__env *env, mbedtls_pk_context *key, const char *pem, struct mesh__err *err)
{
	int rc;

	if (pem == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the private key is missing");
	}
	if (strnlen(pem, MESH__PEM_MAX_BYTES + 1) > MESH__PEM_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the private key is over %d bytes", MESH__PEM_MAX_BYTES);
	}
	rc = parse_key(env, key, pem);
	if (rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INVALID, rc, "the private key cannot be read");
	}
	if (!mesh__mbed_is_p256(key)) {
		return mesh__fail(err, MESH_E_INVALID, "the private key is not an EC key on P-256");
	}
	return MESH_OK;
}

int mesh__mbed_pin(const mbedtls_pk_context *key, unsigned char pin[32], struct mesh__err *err)
{
	unsigned char der[PUBLIC_DER_BYTES];
	int len;

	if (!mesh__mbed_is_p256(key)) {
		return mesh__fail(err, MESH_E_INVALID, "the key is not an EC key on P-256");
	}
	/* Written into the end of the buffer. */
	len = mbedtls_pk_write_pubkey_der((mbedtls_pk_context *)(uintptr_t)key, der, sizeof(der));
	if (len < 0) {
		return mesh__mbed_fail(err, MESH_E_INTERNAL, len, "the public key cannot be written");
	}
	mesh__sha256(der + sizeof(der) - (size_t)len, (size_t)len, pin);
	return MESH_OK;
}

/* Parsing a key draws random numbers for blinding, and these functions get no environment from their caller. */
static int parse_alone(mbedtls_pk_context *key, const char *pem, struct mesh__err *err)
{
	struct mesh__env env;
	int code;

	mesh__env_init(&env);
	code = mesh__mbed_key_parse(&env, key, pem, err);
	return code != MESH_OK ? code : mesh__mbed_key_check(&env, key, err);
}

int mesh__pki_pin_of_key(const char *key_pem, unsigned char pin[32], struct mesh__err *err)
{
	mbedtls_pk_context key;
	int code;

	mbedtls_pk_init(&key);
	code = parse_alone(&key, key_pem, err);
	if (code == MESH_OK) {
		code = mesh__mbed_pin(&key, pin, err);
	}
	mbedtls_pk_free(&key);
	return code;
}

bool mesh__pki_matches(const char *cert_pem, const char *key_pem)
{
	mbedtls_pk_context key;
	mbedtls_x509_crt cert;
	bool matches;

	mbedtls_pk_init(&key);
	mbedtls_x509_crt_init(&cert);
	matches = mesh__mbed_certs_parse(&cert, cert_pem, 1, NULL) == MESH_OK && parse_alone(&key, key_pem, NULL) == MESH_OK && mesh__mbed_same_key(&cert.pk, &key);
	mbedtls_x509_crt_free(&cert);
	mbedtls_pk_free(&key);
	return matches;
}
