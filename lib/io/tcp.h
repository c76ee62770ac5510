/* TCP on the loop: listeners and accepted connections. Loop's thread only. */
#ifndef MESH__IO_TCP_H
#define MESH__IO_TCP_H

#include <stddef.h>

#include "base/error.h"
#include "io/loop.h"
#include "wire/addr.h"

struct mesh__listener;
struct mesh__tcp;

/* A connection that was accepted and is on no loop yet, so that it may be given to another loop's thread: its descriptor, non-blocking and close-on-exec, TCP_NODELAY set, and whose it is. */
struct mesh__arrival {
	int fd;
	struct mesh__addr peer;
};

/* The callee owns the descriptor. Accepting is paused while the process has no descriptor left, and goes on when one is free. */
typedef void (*mesh__accept_fn)(void *arg, const struct mesh__arrival *arrival);

/* Listens on `addr` (port 0: any), SO_REUSEADDR. Errors: MESH_E_IO with the address and the reason. */
int mesh__listener_new(struct mesh__loop *loop, const struct mesh__addr *addr, int backlog, mesh__accept_fn fn, void *arg, struct mesh__listener **out, struct mesh__err *err) MESH__MUST_USE;

/* The address it listens on, with the true port. */
void mesh__listener_address(const struct mesh__listener *listener, struct mesh__addr *out);

/* Accepts at once what has come so far, as far as the backlog went: closing the listener would reset it. */
void mesh__listener_take_backlog(struct mesh__listener *listener);
void mesh__listener_free(struct mesh__listener *listener);

/* Puts an arrival on `loop`, on its thread. NULL when out of memory: the arrival is still the caller's. */
struct mesh__tcp *mesh__tcp_new(struct mesh__loop *loop, const struct mesh__arrival *arrival) MESH__MUST_USE;

/* Closes one that nobody wants. `reset` sends RST. Any thread. */
void mesh__arrival_close(const struct mesh__arrival *arrival, bool reset);

struct mesh__tcp_events {
	void (*data)(void *arg, const char *bytes, size_t len); /* borrowed for the call */
	void (*end)(void *arg, int code);                       /* MESH_OK: the peer closed its side in order, and may still read; MESH_E_RESET, MESH_E_IO: broken. At most once each, the former first; where nothing waits to be written, a break behind it may show only with the next write. The callee still closes. */
	void (*drained)(void *arg);                             /* what mesh__tcp_write had to keep back has gone to the kernel */
};

/* Begins to read; `events` is borrowed until mesh__tcp_close. */
void mesh__tcp_start(struct mesh__tcp *tcp, const struct mesh__tcp_events *events, void *arg);

/* Pauses and resumes reading. */
void mesh__tcp_pause(struct mesh__tcp *tcp, bool paused);

/* Takes bytes to be written: copied where the kernel does not take them at once. Errors: MESH_E_NO_MEMORY, MESH_E_RESET; the connection is then to be closed. */
int mesh__tcp_write(struct mesh__tcp *tcp, const void *bytes, size_t len) MESH__MUST_USE;

/* Bytes taken and not yet with the kernel. */
size_t mesh__tcp_queued(const struct mesh__tcp *tcp);

/* Ends our sending side once all is written. */
void mesh__tcp_shutdown(struct mesh__tcp *tcp);

void mesh__tcp_peer(const struct mesh__tcp *tcp, struct mesh__addr *out);

/* Closes and frees: no callback after. `reset` sends RST. Accepts NULL. */
void mesh__tcp_close(struct mesh__tcp *tcp, bool reset);

#endif
