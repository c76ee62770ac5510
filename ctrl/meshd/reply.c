#include "meshd/reply.h"

#include "base/mem.h"
#include "wire/message.h"

enum { REFUSAL_MAX_BYTES = 8192 };

static const struct {
	int code;
	int status;
	const char *word;
} words[] = {
	{MESH_E_INVALID, 400, "invalid"},
	{MESH_E_PROTOCOL, 400, "invalid"},
	{MESH_E_IDENTITY, 400, "invalid"},
	{MESH_E_TOO_LARGE, 413, "too-large"},
	{MESH_E_DENIED, 403, "denied"},
	{MESH_E_NOT_FOUND, 404, "not-found"},
	{MESH_E_EXISTS, 409, "exists"},
	{MESH_E_OVERLOADED, 429, "rate-limited"},
};

int meshd_status_of(int code)
{
	for (size_t i = 0; i < MESH__COUNT(words); i++) {
		if (words[i].code == code) {
			return words[i].status;
		}
	}
	return 503;
}

const char *meshd_word_of(int code)
{
	for (size_t i = 0; i < MESH__COUNT(words); i++) {
		if (words[i].code == code) {
			return words[i].word;
		}
	}
	return "unavailable";
}

void meshd_peer_address(const struct mesh__exchange *x, char out[MESH__ADDR_TEXT])
{
	struct mesh__addr addr;

	mesh__exchange_address(x, &addr);
	mesh__addr_format(&addr, out);
}

void meshd_reply(struct mesh__exchange *x, int status, const char *content_type, struct mesh__buf *body)
{
	const struct mesh__field_text fields[] = {{"Content-Type", content_type}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
	struct mesh__reply reply = {.status = status, .fields = fields, .n_fields = MESH__COUNT(fields), .body = body->data, .body_len = body->len};

	if (body->error != MESH_OK) {
		mesh__exchange_refuse(x, 503, "unavailable", "the answer does not fit into memory");
	} else {
		mesh__exchange_reply(x, &reply);
	}
	mesh__buf_fini(body);
}

void meshd_reply_json(struct mesh__exchange *x, int status, struct mesh__buf *body)
{
	meshd_reply(x, status, "application/json", body);
}

void meshd_reply_done(struct mesh__exchange *x)
{
	struct mesh__buf body;

	mesh__buf_init(&body, mesh__mem_libc(), 16);
	mesh__buf_str(&body, "{}\n");
	meshd_reply_json(x, 200, &body);
}

void meshd_refuse(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	/* The codec takes heap strings because decoders make them; an encoder only reads. */
	struct mesh__msg_refusal refusal = {.code = (char *)(uintptr_t)code, .message = (char *)(uintptr_t)message};
	struct mesh__buf body;

	mesh__buf_init(&body, mesh__mem_libc(), REFUSAL_MAX_BYTES);
	mesh__msg_refusal_encode(&refusal, &body);
	meshd_reply_json(x, status, &body);
}

void meshd_refuse_err(struct mesh__exchange *x, const struct mesh__err *err)
{
	meshd_refuse(x, meshd_status_of(err->code), meshd_word_of(err->code), err->message);
}
