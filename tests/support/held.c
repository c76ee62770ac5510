#include "support/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/core.h"

struct held held;

static void count(_Atomic int *n)
{
	(void)pthread_mutex_lock(&stage.mu);
	(*n)++;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

static void read_now(void *unused)
{
	char buf[4096];
	size_t n;
	int code;

	(void)unused;
	held.in_call = true;
	do {
		code = mesh__exchange_read(held.x, buf, sizeof(buf), &n);
		mesh__buf_add(&held.body, buf, n);
	} while (code == MESH_OK && n > 0);
	held.in_call = false;
	(void)pthread_mutex_lock(&stage.mu);
	held.code = code;
	held.ended = code == MESH_OK;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

static void must_be_clear(void)
{
	if (held.in_call) {
		abort(); /* an event from inside a call */
	}
}

static void take(void *arg, void (*fn)(struct mesh__exchange *x))
{
	struct mesh__exchange *x = held.x;

	(void)arg;
	held.x = NULL; /* the next request may come while this one is ended */
	held.in_call = true;
	fn(x);
	held.in_call = false;
}

static void end_if_asked(void)
{
	if (held.ends_when_told != NULL) {
		take(NULL, held.ends_when_told);
	}
}

static void on_readable(void *arg)
{
	must_be_clear();
	if (held.reads_when_readable) {
		read_now(NULL);
	}
	end_if_asked();
	count(&((struct held *)arg)->n_readable);
}

static void on_writable(void *arg)
{
	must_be_clear();
	end_if_asked();
	count(&((struct held *)arg)->n_writable);
}

static void on_gone(void *arg)
{
	must_be_clear();
	count(&((struct held *)arg)->n_gone);
}

static void on_request(void *user, struct mesh__exchange *x)
{
	static const struct mesh__exchange_events events = {on_readable, on_writable, on_gone};

	(void)user;
	mesh__exchange_watch(x, &events, &held);
	(void)pthread_mutex_lock(&stage.mu);
	if (held.x != NULL) {
		abort(); /* the test has not ended the one before */
	}
	held.x = x;
	held.n_requests++;
	stage_changed();
	(void)pthread_mutex_unlock(&stage.mu);
}

int held_set_up(void **state)
{
	(void)stage_set_up(state);
	memset(&held, 0, sizeof(held));
	mesh__buf_init(&held.body, mesh__mem_libc(), SIZE_MAX / 2);
	stage.handler = on_request;
	stage.stream_bodies = true;
	return 0;
}

static void unref_now(void *unused)
{
	(void)unused;
	mesh__exchange_unref(held.x);
	held.x = NULL;
}

int held_tear_down(void **state)
{
	if (held.x != NULL) {
		stage_on_loop(unref_now, NULL);
	}
	mesh__buf_fini(&held.body);
	return stage_tear_down(state);
}

/* ---- Waiting ---- */

bool held_is_there(void)
{
	return held.x != NULL;
}

bool held_is_gone(void)
{
	return held.n_gone > 0;
}

bool held_is_readable(void)
{
	return held.n_readable > 0;
}

bool held_is_writable(void)
{
	return held.n_writable > 0;
}

bool held_has_ended(void)
{
	return held.ended;
}

static int n_awaited;

static bool has_come(void)
{
	return held.n_requests >= n_awaited;
}

void held_wait(int n)
{
	n_awaited = n;
	stage_wait(has_come);
}

int held_ask(const char *request)
{
	int fd;

	stage_open();
	fd = stage_dial();
	stage_say(fd, request);
	held_wait(1);
	return fd;
}

static void sweep_now(void *arg)
{
	*(int64_t *)arg = stage.server->n_sweeps;
	mesh__http_server_sweep_soon(stage.server);
}

static void count_sweeps(void *arg)
{
	*(int64_t *)arg = stage.server->n_sweeps;
}

void held_advance_ms(int64_t ms)
{
	int64_t before, now;

	fake_env_advance_ms(&stage.fake, ms);
	stage_on_loop(sweep_now, &before);
	do {
		stage_on_loop(count_sweeps, &now);
	} while (now == before);
}

void held_assert_cut(int fd)
{
	char byte;

	assert_true(socket_recv(fd, &byte, 1) < 0);
	assert_int_equal(errno, ECONNRESET);
}

void held_forget_events(void)
{
	(void)pthread_mutex_lock(&stage.mu);
	held.n_readable = held.n_writable = held.n_gone = 0;
	(void)pthread_mutex_unlock(&stage.mu);
}

/* ---- What is done with it ---- */

struct act {
	int status;
	const struct mesh__field_text *fields;
	const void *bytes;
	size_t len;
	const char *name, *value;
	bool done;
	size_t room;
};

int held_read(void)
{
	stage_on_loop(read_now, NULL);
	return held.code;
}

const char *held_text(void)
{
	return held.body.len > 0 ? held.body.data : "";
}

static void unread_now(void *arg)
{
	((struct act *)arg)->len = mesh__exchange_unread(held.x);
}

size_t held_unread(void)
{
	struct act a = {.len = 0};

	stage_on_loop(unread_now, &a);
	return a.len;
}

static void begin_now(void *arg)
{
	struct act *a = arg;
	size_t n = 0;

	while (a->fields != NULL && a->fields[n].name != NULL) {
		n++;
	}
	held.in_call = true;
	a->done = mesh__stream_begin(held.x, a->status, a->fields, n, NULL, NULL);
	held.in_call = false;
}

bool held_begin(int status, const struct mesh__field_text *fields)
{
	struct act a = {.status = status, .fields = fields};

	stage_on_loop(begin_now, &a);
	return a.done;
}

static void write_now(void *arg)
{
	struct act *a = arg;

	held.in_call = true;
	a->done = mesh__stream_write(held.x, a->bytes, a->len);
	held.in_call = false;
}

bool held_write(const void *bytes, size_t len)
{
	struct act a = {.bytes = bytes, .len = len};

	stage_on_loop(write_now, &a);
	return a.done;
}

static void room_now(void *arg)
{
	((struct act *)arg)->room = mesh__stream_room(held.x);
}

size_t held_room(void)
{
	struct act a = {.room = 0};

	stage_on_loop(room_now, &a);
	return a.room;
}

static void trailer_now(void *arg)
{
	struct act *a = arg;

	a->done = mesh__stream_trailer(held.x, a->name, a->value);
}

bool held_trailer(const char *name, const char *value)
{
	struct act a = {.name = name, .value = value};

	stage_on_loop(trailer_now, &a);
	return a.done;
}

static void end_now(void *arg)
{
	take(arg, mesh__stream_end);
}

static void abort_now(void *arg)
{
	take(arg, mesh__stream_abort);
}

static void forget_now(void *arg)
{
	take(arg, mesh__exchange_unref);
}

void held_end(void)
{
	stage_on_loop(end_now, NULL);
}

void held_abort(void)
{
	stage_on_loop(abort_now, NULL);
}

void held_unref(void)
{
	stage_on_loop(forget_now, NULL);
}

static void reply_now(void *arg)
{
	const struct act *a = arg;
	struct mesh__exchange *x = held.x;

	held.x = NULL;
	stage_reply(x, a->status, a->bytes);
}

void held_reply(int status, const char *text)
{
	struct act a = {.status = status, .bytes = text};

	stage_on_loop(reply_now, &a);
}
