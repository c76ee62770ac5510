#include <string.h>

#include "io/loop.h"
#include "io/uv_loop.h"

#define DELAY_MAX_MS ((int64_t)(INT64_MAX / 4000000)) /* 73 years: no sum overflows */

struct mesh__timer {
	struct mesh__handle handle;
	mesh__loop_fn fn;
	void *arg;
	uint64_t due_ns;
	int64_t repeat_ms;
};

static void arm(struct mesh__timer *t, int64_t delay_ms);

static void on_timer(uv_timer_t *uv)
{
	struct mesh__timer *t = uv->data;
	uint64_t now_ns = uv_hrtime();

	/* libuv's own clock is cached and in whole milliseconds, so it may be early by up to two. */
	if (now_ns < t->due_ns) {
		(void)uv_timer_start(uv, on_timer, (t->due_ns - now_ns) / 1000000 + 1, 0);
		return;
	}
	if (t->repeat_ms > 0) {
		arm(t, t->repeat_ms);
	}
	t->fn(t->arg);
}

static void arm(struct mesh__timer *t, int64_t delay_ms)
{
	if (delay_ms > DELAY_MAX_MS) {
		delay_ms = DELAY_MAX_MS;
	}
	uv_update_time(&t->handle.loop->uv);
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
	(void)uv_timer_stop(&t->handle.uv.timer);
}

void mesh__timer_free(struct mesh__timer *t)
{
	if (t != NULL) {
		mesh__handle_close(&t->handle);
	}
}
