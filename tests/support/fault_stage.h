/*
 * Calls through a faulty network: payments, which counts how often it ran each call, a fault_proxy before it with two addresses, and cart, who calls by the public API over mutual TLS. In one process.
 */
#ifndef TESTS_SUPPORT_FAULT_STAGE_H
#define TESTS_SUPPORT_FAULT_STAGE_H

#include <stdatomic.h>

#include "fault_proxy.h"
#include "two_meshes.h"

enum { STAGE_CALLS_MAX = 8192, STAGE_ANSWER_BYTES = 20000, STAGE_ANSWER_RECORDS = 3 /* of TLS: header, 16 KiB of the body, the rest */ };

struct fault_stage {
	struct two_meshes meshes;
	struct fault_proxy *proxy;
	struct mesh__addr addresses[2]; /* the proxy's */
	int n_calls;
	_Atomic int executed[STAGE_CALLS_MAX]; /* by the number of the call */
};

/* What became of a call. */
struct outcome {
	int call;          /* its number, from 0 */
	const char *name;  /* of the code: "MESH_OK", "MESH_E_RESET", ... */
	const char *origin;
	char message[512];
	bool may_be_processed;
	int tries, status;
	bool whole;        /* the body is what payments answers, to the byte */
	int64_t ms;
};

void fault_stage_init(struct fault_stage *s);
void fault_stage_fini(struct fault_stage *s);

/* A mesh for cart, with these endpoints of payments, each of which is tried once at most, and only by a call that surely reached none before. A machine under load must not look like a fault: the connect timeout is none of a test's concern unless it says so. Closed by the caller. */
mesh *fault_stage_open(struct fault_stage *s, const struct mesh__addr *addresses, size_t n, const char *connect_timeout);
#define FAULT_STAGE_PATIENT "60s"

/* One call of payments: "POST" with a body, or any other method without. */
void fault_stage_call(struct fault_stage *s, mesh *m, const char *method, int64_t timeout_ms, struct outcome *out);

#endif
