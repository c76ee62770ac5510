#include "server_io.h"

#include <stdlib.h>
#include <string.h>

#include "io/tcp.h"

enum { READ_MAX_BYTES = 64 * 1024, TURNS_MAX = 100000 };

struct mesh__timer {
	struct mesh__timer *next;
	struct mesh__loop *loop;
	mesh__loop_fn fn;
	void *arg;
	bool armed, freed;
	int64_t due_us, repeat_ms;
};

struct mesh__tcp {
	struct mesh__tcp *next;
	struct mesh__loop *loop;
	struct io_peer *peer;
	const struct mesh__tcp_events *events;
	void *arg;
	struct mesh__buf queue;
	bool paused, ended, broken, closed, shut_wanted;
};

struct mesh__listener {
	struct mesh__loop *loop;
	struct mesh__addr address;
	mesh__accept_fn fn;
	void *arg;
};

struct mesh__loop {
	const struct mesh__env *env;
	struct mesh__post *first, **last;
	struct mesh__timer *timers;
	struct mesh__tcp *tcps;
	struct mesh__listener *listener;
	struct io_peer *dialling; /* the one arrival there is */
	bool elsewhere;
};

/* ---- The loop ---- */

int mesh__loop_new(const struct mesh__env *env, struct mesh__loop **out, struct mesh__err *err)
{
	struct mesh__loop *loop = mesh__alloc(&env->mem, sizeof(*loop));

	(void)err;
	loop->env = env;
	loop->last = &loop->first;
	*out = loop;
	return MESH_OK;
}

const struct mesh__env *mesh__loop_env(const struct mesh__loop *loop)
{
	return loop->env;
}

bool mesh__loop_is_current(const struct mesh__loop *loop)
{
	return !loop->elsewhere;
}

void io_be_on_loop(struct mesh__loop *loop, bool on_loop)
{
	loop->elsewhere = !on_loop;
}

void mesh__loop_post(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg)
{
	*post = (struct mesh__post){.fn = fn, .arg = arg};
	*loop->last = post;
	loop->last = &post->next;
}

/* What is posted runs once the input at hand has been taken: that is where a turn ends here. */
void mesh__loop_defer(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg)
{
	mesh__loop_post(loop, post, fn, arg);
}

static bool run_posts(struct mesh__loop *loop)
{
	struct mesh__post *post = loop->first;
	bool any = post != NULL;

	loop->first = NULL;
	loop->last = &loop->first;
	while (post != NULL) {
		struct mesh__post now = *post;

		now.fn(now.arg);
		post = now.next;
	}
	return any;
}

/* ---- Timers ---- */

int mesh__timer_new(struct mesh__loop *loop, mesh__loop_fn fn, void *arg, struct mesh__timer **out)
{
	struct mesh__timer *t = mesh__alloc(&loop->env->mem, sizeof(*t));

	*t = (struct mesh__timer){.loop = loop, .fn = fn, .arg = arg, .next = loop->timers};
	loop->timers = t;
	*out = t;
	return MESH_OK;
}

void mesh__timer_start(struct mesh__timer *t, int64_t delay_ms, int64_t repeat_ms)
{
	t->armed = true;
	t->due_us = mesh__mono_us(t->loop->env) + delay_ms * 1000;
	t->repeat_ms = repeat_ms;
}

void mesh__timer_stop(struct mesh__timer *t)
{
	t->armed = false;
}

void mesh__timer_free(struct mesh__timer *t)
{
	if (t != NULL) {
		t->armed = false;
		t->freed = true;
	}
}

static bool run_timers(struct mesh__loop *loop)
{
	int64_t now_us = mesh__mono_us(loop->env);
	bool any = false;

	for (struct mesh__timer *t = loop->timers; t != NULL; t = t->next) {
		if (t->armed && now_us >= t->due_us) {
			t->armed = t->repeat_ms > 0;
			t->due_us = now_us + t->repeat_ms * 1000;
			t->fn(t->arg);
			any = true;
		}
	}
	return any;
}

/* ---- Connections, as the server sees them ---- */

void mesh__tcp_start(struct mesh__tcp *t, const struct mesh__tcp_events *events, void *arg)
{
	t->events = events;
	t->arg = arg;
}

void mesh__tcp_pause(struct mesh__tcp *t, bool paused)
{
	t->paused = paused;
}

size_t mesh__tcp_queued(const struct mesh__tcp *t)
{
	return t->queue.len;
}

static size_t send_some(struct mesh__tcp *t, const char *bytes, size_t len)
{
	size_t n = len < t->peer->window ? len : t->peer->window;

	t->peer->window -= n;
	mesh__buf_add(&t->peer->heard, bytes, n);
	return n;
}

static void shut_if_due(struct mesh__tcp *t)
{
	t->peer->server_ended |= t->shut_wanted && t->queue.len == 0;
}

int mesh__tcp_write(struct mesh__tcp *t, const void *bytes, size_t len)
{
	size_t sent;

	if (t->closed || t->shut_wanted) {
		abort(); /* nothing is said after the end */
	}
	if (t->broken || t->peer->reset) {
		t->broken = true;
		return MESH_E_RESET;
	}
	sent = t->queue.len == 0 ? send_some(t, bytes, len) : 0;
	mesh__buf_add(&t->queue, (const char *)bytes + sent, len - sent);
	return MESH_OK;
}

void mesh__tcp_shutdown(struct mesh__tcp *t)
{
	t->shut_wanted = true;
	shut_if_due(t);
}

void mesh__tcp_peer(const struct mesh__tcp *t, struct mesh__addr *out)
{
	*out = (struct mesh__addr){.ip = "127.0.0.1", .port = t->peer->port};
}

void mesh__tcp_close(struct mesh__tcp *t, bool reset)
{
	if (t != NULL && !t->closed) {
		t->closed = true;
		t->peer->closed = true;
		t->peer->server_reset |= reset || t->queue.len > 0;
		t->peer->server_ended = true;
		mesh__buf_fini(&t->queue);
	}
}

/* ---- Connections, turn by turn ---- */

static bool end(struct mesh__tcp *t, int code)
{
	t->ended = true;
	t->broken |= code != MESH_OK;
	t->events->end(t->arg, code);
	return true;
}

static bool flush(struct mesh__tcp *t)
{
	if (t->queue.len == 0 || t->broken) {
		return false;
	}
	if (t->peer->reset) {
		return end(t, MESH_E_RESET);
	}
	if (t->peer->window == 0) {
		return false;
	}
	mesh__buf_consume(&t->queue, send_some(t, t->queue.data, t->queue.len));
	if (t->queue.len == 0) {
		mesh__buf_fini(&t->queue);
		shut_if_due(t);
		t->events->drained(t->arg);
	}
	return true;
}

static bool read_once(struct mesh__tcp *t)
{
	struct mesh__buf *in = &t->peer->to_server;
	size_t len = in->len < READ_MAX_BYTES ? in->len : READ_MAX_BYTES;
	char *bytes;

	if (t->closed || t->paused || t->ended || t->events == NULL) {
		return false;
	}
	if (len == 0) {
		return t->peer->reset ? end(t, MESH_E_RESET) : t->peer->ended && end(t, MESH_OK);
	}
	/* Exactly as large as what came, so that a byte read beyond it is found. */
	bytes = mesh__memdup(mesh__mem_libc(), in->data, len);
	mesh__buf_consume(in, len);
	t->events->data(t->arg, bytes, len);
	mesh__free(bytes);
	return true;
}

static bool run_tcps(struct mesh__loop *loop)
{
	bool any = false;

	for (struct mesh__tcp *t = loop->tcps; t != NULL; t = t->next) {
		any |= !t->closed && flush(t);
		any |= read_once(t);
	}
	return any;
}

static void bury(struct mesh__loop *loop)
{
	for (struct mesh__tcp **at = &loop->tcps; *at != NULL;) {
		struct mesh__tcp *t = *at;

		if (t->closed) {
			*at = t->next;
			mesh__free(t);
		} else {
			at = &t->next;
		}
	}
	for (struct mesh__timer **at = &loop->timers; *at != NULL;) {
		struct mesh__timer *t = *at;

		if (t->freed) {
			*at = t->next;
			mesh__free(t);
		} else {
			at = &t->next;
		}
	}
}

void io_run(struct mesh__loop *loop)
{
	int turns = 0;
	bool any;

	do {
		any = run_posts(loop);
		any |= run_tcps(loop);
		any |= run_timers(loop);
		bury(loop);
		if (++turns > TURNS_MAX) {
			abort();
		}
	} while (any);
}

size_t io_n_open(const struct mesh__loop *loop)
{
	size_t n = 0;

	for (const struct mesh__tcp *t = loop->tcps; t != NULL; t = t->next) {
		n += !t->closed;
	}
	return n;
}

void mesh__loop_free(struct mesh__loop *loop)
{
	while (run_posts(loop)) {
	}
	bury(loop);
	mesh__free(loop);
}

/* ---- Dialling ---- */

int mesh__listener_new(struct mesh__loop *loop, const struct mesh__addr *addr, int backlog, mesh__accept_fn fn, void *arg, struct mesh__listener **out, struct mesh__err *err)
{
	struct mesh__listener *l = mesh__alloc(&loop->env->mem, sizeof(*l));

	(void)backlog;
	(void)err;
	*l = (struct mesh__listener){.loop = loop, .address = *addr, .fn = fn, .arg = arg};
	loop->listener = l;
	*out = l;
	return MESH_OK;
}

void mesh__listener_address(const struct mesh__listener *l, struct mesh__addr *out)
{
	*out = l->address;
}

void mesh__listener_free(struct mesh__listener *l)
{
	if (l != NULL) {
		l->loop->listener = NULL;
		mesh__free(l);
	}
}

void mesh__listener_take_backlog(struct mesh__listener *l)
{
	(void)l; /* who dials is accepted at once */
}

struct mesh__tcp *mesh__tcp_new(struct mesh__loop *loop, const struct mesh__arrival *arrival)
{
	struct mesh__tcp *t = mesh__alloc(&loop->env->mem, sizeof(*t));

	(void)arrival;
	*t = (struct mesh__tcp){.loop = loop, .peer = loop->dialling, .next = loop->tcps};
	mesh__buf_init(&t->queue, &loop->env->mem, SIZE_MAX / 2);
	loop->tcps = t;
	t->peer->closed = t->peer->server_reset = t->peer->server_ended = false;
	return t;
}

void mesh__arrival_close(const struct mesh__arrival *arrival, bool reset)
{
	(void)arrival;
	(void)reset;
}

bool io_dial(struct mesh__loop *loop, struct io_peer *peer, uint16_t port)
{
	struct mesh__arrival arrival = {.fd = -1, .peer = {.ip = "127.0.0.1", .port = port}};

	memset(peer, 0, sizeof(*peer));
	if (loop->listener == NULL) {
		return false;
	}
	mesh__buf_init(&peer->to_server, mesh__mem_libc(), SIZE_MAX / 2);
	mesh__buf_init(&peer->heard, mesh__mem_libc(), SIZE_MAX / 2);
	peer->window = SIZE_MAX;
	peer->port = port;
	peer->closed = true; /* unless the server takes it */
	peer->server_reset = true;
	peer->server_ended = true;
	loop->dialling = peer;
	loop->listener->fn(loop->listener->arg, &arrival);
	return true;
}

void io_peer_fini(struct io_peer *peer)
{
	mesh__buf_fini(&peer->to_server);
	mesh__buf_fini(&peer->heard);
}
