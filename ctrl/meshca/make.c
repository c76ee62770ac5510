#include "meshca/make.h"

#include <string.h>

#include "io/pki.h"
#include "wire/utc.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* A CA certificate begins an hour before its making: a machine whose clock is behind by less can use it at once. */
#define BACKDATE_MS ((int64_t)3600 * 1000)

static struct mesh__validity life_of(const struct mesh__env *env, int days)
{
	int64_t now_ms = mesh__wall_ms(env);

	return (struct mesh__validity){now_ms - BACKDATE_MS, now_ms + days * DAY_MS};
}

/* The key that `name` holds; when it is not there, a new one, written before it is used. */
static int key_of(const struct mesh__env *env, const struct meshca_dir *dir, const char *name, char **key, struct mesh__err *err)
{
	int code;

	if (meshca_dir_has(dir, name)) {
		return meshca_dir_read(dir, &env->mem, name, MESH__PEM_MAX_BYTES, true, key, err);
	}
	code = mesh__pki_key_new(env, key, err);
	if (code == MESH_OK) {
		code = meshca_dir_write(dir, name, *key, 0600, false, err);
	}
	return code;
}

int meshca_make_root(const struct mesh__env *env, const struct meshca_dir *dir, const char *trust_domain, int days, struct mesh__err *err)
{
	struct mesh__validity life = life_of(env, days);
	char *key = NULL, *cert = NULL;
	int code;

	if (meshca_dir_has(dir, MESHCA_ROOT_CERT)) {
		return mesh__fail(err, MESH_E_EXISTS, "%s/%s: there is a root already; it is not overwritten", dir->path, MESHCA_ROOT_CERT);
	}
	code = key_of(env, dir, MESHCA_ROOT_KEY, &key, err);
	if (code == MESH_OK) {
		code = mesh__pki_root(env, trust_domain, key, &life, &cert, err);
	}
	if (code == MESH_OK) {
		code = meshca_dir_write(dir, MESHCA_ROOT_CERT, cert, 0644, false, err);
	}
	mesh__free_secret(key);
	mesh__free(cert);
	return code;
}

/* What signs an intermediate. */
struct root {
	char *cert, *key;
	struct mesh__cert facts;
	const char *trust_domain; /* inside `facts` */
};

static void root_fini(struct root *root)
{
	mesh__free(root->cert);
	mesh__free_secret(root->key);
}

static int root_check(const struct meshca_dir *dir, struct root *root, struct mesh__err *err)
{
	static const char scheme[] = "spiffe://";

	if (!root->facts.ca || strncmp(root->facts.uri, scheme, strlen(scheme)) != 0) {
		return mesh__fail(err, MESH_E_INVALID, "%s/%s: is not a mesh's root (a CA certificate with the URI SAN spiffe://TRUST-DOMAIN)", dir->path, MESHCA_ROOT_CERT);
	}
	root->trust_domain = root->facts.uri + strlen(scheme);
	if (!mesh__trust_domain_valid(root->trust_domain, strlen(root->trust_domain))) {
		return mesh__fail(err, MESH_E_INVALID, "%s/%s: its URI SAN %s names no trust domain", dir->path, MESHCA_ROOT_CERT, root->facts.uri);
	}
	if (!mesh__pki_matches(root->cert, root->key)) {
		return mesh__fail(err, MESH_E_INVALID, "%s: %s is not the key of %s; put the two that belong together there", dir->path, MESHCA_ROOT_KEY, MESHCA_ROOT_CERT);
	}
	return MESH_OK;
}

static int root_load(const struct mesh__env *env, const struct meshca_dir *dir, struct root *root, struct mesh__err *err)
{
	int code = meshca_dir_read(dir, &env->mem, MESHCA_ROOT_CERT, MESHCA_CERTS_MAX_BYTES, false, &root->cert, err);

	if (code == MESH_OK) {
		code = meshca_dir_read(dir, &env->mem, MESHCA_ROOT_KEY, MESH__PEM_MAX_BYTES, true, &root->key, err);
	}
	if (code == MESH_OK) {
		code = mesh__pki_cert_read(root->cert, &root->facts, err);
	}
	return code == MESH_OK ? root_check(dir, root, err) : code;
}

/* The intermediate's certificate over the key in a request, never longer than the root's. */
static int certify(const struct mesh__env *env, const struct root *root, const char *csr_pem, int days, char **cert, struct mesh__err *err)
{
	struct mesh__validity life = life_of(env, days);
	struct mesh__csr csr;
	char ended[MESH__UTC_TEXT];
	int code = mesh__pki_csr_read(env, csr_pem, strlen(csr_pem), &csr, err);

	if (code != MESH_OK) {
		return code;
	}
	if (memcmp(csr.pin, root->facts.pin, sizeof(csr.pin)) == 0) {
		return mesh__fail(err, MESH_E_INVALID, "the request is for the root's own key; an intermediate has a key of its own");
	}
	if (root->facts.not_after_ms <= mesh__wall_ms(env)) {
		mesh__utc_format(root->facts.not_after_ms, ended);
		return mesh__fail(err, MESH_E_INVALID, "the root's life ended on %s; it signs nothing any more", ended);
	}
	if (life.not_after_ms > root->facts.not_after_ms) {
		life.not_after_ms = root->facts.not_after_ms;
	}
	if (life.not_before_ms < root->facts.not_before_ms) {
		life.not_before_ms = root->facts.not_before_ms;
	}
	return mesh__pki_intermediate(env, root->trust_domain, &csr, root->cert, root->key, &life, cert, err);
}

static int write_issuer(const struct mesh__env *env, const struct root *root, const struct meshca_dir *out, const char *csr_pem, int days, struct mesh__err *err)
{
	char *key = NULL, *own_csr = NULL, *cert = NULL;
	int code = MESH_OK;

	if (!meshca_dir_has(out, MESHCA_ROOTS)) { /* one that is there may hold more roots than this one */
		code = meshca_dir_write(out, MESHCA_ROOTS, root->cert, 0644, false, err);
	}
	if (code == MESH_OK && csr_pem == NULL) {
		code = key_of(env, out, MESHCA_ISSUER_KEY, &key, err);
		if (code == MESH_OK) {
			code = mesh__pki_csr_new(env, key, NULL, &own_csr, err);
		}
		csr_pem = own_csr;
	}
	if (code == MESH_OK) {
		code = certify(env, root, csr_pem, days, &cert, err);
	}
	if (code == MESH_OK) {
		code = meshca_dir_write(out, MESHCA_ISSUER_CERT, cert, 0644, false, err);
	}
	mesh__free_secret(key);
	mesh__free(own_csr);
	mesh__free(cert);
	return code;
}

int meshca_make_issuer(const struct mesh__env *env, const struct meshca_dir *root_dir, const struct meshca_dir *out, const char *csr_pem, int days, struct mesh__err *err)
{
	struct root root = {0};
	int code;

	if (meshca_dir_has(out, MESHCA_ISSUER_CERT)) {
		return mesh__fail(err, MESH_E_EXISTS, "%s/%s: there is an intermediate already; it is not overwritten", out->path, MESHCA_ISSUER_CERT);
	}
	code = root_load(env, root_dir, &root, err);
	if (code == MESH_OK) {
		code = write_issuer(env, &root, out, csr_pem, days, err);
	}
	root_fini(&root);
	return code;
}

int meshca_remake_issuer(const struct mesh__env *env, const struct meshca_dir *dir, const char *issuer_key_pem, int days, struct mesh__err *err)
{
	struct root root = {0};
	char *csr = NULL, *cert = NULL;
	int code = root_load(env, dir, &root, err);

	if (code == MESH_OK) {
		code = mesh__pki_csr_new(env, issuer_key_pem, NULL, &csr, err);
	}
	if (code == MESH_OK) {
		code = certify(env, &root, csr, days, &cert, err);
	}
	if (code == MESH_OK) {
		code = meshca_dir_write(dir, MESHCA_ISSUER_CERT, cert, 0644, true, err);
	}
	root_fini(&root);
	mesh__free(csr);
	mesh__free(cert);
	return code;
}

int meshca_make_request(const struct mesh__env *env, const struct meshca_dir *dir, struct mesh__err *err)
{
	char *key = NULL, *csr = NULL;
	int code;

	if (meshca_dir_has(dir, MESHCA_ISSUER_CSR) || meshca_dir_has(dir, MESHCA_ISSUER_CERT)) {
		return mesh__fail(err, MESH_E_EXISTS, "%s: there is a request or an intermediate already (%s, %s); neither is overwritten", dir->path, MESHCA_ISSUER_CSR, MESHCA_ISSUER_CERT);
	}
	code = key_of(env, dir, MESHCA_ISSUER_KEY, &key, err);
	if (code == MESH_OK) {
		code = mesh__pki_csr_new(env, key, NULL, &csr, err);
	}
	if (code == MESH_OK) {
		code = meshca_dir_write(dir, MESHCA_ISSUER_CSR, csr, 0644, false, err);
	}
	mesh__free_secret(key);
	mesh__free(csr);
	return code;
}
