#include "io/mbed_wishes.h"

#include <string.h>

#include "io/mbed_der.h"
#include "io/mbed_san.h"

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

static int read_names(struct wishes *w, unsigned char *p, const unsigned char *end)
{
	struct mesh__name name;
	int rc = mesh__der_enter(&p, end, MESH__DER_SEQUENCE);

	while (rc == 0 && p < end) {
		int tag = *p++;
		size_t len;
		rc = mbedtls_asn1_get_len(&p, end, &len);
		if (rc != 0) {
			break;
		}
		if (mesh__san_misshapen(tag)) {
			return refuse(w, "a name that it asks for is not in DER");
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
	int rc = mesh__der_enter(&p, end, MESH__DER_SEQUENCE);

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
	int rc = mbedtls_asn1_get_tag(p, end, &len, MESH__DER_SEQUENCE);

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
	rc = mesh__der_enter(p, ext_end, MBEDTLS_ASN1_OCTET_STRING);
	if (rc == 0 && is_oid(oid, oid_len, MESH__OID(SUBJECT_ALT_NAME))) {
		if (w->seen_san) {
			return refuse(w, "it asks for two lists of names");
		}
		w->seen_san = true;
		rc = read_names(w, *p, ext_end);
	} else if (rc == 0 && is_oid(oid, oid_len, MESH__OID(BASIC_CONSTRAINTS))) {
		rc = read_constraints(w, *p, ext_end);
	} else if (rc == 0 && is_oid(oid, oid_len, MESH__OID(KEY_USAGE))) {
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
	int rc = mbedtls_asn1_get_tag(p, end, &len, MESH__DER_SEQUENCE);

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
	if (is_oid(oid, oid_len, MESH__OID(PKCS9_CSR_EXT_REQ))) {
		if (w->seen_request) {
			return refuse(w, "it has two lists of extensions");
		}
		w->seen_request = true;
		rc = mesh__der_enter(p, attr_end, MESH__DER_SET);
		if (rc == 0) {
			rc = mesh__der_enter(p, attr_end, MESH__DER_SEQUENCE);
		}
		while (rc == 0 && *p < attr_end) {
			rc = read_extension(w, p, attr_end);
		}
	}
	*p = (unsigned char *)(uintptr_t)attr_end;
	return rc;
}

int mesh__csr_wishes(const mbedtls_asn1_buf *attributes, struct mesh__csr *out, struct mesh__err *err)
{
	struct wishes wishes = {.out = out};
	unsigned char *p = attributes->p;
	const unsigned char *end = p + attributes->len;
	int rc = 0;

	while (rc == 0 && p < end) {
		rc = read_attribute(&wishes, &p, end);
	}
	if (wishes.fault != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: %s", wishes.fault);
	}
	return rc == 0 ? MESH_OK : mesh__mbed_fail(err, MESH_E_INVALID, rc, "the extensions of the certificate request are malformed");
}
