#include "io/mbed_san.h"

#include <string.h>

void mesh__san_write(struct mesh__der *d, const char *uri, const char *dns)
{
	const unsigned char *mark = d->p;

	if (dns != NULL) {
		mesh__der_put(d, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MESH__SAN_DNS, dns, strlen(dns));
	}
	if (uri != NULL) {
		mesh__der_put(d, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MESH__SAN_URI, uri, strlen(uri));
	}
	mesh__der_wrap(d, mark, MESH__DER_SEQUENCE);
}

bool mesh__san_misshapen(int tag)
{
	int type = tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

	return (type == MESH__SAN_DNS || type == MESH__SAN_URI) && tag != (MBEDTLS_ASN1_CONTEXT_SPECIFIC | type);
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

bool mesh__san_der(const mbedtls_x509_crt *cert)
{
	for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san != NULL && san->buf.p != NULL; san = san->next) {
		if (mesh__san_misshapen(san->buf.tag)) {
			return false;
		}
	}
	return true;
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
	return n > 1 || !mesh__san_der(cert) || uri->len != sizeof(scheme) - 1 + len || memcmp(uri->p, scheme, sizeof(scheme) - 1) != 0 || memcmp(uri->p + sizeof(scheme) - 1, trust_domain, len) != 0;
}
