/*
 * The event loop: one thread, timers, descriptors, signals, and one door for other threads (mesh__loop_post). Everything here is called on the loop's
 * thread, or before it runs, unless it says "any thread". Callbacks run on the loop's thread and must not block.
 */
#ifndef MESH__IO_LOOP_H
#define MESH__IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/error.h"

struct mesh__loop;
struct mesh__timer;
struct mesh__watch;
struct mesh__signal;

typedef void (*mesh__loop_fn)(void *arg);

/* `env` is borrowed for the loop's life. */
int mesh__loop_new(const struct mesh__env *env, struct mesh__loop **out, struct mesh__err *err) MESH__MUST_USE;

/* Runs the loop on a new thread named `name` (at most 15 bytes) with all signals blocked. */
int mesh__loop_start(struct mesh__loop *loop, const char *name, struct mesh__err *err) MESH__MUST_USE;

/* Runs the loop on this thread until mesh__loop_stop(). */
void mesh__loop_run(struct mesh__loop *loop);

/* Asks the loop to end after the functions posted so far have run. Any thread. */
void mesh__loop_stop(struct mesh__loop *loop);

/* Waits for the loop's own thread, if it has one, to end. Not on that thread. */
void mesh__loop_join(struct mesh__loop *loop);

/* The same until `deadline_us` on the clock of `env`; false when the thread has not ended by then, or is this one: it is left to itself. */
bool mesh__loop_join_until(struct mesh__loop *loop, const struct mesh__env *env, int64_t deadline_us);

/* Frees a loop that has ended or never ran: handles that are left are closed, posted functions that never ran are run first, once, on this thread. Accepts NULL. */
void mesh__loop_free(struct mesh__loop *loop);

/*
 * In a forked child: makes the loop's descriptors harmless to the parent (its epoll and event descriptors closed, each socket replaced by /dev/null) and frees
 * memory; runs no callback, writes nothing, closes no connection. Nothing else may be called on the loop after.
 */
void mesh__loop_abandon(struct mesh__loop *loop);

const struct mesh__env *mesh__loop_env(const struct mesh__loop *loop);

/* Whether this thread runs it. Any thread, beside and after mesh__loop_free() too: the loop is not looked into. */
bool mesh__loop_is_current(const struct mesh__loop *loop);

/* A node for mesh__loop_post() and mesh__loop_defer(): embedded in what is posted, so that posting cannot fail. Free again once its function has begun. */
struct mesh__post {
	struct mesh__post *next;
	mesh__loop_fn fn;
	void *arg;
};

/* Runs fn(arg) on the loop, in the order posted. Any thread, also the loop's own (it runs later, not now). */
void mesh__loop_post(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg);

/* Runs fn(arg) before the loop waits again, in the order given, also while it ends: what many callbacks of a turn bring is then done once for all of them. The loop's thread alone; the node as above. */
void mesh__loop_defer(struct mesh__loop *loop, struct mesh__post *post, mesh__loop_fn fn, void *arg);

/* A timer, stopped at first. */
int mesh__timer_new(struct mesh__loop *loop, mesh__loop_fn fn, void *arg, struct mesh__timer **out) MESH__MUST_USE;

/*
 * Fires once after `delay_ms` of monotonic time (rounded up: never early), then, unless repeat_ms is 0, each repeat_ms. Starting again replaces what was set. One that is started in a timer's callback fires in a later turn of the loop,
 * be its delay 0: what else waits has its turn first.
 */
void mesh__timer_start(struct mesh__timer *timer, int64_t delay_ms, int64_t repeat_ms);
void mesh__timer_stop(struct mesh__timer *timer);

/* Stops and frees; the callback does not run again. Accepts NULL. Allowed in its own callback. The same holds for the *_free functions below. */
void mesh__timer_free(struct mesh__timer *timer);

enum { MESH__READABLE = 1, MESH__WRITABLE = 2 };

/* Watches a descriptor that the caller owns; free the watch before closing it. `events` are the ones that happened (both on an error). */
typedef void (*mesh__watch_fn)(void *arg, int fd, int events);
int mesh__watch_new(struct mesh__loop *loop, int fd, mesh__watch_fn fn, void *arg, struct mesh__watch **out, struct mesh__err *err) MESH__MUST_USE;
int mesh__watch_set(struct mesh__watch *watch, int events) MESH__MUST_USE; /* 0: none */
void mesh__watch_free(struct mesh__watch *watch);

/* Calls fn on the loop when the process gets `signum`. For programs; a library's loop has none. */
int mesh__signal_new(struct mesh__loop *loop, int signum, mesh__loop_fn fn, void *arg, struct mesh__signal **out, struct mesh__err *err) MESH__MUST_USE;
void mesh__signal_free(struct mesh__signal *sig);

#endif
