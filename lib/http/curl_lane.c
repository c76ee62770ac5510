#include "http/curl_lane.h"

#include <curl/curl.h>

struct mesh__lane_watch {
	struct mesh__lane_watch *prev, *next;
	struct mesh__lane *lane;
	struct mesh__watch *watch;
};

static void enter(struct mesh__lane *lane, curl_socket_t fd, int events)
{
	int running;

	lane->entered = true;
	if (curl_multi_socket_action(lane->curl, fd, events, &running) != CURLM_OK) {
		lane->dead = true;
	}
	lane->entered = false;
	lane->ran(lane->arg);
}

static void on_time(void *arg)
{
	enter(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_ready(void *arg, int fd, int events)
{
	struct mesh__lane_watch *w = arg;

	enter(w->lane, fd, ((events & MESH__READABLE) != 0 ? CURL_CSELECT_IN : 0) | ((events & MESH__WRITABLE) != 0 ? CURL_CSELECT_OUT : 0));
}

static int on_timer_wish(CURLM *curl, long timeout_ms, void *arg)
{
	struct mesh__lane *lane = arg;

	(void)curl;
	if (timeout_ms < 0) {
		mesh__timer_stop(lane->timer);
	} else {
		mesh__timer_start(lane->timer, timeout_ms, 0);
	}
	return 0;
}

static void watch_free(struct mesh__lane_watch *w)
{
	*(w->prev != NULL ? &w->prev->next : &w->lane->watches) = w->next;
	if (w->next != NULL) {
		w->next->prev = w->prev;
	}
	mesh__watch_free(w->watch);
	mesh__free(w);
}

static struct mesh__lane_watch *watch_new(struct mesh__lane *lane, int fd)
{
	struct mesh__lane_watch *w = mesh__alloc(&lane->conns.env->mem, sizeof(*w));

	if (w == NULL || mesh__watch_new(lane->loop, fd, on_ready, w, &w->watch, NULL) != MESH_OK) {
		mesh__free(w);
		return NULL;
	}
	w->lane = lane;
	w->next = lane->watches;
	if (w->next != NULL) {
		w->next->prev = w;
	}
	lane->watches = w;
	return w;
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct mesh__lane *lane = arg;
	struct mesh__lane_watch *w = of_socket;
	int events = (what & CURL_POLL_IN ? MESH__READABLE : 0) | (what & CURL_POLL_OUT ? MESH__WRITABLE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL) {
			watch_free(w);
			(void)curl_multi_assign(lane->curl, fd, NULL);
		}
		return 0;
	}
	if (w == NULL) {
		w = watch_new(lane, fd);
		if (w == NULL || curl_multi_assign(lane->curl, fd, w) != CURLM_OK) {
			return -1; /* the multi is dead from here on: its transfers fail, and a new one takes its place */
		}
	}
	return mesh__watch_set(w->watch, events) == MESH_OK ? 0 : -1;
}

int mesh__lane_new(struct mesh__loop *loop, void (*ran)(void *arg), void *arg, struct mesh__lane **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct mesh__lane *lane = mesh__alloc(&env->mem, sizeof(*lane));

	*out = NULL;
	if (lane == NULL) {
		return mesh__fail_memory(err);
	}
	lane->loop = loop;
	lane->ran = ran;
	lane->arg = arg;
	mesh__conns_init(&lane->conns, env);
	lane->curl = mesh__wakeup_multi(&lane->wakeup);
	if (lane->curl == NULL || mesh__timer_new(loop, on_time, lane, &lane->timer) != MESH_OK ||
	    curl_multi_setopt(lane->curl, CURLMOPT_SOCKETFUNCTION, on_socket_wish) != CURLM_OK || curl_multi_setopt(lane->curl, CURLMOPT_SOCKETDATA, lane) != CURLM_OK ||
	    curl_multi_setopt(lane->curl, CURLMOPT_TIMERFUNCTION, on_timer_wish) != CURLM_OK || curl_multi_setopt(lane->curl, CURLMOPT_TIMERDATA, lane) != CURLM_OK) {
		mesh__lane_free(lane);
		return mesh__fail(err, MESH_E_NO_MEMORY, "libcurl makes no handle: out of memory, or out of file descriptors (raise ulimit -n)");
	}
	*out = lane;
	return MESH_OK;
}

void mesh__lane_free(struct mesh__lane *lane)
{
	if (lane == NULL) {
		return;
	}
	if (lane->curl != NULL) {
		/* The watches go before the sockets; after that libcurl has nothing more to wish for. */
		(void)curl_multi_setopt(lane->curl, CURLMOPT_SOCKETFUNCTION, NULL);
		(void)curl_multi_setopt(lane->curl, CURLMOPT_TIMERFUNCTION, NULL);
	}
	while (lane->watches != NULL) {
		watch_free(lane->watches);
	}
	if (lane->curl != NULL) {
		(void)curl_multi_cleanup(lane->curl);
	}
	mesh__timer_free(lane->timer);
	mesh__conns_fini(&lane->conns);
	mesh__free(lane);
}
