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

/* Takes the service's route: request->route, service, group, deadline; and request->fault. The service that it leads to may not be known yet: request->service is NULL then, and once it is known this step is taken again. */
void mesh__step_route(struct mesh_request *request);

/* What of the request `on` names, as mesh__sticky_key() gives it (policy/split.h): into room[cap], of MESH__TARGET_MAX + 1 bytes, or borrowed from the request; NULL: it has none. */
const char *mesh__request_key(const struct mesh_request *request, const struct mesh__sticky *on, char *room, size_t cap, size_t *len);

/* What the call's route, which it has, makes of it: what is sent is edited (edit.h), or it is answered here (answer.h), and request->answered_here. */
int mesh__step_edit(struct mesh_request *request) MESH__MUST_USE;

/* One more call to the service that is called, once a call: MESH_OK, and mesh__limit_leave() follows, or MESH_E_OVERLOADED when there are as many as its concurrencyLimit allows. */
int mesh__step_limit(struct mesh_request *request) MESH__MUST_USE;

/* The call is over, with what request->err and request->response say: unless its bodies still stream, which ends with mesh__observe_landed(). No effect on one that is not counted. */
void mesh__limit_leave(struct mesh_request *request);

/* Chooses the endpoint of this try; request->probes: an ejected one that it is to probe (outlier.h). MESH_E_NO_SERVICE, MESH_E_NO_ENDPOINT. */
int mesh__step_pick(struct mesh_request *request) MESH__MUST_USE;

/*
 * Whether this try may begin: time left, not cancelled, not closed, and not more calls under way to the destination than circuitBreaker.maxRequests (MESH_E_OVERLOADED). From here to mesh__step_observe() it is one of those:
 * request->held, and its time, its share of its endpoint and its results have begun.
 */
int mesh__step_admit(struct mesh_request *request) MESH__MUST_USE;

/* Of these, what holds also where nothing will be sent: not closed, not cancelled, time left. */
int mesh__admit_call(struct mesh_request *request) MESH__MUST_USE;

/*
 * What is injected into the admitted try of a call that has a fault (fault.c): draws it, and waits out the delay, or a slow body, MESH_OK, MESH_E_WOULD_BLOCK. Then mesh__step_inject() ends the try, which is to be judged as a real one:
 * true, and what came of it is in request->try_code, err, response and result. False: it goes on to its endpoint, with what is left of its time.
 */
int mesh__step_fault(struct mesh_request *request) MESH__MUST_USE;
bool mesh__step_inject(struct mesh_request *request) MESH__MUST_USE;

/* One try on the picked endpoint: what came of it is in request->try_code. MESH_OK (also for a try that failed), MESH_E_WOULD_BLOCK. */
int mesh__step_attempt(struct mesh_request *request) MESH__MUST_USE;

/* The answer says that no handler saw the request (mesh-not-processed, POLICY.md; for gRPC its own word). Pure. */
bool mesh__response_not_processed(const struct mesh__client_response *response);

/* Judges the try, which is over: sets request->end. */
void mesh__step_judge(struct mesh_request *request);

/* Whether the try that is judged is still under way: its head is there, its bodies stream. */
bool mesh__observe_later(const struct mesh_request *request);

/* The bodies of such a try are through, or broken off with this code: what that teaches. No effect on any other. The call thread. */
void mesh__observe_landed(struct mesh_request *request, int code);

/* What the try teaches: latency, counters, the trail of endpoints. It is under way no more, unless it streams on. */
void mesh__step_observe(struct mesh_request *request);

/* The first try is over, and there is a second: whichever has answered first is the call's outcome, and where neither has the other is waited for. MESH_OK, MESH_E_WOULD_BLOCK. */
int mesh__step_hedge(struct mesh_request *request) MESH__MUST_USE;

/* Whether to try again, and after how long: request->wait_ms. Takes that from the destination's budget. Fills in whether it may have been processed. */
bool mesh__step_retry(struct mesh_request *request);

/* What the call goes by: its route's rule, or its service's. */
const struct mesh__retries *mesh__retries_of(const struct mesh_request *request);

/* Likewise for second tries. */
const struct mesh__hedging *mesh__hedging_of(const struct mesh_request *request);

/* Of the former, the share and the floor; over the window of the service that is called, as its destination counts in slices of one window, whichever route leads there. */
struct mesh__retry_budget mesh__retry_budget_of(const struct mesh_request *request);

/* Whether mesh__step_retry() would try again, were the answer whose head is there now whole. Changes nothing. */
bool mesh__retry_would(const struct mesh_request *request);

/* Waits for request->wait_ms: the backoff, a fault's delay. Ends early when the call is cancelled. MESH_OK, MESH_E_WOULD_BLOCK. */
int mesh__step_pause(struct mesh_request *request) MESH__MUST_USE;

#endif
