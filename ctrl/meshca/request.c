#include "meshca/request.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const char *const op_texts[] = {
#define X(name, text) text,
	MESHCA_OPS(X)
#undef X
};

static const char *const error_texts[] = {
#define X(name, text) text,
	MESHCA_ERRORS(X)
#undef X
};

const char *meshca_error_text(enum meshca_error error)
{
	return (unsigned)error < MESH__COUNT(error_texts) ? error_texts[error] : "internal";
}

static enum meshca_error bad(struct mesh__err *err, const char *what)
{
	(void)mesh__fail(err, MESH_E_INVALID, "%s", what);
	return MESHCA_ERROR_REQUEST;
}

static enum meshca_error read_id(struct meshca_request *r, struct mesh__err *err)
{
	const char *id = mesh__json_text(mesh__json_get(r->root, "id"));

	if (id == NULL || strlen(id) > MESHCA_ID_MAX) {
		return bad(err, "a request needs \"id\", a text of at most 64 bytes");
	}
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	return MESHCA_ERROR_NONE;
}

static enum meshca_error read_op(struct meshca_request *r, struct mesh__err *err)
{
	const char *op = mesh__json_text(mesh__json_get(r->root, "op"));

	for (size_t i = 0; op != NULL && i < MESH__COUNT(op_texts); i++) {
		if (strcmp(op, op_texts[i]) == 0) {
			r->op = (enum meshca_op)i;
			return MESHCA_ERROR_NONE;
		}
	}
	return bad(err, "\"op\" is none that this CA knows; info and sign are");
}

static enum meshca_error read_ask(struct meshca_request *r, struct mesh__err *err)
{
	const struct mesh__json *ns = mesh__json_get(r->root, "namespace");

	r->ask.csr_pem = mesh__json_text(mesh__json_get(r->root, "csr"));
	r->ask.service = mesh__json_text(mesh__json_get(r->root, "service"));
	r->ask.ns = mesh__json_text(ns);
	if (r->ask.csr_pem == NULL || r->ask.service == NULL || (ns != NULL && r->ask.ns == NULL)) {
		return bad(err, "sign needs the texts \"csr\" and \"service\", and may have \"namespace\"");
	}
	/* Any 64-bit number: a life that cannot be is the signer's to refuse, with its own word. */
	if (!mesh__json_i64(mesh__json_get(r->root, "ttlMs"), INT64_MIN / 4, INT64_MAX / 4, &r->ask.ttl_ms)) {
		return bad(err, "sign needs \"ttlMs\", a whole number");
	}
	return MESHCA_ERROR_NONE;
}

enum meshca_error meshca_request_decode(const struct mesh__mem *mem, const char *text, size_t len, struct meshca_request *out, struct mesh__err *err)
{
	enum meshca_error refused;
	int code;

	memset(out, 0, sizeof(*out));
	code = mesh__json_parse(mem, text, len, MESHCA_FRAME_MAX_BYTES, &out->root, err);
	if (code != MESH_OK) {
		return code == MESH_E_NO_MEMORY ? MESHCA_ERROR_INTERNAL : MESHCA_ERROR_REQUEST;
	}
	refused = read_id(out, err);
	if (refused == MESHCA_ERROR_NONE) {
		refused = read_op(out, err);
	}
	if (refused == MESHCA_ERROR_NONE && out->op == MESHCA_OP_SIGN) {
		refused = read_ask(out, err);
	}
	return refused;
}

void meshca_request_fini(struct meshca_request *request)
{
	mesh__json_free(request->root);
	request->root = NULL;
}

static void put_ms(struct mesh__json_out *out, const char *key, int64_t ms)
{
	mesh__json_put_u64(out, key, ms > 0 ? (uint64_t)ms : 0);
}

static struct mesh__json_out begin(struct mesh__buf *buf, const char *id, bool ok)
{
	struct mesh__json_out out = {buf, false};

	mesh__json_open(&out, NULL, '{');
	mesh__json_put_text(&out, "id", id);
	mesh__json_put_bool(&out, "ok", ok);
	return out;
}

void meshca_answer_info(struct mesh__buf *buf, const char *id, const struct meshca_keystore *store)
{
	struct mesh__json_out out = begin(buf, id, true);
	char pin[65];

	mesh__str_hex(store->root.pin, sizeof(store->root.pin), pin);
	mesh__json_put_text(&out, "trustDomain", store->trust_domain);
	mesh__json_put_text(&out, "roots", store->roots_pem);
	mesh__json_put_text(&out, "issuer", store->issuer_pem);
	mesh__json_put_text(&out, "rootPin", pin);
	put_ms(&out, "rootNotAfter", store->root.not_after_ms);
	put_ms(&out, "issuerNotAfter", store->issuer.not_after_ms);
	mesh__json_close(&out, '}');
}

void meshca_answer_issued(struct mesh__buf *buf, const char *id, const struct meshca_issued *issued)
{
	struct mesh__json_out out = begin(buf, id, true);

	mesh__json_put_text(&out, "certificate", issued->chain_pem);
	mesh__json_put_text(&out, "serial", issued->leaf.serial);
	mesh__json_put_text(&out, "spiffeId", issued->leaf.spiffe);
	put_ms(&out, "notBefore", issued->leaf.not_before_ms);
	put_ms(&out, "notAfter", issued->leaf.not_after_ms);
	mesh__json_close(&out, '}');
}

void meshca_answer_refused(struct mesh__buf *buf, const char *id, enum meshca_error error, const char *message)
{
	struct mesh__json_out out = begin(buf, id, false);

	mesh__json_put_text(&out, "error", meshca_error_text(error));
	mesh__json_put_text(&out, "message", message);
	mesh__json_close(&out, '}');
}
