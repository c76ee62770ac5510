/*
 * A call's second try (POLICY.md, Hedging; policy/hedge.h says when): a started call of its own, on the call thread, of one try on another endpoint, whose first try it is beside. Each teaches its endpoint, and is counted, by itself. The
 * first answer that is no failure is the call's, and the other try is ended at once; where one fails the other is waited for. Neither waits for the other to have ended: what they share is counted, so that a call that has its
 * answer is over whatever the call thread is busy with.
 */
#ifndef MESH__OUTBOUND_HEDGE_H
#define MESH__OUTBOUND_HEDGE_H

#include <stdbool.h>

#include "base/attr.h"

struct mesh__hedge;
struct mesh_request;

/* ---- The call's side: its thread ---- */

/* A try begins, and the rule is on: counts it, and sets request->hedge_due_us where it may have a second one, and request->timed. */
void mesh__hedge_arm(struct mesh_request *request);

/* It is due, and the first try is under way: begins it, where the budget and memory allow. `arg` is the request. */
void mesh__hedge_second(void *arg);

/* The second has won, while the first was not over: it is not to be sent any more. */
bool mesh__hedge_has_won(const struct mesh_request *request);

/* The first try is over, and is interrupted by the second no more: whether it was ended because that has won. */
bool mesh__hedge_outran(struct mesh_request *request);

/* How long the first try has taken, without connection set-up, counts for percentiles. */
void mesh__hedge_time(const struct mesh_request *request);

/* ---- The second's: the call thread ---- */

/* What it has of its call. */
void mesh__hedge_resolve(struct mesh_request *second);

/* It may be sent: from here on it is one of its call's tries. MESH_E_NO_ENDPOINT: it would go where the first has gone; MESH_E_CANCELLED: its call is over. */
int mesh__hedge_admit(struct mesh_request *second) MESH__MUST_USE;

#endif
