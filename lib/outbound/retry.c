#include "policy/retry.h"

#include <pthread.h>

#include "base/wait.h"
#include "http/cancel.h"
#include "outbound/steps.h"
#include "policy/deadline.h"

struct sleeper {
	pthread_mutex_t mu; /* guards that no wake-up falls between the look at the cancel and the wait */
	pthread_cond_t woken;
};

static void wake_sleeper(void *arg)
{
	struct sleeper *s = arg;

	(void)pthread_mutex_lock(&s->mu);
	(void)pthread_cond_broadcast(&s->woken);
	(void)pthread_mutex_unlock(&s->mu);
}

static void sleeper_init(struct sleeper *s)
{
	(void)pthread_mutex_init(&s->mu, NULL);
	mesh__cond_init(&s->woken);
}

/* Sleeps until then, or until the call is cancelled. */
static void sleep_until(struct mesh_request *r, int64_t until_us)
{
	struct sleeper s;

	sleeper_init(&s);
	mesh__cancel_watch(r->cancel, wake_sleeper, &s);
	(void)pthread_mutex_lock(&s.mu);
	while (!mesh__cancel_fired(r->cancel) && mesh__cond_wait_until(&s.woken, &s.mu, r->outbound->env, until_us)) {
	}
	(void)pthread_mutex_unlock(&s.mu);
	mesh__cancel_unwatch(r->cancel);
	(void)pthread_cond_destroy(&s.woken);
	(void)pthread_mutex_destroy(&s.mu);
}

bool mesh__step_retry(struct mesh_request *r)
{
	static const struct mesh__retry_rule built_in = {.attempts = 2};
	const struct mesh__env *env = r->outbound->env;
	struct mesh__retry_inputs in = {.end = r->end, .tries = r->tries, .endpoints = (uint32_t)r->group->n,
		.left_ms = mesh__deadline_left_ms(r->deadline_us, r->now_us), .nothing_sent = r->result.sent == MESH__SENT_NOTHING,
		.body_gone = r->streamed != NULL && r->streamed->n_gone > 0};
	struct mesh__retry_verdict verdict = mesh__retry_decide(&built_in, &in, mesh__dice(env));

	r->error.may_be_processed = verdict.may_be_processed;
	r->wait_ms = verdict.wait_ms;
	return verdict.again;
}

int mesh__step_pause(struct mesh_request *r)
{
	if (r->parked && mesh__parked_pause(r)) {
		return MESH_E_WOULD_BLOCK;
	}
	if (!r->parked) {
		sleep_until(r, mesh__mono_us(r->outbound->env) + r->wait_ms * 1000);
		r->now_us = mesh__mono_us(r->outbound->env);
	}
	return MESH_OK;
}
