/* What a stranger sends to a TLS server before anything is proved: the first byte says in which pieces it comes. Without a key of ours nothing may come out of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls.h"
#include "support/fake_env.h"
#include "support/test_ca.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mesh__tls_conf *conf_once(void)
{
	static struct mesh__tls_conf *conf;
	static struct fake_env fake;
	struct mesh__tls_conf_options options = {.client_optional = false};
	struct test_ca ca;
	char *chain, *key;

	if (conf != NULL) {
		return conf;
	}
	fake_env_init(&fake);
	test_ca_init(&ca, &fake.env, "mesh.local");
	test_ca_leaf(&ca, "payments", &chain, &key);
	options.chain_pem = chain;
	options.key_pem = key;
	if (mesh__trust_new(&fake.env, "mesh.local", ca.root, NULL, 0, &options.trust, NULL) != MESH_OK || mesh__tls_conf_new(&fake.env, &options, &conf, NULL) != MESH_OK) {
		abort();
	}
	mesh__trust_unref(options.trust);
	test_ca_fini(&ca);
	mesh__free(chain);
	mesh__free_secret(key);
	return conf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__buf plain, out;
	struct mesh__tls *tls;
	size_t step = size > 0 && data[0] != 0 ? data[0] : size + 1;
	int code = MESH_OK;

	if (mesh__tls_new(conf_once(), &tls) != MESH_OK) {
		return 0;
	}
	mesh__buf_init(&plain, mesh__mem_libc(), 1 << 20);
	mesh__buf_init(&out, mesh__mem_libc(), 1 << 20);
	for (size_t at = 1; code == MESH_OK && at < size; at += step) {
		code = mesh__tls_receive(tls, (const char *)data + at, step < size - at ? step : size - at, &plain, &out, NULL);
	}
	if (mesh__tls_established(tls) || mesh__tls_peer(tls) != NULL || plain.len > 0) {
		abort();
	}
	mesh__tls_free(tls);
	mesh__buf_fini(&plain);
	mesh__buf_fini(&out);
	return 0;
}
