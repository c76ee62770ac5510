#include "support/test_ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const int64_t hour_ms = 3600000;

static void must(int code, const struct mesh__err *err)
{
	if (code != MESH_OK) {
		fprintf(stderr, "test_ca: %s\n", err->message);
		abort();
	}
}

void test_ca_init(struct test_ca *ca, const struct mesh__env *env, const char *trust_domain)
{
	int64_t now_ms = mesh__wall_ms(env);
	struct mesh__validity validity = {now_ms - hour_ms, now_ms + 87600 * hour_ms};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__csr asked;
	char *csr;

	memset(ca, 0, sizeof(*ca));
	ca->env = env;
	(void)snprintf(ca->trust_domain, sizeof(ca->trust_domain), "%s", trust_domain);
	must(mesh__pki_init(&err), &err);
	must(mesh__pki_key_new(env, &ca->root_key, &err), &err);
	must(mesh__pki_root(env, trust_domain, ca->root_key, &validity, &ca->root, &err), &err);
	must(mesh__pki_key_new(env, &ca->inter_key, &err), &err);
	must(mesh__pki_csr_new(env, ca->inter_key, NULL, &csr, &err), &err);
	must(mesh__pki_csr_read(env, csr, strlen(csr), &asked, &err), &err);
	must(mesh__pki_intermediate(env, trust_domain, &asked, ca->root, ca->root_key, &validity, &ca->inter, &err), &err);
	mesh__free(csr);
}

void test_ca_fini(struct test_ca *ca)
{
	mesh__free(ca->root);
	mesh__free(ca->root_key);
	mesh__free(ca->inter);
	mesh__free(ca->inter_key);
	memset(ca, 0, sizeof(*ca));
}

char *test_ca_join(const char *a, const char *b)
{
	size_t size = strlen(a) + strlen(b) + 1;
	char *text = mesh__alloc(mesh__mem_libc(), size);

	if (text == NULL) {
		abort();
	}
	(void)snprintf(text, size, "%s%s", a, b);
	return text;
}

void test_ca_leaf(const struct test_ca *ca, const char *service, char **chain_pem, char **key_pem)
{
	int64_t now_ms = mesh__wall_ms(ca->env);
	struct mesh__validity validity = {now_ms - 60000, now_ms + 48 * hour_ms};
	struct mesh__err err = MESH__NO_ERR;
	char serial[MESH__SERIAL_MAX];
	struct mesh__name name;
	struct mesh__csr asked;
	char *csr, *leaf;

	memset(&name, 0, sizeof(name));
	memcpy(name.trust_domain, ca->trust_domain, sizeof(name.trust_domain));
	(void)snprintf(name.ns, sizeof(name.ns), "default");
	(void)snprintf(name.service, sizeof(name.service), "%s", service);
	must(mesh__pki_key_new(ca->env, key_pem, &err), &err);
	must(mesh__pki_csr_new(ca->env, *key_pem, NULL, &csr, &err), &err);
	must(mesh__pki_csr_read(ca->env, csr, strlen(csr), &asked, &err), &err);
	must(mesh__pki_leaf(ca->env, &name, &asked, ca->inter, ca->inter_key, &validity, &leaf, serial, &err), &err);
	*chain_pem = test_ca_join(leaf, ca->inter);
	mesh__free(leaf);
	mesh__free(csr);
}
