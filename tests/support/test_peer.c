#include "test_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int code, const struct mesh__err *err)
{
	if (code != MESH_OK) {
		(void)fprintf(stderr, "test_peer: %s\n", err->message);
		abort();
	}
}

void test_peer_init(struct test_peer *peer, const struct test_ca *ca, const char *service)
{
	struct mesh__name name = {.ns = "default"};

	memset(peer, 0, sizeof(*peer));
	(void)snprintf(name.trust_domain, sizeof(name.trust_domain), "%s", ca->trust_domain);
	(void)snprintf(name.service, sizeof(name.service), "%s", service);
	mesh__spiffe_format(&name, peer->spiffe);
	mesh__dns_format(&name, peer->dns);
	test_ca_leaf(ca, service, &peer->chain, &peer->key);
}

void test_peer_fini(struct test_peer *peer)
{
	mesh__free(peer->chain);
	mesh__free_secret(peer->key);
}

struct mesh__trust *test_trust(const struct test_ca *ca, const char *revoked)
{
	struct mesh__trust *trust = NULL;
	struct mesh__err err = MESH__NO_ERR;

	must(mesh__trust_new(ca->env, ca->trust_domain, ca->root, &revoked, revoked != NULL, &trust, &err), &err);
	return trust;
}

static struct mesh__tls_conf *tls_conf(const struct test_peer *peer, const struct test_ca *trusted, bool client_optional, bool http2)
{
	struct mesh__trust *trust = test_trust(trusted, NULL);
	struct mesh__tls_conf_options options = {.chain_pem = peer->chain, .key_pem = peer->key, .trust = trust, .client_optional = client_optional, .http2 = http2,
		.sessions = mesh__tls_conf_sessions(trusted->env, NULL, trust)};
	struct mesh__tls_conf *conf = NULL;
	struct mesh__err err = MESH__NO_ERR;

	must(mesh__tls_conf_new(trusted->env, &options, &conf, &err), &err);
	mesh__sessions_unref(options.sessions);
	mesh__trust_unref(trust);
	return conf;
}

struct mesh__tls_conf *test_tls_conf(const struct test_peer *peer, const struct test_ca *trusted, bool client_optional)
{
	return tls_conf(peer, trusted, client_optional, false);
}

struct mesh__tls_conf *test_tls_conf_http2(const struct test_peer *peer, const struct test_ca *trusted)
{
	return tls_conf(peer, trusted, false, true);
}

struct mesh__creds *test_creds(const struct test_peer *peer, const struct test_ca *trusted, uint64_t generation)
{
	struct mesh__trust *trust = test_trust(trusted, NULL);
	struct mesh__creds *creds = NULL;
	struct mesh__err err = MESH__NO_ERR;

	must(mesh__creds_new(trusted->env, generation, peer->chain, peer->key, trust, &creds, &err), &err);
	mesh__trust_unref(trust);
	return creds;
}
