#include "http/cancel.h"

#include <pthread.h>
#include <stdatomic.h>

enum { FIRED = 1, INTERRUPTED = 2 };

struct mesh__cancel {
	atomic_uint why; /* of the two */
	pthread_mutex_t mu; /* guards wake, arg, and that what they name lives while wake runs */
	void (*wake)(void *arg);
	void *arg;
};

struct mesh__cancel *mesh__cancel_new(const struct mesh__env *env)
{
	struct mesh__cancel *cancel = mesh__alloc(&env->mem, sizeof(*cancel));

	if (cancel != NULL && pthread_mutex_init(&cancel->mu, NULL) != 0) {
		mesh__free(cancel);
		cancel = NULL;
	}
	return cancel;
}

void mesh__cancel_free(struct mesh__cancel *cancel)
{
	if (cancel != NULL) {
		(void)pthread_mutex_destroy(&cancel->mu);
		mesh__free(cancel);
	}
}

static void end_wait(struct mesh__cancel *cancel, unsigned why)
{
	(void)atomic_fetch_or(&cancel->why, why);
	(void)pthread_mutex_lock(&cancel->mu);
	if (cancel->wake != NULL) {
		cancel->wake(cancel->arg);
	}
	(void)pthread_mutex_unlock(&cancel->mu);
}

void mesh__cancel_fire(struct mesh__cancel *cancel)
{
	end_wait(cancel, FIRED);
}

void mesh__cancel_interrupt(struct mesh__cancel *cancel)
{
	end_wait(cancel, INTERRUPTED);
}

void mesh__cancel_resume(struct mesh__cancel *cancel)
{
	(void)atomic_fetch_and(&cancel->why, ~(unsigned)INTERRUPTED);
}

bool mesh__cancel_fired(const struct mesh__cancel *cancel)
{
	return cancel != NULL && atomic_load(&cancel->why) != 0;
}

void mesh__cancel_reset(struct mesh__cancel *cancel)
{
	atomic_store(&cancel->why, 0);
}

void mesh__cancel_watch(struct mesh__cancel *cancel, void (*wake)(void *arg), void *arg)
{
	if (cancel == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&cancel->mu);
	cancel->wake = wake;
	cancel->arg = arg;
	if (atomic_load(&cancel->why) != 0) {
		wake(arg);
	}
	(void)pthread_mutex_unlock(&cancel->mu);
}

void mesh__cancel_unwatch(struct mesh__cancel *cancel)
{
	if (cancel == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&cancel->mu);
	cancel->wake = NULL;
	cancel->arg = NULL;
	(void)pthread_mutex_unlock(&cancel->mu);
}
