#include "support/bad_cert.h"

#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <mbedtls/version.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "wire/name.h"

enum { BUF_BYTES = 1024 * 1024 };

static int rng(void *user, unsigned char *bytes, size_t len)
{
	(void)user;
	while (len > 0) {
		ssize_t n = getrandom(bytes, len, 0);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int parse_key(mbedtls_pk_context *key, const char *pem)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_parse_key(key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0, rng, NULL);
#else
	return mbedtls_pk_parse_key(key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0);
#endif
}

static int make_key(mbedtls_pk_context *key, const struct bad_cert *plan)
{
	int rc;

	if (plan->key_pem != NULL) {
		return parse_key(key, plan->key_pem);
	}
	rc = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(plan->rsa2048 ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY));
	if (rc != 0) {
		return rc;
	}
	return plan->rsa2048 ? mbedtls_rsa_gen_key(mbedtls_pk_rsa(*key), rng, NULL, 2048, 65537)
		: mbedtls_ecp_gen_key(plan->p384 ? MBEDTLS_ECP_DP_SECP384R1 : MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), rng, NULL);
}

/* ---- extensions, written backwards as DER is here ---- */

static int put(unsigned char **p, unsigned char *start, int tag, const void *bytes, size_t n)
{
	size_t len = 0;
	int ret;

	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_raw_buffer(p, start, bytes, n));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_len(p, start, n));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_tag(p, start, (unsigned char)tag));
	return (int)len;
}

static int put_names(unsigned char **p, unsigned char *start, const struct bad_cert *plan)
{
	size_t len = 0;
	int ret;

	for (size_t i = 0; i < plan->extra_dns; i++) {
		MBEDTLS_ASN1_CHK_ADD(len, put(p, start, 0x82, "a.test", 6));
	}
	for (int i = BAD_CERT_NAMES; i-- > 0;) {
		if (plan->dns[i] != NULL) {
			MBEDTLS_ASN1_CHK_ADD(len, put(p, start, 0x82, plan->dns[i], strlen(plan->dns[i])));
		}
	}
	for (int i = BAD_CERT_NAMES; i-- > 0;) {
		if (plan->uri[i] != NULL) {
			MBEDTLS_ASN1_CHK_ADD(len, put(p, start, 0x86, plan->uri[i], i == 0 && plan->uri_len != 0 ? plan->uri_len : strlen(plan->uri[i])));
		}
	}
	return (int)len;
}

static int close_sequence(unsigned char **p, unsigned char *start, int body)
{
	size_t len = 0;
	int ret;

	MBEDTLS_ASN1_CHK_ADD(len, body);
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_len(p, start, (size_t)body));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_tag(p, start, 0x30));
	return (int)len;
}

/* Into the end of buf; its length, 0 for no name at all, or an error. */
static int san_value(unsigned char *buf, const struct bad_cert *plan)
{
	unsigned char *p = buf + BUF_BYTES;
	int body = put_names(&p, buf, plan);

	return body <= 0 ? body : close_sequence(&p, buf, body);
}

static int eku_value(unsigned char *buf, enum bad_cert_eku eku)
{
	static const struct {
		const char *oid;
		size_t len;
		bool in[6]; /* by enum bad_cert_eku */
	} purposes[] = {
		{MBEDTLS_OID_CLIENT_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH), {true, false, false, true, false, false}},
		{MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH), {true, false, true, false, false, false}},
		{MBEDTLS_OID_ANY_EXTENDED_KEY_USAGE, MBEDTLS_OID_SIZE(MBEDTLS_OID_ANY_EXTENDED_KEY_USAGE), {false, false, false, false, true, false}},
		{MBEDTLS_OID_CODE_SIGNING, MBEDTLS_OID_SIZE(MBEDTLS_OID_CODE_SIGNING), {false, false, false, false, false, true}},
	};
	unsigned char *p = buf + BUF_BYTES;
	int len = 0;

	for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++) {
		if (purposes[i].in[eku]) {
			int n = put(&p, buf, 0x06, purposes[i].oid, purposes[i].len);
			if (n < 0) {
				return n;
			}
			len += n;
		}
	}
	return close_sequence(&p, buf, len);
}

/* ---- certificates ---- */

static int set_extensions(mbedtls_x509write_cert *cert, const struct bad_cert *plan, unsigned char *buf)
{
	unsigned usage = plan->ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
	int rc = mbedtls_x509write_crt_set_basic_constraints(cert, plan->ca, plan->pathlen - 1);
	int len;

	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_key_usage(cert, usage | (plan->cert_sign ? MBEDTLS_X509_KU_KEY_CERT_SIGN : 0));
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_subject_key_identifier(cert);
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_authority_key_identifier(cert);
	if (rc == 0 && !plan->ca && plan->eku != BAD_CERT_EKU_NONE) {
		len = eku_value(buf, plan->eku);
		rc = len < 0 ? len : mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_EXTENDED_KEY_USAGE, MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, buf + BUF_BYTES - len, (size_t)len);
	}
	len = rc == 0 ? san_value(buf, plan) : rc;
	if (len > 0) {
		rc = mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, buf + BUF_BYTES - len, (size_t)len);
	}
	return len < 0 ? len : rc;
}

static int set_serial(mbedtls_x509write_cert *cert)
{
	unsigned char serial[16];

	(void)rng(NULL, serial, sizeof(serial));
	serial[0] = (serial[0] & 0x3f) | 0x40;
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
	return mbedtls_x509write_crt_set_serial_raw(cert, serial, sizeof(serial));
#else
	mbedtls_mpi number;
	int rc;

	mbedtls_mpi_init(&number);
	rc = mbedtls_mpi_read_binary(&number, serial, sizeof(serial));
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_serial(cert, &number);
	mbedtls_mpi_free(&number);
	return rc;
#endif
}

static void stamp(int64_t ms, char out[16])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(out, 16, "%Y%m%d%H%M%S", &tm);
}

static int set_validity(mbedtls_x509write_cert *cert, const struct bad_cert *plan)
{
	char from[16], to[16];

	stamp(plan->not_before_ms, from);
	stamp(plan->not_after_ms, to);
	return mbedtls_x509write_crt_set_validity(cert, from, to);
}

/* The CA's subject as text, as mbedTLS prints and reads it. */
static int issuer_name(const struct bad_cert *plan, const char *subject, char *out, size_t cap)
{
	mbedtls_x509_crt ca;
	int rc;

	if (plan->ca_cert_pem == NULL) {
		return snprintf(out, cap, "%s", subject) < 0;
	}
	mbedtls_x509_crt_init(&ca);
	rc = mbedtls_x509_crt_parse(&ca, (const unsigned char *)plan->ca_cert_pem, strlen(plan->ca_cert_pem) + 1);
	rc = rc < 0 ? rc : mbedtls_x509_dn_gets(out, cap, &ca.subject);
	mbedtls_x509_crt_free(&ca);
	return rc < 0 ? rc : 0;
}

static int write_cert(const struct bad_cert *plan, mbedtls_pk_context *key, mbedtls_pk_context *ca_key, unsigned char *buf)
{
	char subject[512] = "", issuer[512];
	mbedtls_x509write_cert cert;
	int rc;

	if (plan->cn != NULL || plan->ca || plan->ca_cert_pem == NULL) {
		(void)snprintf(subject, sizeof(subject), "CN=%s", plan->cn != NULL ? plan->cn : "test CA");
	}
	mbedtls_x509write_crt_init(&cert);
	mbedtls_x509write_crt_set_version(&cert, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(&cert, plan->sha384 ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(&cert, key);
	mbedtls_x509write_crt_set_issuer_key(&cert, ca_key);
	rc = issuer_name(plan, subject, issuer, sizeof(issuer));
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_issuer_name(&cert, issuer);
	rc = rc != 0 || subject[0] == '\0' ? rc : mbedtls_x509write_crt_set_subject_name(&cert, subject);
	rc = rc != 0 ? rc : set_serial(&cert);
	rc = rc != 0 ? rc : set_validity(&cert, plan);
	rc = rc != 0 ? rc : set_extensions(&cert, plan, buf);
	rc = rc != 0 ? rc : mbedtls_x509write_crt_der(&cert, buf, BUF_BYTES, rng, NULL);
	mbedtls_x509write_crt_free(&cert);
	return rc;
}

static char *to_pem(const char *what, const unsigned char *der, size_t len)
{
	size_t cap = len * 2 + 256;
	char *pem = malloc(cap);
	char begin[64], end[64];

	(void)snprintf(begin, sizeof(begin), "-----BEGIN %s-----\n", what);
	(void)snprintf(end, sizeof(end), "-----END %s-----\n", what);
	if (pem != NULL && mbedtls_pem_write_buffer(begin, end, der, len, (unsigned char *)pem, cap, &cap) != 0) {
		free(pem);
		pem = NULL;
	}
	return pem;
}

/* The DNS name that a good leaf has beside its SPIFFE ID, where the plan says nothing of one. */
static void complete(struct bad_cert *plan, char dns[MESH__DNS_MAX])
{
	struct mesh__name name;

	if (plan->dns[0] == NULL && !plan->no_dns && !plan->ca && plan->uri[0] != NULL && mesh__spiffe_parse(plan->uri[0], strlen(plan->uri[0]), &name)) {
		mesh__dns_format(&name, dns);
		plan->dns[0] = dns;
	}
}

bool bad_cert_mint(const struct bad_cert *wanted, char **cert_pem, char **key_pem)
{
	struct bad_cert whole = *wanted;
	const struct bad_cert *plan = &whole;
	char dns[MESH__DNS_MAX];
	unsigned char *buf = malloc(BUF_BYTES);
	mbedtls_pk_context key, ca_key;
	int rc;

	*cert_pem = NULL;
	complete(&whole, dns);
	mbedtls_pk_init(&key);
	mbedtls_pk_init(&ca_key);
	rc = buf == NULL ? -1 : make_key(&key, plan);
	if (rc == 0 && plan->ca_key_pem != NULL) {
		rc = parse_key(&ca_key, plan->ca_key_pem);
	}
	rc = rc != 0 ? rc : write_cert(plan, &key, plan->ca_key_pem != NULL ? &ca_key : &key, buf);
	if (rc > 0) {
		*cert_pem = to_pem("CERTIFICATE", buf + BUF_BYTES - rc, (size_t)rc);
		if (key_pem != NULL) {
			memset(buf, 0, BUF_BYTES);
			*key_pem = mbedtls_pk_write_key_pem(&key, buf, BUF_BYTES) == 0 ? strdup((char *)buf) : NULL;
		}
	}
	mbedtls_pk_free(&ca_key);
	mbedtls_pk_free(&key);
	free(buf);
	return *cert_pem != NULL && (key_pem == NULL || *key_pem != NULL);
}

/* ---- requests ---- */

static int csr_extension(mbedtls_x509write_csr *csr, const char *oid, size_t oid_len, const unsigned char *value, size_t len)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_x509write_csr_set_extension(csr, oid, oid_len, 0, value, len);
#else
	return mbedtls_x509write_csr_set_extension(csr, oid, oid_len, value, len);
#endif
}

static int csr_wishes(mbedtls_x509write_csr *csr, const struct bad_cert *plan, unsigned char *buf)
{
	static const unsigned char ca_true[] = {0x30, 3, 0x01, 1, 0xff};
	int len = san_value(buf, plan);
	int rc = len < 0 ? len : 0;

	if (len > 0) {
		rc = csr_extension(csr, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), buf + BUF_BYTES - len, (size_t)len);
	}
	if (rc == 0 && plan->ca) {
		rc = csr_extension(csr, MBEDTLS_OID_BASIC_CONSTRAINTS, MBEDTLS_OID_SIZE(MBEDTLS_OID_BASIC_CONSTRAINTS), ca_true, sizeof(ca_true));
	}
	return rc != 0 || !plan->cert_sign ? rc : mbedtls_x509write_csr_set_key_usage(csr, MBEDTLS_X509_KU_KEY_CERT_SIGN);
}

bool bad_csr_mint(const struct bad_cert *plan, bool broken, char **csr_pem)
{
	unsigned char *buf = malloc(BUF_BYTES);
	mbedtls_x509write_csr csr;
	mbedtls_pk_context key;
	int rc;

	*csr_pem = NULL;
	mbedtls_pk_init(&key);
	mbedtls_x509write_csr_init(&csr);
	mbedtls_x509write_csr_set_md_alg(&csr, plan->sha384 ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA256);
	rc = buf == NULL ? -1 : make_key(&key, plan);
	mbedtls_x509write_csr_set_key(&csr, &key);
	rc = rc != 0 ? rc : mbedtls_x509write_csr_set_subject_name(&csr, "CN=test");
	rc = rc != 0 ? rc : csr_wishes(&csr, plan, buf);
	rc = rc != 0 ? rc : mbedtls_x509write_csr_der(&csr, buf, BUF_BYTES, rng, NULL);
	if (rc > 0) {
		if (broken) {
			buf[BUF_BYTES - 1] ^= 1; /* the last byte of the signature */
		}
		*csr_pem = to_pem("CERTIFICATE REQUEST", buf + BUF_BYTES - rc, (size_t)rc);
	}
	mbedtls_x509write_csr_free(&csr);
	mbedtls_pk_free(&key);
	free(buf);
	return *csr_pem != NULL;
}

/* ---- looking ---- */

/* The DER of a PEM text, whatever it is of, into buf[BUF_BYTES]. Its length, 0 for none. */
static size_t to_der(const char *pem, unsigned char *buf)
{
	const char *text = strchr(pem, '\n'), *end = text == NULL ? NULL : strstr(text, "-----END");
	size_t len = 0;

	return end == NULL || mbedtls_base64_decode(buf, BUF_BYTES, &len, (const unsigned char *)text + 1, (size_t)(end - text - 1)) != 0 ? 0 : len;
}

size_t bare_algorithms(const char *pem)
{
	static const unsigned char bare[] = {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
	unsigned char *der = malloc(BUF_BYTES);
	size_t len = der == NULL ? 0 : to_der(pem, der);
	size_t n = 0;

	for (size_t i = 2; i + sizeof(bare) - 2 <= len; i++) {
		if (memcmp(der + i, bare + 2, sizeof(bare) - 2) != 0) {
			continue;
		}
		if (memcmp(der + i - 2, bare, 2) != 0) {
			n = 0;
			break;
		}
		n++;
	}
	free(der);
	return n;
}
