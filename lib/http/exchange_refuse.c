/* Refusals with a word and a sentence, in the form that who asked can read. */
#include <stdio.h>

#include "http/core.h"
#include "http/reply.h"
#include "wire/grpc.h"

enum { TEXT_MAX = 64 * 1024, MESSAGE_MAX = 4096 };

static void add_field(struct mesh__refusal_reply *r, const char *name, const char *value)
{
	r->fields[r->reply.n_fields++] = (struct mesh__field_text){name, value};
}

static void write_json(struct mesh__refusal_reply *r, const struct mesh__mem *mem, int status, const char *word, const char *sentence)
{
	r->reply.status = status;
	add_field(r, "Content-Type", "application/json");
	mesh__buf_init(&r->text, mem, TEXT_MAX);
	mesh__reply_error(&r->text, word, sentence);
	if (r->text.error == MESH_OK) {
		r->reply.body = r->text.data;
		r->reply.body_len = r->text.len;
	}
}

/* Trailers alone: what the status would have been is said where a gRPC program looks for it. */
static void write_grpc(struct mesh__refusal_reply *r, const struct mesh__mem *mem, enum mesh__grpc_status status, const char *word, const char *sentence)
{
	r->reply.status = 200;
	(void)snprintf(r->number, sizeof(r->number), "%u", (unsigned)status % 100);
	add_field(r, "Content-Type", "application/grpc");
	add_field(r, "grpc-status", r->number);
	mesh__buf_init(&r->text, mem, MESSAGE_MAX);
	mesh__grpc_message_encode(&r->text, word);
	mesh__buf_str(&r->text, ": ");
	mesh__grpc_message_encode(&r->text, sentence);
	if (r->text.len > 0) {
		add_field(r, "grpc-message", r->text.data);
	}
}

static void init(struct mesh__refusal_reply *r, const struct mesh__mem *mem, const struct mesh__exchange *x, int status, enum mesh__grpc_status grpc, const char *word, const char *sentence)
{
	r->reply = (struct mesh__reply){.fields = r->fields};
	if (x != NULL && mesh__grpc_content_type(mesh__exchange_header(x, "content-type"))) {
		write_grpc(r, mem, grpc, word, sentence);
	} else {
		write_json(r, mem, status, word, sentence);
	}
}

void mesh__refusal_reply_init(struct mesh__refusal_reply *r, const struct mesh__mem *mem, const struct mesh__exchange *x, enum mesh__refusal refusal)
{
	const struct mesh__refusal_text *text = mesh__refusal_text(refusal);

	/* The handler may be at it still: that the service is not available would be an invitation to ask again. */
	init(r, mem, x, text->status, refusal == MESH__REFUSAL_LATE ? MESH__GRPC_DEADLINE_EXCEEDED : mesh__grpc_status_of_refusal(text->status), text->word, text->sentence);
}

void mesh__refusal_reply_fini(struct mesh__refusal_reply *r)
{
	mesh__buf_fini(&r->text);
}

/* wait_ms 0: nothing is said of when to come again. */
static void refuse(struct mesh__exchange *x, int status, const char *code, const char *message, bool unprocessed, int64_t wait_ms)
{
	struct mesh__refusal_reply r;
	char wait[24];

	init(&r, &x->server->env->mem, x, status, mesh__grpc_status_of_refusal(status), code, message);
	if (unprocessed) {
		add_field(&r, "mesh-not-processed", "1");
	}
	if (wait_ms > 0) {
		bool grpc = r.reply.status != status; /* a 200, in trailers alone */

		(void)snprintf(wait, sizeof(wait), "%lld", (long long)(grpc ? wait_ms : (wait_ms + 999) / 1000));
		add_field(&r, grpc ? "grpc-retry-pushback-ms" : "Retry-After", wait);
	}
	mesh__exchange_reply(x, &r.reply);
	mesh__refusal_reply_fini(&r);
}

void mesh__exchange_refuse(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	refuse(x, status, code, message, false, 0);
}

void mesh__exchange_refuse_unprocessed(struct mesh__exchange *x, int status, const char *code, const char *message)
{
	refuse(x, status, code, message, true, 0);
}

void mesh__exchange_refuse_for(struct mesh__exchange *x, int status, const char *code, const char *message, int64_t wait_ms)
{
	refuse(x, status, code, message, true, wait_ms);
}
