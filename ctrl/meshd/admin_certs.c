#include "meshd/admin.h"

#include <stdio.h>
#include <string.h>

#include "meshd/issue.h"
#include "meshd/reply.h"
#include "meshd/trust.h"

enum { LIST_MAX = 10000 };

/* ---- Issuing, for machines outside the join. ---- */

struct job {
	struct meshd *meshd;
	struct mesh__exchange *x;
};

static void on_issued(void *user, const struct meshd_signed *leaf, const struct mesh__err *why)
{
	struct job *job = user;
	struct mesh__json_out json;
	struct mesh__buf out;

	if (leaf == NULL) {
		meshd_admin_refuse(job->x, why);
	} else {
		mesh__buf_init(&out, &job->meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
		json = (struct mesh__json_out){.buf = &out};
		mesh__json_open(&json, NULL, '{');
		mesh__json_put_text(&json, "certificate", leaf->chain_pem);
		mesh__json_put_text(&json, "bundle", mesh__trust_roots(job->meshd->trust));
		mesh__json_put_text(&json, "serial", leaf->serial);
		mesh__json_put_text(&json, "spiffeId", leaf->spiffe);
		mesh__json_put_u64(&json, "notAfter", (uint64_t)leaf->not_after_ms);
		mesh__json_close(&json, '}');
		meshd_reply_json(job->x, 200, &out);
	}
	mesh__free(job);
}

void meshd_admin_cert_issue(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct meshd_issue issue = {.csr_pem = mesh__json_text(mesh__json_get(body, "csr")), .how = "admin"};
	struct mesh__err err = MESH__NO_ERR;
	struct job *job = NULL;
	int code = meshd_admin_name_of(body, &issue.name, &err);

	(void)rest;
	(void)snprintf(issue.name.trust_domain, sizeof(issue.name.trust_domain), "%s", meshd->options->trust_domain);
	code = code == MESH_OK ? meshd_admin_not_reserved(&issue.name, &err) : code;
	code = code == MESH_OK ? meshd_admin_number(body, "ttlMs", 1000, INT64_MAX, 0, &issue.ttl_ms, &err) : code;
	if (code == MESH_OK && issue.csr_pem == NULL) {
		code = mesh__fail(&err, MESH_E_INVALID, "csr is missing: the certificate request, as PEM");
	}
	if (code == MESH_OK && (code = meshd_issue_check_csr(issue.csr_pem, &issue.name, &err)) != MESH_OK) {
		meshd_audit_refused(meshd->audit, "certificate-refused", err.message, "service", issue.name.service, "namespace", issue.name.ns, "how", "admin", (char *)NULL);
	}
	if (code == MESH_OK && (job = mesh__alloc(&meshd->env->mem, sizeof(*job))) == NULL) {
		code = mesh__fail_memory(&err);
	}
	if (code != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	*job = (struct job){.meshd = meshd, .x = x};
	meshd_issue(meshd, &issue, on_issued, job);
}

/* ---- Listing. ---- */

static bool put_cert(void *user, const struct meshd_cert *cert)
{
	struct mesh__json_out *json = user;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "serial", cert->serial);
	mesh__json_put_text(json, "spiffeId", cert->spiffe);
	mesh__json_put_text(json, "instance", cert->instance);
	mesh__json_put_u64(json, "issued", (uint64_t)cert->issued_ms);
	mesh__json_put_u64(json, "notAfter", (uint64_t)cert->not_after_ms);
	mesh__json_put_text(json, "parent", cert->parent);
	mesh__json_put_text(json, "how", cert->how);
	mesh__json_put_bool(json, "revoked", cert->revoked_ms > 0);
	mesh__json_put_text(json, "reason", cert->reason);
	mesh__json_close(json, '}');
	return json->buf->error == MESH_OK;
}

void meshd_admin_cert_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json_out json;
	struct mesh__name name;
	struct mesh__buf out;
	bool all = strstr(mesh__exchange_query(x), "service=") == NULL;
	int code = all ? MESH_OK : meshd_admin_service_of(x, &name, &err);

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	code = code == MESH_OK ? meshd_store_certs(meshd->store, all ? NULL : &name, LIST_MAX, put_cert, &json, &err) : code;
	if (code != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__json_close(&json, ']');
	meshd_reply_json(x, 200, &out);
}

/* ---- Revoking. ---- */

/* "0A:FF", "0aff" and "AFF" are one serial: lower-case hex without leading zeros. False when it is none. */
static bool normal_serial(const char *text, char *out)
{
	size_t n = 0;

	for (; text != NULL && *text != '\0'; text++) {
		char c = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;

		if (c == ':' || (c == '0' && n == 0)) {
			continue;
		}
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || n + 1 >= MESH__SERIAL_MAX) {
			return false;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return n > 0;
}

static bool put_serial(void *user, const struct meshd_cert *cert)
{
	struct mesh__json_out *json = user;

	mesh__json_put_text(json, NULL, cert->serial);
	return json->buf->error == MESH_OK;
}

static bool one_line(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 127) {
			return false;
		}
	}
	return len < MESHD_TEXT_MAX;
}

void meshd_admin_cert_revoke(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	const char *reason = mesh__json_text(mesh__json_get(body, "reason"));
	struct mesh__err err = MESH__NO_ERR;
	char serial[MESH__SERIAL_MAX];
	struct mesh__json_out json;
	struct mesh__buf out;
	int code = MESH_OK;

	(void)rest;
	reason = reason == NULL ? "" : reason;
	if (!normal_serial(mesh__json_text(mesh__json_get(body, "serial")), serial)) {
		code = mesh__fail(&err, MESH_E_INVALID, "serial is missing, or no serial number in hexadecimal digits");
	} else if (!one_line(reason)) {
		code = mesh__fail(&err, MESH_E_INVALID, "reason must be one line of at most %d bytes", MESHD_TEXT_MAX - 1);
	}
	code = code == MESH_OK ? meshd_trust_revoke(meshd, serial, reason, &err) : code;
	if (code == MESH_OK) {
		code = meshd_audit_allowed(meshd->audit, &err, "certificate-revoked", reason[0] == '\0' ? NULL : reason, "serial", serial, (char *)NULL);
		code = code == MESH_OK ? code : mesh__wrap(&err, "the revocation is in force, but has no line in the audit log");
	}
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_open(&json, "revoked", '[');
	code = code == MESH_OK ? meshd_store_cert_family(meshd->store, serial, put_serial, &json, &err) : code;
	if (code != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__json_close(&json, ']');
	mesh__json_close(&json, '}');
	meshd_reply_json(x, 200, &out);
}
