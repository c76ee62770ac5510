#include "http/curl_peer.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "io/pki.h"

bool mesh__curl_peer_readable(void)
{
	static const char name[] = "OpenSSL/";
	const char *used = curl_version_info(CURLVERSION_NOW)->ssl_version;

	return used != NULL && strncmp(used, name, sizeof(name) - 1) == 0 && strcmp(used + sizeof(name) - 1, OpenSSL_version(OPENSSL_VERSION_STRING)) == 0;
}

static bool encode(const X509 *cert, struct mesh__curl_peer *out)
{
	unsigned char *at = out->der;
	int len = i2d_X509(cert, NULL);

	if (len <= 0 || (size_t)len > sizeof(out->der) || i2d_X509(cert, &at) != len) {
		return false;
	}
	out->len = (size_t)len;
	mesh__sha256(out->der, out->len, out->sha256);
	return true;
}

bool mesh__curl_peer_read(void *curl, struct mesh__curl_peer *out)
{
	struct curl_tlssessioninfo *info = NULL;
	SSL *ssl;
	X509 *cert;
	bool fine;

	if (curl_easy_getinfo(curl, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || info == NULL || info->backend != CURLSSLBACKEND_OPENSSL || info->internals == NULL) {
		return false;
	}
	ssl = info->internals;
	cert = SSL_get1_peer_certificate(ssl);
	out->resumed = SSL_session_reused(ssl) != 0;
	fine = cert != NULL && encode(cert, out);
	X509_free(cert);
	return fine;
}
