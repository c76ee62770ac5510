#include "io/mbed_tls13.h"

#include "base/mem.h"

/*
 * Every choice of the design's: ECDHE for forward secrecy, ECDSA for the leaf's key, AEAD ciphers alone. Our order decides, and mbedTLS's ChaCha20 is faster than its AES-GCM, with AES instructions too (2.28: 350 against 250 MB/s of
 * one core); to the client's OpenSSL it is about the same.
 */
static const int suites[] = {
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	0,
};
static const char *protocols[] = {"h2", "http/1.1", NULL}; /* the first that the client has too; from the second on without HTTP/2 */

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
static const uint16_t signatures[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_NONE};

/* The most is TLS 1.2, unless mesh__tls13_conf() says otherwise. */
static void set_version(mbedtls_ssl_config *ssl)
{
	mbedtls_ssl_conf_min_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_groups(ssl, groups);
	mbedtls_ssl_conf_sig_algs(ssl, signatures);
}

/* Its tables for P-256 are constants. */
static int warm_up(struct mesh__tls_conf *conf)
{
	(void)conf;
	return 0;
}
#else
static const mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_NONE};
static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_NONE};

/* Its default allows TLS 1.0. */
static void set_version(mbedtls_ssl_config *ssl)
{
	mbedtls_ssl_conf_min_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_max_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_curves(ssl, groups);
	mbedtls_ssl_conf_sig_hashes(ssl, hashes);
}

/* The first multiplication with a key's group writes a table into the group, without a lock: let it happen before handshakes on several threads share the keys. */
static int warm_up(struct mesh__tls_conf *conf)
{
	static const unsigned char hash[32] = {1};
	unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
	size_t len = 0;
	int rc = mbedtls_pk_sign(&conf->key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, &len, mesh__mbed_random, (void *)(uintptr_t)conf->env);

	for (mbedtls_x509_crt *root = &conf->roots; rc == 0 && root != NULL; root = root->next) {
		(void)mbedtls_pk_verify(&root->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, len); /* no root signed it */
	}
	return rc;
}
#endif

/* No sooner than the first of the roots: a chain that ends at `cert` is not asked for its root. */
static bool outlives_a_root(const struct mesh__tls_conf *conf, const mbedtls_x509_crt *cert)
{
	for (const mbedtls_x509_crt *root = &conf->roots; root != NULL; root = root->next) {
		if (mesh__mbed_time_ms(&cert->valid_to) > mesh__mbed_time_ms(&root->valid_to)) {
			return true;
		}
	}
	return false;
}

/*
 * Peers mostly hang from the intermediate that this process itself hangs from. Verified here once, it need not be verified in each handshake: of the 5 ms that one costs, that is more than 1.
 * Where the own chain does not stand, nothing is added.
 */
static int add_own_issuers(struct mesh__tls_conf *conf, const struct mesh__tls_conf_options *options, struct mesh__err *err)
{
	if (mesh__pki_chain_verify(conf->env, options->chain_pem, mesh__trust_roots(options->trust), NULL) != MESH_OK) {
		return MESH_OK;
	}
	for (const mbedtls_x509_crt *issuer = conf->chain.next; issuer != NULL; issuer = issuer->next) {
		int rc = outlives_a_root(conf, issuer) ? 0 : mbedtls_x509_crt_parse_der(&conf->roots, issuer->raw.p, issuer->raw.len);
		if (rc != 0) {
			return mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "TLS cannot be set up");
		}
	}
	return MESH_OK;
}

static int load(struct mesh__tls_conf *conf, const struct mesh__tls_conf_options *options, struct mesh__err *err)
{
	int code = mesh__mbed_certs_parse(&conf->chain, options->chain_pem, MESH__CHAIN_MAX, err);

	if (code == MESH_OK) {
		code = mesh__mbed_key_parse(conf->env, &conf->key, options->key_pem, err);
	}
	if (code == MESH_OK) {
		code = mesh__mbed_key_check(conf->env, &conf->key, err);
	}
	if (code == MESH_OK && !mesh__mbed_same_key(&conf->chain.pk, &conf->key)) {
		code = mesh__fail(err, MESH_E_INVALID, "the private key does not belong to the certificate");
	}
	if (code == MESH_OK) {
		code = mesh__mbed_certs_parse(&conf->roots, mesh__trust_roots(options->trust), MESH__CHAIN_MAX, err);
	}
	if (code == MESH_OK) {
		code = add_own_issuers(conf, options, err);
	}
	return code;
}

static int set_up(struct mesh__tls_conf *conf, bool http2, struct mesh__err *err)
{
	int rc = mbedtls_ssl_config_defaults(&conf->ssl, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (rc == 0) {
		set_version(&conf->ssl);
		mbedtls_ssl_conf_ciphersuites(&conf->ssl, suites);
		mesh__tls13_conf(conf);
		mbedtls_ssl_conf_rng(&conf->ssl, mesh__mbed_random, (void *)(uintptr_t)conf->env);
		mbedtls_ssl_conf_cert_profile(&conf->ssl, &mesh__mbed_profile);
		mbedtls_ssl_conf_ca_chain(&conf->ssl, &conf->roots, NULL);
		mbedtls_ssl_conf_authmode(&conf->ssl, conf->client_optional ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED);
		mbedtls_ssl_conf_renegotiation(&conf->ssl, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
		if (conf->sessions != NULL) {
			mesh__mbed_use_sessions(&conf->ssl, conf->sessions);
		}
		rc = mbedtls_ssl_conf_alpn_protocols(&conf->ssl, http2 ? protocols : protocols + 1);
	}
	rc = rc != 0 ? rc : mbedtls_ssl_conf_own_cert(&conf->ssl, &conf->chain, &conf->key);
	rc = rc != 0 ? rc : warm_up(conf);
	return rc == 0 ? MESH_OK : mesh__mbed_fail(err, MESH_E_INTERNAL, rc, "TLS cannot be set up");
}

int mesh__tls_conf_new(const struct mesh__env *env, const struct mesh__tls_conf_options *options, struct mesh__tls_conf **out, struct mesh__err *err)
{
	struct mesh__tls_conf *conf;
	int code = mesh__pki_init(err);

	*out = NULL;
	if (code != MESH_OK) {
		return code;
	}
	conf = mesh__alloc(&env->mem, sizeof(*conf));
	if (conf == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&conf->refs, 1);
	conf->env = env;
	conf->trust = mesh__trust_ref(options->trust);
	conf->client_optional = options->client_optional;
	conf->tls13 = !options->client_optional && !options->tls12;
	conf->sessions = options->sessions != NULL ? mesh__sessions_ref(options->sessions) : NULL;
	mbedtls_ssl_config_init(&conf->ssl);
	mbedtls_x509_crt_init(&conf->chain);
	mbedtls_x509_crt_init(&conf->roots);
	mbedtls_pk_init(&conf->key);
	code = load(conf, options, err);
	if (code == MESH_OK) {
		code = set_up(conf, options->http2, err);
	}
	if (code != MESH_OK) {
		mesh__tls_conf_unref(conf);
		return code;
	}
	*out = conf;
	return MESH_OK;
}

struct mesh__sessions *mesh__tls_conf_sessions(const struct mesh__env *env, const struct mesh__tls_conf *old, const struct mesh__trust *trust)
{
	if (old != NULL && old->sessions != NULL && mesh__trust_same(old->trust, trust)) {
		return mesh__sessions_ref(old->sessions);
	}
	return mesh__sessions_new(env);
}

struct mesh__tls_conf *mesh__tls_conf_ref(struct mesh__tls_conf *conf)
{
	atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);
	return conf;
}

void mesh__tls_conf_unref(struct mesh__tls_conf *conf)
{
	if (conf != NULL && atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel) == 1) {
		mbedtls_ssl_config_free(&conf->ssl);
		mbedtls_x509_crt_free(&conf->chain);
		mbedtls_x509_crt_free(&conf->roots);
		mbedtls_pk_free(&conf->key);
		mesh__sessions_unref(conf->sessions);
		mesh__trust_unref(conf->trust);
		mesh__free(conf);
	}
}
