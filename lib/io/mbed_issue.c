#include "io/mbed_common.h" /* first: see there */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>

#include "base/mem.h"
#include "io/mbed_csr.h"
#include "io/mbed_san.h"

enum { CERT_DER_BYTES = 4096, SERIAL_BYTES = 16, STAMP_BYTES = 16 };

/* Who signs: certificate and key. A root signs itself and has no certificate yet. */
struct issuer {
	mbedtls_x509_crt cert;
	mbedtls_pk_context key;
};

static void issuer_init(struct issuer *issuer)
{
	mbedtls_x509_crt_init(&issuer->cert);
	mbedtls_pk_init(&issuer->key);
}

static void issuer_fini(struct issuer *issuer)
{
	mbedtls_x509_crt_free(&issuer->cert);
	mbedtls_pk_free(&issuer->key);
}

static int issuer_load(const struct mesh__env *env, struct issuer *issuer, const char *cert_pem, const char *key_pem, struct mesh__err *err)
{
	int code = mesh__mbed_certs_parse(&issuer->cert, cert_pem, 1, err);

	if (code == MESH_OK) {
		code = mesh__mbed_key_parse(env, &issuer->key, key_pem, err);
	}
	if (code != MESH_OK) {
		return code;
	}
	if (!issuer->cert.ca_istrue || (issuer->cert.key_usage & MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0) {
		return mesh__fail(err, MESH_E_INVALID, "the issuer's certificate is not one of a CA that may sign certificates");
	}
	if (!mesh__mbed_same_key(&issuer->cert.pk, &issuer->key)) {
		return mesh__fail(err, MESH_E_INVALID, "the issuer's private key does not belong to its certificate");
	}
	return MESH_OK;
}

/* A key that signs and is signed for at once would let its holder pass for the CA. */
static int load_subject(const struct mesh__env *env, mbedtls_x509_csr *csr, const char *csr_pem, const struct issuer *issuer, struct mesh__err *err)
{
	struct mesh__csr asked;
	int code;

	if (csr_pem == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is missing");
	}
	code = mesh__mbed_csr_read(env, csr, csr_pem, strnlen(csr_pem, MESH__CSR_MAX_BYTES + 1), &asked, err);
	if (code == MESH_OK && mesh__mbed_same_key(&csr->pk, &issuer->key)) {
		code = mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: its key is the CA's own");
	}
	return code;
}

/* ---- the parts of a certificate ---- */

/* The issuer's name as it stands in its certificate, string types included: some verifiers compare names byte by byte. */
static int set_issuer(mbedtls_x509write_cert *cert, const mbedtls_x509_name *subject, struct mesh__err *err)
{
	size_t n_from = 0, n_to = 0;

	for (; subject != NULL && subject->oid.p != NULL; subject = subject->next) {
		mbedtls_asn1_named_data *entry =
			mbedtls_asn1_store_named_data(&cert->issuer, (const char *)subject->oid.p, subject->oid.len, subject->val.p, subject->val.len);
		if (entry == NULL) {
			return mesh__fail_memory(err);
		}
		entry->val.tag = subject->val.tag;
		n_from++;
	}
	for (const mbedtls_asn1_named_data *entry = cert->issuer; entry != NULL; entry = entry->next) {
		n_to++;
	}
	if (n_from == 0 || n_from != n_to) {
		return mesh__fail(err, MESH_E_INVALID, "the issuer's certificate must have a subject in which no attribute comes twice");
	}
	return MESH_OK;
}

/* Random, 128 bits, the first byte between 0x40 and 0x7f: positive, and its DER, its hexadecimal text and openssl's are of one length. */
static int set_serial(const struct mesh__env *env, mbedtls_x509write_cert *cert, char *text)
{
	unsigned char serial[SERIAL_BYTES];
	int rc;

	mesh__random(env, serial, sizeof(serial));
	serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40);
	(void)mesh__mbed_serial(serial, sizeof(serial), text);
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
	rc = mbedtls_x509write_crt_set_serial_raw(cert, serial, sizeof(serial));
#else
	mbedtls_mpi number;

	mbedtls_mpi_init(&number);
	rc = mbedtls_mpi_read_binary(&number, serial, sizeof(serial));
	if (rc == 0) {
		rc = mbedtls_x509write_crt_set_serial(cert, &number);
	}
	mbedtls_mpi_free(&number);
#endif
	return rc;
}

static bool stamp(int64_t ms, char out[STAMP_BYTES])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	return ms >= 0 && gmtime_r(&seconds, &tm) != NULL && tm.tm_year + 1900 <= 9999 && strftime(out, STAMP_BYTES, "%Y%m%d%H%M%S", &tm) == STAMP_BYTES - 2;
}

static int set_validity(mbedtls_x509write_cert *cert, int64_t not_before_ms, int64_t not_after_ms, struct mesh__err *err)
{
	char from[STAMP_BYTES], to[STAMP_BYTES];
	int rc;

	if (not_before_ms / 1000 >= not_after_ms / 1000) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate would end (%lld) before it begins (%lld, seconds since 1970); has the issuer's expired?",
			(long long)(not_after_ms / 1000), (long long)(not_before_ms / 1000));
	}
	if (!stamp(not_before_ms, from) || !stamp(not_after_ms, to)) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate's times are outside of the years 1970 to 9999");
	}
	rc = mbedtls_x509write_crt_set_validity(cert, from, to);
	return rc == 0 ? MESH_OK : mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "the certificate's times cannot be set");
}

static int set_san(mbedtls_x509write_cert *cert, const char *uri, const char *dns, bool critical)
{
	unsigned char san[MESH__SAN_VALUE_MAX];
	int len = mesh__san_write(san, uri, dns);

	return len < 0 ? len
		: mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), critical,
			san + sizeof(san) - (size_t)len, (size_t)len);
}

/* serverAuth, clientAuth. 2.28 has no writer for it. */
static int set_purposes(mbedtls_x509write_cert *cert)
{
	unsigned char value[64];
	unsigned char *p = value + sizeof(value);
	size_t len = 0;
	int ret;

	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_oid(&p, value, MBEDTLS_OID_CLIENT_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_oid(&p, value, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_len(&p, value, len));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_tag(&p, value, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE));
	return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_EXTENDED_KEY_USAGE, MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, p, len);
}

/* ---- putting one together ---- */

/* What tells a root, an intermediate and a leaf apart. */
struct plan {
	const char *subject; /* NULL: empty */
	const char *uri, *dns;
	bool ca;
	int pathlen;         /* of a CA; -1: unlimited */
	int64_t not_before_ms, not_after_ms;
};

/* The library's own writer marks it critical for CAs alone. An empty SEQUENCE says CA:FALSE, its default (X.690 section 11.5). */
static int set_no_ca(mbedtls_x509write_cert *cert)
{
	static const unsigned char value[] = {MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE, 0};

	return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_BASIC_CONSTRAINTS, MBEDTLS_OID_SIZE(MBEDTLS_OID_BASIC_CONSTRAINTS), 1, value, sizeof(value));
}

static int set_extensions(mbedtls_x509write_cert *cert, const struct plan *plan)
{
	unsigned usage = plan->ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
	int rc = plan->ca ? mbedtls_x509write_crt_set_basic_constraints(cert, 1, plan->pathlen) : set_no_ca(cert);

	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_key_usage(cert, usage);
	rc = rc != 0 || plan->ca ? rc : set_purposes(cert);
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_subject_key_identifier(cert);
	rc = rc != 0 ? rc : mbedtls_x509write_crt_set_authority_key_identifier(cert);
	/* RFC 5280 section 4.2.1.6: critical where the subject is empty. */
	return rc != 0 ? rc : set_san(cert, plan->uri, plan->dns, plan->subject == NULL);
}

static int issue(const struct mesh__env *env, const struct plan *plan, struct issuer *issuer, mbedtls_pk_context *subject_key, char **cert_pem, char *serial, struct mesh__err *err)
{
	unsigned char der[CERT_DER_BYTES];
	mbedtls_x509write_cert cert;
	int code = MESH_OK;
	int rc;

	mbedtls_x509write_crt_init(&cert);
	mbedtls_x509write_crt_set_version(&cert, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(&cert, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(&cert, subject_key);
	mbedtls_x509write_crt_set_issuer_key(&cert, &issuer->key);
	rc = plan->subject == NULL ? 0 : mbedtls_x509write_crt_set_subject_name(&cert, plan->subject);
	if (rc == 0 && issuer->cert.raw.p == NULL) {
		rc = mbedtls_x509write_crt_set_issuer_name(&cert, plan->subject);
	} else if (rc == 0) {
		code = set_issuer(&cert, &issuer->cert.subject, err);
	}
	code = code != MESH_OK ? code : set_validity(&cert, plan->not_before_ms, plan->not_after_ms, err);
	if (code != MESH_OK) {
		goto out;
	}
	rc = rc != 0 ? rc : set_serial(env, &cert, serial);
	rc = rc != 0 ? rc : set_extensions(&cert, plan);
	rc = rc != 0 ? rc : mbedtls_x509write_crt_der(&cert, der, sizeof(der), mesh__mbed_random, (void *)(uintptr_t)env);
	if (rc < 0) {
		code = mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "the certificate cannot be written");
		goto out;
	}
	code = mesh__mbed_pem(&env->mem, der + sizeof(der) - (size_t)rc, (size_t)rc, cert_pem, err);
out:
	mbedtls_x509write_crt_free(&cert);
	return code;
}

/* ---- the three kinds ---- */

struct ca_texts {
	char subject[MESH__TRUST_DOMAIN_MAX + 32];
	char uri[MESH__SPIFFE_MAX];
};

/* A CA is known by its trust domain: CN "<trust domain> <role>", URI spiffe://<trust domain>. */
static int name_ca(struct ca_texts *texts, const char *trust_domain, const char *role, struct mesh__err *err)
{
	if (trust_domain == NULL || !mesh__trust_domain_valid(trust_domain, strlen(trust_domain))) {
		return mesh__fail(err, MESH_E_INVALID, "trust domain \"%.120s\" is no valid name", trust_domain == NULL ? "" : trust_domain);
	}
	(void)snprintf(texts->subject, sizeof(texts->subject), "CN=%s %s", trust_domain, role);
	(void)snprintf(texts->uri, sizeof(texts->uri), "spiffe://%s", trust_domain);
	return MESH_OK;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

int mesh__pki_root(const struct mesh__env *env, const char *trust_domain, const char *key_pem, const struct mesh__validity *validity, char **cert_pem, struct mesh__err *err)
{
	char serial[MESH__SERIAL_MAX];
	struct ca_texts texts;
	struct issuer self;
	int code;

	issuer_init(&self);
	code = name_ca(&texts, trust_domain, "root", err);
	if (code == MESH_OK) {
		code = mesh__mbed_key_parse(env, &self.key, key_pem, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {texts.subject, texts.uri, NULL, true, -1, validity->not_before_ms, validity->not_after_ms};
		code = issue(env, &plan, &self, &self.key, cert_pem, serial, err);
	}
	issuer_fini(&self);
	return code;
}

int mesh__pki_intermediate(const struct mesh__env *env, const char *trust_domain, const char *csr_pem, const char *root_pem, const char *root_key_pem, const struct mesh__validity *validity, char **cert_pem, struct mesh__err *err)
{
	char serial[MESH__SERIAL_MAX];
	struct ca_texts texts;
	struct issuer root;
	mbedtls_x509_csr csr;
	int code;

	issuer_init(&root);
	mbedtls_x509_csr_init(&csr);
	code = name_ca(&texts, trust_domain, "intermediate", err);
	if (code == MESH_OK) {
		code = issuer_load(env, &root, root_pem, root_key_pem, err);
	}
	if (code == MESH_OK) {
		code = load_subject(env, &csr, csr_pem, &root, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {texts.subject, texts.uri, NULL, true, 0, validity->not_before_ms, earlier(validity->not_after_ms, mesh__mbed_time_ms(&root.cert.valid_to))};
		code = issue(env, &plan, &root, &csr.pk, cert_pem, serial, err);
	}
	mbedtls_x509_csr_free(&csr);
	issuer_fini(&root);
	return code;
}

int mesh__pki_leaf(const struct mesh__env *env, const struct mesh__name *name, const char *csr_pem, const char *issuer_pem, const char *issuer_key_pem, const struct mesh__validity *validity, char **cert_pem, char *serial, struct mesh__err *err)
{
	char uri[MESH__SPIFFE_MAX], dns[MESH__DNS_MAX];
	struct mesh__name checked;
	struct issuer issuer;
	mbedtls_x509_csr csr;
	int code;

	issuer_init(&issuer);
	mbedtls_x509_csr_init(&csr);
	mesh__spiffe_format(name, uri);
	mesh__dns_format(name, dns);
	if (!mesh__spiffe_parse(uri, strlen(uri), &checked)) {
		code = mesh__fail(err, MESH_E_INVALID, "\"%.250s\" is no valid SPIFFE ID", uri);
		goto out;
	}
	code = issuer_load(env, &issuer, issuer_pem, issuer_key_pem, err);
	if (code == MESH_OK) {
		code = load_subject(env, &csr, csr_pem, &issuer, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {NULL, uri, dns, false, -1, validity->not_before_ms, earlier(validity->not_after_ms, mesh__mbed_time_ms(&issuer.cert.valid_to))};
		code = issue(env, &plan, &issuer, &csr.pk, cert_pem, serial, err);
	}
out:
	mbedtls_x509_csr_free(&csr);
	issuer_fini(&issuer);
	return code;
}
