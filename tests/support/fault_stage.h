/*
 * Calls through a faulty network: payments, which counts how often it ran each call, a fault_proxy before it with two addresses, and cart, who calls by the public API over mutual TLS. In one process.
 */
#ifndef TESTS_SUPPORT_FAULT_STAGE_H
#define TESTS_SUPPORT_FAULT_STAGE_H

#include <stdatomic.h>

#include "fault_proxy.h"
#include "two_meshes.h"

enum { STAGE_CALLS_MAX = 8192, STAGE_ANSWER_BYTES = 20000 /* two TLS records */ };

struct fault_stage {
	struct two_meshes meshes;
	struct fault_proxy *proxy;
	mesh_options *one, *two; /* cart's options: with one of the proxy's addresses as endpoint, with both */
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

/* A mesh for cart; closed by the caller. */
mesh *fault_stage_open(const mesh_options *options);

/* One call of payments: "POST" with a body, or any other method without. */
void fault_stage_call(struct fault_stage *s, mesh *m, const char *method, int64_t timeout_ms, struct outcome *out);

/* The same on a mesh of its own: surely no kept connection. */
void fault_stage_call_cold(struct fault_stage *s, const mesh_options *options, const char *method, int64_t timeout_ms, struct outcome *out);

#endif
