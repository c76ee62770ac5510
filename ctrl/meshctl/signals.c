#include "meshctl/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void both(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGTERM);
}

int ctl_signals_open(void)
{
	sigset_t set;

	both(&set);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
		return -1;
	}
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool ctl_signals_wait(int signals, int other, int timeout_ms)
{
	struct pollfd fds[] = {{signals, POLLIN, 0}, {other, POLLIN, 0}};
	struct signalfd_siginfo info;

	while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
	}
	return (fds[0].revents & POLLIN) != 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

void ctl_signals_close(int signals)
{
	sigset_t set;

	both(&set);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (signals >= 0) {
		(void)close(signals);
	}
}
