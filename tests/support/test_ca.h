/* A CA for tests: a root, an intermediate under it, and honest leaves, made by io/pki with the test's clock and random numbers. It aborts where a test could not go on. */
#ifndef TESTS_SUPPORT_TEST_CA_H
#define TESTS_SUPPORT_TEST_CA_H

#include "base/env.h"
#include "io/pki.h"

struct test_ca {
	const struct mesh__env *env;
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1];
	char *root, *root_key, *inter, *inter_key; /* PEM */
};

/* Both CAs live for ten years, from an hour before now. */
void test_ca_init(struct test_ca *ca, const struct mesh__env *env, const char *trust_domain);
void test_ca_fini(struct test_ca *ca);

/* A leaf of 48 h for `service` in namespace "default", followed by the intermediate; heap PEM for mesh__free(). */
void test_ca_leaf(const struct test_ca *ca, const char *service, char **chain_pem, char **key_pem);

/* The two texts, one after the other; heap, for mesh__free(). */
char *test_ca_join(const char *a, const char *b);

#endif
