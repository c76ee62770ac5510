#include "meshca/keystore.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "meshca/make.h"

static const char default_trust_domain[] = "mesh.local";

#define RETRY_US ((int64_t)3600 * 1000 * 1000)

/* --- what is there --- */

struct presence {
	bool root_cert, root_key, roots, issuer_cert, issuer_key;
};

static struct presence look(const struct meshca_dir *dir)
{
	return (struct presence){
		.root_cert = meshca_dir_has(dir, MESHCA_ROOT_CERT),
		.root_key = meshca_dir_has(dir, MESHCA_ROOT_KEY),
		.roots = meshca_dir_has(dir, MESHCA_ROOTS),
		.issuer_cert = meshca_dir_has(dir, MESHCA_ISSUER_CERT),
		.issuer_key = meshca_dir_has(dir, MESHCA_ISSUER_KEY),
	};
}

static bool complete(const struct presence *p)
{
	return p->issuer_cert && p->issuer_key && p->roots;
}

/*
 * True when making the rest changes nothing that was ever used: a root without an intermediate has signed nobody. Every point at which a first start may have been
 * killed looks like this, so the next start finishes the work. A root.key alone is one such point: its certificate is made over it again, with the same pin.
 */
static bool can_be_made(const struct presence *p)
{
	if (p->issuer_cert) {
		return false;
	}
	if (p->root_key) {
		return p->root_cert || (!p->roots && !p->issuer_key);
	}
	return !p->root_cert && !p->roots && !p->issuer_key;
}

static int refuse_half(const struct meshca_dir *dir, const struct presence *p, struct mesh__err *err)
{
	if (!p->issuer_cert && !p->issuer_key && !p->roots && (p->root_cert || p->root_key)) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "%s: there is a root here but no intermediate; make one with `meshca intermediate --dir %s --out DIR`", dir->path, dir->path);
	}
	if (!p->issuer_cert && !p->issuer_key && !p->roots) {
		return mesh__fail(err, MESH_E_NOT_FOUND, "%s: there is no CA here; make a root with `meshca init` and an intermediate with `meshca intermediate`", dir->path);
	}
	return mesh__fail(err, MESH_E_NOT_FOUND, "%s: half a CA: missing%s%s%s; copy what is missing from where `meshca intermediate --out` put it (or from a backup); nothing was changed",
		dir->path, p->issuer_cert ? "" : " " MESHCA_ISSUER_CERT, p->issuer_key ? "" : " " MESHCA_ISSUER_KEY, p->roots ? "" : " " MESHCA_ROOTS);
}

/* Makes what is missing, or refuses. */
static int complete_directory(const struct mesh__env *env, const struct meshca_dir *dir, const char *trust_domain, bool create, struct mesh__err *err)
{
	struct presence p = look(dir);
	int code = MESH_OK;

	if (complete(&p)) {
		return MESH_OK;
	}
	if (!create || !can_be_made(&p)) {
		return refuse_half(dir, &p, err);
	}
	if (!p.root_cert) {
		code = meshca_make_root(env, dir, trust_domain != NULL ? trust_domain : default_trust_domain, MESHCA_ROOT_DAYS, err);
	}
	if (code == MESH_OK) {
		code = meshca_make_issuer(env, dir, dir, NULL, MESHCA_ISSUER_DAYS, err);
	}
	return code;
}

/* --- loading --- */

static int read_files(struct meshca_keystore *s, struct mesh__err *err)
{
	const struct mesh__mem *mem = &s->env->mem;
	int code = meshca_dir_read(s->dir, mem, MESHCA_ROOTS, MESHCA_CERTS_MAX_BYTES, false, &s->roots_pem, err);

	if (code == MESH_OK) {
		code = meshca_dir_read(s->dir, mem, MESHCA_ISSUER_CERT, MESHCA_CERTS_MAX_BYTES, false, &s->issuer_pem, err);
	}
	if (code == MESH_OK) {
		code = meshca_dir_read(s->dir, mem, MESHCA_ISSUER_KEY, MESH__PEM_MAX_BYTES, true, &s->issuer_key, err);
	}
	if (code == MESH_OK) {
		(void)mlock(s->issuer_key, strlen(s->issuer_key)); /* best effort: a small RLIMIT_MEMLOCK is no reason to refuse */
	}
	return code;
}

static int check_issuer(struct meshca_keystore *s, struct mesh__err *err)
{
	static const char scheme[] = "spiffe://";
	int code = mesh__pki_cert_read(s->issuer_pem, &s->issuer, err);
	const char *domain = s->issuer.uri + strlen(scheme);

	if (code != MESH_OK) {
		return mesh__wrap(err, "%s/%s", s->dir->path, MESHCA_ISSUER_CERT);
	}
	if (!s->issuer.ca || strncmp(s->issuer.uri, scheme, strlen(scheme)) != 0 || !mesh__trust_domain_valid(domain, strlen(domain))) {
		return mesh__fail(err, MESH_E_INVALID, "%s/%s: is not a mesh's intermediate (a CA certificate with the URI SAN spiffe://TRUST-DOMAIN)", s->dir->path, MESHCA_ISSUER_CERT);
	}
	if (!mesh__pki_matches(s->issuer_pem, s->issuer_key)) {
		return mesh__fail(err, MESH_E_INVALID, "%s: %s is not the key of %s; put the two that belong together there", s->dir->path, MESHCA_ISSUER_KEY, MESHCA_ISSUER_CERT);
	}
	(void)snprintf(s->trust_domain, sizeof(s->trust_domain), "%s", domain);
	return MESH_OK;
}

/* Notes each root's pin, and which root the issuer hangs from. */
static int take_root(struct meshca_keystore *s, const char *root_pem, bool *found, struct mesh__err *err)
{
	struct mesh__cert root;
	int code = mesh__pki_cert_read(root_pem, &root, err);

	if (code != MESH_OK) {
		return code;
	}
	if (!root.ca || strcmp(root.uri, s->issuer.uri) != 0) {
		return mesh__fail(err, MESH_E_INVALID, "%s/%s: holds \"%s\", which is no root of %s", s->dir->path, MESHCA_ROOTS, root.subject, s->issuer.uri);
	}
	memcpy(s->root_pins[s->n_roots++], root.pin, sizeof(root.pin));
	code = mesh__pki_chain_verify(s->env, s->issuer_pem, root_pem, err);
	if (code == MESH_OK && !*found) {
		s->root = root;
		*found = true;
	}
	return code == MESH_E_IDENTITY ? MESH_OK : code; /* another of the roots may be the one */
}

static int check_roots(struct meshca_keystore *s, struct mesh__err *err)
{
	char *roots[MESH__CHAIN_MAX] = {NULL};
	struct mesh__err why = MESH__NO_ERR;
	size_t n = 0;
	bool found = false;
	int code = mesh__pki_split(&s->env->mem, s->roots_pem, roots, &n, &why);

	for (size_t i = 0; i < n; i++) {
		if (code == MESH_OK) {
			code = take_root(s, roots[i], &found, &why);
		}
		mesh__free(roots[i]);
	}
	if (code == MESH_OK && !found) {
		code = mesh__fail(err, MESH_E_IDENTITY, "%s: %s does not hang from a root in %s: %s; make a new intermediate with `meshca intermediate`", s->dir->path, MESHCA_ISSUER_CERT, MESHCA_ROOTS, why.message);
	} else if (code != MESH_OK) {
		code = mesh__fail(err, code, "%s/%s: %s", s->dir->path, MESHCA_ROOTS, why.message);
	}
	return code;
}

static int load(const struct mesh__env *env, const struct meshca_dir *dir, struct meshca_keystore *out, struct mesh__err *err)
{
	int code;

	memset(out, 0, sizeof(*out));
	out->env = env;
	out->dir = dir;
	code = read_files(out, err);
	if (code == MESH_OK) {
		code = check_issuer(out, err);
	}
	if (code == MESH_OK) {
		code = check_roots(out, err);
	}
	if (code != MESH_OK) {
		meshca_keystore_fini(out);
	}
	return code;
}

/* An intermediate that ended while nobody was serving, the root's key at hand: the same renewal, only late. */
static int revive(const struct mesh__env *env, const struct meshca_dir *dir, struct mesh__err *err)
{
	struct meshca_keystore s = {.env = env, .dir = dir};
	int code = read_files(&s, err);

	if (code == MESH_OK) {
		code = check_issuer(&s, err);
	}
	if (code == MESH_OK && s.issuer.not_after_ms <= mesh__wall_ms(env) && meshca_dir_has(dir, MESHCA_ROOT_KEY)) {
		code = meshca_remake_issuer(env, dir, s.issuer_key, MESHCA_ISSUER_DAYS, err);
	}
	meshca_keystore_fini(&s);
	return code;
}

static bool renewal_is_due(const struct meshca_keystore *s)
{
	int64_t life_ms = s->issuer.not_after_ms - s->issuer.not_before_ms;
	int64_t left_ms = s->issuer.not_after_ms - mesh__wall_ms(s->env);

	/* A root that ends with the intermediate has no longer life to give. */
	return left_ms < life_ms / 3 && s->issuer.not_after_ms < s->root.not_after_ms;
}

int meshca_keystore_renew(struct meshca_keystore *store, bool *renewed, struct mesh__err *err)
{
	struct meshca_keystore fresh;
	int code;

	*renewed = false;
	if (!renewal_is_due(store) || mesh__mono_us(store->env) < store->renew_after_us || !meshca_dir_has(store->dir, MESHCA_ROOT_KEY)) {
		return MESH_OK;
	}
	store->renew_after_us = mesh__mono_us(store->env) + RETRY_US;
	code = meshca_remake_issuer(store->env, store->dir, store->issuer_key, MESHCA_ISSUER_DAYS, err);
	if (code == MESH_OK) {
		code = load(store->env, store->dir, &fresh, err);
	}
	if (code == MESH_OK) {
		meshca_keystore_fini(store);
		*store = fresh;
		*renewed = true;
	}
	return code;
}

int meshca_keystore_open(const struct mesh__env *env, const struct meshca_dir *dir, const char *trust_domain, bool create, struct meshca_keystore *out, struct mesh__err *err)
{
	int code;

	memset(out, 0, sizeof(*out));
	code = complete_directory(env, dir, trust_domain, create, err);
	if (code == MESH_OK && create) {
		code = revive(env, dir, err);
	}
	if (code == MESH_OK) {
		code = load(env, dir, out, err);
	}
	if (code == MESH_OK && trust_domain != NULL && strcmp(trust_domain, out->trust_domain) != 0) {
		code = mesh__fail(err, MESH_E_INVALID, "%s: this CA is of the trust domain %s, not %s; a trust domain never changes: use another directory for another one", dir->path, out->trust_domain, trust_domain);
		meshca_keystore_fini(out);
	}
	return code;
}

void meshca_keystore_fini(struct meshca_keystore *store)
{
	mesh__free(store->roots_pem);
	mesh__free(store->issuer_pem);
	mesh__free_secret(store->issuer_key);
	memset(store, 0, sizeof(*store));
}
