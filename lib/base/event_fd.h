/*
 * A descriptor for a foreign loop: readable while it is raised. It is made when somebody first asks for it, so that who does not pays nothing. Not guarded: its owner's lock does that.
 */
#ifndef MESH__BASE_EVENT_FD_H
#define MESH__BASE_EVENT_FD_H

#include <stdbool.h>

#include "base/error.h"

struct mesh__event_fd {
	int fd; /* -1: nobody has asked */
	bool raised;
};

void mesh__event_fd_init(struct mesh__event_fd *e);

/* Closes it; in a forked child its copy. */
void mesh__event_fd_fini(struct mesh__event_fd *e);

/* The descriptor, the same each time, closed by a program that the process becomes. Else minus MESH_E_IO or MESH_E_NO_MEMORY, with *err (may be NULL) filled in. */
int mesh__event_fd_get(struct mesh__event_fd *e, struct mesh__err *err);

/* A system call where it changes and somebody has asked, nothing else. */
void mesh__event_fd_set(struct mesh__event_fd *e, bool raised);

#endif
