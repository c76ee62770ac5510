#include "inbound/pull.h"

#include "base/wait.h"

void mesh__pull_init(struct mesh__pull *p, const struct mesh__env *env, int32_t max_queued)
{
	*p = (struct mesh__pull){.env = env, .max_queued = max_queued};
	mesh__event_fd_init(&p->fd);
	(void)pthread_mutex_init(&p->mu, NULL);
	mesh__cond_init(&p->work);
	mesh__cond_init(&p->left);
}

void mesh__pull_fini(struct mesh__pull *p)
{
	mesh__event_fd_fini(&p->fd);
	(void)pthread_cond_destroy(&p->left);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->mu);
}

bool mesh__pull_give(struct mesh__pull *p, struct mesh__job *job)
{
	bool taken, wake;

	(void)pthread_mutex_lock(&p->mu);
	taken = !p->closed && p->jobs.n < p->max_queued;
	if (taken) {
		mesh__jobs_add(&p->jobs, job);
		mesh__event_fd_set(&p->fd, true);
	}
	wake = taken && p->n_waiting > 0;
	(void)pthread_mutex_unlock(&p->mu);
	if (wake) {
		(void)pthread_cond_signal(&p->work); /* after the unlock: who wakes finds the lock free, and does not sleep again at once */
	}
	return taken;
}

void mesh__pull_enter(struct mesh__pull *p)
{
	(void)pthread_mutex_lock(&p->mu);
	p->n_inside++;
	(void)pthread_mutex_unlock(&p->mu);
}

void mesh__pull_leave(struct mesh__pull *p)
{
	(void)pthread_mutex_lock(&p->mu);
	p->n_inside--;
	(void)pthread_cond_broadcast(&p->left); /* under the lock: who waits for this frees it */
	(void)pthread_mutex_unlock(&p->mu);
}

int mesh__pull_take(struct mesh__pull *p, int64_t deadline_us, struct mesh__job **job)
{
	bool in_time = true, closed;

	(void)pthread_mutex_lock(&p->mu);
	p->n_waiting++;
	while (p->jobs.n == 0 && !p->closed && in_time) {
		in_time = mesh__cond_wait_until(&p->work, &p->mu, p->env, deadline_us);
	}
	p->n_waiting--;
	*job = mesh__jobs_take(&p->jobs);
	closed = p->closed;
	mesh__event_fd_set(&p->fd, closed || p->jobs.n > 0);
	(void)pthread_mutex_unlock(&p->mu);
	return *job != NULL ? MESH_OK : closed ? MESH_E_CLOSED : MESH_E_TIMEOUT;
}

int mesh__pull_event_fd(struct mesh__pull *p, struct mesh__err *err)
{
	int fd;

	(void)pthread_mutex_lock(&p->mu);
	fd = mesh__event_fd_get(&p->fd, err);
	(void)pthread_mutex_unlock(&p->mu);
	return fd;
}

void mesh__pull_halt(struct mesh__pull *p)
{
	(void)pthread_mutex_lock(&p->mu);
	p->closed = true;
	mesh__event_fd_set(&p->fd, true);
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->mu);
}

void mesh__pull_close(struct mesh__pull *p)
{
	mesh__pull_halt(p);
	(void)pthread_mutex_lock(&p->mu);
	while (p->n_inside > 0) {
		(void)pthread_cond_wait(&p->left, &p->mu);
	}
	(void)pthread_mutex_unlock(&p->mu);
}

void mesh__pull_abandon(struct mesh__pull *p)
{
	mesh__event_fd_fini(&p->fd); /* no lock: it may be held by a thread that is not here */
}
