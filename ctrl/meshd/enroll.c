#include "meshd/enroll.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/issue.h"
#include "meshd/reply.h"
#include "wire/message.h"
#include "wire/token.h"

/*
 * A request that waits for the CA. It holds a use of its token: who comes meanwhile finds that one taken. Counted it is with the certificate's record, in one transaction, so that nothing is used up when there
 * is no certificate, and no certificate goes out whose use a crash could take back.
 */
struct meshd_join {
	struct meshd_join *next;
	struct meshd *meshd;
	struct mesh__exchange *x;
	struct mesh__name name;
	char token[MESH__TOKEN_ID + 1]; /* "" at renewal */
};

static uint64_t n_waiting(const struct meshd *meshd, const char *token)
{
	uint64_t n = 0;

	for (const struct meshd_join *join = meshd->joins; join != NULL; join = join->next) {
		n += strcmp(join->token, token) == 0;
	}
	return n;
}

static void unlink_join(struct meshd_join *join)
{
	struct meshd_join **at = &join->meshd->joins;

	while (*at != join) {
		at = &(*at)->next;
	}
	*at = join->next;
}

static void on_issued(void *user, const struct meshd_signed *leaf, const struct mesh__err *why)
{
	struct meshd_join *join = user;
	struct meshd *meshd = join->meshd;
	struct mesh__msg_certificate msg;
	struct mesh__buf body;

	unlink_join(join);
	if (leaf == NULL) {
		meshd_refuse_err(join->x, why);
	} else {
		/* Borrowed, all of it: an encoder only reads. */
		msg = (struct mesh__msg_certificate){.chain_pem = (char *)(uintptr_t)leaf->chain_pem, .roots_pem = (char *)(uintptr_t)mesh__trust_roots(meshd->trust),
			.trust_domain = (char *)(uintptr_t)meshd->options->trust_domain, .ns = join->name.ns, .service = join->name.service};
		mesh__buf_init(&body, &meshd->env->mem, MESH__MSG_MAX_BYTES);
		mesh__msg_certificate_encode(&msg, &body);
		meshd_reply_json(join->x, 200, &body);
	}
	mesh__free(join);
}

static int decode(struct meshd *meshd, struct mesh__exchange *x, struct mesh__msg_enroll *msg, struct mesh__err *err)
{
	size_t len;
	const char *body = mesh__exchange_body(x, &len);

	if (len > MESHD_ENROLL_MAX_BYTES) {
		*msg = (struct mesh__msg_enroll){.token = NULL};
		return mesh__fail(err, MESH_E_TOO_LARGE, "the request has %zu bytes, at most %d are taken", len, MESHD_ENROLL_MAX_BYTES);
	}
	return mesh__msg_enroll_decode(&meshd->env->mem, body, len, msg, err);
}

/* ---- With a token. ---- */

/* A refusal of a token: its word, and what to do about it. */
struct verdict {
	const char *code; /* NULL: taken */
	int status;
	struct mesh__err err;
};

static void refuse_token(struct verdict *verdict, const char *code, const char *message)
{
	verdict->code = code;
	verdict->status = 403;
	(void)mesh__fail(&verdict->err, MESH_E_DENIED, "%s", message);
}

static void refuse_with(struct verdict *verdict, const struct mesh__err *err)
{
	verdict->code = meshd_word_of(err->code);
	verdict->status = meshd_status_of(err->code);
	verdict->err = *err;
}

/* Finds the token's record and judges secret, time and uses. An unknown id costs the same comparison as a known one. */
static void judge_token(struct meshd *meshd, const char *text, struct meshd_token *record, struct verdict *verdict)
{
	struct mesh__token token;
	struct mesh__err err = MESH__NO_ERR;
	unsigned char hash[32];
	bool right;
	int code;

	*record = (struct meshd_token){.id = ""};
	if (mesh__token_parse(text == NULL ? "" : text, &token, &err) != MESH_OK) {
		refuse_with(verdict, &err);
		return;
	}
	mesh__sha256(token.secret, MESH__TOKEN_SECRET, hash);
	code = meshd_store_token_find(meshd->store, token.id, record, &err);
	(void)snprintf(record->name.trust_domain, sizeof(record->name.trust_domain), "%s", meshd->options->trust_domain);
	right = mesh__str_eq_secret(hash, record->hash, sizeof(hash)) && code == MESH_OK;
	mesh__wipe(&token, sizeof(token));
	if (code != MESH_OK && code != MESH_E_NOT_FOUND) {
		refuse_with(verdict, &err);
	} else if (!right) {
		refuse_token(verdict, "token-unknown", "there is no such join token here; make one with meshctl token create");
	} else if (record->expires_ms <= mesh__wall_ms(meshd->env)) {
		refuse_token(verdict, "token-expired", "the join token has expired; make a new one with meshctl token create");
	} else if (record->uses > 0 && record->used + n_waiting(meshd, record->id) >= record->uses) {
		refuse_token(verdict, "token-spent", "the join token was used as often as it may be; set MESH_STATE_DIR so that a restart keeps its certificate, "
			"or use a reusable token (meshctl token create --uses 0)");
	}
}

/* Waits from here on; the CA's answer, which may come at once, ends it. */
static struct meshd_join *new_join(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__name *name, const char *token)
{
	struct meshd_join *join = mesh__alloc(&meshd->env->mem, sizeof(*join));

	if (join != NULL) {
		*join = (struct meshd_join){.next = meshd->joins, .meshd = meshd, .x = x, .name = *name};
		(void)snprintf(join->token, sizeof(join->token), "%s", token);
		meshd->joins = join;
	}
	return join;
}

static void refuse_enrolment(struct meshd *meshd, struct mesh__exchange *x, const struct meshd_token *record, const struct verdict *verdict)
{
	char address[MESH__ADDR_TEXT];

	meshd_peer_address(x, address);
	meshd_audit_refused(meshd->audit, "token-refused", verdict->err.message, "code", verdict->code, "token", record->id[0] == '\0' ? NULL : record->id,
		"service", record->name.service[0] == '\0' ? NULL : record->name.service, "namespace", record->name.ns[0] == '\0' ? NULL : record->name.ns,
		"address", address, (char *)NULL);
	meshd_refuse(x, verdict->status, verdict->code, verdict->err.message);
}

void meshd_enroll(struct meshd *meshd, struct mesh__exchange *x)
{
	struct verdict verdict = {.code = NULL, .err = MESH__NO_ERR};
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_token record = {.id = ""};
	struct mesh__msg_enroll msg;
	struct meshd_join *join = NULL;

	if (decode(meshd, x, &msg, &err) != MESH_OK) {
		refuse_with(&verdict, &err);
		goto out;
	}
	judge_token(meshd, msg.token, &record, &verdict);
	if (verdict.code == NULL && meshd_issue_check_csr(msg.csr_pem, &record.name, &err) != MESH_OK) {
		refuse_with(&verdict, &err);
	}
	if (verdict.code == NULL && !meshd_ca_is_up(meshd->ca)) {
		(void)mesh__fail(&err, MESH_E_CONTROL, "the CA is not up at present; try again");
		refuse_with(&verdict, &err);
	}
	if (verdict.code == NULL && (join = new_join(meshd, x, &record.name, record.id)) == NULL) {
		(void)mesh__fail_memory(&err);
		refuse_with(&verdict, &err);
	}
out:
	if (verdict.code != NULL) {
		refuse_enrolment(meshd, x, &record, &verdict);
	} else {
		struct meshd_issue issue = {.name = record.name, .csr_pem = msg.csr_pem, .instance = msg.instance, .how = "token", .token = record.id};

		meshd_issue(meshd, &issue, on_issued, join);
	}
	mesh__msg_enroll_fini(&msg);
}

/* ---- With a certificate. ---- */

static int judge_renewal(struct meshd *meshd, const struct mesh__leaf *peer, const char *csr_pem, struct mesh__err *err)
{
	bool refused = false;
	int code = meshd_store_cert_refused(meshd->store, peer->serial, &refused, err);

	if (code == MESH_OK && refused) {
		code = mesh__fail(err, MESH_E_DENIED, "certificate %s, or one that it descends from, was revoked; join anew with a token", peer->serial);
	}
	return code == MESH_OK ? meshd_issue_check_csr(csr_pem, &peer->name, err) : code;
}

void meshd_renew(struct meshd *meshd, struct mesh__exchange *x)
{
	const struct mesh__leaf *peer = mesh__exchange_peer(x);
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__msg_enroll msg;
	struct meshd_join *join = NULL;
	int code = decode(meshd, x, &msg, &err);

	if (code == MESH_OK) {
		code = judge_renewal(meshd, peer, msg.csr_pem, &err);
	}
	if (code == MESH_OK && (join = new_join(meshd, x, &peer->name, "")) == NULL) {
		code = mesh__fail_memory(&err);
	}
	if (code != MESH_OK) {
		meshd_audit_refused(meshd->audit, "certificate-refused", err.message, "spiffeId", peer->spiffe, "how", "renewal", "parent", peer->serial, (char *)NULL);
		meshd_refuse_err(x, &err);
	} else {
		struct meshd_issue issue = {.name = peer->name, .csr_pem = msg.csr_pem, .instance = msg.instance, .parent = peer->serial, .how = "renewal"};

		meshd_issue(meshd, &issue, on_issued, join);
	}
	mesh__msg_enroll_fini(&msg);
}
