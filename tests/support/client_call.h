/* One exchange through a pool, in a line: what the tests of the client ask and look at. */
#ifndef TESTS_SUPPORT_CLIENT_CALL_H
#define TESTS_SUPPORT_CLIENT_CALL_H

#include "http/client.h"

struct client_call {
	struct mesh__env env;
	struct mesh__client_request request;
	int64_t connect_timeout_ms;
	int64_t timeout_ms;
	struct mesh__cancel *cancel;   /* NULL at first, as the next: of struct mesh__client_wait */
	void (*due)(void *arg);
	int64_t due_us;
	void *arg;
	/* Results. */
	int code;
	struct mesh__client_response response;
	struct mesh__client_result result;
	struct mesh__err err;
};

/* A request of "/" with a minute; fini frees what the response holds. */
void client_call_init(struct client_call *call, const char *method, const char *body);
void client_call_fini(struct client_call *call);

/* Makes the exchange; returns its code. */
int client_call_run(struct client_call *call, struct mesh__pool *pool);

#endif
