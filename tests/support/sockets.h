/*
 * recv() and send() on a blocking socket for tests, which go on after EINTR: a loop's io_uring (libuv 1.45) interrupts the threads of its process, and on a socket with a deadline of its own the kernel does not begin such a call again.
 */
#ifndef TESTS_SUPPORT_SOCKETS_H
#define TESTS_SUPPORT_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

ssize_t socket_recv(int fd, void *bytes, size_t size);

/* All of it; false when the connection is no more, or the socket's deadline passes. */
bool socket_send(int fd, const void *bytes, size_t len);

#endif
