#include "io/mbed_san.h"

#include <string.h>

#include <mbedtls/asn1write.h>

static int write_name(unsigned char **p, unsigned char *start, int type, const char *text)
{
	size_t n = strlen(text);
	size_t len = 0;
	int ret;

	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_raw_buffer(p, start, (const unsigned char *)text, n));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_len(p, start, n));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_tag(p, start, (unsigned char)(MBEDTLS_ASN1_CONTEXT_SPECIFIC | type)));
	return (int)len;
}

int mesh__san_write(unsigned char *buf, const char *uri, const char *dns)
{
	unsigned char *p = buf + MESH__SAN_VALUE_MAX;
	size_t len = 0;
	int ret;

	/* Backwards, as DER is written here: the URI comes first in the result. */
	if (dns != NULL) {
		MBEDTLS_ASN1_CHK_ADD(len, write_name(&p, buf, MESH__SAN_DNS, dns));
	}
	if (uri != NULL) {
		MBEDTLS_ASN1_CHK_ADD(len, write_name(&p, buf, MESH__SAN_URI, uri));
	}
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_len(&p, buf, len));
	MBEDTLS_ASN1_CHK_ADD(len, mbedtls_asn1_write_tag(&p, buf, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE));
	return (int)len;
}

size_t mesh__san_find(const mbedtls_x509_crt *cert, int type, const mbedtls_x509_buf **first)
{
	size_t n = 0;

	if (first != NULL) {
		*first = NULL;
	}
	for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san != NULL && san->buf.p != NULL; san = san->next) {
		if (type != 0 && (san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != type) {
			continue;
		}
		if (n == 0 && first != NULL) {
			*first = &san->buf;
		}
		n++;
	}
	return n;
}

bool mesh__san_foreign_ca(const mbedtls_x509_crt *cert, const char *trust_domain)
{
	static const char scheme[] = "spiffe://";
	size_t len = strlen(trust_domain);
	const mbedtls_x509_buf *uri;
	size_t n = mesh__san_find(cert, MESH__SAN_URI, &uri);

	if (n == 0) {
		return false;
	}
	return n > 1 || uri->len != sizeof(scheme) - 1 + len || memcmp(uri->p, scheme, sizeof(scheme) - 1) != 0 || memcmp(uri->p + sizeof(scheme) - 1, trust_domain, len) != 0;
}
