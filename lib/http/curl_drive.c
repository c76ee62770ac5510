#include "http/curl_drive.h"

#include <curl/curl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { VAIN_MAX = 8, REST_MS = 50 };

struct mesh__drive_watch {
	struct mesh__drive_watch *prev, *next;
	struct mesh__drive *drive;
	struct mesh__watch *watch;
	int fd;
	int wish;                  /* libcurl's */
	uint64_t n_written;        /* bytes given to the connection, when it could last be written to */
	int n_vain;                /* how often in a row that was so, and nothing more was written */
	struct mesh__timer *rest;  /* NULL before the first */
	bool resting;              /* it is not told for a while that it may write */
};

static void enter(struct mesh__drive *drive, curl_socket_t fd, int events)
{
	int running;

	drive->entered = true;
	if (curl_multi_socket_action(drive->curl, fd, events, &running) != CURLM_OK) {
		drive->dead = true;
	}
	drive->entered = false;
	drive->ran(drive->arg);
}

static void on_time(void *arg)
{
	enter(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- Writing in vain ---- */

/*
 * Before 8.0 libcurl waits for room in the socket where it is the peer's HTTP/2 window that has none, which is no wait at all: one peer that reads slowly would cost the loop its thread. What helps then comes from the peer, or
 * from the exchange's owner; neither is held up by a rest.
 */
static bool is_in_vain(struct mesh__drive_watch *w)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	uint64_t n_written;

	if (getsockopt(w->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || len < offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof(info.tcpi_bytes_sent)) {
		return false;
	}
	/* What waits in the kernel was written too: a peer that reads slowly is not one that libcurl cannot write to. */
	n_written = info.tcpi_bytes_sent + info.tcpi_notsent_bytes;
	w->n_vain = n_written == w->n_written ? w->n_vain + 1 : 0;
	w->n_written = n_written;
	return w->n_vain > VAIN_MAX;
}

static void end_rest(struct mesh__drive_watch *w)
{
	if (w->resting) {
		w->resting = false;
		mesh__timer_stop(w->rest);
		w->drive->dead = mesh__watch_set(w->watch, w->wish) != MESH_OK || w->drive->dead;
	}
}

static void on_rested(void *arg)
{
	struct mesh__drive_watch *w = arg;

	end_rest(w);
	w->n_vain = VAIN_MAX - 1; /* one turn, and if that is in vain too, the next rest */
}

static bool take_rest(struct mesh__drive_watch *w)
{
	if ((w->rest == NULL && mesh__timer_new(w->drive->loop, on_rested, w, &w->rest) != MESH_OK) || mesh__watch_set(w->watch, w->wish & MESH__READABLE) != MESH_OK) {
		return false;
	}
	w->resting = true;
	mesh__timer_start(w->rest, REST_MS, 0);
	return true;
}

static void on_ready(void *arg, int fd, int events)
{
	struct mesh__drive_watch *w = arg;

	if (events == MESH__WRITABLE && is_in_vain(w) && take_rest(w)) {
		return;
	}
	end_rest(w);
	if (events != MESH__WRITABLE) {
		w->n_vain = 0; /* what has come may be what writing waited for */
	}
	enter(w->drive, fd, ((events & MESH__READABLE) != 0 ? CURL_CSELECT_IN : 0) | ((events & MESH__WRITABLE) != 0 ? CURL_CSELECT_OUT : 0));
}

static int on_timer_wish(CURLM *curl, long timeout_ms, void *arg)
{
	struct mesh__drive *drive = arg;

	(void)curl;
	if (timeout_ms < 0) {
		mesh__timer_stop(drive->timer);
	} else {
		mesh__timer_start(drive->timer, timeout_ms, 0);
	}
	return 0;
}

static void watch_free(struct mesh__drive_watch *w)
{
	*(w->prev != NULL ? &w->prev->next : &w->drive->watches) = w->next;
	if (w->next != NULL) {
		w->next->prev = w->prev;
	}
	mesh__timer_free(w->rest);
	mesh__watch_free(w->watch);
	mesh__free(w);
}

static struct mesh__drive_watch *watch_new(struct mesh__drive *drive, int fd)
{
	struct mesh__drive_watch *w = mesh__alloc(&mesh__loop_env(drive->loop)->mem, sizeof(*w));

	if (w == NULL || mesh__watch_new(drive->loop, fd, on_ready, w, &w->watch, NULL) != MESH_OK) {
		mesh__free(w);
		return NULL;
	}
	w->drive = drive;
	w->fd = fd;
	w->next = drive->watches;
	if (w->next != NULL) {
		w->next->prev = w;
	}
	drive->watches = w;
	return w;
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct mesh__drive *drive = arg;
	struct mesh__drive_watch *w = of_socket;
	int events = (what & CURL_POLL_IN ? MESH__READABLE : 0) | (what & CURL_POLL_OUT ? MESH__WRITABLE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL) {
			watch_free(w);
			(void)curl_multi_assign(drive->curl, fd, NULL);
		}
		return 0;
	}
	if (w == NULL) {
		w = watch_new(drive, fd);
		if (w == NULL || curl_multi_assign(drive->curl, fd, w) != CURLM_OK) {
			return -1; /* the multi is dead from here on: its transfers fail, and a new one takes its place */
		}
	}
	end_rest(w);
	w->wish = events;
	return mesh__watch_set(w->watch, events) == MESH_OK ? 0 : -1;
}

int mesh__drive_attach(struct mesh__drive *drive, struct mesh__loop *loop, void *curl, void (*ran)(void *arg), void *arg, struct mesh__err *err)
{
	*drive = (struct mesh__drive){.loop = loop, .curl = curl, .ran = ran, .arg = arg};
	if (mesh__timer_new(loop, on_time, drive, &drive->timer) != MESH_OK || curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, on_socket_wish) != CURLM_OK ||
	    curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, drive) != CURLM_OK || curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, on_timer_wish) != CURLM_OK ||
	    curl_multi_setopt(curl, CURLMOPT_TIMERDATA, drive) != CURLM_OK) {
		mesh__drive_detach(drive);
		return mesh__fail_memory(err);
	}
	return MESH_OK;
}

void mesh__drive_detach(struct mesh__drive *drive)
{
	if (drive->curl != NULL) {
		(void)curl_multi_setopt(drive->curl, CURLMOPT_SOCKETFUNCTION, NULL);
		(void)curl_multi_setopt(drive->curl, CURLMOPT_TIMERFUNCTION, NULL);
	}
	while (drive->watches != NULL) {
		/* As a rule libcurl has taken back its wishes by now. */
		(void)curl_multi_assign(drive->curl, drive->watches->fd, NULL);
		watch_free(drive->watches);
	}
	mesh__timer_free(drive->timer);
	drive->timer = NULL;
	drive->curl = NULL;
}

void mesh__drive_unpause(struct mesh__drive *drive, void *easy)
{
	for (struct mesh__drive_watch *w = drive->watches; w != NULL; w = w->next) {
		end_rest(w);
		w->n_vain = 0;
	}
	drive->entered = true;
	drive->paused_end = (int)curl_easy_pause(easy, CURLPAUSE_CONT); /* it may call back */
	drive->entered = false;
	drive->ran(drive->arg);
}
