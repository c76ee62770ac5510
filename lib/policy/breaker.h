/*
 * The limits of one destination (POLICY.md, Circuit breaking): what they are called, what they may be, and whether one more is within one. Pure. Who counts is outbound/destination.h, and http/circuit.h for what waits and connects.
 */
#ifndef MESH__POLICY_BREAKER_H
#define MESH__POLICY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, member, "text", at least): each is built in at 1024 (Envoy's default), and at most a million. */
#define MESH__BREAKER_LIMITS(X)                                                                                        \
	X(CONNECTIONS, max_connections, "maxConnections", 1) /* to all of its endpoints together */                     \
	X(REQUESTS, max_requests, "maxRequests", 1)          /* calls under way at once, those that wait for a connection among them */ \
	X(PENDING, max_pending, "maxPending", 0)             /* calls that wait for a connection */

#define X(name, member, text, least) MESH__BREAKER_##name,
enum mesh__breaker_limit { MESH__BREAKER_LIMITS(X) };
#undef X

enum { MESH__BREAKER_BUILT_IN = 1024, MESH__BREAKER_MOST = 1000000 };

struct mesh__breaker {
#define X(name, member, text, least) int32_t member;
	MESH__BREAKER_LIMITS(X)
#undef X
};

/* The built-in limits. */
void mesh__breaker_default(struct mesh__breaker *breaker);

/* "maxRequests": the word of the document, of metrics and of errors; static. */
const char *mesh__breaker_name(enum mesh__breaker_limit limit);

int32_t mesh__breaker_value(const struct mesh__breaker *breaker, enum mesh__breaker_limit limit);

/* Whether one more may begin while `under_way` of its kind are. */
bool mesh__breaker_admits(const struct mesh__breaker *breaker, enum mesh__breaker_limit limit, int32_t under_way);

#endif
