#include "io/mbed_tls.h"

#include <string.h>

#include "base/mem.h"
#include "io/mbed_preview.h"
#include "io/mbed_san.h"
#include "io/mbed_tls13.h"

enum { HELD_MAX_BYTES = 1024 * 1024 };

struct mesh__tls {
	struct mesh__tls_conf *conf;
	mbedtls_ssl_context ssl;
	struct mesh__tls13 tls13;
	struct mesh__preview preview;
	struct mesh__buf held;  /* ciphertext from the handshake's plaintext part; what is not cleared waits here for the rest of its record */
	size_t cleared, taken;  /* bytes of `held` that mbedTLS may have, and that it has had */
	const unsigned char *in; /* during a call, once the preview is done: the caller's ciphertext */
	size_t in_len;
	struct mesh__buf *out;  /* during a call: where ciphertext goes */
	bool whole;             /* this handshake resumes no session */
	bool shown;             /* the peer has shown a certificate */
	bool established;
	bool peer_closed;       /* it said close_notify: nothing more comes, what is left may still be sent */
	bool dead;
	struct mesh__leaf leaf;
	bool judged;            /* `leaf` stood the judgement */
	uint32_t flags;         /* what the verification of the chain found */
	const char *refusal;
	struct mesh__err why;   /* of a refusal by our own judgement */
};

/* ---- mbedTLS's view of the world: two buffers and a judge ---- */

static int bio_send(void *arg, const unsigned char *bytes, size_t len)
{
	struct mesh__tls *tls = arg;

	mesh__buf_add(tls->out, bytes, len);
	return tls->out->error == MESH_OK ? (int)len : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int bio_receive(void *arg, unsigned char *bytes, size_t len)
{
	struct mesh__tls *tls = arg;
	size_t n = tls->cleared - tls->taken;

	if (n > 0) {
		n = n < len ? n : len;
		memcpy(bytes, tls->held.data + tls->taken, n);
		tls->taken += n;
		return (int)n;
	}
	n = tls->in_len < len ? tls->in_len : len;
	if (n == 0) {
		return MBEDTLS_ERR_SSL_WANT_READ;
	}
	memcpy(bytes, tls->in, n);
	tls->in += n;
	tls->in_len -= n;
	return (int)n;
}

static void refuse(struct mesh__tls *tls, const char *word)
{
	if (tls->refusal[0] == '\0') {
		tls->refusal = word;
	}
}

static int judge_ca(struct mesh__tls *tls, const mbedtls_x509_crt *cert, uint32_t *flags)
{
	if (mesh__san_foreign_ca(cert, mesh__trust_domain(tls->conf->trust))) {
		(void)mesh__fail_at(&tls->why, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "a CA in the peer's chain is of another trust domain than %s", mesh__trust_domain(tls->conf->trust));
		refuse(tls, "trust-domain");
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	}
	return 0;
}

static int judge_leaf(struct mesh__tls *tls, const mbedtls_x509_crt *cert, uint32_t *flags)
{
	const char *word = "";
	struct mesh__err why = MESH__NO_ERR;
	int code = mesh__trust_judge(tls->conf->trust, cert->raw.p, cert->raw.len, NULL, &tls->leaf, &word, &why);

	if (code == MESH_E_NO_MEMORY) {
		return MBEDTLS_ERR_X509_ALLOC_FAILED;
	}
	tls->judged = code == MESH_OK;
	if (code != MESH_OK) {
		tls->why = why;
		refuse(tls, word);
		*flags |= strcmp(word, "revoked") == 0 ? MBEDTLS_X509_BADCERT_REVOKED : MBEDTLS_X509_BADCERT_OTHER;
	}
	return 0;
}

/* Called for each certificate of the chain, the leaf (depth 0) last. Flags that it leaves fail the handshake, with an alert. */
static int judge(void *arg, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	struct mesh__tls *tls = arg;
	int rc;

	mesh__mbed_judge_time(tls->conf->env, cert, flags);
	rc = depth > 0 ? judge_ca(tls, cert, flags) : judge_leaf(tls, cert, flags);
	tls->flags |= *flags;
	return rc;
}

/* ---- life ---- */

int mesh__tls_new(struct mesh__tls_conf *conf, struct mesh__tls **out)
{
	struct mesh__tls *tls = mesh__alloc(&conf->env->mem, sizeof(*tls));

	*out = NULL;
	if (tls == NULL) {
		return MESH_E_NO_MEMORY;
	}
	tls->conf = mesh__tls_conf_ref(conf);
	tls->refusal = "";
	mesh__buf_init(&tls->held, &conf->env->mem, HELD_MAX_BYTES);
	mbedtls_ssl_init(&tls->ssl);
	if (mesh__tls13_setup(&tls->tls13, conf, &tls->ssl) != 0) {
		mesh__tls_free(tls);
		return MESH_E_NO_MEMORY;
	}
	mbedtls_ssl_set_bio(&tls->ssl, tls, bio_send, bio_receive, NULL);
	mbedtls_ssl_set_verify(&tls->ssl, judge, tls);
	*out = tls;
	return MESH_OK;
}

void mesh__tls_free(struct mesh__tls *tls)
{
	if (tls != NULL) {
		mbedtls_ssl_free(&tls->ssl);
		mesh__tls13_fini(&tls->tls13);
		mesh__buf_fini(&tls->held);
		mesh__tls_conf_unref(tls->conf);
		mesh__free(tls);
	}
}

bool mesh__tls_offers_session(const struct mesh__tls *tls, const char *in, size_t len)
{
	/* RFC 5246, sections 6.2.1 and 7.4: a record's header, that of a handshake message, the version, the client's random, the length of the id. */
	enum { RECORD = 5, MESSAGE = 4, ID_LEN = RECORD + MESSAGE + 2 + 32, ID, HANDSHAKE = 22, CLIENT_HELLO = 1 };
	const unsigned char *bytes = (const unsigned char *)in;
	unsigned char session[MESH__SESSION_MAX_BYTES];

	return tls->conf->sessions != NULL && len >= ID + MESH__SESSION_ID_BYTES && bytes[0] == HANDSHAKE && bytes[RECORD] == CLIENT_HELLO && bytes[ID_LEN] == MESH__SESSION_ID_BYTES &&
		mesh__sessions_get(tls->conf->sessions, bytes + ID, session) > 0;
}

bool mesh__tls_established(const struct mesh__tls *tls)
{
	return tls->established && !tls->dead;
}

bool mesh__tls_resumed(const struct mesh__tls *tls)
{
	return tls->established && !tls->whole;
}

bool mesh__tls_is_http2(const struct mesh__tls *tls)
{
	const char *protocol = tls->established ? mbedtls_ssl_get_alpn_protocol(&tls->ssl) : NULL;

	return protocol != NULL && strcmp(protocol, "h2") == 0;
}

const struct mesh__leaf *mesh__tls_peer(const struct mesh__tls *tls)
{
	return tls->established && tls->judged ? &tls->leaf : NULL;
}

const char *mesh__tls_refusal(const struct mesh__tls *tls)
{
	return tls->refusal;
}

/* ---- failing ---- */

static int alert_of(const mbedtls_ssl_context *ssl)
{
	return ssl->in_msg != NULL ? ssl->in_msg[1] : 0;
}

/* Of those that tell an operator where to look (RFC 8446 section 6). */
static const char *alert_text(int alert)
{
	switch (alert) {
	case 42: return " (bad_certificate: it does not take this side's)";
	case 44: return " (certificate_revoked: this side's)";
	case 45: return " (certificate_expired: this side's; check the clocks of both hosts)";
	case 46: return " (certificate_unknown: it does not take this side's)";
	case 48: return " (unknown_ca: it does not trust the CA of this side's certificate; do both belong to one mesh?)";
	case 70: return " (protocol_version: it speaks no version of TLS that is taken here)";
	case 116: return " (certificate_required: it wants one of this side)";
	default: return "";
	}
}

/* The word and the reason of a handshake that mbedTLS ended with `rc`. */
static int explain(struct mesh__tls *tls, int rc, struct mesh__err *err)
{
	if (tls->why.code != MESH_OK) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, tls->why.code, "%s", tls->why.message);
	}
	if (rc == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) {
		refuse(tls, "no-certificate");
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer showed no certificate");
	}
	if (tls->flags != 0) {
		refuse(tls, mesh__mbed_flags_word(tls->flags));
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer's certificate is refused: %s", mesh__mbed_flags_text(tls->flags));
	}
	if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_CLOSED, "the peer closed during the handshake");
	}
	refuse(tls, "protocol");
	if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_TLS, "the peer refused the handshake with TLS alert %d%s", alert_of(&tls->ssl), alert_text(alert_of(&tls->ssl)));
	}
	rc = mesh__mbed_fail(err, MESH_E_TLS, rc, "the TLS handshake failed");
	if (err != NULL) {
		err->origin = MESH__ORIGIN_TLS;
	}
	return rc;
}

/* RFC 8446 section 6.2, for what mbedTLS did not find itself. */
static unsigned char alert_for(const struct mesh__tls *tls)
{
	if (!tls->shown) {
		return MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
	}
	return (tls->flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0 ? MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED :
		(tls->flags & MBEDTLS_X509_BADCERT_REVOKED) != 0 ? MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED :
		(tls->flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 ? MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA : MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
}

/* mbedTLS tells the peer of most failures by itself; where it did not, this does. */
static int fail_handshake(struct mesh__tls *tls, int rc, size_t out_len_before, struct mesh__err *err)
{
	bool from_peer = rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;

	tls->dead = true;
	if (tls->out->error != MESH_OK) {
		return mesh__buf_error(tls->out, "the TLS handshake", err);
	}
	if (!from_peer && tls->out->len == out_len_before && tls->ssl.state > MBEDTLS_SSL_CLIENT_HELLO) {
		(void)mbedtls_ssl_send_alert_message(&tls->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_for(tls));
	}
	return explain(tls, rc, err);
}

/* ---- receiving ---- */

/* Holds back what may still be the peer's certificates until it has been looked at. */
static int feed(struct mesh__tls *tls, const char *in, size_t len, struct mesh__err *err)
{
	size_t cleared = 0;
	int code;

	if (tls->preview.done) {
		tls->in = (const unsigned char *)in;
		tls->in_len = len;
		return MESH_OK;
	}
	if (len > 0) {
		mesh__buf_add(&tls->held, in, len);
	}
	code = mesh__buf_error(&tls->held, "the TLS handshake", err);
	if (code != MESH_OK || tls->held.len == 0) {
		return code;
	}
	code = mesh__preview(&tls->preview, (const unsigned char *)tls->held.data + tls->cleared, tls->held.len - tls->cleared, &cleared, &tls->why);
	tls->cleared += cleared;
	if (code != MESH_OK) {
		refuse(tls, tls->preview.word);
		return fail_handshake(tls, 0, tls->out->len, err);
	}
	if (tls->preview.tls13) {
		mesh__tls13_offered(&tls->tls13);
	}
	if (tls->preview.certificate && tls->conf->client_optional && tls->ssl.handshake != NULL) {
		/* It need not show one; the one that it shows must be good, or the handshake fails. */
		mbedtls_ssl_set_hs_authmode(&tls->ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
	}
	return MESH_OK;
}

/* What the session was made with may have expired, or have been revoked, since. Its chain is not judged again: the session would not be there under another trust. */
static int judge_resumed(struct mesh__tls *tls)
{
	const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&tls->ssl), *of_ticket = mesh__tls13_resumed(&tls->tls13);
	uint32_t flags = 0;
	int rc;

	cert = cert != NULL ? cert : of_ticket;
	if (cert == NULL) {
		return MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE;
	}
	mesh__mbed_judge_time(tls->conf->env, cert, &flags);
	rc = judge_leaf(tls, cert, &flags);
	tls->flags |= flags;
	return rc;
}

/* Before any arithmetic with the peer's keys (mbed_preview.h has the reason). */
static int refuse_chain(struct mesh__tls *tls, bool too_long)
{
	refuse(tls, too_long ? "chain" : "key");
	(void)mesh__fail_at(&tls->why, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the handshake is refused: %s",
		too_long ? MESH__CHAIN_TOO_LONG : MESH__CHAIN_NOT_MODERN);
	return MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
}

/* Not the library's word alone: who is let in has been judged here, or may come without a certificate and did. Nobody resumes a session without one. */
static int establish(struct mesh__tls *tls, struct mesh__err *err)
{
	bool shown = tls->shown || tls->preview.certificate || !tls->whole;
	int rc = tls->whole ? 0 : judge_resumed(tls);
	/* Of a certificate of TLS 1.3 mbedTLS was kept from judging: `flags` has it all. */
	bool good = tls->judged && tls->flags == 0 && (tls->shown || mesh__tls13_resumed(&tls->tls13) != NULL || mbedtls_ssl_get_verify_result(&tls->ssl) == 0);

	if (rc == 0 && (shown ? !good : !tls->conf->client_optional)) {
		rc = shown ? MBEDTLS_ERR_X509_CERT_VERIFY_FAILED : MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE;
	}
	if (rc != 0) {
		return fail_handshake(tls, rc, tls->out->len, err);
	}
	tls->established = true;
	return MESH_OK;
}

/* TLS 1.3: the chain as the client showed it, of which mbedTLS has verified nothing yet: no signature of its client either, which is the next step. */
static int judge_shown(struct mesh__tls *tls)
{
	mbedtls_x509_crt *chain = mesh__tls13_chain(&tls->tls13);
	uint32_t flags = 0;
	size_t n = 0;
	int rc;

	for (const mbedtls_x509_crt *cert = chain; cert != NULL; cert = cert->next) {
		n++;
	}
	tls->shown = n > 0;
	if (n == 0 || n > MESH__CHAIN_MAX || !mesh__mbed_list_modern(chain)) {
		return n == 0 ? MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE : refuse_chain(tls, n > MESH__CHAIN_MAX);
	}
	rc = mbedtls_x509_crt_verify_with_profile(chain, &tls->conf->roots, NULL, &mesh__mbed_profile, NULL, &flags, judge, tls);
	tls->flags |= flags;
	return rc;
}

static int step(struct mesh__tls *tls)
{
	bool certificate = mesh__tls13_takes_certificate(&tls->tls13);
	int rc = mbedtls_ssl_handshake_step(&tls->ssl);

	return rc == 0 && certificate ? judge_shown(tls) : rc;
}

static int handshake(struct mesh__tls *tls, struct mesh__err *err)
{
	while (tls->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
		size_t before = tls->out->len;
		int rc = step(tls);
		if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
			return MESH_OK;
		}
		if (rc != 0) {
			return fail_handshake(tls, rc, before, err);
		}
		/* A resumed handshake asks for no certificate. */
		tls->whole = tls->whole || tls->ssl.state == MBEDTLS_SSL_CERTIFICATE_REQUEST;
	}
	return establish(tls, err);
}

static int fail_record(struct mesh__tls *tls, int rc, struct mesh__err *err)
{
	if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
		tls->peer_closed = true;
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_CLOSED, "the peer closed the connection");
	}
	tls->dead = true;
	if (tls->out->error != MESH_OK) {
		return mesh__buf_error(tls->out, "the TLS connection", err);
	}
	if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		return mesh__fail_at(err, MESH__ORIGIN_PEER, MESH_E_PROTOCOL, "the peer ended the connection with TLS alert %d", alert_of(&tls->ssl));
	}
	return mesh__mbed_fail(err, MESH_E_PROTOCOL, rc, "a bad TLS record");
}

static int read_plain(struct mesh__tls *tls, struct mesh__buf *plain, struct mesh__err *err)
{
	for (;;) {
		unsigned char none;
		int rc = mbedtls_ssl_read(&tls->ssl, &none, 0); /* opens the next record, so that its size is known */
		size_t n = mbedtls_ssl_get_bytes_avail(&tls->ssl);
		char *room;
		if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
			return MESH_OK;
		}
		if (rc < 0) {
			return fail_record(tls, rc, err);
		}
		if (n == 0) {
			continue;
		}
		room = mesh__buf_reserve(plain, n);
		if (room == NULL) {
			tls->dead = true;
			return mesh__buf_error(plain, "what the peer sent", err);
		}
		rc = mbedtls_ssl_read(&tls->ssl, (unsigned char *)room, n);
		if (rc < 0) {
			return fail_record(tls, rc, err);
		}
		plain->len += (size_t)rc;
		plain->data[plain->len] = '\0';
	}
}

static void forget_taken(struct mesh__tls *tls)
{
	mesh__buf_consume(&tls->held, tls->taken);
	tls->cleared -= tls->taken;
	tls->taken = 0;
	if (tls->held.len == 0 && (tls->preview.done || tls->dead)) {
		mesh__buf_fini(&tls->held);
	}
	tls->in = NULL;
	tls->in_len = 0;
	tls->out = NULL;
}

int mesh__tls_receive(struct mesh__tls *tls, const char *in, size_t len, struct mesh__buf *plain, struct mesh__buf *out, struct mesh__err *err)
{
	int code;

	if (tls->dead || tls->peer_closed) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_CLOSED, "the TLS connection has ended");
	}
	tls->out = out;
	code = feed(tls, in, len, err);
	if (code == MESH_OK && !tls->established) {
		code = handshake(tls, err);
	}
	if (code == MESH_OK && tls->established) {
		code = read_plain(tls, plain, err);
	}
	forget_taken(tls);
	return code;
}

/* ---- sending ---- */

int mesh__tls_send(struct mesh__tls *tls, const void *bytes, size_t len, struct mesh__buf *out, struct mesh__err *err)
{
	const unsigned char *p = bytes;
	int code = MESH_OK;

	if (!mesh__tls_established(tls)) {
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_STATE, "there is no TLS connection to send on");
	}
	tls->out = out;
	while (code == MESH_OK && len > 0) {
		int rc = mbedtls_ssl_write(&tls->ssl, p, len); /* at most one record's worth */
		if (rc < 0) {
			tls->dead = true;
			code = out->error != MESH_OK ? mesh__buf_error(out, "what is sent", err) : mesh__mbed_fail(err, MESH_E_TLS, rc, "a TLS record cannot be written");
		} else {
			p += rc;
			len -= (size_t)rc;
		}
	}
	tls->out = NULL;
	return code;
}

void mesh__tls_close(struct mesh__tls *tls, struct mesh__buf *out)
{
	if (mesh__tls_established(tls)) {
		tls->out = out;
		(void)mbedtls_ssl_close_notify(&tls->ssl);
		tls->out = NULL;
	}
}
