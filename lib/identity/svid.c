#include "identity/svid.h"

#include <stdatomic.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "http/client.h"

enum { BACKDATE_MS = 60 * 1000 }; /* by the CA, for clocks that are behind */

static int check(const struct mesh__env *env, struct mesh__svid *svid, struct mesh__err *err)
{
	int code = mesh__pki_leaf_read(svid->chain_pem, strlen(svid->chain_pem), &svid->leaf, err);

	if (code != MESH_OK) {
		return code;
	}
	if (mesh__creds_sound(env, svid->chain_pem, svid->key_pem, svid->roots_pem)) {
		return MESH_OK;
	}
	/* Why not: a lack of memory is none of the identity's faults. */
	if (!mesh__pki_matches(svid->chain_pem, svid->key_pem)) {
		return mesh__fail(err, MESH_E_IDENTITY, "the private key does not belong to the certificate of %s", svid->leaf.spiffe);
	}
	return mesh__pki_chain_verify(env, svid->chain_pem, svid->roots_pem, err);
}

int mesh__svid_new(const struct mesh__env *env, const char *key_pem, const char *chain_pem, const char *roots_pem, struct mesh__svid **out, struct mesh__err *err)
{
	struct mesh__svid *svid = mesh__alloc(&env->mem, sizeof(*svid));
	int code;

	*out = NULL;
	if (svid == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&svid->refs, 1);
	svid->key_pem = mesh__strdup(&env->mem, key_pem);
	svid->chain_pem = mesh__strdup(&env->mem, chain_pem);
	svid->roots_pem = mesh__strdup(&env->mem, roots_pem);
	if (svid->key_pem == NULL || svid->chain_pem == NULL || svid->roots_pem == NULL) {
		code = mesh__fail_memory(err);
	} else {
		code = check(env, svid, err);
	}
	if (code != MESH_OK) {
		mesh__svid_unref(svid);
		return code;
	}
	*out = svid;
	return MESH_OK;
}

struct mesh__svid *mesh__svid_ref(struct mesh__svid *svid)
{
	atomic_fetch_add_explicit(&svid->refs, 1, memory_order_relaxed);
	return svid;
}

void mesh__svid_unref(struct mesh__svid *svid)
{
	if (svid == NULL || atomic_fetch_sub_explicit(&svid->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	mesh__free_secret(svid->key_pem);
	mesh__free(svid->chain_pem);
	mesh__free(svid->roots_pem);
	mesh__free(svid);
}

int mesh__svid_from_files(const struct mesh__env *env, const char *cert_file, const char *key_file, const char *roots_file, struct mesh__svid **out, struct mesh__err *err)
{
	char *cert = NULL, *key = NULL, *roots = NULL;
	int code;

	*out = NULL;
	code = mesh__file_read(&env->mem, cert_file, MESH__PEM_MAX_BYTES, &cert, NULL, err);
	if (code == MESH_OK) {
		code = mesh__file_read(&env->mem, key_file, MESH__PEM_MAX_BYTES, &key, NULL, err);
	}
	if (code == MESH_OK) {
		code = mesh__file_read(&env->mem, roots_file, MESH__PEM_MAX_BYTES, &roots, NULL, err);
	}
	if (code == MESH_OK) {
		code = mesh__svid_new(env, key, cert, roots, out, err);
		if (code != MESH_OK) {
			code = mesh__wrap(err, "%s with %s and %s", cert_file, key_file, roots_file);
		}
	}
	mesh__free(cert);
	mesh__free_secret(key);
	mesh__free(roots);
	return code;
}

int mesh__svid_pinned_root(const struct mesh__env *env, const char *roots_pem, const unsigned char pin[32], char **out, struct mesh__err *err)
{
	char *roots[MESH__CHAIN_MAX];
	unsigned char own[32];
	size_t n;
	int code = mesh__pki_split(&env->mem, roots_pem, roots, &n, err);

	*out = NULL;
	if (code != MESH_OK) {
		return code;
	}
	for (size_t i = 0; i < n; i++) {
		if (*out == NULL && mesh__pki_pin_of_cert(roots[i], own, NULL) == MESH_OK && memcmp(own, pin, sizeof(own)) == 0) {
			*out = roots[i];
		} else {
			mesh__free(roots[i]);
		}
	}
	return *out == NULL ? mesh__fail(err, MESH_E_NOT_FOUND, "no root has the pinned key") : MESH_OK;
}

int64_t mesh__svid_renew_in_ms(const struct mesh__leaf *leaf, int64_t wall_ms, uint64_t draw)
{
	/* What the CA dated back is no time that it lived: of a short life it would be most, and the renewal overdue at once. */
	int64_t issued_ms = leaf->not_after_ms - leaf->not_before_ms > BACKDATE_MS ? leaf->not_before_ms + BACKDATE_MS : leaf->not_before_ms;
	int64_t life = leaf->not_after_ms - issued_ms;
	int64_t age = wall_ms - issued_ms;
	int64_t point;

	if (life <= 0 || age >= life) {
		return 0;
	}
	if (age < 0) {
		age = 0; /* a clock that is behind: as if new */
	}
	point = life / 4 + (int64_t)(draw % (uint64_t)(life / 5 + 1));
	return point > age ? point - age : 0;
}
