#include "io/mbed_common.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/aes.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/pem.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "base/str.h"

static const char cert_begin[] = "-----BEGIN CERTIFICATE-----";
static const char cert_end[] = "-----END CERTIFICATE-----";

const mbedtls_x509_crt_profile mesh__mbed_profile = {
	.allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256),
	.allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA),
	.allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1),
	.rsa_min_bitlen = 0,
};

/* ---- set-up ---- */

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int init_result; /* written under init_once alone */

static void init(void)
{
	static const unsigned char key[16];
	unsigned char block[16] = {0};
	mbedtls_aes_context aes;

	/* The first AES operation detects AES-NI and notes it in a variable without a lock (mended in 3.6.4): let it happen before there are threads to race. */
	mbedtls_aes_init(&aes);
	init_result = mbedtls_aes_setkey_enc(&aes, key, 128);
	if (init_result == 0) {
		init_result = mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_ENCRYPT, block, block);
	}
	mbedtls_aes_free(&aes);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	if (init_result == 0 && psa_crypto_init() != PSA_SUCCESS) {
		init_result = MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE;
	}
#endif
}

int mesh__pki_init(struct mesh__err *err)
{
	if (pthread_once(&init_once, init) != 0 || init_result != 0) {
		return mesh__fail(err, MESH_E_INTERNAL, "mbedTLS cannot be set up (error -0x%04x)", (unsigned)-init_result);
	}
	return MESH_OK;
}

int mesh__mbed_random(void *env, unsigned char *bytes, size_t len)
{
	mesh__random(env, bytes, len);
	return 0;
}

/* ---- errors ---- */

static bool is_memory(int rc)
{
	static const int high[] = {MBEDTLS_ERR_X509_ALLOC_FAILED, MBEDTLS_ERR_PK_ALLOC_FAILED, MBEDTLS_ERR_PEM_ALLOC_FAILED, MBEDTLS_ERR_ECP_ALLOC_FAILED,
		MBEDTLS_ERR_MD_ALLOC_FAILED, -0x7F00 /* MBEDTLS_ERR_SSL_ALLOC_FAILED */};
	int low = -rc & 0x7f;

	/* Two numbers travel in one: a module's above, a primitive's below. */
	for (size_t i = 0; i < MESH__COUNT(high); i++) {
		if ((-rc & 0xff80) == -high[i]) {
			return true;
		}
	}
	return low == -MBEDTLS_ERR_MPI_ALLOC_FAILED || low == -MBEDTLS_ERR_ASN1_ALLOC_FAILED;
}

int mesh__mbed_fail(struct mesh__err *err, int code, int rc, const char *fmt, ...)
{
	char what[256], why[128];
	va_list args;

	if (is_memory(rc)) {
		return mesh__fail_memory(err);
	}
	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	mbedtls_strerror(rc, why, sizeof(why));
	return mesh__fail(err, code, "%s: %s", what, why);
}

/* ---- hashes, numbers, times ---- */

void mesh__sha256(const void *bytes, size_t len, unsigned char out[32])
{
	if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes, len, out) != 0) {
		abort(); /* cannot happen; a digest that is none must not be compared with a pin */
	}
}

bool mesh__mbed_serial(const unsigned char *bytes, size_t len, char *out)
{
	while (len > 1 && *bytes == 0) {
		bytes++;
		len--;
	}
	if (len == 0 || len > (MESH__SERIAL_MAX - 1) / 2) {
		out[0] = '\0';
		return false;
	}
	mesh__str_hex(bytes, len, out);
	if (out[0] == '0' && out[1] != '\0') {
		memmove(out, out + 1, strlen(out));
	}
	if (out[0] == '0' && out[1] != '\0') { /* a serial of 00 is "0" */
		out[1] = '\0';
	}
	return true;
}

int64_t mesh__mbed_time_ms(const mbedtls_x509_time *time)
{
	struct tm tm = {.tm_year = time->year - 1900, .tm_mon = time->mon - 1, .tm_mday = time->day, .tm_hour = time->hour, .tm_min = time->min, .tm_sec = time->sec};

	return (int64_t)timegm(&tm) * 1000;
}

/* ---- PEM ---- */

int mesh__mbed_pem(const struct mesh__mem *mem, const char *what, const unsigned char *der, size_t len, char **pem, struct mesh__err *err)
{
	char begin[64], end[64], *text;
	size_t cap;
	int rc;

	(void)snprintf(begin, sizeof(begin), "-----BEGIN %s-----\n", what);
	(void)snprintf(end, sizeof(end), "-----END %s-----\n", what);
	/* Four characters for three bytes, a newline every 64, the two lines around. */
	cap = len / 3 * 4 + len / 48 + sizeof(begin) + sizeof(end) + 16;
	text = mesh__alloc(mem, cap);
	if (text == NULL) {
		return mesh__fail_memory(err);
	}
	rc = mbedtls_pem_write_buffer(begin, end, der, len, (unsigned char *)text, cap, &len);
	if (rc != 0) {
		mesh__free(text);
		return mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "the %s cannot be written as PEM", what);
	}
	*pem = text;
	return MESH_OK;
}

/* Adds the next certificate of *text and moves on behind it. *found is false at the end. */
static int add_next(mbedtls_x509_crt *list, const char **text, size_t number, bool *found, struct mesh__err *err)
{
	mbedtls_pem_context pem;
	size_t used = 0;
	int rc;

	*found = false;
	mbedtls_pem_init(&pem);
	rc = mbedtls_pem_read_buffer(&pem, cert_begin, cert_end, (const unsigned char *)*text, NULL, 0, &used);
	if (rc == MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT) {
		mbedtls_pem_free(&pem);
		return MESH_OK;
	}
	if (rc == 0) {
		rc = mbedtls_x509_crt_parse_der(list, pem.buf, pem.buflen);
	}
	mbedtls_pem_free(&pem);
	if (rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INVALID, rc, "certificate %zu of the PEM text is malformed", number);
	}
	*text += used;
	*found = true;
	return MESH_OK;
}

int mesh__mbed_certs_parse(mbedtls_x509_crt *list, const char *pem, size_t max, struct mesh__err *err)
{
	bool found = true;
	size_t n = 0;

	if (pem == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate is missing");
	}
	if (strnlen(pem, MESH__PEM_MAX_BYTES + 1) > MESH__PEM_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the PEM text is over %d bytes", MESH__PEM_MAX_BYTES);
	}
	while (found && n < max) {
		int code = add_next(list, &pem, n + 1, &found, err);
		if (code != MESH_OK) {
			return code;
		}
		n += found;
	}
	if (n == 0) {
		return mesh__fail(err, MESH_E_INVALID, "the text holds no certificate; expected a line \"%s\"", cert_begin);
	}
	if (max == MESH__CHAIN_MAX && n == max && strstr(pem, cert_begin) != NULL) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the PEM text holds more than %d certificates", MESH__CHAIN_MAX);
	}
	return MESH_OK;
}

/* ---- verification ---- */

bool mesh__mbed_cert_modern(const mbedtls_x509_crt *cert)
{
	return mesh__mbed_is_p256(&cert->pk) && cert->sig_pk == MBEDTLS_PK_ECDSA && cert->sig_md == MBEDTLS_MD_SHA256;
}

bool mesh__mbed_list_modern(const mbedtls_x509_crt *list)
{
	for (; list != NULL; list = list->next) {
		if (!mesh__mbed_cert_modern(list)) {
			return false;
		}
	}
	return true;
}

void mesh__mbed_judge_time(const struct mesh__env *env, const mbedtls_x509_crt *cert, uint32_t *flags)
{
	int64_t now_ms = mesh__wall_ms(env);

	*flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
	if (now_ms < mesh__mbed_time_ms(&cert->valid_from)) {
		*flags |= MBEDTLS_X509_BADCERT_FUTURE;
	}
	if (now_ms >= mesh__mbed_time_ms(&cert->valid_to) + 1000) { /* the last second belongs to it (RFC 5280 section 4.1.2.5) */
		*flags |= MBEDTLS_X509_BADCERT_EXPIRED;
	}
}

/* From the gravest to the least grave: what nobody vouches for has no validity to speak of. */
static const struct {
	uint32_t flag;
	const char *word, *text;
} flag_names[] = {
	{MBEDTLS_X509_BADCERT_NOT_TRUSTED, "chain", "no chain of signatures leads to a trusted root; is it of this mesh's CA?"},
	{MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_MD, "chain", "a key or signature algorithm in the chain is not P-256 with SHA-256"},
	{MBEDTLS_X509_BADCERT_FUTURE, "not-yet-valid", "a certificate is not valid yet; check the clocks of both hosts"},
	{MBEDTLS_X509_BADCERT_EXPIRED, "expired", "a certificate has expired; check the clocks of both hosts, or have it issued anew"},
};

const char *mesh__mbed_flags_text(uint32_t flags)
{
	for (size_t i = 0; i < MESH__COUNT(flag_names); i++) {
		if ((flags & flag_names[i].flag) != 0) {
			return flag_names[i].text;
		}
	}
	return "the chain is not acceptable";
}

const char *mesh__mbed_flags_word(uint32_t flags)
{
	for (size_t i = 0; i < MESH__COUNT(flag_names); i++) {
		if ((flags & flag_names[i].flag) != 0) {
			return flag_names[i].word;
		}
	}
	return "chain";
}
