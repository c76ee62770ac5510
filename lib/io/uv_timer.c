#include <string.h>

#include "io/loop.h"
#include "io/uv_loop.h"

#define NEVER UINT64_MAX
#define DELAY_MAX_MS ((int64_t)(INT64_MAX / 4000000)) /* 73 years: no sum overflows */

struct mesh__timer {
	struct mesh__handle handle;
	mesh__loop_fn fn;
	void *arg;
	struct mesh__post later;
	bool put_off;        /* until the turn's end: `later` is deferred */
	uint64_t due_ns;     /* NEVER: stopped */
	uint64_t armed_turn; /* in a timer's callback of this turn; 0: elsewhere */
	int64_t repeat_ms;
};

static void arm(struct mesh__timer *t, int64_t delay_ms);
static void on_timer(uv_timer_t *uv);

static void restart(void *arg)
{
	struct mesh__timer *t = arg;
	uint64_t now_ns = uv_hrtime();

	t->put_off = false;
	if (t->due_ns != NEVER) { /* libuv starts none that is closing */
		(void)uv_timer_start(&t->handle.uv.timer, on_timer, now_ns < t->due_ns ? (t->due_ns - now_ns) / 1000000 + 1 : 0, 0);
	}
}

/* libuv 1.44 goes on with timers for as long as one is due, and one that starts itself again may always be: nothing else would have its turn. */
static bool put_off(struct mesh__timer *t)
{
	struct mesh__loop *loop = t->handle.loop;

	if (t->armed_turn != loop->n_turns) {
		return false;
	}
	if (!t->put_off) {
		t->put_off = true;
		mesh__loop_defer(loop, &t->later, restart, t);
	}
	return true;
}

static void on_timer(uv_timer_t *uv)
{
	struct mesh__timer *t = uv->data;
	struct mesh__loop *loop = t->handle.loop;
	uint64_t now_ns = uv_hrtime();

	if (put_off(t)) {
		return;
	}
	/* libuv's own clock is cached and in whole milliseconds, so it may be early by up to two. */
	if (now_ns < t->due_ns) {
		(void)uv_timer_start(uv, on_timer, (t->due_ns - now_ns) / 1000000 + 1, 0);
		return;
	}
	loop->in_timer = true;
	if (t->repeat_ms > 0) {
		arm(t, t->repeat_ms);
	}
	t->fn(t->arg);
	loop->in_timer = false;
}

static void arm(struct mesh__timer *t, int64_t delay_ms)
{
	struct mesh__loop *loop = t->handle.loop;

	if (delay_ms > DELAY_MAX_MS) {
		delay_ms = DELAY_MAX_MS;
	}
	uv_update_time(&loop->uv);
	t->armed_turn = loop->in_timer ? loop->n_turns : 0;
	t->due_ns = uv_hrtime() + (uint64_t)delay_ms * 1000000;
	(void)uv_timer_start(&t->handle.uv.timer, on_timer, (uint64_t)delay_ms + (delay_ms > 0), 0);
}

int mesh__timer_new(struct mesh__loop *loop, mesh__loop_fn fn, void *arg, struct mesh__timer **out)
{
	struct mesh__timer *t = mesh__handle_alloc(loop, sizeof(*t));

	*out = t;
	if (t == NULL) {
		return MESH_E_NO_MEMORY;
	}
	t->fn = fn;
	t->arg = arg;
	(void)uv_timer_init(&loop->uv, &t->handle.uv.timer);
	t->handle.uv.timer.data = t;
	mesh__handle_open(&t->handle);
	return MESH_OK;
}

void mesh__timer_start(struct mesh__timer *t, int64_t delay_ms, int64_t repeat_ms)
{
	t->repeat_ms = repeat_ms;
	arm(t, delay_ms < 0 ? 0 : delay_ms);
}

void mesh__timer_stop(struct mesh__timer *t)
{
	t->repeat_ms = 0;
	t->due_ns = NEVER;
	(void)uv_timer_stop(&t->handle.uv.timer);
}

void mesh__timer_free(struct mesh__timer *t)
{
	if (t != NULL) {
		mesh__handle_close(&t->handle);
	}
}
