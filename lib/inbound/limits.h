/* How much the service takes, by its own document, asked of each request that its caller may make: after authorization, before the handler or any queue. On the loop of its connection, on several at once. */
#ifndef MESH__INBOUND_LIMITS_H
#define MESH__INBOUND_LIMITS_H

#include "inbound/sources.h"
#include "policy/aimd.h"
#include "policy/gcra.h"
#include "telemetry/metrics.h"

struct mesh_inbound;
struct mesh__service_policy;
struct mesh_server;

/* What is counted for it, from the server's start to its end: a change of the document forgets no request. */
struct mesh__inbound_limits {
	struct mesh__metrics *metrics;
	struct mesh__sources sources;   /* callers, each by itself */
	_Atomic int64_t all_arrival_ns; /* all together */
	struct mesh__aimd concurrency;
	struct mesh__counter *refused, *limit;
};

void mesh__inbound_limits_init(struct mesh__inbound_limits *limits, const struct mesh__env *env, struct mesh__metrics *metrics);
void mesh__inbound_limits_fini(struct mesh__inbound_limits *limits);

/* True: it is within the rate, and counted. Else it was refused, 429 with how long to wait, and has ended. */
bool mesh__inbound_within_rate(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__rate_limit *limit);

/* True: it is within what may be under way, and one of those until it is freed. Else it was refused, 503, and has ended. */
bool mesh__inbound_within_concurrency(struct mesh_server *server, struct mesh_inbound *in, const struct mesh__service_policy *own);

/* One of those is freed: with its end it tells of how much can be carried. Any thread; no effect on any other. */
void mesh__inbound_limits_leave(struct mesh_inbound *in);

#endif
