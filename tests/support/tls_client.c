#include "support/tls_client.h"

#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <mbedtls/version.h>

#include <mbedtls/ssl.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

struct tls_client {
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
	mbedtls_x509_crt chain, roots;
	mbedtls_pk_context key;
	const char *alpn[3];
	int suites[2];
	struct mesh__buf *in, *out; /* during a call */
	int alert;
	mbedtls_ssl_session session; /* once it was asked for: mbedTLS 3.6 gives it once */
	bool has_session;
};

static int rng(void *user, unsigned char *bytes, size_t len)
{
	(void)user;
	while (len > 0) {
		ssize_t n = getrandom(bytes, len, 0);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int bio_send(void *arg, const unsigned char *bytes, size_t len)
{
	mesh__buf_add(((struct tls_client *)arg)->out, bytes, len);
	return (int)len;
}

static int bio_receive(void *arg, unsigned char *bytes, size_t len)
{
	struct mesh__buf *in = ((struct tls_client *)arg)->in;

	if (in == NULL || in->len == 0) {
		return MBEDTLS_ERR_SSL_WANT_READ;
	}
	len = len < in->len ? len : in->len;
	memcpy(bytes, in->data, len);
	mesh__buf_consume(in, len);
	return (int)len;
}

/* Tests move the clock that the server goes by, not the system's. */
static int ignore_time(void *arg, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	(void)arg;
	(void)cert;
	(void)depth;
	*flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
	return 0;
}

static int load_key(struct tls_client *client, const char *pem)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_pk_parse_key(&client->key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0, rng, NULL);
#else
	return mbedtls_pk_parse_key(&client->key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0);
#endif
}

static int load(struct tls_client *client, const struct tls_client_options *options)
{
	int rc = 0;

	if (options->chain_pem != NULL) {
		rc = mbedtls_x509_crt_parse(&client->chain, (const unsigned char *)options->chain_pem, strlen(options->chain_pem) + 1);
		rc = rc != 0 ? rc : load_key(client, options->key_pem);
		rc = rc != 0 ? rc : mbedtls_ssl_conf_own_cert(&client->conf, &client->chain, &client->key);
	}
	if (rc == 0 && options->roots_pem != NULL) {
		rc = mbedtls_x509_crt_parse(&client->roots, (const unsigned char *)options->roots_pem, strlen(options->roots_pem) + 1);
		mbedtls_ssl_conf_ca_chain(&client->conf, &client->roots, NULL);
	}
	return rc;
}

bool tls_client_has_tls13(void)
{
	return MBEDTLS_VERSION_NUMBER >= 0x03000000;
}

static void set_version(struct tls_client *client, bool tls13)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	mbedtls_ssl_conf_max_tls_version(&client->conf, tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(&client->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#else
	(void)client;
	(void)tls13;
#endif
}

/* A ticket of TLS 1.3 has come, which is no data; the last one is kept: it is what the session resumes by. */
static bool takes_ticket(struct tls_client *client, int rc)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	if (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
		mbedtls_ssl_session_free(&client->session);
		mbedtls_ssl_session_init(&client->session);
		client->has_session = mbedtls_ssl_get_session(&client->ssl, &client->session) == 0;
		return true;
	}
	if (rc == MBEDTLS_ERR_SSL_WANT_READ && client->ssl.state == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET) {
		return true; /* it has come, and is taken at the next try */
	}
#endif
	(void)client;
	(void)rc;
	return false;
}

/* mbedTLS copies it. */
static int offer_session(struct tls_client *client, struct tls_client *of)
{
	int rc = of->has_session ? 0 : mbedtls_ssl_get_session(&of->ssl, &of->session);

	of->has_session = rc == 0;
	return rc != 0 ? rc : mbedtls_ssl_set_session(&client->ssl, &of->session);
}

static int set_up(struct tls_client *client, const struct tls_client_options *options)
{
	int rc = mbedtls_ssl_config_defaults(&client->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (rc != 0) {
		return rc;
	}
	set_version(client, options->tls13);
	mbedtls_ssl_conf_rng(&client->conf, rng, NULL);
	mbedtls_ssl_conf_authmode(&client->conf, options->roots_pem != NULL ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_verify(&client->conf, ignore_time, NULL);
	if (options->alpn != NULL) {
		client->alpn[0] = options->alpn;
		client->alpn[1] = options->alpn_then;
		rc = mbedtls_ssl_conf_alpn_protocols(&client->conf, client->alpn);
	}
	if (options->suite != 0) {
		client->suites[0] = options->suite;
		mbedtls_ssl_conf_ciphersuites(&client->conf, client->suites);
	}
	rc = rc != 0 ? rc : load(client, options);
	rc = rc != 0 ? rc : mbedtls_ssl_setup(&client->ssl, &client->conf);
	rc = rc != 0 ? rc : mbedtls_ssl_set_hostname(&client->ssl, NULL);
	rc = rc != 0 || options->resume == NULL ? rc : offer_session(client, options->resume);
	mbedtls_ssl_set_bio(&client->ssl, client, bio_send, bio_receive, NULL);
	return rc;
}

struct tls_client *tls_client_new(const struct tls_client_options *options)
{
	struct tls_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		return NULL;
	}
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	(void)psa_crypto_init();
#endif
	mbedtls_ssl_config_init(&client->conf);
	mbedtls_ssl_init(&client->ssl);
	mbedtls_ssl_session_init(&client->session);
	mbedtls_x509_crt_init(&client->chain);
	mbedtls_x509_crt_init(&client->roots);
	mbedtls_pk_init(&client->key);
	if (set_up(client, options) != 0) {
		tls_client_free(client);
		return NULL;
	}
	return client;
}

void tls_client_free(struct tls_client *client)
{
	if (client != NULL) {
		mbedtls_ssl_free(&client->ssl);
		mbedtls_ssl_session_free(&client->session);
		mbedtls_ssl_config_free(&client->conf);
		mbedtls_x509_crt_free(&client->chain);
		mbedtls_x509_crt_free(&client->roots);
		mbedtls_pk_free(&client->key);
		free(client);
	}
}

bool tls_client_established(const struct tls_client *client)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)(uintptr_t)&client->ssl); /* before all tickets have come too */
#else
	return client->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER;
#endif
}

static int note_alert(struct tls_client *client, int rc)
{
	if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		client->alert = client->ssl.in_msg[1];
	}
	return rc == MBEDTLS_ERR_SSL_WANT_READ ? 0 : rc;
}

int tls_client_step(struct tls_client *client, struct mesh__buf *in, struct mesh__buf *out, struct mesh__buf *plain)
{
	int rc = 0;

	client->in = in;
	client->out = out;
	if (!tls_client_established(client)) {
		rc = mbedtls_ssl_handshake(&client->ssl);
	}
	while (rc == 0) {
		unsigned char bytes[4096];
		rc = mbedtls_ssl_read(&client->ssl, bytes, sizeof(bytes));
		if (rc > 0) {
			mesh__buf_add(plain, bytes, (size_t)rc);
			rc = 0;
		} else if (takes_ticket(client, rc)) {
			rc = 0;
		}
	}
	client->in = NULL;
	client->out = NULL;
	return note_alert(client, rc);
}

int tls_client_send(struct tls_client *client, const void *bytes, size_t len, struct mesh__buf *out)
{
	const unsigned char *p = bytes;
	int rc = 0;

	client->out = out;
	while (rc >= 0 && len > 0) {
		rc = mbedtls_ssl_write(&client->ssl, p, len);
		if (rc > 0) {
			p += rc;
			len -= (size_t)rc;
		}
	}
	client->out = NULL;
	return rc < 0 ? rc : 0;
}

void tls_client_close(struct tls_client *client, struct mesh__buf *out)
{
	client->out = out;
	(void)mbedtls_ssl_close_notify(&client->ssl);
	client->out = NULL;
}

const char *tls_client_version(const struct tls_client *client)
{
	return mbedtls_ssl_get_version(&client->ssl);
}

const char *tls_client_alpn(const struct tls_client *client)
{
	return mbedtls_ssl_get_alpn_protocol(&client->ssl);
}

int tls_client_alert(const struct tls_client *client)
{
	return client->alert;
}
