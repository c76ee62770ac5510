/* Whose failure a try was: what it says of the endpoint (POLICY.md, Circuit breaking and outlier detection). Pure. */
#ifndef MESH__POLICY_BLAME_H
#define MESH__POLICY_BLAME_H

#include <stdbool.h>

#include "policy/retry.h"

enum mesh__blame {
	MESH__BLAME_NOBODY,   /* the endpoint did well */
	MESH__BLAME_ENDPOINT, /* it failed: 5xx, gRPC's own, no connection, reset, too slow */
	MESH__BLAME_UNKNOWN,  /* it says nothing of the endpoint: it was ended on this side */
};

/* From this status on an answer is a failure of the server. */
enum { MESH__STATUS_FAILED = 500 };

struct mesh__blame_inputs {
	enum mesh__try_end end;
	int code;         /* MESH_E_… of a try without an answer */
	int status;       /* of an answer */
	bool grpc_failed; /* its gRPC status is a failure of the server */
	bool whole_time;  /* it had all of the time that the service's documents give a call, and no caller's or parent's own cut that short; nor was it the caller that was slow */
};

enum mesh__blame mesh__blame_decide(const struct mesh__blame_inputs *in);

#endif
