#include <stdatomic.h>

#include "http/client.h"
#include "http/curl_peer_ctx.h"

struct mesh__creds {
	atomic_int refs;
	uint64_t generation;
	char *chain_pem;
	char *key_pem;
	struct mesh__trust *trust;
	struct mesh__curl_peer_ctx *ctx; /* NULL: libcurl gets the texts */
};

static void creds_free(struct mesh__creds *creds)
{
	mesh__free(creds->chain_pem);
	mesh__free_secret(creds->key_pem);
	mesh__trust_unref(creds->trust);
	mesh__curl_peer_ctx_free(creds->ctx);
	mesh__free(creds);
}

int mesh__creds_new(const struct mesh__env *env, uint64_t generation, const char *chain_pem, const char *key_pem, struct mesh__trust *trust, struct mesh__creds **out, struct mesh__err *err)
{
	struct mesh__creds *creds;
	int code;

	*out = NULL;
	if (chain_pem == NULL || key_pem == NULL || trust == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "credentials need a certificate, its key and roots to trust");
	}
	creds = mesh__alloc(&env->mem, sizeof(*creds));
	if (creds == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&creds->refs, 1);
	creds->generation = generation;
	creds->trust = mesh__trust_ref(trust);
	creds->chain_pem = mesh__strdup(&env->mem, chain_pem);
	creds->key_pem = mesh__strdup(&env->mem, key_pem);
	if (creds->chain_pem == NULL || creds->key_pem == NULL) {
		code = mesh__fail_memory(err);
	} else {
		code = mesh__curl_peer_ctx_new(env, chain_pem, key_pem, mesh__trust_roots(trust), &creds->ctx, err);
	}
	if (code != MESH_OK) {
		creds_free(creds);
		return code;
	}
	*out = creds;
	return MESH_OK;
}

bool mesh__creds_sound(const struct mesh__env *env, const char *chain_pem, const char *key_pem, const char *roots_pem)
{
	return mesh__curl_peer_ctx_sound(env, chain_pem, key_pem, roots_pem);
}

struct mesh__creds *mesh__creds_ref(struct mesh__creds *creds)
{
	(void)atomic_fetch_add_explicit(&creds->refs, 1, memory_order_relaxed);
	return creds;
}

void mesh__creds_unref(struct mesh__creds *creds)
{
	if (creds != NULL && atomic_fetch_sub_explicit(&creds->refs, 1, memory_order_acq_rel) == 1) {
		creds_free(creds);
	}
}

uint64_t mesh__creds_generation(const struct mesh__creds *creds)
{
	return creds->generation;
}

struct mesh__trust *mesh__creds_trust(const struct mesh__creds *creds)
{
	return creds->trust;
}

const char *mesh__creds_chain(const struct mesh__creds *creds)
{
	return creds->chain_pem;
}

const char *mesh__creds_key(const struct mesh__creds *creds)
{
	return creds->key_pem;
}

const struct mesh__curl_peer_ctx *mesh__creds_ctx(const struct mesh__creds *creds)
{
	return creds->ctx;
}
