/* A child process at the other end of a socket pair. */
#ifndef MESHD_CHILD_H
#define MESHD_CHILD_H

#include <sys/types.h>

#include "base/error.h"

enum { MESHD_CHILD_FD = 3 /* the descriptor that the child finds its end at */ };

struct meshd_child {
	pid_t pid; /* 0: none */
	int fd;    /* our end, non-blocking; -1: none */
};

/*
 * Starts `program` (looked for in PATH when it has no slash) with argv, default signals, a process group of its own (the terminal's Ctrl-C is for meshd, which then ends the child in order) and
 * no descriptor but 0 to 2 and MESHD_CHILD_FD. MESH_E_NOT_FOUND when there is no such program, MESH_E_IO.
 */
int meshd_child_start(struct meshd_child *child, const char *program, char *const *argv, struct mesh__err *err) MESH__MUST_USE;

/* Closes our end and waits until the child has gone: a second for it to leave by itself (`kill_now`: none), then it is killed. */
void meshd_child_end(struct meshd_child *child, int kill_now);

#endif
