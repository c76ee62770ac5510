#include "http/curl_wakeup.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3, NEAR = 64, CLOSES_ON_EXEC = 0x080d00 /* libcurl from 8.13 on */ };

/* Only such can be one: not an application's socket that is kept from its children already. */
static bool is_candidate(int fd)
{
	int flags = fcntl(fd, F_GETFD), domain = 0;
	socklen_t len = sizeof(domain);

	return flags >= 0 && (flags & FD_CLOEXEC) == 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* Each waking puts one byte into the one end, and something on its way out of the other. Seen twice in a row it is no chance. */
static bool follows(int fd, CURLM *curl, unsigned long what)
{
	int before = 0, after = 0;

	for (int i = 0; i < 2; i++) {
		if (ioctl(fd, what, &before) != 0 || curl_multi_wakeup(curl) != CURLM_OK || ioctl(fd, what, &after) != 0) {
			return false;
		}
		if (what == FIONREAD ? after != before + 1 : after <= before) {
			return false;
		}
	}
	return true;
}

static void look(struct mesh__wakeup *w, CURLM *curl, int fd)
{
	int end = !is_candidate(fd) ? -1 : w->fds[0] < 0 && follows(fd, curl, FIONREAD) ? 0 : w->fds[1] < 0 && follows(fd, curl, SIOCOUTQ) ? 1 : -1;

	if (end >= 0) {
		w->fds[end] = fd;
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

/* Where the next descriptor would come to lie: those made a moment ago lie just below it. */
static int free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)close(fd);
	}
	return fd;
}

/* Held from where libcurl makes the descriptors until they are marked, and by fork(): no child is made in between. */
static pthread_mutex_t making_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lock(void)
{
	(void)pthread_mutex_lock(&making_mu);
}

static void unlock(void)
{
	(void)pthread_mutex_unlock(&making_mu);
}

static void set_up(void)
{
	(void)pthread_atfork(lock, unlock, unlock);
}

static void mark(struct mesh__wakeup *w, CURLM *curl)
{
	int next;

	if (curl_version_info(CURLVERSION_NOW)->version_num >= CLOSES_ON_EXEC || (next = free_fd()) < 0) {
		return;
	}
	for (int fd = next - 1; fd >= FIRST_FD && (w->fds[0] < 0 || w->fds[1] < 0); fd--) {
		look(w, curl, fd);
	}
	/* Another thread may have closed a lower one meanwhile. */
	for (int fd = next + 1; fd < next + NEAR && (w->fds[0] < 0 || w->fds[1] < 0); fd++) {
		look(w, curl, fd);
	}
}

void *mesh__wakeup_multi(struct mesh__wakeup *w)
{
	CURLM *curl;

	w->fds[0] = w->fds[1] = -1;
	(void)pthread_once(&once, set_up);
	lock();
	curl = curl_multi_init();
	if (curl != NULL) {
		mark(w, curl);
	}
	unlock();
	return curl;
}

void mesh__wakeup_abandon(struct mesh__wakeup *w)
{
	for (int i = 0; i < 2; i++) {
		if (w->fds[i] >= 0) {
			(void)close(w->fds[i]);
			w->fds[i] = -1;
		}
	}
}
