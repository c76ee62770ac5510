/*
 * Whether this process is a child forked since: asked at every call, so without a system call where the kernel can tell (a page that fork() wipes, Linux 4.14), else by the process id.
 * It holds for every way to fork, those past libc's fork() handlers too; a vfork() child, which shares its parent's memory, is none.
 */
#ifndef MESH__BASE_FORK_H
#define MESH__BASE_FORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mesh__fork_mark {
	const volatile uint32_t *page; /* NULL: the kernel cannot tell */
	pid_t pid;                     /* of the process that made the mark */
};

/* Marks this process. Cannot fail. */
void mesh__fork_mark_init(struct mesh__fork_mark *mark);

/* In any process, once. A zeroed mark is accepted. */
void mesh__fork_mark_fini(struct mesh__fork_mark *mark);

/* True in a child. Any thread. */
bool mesh__forked_since(const struct mesh__fork_mark *mark);

#endif
