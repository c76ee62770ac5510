/*
 * What mbedTLS's arithmetic costs by itself, so that a measurement of our server can be taken apart: both ciphers over records of 16 KB, and the
 * operations on P-256 that a handshake is made of. Each runs for a fifth of a second; prints one JSON object, times in microseconds.
 */
#include <mbedtls/chachapoly.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecdh.h>
#include <mbedtls/entropy.h>
#include <mbedtls/gcm.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define RECORD 16384
#define RUN_S 0.2

static struct {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context drbg;
	mbedtls_gcm_context gcm;
	mbedtls_chachapoly_context chacha;
	mbedtls_pk_context key;
	mbedtls_ecp_group group;
	mbedtls_mpi secret, shared;
	mbedtls_ecp_point public;
	unsigned char record[RECORD], hash[32], signature[256];
	size_t signature_len;
} g;

static bool seal_aes(void)
{
	static const unsigned char iv[12], key_name[13];
	unsigned char tag[16];

	return mbedtls_gcm_crypt_and_tag(&g.gcm, MBEDTLS_GCM_ENCRYPT, RECORD, iv, sizeof(iv), key_name, sizeof(key_name), g.record, g.record, sizeof(tag), tag) == 0;
}

static bool seal_chacha(void)
{
	static const unsigned char iv[12], key_name[13];
	unsigned char tag[16];

	return mbedtls_chachapoly_encrypt_and_tag(&g.chacha, RECORD, iv, key_name, sizeof(key_name), g.record, g.record, tag) == 0;
}

static bool sign(void)
{
#if MBEDTLS_VERSION_MAJOR >= 3
	return mbedtls_pk_sign(&g.key, MBEDTLS_MD_SHA256, g.hash, sizeof(g.hash), g.signature, sizeof(g.signature), &g.signature_len, mbedtls_ctr_drbg_random, &g.drbg) == 0;
#else
	return mbedtls_pk_sign(&g.key, MBEDTLS_MD_SHA256, g.hash, sizeof(g.hash), g.signature, &g.signature_len, mbedtls_ctr_drbg_random, &g.drbg) == 0;
#endif
}

static bool verify(void)
{
	return mbedtls_pk_verify(&g.key, MBEDTLS_MD_SHA256, g.hash, sizeof(g.hash), g.signature, g.signature_len) == 0;
}

static bool generate(void)
{
	return mbedtls_ecdh_gen_public(&g.group, &g.secret, &g.public, mbedtls_ctr_drbg_random, &g.drbg) == 0;
}

static bool derive(void)
{
	return mbedtls_ecdh_compute_shared(&g.group, &g.shared, &g.public, &g.secret, mbedtls_ctr_drbg_random, &g.drbg) == 0;
}

static bool set_up(void)
{
	static const unsigned char aes[16] = {1}, chacha[32] = {1};

	mbedtls_entropy_init(&g.entropy);
	mbedtls_ctr_drbg_init(&g.drbg);
	mbedtls_gcm_init(&g.gcm);
	mbedtls_chachapoly_init(&g.chacha);
	mbedtls_pk_init(&g.key);
	mbedtls_ecp_group_init(&g.group);
	mbedtls_mpi_init(&g.secret);
	mbedtls_mpi_init(&g.shared);
	mbedtls_ecp_point_init(&g.public);
	return mbedtls_ctr_drbg_seed(&g.drbg, mbedtls_entropy_func, &g.entropy, NULL, 0) == 0 && mbedtls_gcm_setkey(&g.gcm, MBEDTLS_CIPHER_ID_AES, aes, 128) == 0 &&
		mbedtls_chachapoly_setkey(&g.chacha, chacha) == 0 &&
		mbedtls_pk_setup(&g.key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
		mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(g.key), mbedtls_ctr_drbg_random, &g.drbg) == 0 &&
		mbedtls_ecp_group_load(&g.group, MBEDTLS_ECP_DP_SECP256R1) == 0;
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU time of one; that others use the machine does not count. */
static bool report(const char *name, bool (*operation)(void), const char *after)
{
	double began = cpu_s(), passed = 0;
	long n = 0;

	while (passed < RUN_S) {
		if (!operation()) {
			fprintf(stderr, "arithmetic: %s failed\n", name);
			return false;
		}
		n++;
		passed = cpu_s() - began;
	}
	printf("\"%s\": %.3f%s", name, passed * 1e6 / (double)n, after);
	return true;
}

int main(void)
{
	char version[32];
	bool ok;

	mbedtls_version_get_string_full(version);
	printf("{\"version\": \"%s\", ", version);
	ok = set_up() && report("sealAes", seal_aes, ", ") && report("sealChacha", seal_chacha, ", ") && report("sign", sign, ", ") && report("verify", verify, ", ") && report("generate", generate, ", ") && report("derive", derive, "}\n");
	mbedtls_ecp_point_free(&g.public);
	mbedtls_mpi_free(&g.shared);
	mbedtls_mpi_free(&g.secret);
	mbedtls_ecp_group_free(&g.group);
	mbedtls_pk_free(&g.key);
	mbedtls_chachapoly_free(&g.chacha);
	mbedtls_gcm_free(&g.gcm);
	mbedtls_ctr_drbg_free(&g.drbg);
	mbedtls_entropy_free(&g.entropy);
	return ok ? 0 : 1;
}
