/*
 * The loop and the sockets of io/ without a kernel: time moves when it is told to, and the other end of a connection is the caller's. Linked before room io, it takes the place of the libuv adapters, so
 * that the server core above it is the real one. One thread.
 */
#ifndef TESTS_FUZZ_SERVER_IO_H
#define TESTS_FUZZ_SERVER_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/loop.h"

/* The other end of a connection. */
struct io_peer {
	struct mesh__buf to_server; /* sent and not yet read */
	struct mesh__buf heard;     /* all that the server has sent */
	size_t window;              /* so many more bytes are taken */
	bool ended;                 /* we have ended our side */
	bool reset;                 /* we have reset the connection */
	bool server_ended;          /* it has ended its side; nothing is heard after it */
	bool server_reset;
	bool closed;                /* the server has let go of it */
	uint16_t port;              /* what the server takes for our address */
};

/* Dials the loop's one listener; false when there is none. The peer must stay where it is until it is closed. */
bool io_dial(struct mesh__loop *loop, struct io_peer *peer, uint16_t port);
void io_peer_fini(struct io_peer *peer);

/* Runs what is posted, due and ready, until nothing of it is left. Aborts when that has no end. */
void io_run(struct mesh__loop *loop);

/* Who calls from here on is, or is not, on the loop's thread. */
void io_be_on_loop(struct mesh__loop *loop, bool on_loop);

/* Connections that the server holds. */
size_t io_n_open(const struct mesh__loop *loop);

#endif
