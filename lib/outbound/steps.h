/*
 * The steps of a call, one a file. A coordinator (call.c) takes them in turn; each fills in request->err when it fails.
 */
#ifndef MESH__OUTBOUND_STEPS_H
#define MESH__OUTBOUND_STEPS_H

#include "outbound/request.h"

/* Names the service, takes the snapshot (waiting for the first word of a service not subscribed to), sets the deadline. */
int mesh__step_resolve(struct mesh_request *request) MESH__MUST_USE;

/* Chooses the endpoint of this try. MESH_E_NO_SERVICE, MESH_E_NO_ENDPOINT. */
int mesh__step_pick(struct mesh_request *request) MESH__MUST_USE;

/*
 * Whether this try may begin: time left, not cancelled, not closed, and not more calls under way to the destination than circuitBreaker.maxRequests (MESH_E_OVERLOADED). From here to mesh__step_observe() it is one of those:
 * request->held. Ejection stands here when it comes.
 */
int mesh__step_admit(struct mesh_request *request) MESH__MUST_USE;

/* One try on the picked endpoint; sets request->end. */
void mesh__step_attempt(struct mesh_request *request);

/* What the try teaches: latency, counters, the trail of endpoints. It is under way no more. */
void mesh__step_observe(struct mesh_request *request);

/* Whether to try again; waits out the backoff. Fills in whether it may have been processed. */
bool mesh__step_retry(struct mesh_request *request);

#endif
