#include "http/curl_peer_ctx.h"

#include <curl/curl.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "http/curl_peer.h"
#include "http/curl_peer_sessions.h"
#include "io/pki.h"

struct mesh__curl_peer_ctx {
	X509 *leaf;
	STACK_OF(X509) *cas; /* of the chain, behind the leaf */
	EVP_PKEY *key;
	X509_STORE *roots;
};

/* ---- reading ---- */

/* The end of a PEM text is told as an error too. */
static bool read_to_end(void)
{
	unsigned long why = ERR_peek_last_error();

	return ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}

/*
 * Reads the extensions of a certificate, which OpenSSL would do with the first handshake: that is to say write, under a lock of its own, to what other threads' handshakes look at too; and what cannot be read, for want of
 * memory for instance, would stay so for the certificate's life.
 */
static bool read_extensions(X509 *cert)
{
	return (X509_get_extension_flags(cert) & EXFLAG_INVALID) == 0;
}

/* The certificates of a PEM text; NULL when there is none, or one that cannot be read. */
static STACK_OF(X509) *read_certs(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool fine = bio != NULL && certs != NULL;
	X509 *cert;

	while (fine && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		fine = read_extensions(cert) && sk_X509_push(certs, cert) > 0;
		if (!fine) {
			X509_free(cert);
		}
	}
	BIO_free(bio);
	if (!fine || sk_X509_num(certs) == 0 || !read_to_end()) {
		sk_X509_pop_free(certs, X509_free);
		return NULL;
	}
	ERR_clear_error();
	return certs;
}

/* An EC key, said beforehand: else OpenSSL gathers the decoders of every kind that it knows. */
static EVP_PKEY *read_key(const char *pem)
{
	const unsigned char *at = (const unsigned char *)pem;
	size_t left = strlen(pem);
	EVP_PKEY *key = NULL;
	OSSL_DECODER_CTX *decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, "EC", EVP_PKEY_KEYPAIR, NULL, NULL);

	/* An empty password in place of a question on the terminal. On failure `key` stays NULL, and the reason is in OpenSSL's queue. */
	(void)(decoder != NULL && OSSL_DECODER_CTX_set_passphrase(decoder, (const unsigned char *)"", 0) == 1 && OSSL_DECODER_from_data(decoder, &at, &left) == 1);
	OSSL_DECODER_CTX_free(decoder);
	return key;
}

static X509_STORE *read_roots(const char *pem)
{
	STACK_OF(X509) *certs = read_certs(pem);
	X509_STORE *store = certs == NULL ? NULL : X509_STORE_new();
	/* As libcurl sets up its own: what is trusted ends the chain, also where it is no root itself. */
	bool fine = store != NULL && X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN) == 1;

	for (int i = 0; fine && i < sk_X509_num(certs); i++) {
		fine = X509_STORE_add_cert(store, sk_X509_value(certs, i)) == 1;
	}
	sk_X509_pop_free(certs, X509_free);
	if (!fine) {
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}

static bool read_all(struct mesh__curl_peer_ctx *ctx, const char *chain_pem, const char *key_pem, const char *roots_pem)
{
	ctx->cas = read_certs(chain_pem);
	ctx->leaf = ctx->cas == NULL ? NULL : sk_X509_shift(ctx->cas);
	ctx->key = ctx->leaf == NULL ? NULL : read_key(key_pem);
	ctx->roots = ctx->key == NULL ? NULL : read_roots(roots_pem);
	return ctx->roots != NULL && X509_check_private_key(ctx->leaf, ctx->key) == 1;
}

/* ---- judging ---- */

static bool is_p256(const X509 *cert)
{
	const EVP_PKEY *key = X509_get0_pubkey(cert);
	char group[32];

	return key != NULL && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 && strcmp(group, SN_X9_62_prime256v1) == 0;
}

static bool is_modern(const X509 *cert)
{
	return is_p256(cert) && X509_get_signature_nid(cert) == NID_ecdsa_with_SHA256;
}

static bool is_chain_modern(const struct mesh__curl_peer_ctx *ctx)
{
	bool modern = is_modern(ctx->leaf) && sk_X509_num(ctx->cas) < MESH__CHAIN_MAX;

	for (int i = 0; modern && i < sk_X509_num(ctx->cas); i++) {
		modern = is_modern(sk_X509_value(ctx->cas, i));
	}
	return modern;
}

/* What is signed with the one half must be believed by the other, which is the leaf's. */
static bool is_key_whole(const struct mesh__curl_peer_ctx *ctx)
{
	EVP_PKEY_CTX *key = EVP_PKEY_CTX_new_from_pkey(NULL, ctx->key, NULL);
	bool whole = key != NULL && EVP_PKEY_pairwise_check(key) == 1;

	EVP_PKEY_CTX_free(key);
	return whole;
}

/* By the environment's clock. The last second belongs to it (RFC 5280 section 4.1.2.5). */
static bool is_in_time(const X509 *cert, int64_t now_ms)
{
	struct tm from, to;

	return ASN1_TIME_to_tm(X509_get0_notBefore(cert), &from) == 1 && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &to) == 1 && now_ms >= (int64_t)timegm(&from) * 1000 &&
		now_ms < (int64_t)timegm(&to) * 1000 + 1000;
}

/* A leaf that is trusted itself has nobody who vouches for it: a chain is two at least. */
static bool is_good_chain(const STACK_OF(X509) *chain, int64_t now_ms)
{
	int n = sk_X509_num(chain);
	bool good = n >= 2 && is_p256(sk_X509_value(chain, n - 1));

	for (int i = 0; good && i < n; i++) {
		good = is_in_time(sk_X509_value(chain, i), now_ms);
	}
	return good;
}

/* The bounds come before the arithmetic. */
static bool is_bounded(const char *chain_pem, const char *key_pem, const char *roots_pem)
{
	return strnlen(chain_pem, MESH__PEM_MAX_BYTES + 1) <= MESH__PEM_MAX_BYTES && strnlen(key_pem, MESH__PEM_MAX_BYTES + 1) <= MESH__PEM_MAX_BYTES &&
		strnlen(roots_pem, MESH__PEM_MAX_BYTES + 1) <= MESH__PEM_MAX_BYTES;
}

static bool leads_to_root(const struct mesh__curl_peer_ctx *ctx, int64_t now_ms)
{
	X509_STORE_CTX *verify = X509_STORE_CTX_new();
	bool leads = verify != NULL && sk_X509_OBJECT_num(X509_STORE_get0_objects(ctx->roots)) <= MESH__CHAIN_MAX && X509_STORE_CTX_init(verify, ctx->roots, ctx->leaf, ctx->cas) == 1;

	if (leads) {
		X509_STORE_CTX_set_flags(verify, X509_V_FLAG_NO_CHECK_TIME); /* which is the machine's */
		leads = X509_verify_cert(verify) == 1 && is_good_chain(X509_STORE_CTX_get0_chain(verify), now_ms);
	}
	X509_STORE_CTX_free(verify);
	return leads;
}

/* ---- life ---- */

static void fini(struct mesh__curl_peer_ctx *ctx)
{
	X509_free(ctx->leaf);
	sk_X509_pop_free(ctx->cas, X509_free);
	EVP_PKEY_free(ctx->key);
	X509_STORE_free(ctx->roots);
}

/* Whether memory was short: told first, and then perhaps as what that led to. */
static bool memory_was_short(void)
{
	bool was = false;
	unsigned long why;

	while ((why = ERR_get_error()) != 0) {
		was = was || ERR_GET_REASON(why) == ERR_R_MALLOC_FAILURE;
	}
	return was;
}

static int fail(struct mesh__err *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (memory_was_short()) {
		return mesh__fail_memory(err);
	}
	return mesh__fail(err, MESH_E_INVALID, "the own certificate, its key or the roots cannot be used: %s", reason == NULL ? "malformed" : reason);
}

int mesh__curl_peer_ctx_new(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem, struct mesh__curl_peer_ctx **out, struct mesh__err *err)
{
	struct mesh__curl_peer_ctx *ctx;

	*out = NULL;
	if (!mesh__curl_peer_readable()) {
		return MESH_OK;
	}
	ctx = mesh__alloc(&env->mem, sizeof(*ctx));
	if (ctx == NULL) {
		return mesh__fail_memory(err);
	}
	ERR_clear_error();
	if (!read_all(ctx, chain_pem, key_pem, roots_pem)) {
		mesh__curl_peer_ctx_free(ctx);
		return fail(err);
	}
	*out = ctx;
	return MESH_OK;
}

void mesh__curl_peer_ctx_free(struct mesh__curl_peer_ctx *ctx)
{
	if (ctx != NULL) {
		fini(ctx);
		mesh__free(ctx);
	}
}

bool mesh__curl_peer_ctx_sound(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem)
{
	struct mesh__curl_peer_ctx ctx = {.leaf = NULL};
	bool sound = is_bounded(chain_pem, key_pem, roots_pem) && read_all(&ctx, chain_pem, key_pem, roots_pem) && is_key_whole(&ctx) && is_chain_modern(&ctx) && leads_to_root(&ctx, mesh__wall_ms(env));

	fini(&ctx);
	ERR_clear_error();
	return sound;
}

/* ---- a connection ---- */

/*
 * The roots become the store that peers are verified with, and not the context's own: that one libcurl fills by itself, before or (7.88) after this callback, and OpenSSL does not look at it then. So
 * ours is never written to, and nothing that libcurl was built to trust has a say.
 */
static CURLcode on_ctx(CURL *curl, void *ssl_ctx, void *arg)
{
	const struct mesh__curl_peer_use *use = arg;
	const struct mesh__curl_peer_ctx *ctx = use->ctx;
	bool fine;

	(void)curl;
	if (use->sessions != NULL && !mesh__curl_sessions_use(use->sessions, ssl_ctx)) {
		return CURLE_OUT_OF_MEMORY;
	}
	fine = SSL_CTX_use_certificate(ssl_ctx, ctx->leaf) == 1 && SSL_CTX_set1_chain(ssl_ctx, ctx->cas) == 1 && SSL_CTX_use_PrivateKey(ssl_ctx, ctx->key) == 1 &&
		SSL_CTX_set1_verify_cert_store(ssl_ctx, ctx->roots) == 1;
	return fine ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

bool mesh__curl_peer_ctx_use(const struct mesh__curl_peer_use *use, void *curl)
{
	return curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ctx) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, (void *)(uintptr_t)use) == CURLE_OK;
}
