/*
 * Where a try goes when no endpoint is healthy where its call leads (POLICY.md, Failover), and whether health counts there: panic. Both are told in the log when they begin and when they end, which is when the next call finds it so.
 * By the document of the service that is called; a service that takes over sends nothing on by its own, so that no call goes round in a circle. A try there is that service's in all that concerns it: whose certificate is believed, circuit
 * breaking, the retry budget, connections. The call remains what it was: its deadline and its rule of retries.
 */
#ifndef MESH__OUTBOUND_FAILOVER_H
#define MESH__OUTBOUND_FAILOVER_H

#include "outbound/levels.h"
#include "outbound/request.h"

struct mesh__lead {
	bool whole;                 /* all endpoints of request->group are healthy, as almost always, and the rest here says nothing; else: */
	bool panic;                 /* too few of them are, and nobody takes over: all are taken */
	size_t healthy;             /* so many are */
	struct mesh__levels levels; /* of the group */
};

/*
 * Sets request->service and group to where this try goes: to home, where its route leads, or the first that takes over. A service that may take over and that is not known yet is waited for where nobody else can: request->service is
 * NULL then, and request->awaited says whose word is missing.
 */
void mesh__failover_lead(struct mesh_request *request, struct mesh__lead *out);

/* Adds to request->err, of a call that found no endpoint at home, what else was tried. */
void mesh__failover_explain(struct mesh_request *request);

#endif
