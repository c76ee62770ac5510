#include "io/mbed_tls13.h"

#include <string.h>

#include "base/mem.h"

#if MBEDTLS_VERSION_NUMBER >= 0x03000000

enum {
	TICKETS = 4,    /* after a whole handshake: a client uses each once, and may dial several times at a time */
	TAG_BYTES = 4,
	HEAD_BYTES = TAG_BYTES + 2, /* then the leaf, with its length before it, then mbedTLS's session */
	LEAF_MAX_BYTES = MESH__SESSION_MAX_BYTES - HEAD_BYTES
};

/* The cache holds TLS 1.2's sessions too, and a peer may ask for either by the name of the other. */
static const unsigned char tag[TAG_BYTES] = {'T', 'L', 'S', '3'};

/*
 * The client's order decides among these. AES-256, which OpenSSL prefers, is left out, so that it is ChaCha20, which mbedTLS computes the fastest; AES-128 is the one that RFC 8446 section 9.1 asks for.
 */
static const int suites[] = {
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	0,
};

void mesh__tls13_conf(struct mesh__tls_conf *conf)
{
	if (conf->tls13) {
		mbedtls_ssl_conf_max_tls_version(&conf->ssl, MBEDTLS_SSL_VERSION_TLS1_3);
		mbedtls_ssl_conf_ciphersuites(&conf->ssl, suites);
		/* A resumed handshake has fresh keys of its own too. */
		mbedtls_ssl_conf_tls13_key_exchange_modes(&conf->ssl, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL | MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
		mbedtls_ssl_conf_new_session_tickets(&conf->ssl, TICKETS);
	}
}

/* ---- Tickets ---- */

static size_t serialise(const mbedtls_ssl_session *session, const mbedtls_x509_crt *leaf, unsigned char bytes[MESH__SESSION_MAX_BYTES])
{
	size_t der_len = leaf->raw.len, len = 0;

	if (der_len == 0 || der_len > LEAF_MAX_BYTES) {
		return 0;
	}
	memcpy(bytes, tag, TAG_BYTES);
	bytes[TAG_BYTES] = (unsigned char)(der_len >> 8);
	bytes[TAG_BYTES + 1] = (unsigned char)der_len;
	memcpy(bytes + HEAD_BYTES, leaf->raw.p, der_len);
	return mbedtls_ssl_session_save(session, bytes + HEAD_BYTES + der_len, LEAF_MAX_BYTES - der_len, &len) == 0 ? HEAD_BYTES + der_len + len : 0;
}

/* Not kept for want of room: the ticket is then of no use, and who comes with it shakes hands in whole. */
static int on_ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start, const unsigned char *end, size_t *len, uint32_t *lifetime_s)
{
	struct mesh__tls13 *t = arg;
	const mbedtls_x509_crt *leaf = session->peer_cert != NULL ? session->peer_cert : &t->resumed;
	unsigned char bytes[MESH__SESSION_MAX_BYTES];
	size_t n;

	if (session->tls_version != MBEDTLS_SSL_VERSION_TLS1_3 || end - start < MESH__SESSION_ID_BYTES) {
		return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
	}
	if (mesh__mbed_random((void *)(uintptr_t)t->conf->env, start, MESH__SESSION_ID_BYTES) != 0) {
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	}
	n = serialise(session, leaf, bytes);
	if (n > 0) {
		mesh__sessions_put(t->conf->sessions, start, bytes, n, mesh__mbed_time_ms(&leaf->valid_to));
	}
	mesh__wipe(bytes, sizeof(bytes));
	*len = MESH__SESSION_ID_BYTES;
	*lifetime_s = MESH__SESSION_LIFE_MS / 1000;
	return 0;
}

static int restore(struct mesh__tls13 *t, const unsigned char *bytes, size_t len, mbedtls_ssl_session *session)
{
	size_t der_len = len > HEAD_BYTES && memcmp(bytes, tag, TAG_BYTES) == 0 ? (size_t)bytes[TAG_BYTES] << 8 | bytes[TAG_BYTES + 1] : 0;

	if (der_len == 0 || der_len > len - HEAD_BYTES) {
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	}
	mbedtls_x509_crt_free(&t->resumed);
	mbedtls_x509_crt_init(&t->resumed);
	if (mbedtls_x509_crt_parse_der(&t->resumed, bytes + HEAD_BYTES, der_len) != 0) {
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	}
	return mbedtls_ssl_session_load(session, bytes + HEAD_BYTES + der_len, len - HEAD_BYTES - der_len);
}

/* Any answer but 0 makes the handshake a whole one. mbedTLS takes the first ticket for which it is 0, and asks for no other then. */
static int on_ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *ticket, size_t ticket_len)
{
	struct mesh__tls13 *t = arg;
	unsigned char bytes[MESH__SESSION_MAX_BYTES];
	size_t len = ticket_len == MESH__SESSION_ID_BYTES ? mesh__sessions_get(t->conf->sessions, ticket, bytes) : 0;
	int rc = MBEDTLS_ERR_SSL_INVALID_MAC;

	if (len > 0) {
		rc = restore(t, bytes, len, session);
		mesh__wipe(bytes, len);
	}
	return rc;
}

/* ---- A connection ---- */

int mesh__tls13_setup(struct mesh__tls13 *t, const struct mesh__tls_conf *conf, mbedtls_ssl_context *ssl)
{
	t->conf = conf;
	t->ssl = ssl;
	t->own = conf->ssl;
	mbedtls_x509_crt_init(&t->resumed);
	return mbedtls_ssl_setup(ssl, &t->own);
}

void mesh__tls13_offered(struct mesh__tls13 *t)
{
	if (t->conf->sessions != NULL && t->conf->tls13) {
		mbedtls_ssl_conf_session_tickets_cb(&t->own, on_ticket_write, on_ticket_parse, t);
	}
}

void mesh__tls13_fini(struct mesh__tls13 *t)
{
	mbedtls_x509_crt_free(&t->resumed);
}

static bool is_tls13(const struct mesh__tls13 *t)
{
	return mbedtls_ssl_get_version_number(t->ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
}

/*
 * After its Finished a server sends under its application keys (RFC 8446 section 4.4.4); mbedTLS 3.6 changes to them only when the handshake is over. Until then nothing but an alert is sent, which under the old keys the client
 * could not read: it would see a broken record, and not why it was refused.
 */
static void change_keys(mbedtls_ssl_context *ssl)
{
	if (ssl->transform_out != ssl->transform_application) {
		ssl->transform_out = ssl->transform_application;
		memset(ssl->cur_out_ctr, 0, sizeof(ssl->cur_out_ctr));
	}
}

bool mesh__tls13_takes_certificate(struct mesh__tls13 *t)
{
	bool certificate = t->ssl->state == MBEDTLS_SSL_CLIENT_CERTIFICATE;

	if (!is_tls13(t) || (!certificate && t->ssl->state != MBEDTLS_SSL_CLIENT_FINISHED)) {
		return false;
	}
	change_keys(t->ssl);
	if (certificate) {
		mbedtls_ssl_set_hs_authmode(t->ssl, MBEDTLS_SSL_VERIFY_NONE);
	}
	return certificate;
}

mbedtls_x509_crt *mesh__tls13_chain(const struct mesh__tls13 *t)
{
	return t->ssl->session_negotiate != NULL ? t->ssl->session_negotiate->peer_cert : NULL;
}

const mbedtls_x509_crt *mesh__tls13_resumed(const struct mesh__tls13 *t)
{
	return is_tls13(t) && t->resumed.raw.p != NULL ? &t->resumed : NULL;
}

#else

void mesh__tls13_conf(struct mesh__tls_conf *conf)
{
	(void)conf;
}

int mesh__tls13_setup(struct mesh__tls13 *t, const struct mesh__tls_conf *conf, mbedtls_ssl_context *ssl)
{
	t->conf = conf;
	t->ssl = ssl;
	return mbedtls_ssl_setup(ssl, &conf->ssl);
}

void mesh__tls13_fini(struct mesh__tls13 *t)
{
	(void)t;
}

void mesh__tls13_offered(struct mesh__tls13 *t)
{
	(void)t;
}

bool mesh__tls13_takes_certificate(struct mesh__tls13 *t)
{
	(void)t;
	return false;
}

mbedtls_x509_crt *mesh__tls13_chain(const struct mesh__tls13 *t)
{
	(void)t;
	return NULL;
}

const mbedtls_x509_crt *mesh__tls13_resumed(const struct mesh__tls13 *t)
{
	(void)t;
	return NULL;
}

#endif
