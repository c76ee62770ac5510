#include "outbound/sleep.h"

#include <pthread.h>

#include "base/wait.h"
#include "http/cancel.h"
#include "outbound/request.h"

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

void mesh__sleep_until(struct mesh_request *r, int64_t until_us)
{
	struct sleeper s;

	(void)pthread_mutex_init(&s.mu, NULL);
	mesh__cond_init(&s.woken);
	mesh__cancel_watch(r->cancel, wake_sleeper, &s);
	(void)pthread_mutex_lock(&s.mu);
	while (!mesh__cancel_fired(r->cancel) && mesh__cond_wait_until(&s.woken, &s.mu, r->outbound->env, until_us)) {
	}
	(void)pthread_mutex_unlock(&s.mu);
	mesh__cancel_unwatch(r->cancel);
	(void)pthread_cond_destroy(&s.woken);
	(void)pthread_mutex_destroy(&s.mu);
}
