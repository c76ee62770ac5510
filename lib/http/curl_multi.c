#include <curl/curl.h>
#include <string.h>

#include "http/curl_easy.h"
#include "http/curl_lane.h"
#include "http/request_copy.h"

/*
 * Transfers run on a lane. After a peer was refused, a kept connection turned out to have ended, or a transfer was not answered in time, the lane takes no more transfers and is closed with its last one: so no
 * later transfer meets that connection, nor the others that lead the same way.
 */
enum { SHARES = 8 };

/* Whose sessions a share holds: of one address under one name. */
struct target_share {
	char host[254], connect_host[254];
	uint16_t connect_port;
	struct mesh__share *share; /* NULL: the place is free */
};

struct mesh__multi {
	struct mesh__loop *loop;
	const struct mesh__env *env;
	struct mesh__creds *creds;
	struct mesh__lane *lanes;
	struct mesh__transfer *transfers;
	struct target_share shares[SHARES]; /* they outlive the lanes: a connection that broke is dialled anew by resuming its session */
	unsigned next_share;
	int busy;   /* callbacks may be running: freeing waits until they have returned */
	bool dying;
};

struct mesh__transfer {
	struct mesh__transfer *prev, *next;
	struct mesh__multi *multi;
	struct mesh__lane *lane;            /* NULL: on none any more */
	struct mesh__easy easy;
	struct mesh__transfer_options options;
	struct mesh__request_copy request;
	struct mesh__client_response response;
	struct mesh__timer *timer;
	int64_t begun_us, heard_us;
	bool deaf;                          /* cancelled: nothing of it is told any more */
	bool ended;
	CURLcode outcome;
};

/* ---- Lanes ---- */

static void on_ran(void *arg);

/* Not one that libcurl is running on: a transfer may be started from another's data. */
static int open_lane(struct mesh__multi *multi, struct mesh__lane **out, struct mesh__err *err)
{
	struct mesh__lane *lane;
	int code;

	for (lane = multi->lanes; lane != NULL; lane = lane->next) {
		lane->spent = lane->spent || (!lane->drive.entered && !mesh__conns_quiet(&lane->conns));
		if (!lane->spent && !lane->drive.entered) {
			*out = lane;
			return MESH_OK;
		}
	}
	code = mesh__lane_new(multi->loop, on_ran, multi, &lane, err);
	if (code == MESH_OK) {
		lane->next = multi->lanes;
		multi->lanes = lane;
		*out = lane;
	}
	return code;
}

static bool any_lane_entered(const struct mesh__multi *multi)
{
	for (const struct mesh__lane *lane = multi->lanes; lane != NULL; lane = lane->next) {
		if (lane->drive.entered) {
			return true;
		}
	}
	return false;
}

/* Only between libcurl's runs: it may free the lane. */
static void close_spent_lanes(struct mesh__multi *multi)
{
	struct mesh__lane **at = &multi->lanes;

	while (*at != NULL) {
		struct mesh__lane *lane = *at;
		if (lane->spent && lane->n_transfers == 0 && !lane->drive.entered) {
			*at = lane->next;
			mesh__lane_free(lane);
		} else {
			at = &lane->next;
		}
	}
}

/* ---- A transfer's end ---- */

static void unlink_transfer(struct mesh__transfer *t)
{
	*(t->prev != NULL ? &t->prev->next : &t->multi->transfers) = t->next;
	if (t->next != NULL) {
		t->next->prev = t->prev;
	}
}

static void leave_lane(struct mesh__transfer *t)
{
	if (t->lane != NULL) {
		(void)curl_multi_remove_handle(t->lane->curl, t->easy.curl);
		t->lane->n_transfers--;
		t->lane->spent = t->lane->spent || t->easy.refused || t->lane->drive.dead;
		t->lane = NULL;
	}
}

static void transfer_free(struct mesh__transfer *t)
{
	mesh__easy_fini(&t->easy);
	mesh__timer_free(t->timer);
	mesh__client_response_fini(&t->response);
	mesh__request_copy_fini(&t->request);
	if (t->options.trust != NULL) {
		mesh__trust_unref(t->options.trust);
	}
	mesh__free(t);
}

/* Tells the owner, once. The transfer is still linked; `deaf` from here on. */
static void tell_done(struct mesh__transfer *t)
{
	struct mesh__client_result result = {.sent = MESH__SENT_NOTHING};
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__easy_end(&t->easy, (int)t->outcome, &result, &err);

	result.total_us = mesh__mono_us(t->multi->env) - t->begun_us;
	t->deaf = true;
	t->options.done(t->options.arg, code, &t->response, &result, &err);
}

static void multi_destroy(struct mesh__multi *multi)
{
	while (multi->lanes != NULL) {
		struct mesh__lane *lane = multi->lanes;

		multi->lanes = lane->next;
		mesh__lane_free(lane);
	}
	for (size_t i = 0; i < SHARES; i++) {
		mesh__share_unref(multi->shares[i].share);
	}
	mesh__creds_unref(multi->creds);
	mesh__free(multi);
}

/* Takes out the first transfer that has ended or was cancelled. */
static struct mesh__transfer *next_ended(struct mesh__multi *multi)
{
	for (struct mesh__transfer *t = multi->transfers; t != NULL; t = t->next) {
		if ((t->ended || t->deaf) && (t->lane == NULL || !t->lane->drive.entered)) {
			return t;
		}
	}
	return NULL;
}

/* Ends what has ended. Callbacks run in here, and may start, cancel and free: the list is read anew after each. */
static void settle(struct mesh__multi *multi)
{
	struct mesh__transfer *t;

	if (multi->busy > 0) {
		return; /* the one below on the stack goes on */
	}
	multi->busy++;
	while ((t = next_ended(multi)) != NULL) {
		leave_lane(t);
		unlink_transfer(t);
		if (!t->deaf) {
			tell_done(t);
		}
		transfer_free(t);
	}
	close_spent_lanes(multi);
	multi->busy--;
	if (multi->dying && !any_lane_entered(multi)) {
		multi_destroy(multi);
	}
}

static void read_outcomes(struct mesh__lane *lane)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(lane->curl, &left)) != NULL) {
		struct mesh__transfer *t = NULL;

		if (msg->msg == CURLMSG_DONE && curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK && t != NULL) {
			t->ended = true;
			t->outcome = msg->data.result;
		}
	}
}

static void on_ran(void *arg)
{
	struct mesh__multi *multi = arg;

	for (struct mesh__lane *lane = multi->lanes; lane != NULL; lane = lane->next) {
		if (!lane->drive.entered) {
			read_outcomes(lane);
		}
	}
	for (struct mesh__transfer *t = multi->transfers; t != NULL; t = t->next) {
		if (!t->ended && t->lane != NULL && t->lane->drive.dead) {
			mesh__easy_stop(&t->easy, MESH_E_NO_MEMORY, "the loop cannot watch the connection: out of memory or of file descriptors");
			t->ended = true;
		}
	}
	settle(multi);
}

/* ---- Time ---- */

static int64_t moment_ms(const struct mesh__transfer *t)
{
	int64_t whole_us = t->options.timeout_ms > 0 ? t->begun_us + t->options.timeout_ms * 1000 : INT64_MAX;
	int64_t silent_us = t->options.silence_ms > 0 ? t->heard_us + t->options.silence_ms * 1000 : INT64_MAX;
	int64_t until_us = whole_us < silent_us ? whole_us : silent_us;

	return until_us == INT64_MAX ? -1 : (until_us - mesh__mono_us(t->multi->env) + 999) / 1000;
}

static bool is_silent(const struct mesh__transfer *t)
{
	return t->options.silence_ms > 0 && mesh__mono_us(t->multi->env) >= t->heard_us + t->options.silence_ms * 1000;
}

static void on_moment(void *arg)
{
	struct mesh__transfer *t = arg;
	struct mesh__multi *multi = t->multi;
	int64_t left_ms = moment_ms(t);

	if (t->ended || t->deaf) {
		return;
	}
	if (left_ms > 0) {
		mesh__timer_start(t->timer, left_ms, 0);
		return;
	}
	mesh__easy_stop(&t->easy, MESH_E_TIMEOUT, is_silent(t) ? "nothing was heard for too long" : "no whole response in time");
	t->ended = true;
	t->outcome = CURLE_OPERATION_TIMEDOUT;
	t->lane->spent = true;
	settle(multi);
}

/* ---- What arrives: inside libcurl ---- */

static bool on_head(void *arg, int status)
{
	struct mesh__transfer *t = arg;

	t->heard_us = mesh__mono_us(t->multi->env);
	if (t->deaf) {
		return false;
	}
	return t->options.head == NULL || t->options.head(t->options.arg, status);
}

static int on_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__transfer *t = arg;

	t->heard_us = mesh__mono_us(t->multi->env);
	return !t->deaf && t->options.data(t->options.arg, bytes, len) ? MESH_OK : MESH_E_PROTOCOL;
}

/* ---- Sessions to resume ---- */

static bool is_of(const struct target_share *s, const struct mesh__transfer_options *o)
{
	return s->share != NULL && s->connect_port == o->connect_port && strcmp(s->connect_host, o->connect_host) == 0 && strcmp(s->host, o->host) == 0;
}

/* Borrowed; NULL when no session is to be kept. */
static int share_for(struct mesh__multi *multi, const struct mesh__transfer_options *o, struct mesh__share **out, struct mesh__err *err)
{
	int code;
	struct target_share *place = NULL;

	for (size_t i = 0; place == NULL && i < SHARES; i++) {
		place = is_of(&multi->shares[i], o) ? &multi->shares[i] : NULL;
	}
	if (place != NULL && mesh__share_good(place->share)) {
		*out = place->share;
		return MESH_OK;
	}
	if (place == NULL) {
		place = &multi->shares[multi->next_share++ % SHARES];
	}
	mesh__share_unref(place->share); /* handles that use it hold it */
	memcpy(place->host, o->host, sizeof(place->host));
	memcpy(place->connect_host, o->connect_host, sizeof(place->connect_host));
	place->connect_port = o->connect_port;
	code = mesh__share_new(multi->env, &place->share, err);
	*out = place->share;
	return code;
}

/* ---- Starting ---- */

static int set_peer(struct mesh__transfer *t, struct mesh__lane *lane, struct mesh__err *err)
{
	const struct mesh__transfer_options *o = &t->options;
	struct mesh__creds *creds = o->verify == MESH__VERIFY_PEER ? t->multi->creds : NULL;
	struct mesh__easy_peer peer = {.host = o->host, .connect_host = o->connect_host, .connect_port = o->connect_port, .expect = o->spiffe, .creds = creds};
	int code = MESH_OK;

	if (o->verify == MESH__VERIFY_PEER) {
		peer.trust = o->trust != NULL ? o->trust : creds != NULL ? mesh__creds_trust(creds) : NULL;
		if (peer.trust == NULL || o->spiffe[0] == '\0') {
			return mesh__fail(err, MESH_E_INVALID, "to verify %s, roots and its SPIFFE ID are needed", o->host);
		}
		/* With roots of its own it is an enrolment, once in a process's life. */
		code = o->trust == NULL ? share_for(t->multi, o, &peer.share, err) : MESH_OK;
	}
	if (code != MESH_OK) {
		return code;
	}
	return mesh__easy_init(&t->easy, t->multi->env, &peer, &lane->conns, err);
}

static int set_request(struct mesh__transfer *t, const struct mesh__client_request *request, struct mesh__err *err)
{
	int code = mesh__request_copy_init(&t->request, t->multi->env, request, err);

	if (code != MESH_OK) {
		return code;
	}
	mesh__client_response_init(&t->response, t->multi->env, request->max_response_bytes);
	t->easy.events = (struct mesh__easy_events){.head = on_head, .data = t->options.data != NULL ? on_data : NULL, .arg = t};
	return mesh__easy_begin(&t->easy, &t->request.request, &t->response, true, t->options.connect_timeout_ms, err);
}

static int set_time(struct mesh__transfer *t)
{
	int64_t left_ms;

	t->begun_us = t->heard_us = mesh__mono_us(t->multi->env);
	left_ms = moment_ms(t);
	if (left_ms < 0) {
		return MESH_OK;
	}
	if (mesh__timer_new(t->multi->loop, on_moment, t, &t->timer) != MESH_OK) {
		return MESH_E_NO_MEMORY;
	}
	mesh__timer_start(t->timer, left_ms, 0);
	return MESH_OK;
}

/* It runs from here on: libcurl asks for a moment on the loop, so nothing happens before the caller is back there. */
static int enter_lane(struct mesh__transfer *t, struct mesh__lane *lane, struct mesh__err *err)
{
	if (set_time(t) != MESH_OK || curl_easy_setopt(t->easy.curl, CURLOPT_PRIVATE, t) != CURLE_OK || curl_multi_add_handle(lane->curl, t->easy.curl) != CURLM_OK) {
		return mesh__fail_memory(err);
	}
	t->lane = lane;
	lane->n_transfers++;
	t->next = t->multi->transfers;
	if (t->next != NULL) {
		t->next->prev = t;
	}
	t->multi->transfers = t;
	return MESH_OK;
}

int mesh__transfer_start(struct mesh__multi *multi, const struct mesh__transfer_options *options, struct mesh__transfer **out, struct mesh__err *err)
{
	struct mesh__transfer *t;
	struct mesh__lane *lane = NULL;
	int code;

	*out = NULL;
	if (multi->dying) {
		return mesh__fail(err, MESH_E_CLOSED, "the client is closing");
	}
	t = mesh__alloc(&multi->env->mem, sizeof(*t));
	if (t == NULL) {
		return mesh__fail_memory(err);
	}
	t->multi = multi;
	t->options = *options;
	t->options.trust = options->trust != NULL ? mesh__trust_ref(options->trust) : NULL;
	mesh__client_response_init(&t->response, multi->env, 0);
	code = open_lane(multi, &lane, err);
	if (code == MESH_OK) {
		code = set_peer(t, lane, err);
	}
	if (code == MESH_OK) {
		code = set_request(t, &options->request, err);
	}
	if (code == MESH_OK) {
		code = enter_lane(t, lane, err);
	}
	if (code != MESH_OK) {
		transfer_free(t);
		return code;
	}
	*out = t;
	return MESH_OK;
}

void mesh__transfer_cancel(struct mesh__transfer *t)
{
	t->deaf = true;
	settle(t->multi); /* at once, unless callbacks are running: then when they have returned */
}

/* ---- A multi ---- */

int mesh__multi_new(struct mesh__loop *loop, struct mesh__creds *creds, struct mesh__multi **out, struct mesh__err *err)
{
	const struct mesh__env *env = mesh__loop_env(loop);
	struct mesh__multi *multi = mesh__alloc(&env->mem, sizeof(*multi));

	*out = NULL;
	if (multi == NULL) {
		return mesh__fail_memory(err);
	}
	multi->loop = loop;
	multi->env = env;
	multi->creds = creds != NULL ? mesh__creds_ref(creds) : NULL;
	*out = multi;
	return MESH_OK;
}

void mesh__multi_free(struct mesh__multi *multi)
{
	if (multi == NULL) {
		return;
	}
	multi->dying = true;
	multi->busy++;
	/* The callers' callbacks come now, also when this is called from within one; the handles go when libcurl is not running. */
	for (struct mesh__transfer *t = multi->transfers; t != NULL; t = t->next) {
		if (!t->deaf) {
			mesh__easy_stop(&t->easy, MESH_E_CANCELLED, "cancelled");
			t->outcome = CURLE_ABORTED_BY_CALLBACK;
			tell_done(t);
		}
	}
	multi->busy--;
	settle(multi);
}

void mesh__multi_abandon(struct mesh__multi *multi)
{
	/* The loop's thread, which is not in this process, may have been anywhere in libcurl: its memory stays as it is. */
	for (struct mesh__lane *lane = multi->lanes; lane != NULL; lane = lane->next) {
		mesh__conns_abandon(&lane->conns);
		mesh__wakeup_abandon(&lane->wakeup);
	}
}
