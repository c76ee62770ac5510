#include "io/loop.h"
#include "io/uv_loop.h"

struct mesh__watch {
	struct mesh__handle handle;
	mesh__watch_fn fn;
	void *arg;
	int fd; /* the caller's */
	int events;
};

static int arm(struct mesh__watch *w);

static void on_poll(uv_poll_t *uv, int status, int events)
{
	struct mesh__watch *w = uv->data;
	int happened = (events & UV_READABLE ? MESH__READABLE : 0) | (events & UV_WRITABLE ? MESH__WRITABLE : 0);

	if (status < 0) {
		/* libuv stops on an error; the owner said what it wants to see and has not taken it back. */
		(void)arm(w);
		happened = MESH__READABLE | MESH__WRITABLE;
	}
	if (happened != 0) {
		w->fn(w->arg, w->fd, happened);
	}
}

int mesh__watch_new(struct mesh__loop *loop, int fd, mesh__watch_fn fn, void *arg, struct mesh__watch **out, struct mesh__err *err)
{
	struct mesh__watch *w = mesh__handle_alloc(loop, sizeof(*w));
	int rc;

	*out = NULL;
	if (w == NULL) {
		return mesh__fail_memory(err);
	}
	w->fn = fn;
	w->arg = arg;
	w->fd = fd;
	rc = uv_poll_init(&loop->uv, &w->handle.uv.poll, fd);
	if (rc != 0) {
		mesh__free(w);
		return mesh__fail(err, MESH_E_IO, "cannot watch descriptor %d: %s", fd, uv_strerror(rc));
	}
	w->handle.uv.poll.data = w;
	mesh__handle_open(&w->handle);
	*out = w;
	return MESH_OK;
}

static int arm(struct mesh__watch *w)
{
	int wanted = (w->events & MESH__READABLE ? UV_READABLE : 0) | (w->events & MESH__WRITABLE ? UV_WRITABLE : 0);
	int rc = wanted != 0 ? uv_poll_start(&w->handle.uv.poll, wanted, on_poll) : uv_poll_stop(&w->handle.uv.poll);

	return rc == 0 ? MESH_OK : MESH_E_IO;
}

int mesh__watch_set(struct mesh__watch *w, int events)
{
	if (w->events == events) {
		return MESH_OK; /* libuv would take the descriptor out of epoll, and put it in again before it waits: two system calls */
	}
	w->events = events;
	return arm(w);
}

void mesh__watch_free(struct mesh__watch *w)
{
	if (w != NULL) {
		mesh__handle_close(&w->handle);
	}
}

/* ---- Signals ---- */

struct mesh__signal {
	struct mesh__handle handle;
	mesh__loop_fn fn;
	void *arg;
};

static void on_signal(uv_signal_t *uv, int signum)
{
	struct mesh__signal *s = uv->data;

	(void)signum;
	s->fn(s->arg);
}

int mesh__signal_new(struct mesh__loop *loop, int signum, mesh__loop_fn fn, void *arg, struct mesh__signal **out, struct mesh__err *err)
{
	struct mesh__signal *s = mesh__handle_alloc(loop, sizeof(*s));
	int rc;

	*out = NULL;
	if (s == NULL) {
		return mesh__fail_memory(err);
	}
	s->fn = fn;
	s->arg = arg;
	rc = uv_signal_init(&loop->uv, &s->handle.uv.sig);
	if (rc != 0) {
		mesh__free(s);
		return mesh__fail(err, MESH_E_IO, "cannot watch signal %d: %s", signum, uv_strerror(rc));
	}
	s->handle.uv.sig.data = s;
	mesh__handle_open(&s->handle);
	rc = uv_signal_start(&s->handle.uv.sig, on_signal, signum);
	if (rc != 0) {
		mesh__handle_close(&s->handle);
		return mesh__fail(err, MESH_E_IO, "cannot watch signal %d: %s", signum, uv_strerror(rc));
	}
	*out = s;
	return MESH_OK;
}

void mesh__signal_free(struct mesh__signal *s)
{
	if (s != NULL) {
		mesh__handle_close(&s->handle);
	}
}
