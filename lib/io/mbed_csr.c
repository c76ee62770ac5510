#include "io/mbed_common.h" /* first: see there */

#include <string.h>

#include <mbedtls/pem.h>

#include "base/mem.h"
#include "io/mbed_der.h"
#include "io/mbed_san.h"
#include "io/mbed_wishes.h"

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
	/* Other CAs may insist on a subject. Ours does not look: names come from the token's record. */
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

/* ---- reading: the parts of a request ---- */

struct request {
	mbedtls_asn1_buf info, key, algorithm; /* whole, with tag and length */
	mbedtls_asn1_buf attributes, signature; /* contents alone */
};

/* Takes a whole element. */
static int take(unsigned char **p, const unsigned char *end, mbedtls_asn1_buf *whole)
{
	size_t len;
	int rc;

	whole->p = *p;
	rc = mbedtls_asn1_get_tag(p, end, &len, MESH__DER_SEQUENCE);
	if (rc == 0) {
		*p += len;
		whole->len = (size_t)(*p - whole->p);
	}
	return rc;
}

/* CertificationRequestInfo ::= SEQUENCE { version INTEGER, subject Name, subjectPKInfo SEQUENCE, attributes [0] IMPLICIT SET OF Attribute } (RFC 2986 section 4.1). */
static int find_in_info(struct request *r)
{
	unsigned char *p = r->info.p;
	const unsigned char *end = p + r->info.len;
	mbedtls_asn1_buf subject = {0};
	int version = 0;
	int rc = mesh__der_enter(&p, end, MESH__DER_SEQUENCE);

	rc = rc != 0 ? rc : mbedtls_asn1_get_int(&p, end, &version);
	rc = rc != 0 ? rc : take(&p, end, &subject);
	rc = rc != 0 ? rc : take(&p, end, &r->key);
	rc = rc != 0 ? rc : mesh__der_enter(&p, end, MESH__DER_CONTEXT + 0);
	r->attributes.p = p;
	r->attributes.len = (size_t)(end - p);
	return rc == 0 && version != 0 ? MBEDTLS_ERR_X509_UNKNOWN_VERSION : rc;
}

/* CertificationRequest ::= SEQUENCE { certificationRequestInfo, signatureAlgorithm SEQUENCE, signature BIT STRING } (RFC 2986 section 4.2). */
static int find_parts(struct request *r, unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	int rc = mesh__der_enter(&p, end, MESH__DER_SEQUENCE);

	rc = rc != 0 ? rc : take(&p, end, &r->info);
	rc = rc != 0 ? rc : take(&p, end, &r->algorithm);
	rc = rc != 0 ? rc : mbedtls_asn1_get_bitstring_null(&p, end, &r->signature.len);
	if (rc != 0) {
		return rc;
	}
	r->signature.p = p;
	return p + r->signature.len != end ? MBEDTLS_ERR_ASN1_LENGTH_MISMATCH : find_in_info(r);
}

/* ---- reading: key and signature ---- */

static bool begins_with(const mbedtls_asn1_buf *element, const unsigned char *bytes, size_t len)
{
	return element->len >= len && memcmp(element->p, bytes, len) == 0;
}

/* Looked at before anything is computed: each has one form in DER, but for the NULL that mbedTLS 2.28 and others add to the algorithm. */
static bool is_modern(const struct request *r)
{
	static const unsigned char p256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
	static const unsigned char bare[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
	static const unsigned char with_null[] = {0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x05, 0x00};
	_Static_assert(MESH__PUBLIC_KEY_BYTES == sizeof(p256) + 64, "the point's two coordinates come behind");

	return r->key.len == MESH__PUBLIC_KEY_BYTES && begins_with(&r->key, p256, sizeof(p256))
		&& (begins_with(&r->algorithm, bare, sizeof(bare)) || begins_with(&r->algorithm, with_null, sizeof(with_null)));
}

static int check_signature(const struct request *r, struct mesh__err *err)
{
	unsigned char *p = r->key.p;
	unsigned char hash[32];
	mbedtls_pk_context key;
	int code = MESH_OK;
	int rc;

	mbedtls_pk_init(&key);
	rc = mbedtls_pk_parse_subpubkey(&p, r->key.p + r->key.len, &key);
	if (rc != 0) {
		code = mesh__mbed_fail(err, MESH_E_INVALID, rc, "the certificate request is refused: its key is no point of P-256");
		goto out;
	}
	mesh__sha256(r->info.p, r->info.len, hash);
	rc = mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, hash, sizeof(hash), r->signature.p, r->signature.len);
	if (rc != 0) {
		code = mesh__mbed_fail(err, MESH_E_INVALID, rc, "the certificate request is refused: it is not signed by its own key");
	}
out:
	mbedtls_pk_free(&key);
	return code;
}

/* ---- reading: the whole ---- */

static int judge(const mbedtls_pem_context *pem, bool verify, struct mesh__csr *out, struct mesh__err *err)
{
	struct request request = {.info = {0}};
	int rc = find_parts(&request, pem->buf, pem->buflen);
	int code;

	if (rc != 0) {
		return mesh__mbed_fail(err, MESH_E_INVALID, rc, "the certificate request is malformed");
	}
	if (!is_modern(&request)) {
		return mesh__fail(err, MESH_E_INVALID, "the certificate request is refused: its key must be EC P-256, its point not compressed, and its signature ECDSA with SHA-256");
	}
	code = mesh__csr_wishes(&request.attributes, out, err);
	if (code == MESH_OK && verify) {
		code = check_signature(&request, err);
	}
	if (code == MESH_OK) {
		memcpy(out->key, request.key.p, sizeof(out->key)); /* is_modern() knows its length */
		mesh__sha256(out->key, sizeof(out->key), out->pin);
	}
	return code;
}

/* Older tools write NEW into the line. */
static int read_pem(mbedtls_pem_context *pem, const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t used;
	int rc = mbedtls_pem_read_buffer(pem, "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----", bytes, NULL, 0, &used);

	return rc != MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT ? rc
		: mbedtls_pem_read_buffer(pem, "-----BEGIN NEW CERTIFICATE REQUEST-----", "-----END NEW CERTIFICATE REQUEST-----", bytes, NULL, 0, &used);
}

static int read_request(const char *csr_pem, size_t len, bool verify, struct mesh__csr *out, struct mesh__err *err)
{
	mbedtls_pem_context pem;
	char *text;
	int code, rc;

	memset(out, 0, sizeof(*out));
	if (len > MESH__CSR_MAX_BYTES) {
		return mesh__fail(err, MESH_E_TOO_LARGE, "the certificate request has %zu bytes; at most %d are taken", len, MESH__CSR_MAX_BYTES);
	}
	text = mesh__strndup(mesh__mem_libc(), csr_pem, len);
	if (text == NULL) {
		return mesh__fail_memory(err);
	}
	mbedtls_pem_init(&pem);
	rc = read_pem(&pem, text);
	code = rc == 0 ? judge(&pem, verify, out, err) : mesh__mbed_fail(err, MESH_E_INVALID, rc, "the certificate request is malformed");
	mbedtls_pem_free(&pem);
	mesh__free(text);
	return code;
}

int mesh__pki_csr_read(const struct mesh__env *env, const char *csr_pem, size_t len, struct mesh__csr *out, struct mesh__err *err)
{
	(void)env;
	return read_request(csr_pem, len, true, out, err);
}

int mesh__pki_csr_preview(const char *csr_pem, size_t len, struct mesh__csr *out, struct mesh__err *err)
{
	return read_request(csr_pem, len, false, out, err);
}
