#include <curl/curl.h>
#include <limits.h>
#include <poll.h>

#include "http/cancel.h"
#include "http/curl_pool.h"

enum { VAIN_TURNS_MAX = 8, VAIN_WAIT_MS = 50 };

/* How often in a row an HTTP/2 exchange has had a turn and moved no byte. */
struct vain {
	curl_off_t moved;
	int turns;
};

static void wake_multi(void *arg)
{
	(void)curl_multi_wakeup(arg);
}

/* Rounded up, so that waiting ends after the deadline and not just before it. */
static int wait_ms(int64_t left_us)
{
	int64_t ms = (left_us + 999) / 1000;

	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static CURLcode outcome_of(CURLM *multi)
{
	int left;
	const CURLMsg *msg = curl_multi_info_read(multi, &left);

	return msg != NULL && msg->msg == CURLMSG_DONE ? msg->data.result : CURLE_FAILED_INIT;
}

static bool is_in_vain(const struct mesh__slot *slot, struct vain *v)
{
	curl_off_t up = 0, down = 0;

	(void)curl_easy_getinfo(slot->easy.curl, CURLINFO_SIZE_UPLOAD_T, &up);
	(void)curl_easy_getinfo(slot->easy.curl, CURLINFO_SIZE_DOWNLOAD_T, &down);
	v->turns = up + down == v->moved ? v->turns + 1 : 0;
	v->moved = up + down;
	return v->turns > VAIN_TURNS_MAX;
}

/*
 * Before 8.0 libcurl waits for room in the socket where it is the peer's window that has none, which is no wait at all: a peer that reads slowly would cost this thread its processor. What helps then comes from the
 * peer, or from who cancels.
 */
static void wait_for_peer(const struct mesh__slot *slot, int most_ms)
{
	struct pollfd p[] = {{.fd = slot->conns.first != NULL ? slot->conns.first->fd : -1, .events = POLLIN}, {.fd = slot->wakeup.fds[0], .events = POLLIN}, {.fd = slot->wakeup.fds[1], .events = POLLIN}};

	(void)poll(p, sizeof(p) / sizeof(p[0]), most_ms < VAIN_WAIT_MS ? most_ms : VAIN_WAIT_MS);
}

/* Drives the handle to its end, or until there is no time or no wish left. */
static CURLcode drive(struct mesh__slot *slot, struct mesh__client_wait *wait)
{
	struct vain vain = {.turns = 0};

	for (;;) {
		int running = 0;
		int64_t now_us, left_us;

		if (curl_multi_perform(slot->multi, &running) != CURLM_OK) {
			return CURLE_OUT_OF_MEMORY;
		}
		if (running == 0) {
			return outcome_of(slot->multi);
		}
		mesh__pool_heard(slot);
		now_us = mesh__mono_us(slot->pool->env);
		if (mesh__cancel_fired(wait->cancel)) {
			mesh__easy_stop(&slot->easy, MESH_E_CANCELLED, "cancelled");
			return CURLE_ABORTED_BY_CALLBACK;
		}
		if (now_us >= wait->deadline_us) {
			mesh__easy_stop(&slot->easy, MESH_E_TIMEOUT, slot->easy.passed ? "the deadline passed before the response was whole; the request may have been processed" :
				"the deadline passed before the connection was made; nothing was sent");
			return CURLE_OPERATION_TIMEDOUT;
		}
		mesh__wait_do_due(wait, now_us);
		left_us = mesh__wait_until_us(wait) - now_us;
		if (slot->easy.http2 && is_in_vain(slot, &vain)) {
			wait_for_peer(slot, wait_ms(left_us));
			left_us = 0;
		}
		(void)curl_multi_poll(slot->multi, NULL, 0, wait_ms(left_us), NULL);
	}
}

/* The handle is on its multi for just the exchange: between exchanges the multi keeps the connection alone. */
static CURLcode perform(struct mesh__slot *slot, struct mesh__client_wait *wait)
{
	CURLcode outcome;

	if (curl_multi_add_handle(slot->multi, slot->easy.curl) != CURLM_OK) {
		return CURLE_OUT_OF_MEMORY;
	}
	mesh__cancel_watch(wait->cancel, wake_multi, slot->multi);
	outcome = drive(slot, wait);
	mesh__cancel_unwatch(wait->cancel);
	(void)curl_multi_remove_handle(slot->multi, slot->easy.curl);
	return outcome;
}

static int exchange_on(struct mesh__slot *slot, const struct mesh__client_request *request, int64_t connect_timeout_ms, struct mesh__client_wait *wait,
	struct mesh__client_response *response, struct mesh__client_result *result, struct mesh__err *err)
{
	CURLcode outcome;
	int code = mesh__easy_begin(&slot->easy, request, response, slot->dialling, connect_timeout_ms, err);

	if (code != MESH_OK) {
		return code;
	}
	outcome = perform(slot, wait);
	return mesh__easy_end(&slot->easy, (int)outcome, result, err);
}

int mesh__pool_exchange(struct mesh__pool *pool, const struct mesh__client_request *request, int64_t connect_timeout_ms, struct mesh__client_wait *wait,
	struct mesh__client_response *response, struct mesh__client_result *result, struct mesh__err *err)
{
	int64_t begun_us = mesh__mono_us(pool->env), now_us = begun_us;
	bool again = false;
	int code;

	mesh__client_response_clear(response);
	do {
		struct mesh__slot *slot;

		*result = (struct mesh__client_result){.sent = MESH__SENT_NOTHING};
		code = mesh__pool_take(pool, again, now_us, wait, &slot, err);
		if (code != MESH_OK) {
			now_us = mesh__mono_us(pool->env);
			break;
		}
		code = exchange_on(slot, request, connect_timeout_ms, wait, response, result, err);
		now_us = mesh__mono_us(pool->env);
		again = mesh__pool_finish(slot, code, now_us);
		if (again && err != NULL) {
			mesh__err_clear(err);
		}
	} while (again);
	result->total_us = now_us - begun_us;
	return code;
}
