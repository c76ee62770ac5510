#include "identity/join_key.h"

#include "base/mem.h"
#include "io/pki.h"

int mesh__join_key_new(const struct mesh__env *env, struct mesh__join_key **out, struct mesh__err *err)
{
	struct mesh__join_key *key = mesh__alloc(&env->mem, sizeof(*key));
	int code;

	*out = NULL;
	if (key == NULL) {
		return mesh__fail_memory(err);
	}
	code = mesh__pki_key_new(env, &key->key_pem, err);
	if (code != MESH_OK) {
		mesh__join_key_free(key);
		return code;
	}
	*out = key;
	return MESH_OK;
}

int mesh__join_key_request(const struct mesh__env *env, struct mesh__join_key *key, const char *spiffe, struct mesh__err *err)
{
	return key->csr_pem != NULL ? MESH_OK : mesh__pki_csr_new(env, key->key_pem, spiffe, &key->csr_pem, err);
}

void mesh__join_key_free(struct mesh__join_key *key)
{
	if (key != NULL) {
		mesh__free_secret(key->key_pem);
		mesh__free(key->csr_pem);
		mesh__free(key);
	}
}
