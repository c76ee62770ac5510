#include "http/curl_peer.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "io/pki.h"

void mesh__curl_peer_init(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

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

/* NULL when there is none, or none of OpenSSL's. */
static SSL *connection_of(CURL *curl)
{
	struct curl_tlssessioninfo *info = NULL;

	if (curl_easy_getinfo(curl, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || info == NULL || info->backend != CURLSSLBACKEND_OPENSSL) {
		return NULL;
	}
	return info->internals;
}

bool mesh__curl_peer_http2(void *curl)
{
	const SSL *ssl = connection_of(curl);
	const unsigned char *protocol = NULL;
	unsigned len = 0;

	if (ssl != NULL) {
		SSL_get0_alpn_selected(ssl, &protocol, &len);
	}
	return len == 2 && memcmp(protocol, "h2", 2) == 0;
}

bool mesh__curl_peer_ended(void *curl)
{
	const SSL *ssl = connection_of(curl);

	return ssl != NULL && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool mesh__curl_peer_read(void *curl, struct mesh__curl_peer *out)
{
	SSL *ssl = connection_of(curl);
	X509 *cert;
	bool fine;

	if (ssl == NULL) {
		return false;
	}
	cert = SSL_get1_peer_certificate(ssl);
	out->resumed = SSL_session_reused(ssl) != 0;
	out->session_later = SSL_version(ssl) >= TLS1_3_VERSION;
	fine = cert != NULL && encode(cert, out);
	X509_free(cert);
	return fine;
}
