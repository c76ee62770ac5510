#include "client_call.h"

#include <string.h>

void client_call_init(struct client_call *call, const char *method, const char *body)
{
	memset(call, 0, sizeof(*call));
	mesh__env_init(&call->env);
	call->request = (struct mesh__client_request){.method = method, .target = "/", .body = body, .has_body = body != NULL, .body_len = body != NULL ? strlen(body) : 0,
		.max_response_bytes = 1 << 20};
	/* Bounds for a machine under load, or under valgrind: nothing waits that long. */
	call->connect_timeout_ms = 50000;
	call->timeout_ms = 60000;
	mesh__client_response_init(&call->response, &call->env, 1 << 20);
}

void client_call_fini(struct client_call *call)
{
	mesh__client_response_fini(&call->response);
	mesh__cancel_free(call->cancel);
}

int client_call_run(struct client_call *call, struct mesh__pool *pool)
{
	struct mesh__client_wait wait = {.deadline_us = mesh__mono_us(&call->env) + call->timeout_ms * 1000, .cancel = call->cancel, .due = call->due, .due_us = call->due_us, .arg = call->arg};

	call->err = (struct mesh__err)MESH__NO_ERR;
	call->code = mesh__pool_exchange(pool, &call->request, call->connect_timeout_ms, &wait, &call->response, &call->result, &call->err);
	return call->code;
}
