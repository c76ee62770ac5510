#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#include "http/client.h"
#include "http/curl_peer.h"

enum { OLDEST_CURL = 0x075800 };

/* A fact of the process, like libcurl's own global state: written once, under the once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode outcome;

static void init_once(void)
{
	mesh__curl_peer_init();
	outcome = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int mesh__client_init(struct mesh__err *err)
{
	const curl_version_info_data *version;

	(void)pthread_once(&once, init_once);
	if (outcome != CURLE_OK) {
		return mesh__fail(err, MESH_E_INTERNAL, "libcurl cannot be set up: %s", curl_easy_strerror(outcome));
	}
	version = curl_version_info(CURLVERSION_NOW);
	if (version->version_num < OLDEST_CURL) {
		return mesh__fail(err, MESH_E_UNSUPPORTED, "libcurl %s is older than 7.88; install a newer one", version->version);
	}
	/* The other flavours take no certificate from memory, or give no certificate information before the first request byte. */
	if (version->ssl_version == NULL || strncmp(version->ssl_version, "OpenSSL/", 8) != 0) {
		return mesh__fail(err, MESH_E_UNSUPPORTED, "libcurl uses %.60s here, and the mesh needs its OpenSSL flavour; install libcurl4 (libcurl.so.4) and link with it, not with libcurl-gnutls",
			version->ssl_version == NULL ? "no TLS library" : version->ssl_version);
	}
	return MESH_OK;
}
