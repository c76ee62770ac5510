#include "meshd/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "meshd/reply.h"
#include "wire/token.h"

enum { TTL_MIN_MS = 1000, TTL_DEFAULT_MS = 60 * 60 * 1000, USES_MAX = 1000000000 };

static const int64_t ttl_max_ms = 366LL * 24 * 60 * 60 * 1000;

static int read_request(struct meshd *meshd, const struct mesh__json *body, struct meshd_token *record, struct mesh__err *err)
{
	int64_t ttl_ms, uses;
	int code = meshd_admin_name_of(body, &record->name, err);

	code = code == MESH_OK ? meshd_admin_not_reserved(&record->name, err) : code;
	code = code == MESH_OK ? meshd_admin_number(body, "ttlMs", TTL_MIN_MS, ttl_max_ms, TTL_DEFAULT_MS, &ttl_ms, err) : code;
	code = code == MESH_OK ? meshd_admin_number(body, "uses", 0, USES_MAX, 1, &uses, err) : code;
	if (code == MESH_OK) {
		record->uses = (uint64_t)uses;
		record->created_ms = mesh__wall_ms(meshd->env);
		record->expires_ms = record->created_ms + ttl_ms;
	}
	return code;
}

/* Makes the secret; only its hash is kept. */
static int make(struct meshd *meshd, struct meshd_token *record, char *text, struct mesh__err *err)
{
	const struct meshd_ca_info *told = meshd_ca_told(meshd->ca);
	struct mesh__token token;
	char uses[24], expires[24];
	int code = MESH_OK;

	if (told == NULL || !mesh__str_unhex(told->root_pin, strlen(told->root_pin), token.pin, sizeof(token.pin))) {
		return mesh__fail(err, MESH_E_CONTROL, "the CA has not told its root yet; try again");
	}
	mesh__random_hex(meshd->env, token.id, MESH__TOKEN_ID);
	mesh__random_hex(meshd->env, token.secret, MESH__TOKEN_SECRET);
	memcpy(record->id, token.id, sizeof(record->id));
	mesh__sha256(token.secret, MESH__TOKEN_SECRET, record->hash);
	(void)snprintf(uses, sizeof(uses), "%llu", (unsigned long long)record->uses);
	(void)snprintf(expires, sizeof(expires), "%lld", (long long)record->expires_ms);
	code = meshd_store_token_add(meshd->store, record, err);
	code = code == MESH_OK ? meshd_audit_allowed(meshd->audit, err, "token-created", NULL, "token", record->id, "service", record->name.service,
		"namespace", record->name.ns, "uses", uses, "expires", expires, (char *)NULL) : code;
	if (code == MESH_OK) {
		mesh__token_format(&token, text);
	}
	mesh__wipe(&token, sizeof(token));
	return code;
}

void meshd_admin_token_create(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	struct meshd_token record = {.id = ""};
	char text[MESH__TOKEN_TEXT];
	struct mesh__json_out json;
	struct mesh__buf out;

	(void)rest;
	if (read_request(meshd, body, &record, &err) != MESH_OK || make(meshd, &record, text, &err) != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__buf_init(&out, &meshd->env->mem, 4096);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "token", text);
	mesh__json_put_text(&json, "id", record.id);
	mesh__json_put_u64(&json, "expires", (uint64_t)record.expires_ms);
	mesh__json_close(&json, '}');
	mesh__wipe(text, sizeof(text));
	meshd_reply_json(x, 200, &out);
}

static bool put_token(void *user, const struct meshd_token *token)
{
	struct mesh__json_out *json = user;

	mesh__json_open(json, NULL, '{');
	mesh__json_put_text(json, "id", token->id);
	mesh__json_put_text(json, "service", token->name.service);
	mesh__json_put_text(json, "namespace", token->name.ns);
	mesh__json_put_int(json, "uses", (int64_t)token->uses);
	mesh__json_put_int(json, "used", (int64_t)token->used);
	mesh__json_put_u64(json, "created", (uint64_t)token->created_ms);
	mesh__json_put_u64(json, "expires", (uint64_t)token->expires_ms);
	mesh__json_close(json, '}');
	return json->buf->error == MESH_OK;
}

void meshd_admin_token_list(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__json_out json;
	struct mesh__buf out;

	(void)body;
	(void)rest;
	mesh__buf_init(&out, &meshd->env->mem, MESHD_ANSWER_MAX_BYTES);
	json = (struct mesh__json_out){.buf = &out};
	mesh__json_open(&json, NULL, '[');
	if (meshd_store_tokens(meshd->store, put_token, &json, &err) != MESH_OK) {
		mesh__buf_fini(&out);
		meshd_admin_refuse(x, &err);
		return;
	}
	mesh__json_close(&json, ']');
	meshd_reply_json(x, 200, &out);
}

void meshd_admin_token_delete(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	struct mesh__err err = MESH__NO_ERR;
	int code;

	(void)body;
	code = strlen(rest) == MESH__TOKEN_ID ? meshd_store_token_delete(meshd->store, rest, &err) : mesh__fail(&err, MESH_E_NOT_FOUND, "there is no such token");
	code = code == MESH_OK ? meshd_audit_allowed(meshd->audit, &err, "token-deleted", NULL, "token", rest, (char *)NULL) : code;
	if (code != MESH_OK) {
		meshd_admin_refuse(x, &err);
		return;
	}
	meshd_reply_done(x);
}
