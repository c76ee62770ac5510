#include "meshd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { LEAVE_MS = 1000 };

static int spawn(pid_t *pid, const char *program, char *const *argv, int child_fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, broken_pipe;
	int rc;

	(void)sigemptyset(&none);
	(void)sigemptyset(&broken_pipe);
	(void)sigaddset(&broken_pipe, SIGPIPE); /* ignored in meshd, and ignoring is inherited */
	rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0) {
		return rc;
	}
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		(void)posix_spawnattr_setsigmask(&attr, &none);
		(void)posix_spawnattr_setsigdefault(&attr, &broken_pipe);
		(void)posix_spawnattr_setpgroup(&attr, 0);
		(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
		rc = posix_spawn_file_actions_adddup2(&actions, child_fd, MESHD_CHILD_FD);
		rc = rc == 0 ? posix_spawnp(pid, program, &actions, &attr, argv, environ) : rc;
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int meshd_child_start(struct meshd_child *child, const char *program, char *const *argv, struct mesh__err *err)
{
	int pair[2];
	int rc;

	*child = (struct meshd_child){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		return mesh__fail(err, MESH_E_IO, "no socket pair for %s: %s", program, strerror(errno));
	}
	rc = spawn(&child->pid, program, argv, pair[1]);
	(void)close(pair[1]);
	if (rc != 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
		(void)close(pair[0]);
		child->pid = 0;
		return mesh__fail(err, rc == ENOENT ? MESH_E_NOT_FOUND : MESH_E_IO, "%s cannot be started: %s", program, strerror(rc));
	}
	child->fd = pair[0];
	return MESH_OK;
}

/* Waits for the process to end; a process descriptor becomes readable then. */
static void wait_to_leave(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (fd >= 0) {
		(void)poll(&poll_fd, 1, LEAVE_MS);
		(void)close(fd);
	}
}

void meshd_child_end(struct meshd_child *child, int kill_now)
{
	if (child->fd >= 0) {
		(void)close(child->fd);
	}
	if (child->pid > 0) {
		if (!kill_now) {
			wait_to_leave(child->pid);
		}
		if (waitpid(child->pid, NULL, WNOHANG) == 0) {
			(void)kill(child->pid, SIGKILL);
			(void)waitpid(child->pid, NULL, 0);
		}
	}
	*child = (struct meshd_child){.fd = -1};
}
