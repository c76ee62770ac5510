#include "io/mbed_csr.h"

#include <string.h>

#include <mbedtls/md.h>

#include "base/mem.h"
#include "io/mbed_der.h"
#include "io/mbed_san.h"

enum { CSR_DER_BYTES = 2048 };

/* ---- writing ---- */

/* Attributes ::= SET OF Attribute, here none or one: the extensions that are asked for, which are the URI name. */
static void write_attributes(struct mesh__der *d, const char *spiffe)
{
	const unsigned char *mark = d->p;

	if (spiffe != NULL) {
		mesh__san_write(d, spiffe, NULL);
		mesh__der_extension(d, mark, MESH__OID(SUBJECT_ALT_NAME), false);
		mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
		mesh__der_wrap(d, mark, MESH__DER_SET);
		mesh__der_put(d, MBEDTLS_ASN1_OID, MESH__OID(PKCS9_CSR_EXT_REQ));
		mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
	}
	mesh__der_wrap(d, mark, MESH__DER_CONTEXT);
}

int mesh__pki_csr_new(const struct mesh__env *env, const char *key_pem, const char *spiffe, char **csr_pem, struct mesh__err *err)
{
	static const unsigned char v1 = 0;
	unsigned char body_bytes[CSR_DER_BYTES], bytes[CSR_DER_BYTES];
	struct mesh__der body = mesh__der(body_bytes, sizeof(body_bytes)), request = mesh__der(bytes, sizeof(bytes));
	mbedtls_pk_context key;
	int code;

	mbedtls_pk_init(&key);
	code = mesh__mbed_key_parse(env, &key, key_pem, err);
	if (code != MESH_OK) {
		goto out;
	}
	write_attributes(&body, spiffe);
	mesh__der_key(&body, &key);
	/* 2.28 cannot read a request whose subject is empty. No CA of a mesh looks at it: names come from the token's record. */
	mesh__der_name(&body, "meshlib");
	mesh__der_put(&body, MBEDTLS_ASN1_INTEGER, &v1, 1);
	mesh__der_wrap(&body, body.end, MESH__DER_SEQUENCE);
	mesh__der_signed(&request, &body, env, &key);
	if (request.rc != 0) {
		code = mesh__mbed_fail(err, MESH_E_INTERNAL, request.rc, "the certificate request cannot be written");
		goto out;
	}
	code = mesh__mbed_pem(&env->mem, "CERTIFICATE REQUEST", request.p, (size_t)(request.end - request.p), csr_pem, err);
out:
	mbedtls_pk_free(&key);
	return code;
}

/* ---- reading: the extensions that a request asks for, which 2.28 does not parse ---- */

struct wishes {
	struct mesh__csr *out;
	bool seen_request, seen_san;
	const char *fault; /* what is wrong, once something is */
};

static bool is_oid(const unsigned char *bytes, size_t len, const char *oid, size_t oid_len)
{
	return len == oid_len && memcmp(bytes, oid, len) == 0;
}

static int refuse(struct wishes *w, const char *fault)
{
	w->fault = fault;
	return MBEDTLS_ERR_ASN1_INVALID_DATA;
}

/* Enters a SEQUENCE or SET that must fill [*p, end) up. */
static int enter(unsigned char **p, const unsigned char *end, int tag)
{
	size_t len;
	int rc = mbedtls_asn1_get_tag(p, end, &len, tag);

	return rc == 0 && *p + len != end ? MBEDTLS_ERR_ASN1_LENGTH_MISMATCH : rc;
}

static int read_names(struct wishes *w, unsigned char *p, const unsigned char *end)
{
	struct mesh__name name;
	int rc = enter(&p, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);

	while (rc == 0 && p < end) {
		int tag = *p++;
		size_t len;
		rc = mbedtls_asn1_get_len(&p, end, &len);
		if (rc != 0) {
			break;
		}
		if (tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MESH__SAN_URI)) {
			if (w->out->has_uri) {
				return refuse(w, "it asks for more than one URI name");
			}
			if (!mesh__spiffe_parse((const char *)p, len, &name)) {
				return refuse(w, "the URI name that it asks for is no SPIFFE ID of the form spiffe://<trust-domain>/ns/<namespace>/svc/<service>");
			}
			w->out->has_uri = true;
			mesh__spiffe_format(&name, w->out->spiffe);
		}
		p += len;
	}
	return rc;
}

static int read_constraints(struct wishes *w, unsigned char *p, const unsigned char *end)
{
	int ca = 0;
	int rc = enter(&p, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);

	if (rc == 0 && p < end) {
		rc = mbedtls_asn1_get_bool(&p, end, &ca);
		rc = rc == MBEDTLS_ERR_ASN1_UNEXPECTED_TAG ? 0 : rc;
	}
	return rc == 0 && ca != 0 ? refuse(w, "it asks to be a CA") : rc;
}

static int read_usage(struct wishes *w, unsigned char *p, const unsigned char *end)
{
	mbedtls_asn1_bitstring bits = {0};
	int rc = mbedtls_asn1_get_bitstring(&p, end, &bits);

	if (rc == 0 && bits.len > 0 && (bits.p[0] & MBEDTLS_X509_KU_KEY_CERT_SIGN) != 0) {
		return refuse(w, "it asks for the right to sign certificates");
	}
	return rc;
}

/* Extension ::= SEQUENCE { extnID OID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }. */
static int read_extension(struct wishes *w, unsigned char **p, const unsigned char *end)
{
	const unsigned char *oid, *ext_end;
	size_t len, oid_len;
	int critical;
	int rc = mbedtls_asn1_get_tag(p, end, &len, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);

	if (rc != 0) {
		return rc;
	}
	ext_end = *p + len;
	rc = mbedtls_asn1_get_tag(p, ext_end, &oid_len, MBEDTLS_ASN1_OID);
	if (rc != 0) {
		return rc;
	}
	oid = *p;
	*p += oid_len;
	rc = mbedtls_asn1_get_bool(p, ext_end, &critical);
	if (rc != 0 && rc != MBEDTLS_ERR_ASN1_UNEXPECTED_TAG) {
		return rc;
	}
	rc = enter(p, ext_end, MBEDTLS_ASN1_OCTET_STRING);
	if (rc == 0 && is_oid(oid, oid_len, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME))) {
		if (w->seen_san) {
			return refuse(w, "it asks for two lists of names");
		}
		w->seen_san = true;
		rc = read_names(w, *p, ext_end);
	} else if (rc == 0 && is_oid(oid, oid_len, MBEDTLS_OID_BASIC_CONSTRAINTS, MBEDTLS_OID_SIZE(MBEDTLS_OID_BASIC_CONSTRAINTS))) {
		rc = read_constraints(w, *p, ext_end);
	} else if (rc == 0 && is_oid(oid, oid_len, MBEDTLS_OID_KEY_USAGE, MBEDTLS_OID_SIZE(MBEDTLS_OID_KEY_USAGE))) {
		rc = read_usage(w, *p, ext_end);
	}
	*p = (unsigned char *)(uintptr_t)ext_end;
	return rc;
}

/* Attribute ::= SEQUENCE { type OID, values SET OF ANY }; the one that matters carries Extensions ::= SEQUENCE OF Extension (RFC 2985 section 5.4.2). */
static int read_attribute(struct wishes *w, unsigned char **p, const unsigned char *end)
{
	const unsigned char *oid, *attr_end;
	size_t len, oid_len;
	int rc = mbedtls_asn1_get_tag(p, end, &len, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);

	if (rc != 0) {
		return rc;
	}
	attr_end = *p + len;
	rc = mbedtls_asn1_get_tag(p, attr_end, &oid_len, MBEDTLS_ASN1_OID);
	if (rc != 0) {
		return rc;
	}
	oid = *p;
	*p += oid_len;
	if (is_oid(oid, oid_len, MBEDTLS_OID_PKCS9_CSR_EXT_REQ, MBEDTLS_OID_SIZE(MBEDTLS_OID_PKCS9_CSR_EXT_REQ))) {
		if (w->seen_request) {
			return refuse(w, "it has two lists of extensions");
		}
		w->seen_request = true;
		rc = enter(p, attr_end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET);
		if (rc == 0) {
			rc = enter(p, attr_end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
		}
		while (rc == 0 && *p < attr_end) {
			rc = read_extension(w, p, attr_end);
		}
	}
	*p = (unsigned char *)(uintptr_t)attr_end;
	return rc;
}

static int skip(unsigned char **p, const unsigned char *end, int tag)
{
	size_t len;
	int rc = mbedtls_asn1_get_tag(p, end, &len, tag);

	if (rc == 0) {
		*p += len;
	}
	return rc;
}

/* CertificationRequestInfo ::= SEQUENCE { version INTEGER, subject Name, subjectPKInfo SEQUENCE, attributes [0] IMPLICIT SET OF Attribute } (RFC 2986 section 4.1). */
static int read_wishes(struct wishes *w, const mbedtls_x509_buf *cri)
{
	unsigned char *p = cri->p;
	const unsigned char *end = cri->p + cri->len;
	int rc = enter(&p, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);

	rc = rc != 0 ? rc : skip(&p, end, MBEDTLS_ASN1_INTEGER);
	rc = rc != 0 ? rc : skip(&p, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
	rc = rc != 0 ? rc : skip(&p, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
	if (rc != 0 || p == end) {
		return rc; /* attributes left out: against the letter of RFC 2986, and harmless */
	}
	rc = enter(&p, end, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED);
	while (rc == 0 && p < end) {
		rc = read_attribute(w, &p, end);
	}
	return rc;
}

/* ---- reading: the whole ---- */

static int parse(mbedtls_x509_csr *csr, const char *pem, size_t len, struct mesh__err *err)
{
	char *text;
	int rc;

	if (len > MESH__CSR_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the certificate request has %zu bytes; at most %d are taken", len, MESH__CSR_MAX_BYTES);
	}
	text = mesh__strndup(mesh__mem_libc(), pem, len);
	if (text == NULL) {
		return mesh__fail_memory(err);
	}
	rc = mbedtls_x509_csr_parse(csr, (const unsigned char *)text, strlen(text) + 1);
	mesh__free(text);
	return rc == 0 ? MESH_OK : mesh__mbed_fail(err, MESH_E_INVALID, rc, "the certificate request is malformed");
}

/* The kind of key comes before the arithmetic with it. */
static int check_signature(mbedtls_x509_csr *csr, struct mesh__err *err)
{
	unsigned char hash[32];

	if (!mesh__mbed_is_p256(&csr->pk) || csr->sig_pk != MBEDTLS_PK_ECDSA || csr->sig_md != MBEDTLS_MD_SHA256) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: its key must be EC P-256 and its signature ECDSA with SHA-256");
	}
	mesh__sha256(csr->cri.p, csr->cri.len, hash);
	if (mbedtls_pk_verify(&csr->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), csr->sig.p, csr->sig.len) != 0) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: it is not signed by its own key");
	}
	return MESH_OK;
}

int mesh__mbed_csr_read(const struct mesh__env *env, mbedtls_x509_csr *csr, const char *pem, size_t len, struct mesh__csr *out, struct mesh__err *err)
{
	struct wishes wishes = {.out = out};
	int code, rc;

	(void)env;
	memset(out, 0, sizeof(*out));
	code = parse(csr, pem, len, err);
	if (code != MESH_OK) {
		return code;
	}
	rc = read_wishes(&wishes, &csr->cri);
	if (wishes.fault != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: %s", wishes.fault);
	}
	if (rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INVALID, rc, "the extensions of the certificate request are malformed");
	}
	code = check_signature(csr, err);
	return code == MESH_OK ? mesh__mbed_pin(&csr->pk, out->pin, err) : code;
}

int mesh__pki_csr_read(const struct mesh__env *env, const char *csr_pem, size_t len, struct mesh__csr *out, struct mesh__err *err)
{
	mbedtls_x509_csr csr;
	int code;

	mbedtls_x509_csr_init(&csr);
	code = mesh__mbed_csr_read(env, &csr, csr_pem, len, out, err);
	mbedtls_x509_csr_free(&csr);
	return code;
}
