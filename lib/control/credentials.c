#include "control/credentials.h"

#include <string.h>

#include "base/str.h"

void mesh__credentials_init(struct mesh__credentials *c, const struct mesh__env *env)
{
	*c = (struct mesh__credentials){.env = env};
}

static void free_revoked(char **revoked, size_t n)
{
	for (size_t i = 0; revoked != NULL && i < n; i++) {
		mesh__free(revoked[i]);
	}
	mesh__free(revoked);
}

static void drop_generation(struct mesh__creds *creds, struct mesh__trust *trust)
{
	mesh__creds_unref(creds);
	mesh__trust_unref(trust);
}

void mesh__credentials_fini(struct mesh__credentials *c)
{
	drop_generation(c->creds, c->trust);
	free_revoked(c->revoked, c->n_revoked);
	mesh__free(c->roots_pem);
	mesh__svid_unref(c->svid);
}

/* Our own certificate under these roots. */
static int verify_own(const struct mesh__credentials *c, const char *roots_pem, struct mesh__err *err)
{
	return mesh__pki_chain_verify(c->env, c->svid->chain_pem, roots_pem, err);
}

void mesh__credentials_svid(struct mesh__credentials *c, struct mesh__svid *svid)
{
	struct mesh__svid *old = c->svid;

	c->svid = mesh__svid_ref(svid);
	mesh__svid_unref(old);
	if (c->roots_pem != NULL && verify_own(c, c->roots_pem, NULL) == MESH_E_IDENTITY) {
		/* It came by a new join, from under other roots than those told of last: meshd, too, is found under the new ones alone. */
		mesh__free(c->roots_pem);
		c->roots_pem = NULL;
		c->trust_version = 0;
	}
}

static const char *roots_in_force(const struct mesh__credentials *c)
{
	return c->roots_pem != NULL ? c->roots_pem : c->svid->roots_pem;
}

static bool same(const struct mesh__credentials *c, const struct mesh__record *record)
{
	if (!mesh__str_eq(roots_in_force(c), record->roots_pem) || c->n_revoked != record->n_revoked) {
		return false;
	}
	for (size_t i = 0; i < c->n_revoked; i++) {
		if (strcmp(c->revoked[i], record->revoked[i]) != 0) {
			return false;
		}
	}
	return true;
}

static int copy(struct mesh__credentials *c, const struct mesh__record *record, struct mesh__err *err)
{
	char *roots = mesh__strdup(&c->env->mem, record->roots_pem);
	char **revoked = mesh__alloc_array(&c->env->mem, record->n_revoked + 1, sizeof(char *));
	bool ok = roots != NULL && revoked != NULL;

	for (size_t i = 0; ok && i < record->n_revoked; i++) {
		revoked[i] = mesh__strdup(&c->env->mem, record->revoked[i]);
		ok = revoked[i] != NULL;
	}
	if (!ok) {
		free_revoked(revoked, record->n_revoked);
		mesh__free(roots);
		return mesh__fail_memory(err);
	}
	free_revoked(c->revoked, c->n_revoked);
	mesh__free(c->roots_pem);
	c->roots_pem = roots;
	c->revoked = revoked;
	c->n_revoked = record->n_revoked;
	return MESH_OK;
}

/* What cannot serve is found out before it replaces what does. */
static int check(const struct mesh__credentials *c, const struct mesh__record *record, struct mesh__err *err)
{
	struct mesh__trust *trust = NULL;
	int code = mesh__trust_new(c->env, c->svid->leaf.name.trust_domain, record->roots_pem, (const char *const *)record->revoked, record->n_revoked, &trust, err);

	mesh__trust_unref(trust);
	/* Roots of another mesh (a state directory that was copied, a cache from before a new join) would cut us off from meshd, and from the word that puts it right. */
	if (code == MESH_OK && !mesh__str_eq(roots_in_force(c), record->roots_pem)) {
		code = verify_own(c, record->roots_pem, err);
		if (code == MESH_E_IDENTITY) {
			(void)mesh__wrap(err, "trust: not taken, this process itself would not be trusted");
		}
	}
	return code;
}

int mesh__credentials_trust(struct mesh__credentials *c, const struct mesh__record *record, bool *changed, struct mesh__err *err)
{
	int code = MESH_OK;

	*changed = false;
	if (record->roots_pem == NULL || record->roots_pem[0] == '\0') {
		return mesh__fail(err, MESH_E_INVALID, "trust: it came without roots; the last ones stay");
	}
	if (!same(c, record)) {
		code = check(c, record, err);
		if (code == MESH_OK) {
			code = copy(c, record, err);
		}
		*changed = code == MESH_OK;
	} else if (c->roots_pem == NULL) {
		code = copy(c, record, err);
	}
	if (code == MESH_OK) {
		c->trust_version = record->version;
	}
	return code;
}

int mesh__credentials_renew(struct mesh__credentials *c, struct mesh__err *err)
{
	struct mesh__creds *creds = NULL;
	struct mesh__trust *trust = NULL;
	int code = mesh__trust_new(c->env, c->svid->leaf.name.trust_domain, roots_in_force(c), (const char *const *)c->revoked, c->n_revoked, &trust, err);

	if (code == MESH_OK) {
		code = mesh__creds_new(c->env, c->generation + 1, c->svid->chain_pem, c->svid->key_pem, trust, &creds, err);
	}
	if (code != MESH_OK) {
		drop_generation(creds, trust);
		return code;
	}
	drop_generation(c->creds, c->trust);
	c->generation++;
	c->creds = creds;
	c->trust = trust;
	return MESH_OK;
}

bool mesh__credentials_record(const struct mesh__credentials *c, struct mesh__record *out)
{
	*out = (struct mesh__record){.type = MESH__RECORD_TRUST, .sequence = 1, .version = c->trust_version, .roots_pem = c->roots_pem, .revoked = c->revoked, .n_revoked = c->n_revoked};
	return c->roots_pem != NULL;
}
