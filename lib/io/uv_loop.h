/* What the libuv adapters share: the loop's inside, and the head that every handle begins with. */
#ifndef MESH__IO_UV_LOOP_H
#define MESH__IO_UV_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "io/loop.h"

enum { MESH__SCRATCH_BYTES = 64 * 1024 };

/*
 * The first member of every handle. The list is what mesh__loop_free() closes, and what a forked child walks: it can be read from its head at any moment, also between two of the
 * parent's instructions.
 */
struct mesh__handle {
	struct mesh__handle *_Atomic next;
	struct mesh__handle *prev;
	struct mesh__loop *loop;
	int fd; /* a socket that this handle owns; -1: none */
	union {
		uv_handle_t any;
		uv_timer_t timer;
		uv_poll_t poll;
		uv_signal_t sig;
	} uv;
};

struct mesh__loop {
	const struct mesh__env *env;
	uv_loop_t uv;
	uv_async_t door;
	uv_prepare_t turn;       /* before the loop waits, in each turn */
	uint64_t n_turns;
	bool in_timer;           /* a timer's callback runs */
	struct mesh__post *deferred, *last_deferred;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t door_mu; /* guards first, last, stopping, ended */
	struct mesh__post *first, *last;
	bool stopping;
	bool ended;              /* its own thread is about to */
	pthread_cond_t ended_cond;
	struct mesh__handle *_Atomic handles;
	char scratch[MESH__SCRATCH_BYTES]; /* what a socket has just given; valid until the next read */
};

/* `size` zeroed bytes that begin with a handle, not linked yet. */
void *mesh__handle_alloc(struct mesh__loop *loop, size_t size) MESH__MUST_USE;

/* Links it, once its uv handle is initialised. From here on only mesh__handle_close() frees it. */
void mesh__handle_open(struct mesh__handle *h);

/* Closes the uv handle and the socket at once; the memory goes when libuv has let go of it. */
void mesh__handle_close(struct mesh__handle *h);

#endif
