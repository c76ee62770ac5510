#include "outbound/hedge.h"

#include <pthread.h>
#include <string.h>

#include "http/cancel.h"
#include "outbound/call.h"
#include "outbound/destination.h"
#include "outbound/sleep.h"
#include "outbound/steps.h"

/* For what the second try is to end the wait of the first. */
enum until { UNTIL_NOTHING, UNTIL_WON, UNTIL_OVER };

struct mesh__hedge {
	/* What the second has of its call; set before it starts. */
	struct mesh__snapshot *snapshot;     /* referenced until it has taken it */
	struct mesh__service *called, *service;
	struct mesh__home home;
	struct mesh__group *group;
	const struct mesh__route *route;
	const struct mesh__route_match *match;
	const struct mesh__fault *fault;
	const struct mesh__faulted *faulted;
	struct mesh__endpoint *tried;        /* by the first */
	int64_t deadline_us;

	pthread_mutex_t mu;                  /* guards what follows; a cancel's own lock may be taken under it */
	int refs;                            /* one of each side */
	struct mesh_request *first;          /* NULL: has ended, or goes on without it */
	struct mesh_request *second;         /* the call thread's, until it is over while there is a first: then that one's */
	enum until until;
	bool began, over;
	bool called_off;                     /* it does not begin any more: the first has failed without it */
	struct mesh__endpoint *endpoint;     /* of the second, in the snapshot, once it began */
};

static void refuse(const struct mesh_request *r, enum mesh__hedge_refusal why)
{
	mesh__count(r->outbound->hedges_refused[why], 1);
}

const struct mesh__hedging *mesh__hedging_of(const struct mesh_request *r)
{
	return r->route != NULL ? &r->route->hedging : &r->called->policy.hedging;
}

static struct mesh__hedge_counts *counts_of(const struct mesh_request *r)
{
	return mesh__destination_hedge(r->service->destination);
}

/* ---- When ---- */

void mesh__hedge_arm(struct mesh_request *r)
{
	const struct mesh__hedging *rule = mesh__hedging_of(r);
	struct mesh__hedge_view view = {.idempotent = r->idempotent, .parent_retried = r->parent_retried, .streams = r->streamed != NULL, .body_len = r->body_len, .tries = r->tries, .n_endpoints = r->group->n};
	struct mesh__hedge_counts *counts = r->tries == 0 && r->copy.of == NULL ? counts_of(r) : NULL;
	int64_t delay_us;

	r->timed = counts != NULL && rule->percentile > 0;
	r->hedge_due_us = 0;
	if (counts == NULL) {
		return;
	}
	mesh__hedge_deposit(counts, rule, r->now_us);
	delay_us = mesh__hedge_may(rule, &view) ? mesh__hedge_delay_us(rule, counts, r->now_us) : -1;
	if (delay_us >= 0) {
		r->hedge_due_us = r->now_us + delay_us;
	}
}

void mesh__hedge_time(const struct mesh_request *r)
{
	struct mesh__hedge_counts *counts = counts_of(r);

	/* One that was ended has taken so long at least; without those the percentile would fall with each second try. One that failed by itself says nothing. */
	if (counts != NULL && (r->end == MESH__TRY_ANSWERED || r->end == MESH__TRY_OUTRUN || r->err.code == MESH_E_TIMEOUT)) {
		mesh__latencies_add(&counts->latencies, r->result.total_us - r->result.connect_us, r->now_us);
	}
}

/* ---- The beginning ---- */

static void unref(struct mesh__hedge *h)
{
	int left;

	(void)pthread_mutex_lock(&h->mu);
	left = --h->refs;
	(void)pthread_mutex_unlock(&h->mu);
	if (left == 0) {
		mesh__snapshot_unref(h->snapshot);
		(void)pthread_mutex_destroy(&h->mu);
		mesh__free(h);
	}
}

/* The second is over. The call thread. */
static void second_over(void *user, mesh_request *second, int32_t code)
{
	struct mesh__hedge *h = user;
	struct mesh_request *first;
	bool wakes;

	if (!h->began && (code == MESH_E_NO_ENDPOINT || code == MESH_E_OVERLOADED)) {
		refuse(second, code == MESH_E_OVERLOADED ? MESH__HEDGE_REFUSAL_LIMIT : MESH__HEDGE_REFUSAL_ENDPOINT);
	}
	(void)pthread_mutex_lock(&h->mu);
	first = h->first;
	h->over = true;
	wakes = first != NULL && (h->until == UNTIL_OVER || (h->until == UNTIL_WON && h->began && !second->failed));
	if (wakes && !first->parked) {
		mesh__cancel_interrupt(first->cancel);
	}
	wakes = wakes && first->parked; /* a first that is not may be gone with the lock */
	(void)pthread_mutex_unlock(&h->mu);
	if (first == NULL) {
		mesh__request_free(second);
	}
	unref(h);
	if (wakes) {
		mesh__parked_second_over(first);
	}
}

static struct mesh__hedge *hedge_new(struct mesh_request *r, struct mesh_request *second)
{
	struct mesh__hedge *h = mesh__alloc(&r->outbound->env->mem, sizeof(*h));

	if (h != NULL) {
		*h = (struct mesh__hedge){.snapshot = mesh__snapshot_ref(r->snapshot), .called = r->called, .service = r->service, .home = r->home, .group = r->group, .route = r->route, .match = r->match, .fault = r->fault, .faulted = r->faulted,
			.tried = r->endpoint, .deadline_us = r->deadline_us, .refs = 2, .first = r, .second = second, .until = UNTIL_WON};
		(void)pthread_mutex_init(&h->mu, NULL);
	}
	return h;
}

static bool start(struct mesh_request *r)
{
	struct mesh_request *second = mesh__request_copy(r, r->service->key);
	struct mesh__hedge *h = second != NULL ? hedge_new(r, second) : NULL;

	if (h != NULL) {
		second->second_of = h;
		memcpy(second->key, r->key, strlen(r->key) + 1);
		r->hedge = h; /* it may be over before it is said to have started */
		if (mesh__async_start(second, second_over, h) == MESH_OK) {
			return true;
		}
		r->hedge = NULL;
		h->refs = 1;
		unref(h);
	}
	mesh__request_free(second);
	return false;
}

void mesh__hedge_second(void *arg)
{
	struct mesh_request *r = arg;
	struct mesh__hedge_counts *counts = counts_of(r);

	r->hedge_due_us = 0;
	if (counts == NULL || !mesh__hedge_withdraw(counts, mesh__hedging_of(r), mesh__mono_us(r->outbound->env))) {
		refuse(r, MESH__HEDGE_REFUSAL_BUDGET);
	} else if (!start(r)) {
		refuse(r, MESH__HEDGE_REFUSAL_MEMORY);
	}
}

/* ---- The second ---- */

void mesh__hedge_resolve(struct mesh_request *second)
{
	struct mesh__hedge *h = second->second_of;

	second->snapshot = h->snapshot;
	h->snapshot = NULL;
	second->called = h->called;
	second->service = h->service;
	second->home = h->home;
	second->group = h->group;
	second->route = h->route;
	second->match = h->match;
	second->fault = h->fault;
	second->faulted = h->faulted;
	second->deadline_us = h->deadline_us;
	second->now_us = second->begun_us;
	second->tried[0] = h->tried;
	second->tries = 1;
}

int mesh__hedge_admit(struct mesh_request *second)
{
	struct mesh__hedge *h = second->second_of;

	if (second->endpoint == h->tried) {
		return mesh__fail(&second->err, MESH_E_NO_ENDPOINT, "there is no other endpoint for a second try");
	}
	(void)pthread_mutex_lock(&h->mu);
	h->began = h->first != NULL && !h->called_off;
	h->endpoint = second->endpoint;
	(void)pthread_mutex_unlock(&h->mu);
	return h->began ? MESH_OK : mesh__fail(&second->err, MESH_E_CANCELLED, "its call is over");
}

/* ---- The end ---- */

static void set_until(struct mesh__hedge *h, enum until until)
{
	(void)pthread_mutex_lock(&h->mu);
	h->until = until;
	(void)pthread_mutex_unlock(&h->mu);
}

bool mesh__hedge_outran(struct mesh_request *r)
{
	bool over;

	(void)pthread_mutex_lock(&r->hedge->mu);
	r->hedge->until = UNTIL_NOTHING;
	over = r->hedge->over;
	(void)pthread_mutex_unlock(&r->hedge->mu);
	mesh__cancel_resume(r->cancel);
	return r->try_code == MESH_E_CANCELLED && over && !mesh__cancel_fired(r->cancel);
}

bool mesh__hedge_has_won(const struct mesh_request *r)
{
	struct mesh__hedge *h = r->hedge;
	bool won = false;

	if (h != NULL) {
		(void)pthread_mutex_lock(&h->mu);
		won = h->over && h->began && !h->second->failed;
		(void)pthread_mutex_unlock(&h->mu);
	}
	return won;
}

/* The first has failed, by itself or because the second has won: what becomes of the call is the second's affair. */
static bool wants_second(const struct mesh_request *r)
{
	return r->failed && r->end != MESH__TRY_STOPPED;
}

/* Until the second is over, or the call has no more time or is cancelled. One that has not begun is not waited for: the call thread may be held up, by an application's callback. */
static int await_second(struct mesh_request *r)
{
	struct mesh__hedge *h = r->hedge;
	bool waits;

	(void)pthread_mutex_lock(&h->mu);
	waits = h->began && !h->over;
	h->called_off = !h->began;
	h->until = waits ? UNTIL_OVER : UNTIL_NOTHING;
	(void)pthread_mutex_unlock(&h->mu);
	if (!waits) {
		return MESH_OK;
	}
	if (r->parked) {
		return mesh__cancel_fired(r->cancel) ? MESH_OK : MESH_E_WOULD_BLOCK; /* it ends with the deadline, which is the call's */
	}
	mesh__sleep_until(r, r->deadline_us); /* no look at the cancel before: it may be the second that fired, and that is to be taken back */
	set_until(h, UNTIL_NOTHING);
	mesh__cancel_resume(r->cancel);
	return MESH_OK;
}

/* What they part with. */
struct parted {
	struct mesh_request *second; /* NULL: it was not over, and ends by itself */
	bool began;
};

static struct parted part(struct mesh_request *r)
{
	struct mesh__hedge *h = r->hedge;
	struct parted parted;

	(void)pthread_mutex_lock(&h->mu);
	h->first = NULL;
	parted = (struct parted){.second = h->over ? h->second : NULL, .began = h->began};
	if (!h->over) {
		mesh__cancel_fire(h->second->cancel);
	}
	(void)pthread_mutex_unlock(&h->mu);
	if (parted.began) {
		if (r->tries < MESH__TRIES_MAX) {
			r->tried[r->tries] = h->endpoint;
		}
		r->tries++;
		r->hedged = true;
	}
	return parted;
}

static bool is_answer(const struct mesh_request *r)
{
	return r->end == MESH__TRY_ANSWERED || r->end == MESH__TRY_NOT_PROCESSED;
}

/* The second's outcome is the call's. */
static void adopt(struct mesh_request *r, struct mesh_request *second)
{
	struct mesh__client_response own = r->response;

	r->response = second->response;
	second->response = own;
	r->result = second->result;
	r->try_code = second->try_code;
	r->err = second->err;
	r->end = second->end;
	r->failed = second->failed;
	r->injected = second->injected;
	r->endpoint = r->last_tried = r->hedge->endpoint;
}

/* Both are over, and the first has failed: an answer is better than none, and of two the second's counts, whichever came first. */
static void settle(struct mesh_request *r, struct mesh_request *second)
{
	const struct mesh_request *other = r;
	enum mesh__try_end end = r->end;
	bool nothing_sent = r->result.sent == MESH__SENT_NOTHING;

	if (is_answer(second) || !is_answer(other)) {
		adopt(r, second);
	} else {
		end = second->end;
		nothing_sent = second->result.sent == MESH__SENT_NOTHING;
	}
	r->error.may_be_processed |= mesh__retry_may_be_processed(end, nothing_sent);
}

/* Nobody waits for the second any more, and the first has failed. */
static void give_up(struct mesh_request *r)
{
	if (mesh__cancel_fired(r->cancel)) {
		(void)mesh__fail(&r->err, MESH_E_CANCELLED, "cancelled during the second try");
	} else if (is_answer(r)) {
		return;
	} else {
		(void)mesh__fail(&r->err, MESH_E_TIMEOUT, "the deadline passed during the second try; the request may have been processed");
	}
	r->end = MESH__TRY_STOPPED;
}

static enum mesh__hedge_end end_of(const struct mesh_request *r, const struct mesh_request *second)
{
	return second != NULL && second->failed ? MESH__HEDGE_END_FAILED : second != NULL && wants_second(r) ? MESH__HEDGE_END_WON : MESH__HEDGE_END_LOST;
}

int mesh__step_hedge(struct mesh_request *r)
{
	struct mesh__hedge *h = r->hedge;
	struct parted parted;

	if (wants_second(r) && await_second(r) != MESH_OK) {
		return MESH_E_WOULD_BLOCK;
	}
	parted = part(r);
	if (parted.began) {
		mesh__count(r->outbound->hedges[end_of(r, parted.second)], 1);
	}
	if (parted.second == NULL) {
		r->error.may_be_processed |= parted.began;
		if (parted.began && wants_second(r)) {
			give_up(r);
		}
	} else if (parted.began && wants_second(r)) {
		settle(r, parted.second);
	}
	mesh__request_free(parted.second);
	r->hedge = NULL;
	unref(h);
	r->now_us = mesh__mono_us(r->outbound->env);
	return MESH_OK;
}
