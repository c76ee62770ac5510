/* What is tried again, and when (POLICY.md, Retries). Pure. Whether the budget has one more is policy/budget.h. */
#ifndef MESH__POLICY_RETRY_H
#define MESH__POLICY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/service.h"

/* X(NAME, "text"): how a try ended. */
#define MESH__TRY_ENDS(X)                                                                                              \
	X(ANSWERED, "answered")             /* a response came */                                                      \
	X(NOT_PROCESSED, "not-processed")   /* a response that says mesh-not-processed */                              \
	X(UNCONNECTED, "unconnected")       /* there was no connection for it: refused, too slow, the wrong identity */ \
	X(UNSENT, "unsent")                 /* there was one, and surely no handler saw the request: not sent, or refused unprocessed */ \
	X(UNSURE, "unsure")                 /* sent, or perhaps sent, and no answer, in the try's time */              \
	X(LOCAL, "local")                   /* failed here before anything was sent; another endpoint changes nothing */ \
	X(STOPPED, "stopped")               /* cancelled, closed, out of time, or answered with more than is taken */   \
	X(OUTRUN, "outrun")                 /* ended because the call's second try has answered */

#define X(name, text) MESH__TRY_##name,
enum mesh__try_end { MESH__TRY_ENDS(X) };
#undef X

/* X(NAME, "text"): why a try that the rule would have had repeated is the last all the same; the words of the metric. */
#define MESH__RETRY_STOPS(X)                                                                                           \
	X(ATTEMPTS, "attempts")             /* all were made */                                                        \
	X(NOT_IDEMPOTENT, "not-idempotent") /* a handler may have seen it, and twice is not once */                    \
	X(BODY, "body")                     /* nobody has kept what went out of it */                                  \
	X(PARENT, "parent")                 /* it is made for a request that is a retry itself */                      \
	X(IDENTITY, "identity")             /* whoever is there is the wrong one, and nobody else is */                \
	X(PUSHBACK, "pushback")             /* the answer forbids it */                                                \
	X(DEADLINE, "deadline")             /* it could not begin in time */                                           \
	X(BUDGET, "budget")

#define X(name, text) MESH__RETRY_STOP_##name,
enum mesh__retry_stop { MESH__RETRY_STOP_NONE, MESH__RETRY_STOPS(X) };
#undef X

/* Bodies up to so many bytes are kept for a retry. */
enum { MESH__RETRY_BODY_MAX = 64 * 1024 };

/* What an answer asks of who would repeat: neither is a wait. */
enum { MESH__RETRY_ASKS_NOTHING = -1, MESH__RETRY_ASKS_NEVER = -2 };

struct mesh__retry_inputs {
	enum mesh__try_end end;
	int status;               /* of an answer (ANSWERED, NOT_PROCESSED), 100 to 599 */
	int grpc;                 /* its gRPC status; -1: it is not gRPC's */
	bool idempotent;
	bool nothing_sent;        /* STOPPED alone: no byte of the request had left; false when not known */
	bool body_gone;           /* a part of a body which nobody has kept */
	bool only_impostors;      /* the peer was not who it must be, and no endpoint is left untried */
	bool parent_retried;      /* it is made for a request that is a retry, or is made for one */
	int32_t tries;            /* made so far, at least 1 */
	int64_t left_ms;          /* of the deadline */
	int64_t asked_ms;         /* by the answer (Retry-After, grpc-retry-pushback-ms), or one of the words above */
};

struct mesh__retry_verdict {
	bool again;
	bool may_be_processed;       /* for the error: a handler may have seen it */
	enum mesh__retry_stop stop;  /* NONE: again, or nothing that the rule names has happened */
	int64_t wait_ms;             /* before the next try: not less than was asked, and the backoff */
};

/* GET, HEAD, OPTIONS, PUT, DELETE. */
bool mesh__retry_method_is_idempotent(const char *method);

/* Uniform in [0, min(max, base·(2^n - 1))) ms for retry n, from 1 (Envoy's form, full jitter). `draw` is uniform over 64 bits. */
int64_t mesh__retry_backoff_ms(const struct mesh__retries *rule, int32_t n, uint64_t draw);

/* Whether a handler may have seen a try that ended so. `nothing_sent`: of STOPPED alone. */
bool mesh__retry_may_be_processed(enum mesh__try_end end, bool nothing_sent);

struct mesh__retry_verdict mesh__retry_decide(const struct mesh__retries *rule, const struct mesh__retry_inputs *in, uint64_t draw);

/* "budget": static; "" for NONE. */
const char *mesh__retry_stop_name(enum mesh__retry_stop stop);

#endif
