/* A mesh identity for tests, from a test_ca: its names, chain and key, and what a server and a client make of them. Aborts the test where a step fails. */
#ifndef TESTS_SUPPORT_TEST_PEER_H
#define TESTS_SUPPORT_TEST_PEER_H

#include "http/client.h"
#include "io/tls.h"
#include "io/trust.h"
#include "test_ca.h"

struct test_peer {
	char spiffe[MESH__SPIFFE_MAX];
	char dns[MESH__DNS_MAX];
	char *chain, *key; /* PEM */
};

/* `service` in namespace "default". */
void test_peer_init(struct test_peer *peer, const struct test_ca *ca, const char *service);
void test_peer_fini(struct test_peer *peer);

/* Each to be unreferenced by the caller. The trust is the CA's root, with one revoked serial unless `revoked` is NULL. */
struct mesh__trust *test_trust(const struct test_ca *ca, const char *revoked);
/* With sessions of its own that may be resumed. */
struct mesh__tls_conf *test_tls_conf(const struct test_peer *peer, const struct test_ca *trusted, bool client_optional);
/* That takes HTTP/2 too. */
struct mesh__tls_conf *test_tls_conf_http2(const struct test_peer *peer, const struct test_ca *trusted);
struct mesh__creds *test_creds(const struct test_peer *peer, const struct test_ca *trusted, uint64_t generation);

#endif
