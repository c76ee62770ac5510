/* What may be tried again (POLICY.md, Retries). Today: what surely reached no handler, once per endpoint not yet tried, within the attempts. Pure. */
#ifndef MESH__POLICY_RETRY_H
#define MESH__POLICY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, "text"): how a try ended. */
#define MESH__TRY_ENDS(X)                                                                                              \
	X(ANSWERED, "answered")             /* a response came */                                                      \
	X(NOT_PROCESSED, "not-processed")   /* a response that says mesh-not-processed */                              \
	X(UNSENT, "unsent")                 /* no byte of the request left: connect failure, refused identity, ... */  \
	X(UNSURE, "unsure")                 /* sent, or perhaps sent, and no answer */                                 \
	X(LOCAL, "local")                   /* failed here before anything was sent; another endpoint changes nothing */ \
	X(STOPPED, "stopped")               /* cancelled, closed or out of time */

#define X(name, text) MESH__TRY_##name,
enum mesh__try_end { MESH__TRY_ENDS(X) };
#undef X

struct mesh__retry_rule {
	int32_t attempts; /* retries after the first try; built in 2 */
};

struct mesh__retry_inputs {
	enum mesh__try_end end;
	int32_t tries;            /* made so far, at least 1 */
	uint32_t endpoints;       /* of the service */
	int64_t left_ms;          /* of the deadline */
	bool body_gone;           /* a part of a streamed body, which nobody has kept */
	bool nothing_sent;        /* STOPPED alone: no byte of the request had left; false when not known */
};

struct mesh__retry_verdict {
	bool again;
	bool may_be_processed; /* for the error: a handler may have seen it */
	int64_t wait_ms;       /* before the next try */
};

/* Backoff before retry n: uniform in [0, min(250, 25·(2^n - 1))) ms (Envoy's form); none before a first retry that goes to an endpoint not yet tried. `draw` is uniform over 64 bits. */
struct mesh__retry_verdict mesh__retry_decide(const struct mesh__retry_rule *rule, const struct mesh__retry_inputs *in, uint64_t draw);

#endif
