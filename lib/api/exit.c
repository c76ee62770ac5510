/*
 * exit() without mesh_close(). Handlers registered before ours (such as the clean-up of OpenSSL, where the program used it first) take down what our threads use: before they run, every thread that could use it comes to rest. Nothing is freed, nobody outside is told
 * anything, and it takes a bounded time; exit() may have been called from anywhere, also from a callback on a thread of ours, which is then at rest by itself.
 */
#include "api/handle.h"

#include <stdlib.h>
#include <time.h>

enum { EXIT_MS = 2000 }; /* in all; as a rule it takes a few milliseconds */

/* False after a time, and at once where this thread holds it itself: exit() may be called by the application's allocator. */
static bool lock_until(pthread_mutex_t *mu, const struct mesh__env *env, int64_t deadline_us)
{
	int64_t left_us = deadline_us - mesh__mono_us(env);
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (left_us < 0 ? 0 : left_us % 1000000) * 1000;
	until.tv_sec += (left_us < 0 ? 0 : left_us / 1000000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_mutex_timedlock(mu, &until) == 0;
}

static void end_calls(struct mesh__opened *m)
{
	atomic_store(&m->outbound.closed, true);
	mesh__running_close(&m->outbound.running);
}

/* Somebody closes it at this moment: the drain is over. */
static void hurry(struct mesh__opened *m, const struct mesh__env *env, int64_t deadline_us)
{
	end_calls(m);
	if (lock_until(&m->mu, env, deadline_us)) {
		m->left = true;
		(void)pthread_cond_broadcast(&m->changed);
		if (m->server != NULL) {
			mesh__serving_hurry(m->server);
		}
		(void)pthread_mutex_unlock(&m->mu);
	}
}

/* All are stopped before one is waited for: so nobody waits for the work of another. */
static void stop(struct mesh__opened *m, const struct mesh__env *env, int64_t deadline_us)
{
	end_calls(m);
	mesh__loop_stop(m->loop);
	if (lock_until(&m->mu, env, deadline_us)) {
		m->closing = true;
		if (m->server != NULL) {
			mesh__serving_stop(m->server);
		}
		(void)pthread_mutex_unlock(&m->mu);
	}
}

static void await_rest(struct mesh__opened *m, const struct mesh__env *env, int64_t deadline_us)
{
	struct mesh_server *server = NULL;

	if (lock_until(&m->mu, env, deadline_us)) {
		server = m->server;
		(void)pthread_mutex_unlock(&m->mu);
	}
	if (server != NULL) {
		mesh__serving_join_until(server, env, deadline_us);
	}
	(void)mesh__loop_join_until(m->loop, env, deadline_us);
	(void)mesh__running_wait_others(&m->outbound.running, env, deadline_us);
	/* Only now: it ends the calls that no thread waits for, and tells of it. */
	mesh__async_stop(&m->outbound.async);
	mesh__async_join_until(&m->outbound.async, env, deadline_us);
}

static void at_exit(void)
{
	struct mesh__opened *taken[MESH__OPEN_MAX];
	struct mesh__env env; /* the system's clock: a mesh's own may be a test's */
	int64_t deadline_us;
	int n = 0;

	mesh__env_init(&env);
	deadline_us = mesh__mono_us(&env) + EXIT_MS * 1000;
	if (!mesh__registry_exit()) {
		return;
	}
	for (int i = 0; i < MESH__OPEN_MAX; i++) {
		taken[n] = mesh__registry_take(i, hurry, &env, deadline_us);
		if (taken[n] != NULL) {
			stop(taken[n++], &env, deadline_us);
		}
	}
	for (int i = 0; i < n; i++) {
		await_rest(taken[i], &env, deadline_us);
		mesh__opened_leave(taken[i]);
	}
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool registered;

static void register_once(void)
{
	registered = atexit(at_exit) == 0;
}

int mesh__at_exit_init(struct mesh__err *err)
{
	(void)pthread_once(&once, register_once);
	return registered ? MESH_OK : mesh__fail_memory(err);
}
