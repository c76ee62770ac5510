#include "io/mbed_tls.h"

#include <string.h>

#include "base/mem.h"

/*
 * Between mbedTLS and the cache. Only sessions of peers who showed a certificate that was found good are kept: in TLS 1.2 a session is all that a resumed handshake has to judge by.
 * mbedTLS calls these from within handshakes, on whatever thread runs them.
 */

static void put(struct mesh__sessions *sessions, const mbedtls_ssl_session *session)
{
	unsigned char bytes[MESH__SESSION_MAX_BYTES];
	size_t len = 0;

	if (session->id_len != MESH__SESSION_ID_BYTES || session->peer_cert == NULL || session->verify_result != 0) {
		return;
	}
	if (mbedtls_ssl_session_save(session, bytes, sizeof(bytes), &len) == 0) {
		mesh__sessions_put(sessions, session->id, bytes, len, mesh__mbed_time_ms(&session->peer_cert->valid_to));
	}
	mesh__wipe(bytes, sizeof(bytes));
}

/* 0, or anything else: there is none, and the handshake is a whole one. */
static int get(struct mesh__sessions *sessions, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session)
{
	unsigned char bytes[MESH__SESSION_MAX_BYTES];
	size_t len = id_len == MESH__SESSION_ID_BYTES ? mesh__sessions_get(sessions, id, bytes) : 0;
	int rc = 1;

	if (len > 0) {
		rc = mbedtls_ssl_session_load(session, bytes, len);
		mesh__wipe(bytes, len);
	}
	return rc;
}

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
static int on_set(void *arg, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *session)
{
	(void)id;
	(void)id_len;
	put(arg, session);
	return 0;
}

static int on_get(void *arg, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session)
{
	return get(arg, id, id_len, session);
}
#else
static int on_set(void *arg, const mbedtls_ssl_session *session)
{
	put(arg, session);
	return 0;
}

/* What is asked for stands in the session that the answer is to fill. */
static int on_get(void *arg, mbedtls_ssl_session *session)
{
	unsigned char id[MESH__SESSION_ID_BYTES];
	size_t id_len = session->id_len;

	memcpy(id, session->id, sizeof(id));
	return get(arg, id, id_len, session);
}
#endif

void mesh__mbed_use_sessions(mbedtls_ssl_config *ssl, struct mesh__sessions *sessions)
{
	mbedtls_ssl_conf_session_cache(ssl, sessions, on_get, on_set);
}
