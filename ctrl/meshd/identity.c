#include "meshd/identity.h"

#include "meshd/issue.h"

enum { RETRY_MAX_MS = 30 * 1000, RETRY_MIN_MS = 250 };

int64_t meshd_identity_renew_in(int64_t life_ms, uint64_t dice)
{
	return life_ms / 4 + (int64_t)(dice % (uint64_t)(life_ms / 5 + 1));
}

int meshd_identity_apply(struct meshd *meshd, struct mesh__err *err)
{
	struct mesh__tls_conf_options options = {.chain_pem = meshd->identity.chain_pem, .key_pem = meshd->identity.key_pem, .trust = meshd->trust, .client_optional = true};
	struct mesh__tls_conf *tls;
	int code;

	if (options.chain_pem == NULL || options.trust == NULL) {
		return MESH_OK;
	}
	options.sessions = mesh__tls_conf_sessions(meshd->env, meshd->tls, meshd->trust);
	code = options.sessions == NULL ? mesh__fail_memory(err) : mesh__tls_conf_new(meshd->env, &options, &tls, err);
	mesh__sessions_unref(options.sessions);
	if (code != MESH_OK) {
		return code;
	}
	if (meshd->control != NULL) {
		mesh__http_server_rotate(meshd->control, tls, meshd->trust);
	}
	mesh__tls_conf_unref(meshd->tls);
	meshd->tls = tls;
	return MESH_OK;
}

/* A renewal in the making: its key is not in force before its certificate is there. */
struct renewal {
	struct meshd *meshd;
	char *key_pem, *csr_pem;
};

static void free_renewal(struct renewal *renewal)
{
	if (renewal != NULL) {
		mesh__free_secret(renewal->key_pem);
		mesh__free(renewal->csr_pem);
		mesh__free(renewal);
	}
}

static int64_t retry_in(const struct meshd *meshd)
{
	int64_t ms = meshd->options->leaf_ttl_ms / 20;

	/* Without a certificate it is not up at all: somebody waits. */
	if (meshd->identity.chain_pem == NULL) {
		return RETRY_MIN_MS;
	}
	return ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms;
}

static int take(struct renewal *renewal, const struct meshd_signed *leaf, struct mesh__err *err)
{
	struct meshd *meshd = renewal->meshd;
	char *chain = mesh__strdup(&meshd->env->mem, leaf->chain_pem);

	if (chain == NULL) {
		return mesh__fail_memory(err);
	}
	mesh__free(meshd->identity.chain_pem);
	mesh__free_secret(meshd->identity.key_pem);
	meshd->identity.chain_pem = chain;
	meshd->identity.key_pem = renewal->key_pem;
	renewal->key_pem = NULL;
	return meshd_identity_apply(meshd, err);
}

static void on_issued(void *user, const struct meshd_signed *leaf, const struct mesh__err *why)
{
	struct mesh__err err = MESH__NO_ERR;
	struct renewal *renewal = user;
	struct meshd *meshd = renewal->meshd;
	int64_t next_ms = 0;
	bool taken = false;

	if (leaf == NULL) {
		err = *why;
	} else if (take(renewal, leaf, &err) == MESH_OK) {
		taken = true;
		meshd->identity.retry_ms = 0;
		next_ms = meshd_identity_renew_in(leaf->not_after_ms - mesh__wall_ms(meshd->env), mesh__dice(meshd->env));
		mesh__log(meshd->env, MESH__LOG_INFO, "meshd's certificate", "serial", leaf->serial, (char *)NULL);
	}
	if (!taken && !meshd->stopping) {
		next_ms = retry_in(meshd);
		mesh__log(meshd->env, MESH__LOG_ERROR, "meshd has no new certificate; it tries again", "reason", err.message, (char *)NULL);
	}
	if (!meshd->stopping) {
		mesh__timer_start(meshd->identity.renewal, next_ms < RETRY_MIN_MS ? RETRY_MIN_MS : next_ms, 0);
	}
	if (taken && meshd->identity.obtained != NULL) {
		meshd->identity.obtained(meshd);
	}
	free_renewal(renewal);
}

static void renew(void *arg)
{
	struct meshd *meshd = arg;
	struct renewal *renewal = mesh__alloc(&meshd->env->mem, sizeof(*renewal));
	struct meshd_issue issue = {.name = {.ns = "mesh-system", .service = "meshd"}, .how = "meshd"};
	struct mesh__err err = MESH__NO_ERR;

	if (renewal == NULL || mesh__pki_key_new(meshd->env, &renewal->key_pem, &err) != MESH_OK
		|| mesh__pki_csr_new(meshd->env, renewal->key_pem, NULL, &renewal->csr_pem, &err) != MESH_OK) {
		mesh__log(meshd->env, MESH__LOG_ERROR, "meshd has no new key; it tries again", "reason", err.message, (char *)NULL);
		free_renewal(renewal);
		mesh__timer_start(meshd->identity.renewal, retry_in(meshd), 0);
		return;
	}
	renewal->meshd = meshd;
	issue.csr_pem = renewal->csr_pem;
	meshd_issue(meshd, &issue, on_issued, renewal);
}

int meshd_identity_start(struct meshd *meshd, void (*obtained)(struct meshd *meshd), struct mesh__err *err)
{
	if (mesh__timer_new(meshd->loop, renew, meshd, &meshd->identity.renewal) != MESH_OK) {
		return mesh__fail_memory(err);
	}
	meshd->identity.obtained = obtained;
	renew(meshd);
	return MESH_OK;
}

void meshd_identity_fini(struct meshd *meshd)
{
	mesh__timer_free(meshd->identity.renewal);
	mesh__free_secret(meshd->identity.key_pem);
	mesh__free(meshd->identity.chain_pem);
	meshd->identity = (struct meshd_identity){.key_pem = NULL};
}
