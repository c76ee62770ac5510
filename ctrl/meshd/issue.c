#include "meshd/issue.h"

#include <stdio.h>
#include <string.h>

struct job {
	struct meshd *meshd;
	struct meshd_cert cert; /* what will be recorded */
	char token[MESH__TOKEN_ID + 1];
	meshd_signed_fn fn;
	void *user;
};

int meshd_issue_check_csr(const char *csr_pem, const struct mesh__name *name, struct mesh__err *err)
{
	char spiffe[MESH__SPIFFE_MAX];
	struct mesh__csr csr;
	int code = mesh__pki_csr_preview(csr_pem, strlen(csr_pem), &csr, err);

	if (code != MESH_OK) {
		return code;
	}
	mesh__spiffe_format(name, spiffe);
	if (csr.has_uri && strcmp(csr.spiffe, spiffe) != 0) {
		return mesh__fail(err, MESH_E_DENIED, "the certificate request asks for %s, but only %s may be had", csr.spiffe, spiffe);
	}
	return MESH_OK;
}

static void copy(char *out, size_t cap, const char *text)
{
	(void)snprintf(out, cap, "%s", text == NULL ? "" : text);
}

/* A parent may have been revoked while the CA was asked: then its child must not live. */
static int check_parent(struct job *job, struct mesh__err *err)
{
	bool refused = false;
	int code;

	if (job->cert.parent[0] == '\0') {
		return MESH_OK;
	}
	code = meshd_store_cert_refused(job->meshd->store, job->cert.parent, &refused, err);
	return code == MESH_OK && refused ? mesh__fail(err, MESH_E_DENIED, "certificate %s, which is to be renewed, was revoked", job->cert.parent) : code;
}

static int record(struct job *job, const struct meshd_signed *leaf, struct mesh__err *err)
{
	const struct meshd_cert *cert = &job->cert;
	const char *event = cert->parent[0] == '\0' ? "certificate-issued" : "certificate-renewed";
	char not_after[24];
	int code;

	copy(job->cert.serial, sizeof(job->cert.serial), leaf->serial);
	job->cert.not_after_ms = leaf->not_after_ms;
	(void)snprintf(not_after, sizeof(not_after), "%lld", (long long)leaf->not_after_ms);
	if (strcmp(leaf->spiffe, cert->spiffe) != 0) {
		return mesh__fail(err, MESH_E_INTERNAL, "the CA signed %s when asked for %s", leaf->spiffe, cert->spiffe);
	}
	code = check_parent(job, err);
	code = code == MESH_OK ? meshd_store_cert_add(job->meshd->store, cert, job->token[0] == '\0' ? NULL : job->token, err) : code;
	if (code == MESH_OK && job->token[0] != '\0') {
		code = meshd_audit_first(job->meshd->audit, err, "token-used", NULL, "token", job->token, "service", cert->name.service, "namespace", cert->name.ns,
			"instance", cert->instance[0] == '\0' ? NULL : cert->instance, (char *)NULL);
	}
	if (code != MESH_OK) {
		return code;
	}
	return meshd_audit_allowed(job->meshd->audit, err, event, NULL, "spiffeId", cert->spiffe, "serial", cert->serial, "how", cert->how,
		"instance", cert->instance[0] == '\0' ? NULL : cert->instance, "parent", cert->parent[0] == '\0' ? NULL : cert->parent,
		"token", job->token[0] == '\0' ? NULL : job->token, "notAfter", not_after, (char *)NULL);
}

static void on_signed(void *user, const struct meshd_signed *leaf, const struct mesh__err *why)
{
	struct mesh__err err = MESH__NO_ERR;
	struct job *job = user;

	if (leaf == NULL) {
		err = *why;
	} else if (record(job, leaf, &err) != MESH_OK) {
		leaf = NULL; /* what is not on record cannot be revoked: nobody gets it */
	}
	if (leaf == NULL) {
		meshd_audit_refused(job->meshd->audit, "certificate-refused", err.message, "spiffeId", job->cert.spiffe, "how", job->cert.how,
			"token", job->token[0] == '\0' ? NULL : job->token, "parent", job->cert.parent[0] == '\0' ? NULL : job->cert.parent, (char *)NULL);
	}
	job->fn(job->user, leaf, leaf == NULL ? &err : NULL);
	mesh__free(job);
}

void meshd_issue(struct meshd *meshd, const struct meshd_issue *issue, meshd_signed_fn fn, void *user)
{
	int64_t max_ms = meshd->options->leaf_ttl_ms;
	struct job *job = mesh__alloc(&meshd->env->mem, sizeof(*job));

	if (job == NULL) {
		struct mesh__err err = MESH__NO_ERR;

		(void)mesh__fail_memory(&err);
		fn(user, NULL, &err);
		return;
	}
	job->meshd = meshd;
	job->fn = fn;
	job->user = user;
	job->cert.name = issue->name;
	job->cert.issued_ms = mesh__wall_ms(meshd->env);
	copy(job->cert.instance, sizeof(job->cert.instance), issue->instance);
	copy(job->cert.parent, sizeof(job->cert.parent), issue->parent);
	copy(job->cert.how, sizeof(job->cert.how), issue->how);
	copy(job->token, sizeof(job->token), issue->token);
	copy(job->cert.name.trust_domain, sizeof(job->cert.name.trust_domain), meshd->options->trust_domain);
	mesh__spiffe_format(&job->cert.name, job->cert.spiffe);
	meshd_ca_sign(meshd->ca, &issue->name, issue->csr_pem, issue->ttl_ms <= 0 || issue->ttl_ms > max_ms ? max_ms : issue->ttl_ms, on_signed, job);
}
