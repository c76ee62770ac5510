#include "io/mbed_common.h" /* first: see there */

#include <stdio.h>
#include <string.h>

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include "base/mem.h"
#include "io/mbed_san.h"

enum { SANS_MAX = 16, SELF_CHECK_BITS_MAX = 4096 };

/* ---- a peer's leaf ---- */

/* A refusal on its way out: the counter's word and the message. */
struct refusal {
	const char *word;
	struct mesh__err *err;
};

static int refuse(struct refusal *r, const char *word, const char *text)
{
	r->word = word;
	return mesh__fail_at(r->err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer's certificate is refused: %s", text);
}

/* One certificate, as DER that fills `bytes` or as the first of a PEM text. */
static int parse_one(mbedtls_x509_crt *cert, const void *bytes, size_t len)
{
	char *text;
	int code;

	if (bytes == NULL || len == 0 || len > MESH__PEM_MAX_BYTES) {
		return MESH_E_INVALID;
	}
	if (*(const unsigned char *)bytes == (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)) {
		return mbedtls_x509_crt_parse_der(cert, bytes, len) == 0 && cert->raw.len == len ? MESH_OK : MESH_E_INVALID;
	}
	text = mesh__strndup(mesh__mem_libc(), bytes, len);
	if (text == NULL) {
		return MESH_E_NO_MEMORY;
	}
	code = mesh__mbed_certs_parse(cert, text, 1, NULL);
	mesh__free(text);
	return code;
}

static int check_key(const mbedtls_x509_crt *cert, struct refusal *r)
{
	return mesh__mbed_cert_modern(cert) ? MESH_OK : refuse(r, "key", "its key must be EC P-256 and its signature ECDSA with SHA-256");
}

static int check_no_ca(const mbedtls_x509_crt *cert, struct refusal *r)
{
	if (cert->ca_istrue) {
		return refuse(r, "ca", "it is a CA's, and a CA is no peer");
	}
	if ((cert->key_usage & (MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN)) != 0) {
		return refuse(r, "ca", "its key usage allows to sign certificates or revocation lists");
	}
	return MESH_OK;
}

/* mbedTLS takes an absent extension, and "any purpose", for every purpose; here each must be named. */
static bool has_purpose(const mbedtls_x509_crt *cert, const char *oid, size_t oid_len)
{
	for (const mbedtls_x509_sequence *use = &cert->ext_key_usage; use != NULL && use->buf.p != NULL; use = use->next) {
		if (use->buf.len == oid_len && memcmp(use->buf.p, oid, oid_len) == 0) {
			return true;
		}
	}
	return false;
}

static int check_purposes(const mbedtls_x509_crt *cert, struct refusal *r)
{
	if (!has_purpose(cert, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH))
		|| !has_purpose(cert, MBEDTLS_OID_CLIENT_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH))) {
		return refuse(r, "eku", "its extended key usage must name both serverAuth and clientAuth");
	}
	return MESH_OK;
}

/* Exactly one, and it says what the SPIFFE ID says: with none, a client would go by the common name; with two, by either. */
static int check_dns(const mbedtls_x509_crt *cert, const struct mesh__name *name, struct refusal *r)
{
	const mbedtls_x509_buf *dns;
	char expected[MESH__DNS_MAX];

	if (mesh__san_find(cert, MESH__SAN_DNS, &dns) != 1) {
		return refuse(r, "name", dns == NULL ? "it has no DNS name" : "it has more than one DNS name");
	}
	mesh__dns_format(name, expected);
	if (dns->len != strlen(expected) || memcmp(dns->p, expected, dns->len) != 0) {
		return refuse(r, "name", "its DNS name is not that of its SPIFFE ID");
	}
	return MESH_OK;
}

static int check_names(const mbedtls_x509_crt *cert, struct mesh__leaf *out, struct refusal *r)
{
	const mbedtls_x509_buf *uri;

	if (mesh__san_find(cert, 0, NULL) > SANS_MAX) {
		return refuse(r, "uri-san", "it has more than 16 alternative names");
	}
	if (!mesh__san_der(cert)) {
		return refuse(r, "uri-san", "an alternative name is not in DER");
	}
	if (mesh__san_find(cert, MESH__SAN_URI, &uri) != 1) {
		return refuse(r, "uri-san", uri == NULL ? "it has no URI name" : "it has more than one URI name");
	}
	if (!mesh__spiffe_parse((const char *)uri->p, uri->len, &out->name)) {
		return refuse(r, "uri-san", "its URI name is no SPIFFE ID of the form spiffe://<trust-domain>/ns/<namespace>/svc/<service>");
	}
	mesh__spiffe_format(&out->name, out->spiffe);
	return check_dns(cert, &out->name, r);
}

int mesh__pki_leaf_judge(const void *bytes, size_t len, struct mesh__leaf *out, const char **reason, struct mesh__err *err)
{
	struct refusal r = {"", err};
	mbedtls_x509_crt cert;
	int code;

	memset(out, 0, sizeof(*out));
	mbedtls_x509_crt_init(&cert);
	code = parse_one(&cert, bytes, len);
	if (code == MESH_E_NO_MEMORY) {
		code = mesh__fail_memory(err);
	} else if (code != MESH_OK || !mesh__mbed_serial(cert.serial.p, cert.serial.len, out->serial)) {
		code = refuse(&r, "malformed", "it cannot be parsed");
	}
	code = code != MESH_OK ? code : check_key(&cert, &r);
	code = code != MESH_OK ? code : check_no_ca(&cert, &r);
	code = code != MESH_OK ? code : check_purposes(&cert, &r);
	code = code != MESH_OK ? code : check_names(&cert, out, &r);
	if (code == MESH_OK) {
		out->not_before_ms = mesh__mbed_time_ms(&cert.valid_from);
		out->not_after_ms = mesh__mbed_time_ms(&cert.valid_to);
	}
	mbedtls_x509_crt_free(&cert);
	if (reason != NULL) {
		*reason = r.word;
	}
	return code;
}

int mesh__pki_leaf_read(const void *cert, size_t len, struct mesh__leaf *out, struct mesh__err *err)
{
	return mesh__pki_leaf_judge(cert, len, out, NULL, err);
}

int mesh__pki_ca_judge(const void *bytes, size_t len, const char *trust_domain, struct mesh__err *err)
{
	mbedtls_x509_crt cert;
	int code;

	mbedtls_x509_crt_init(&cert);
	code = parse_one(&cert, bytes, len);
	if (code == MESH_E_NO_MEMORY) {
		code = mesh__fail_memory(err);
	} else if (code != MESH_OK) {
		code = mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "a CA in the peer's chain cannot be parsed");
	} else if (mesh__san_foreign_ca(&cert, trust_domain)) {
		code = mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "a CA in the peer's chain is of another trust domain than %s", trust_domain);
	}
	mbedtls_x509_crt_free(&cert);
	return code;
}

/* ---- facts of any certificate ---- */

/* A name as text: what does not fit, or holds what is not printable ASCII, is left out whole rather than shown changed. */
static void copy_name(const mbedtls_x509_buf *name, char *out, size_t cap)
{
	if (name == NULL || name->len >= cap) {
		return;
	}
	for (size_t i = 0; i < name->len; i++) {
		if (name->p[i] <= ' ' || name->p[i] > '~') {
			return;
		}
	}
	memcpy(out, name->p, name->len);
	out[name->len] = '\0';
}

static bool is_self_signed(mbedtls_x509_crt *cert)
{
	unsigned char hash[MBEDTLS_MD_MAX_SIZE];
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(cert->sig_md);

	/* A giant key would make the arithmetic an attack. */
	if (cert->issuer_raw.len != cert->subject_raw.len || memcmp(cert->issuer_raw.p, cert->subject_raw.p, cert->subject_raw.len) != 0 || md == NULL
		|| mbedtls_pk_get_bitlen(&cert->pk) > SELF_CHECK_BITS_MAX || !mbedtls_pk_can_do(&cert->pk, cert->sig_pk)) {
		return false;
	}
	return mbedtls_md(md, cert->tbs.p, cert->tbs.len, hash) == 0
		&& mbedtls_pk_verify_ext(cert->sig_pk, cert->sig_opts, &cert->pk, cert->sig_md, hash, mbedtls_md_get_size(md), cert->sig.p, cert->sig.len) == 0;
}

static void read_facts(mbedtls_x509_crt *cert, struct mesh__cert *out)
{
	const mbedtls_x509_buf *name;

	out->ca = cert->ca_istrue != 0;
	out->pathlen = cert->max_pathlen - 1; /* mbedTLS keeps one more, and 0 for none */
	if (mbedtls_x509_dn_gets(out->subject, sizeof(out->subject), &cert->subject) < 0) {
		(void)snprintf(out->subject, sizeof(out->subject), "(too long)");
	}
	if (mbedtls_x509_dn_gets(out->issuer, sizeof(out->issuer), &cert->issuer) < 0) {
		(void)snprintf(out->issuer, sizeof(out->issuer), "(too long)");
	}
	(void)mesh__mbed_serial(cert->serial.p, cert->serial.len, out->serial);
	(void)mesh__san_find(cert, MESH__SAN_URI, &name);
	copy_name(name, out->uri, sizeof(out->uri));
	(void)mesh__san_find(cert, MESH__SAN_DNS, &name);
	copy_name(name, out->dns, sizeof(out->dns));
	mesh__sha256(cert->pk_raw.p, cert->pk_raw.len, out->pin);
	out->not_before_ms = mesh__mbed_time_ms(&cert->valid_from);
	out->not_after_ms = mesh__mbed_time_ms(&cert->valid_to);
}

int mesh__pki_cert_read(const char *pem, struct mesh__cert *out, struct mesh__err *err)
{
	mbedtls_x509_crt cert;
	int code;

	memset(out, 0, sizeof(*out));
	mbedtls_x509_crt_init(&cert);
	code = mesh__mbed_certs_parse(&cert, pem, 1, err);
	if (code == MESH_OK) {
		read_facts(&cert, out);
	}
	mbedtls_x509_crt_free(&cert);
	return code;
}

bool mesh__pki_self_signed(const char *pem)
{
	mbedtls_x509_crt cert;
	bool self_signed;

	mbedtls_x509_crt_init(&cert);
	self_signed = mesh__mbed_certs_parse(&cert, pem, 1, NULL) == MESH_OK && is_self_signed(&cert);
	mbedtls_x509_crt_free(&cert);
	return self_signed;
}

int mesh__pki_pin_of_cert(const char *cert_pem, unsigned char pin[32], struct mesh__err *err)
{
	mbedtls_x509_crt cert;
	int code;

	mbedtls_x509_crt_init(&cert);
	code = mesh__mbed_certs_parse(&cert, cert_pem, 1, err);
	if (code == MESH_OK) {
		mesh__sha256(cert.pk_raw.p, cert.pk_raw.len, pin);
	}
	mbedtls_x509_crt_free(&cert);
	return code;
}

int mesh__pki_split(const struct mesh__mem *mem, const char *pem, char *out[MESH__CHAIN_MAX], size_t *n, struct mesh__err *err)
{
	mbedtls_x509_crt list;
	int code;

	*n = 0;
	mbedtls_x509_crt_init(&list);
	code = mesh__mbed_certs_parse(&list, pem, MESH__CHAIN_MAX, err);
	for (const mbedtls_x509_crt *cert = &list; code == MESH_OK && cert != NULL; cert = cert->next) {
		code = mesh__mbed_pem(mem, "CERTIFICATE", cert->raw.p, cert->raw.len, &out[*n], err);
		*n += code == MESH_OK;
	}
	while (code != MESH_OK && *n > 0) {
		mesh__free(out[--*n]);
	}
	mbedtls_x509_crt_free(&list);
	return code;
}
