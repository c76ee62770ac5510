/*
 * The steps of a call, one a file. A coordinator (call.c) takes them in turn; each fills in request->err when it fails. Those that wait do so on this thread or, for a parked call, not at all: then they say MESH_E_WOULD_BLOCK, and the
 * call goes on when it is told (parked.h).
 */
#ifndef MESH__OUTBOUND_STEPS_H
#define MESH__OUTBOUND_STEPS_H

#include "outbound/request.h"

/* Names the service, takes the snapshot, sets the deadline. The service may not be known yet: request->service is NULL then. */
int mesh__step_resolve(struct mesh_request *request) MESH__MUST_USE;

/* The deadline by what the service, its route (NULL: none, or not known yet), the caller and the parent say. */
void mesh__resolve_deadline(struct mesh_request *request, const struct mesh__service_policy *policy, const struct mesh__route *route);

/* Waits for the first word of a service that is not subscribed to: the one that is called, or request->awaited, to which its route leads. A parked call comes here again and again. */
int mesh__step_await(struct mesh_request *request) MESH__MUST_USE;

/* Takes the service's route: request->route, service, group, deadline. The service that it leads to may not be known yet: request->service is NULL then, and once it is known this step is taken again. */
void mesh__step_route(struct mesh_request *request);

/* What the call's route, which it has, makes of it: what is sent is edited (edit.h), or it is answered here (answer.h), and request->answered_here. */
int mesh__step_edit(struct mesh_request *request) MESH__MUST_USE;

/* Chooses the endpoint of this try. MESH_E_NO_SERVICE, MESH_E_NO_ENDPOINT. */
int mesh__step_pick(struct mesh_request *request) MESH__MUST_USE;

/*
 * Whether this try may begin: time left, not cancelled, not closed, and not more calls under way to the destination than circuitBreaker.maxRequests (MESH_E_OVERLOADED). From here to mesh__step_observe() it is one of those:
 * request->held. Ejection stands here when it comes.
 */
int mesh__step_admit(struct mesh_request *request) MESH__MUST_USE;

/* Of these, what holds also where nothing will be sent: not closed, not cancelled, time left. */
int mesh__admit_call(struct mesh_request *request) MESH__MUST_USE;

/* One try on the picked endpoint: what came of it is in request->try_code. MESH_OK (also for a try that failed), MESH_E_WOULD_BLOCK. */
int mesh__step_attempt(struct mesh_request *request) MESH__MUST_USE;

/* The answer says that no handler saw the request (mesh-not-processed, POLICY.md; for gRPC its own word). Pure. */
bool mesh__response_not_processed(const struct mesh__client_response *response);

/* Judges the try, which is over: sets request->end. */
void mesh__step_judge(struct mesh_request *request);

/* Whether the try that is judged is still under way: its head is there, its bodies stream. */
bool mesh__observe_later(const struct mesh_request *request);

/* The bodies of such a try are through, or broken off; `failed`: by what came with them it was a failure of the endpoint. No effect on any other. The call thread. */
void mesh__observe_landed(struct mesh_request *request, bool failed);

/* What the try teaches: latency, counters, the trail of endpoints. It is under way no more, unless it streams on. */
void mesh__step_observe(struct mesh_request *request);

/* Whether to try again, and after how long: request->wait_ms. Takes that from the destination's budget. Fills in whether it may have been processed. */
bool mesh__step_retry(struct mesh_request *request);

/* What the call goes by: its route's rule, or its service's. */
const struct mesh__retries *mesh__retries_of(const struct mesh_request *request);

/* Of it, the share and the floor; over the window of the service that is called, as its destination counts in slices of one window, whichever route leads there. */
struct mesh__retry_budget mesh__retry_budget_of(const struct mesh_request *request);

/* Whether mesh__step_retry() would try again, were the answer whose head is there now whole. Changes nothing. */
bool mesh__retry_would(const struct mesh_request *request);

/* Waits out the backoff. MESH_OK, MESH_E_WOULD_BLOCK. */
int mesh__step_pause(struct mesh_request *request) MESH__MUST_USE;

#endif
