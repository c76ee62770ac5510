#include "io/trust.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct mesh__trust {
	_Atomic unsigned refs;
	char trust_domain[MESH__TRUST_DOMAIN_MAX + 1];
	char *roots_pem;
	char (*revoked)[MESH__SERIAL_MAX]; /* sorted */
	size_t n_revoked;
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A root that may not sign would make every handshake fail later, with a message that does not lead here. */
static int check_roots(const struct mesh__env *env, const char *roots_pem, struct mesh__err *err)
{
	char *roots[MESH__CHAIN_MAX];
	struct mesh__cert facts;
	size_t n = 0;
	int code = mesh__pki_split(&env->mem, roots_pem, roots, &n, err);

	for (size_t i = 0; i < n; i++) {
		if (code == MESH_OK) {
			code = mesh__pki_cert_read(roots[i], &facts, err);
		}
		if (code == MESH_OK && !facts.ca) {
			code = mesh__fail(err, MESH_E_INVALID, "certificate %zu of the trust bundle (%s) is not one of a CA", i + 1, facts.subject);
		}
		mesh__free(roots[i]);
	}
	return code;
}

static int copy_revoked(const struct mesh__env *env, struct mesh__trust *trust, const char *const *revoked, size_t n, struct mesh__err *err)
{
	if (n == 0) {
		return MESH_OK;
	}
	trust->revoked = mesh__alloc_array(&env->mem, n, sizeof(*trust->revoked));
	if (trust->revoked == NULL) {
		return mesh__fail_memory(err);
	}
	for (size_t i = 0; i < n; i++) {
		size_t len = revoked[i] == NULL ? 0 : strnlen(revoked[i], MESH__SERIAL_MAX);
		if (len == 0 || len == MESH__SERIAL_MAX || strspn(revoked[i], "0123456789abcdef") != len) {
			return mesh__fail(err, MESH_E_INVALID, "revoked serial \"%.64s\" is not lower-case hexadecimal of at most %d digits",
				revoked[i] == NULL ? "" : revoked[i], MESH__SERIAL_MAX - 1);
		}
		memcpy(trust->revoked[i], revoked[i], len + 1);
	}
	trust->n_revoked = n;
	qsort(trust->revoked, n, sizeof(*trust->revoked), compare);
	return MESH_OK;
}

int mesh__trust_new(const struct mesh__env *env, const char *trust_domain, const char *roots_pem, const char *const *revoked, size_t n_revoked, struct mesh__trust **out, struct mesh__err *err)
{
	struct mesh__trust *trust;
	int code;

	*out = NULL;
	if (trust_domain == NULL || !mesh__trust_domain_valid(trust_domain, strlen(trust_domain))) {
		return mesh__fail(err, MESH_E_INVALID, "trust domain \"%.120s\" is no valid name", trust_domain == NULL ? "" : trust_domain);
	}
	trust = mesh__alloc(&env->mem, sizeof(*trust));
	if (trust == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&trust->refs, 1);
	memcpy(trust->trust_domain, trust_domain, strlen(trust_domain) + 1);
	code = check_roots(env, roots_pem, err);
	if (code == MESH_OK) {
		trust->roots_pem = mesh__strdup(&env->mem, roots_pem);
		code = trust->roots_pem == NULL ? mesh__fail_memory(err) : copy_revoked(env, trust, revoked, n_revoked, err);
	}
	if (code != MESH_OK) {
		mesh__trust_unref(trust);
		return code;
	}
	*out = trust;
	return MESH_OK;
}

struct mesh__trust *mesh__trust_ref(struct mesh__trust *trust)
{
	atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
	return trust;
}

void mesh__trust_unref(struct mesh__trust *trust)
{
	if (trust != NULL && atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) == 1) {
		mesh__free(trust->roots_pem);
		mesh__free(trust->revoked);
		mesh__free(trust);
	}
}

bool mesh__trust_same(const struct mesh__trust *a, const struct mesh__trust *b)
{
	return strcmp(a->trust_domain, b->trust_domain) == 0 && strcmp(a->roots_pem, b->roots_pem) == 0 && a->n_revoked == b->n_revoked &&
		(a->n_revoked == 0 || memcmp(a->revoked, b->revoked, a->n_revoked * sizeof(*a->revoked)) == 0);
}

const char *mesh__trust_domain(const struct mesh__trust *trust)
{
	return trust->trust_domain;
}

const char *mesh__trust_roots(const struct mesh__trust *trust)
{
	return trust->roots_pem;
}

bool mesh__trust_revoked(const struct mesh__trust *trust, const char *serial)
{
	return trust->n_revoked > 0 && bsearch(serial, trust->revoked, trust->n_revoked, sizeof(*trust->revoked), compare) != NULL;
}

int mesh__trust_judge(const struct mesh__trust *trust, const void *cert, size_t len, const char *expect, struct mesh__leaf *leaf, const char **reason, struct mesh__err *err)
{
	const char *ignored;
	const char **word = reason == NULL ? &ignored : reason;
	int code = mesh__pki_leaf_judge(cert, len, leaf, word, err);

	if (code != MESH_OK) {
		return code;
	}
	if (strcmp(leaf->name.trust_domain, trust->trust_domain) != 0) {
		*word = "trust-domain";
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer %s is of another trust domain than %s", leaf->spiffe, trust->trust_domain);
	}
	if (mesh__trust_revoked(trust, leaf->serial)) {
		*word = "revoked";
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer %s showed a revoked certificate, serial %s", leaf->spiffe, leaf->serial);
	}
	if (expect != NULL && strcmp(leaf->spiffe, expect) != 0) {
		*word = "name";
		return mesh__fail_at(err, MESH__ORIGIN_TLS, MESH_E_IDENTITY, "the peer is %s, not %s", leaf->spiffe, expect);
	}
	return MESH_OK;
}
