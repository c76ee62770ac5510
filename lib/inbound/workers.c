#include "inbound/workers.h"

#include <signal.h>
#include <stdio.h>

void mesh__workers_init(struct mesh__workers *w, const struct mesh__env *env, int32_t max_threads, int32_t max_queued, void (*run)(void *arg, struct mesh__job *job), void *arg)
{
	*w = (struct mesh__workers){.env = env, .run = run, .arg = arg, .max_threads = max_threads, .max_queued = max_queued};
	(void)pthread_mutex_init(&w->mu, NULL);
	(void)pthread_cond_init(&w->work, NULL);
}

static void *work(void *arg)
{
	struct mesh__workers *w = arg;

	(void)pthread_mutex_lock(&w->mu);
	for (;;) {
		struct mesh__job *job = mesh__jobs_take(&w->jobs);

		if (job != NULL) {
			(void)pthread_mutex_unlock(&w->mu);
			w->run(w->arg, job);
			(void)pthread_mutex_lock(&w->mu);
		} else if (w->stopping) {
			break;
		} else {
			w->idle++;
			(void)pthread_cond_wait(&w->work, &w->mu);
			w->idle--;
		}
	}
	(void)pthread_mutex_unlock(&w->mu);
	return NULL;
}

/* A thread with all signals blocked: the application's handlers run on its own threads. */
static bool start_thread_locked(struct mesh__workers *w)
{
	char name[16];
	sigset_t all, before;
	bool ok;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(&w->threads[w->n_threads], NULL, work, w) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ok) {
		(void)snprintf(name, sizeof(name), "mesh-work-%d", (int)w->n_threads);
		(void)pthread_setname_np(w->threads[w->n_threads], name);
		w->n_threads++;
	}
	return ok;
}

bool mesh__workers_give(struct mesh__workers *w, struct mesh__job *job)
{
	bool taken = false, wake = false;

	(void)pthread_mutex_lock(&w->mu);
	if (!w->stopping && w->jobs.n < w->max_queued) {
		taken = true;
		if (w->jobs.n >= w->idle && w->n_threads < w->max_threads && !start_thread_locked(w)) {
			taken = w->n_threads > 0;
		}
	}
	if (taken) {
		mesh__jobs_add(&w->jobs, job);
		wake = w->idle > 0;
	}
	(void)pthread_mutex_unlock(&w->mu);
	if (wake) {
		(void)pthread_cond_signal(&w->work); /* after the unlock: who wakes finds the lock free, and does not sleep again at once */
	}
	return taken;
}

bool mesh__workers_is_current(struct mesh__workers *w)
{
	bool found = false;

	(void)pthread_mutex_lock(&w->mu);
	for (int32_t i = 0; i < w->n_threads && !found; i++) {
		found = pthread_equal(w->threads[i], pthread_self()) != 0;
	}
	(void)pthread_mutex_unlock(&w->mu);
	return found;
}

void mesh__workers_fini(struct mesh__workers *w)
{
	(void)pthread_mutex_lock(&w->mu);
	w->stopping = true;
	(void)pthread_cond_broadcast(&w->work);
	(void)pthread_mutex_unlock(&w->mu);
	for (int32_t i = 0; i < w->n_threads; i++) {
		(void)pthread_join(w->threads[i], NULL);
	}
	(void)pthread_cond_destroy(&w->work);
	(void)pthread_mutex_destroy(&w->mu);
}
