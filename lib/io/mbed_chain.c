#include "io/mbed_common.h"

static int judge(void *env, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	(void)depth;
	mesh__mbed_judge_time(env, cert, flags);
	return 0;
}

int mesh__pki_chain_verify(const struct mesh__env *env, const char *chain_pem, const char *roots_pem, struct mesh__err *err)
{
	mbedtls_x509_crt chain, roots;
	uint32_t flags = 0;
	int code, rc;

	mbedtls_x509_crt_init(&chain);
	mbedtls_x509_crt_init(&roots);
	code = mesh__mbed_certs_parse(&chain, chain_pem, MESH__CHAIN_MAX, err);
	if (code == MESH_OK) {
		code = mesh__mbed_certs_parse(&roots, roots_pem, MESH__CHAIN_MAX, err);
	}
	if (code != MESH_OK) {
		goto out;
	}
	if (!mesh__mbed_list_modern(&chain)) {
		code = mesh__fail(err, MESH_E_IDENTITY, "the certificate chain is refused: every key must be EC P-256 and every signature ECDSA with SHA-256");
		goto out;
	}
	rc = mbedtls_x509_crt_verify_with_profile(&chain, &roots, NULL, &mesh__mbed_profile, NULL, &flags, judge, (void *)(uintptr_t)env);
	if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
		code = mesh__fail(err, MESH_E_IDENTITY, "the certificate chain is refused: %s", mesh__mbed_flags_text(flags));
	} else if (rc != 0) {
		code = mesh__mbed_fail(err, MESH_E_IDENTITY, rc, "the certificate chain cannot be verified");
	}
out:
	mbedtls_x509_crt_free(&roots);
	mbedtls_x509_crt_free(&chain);
	return code;
}
