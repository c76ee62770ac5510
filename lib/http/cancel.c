#include "http/cancel.h"

#include <pthread.h>
#include <stdatomic.h>

struct mesh__cancel {
	atomic_bool fired;
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

void mesh__cancel_fire(struct mesh__cancel *cancel)
{
	atomic_store(&cancel->fired, true);
	(void)pthread_mutex_lock(&cancel->mu);
	if (cancel->wake != NULL) {
		cancel->wake(cancel->arg);
	}
	(void)pthread_mutex_unlock(&cancel->mu);
}

bool mesh__cancel_fired(const struct mesh__cancel *cancel)
{
	return cancel != NULL && atomic_load(&cancel->fired);
}

void mesh__cancel_reset(struct mesh__cancel *cancel)
{
	atomic_store(&cancel->fired, false);
}

void mesh__cancel_watch(struct mesh__cancel *cancel, void (*wake)(void *arg), void *arg)
{
	if (cancel == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&cancel->mu);
	cancel->wake = wake;
	cancel->arg = arg;
	if (atomic_load(&cancel->fired)) {
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
