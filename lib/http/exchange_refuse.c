/* Refusals with a word and a sentence, in the form that who asked can read. */
#include <stdio.h>

#include "http/core.h"
#include "http/reply.h"
#include "wire/grpc.h"

enum { TEXT_MAX = 64 * 1024, MESSAGE_MAX = 4096 };

static const struct mesh__field_text not_processed = {"mesh-not-processed", "1"};

static void refuse_in_json(struct mesh__exchange *x, int status, const char *code, const char *message, bool unprocessed)
{
	struct mesh__field_text fields[] = {{"Content-Type", "application/json"}, not_processed};
	struct mesh__reply reply = {.status = status, .fields = fields, .n_fields = unprocessed ? 2 : 1};
	struct mesh__buf body;

	mesh__buf_init(&body, &x->server->env->mem, TEXT_MAX);
	mesh__reply_error(&body, code, message);
	if (body.error == MESH_OK) {
		reply.body = body.data;
		reply.body_len = body.len;
	}
	mesh__exchange_reply(x, &reply);
	mesh__buf_fini(&body);
}

/* Trailers alone: what the status would have been is said where a gRPC program looks for it. */
static void refuse_in_grpc(struct mesh__exchange *x, int status, const char *code, const char *message, bool unprocessed)
{
	struct mesh__field_text fields[4] = {{"Content-Type", "application/grpc"}};
	struct mesh__reply reply = {.status = 200, .fields = fields, .n_fields = 2};
	struct mesh__buf text;
	char number[4];

	(void)snprintf(number, sizeof(number), "%u", (unsigned)mesh__grpc_status_of_refusal(status) % 100);
	fields[1] = (struct mesh__field_text){"grpc-status", number};
	mesh__buf_init(&text, &x->server->env->mem, MESSAGE_MAX);
	mesh__grpc_message_encode(&text, code);
	mesh__buf_str(&text, ": ");
	mesh__grpc_message_encode(&text, message);
	if (text.len > 0) {
		fields[reply.n_fields++] = (struct mesh__field_text){"grpc-message", text.data};
	}
	if (unprocessed) {
		fields[reply.n_fields++] = not_processed;
	}
	mesh__exchange_reply(x, &reply);
	mesh__buf_fini(&text);
}

static void refuse(struct mesh__exchange *x, int status, const char *code, const char *message, bool unprocessed)
{
	if (mesh__grpc_content_type(mesh__exchange_header(x, "content-type"))) {
		refuse_in_grpc(x, status, code, message, unprocessed);
	} else {
		refuse_in_json(x, status, code, message, unprocessed);
	}
}

void mesh__exchange_refuse(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	refuse(x, status, code, message, false);
}

void mesh__exchange_refuse_unprocessed(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	refuse(x, status, code, message, true);
}
