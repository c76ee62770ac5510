#include "io/mbed_common.h" /* first: see there */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <mbedtls/md.h>

#include "io/mbed_der.h"
#include "io/mbed_san.h"

enum { CERT_DER_BYTES = 4096, SERIAL_BYTES = 16, STAMP_BYTES = 16, POINT_BYTES = 128, KEY_ID_BYTES = 20 };

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
static int load_subject(mbedtls_pk_context *key, const struct mesh__csr *csr, const struct issuer *issuer, struct mesh__err *err)
{
	unsigned char der[MESH__PUBLIC_KEY_BYTES], *p = der;
	int rc;

	memcpy(der, csr->key, sizeof(der)); /* mbedTLS takes no const */
	rc = mbedtls_pk_parse_subpubkey(&p, der + sizeof(der), key);
	if (rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INVALID, rc, "the key of the certificate request cannot be read");
	}
	if (mesh__mbed_same_key(key, &issuer->key)) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: its key is the CA's own");
	}
	return MESH_OK;
}

/* ---- the parts of a certificate, each written backwards ---- */

/* What tells a root, an intermediate and a leaf apart. */
struct plan {
	const char *subject; /* its common name; NULL: empty */
	const char *uri, *dns;
	bool ca;
	int pathlen;         /* of a CA; -1: unlimited */
	int64_t not_before_ms, not_after_ms;
};

/* Random, 128 bits, the first byte between 0x40 and 0x7f: positive, and its DER, its hexadecimal text and openssl's are of one length. */
static void write_serial(struct mesh__der *d, const struct mesh__env *env, char *text)
{
	unsigned char serial[SERIAL_BYTES];

	mesh__random(env, serial, sizeof(serial));
	serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40);
	(void)mesh__mbed_serial(serial, sizeof(serial), text);
	mesh__der_put(d, MBEDTLS_ASN1_INTEGER, serial, sizeof(serial));
}

static bool stamp(int64_t ms, char out[STAMP_BYTES])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	return ms >= 0 && gmtime_r(&seconds, &tm) != NULL && tm.tm_year + 1900 <= 9999 && strftime(out, STAMP_BYTES, "%Y%m%d%H%M%SZ", &tm) == STAMP_BYTES - 1;
}

/* RFC 5280 section 4.1.2.5: two digits of the year until 2049, four from then on. */
static void write_time(struct mesh__der *d, const char *text)
{
	if (strncmp(text, "2050", 4) < 0) {
		mesh__der_put(d, MBEDTLS_ASN1_UTC_TIME, text + 2, strlen(text + 2));
	} else {
		mesh__der_put(d, MBEDTLS_ASN1_GENERALIZED_TIME, text, strlen(text));
	}
}

static int write_validity(struct mesh__der *d, const struct plan *plan, struct mesh__err *err)
{
	const unsigned char *mark = d->p;
	char from[STAMP_BYTES], to[STAMP_BYTES];

	if (plan->not_before_ms / 1000 >= plan->not_after_ms / 1000) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate would end (%lld) before it begins (%lld, seconds since 1970); has the issuer's expired?",
			(long long)(plan->not_after_ms / 1000), (long long)(plan->not_before_ms / 1000));
	}
	if (!stamp(plan->not_before_ms, from) || !stamp(plan->not_after_ms, to)) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate's times are outside of the years 1970 to 9999");
	}
	write_time(d, to);
	write_time(d, from);
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	return MESH_OK;
}

/* The issuer's name as it stands in its certificate, string types included: some verifiers compare names byte by byte. */
static int write_issuer(struct mesh__der *d, const struct plan *plan, const struct issuer *issuer, struct mesh__err *err)
{
	static const unsigned char empty[] = {MESH__DER_SEQUENCE, 0};
	const mbedtls_x509_buf *name = &issuer->cert.subject_raw;

	if (issuer->cert.raw.p == NULL) {
		mesh__der_name(d, plan->subject);
		return MESH_OK;
	}
	if (name->len == sizeof(empty) && memcmp(name->p, empty, sizeof(empty)) == 0) {
		return mesh__fail(err, MESH_E_INVALID, "the issuer's certificate has an empty subject, and nobody could be named as issuer");
	}
	mesh__der_raw(d, name->p, name->len);
	return MESH_OK;
}

/* ---- extensions ---- */

static void write_constraints(struct mesh__der *d, const struct plan *plan)
{
	static const unsigned char yes = 0xff;
	const unsigned char *mark = d->p;

	/* What is not said has its default: no CA, any length (X.690 section 11.5). */
	if (plan->ca) {
		unsigned char pathlen = (unsigned char)plan->pathlen;
		if (plan->pathlen >= 0) {
			mesh__der_put(d, MBEDTLS_ASN1_INTEGER, &pathlen, 1);
		}
		mesh__der_put(d, MBEDTLS_ASN1_BOOLEAN, &yes, 1);
	}
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	mesh__der_extension(d, mark, MESH__OID(BASIC_CONSTRAINTS), true);
}

static void write_usage(struct mesh__der *d, bool ca)
{
	/* Each with the number of unused bits before it. */
	static const unsigned char signs_certs[] = {1, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN}, signs[] = {7, MBEDTLS_X509_KU_DIGITAL_SIGNATURE};
	const unsigned char *mark = d->p;

	mesh__der_put(d, MBEDTLS_ASN1_BIT_STRING, ca ? signs_certs : signs, sizeof(signs));
	mesh__der_extension(d, mark, MESH__OID(KEY_USAGE), true);
}

static void write_purposes(struct mesh__der *d)
{
	const unsigned char *mark = d->p;

	mesh__der_put(d, MBEDTLS_ASN1_OID, MESH__OID(CLIENT_AUTH));
	mesh__der_put(d, MBEDTLS_ASN1_OID, MESH__OID(SERVER_AUTH));
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	mesh__der_extension(d, mark, MESH__OID(EXTENDED_KEY_USAGE), false);
}

/* The SHA-1 of the point: RFC 5280 section 4.2.1.2, method 1. It finds certificates and proves nothing. */
static void put_key_id(struct mesh__der *d, int tag, const mbedtls_pk_context *key)
{
	unsigned char point[POINT_BYTES], id[KEY_ID_BYTES];
	unsigned char *p = point + sizeof(point);
	int len = mbedtls_pk_write_pubkey(&p, point, key);

	if (len < 0) {
		mesh__der_fail(d, len);
		return;
	}
	mesh__der_fail(d, mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), p, (size_t)len, id));
	mesh__der_put(d, tag, id, sizeof(id));
}

static void write_key_ids(struct mesh__der *d, const mbedtls_pk_context *issuer_key, const mbedtls_pk_context *subject_key)
{
	const unsigned char *mark = d->p;

	put_key_id(d, MBEDTLS_ASN1_CONTEXT_SPECIFIC, issuer_key);
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	mesh__der_extension(d, mark, MESH__OID(AUTHORITY_KEY_IDENTIFIER), false);
	mark = d->p;
	put_key_id(d, MBEDTLS_ASN1_OCTET_STRING, subject_key);
	mesh__der_extension(d, mark, MESH__OID(SUBJECT_KEY_IDENTIFIER), false);
}

static void write_extensions(struct mesh__der *d, const struct plan *plan, const mbedtls_pk_context *issuer_key, const mbedtls_pk_context *subject_key)
{
	const unsigned char *mark = d->p;

	mesh__san_write(d, plan->uri, plan->dns);
	/* RFC 5280 section 4.2.1.6: critical where the subject is empty. */
	mesh__der_extension(d, mark, MESH__OID(SUBJECT_ALT_NAME), plan->subject == NULL);
	write_key_ids(d, issuer_key, subject_key);
	if (!plan->ca) {
		write_purposes(d);
	}
	write_usage(d, plan->ca);
	write_constraints(d, plan);
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	mesh__der_wrap(d, mark, MESH__DER_CONTEXT + 3);
}

/* ---- putting one together ---- */

/* TBSCertificate (RFC 5280 section 4.1). */
static int write_body(struct mesh__der *d, const struct mesh__env *env, const struct plan *plan, const struct issuer *issuer, const mbedtls_pk_context *subject_key, char *serial, struct mesh__err *err)
{
	static const unsigned char v3 = MBEDTLS_X509_CRT_VERSION_3;
	const unsigned char *mark;
	int code;

	write_extensions(d, plan, &issuer->key, subject_key);
	mesh__der_key(d, subject_key);
	mesh__der_name(d, plan->subject);
	code = write_validity(d, plan, err);
	if (code == MESH_OK) {
		code = write_issuer(d, plan, issuer, err);
	}
	mesh__der_algorithm(d);
	write_serial(d, env, serial);
	mark = d->p;
	mesh__der_put(d, MBEDTLS_ASN1_INTEGER, &v3, 1);
	mesh__der_wrap(d, mark, MESH__DER_CONTEXT + 0);
	mesh__der_wrap(d, d->end, MESH__DER_SEQUENCE);
	return code;
}

static int issue(const struct mesh__env *env, const struct plan *plan, struct issuer *issuer, const mbedtls_pk_context *subject_key, char **cert_pem, char *serial, struct mesh__err *err)
{
	unsigned char body_bytes[CERT_DER_BYTES], bytes[CERT_DER_BYTES];
	struct mesh__der body = mesh__der(body_bytes, sizeof(body_bytes)), cert = mesh__der(bytes, sizeof(bytes));
	int code = write_body(&body, env, plan, issuer, subject_key, serial, err);

	if (code != MESH_OK) {
		return code;
	}
	mesh__der_signed(&cert, &body, env, &issuer->key);
	if (cert.rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INTERNAL, cert.rc, "the certificate cannot be written");
	}
	return mesh__mbed_pem(&env->mem, "CERTIFICATE", cert.p, (size_t)(cert.end - cert.p), cert_pem, err);
}

/* ---- the three kinds ---- */

struct ca_texts {
	char subject[MESH__TRUST_DOMAIN_MAX + 16];
	char uri[MESH__SPIFFE_MAX];
};

/* A CA is known by its trust domain: CN "<trust domain> <role>", URI spiffe://<trust domain>. */
static int name_ca(struct ca_texts *texts, const char *trust_domain, const char *role, struct mesh__err *err)
{
	if (trust_domain == NULL || !mesh__trust_domain_valid(trust_domain, strlen(trust_domain))) {
		return mesh__fail(err, MESH_E_INVALID, "trust domain \"%.120s\" is no valid name", trust_domain == NULL ? "" : trust_domain);
	}
	(void)snprintf(texts->subject, sizeof(texts->subject), "%s %s", trust_domain, role);
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
		code = mesh__mbed_key_check(env, &self.key, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {texts.subject, texts.uri, NULL, true, -1, validity->not_before_ms, validity->not_after_ms};
		code = issue(env, &plan, &self, &self.key, cert_pem, serial, err);
	}
	issuer_fini(&self);
	return code;
}

int mesh__pki_intermediate(const struct mesh__env *env, const char *trust_domain, const struct mesh__csr *csr, const char *root_pem, const char *root_key_pem, const struct mesh__validity *validity, char **cert_pem, struct mesh__err *err)
{
	char serial[MESH__SERIAL_MAX];
	struct ca_texts texts;
	struct issuer root;
	mbedtls_pk_context key;
	int code;

	issuer_init(&root);
	mbedtls_pk_init(&key);
	code = name_ca(&texts, trust_domain, "intermediate", err);
	if (code == MESH_OK) {
		code = issuer_load(env, &root, root_pem, root_key_pem, err);
	}
	if (code == MESH_OK) {
		code = load_subject(&key, csr, &root, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {texts.subject, texts.uri, NULL, true, 0, validity->not_before_ms, earlier(validity->not_after_ms, mesh__mbed_time_ms(&root.cert.valid_to))};
		code = issue(env, &plan, &root, &key, cert_pem, serial, err);
	}
	mbedtls_pk_free(&key);
	issuer_fini(&root);
	return code;
}

int mesh__pki_leaf(const struct mesh__env *env, const struct mesh__name *name, const struct mesh__csr *csr, const char *issuer_pem, const char *issuer_key_pem, const struct mesh__validity *validity, char **cert_pem, char *serial, struct mesh__err *err)
{
	char uri[MESH__SPIFFE_MAX], dns[MESH__DNS_MAX];
	struct mesh__name checked;
	struct issuer issuer;
	mbedtls_pk_context key;
	int code;

	issuer_init(&issuer);
	mbedtls_pk_init(&key);
	mesh__spiffe_format(name, uri);
	mesh__dns_format(name, dns);
	if (!mesh__spiffe_parse(uri, strlen(uri), &checked)) {
		code = mesh__fail(err, MESH_E_INVALID, "\"%.250s\" is no valid SPIFFE ID", uri);
		goto out;
	}
	code = issuer_load(env, &issuer, issuer_pem, issuer_key_pem, err);
	if (code == MESH_OK) {
		code = load_subject(&key, csr, &issuer, err);
	}
	if (code == MESH_OK) {
		struct plan plan = {NULL, uri, dns, false, -1, validity->not_before_ms, earlier(validity->not_after_ms, mesh__mbed_time_ms(&issuer.cert.valid_to))};
		code = issue(env, &plan, &issuer, &key, cert_pem, serial, err);
	}
out:
	mbedtls_pk_free(&key);
	issuer_fini(&issuer);
	return code;
}
