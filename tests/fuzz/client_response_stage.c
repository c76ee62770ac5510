#include "client_response_stage.h"

#include <string.h>

#include "support/alloc_fail.h"
#include "support/text_span.h"

static struct {
	struct mesh__env env;
	struct fail_mem mem;
	struct mesh__pool *pool;
	struct mesh__cancel *cancel;
} own;

void client_stage_open(struct client_stage *s, enum mesh__http_proto proto)
{
	struct mesh__pool_options options;

	CHECK(mesh__client_init(NULL) == MESH_OK);
	mesh__env_init(&own.env);
	fail_mem_init(&own.mem);
	own.env.mem = own.mem.mem;
	s->must_dial = true;
	mesh__pool_options_default(&options);
	options.proto = proto;
	options.target = (struct mesh__target){.address = {.ip = "127.0.0.1", .port = 80}, .host = "s", .insecure_plaintext = true};
	CHECK(mesh__pool_new(&own.env, &options, &own.pool, NULL) == MESH_OK);
	own.cancel = mesh__cancel_new(&own.env);
}

void client_stage_close(void)
{
	mesh__pool_unref(own.pool);
	mesh__cancel_free(own.cancel);
	peer_close();
	CHECK(own.mem.live == 0);
}

static void on_stalled(void)
{
	mesh__cancel_fire(own.cancel);
}

void client_stage_exchange(struct client_stage *s, enum way way, const struct peer_response *answer)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
	struct mesh__client_request request = {.method = methods[way], .target = "/a?b", .body = "body", .body_len = way == WAY_POST ? 4 : 0, .has_body = way >= WAY_POST,
		.max_response_bytes = RESPONSE_MAX};
	struct mesh__client_wait wait = {.deadline_us = mesh__mono_us(&own.env) + 60000000, .cancel = own.cancel};
	struct mesh__err err = MESH__NO_ERR;

	mesh__client_response_init(&s->response, &own.env, 1 << 20);
	mesh__cancel_reset(own.cancel);
	peer_answer(answer, on_stalled);
	s->code = mesh__pool_exchange(own.pool, &request, 60000, &wait, &s->response, &s->result, &err);
	CHECK((s->code == MESH_OK) == (err.code == MESH_OK) && (s->code == MESH_OK || (err.code == s->code && err.message[0] != '\0')));
	CHECK(!s->result.reused || !s->must_dial);
}

void client_stage_check_form(const struct mesh__client_response *r)
{
	const char *name, *value;

	CHECK(r->status >= 200 && r->status <= 599 && r->body.len <= RESPONSE_MAX);
	for (size_t i = 0; mesh__client_response_field(r, i, &name, &value); i++) {
		struct text_span n = {name, strlen(name)}, v = {value, strlen(value)};

		CHECK(text_all_of(n, TEXT_TOKEN) && strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
		CHECK(!text_has_control(v));
	}
}
