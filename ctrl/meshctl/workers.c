#include "meshctl/workers.h"

#include <pthread.h>
#include <string.h>

struct ctl_workers {
	ctl_work_fn fn;
	void *user;
	pthread_mutex_t queue_mu; /* guards what follows, up to ended */
	pthread_cond_t queue_cv;
	void **queue;             /* a ring */
	size_t head, n_queued, max_queued;
	bool ended;
	pthread_t *threads;
	size_t n_threads;
};

/* The next job, or NULL when there will be none any more. */
static void *next_job(struct ctl_workers *w)
{
	void *job = NULL;

	(void)pthread_mutex_lock(&w->queue_mu);
	while (w->n_queued == 0 && !w->ended) {
		(void)pthread_cond_wait(&w->queue_cv, &w->queue_mu);
	}
	if (w->n_queued > 0) {
		job = w->queue[w->head];
		w->head = (w->head + 1) % w->max_queued;
		w->n_queued--;
	}
	(void)pthread_mutex_unlock(&w->queue_mu);
	return job;
}

static void *work(void *arg)
{
	struct ctl_workers *w = arg;
	void *job;

	while ((job = next_job(w)) != NULL) {
		w->fn(w->user, job);
	}
	return NULL;
}

int ctl_workers_new(const struct mesh__env *env, size_t n, size_t max_queued, ctl_work_fn fn, void *user,
	struct ctl_workers **out, struct mesh__err *err)
{
	struct ctl_workers *w = mesh__alloc(&env->mem, sizeof(*w));
	int failed = 0;

	*out = NULL;
	if (w == NULL) {
		return mesh__fail_memory(err);
	}
	w->fn = fn;
	w->user = user;
	w->max_queued = max_queued;
	(void)pthread_mutex_init(&w->queue_mu, NULL);
	(void)pthread_cond_init(&w->queue_cv, NULL);
	w->queue = mesh__alloc_array(&env->mem, max_queued, sizeof(*w->queue));
	w->threads = mesh__alloc_array(&env->mem, n, sizeof(*w->threads));
	if (w->queue == NULL || w->threads == NULL) {
		ctl_workers_free(w);
		return mesh__fail_memory(err);
	}
	while (w->n_threads < n && failed == 0) {
		failed = pthread_create(&w->threads[w->n_threads], NULL, work, w);
		w->n_threads += failed == 0;
	}
	if (failed != 0) {
		ctl_workers_free(w);
		return mesh__fail(err, MESH_E_IO, "no thread could be started: %s", strerror(failed));
	}
	*out = w;
	return MESH_OK;
}

bool ctl_workers_submit(struct ctl_workers *w, void *job)
{
	bool taken;

	(void)pthread_mutex_lock(&w->queue_mu);
	taken = w->n_queued < w->max_queued && !w->ended;
	if (taken) {
		w->queue[(w->head + w->n_queued) % w->max_queued] = job;
		w->n_queued++;
		(void)pthread_cond_signal(&w->queue_cv);
	}
	(void)pthread_mutex_unlock(&w->queue_mu);
	return taken;
}

void ctl_workers_free(struct ctl_workers *w)
{
	if (w == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&w->queue_mu);
	w->ended = true;
	(void)pthread_cond_broadcast(&w->queue_cv);
	(void)pthread_mutex_unlock(&w->queue_mu);
	for (size_t i = 0; i < w->n_threads; i++) {
		(void)pthread_join(w->threads[i], NULL);
	}
	(void)pthread_cond_destroy(&w->queue_cv);
	(void)pthread_mutex_destroy(&w->queue_mu);
	mesh__free(w->queue);
	mesh__free(w->threads);
	mesh__free(w);
}
