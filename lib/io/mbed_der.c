#include "io/mbed_der.h" /* first: see there */

#include <string.h>

#include <mbedtls/asn1write.h>

struct mesh__der mesh__der(unsigned char *buf, size_t size)
{
	return (struct mesh__der){buf, buf + size, buf + size, 0};
}

void mesh__der_fail(struct mesh__der *d, int rc)
{
	if (d->rc == 0) {
		d->rc = rc;
	}
}

/* mbedTLS's writers move p themselves and return a length or a failure. */
static void check(struct mesh__der *d, int ret)
{
	if (ret < 0) {
		mesh__der_fail(d, ret);
	}
}

void mesh__der_raw(struct mesh__der *d, const void *bytes, size_t len)
{
	check(d, mbedtls_asn1_write_raw_buffer(&d->p, d->start, bytes, len));
}

void mesh__der_wrap(struct mesh__der *d, const unsigned char *mark, int tag)
{
	check(d, mbedtls_asn1_write_len(&d->p, d->start, (size_t)(mark - d->p)));
	check(d, mbedtls_asn1_write_tag(&d->p, d->start, (unsigned char)tag));
}

void mesh__der_put(struct mesh__der *d, int tag, const void *bytes, size_t len)
{
	const unsigned char *mark = d->p;

	mesh__der_raw(d, bytes, len);
	mesh__der_wrap(d, mark, tag);
}

void mesh__der_extension(struct mesh__der *d, const unsigned char *mark, const char *oid, size_t oid_len, bool critical)
{
	static const unsigned char yes = 0xff;

	mesh__der_wrap(d, mark, MBEDTLS_ASN1_OCTET_STRING);
	if (critical) {
		mesh__der_put(d, MBEDTLS_ASN1_BOOLEAN, &yes, 1);
	}
	mesh__der_put(d, MBEDTLS_ASN1_OID, oid, oid_len);
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
}

void mesh__der_name(struct mesh__der *d, const char *common_name)
{
	const unsigned char *mark = d->p;

	if (common_name != NULL) {
		mesh__der_put(d, MBEDTLS_ASN1_UTF8_STRING, common_name, strlen(common_name));
		mesh__der_put(d, MBEDTLS_ASN1_OID, MESH__OID(AT_CN));
		mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
		mesh__der_wrap(d, mark, MESH__DER_SET);
	}
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
}

void mesh__der_key(struct mesh__der *d, const mbedtls_pk_context *key)
{
	/* Written into the end of what is free. */
	int len = mbedtls_pk_write_pubkey_der((mbedtls_pk_context *)(uintptr_t)key, d->start, (size_t)(d->p - d->start));

	check(d, len);
	d->p -= len > 0 ? len : 0;
}

void mesh__der_algorithm(struct mesh__der *d)
{
	const unsigned char *mark = d->p;

	mesh__der_put(d, MBEDTLS_ASN1_OID, MESH__OID(ECDSA_SHA256));
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
}

void mesh__der_signed(struct mesh__der *d, const struct mesh__der *body, const struct mesh__env *env, mbedtls_pk_context *key)
{
	unsigned char hash[32], signature[1 + MBEDTLS_PK_SIGNATURE_MAX_SIZE] = {0}; /* a BIT STRING begins with the number of unused bits */
	size_t len = 0, body_len = (size_t)(body->end - body->p);
	const unsigned char *mark = d->p;

	mesh__der_fail(d, body->rc);
	mesh__sha256(body->p, body_len, hash);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	mesh__der_fail(d, mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature + 1, sizeof(signature) - 1, &len, mesh__mbed_random, (void *)(uintptr_t)env));
#else
	mesh__der_fail(d, mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature + 1, &len, mesh__mbed_random, (void *)(uintptr_t)env));
#endif
	mesh__der_put(d, MBEDTLS_ASN1_BIT_STRING, signature, 1 + len);
	mesh__der_algorithm(d);
	mesh__der_raw(d, body->p, body_len);
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
}

int mesh__der_enter(unsigned char **p, const unsigned char *end, int tag)
{
	size_t len;
	int rc = mbedtls_asn1_get_tag(p, end, &len, tag);

	return rc == 0 && *p + len != end ? MBEDTLS_ERR_ASN1_LENGTH_MISMATCH : rc;
}
