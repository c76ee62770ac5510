/* Frames over a stream socket (protocol.h), waiting: this process serves one peer, and has nothing else to do. One thread. */
#ifndef MESHCA_FRAME_H
#define MESHCA_FRAME_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct meshca_channel {
	int fd;      /* the stream socket; borrowed */
	int stop_fd; /* becomes readable when the process is to end: every wait ends then; -1: none; borrowed */
};

/*
 * Replaces the contents of `frame` by the next one. MESH_E_CLOSED: the peer went away between two frames. MESH_E_CANCELLED: stop_fd. The stream is lost after: MESH_E_PROTOCOL (it ended inside a
 * frame), MESH_E_TOO_LARGE (the length is over the bound; nothing of it was read), MESH_E_IO, MESH_E_NO_MEMORY.
 */
int meshca_frame_receive(const struct meshca_channel *channel, struct mesh__buf *frame, struct mesh__err *err) MESH__MUST_USE;

/* Sends one frame of at most MESHCA_FRAME_MAX_BYTES. MESH_E_CLOSED, MESH_E_CANCELLED, MESH_E_TOO_LARGE (nothing sent), MESH_E_IO. */
int meshca_frame_send(const struct meshca_channel *channel, const char *text, size_t len, struct mesh__err *err) MESH__MUST_USE;

#endif
