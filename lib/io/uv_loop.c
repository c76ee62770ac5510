#include "io/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/wait.h"
#include "io/uv_loop.h"

/* ---- Handles ---- */

void *mesh__handle_alloc(struct mesh__loop *loop, size_t size)
{
	struct mesh__handle *h = mesh__alloc(&loop->env->mem, size);

	if (h != NULL) {
		h->loop = loop;
		h->fd = -1;
	}
	return h;
}

void mesh__handle_open(struct mesh__handle *h)
{
	struct mesh__handle *first = h->loop->handles;

	h->next = first;
	h->prev = NULL;
	if (first != NULL) {
		first->prev = h;
	}
	h->loop->handles = h;
}

static void on_closed(uv_handle_t *uv)
{
	struct mesh__handle *h = uv->data;
	struct mesh__handle *next = h->next;

	if (next != NULL) {
		next->prev = h->prev;
	}
	if (h->prev != NULL) {
		h->prev->next = next;
	} else {
		h->loop->handles = next;
	}
	mesh__free(h);
}

void mesh__handle_close(struct mesh__handle *h)
{
	int fd = h->fd;

	if (uv_is_closing(&h->uv.any)) {
		return;
	}
	h->uv.any.data = h;
	uv_close(&h->uv.any, on_closed);
	if (fd >= 0) {
		h->fd = -1;
		(void)close(fd); /* after uv_close, which takes it out of epoll */
	}
}

/* ---- The door for other threads ---- */

void mesh__loop_post(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg)
{
	bool wake;

	*post = (struct mesh__post){.fn = fn, .arg = arg};
	(void)pthread_mutex_lock(&loop->door_mu);
	wake = loop->first == NULL;
	if (wake) {
		loop->first = post;
	} else {
		loop->last->next = post;
	}
	loop->last = post;
	/* Under the lock, so that nobody can run the post and free the loop before its bell has been rung. */
	if (wake) {
		(void)uv_async_send(&loop->door);
	}
	(void)pthread_mutex_unlock(&loop->door_mu);
}

static struct mesh__post *take_posts(struct mesh__loop *loop, bool *stopping)
{
	struct mesh__post *first;

	(void)pthread_mutex_lock(&loop->door_mu);
	first = loop->first;
	loop->first = NULL;
	loop->last = NULL;
	*stopping = loop->stopping;
	loop->stopping = false;
	(void)pthread_mutex_unlock(&loop->door_mu);
	return first;
}

static void run_posts(struct mesh__post *post)
{
	while (post != NULL) {
		struct mesh__post now = *post; /* its memory is the owner's again once fn has begun */

		now.fn(now.arg);
		post = now.next;
	}
}

static void on_door(uv_async_t *door)
{
	struct mesh__loop *loop = door->data;
	bool stopping;

	run_posts(take_posts(loop, &stopping));
	if (stopping) {
		uv_stop(&loop->uv);
	}
}

/* ---- The end of a turn ---- */

static void run_deferred(struct mesh__loop *loop)
{
	struct mesh__post *first;

	while ((first = loop->deferred) != NULL) {
		loop->deferred = NULL;
		run_posts(first);
	}
}

static void on_turn(uv_prepare_t *turn)
{
	struct mesh__loop *loop = turn->data;

	loop->n_turns++;
	run_deferred(loop);
}

void mesh__loop_defer(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg)
{
	*post = (struct mesh__post){.fn = fn, .arg = arg};
	*(loop->deferred != NULL ? &loop->last_deferred->next : &loop->deferred) = post;
	loop->last_deferred = post;
}

/* ---- Life ---- */

int mesh__loop_new(const struct mesh__env *env, struct mesh__loop **out, struct mesh__err *err)
{
	struct mesh__loop *loop = mesh__alloc(&env->mem, sizeof(*loop));
	int rc;

	*out = NULL;
	if (loop == NULL) {
		return mesh__fail_memory(err);
	}
	loop->env = env;
	rc = uv_loop_init(&loop->uv);
	if (rc != 0) {
		mesh__free(loop);
		return mesh__fail(err, MESH_E_IO, "cannot make an event loop: %s", uv_strerror(rc));
	}
	rc = uv_async_init(&loop->uv, &loop->door, on_door);
	if (rc != 0) {
		(void)uv_loop_close(&loop->uv);
		mesh__free(loop);
		return mesh__fail(err, MESH_E_IO, "cannot make an event loop's door: %s", uv_strerror(rc));
	}
	loop->door.data = loop;
	(void)uv_prepare_init(&loop->uv, &loop->turn); /* cannot fail, as its start */
	loop->turn.data = loop;
	(void)uv_prepare_start(&loop->turn, on_turn);
	loop->n_turns = 1; /* 0 is none */
	(void)pthread_mutex_init(&loop->door_mu, NULL);
	mesh__cond_init(&loop->ended_cond);
	*out = loop;
	return MESH_OK;
}

/* The loop that this thread runs, innermost. The thread's and not the loop's: who asks may do so while another thread frees the loop. */
static _Thread_local const struct mesh__loop *current;

void mesh__loop_run(struct mesh__loop *loop)
{
	const struct mesh__loop *outer = current;
	sigset_t pipe_signal;

	/* Third parties that write from this thread (libcurl's TLS) must not raise it. It stays blocked: one that is pending would strike when let through. */
	(void)sigemptyset(&pipe_signal);
	(void)sigaddset(&pipe_signal, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
	current = loop;
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	run_deferred(loop);
	current = outer;
}

static void *thread_main(void *arg)
{
	struct mesh__loop *loop = arg;

	mesh__loop_run(loop);
	(void)pthread_mutex_lock(&loop->door_mu);
	loop->ended = true;
	(void)pthread_cond_broadcast(&loop->ended_cond);
	(void)pthread_mutex_unlock(&loop->door_mu);
	return NULL;
}

int mesh__loop_start(struct mesh__loop *loop, const char *name, struct mesh__err *err)
{
	sigset_t all, before;
	int rc;

	/* A thread inherits the mask of its maker: blocked before it exists, no signal can reach it. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&loop->thread, NULL, thread_main, loop);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		return mesh__fail(err, MESH_E_IO, "cannot start the thread %s: %s", name, strerror(rc));
	}
	loop->has_thread = true;
	(void)pthread_setname_np(loop->thread, name);
	return MESH_OK;
}

void mesh__loop_stop(struct mesh__loop *loop)
{
	(void)pthread_mutex_lock(&loop->door_mu);
	loop->stopping = true;
	(void)uv_async_send(&loop->door);
	(void)pthread_mutex_unlock(&loop->door_mu);
}

void mesh__loop_join(struct mesh__loop *loop)
{
	if (loop->has_thread) {
		(void)pthread_join(loop->thread, NULL);
		loop->has_thread = false;
	}
}

bool mesh__loop_join_until(struct mesh__loop *loop, const struct mesh__env *env, int64_t deadline_us)
{
	bool ended;

	if (!loop->has_thread || mesh__loop_is_current(loop)) {
		return false;
	}
	(void)pthread_mutex_lock(&loop->door_mu);
	while (!loop->ended && mesh__cond_wait_until(&loop->ended_cond, &loop->door_mu, env, deadline_us)) {
	}
	ended = loop->ended;
	(void)pthread_mutex_unlock(&loop->door_mu);
	if (ended) {
		mesh__loop_join(loop);
	}
	return ended;
}

void mesh__loop_free(struct mesh__loop *loop)
{
	const struct mesh__loop *outer = current;
	struct mesh__post *post;
	bool stopping;

	if (loop == NULL) {
		return;
	}
	current = loop;
	while ((post = take_posts(loop, &stopping)) != NULL) {
		run_posts(post);
	}
	run_deferred(loop);
	for (struct mesh__handle *h = loop->handles; h != NULL; h = h->next) {
		mesh__handle_close(h);
	}
	uv_close((uv_handle_t *)&loop->door, NULL);
	uv_close((uv_handle_t *)&loop->turn, NULL);
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop->uv);
	current = outer;
	(void)pthread_cond_destroy(&loop->ended_cond);
	(void)pthread_mutex_destroy(&loop->door_mu);
	mesh__free(loop);
}

static void close_own(int fd)
{
	if (fd >= 0) {
		(void)close(fd);
	}
}

void mesh__loop_abandon(struct mesh__loop *loop)
{
	int null_fd;

	if (loop == NULL) {
		return;
	}
	/* The epoll set is shared with the parent: nothing may be removed from it, so libuv is not asked; its few allocations stay behind. */
	close_own(loop->uv.backend_fd);
	close_own(loop->uv.async_io_watcher.fd);
	close_own(loop->uv.async_wfd);
	close_own(loop->uv.signal_pipefd[0]);
	close_own(loop->uv.signal_pipefd[1]);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (struct mesh__handle *h = loop->handles, *next; h != NULL; h = next) {
		next = h->next;
		if (h->fd >= 0 && (null_fd < 0 || dup3(null_fd, h->fd, O_CLOEXEC) < 0)) {
			(void)close(h->fd);
		}
		mesh__free(h);
	}
	close_own(null_fd);
	mesh__free(loop);
}

const struct mesh__env *mesh__loop_env(const struct mesh__loop *loop)
{
	return loop->env;
}

bool mesh__loop_is_current(const struct mesh__loop *loop)
{
	return loop != NULL && loop == current;
}
