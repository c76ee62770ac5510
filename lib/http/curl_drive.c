#include "http/curl_drive.h"

#include <curl/curl.h>

struct mesh__drive_watch {
	struct mesh__drive_watch *prev, *next;
	struct mesh__drive *drive;
	struct mesh__watch *watch;
	int fd;
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

static void on_ready(void *arg, int fd, int events)
{
	struct mesh__drive_watch *w = arg;

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
	drive->entered = true;
	(void)curl_easy_pause(easy, CURLPAUSE_CONT); /* it may call back; what it fails with shows at the exchange's end */
	drive->entered = false;
	drive->ran(drive->arg);
}
