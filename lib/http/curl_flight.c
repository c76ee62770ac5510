/*
 * A flight: an exchange of a pool that a loop drives (http/client.h). Its stages:
 *
 *	queued    in the pool's queue, or settled there, with the post that tells of it on its way; or among those that wait for a shared connection
 *	flying    on a slot, whose multi is driven on the loop, or on a shared connection (curl_shared.h)
 *	over      its owner is being told
 *
 * From flying it goes back to queued when the kept connection turned out to have ended before anything was sent.
 */
#include <curl/curl.h>
#include <stddef.h>

#include "http/curl_drive.h"
#include "http/curl_queue.h"
#include "http/curl_shared.h"

enum stage { STAGE_QUEUED, STAGE_FLYING, STAGE_OVER };

struct mesh__flight {
	struct mesh__waiter waiter;        /* first */
	struct mesh__post post;
	struct mesh__rider rider;
	struct mesh__pool *pool;
	struct mesh__loop *loop;
	struct mesh__flight_options options;
	struct mesh__timer *timer;         /* the deadline, the moment to look at the queue again, and what is due at once */
	enum stage stage;
	struct mesh__easy *easy;           /* while it flies */
	struct mesh__slot *slot;           /* that it is of; NULL: of a ride */
	struct mesh__easy_events kept;     /* its own */
	struct mesh__drive drive;          /* of the slot's multi */
	bool resume_due;
	int stop_code;                     /* MESH_OK: it goes on */
	const char *stop_how;
	int64_t begun_us;
};

static int64_t now_us(const struct mesh__flight *f)
{
	return mesh__mono_us(f->pool->env);
}

static void arm(struct mesh__flight *f)
{
	int64_t until_us = f->options.deadline_us, open_us, left_us;

	if (f->stage == STAGE_QUEUED && f->rider.at != MESH__RIDER_WAITS) {
		open_us = mesh__queue_open_us(f->pool);
		until_us = open_us < until_us ? open_us : until_us;
	}
	left_us = f->resume_due || f->stop_code != MESH_OK ? 0 : until_us - now_us(f);
	if (until_us == INT64_MAX && left_us != 0) {
		mesh__timer_stop(f->timer);
	} else {
		mesh__timer_start(f->timer, left_us <= 0 ? 0 : (left_us - 1) / 1000 + 1, 0);
	}
}

static void set_stop(struct mesh__flight *f, int code, const char *how)
{
	if (f->stop_code == MESH_OK) {
		f->stop_code = code;
		f->stop_how = how;
	}
}

/* ---- The end ---- */

static void flight_free(struct mesh__flight *f)
{
	mesh__timer_free(f->timer);
	mesh__pool_unref(f->pool);
	mesh__free(f);
}

static void conclude(struct mesh__flight *f, int code, struct mesh__client_result *result, const struct mesh__err *err)
{
	f->stage = STAGE_OVER;
	result->total_us = now_us(f) - f->begun_us;
	f->options.done(f->options.arg, code, result, err);
	flight_free(f);
}

static void conclude_unsent(struct mesh__flight *f, int code, const struct mesh__err *err)
{
	struct mesh__client_result result = {.sent = MESH__SENT_NOTHING};

	conclude(f, code, &result, err);
}

static void conclude_stopped(struct mesh__flight *f)
{
	struct mesh__err err = MESH__NO_ERR;

	conclude_unsent(f, mesh__queue_fail(f->pool, f->stop_code, f->stop_how, &err), &err);
}

/* ---- Flying: inside libcurl ---- */

static void on_connected(void *arg)
{
	struct mesh__flight *f = arg;

	if (f->slot != NULL) {
		mesh__pool_dialled(f->slot);
	} else {
		mesh__shared_judged(&f->rider);
	}
}

static bool on_head(void *arg, int status)
{
	struct mesh__flight *f = arg;

	(void)status;
	/* An answer that makes libcurl stop the upload does not end, up to 7.88, while the upload pauses. */
	if (f->easy->upload_paused) {
		mesh__flight_resume(f);
	}
	return f->options.head == NULL || f->options.head(f->options.arg);
}

static int on_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__flight *f = arg;

	return f->options.data(f->options.arg, bytes, len);
}

static int64_t on_read(void *arg, char *buf, size_t size)
{
	struct mesh__flight *f = arg;

	return f->options.read(f->options.arg, buf, size);
}

static bool on_speaks(void *arg, bool http2)
{
	struct mesh__flight *f = arg;

	return f->options.speaks(f->options.arg, http2);
}

/* ---- Taking off and landing ---- */

static void on_ran(void *arg);

/* Off the multi. The handle is as it was. */
static void get_off(struct mesh__flight *f)
{
	if (f->slot == NULL) {
		mesh__shared_off(&f->rider);
	} else {
		(void)curl_multi_remove_handle(f->slot->multi, f->easy->curl); /* no effect where it is not on it */
		mesh__drive_detach(&f->drive);
	}
	f->easy->events = f->kept;
}

static int get_on(struct mesh__flight *f, struct mesh__err *err)
{
	int code;

	if (f->slot == NULL) {
		return mesh__shared_add(&f->rider, err);
	}
	code = mesh__drive_attach(&f->drive, f->loop, f->slot->multi, on_ran, f, err);
	/* libcurl asks for a moment on the loop: nothing happens before the caller is back there. */
	return code == MESH_OK && curl_multi_add_handle(f->slot->multi, f->easy->curl) != CURLM_OK ? mesh__fail_memory(err) : code;
}

/* The handle goes back, after an exchange that ended so. True when that can begin anew. */
static bool give_back(struct mesh__flight *f, int code, const struct mesh__err *err)
{
	struct mesh__slot *slot = f->slot;
	bool again = code != MESH_OK && mesh__easy_unsent_stale(f->easy);

	f->stage = STAGE_OVER; /* others may have their turn in here, and stop what they know of */
	f->easy = NULL;
	f->slot = NULL;
	if (slot != NULL) {
		return mesh__pool_finish(slot, code, now_us(f));
	}
	mesh__shared_leave(&f->rider, code, err);
	return again;
}

/* On a slot, or (NULL) on its ride. */
static int take_off(struct mesh__flight *f, struct mesh__slot *slot, struct mesh__err *err)
{
	const struct mesh__flight_options *o = &f->options;
	int code;

	f->stage = STAGE_FLYING;
	f->slot = slot;
	f->easy = slot != NULL ? &slot->easy : &f->rider.ride->easy;
	f->resume_due = false;
	f->kept = f->easy->events;
	f->easy->events = (struct mesh__easy_events){.connected = on_connected, .head = on_head, .data = o->data != NULL ? on_data : NULL, .read = o->read != NULL ? on_read : NULL,
		.body_len = o->body_len, .speaks = o->speaks != NULL ? on_speaks : NULL, .trailers = o->trailers, .arg = f};
	code = mesh__easy_begin(f->easy, &o->request, o->response, slot == NULL || slot->dialling, o->connect_timeout_ms, err);
	if (code == MESH_OK) {
		code = get_on(f, err);
	}
	if (code != MESH_OK) {
		get_off(f);
		(void)give_back(f, code, err);
	}
	return code;
}

/* With the pool's answer. MESH_OK: it flies, or stands in the queue; else why it ends, with nothing sent. */
static int proceed(struct mesh__flight *f, int code, struct mesh__slot *slot, struct mesh__err *err)
{
	if (code == MESH_E_WOULD_BLOCK) {
		f->stage = STAGE_QUEUED;
	} else if (code != MESH_OK || (code = take_off(f, slot, err)) != MESH_OK) {
		return code;
	}
	arm(f);
	return MESH_OK;
}

static int ask_for_a_stream(struct mesh__flight *f, bool again, struct mesh__err *err)
{
	struct mesh__shared *shared;
	int code = mesh__shared_of(f->pool, f->loop, &shared, err);

	return code == MESH_OK ? mesh__shared_board(shared, &f->rider, again, err) : code;
}

/* Where nothing streams, over HTTP/2, a stream of a connection that is shared; else, and where there is none to be had, a connection of its own. */
static int seek(struct mesh__flight *f, bool again, struct mesh__err *err)
{
	const struct mesh__flight_options *o = &f->options;
	bool shares = !o->streamed && o->read == NULL && o->data == NULL && mesh__shared_may(f->pool);
	struct mesh__slot *slot = NULL;
	int code = MESH_OK;

	f->stage = STAGE_QUEUED;
	if (shares) {
		code = ask_for_a_stream(f, again, err);
	}
	if (code == MESH_OK && (!shares || f->rider.ride == NULL)) {
		code = mesh__pool_ask(f->pool, &f->waiter, again, &slot, err);
	}
	return proceed(f, code, slot, err);
}

static void land(struct mesh__flight *f, CURLcode outcome)
{
	struct mesh__client_result result = {.sent = MESH__SENT_NOTHING};
	struct mesh__err err = MESH__NO_ERR;
	int code;

	get_off(f);
	code = mesh__easy_end(f->easy, (int)outcome, &result, &err);
	if (!give_back(f, code, &err)) {
		conclude(f, code, &result, &err);
		return;
	}
	mesh__err_clear(&err);
	code = f->stop_code != MESH_OK ? mesh__queue_fail(f->pool, f->stop_code, f->stop_how, &err) : seek(f, true, &err);
	if (code != MESH_OK) {
		conclude_unsent(f, code, &err);
	}
}

static void on_ran(void *arg)
{
	struct mesh__flight *f = arg;
	int left;
	const CURLMsg *msg = curl_multi_info_read(f->slot->multi, &left);

	/* First: libcurl may fail by sending on, on a stream that the peer has closed, when it has given us all. */
	if (mesh__easy_is_answered(&f->slot->easy)) {
		land(f, CURLE_OK);
	} else if (msg != NULL && msg->msg == CURLMSG_DONE) {
		land(f, msg->data.result);
	} else if (f->drive.paused_end != CURLE_OK) {
		land(f, (CURLcode)f->drive.paused_end);
	} else if (f->drive.dead) {
		mesh__easy_stop(f->easy, MESH_E_NO_MEMORY, "the loop cannot watch the connection: out of memory or of file descriptors");
		land(f, CURLE_OUT_OF_MEMORY);
	} else {
		mesh__pool_heard(f->slot);
	}
}

/* ---- Waiting ---- */

static void on_settled(void *arg)
{
	struct mesh__flight *f = arg;
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__slot *slot;
	int code;

	if (f->stop_code != MESH_OK) {
		mesh__pool_decline(&f->waiter);
		conclude_stopped(f);
		return;
	}
	code = mesh__pool_accept(&f->waiter, &slot, &err);
	code = proceed(f, code, slot, &err);
	if (code != MESH_OK) {
		conclude_unsent(f, code, &err);
	}
}

/* ---- On shared connections ---- */

static struct mesh__flight *flight_of(struct mesh__rider *r)
{
	return (struct mesh__flight *)(void *)((char *)r - offsetof(struct mesh__flight, rider));
}

static void on_turn(struct mesh__rider *r, struct mesh__ride *ride)
{
	struct mesh__flight *f = flight_of(r);
	struct mesh__err err = MESH__NO_ERR;

	(void)ride;
	if (proceed(f, MESH_OK, NULL, &err) != MESH_OK) {
		conclude_unsent(f, err.code, &err);
	}
}

static void on_landed(struct mesh__rider *r, int outcome)
{
	land(flight_of(r), (CURLcode)outcome);
}

static void on_refused(struct mesh__rider *r, int code, const struct mesh__err *err)
{
	conclude_unsent(flight_of(r), code, err);
}

static void on_elsewhere(struct mesh__rider *r)
{
	struct mesh__flight *f = flight_of(r);
	struct mesh__err err = MESH__NO_ERR;
	int code = seek(f, true, &err);

	if (code != MESH_OK) {
		conclude_unsent(f, code, &err);
	}
}

static const struct mesh__rider_calls rider_calls = {.turn = on_turn, .landed = on_landed, .refused = on_refused, .elsewhere = on_elsewhere};

/* On whatever thread has made room. */
static void tell_settled(struct mesh__waiter *w)
{
	struct mesh__flight *f = (struct mesh__flight *)w;

	mesh__loop_post(f->loop, &f->post, on_settled, f);
}

/* ---- Time ---- */

static void end(struct mesh__flight *f)
{
	if (f->stage == STAGE_FLYING) {
		mesh__easy_stop(f->easy, f->stop_code, f->stop_how);
		land(f, CURLE_ABORTED_BY_CALLBACK);
	} else if (f->rider.at == MESH__RIDER_WAITS) {
		f->stage = STAGE_OVER;
		mesh__shared_leave(&f->rider, f->stop_code, NULL);
		conclude_stopped(f);
	} else if (mesh__queue_leave(&f->waiter)) {
		conclude_stopped(f);
	} /* else the post comes */
}

static const char *too_late(const struct mesh__flight *f)
{
	return f->stage == STAGE_QUEUED ? "the deadline passed before there was a connection" :
		f->easy->passed ? "the deadline passed before the response was whole; the request may have been processed" :
		"the deadline passed before the connection was made; nothing was sent";
}

static void on_time(void *arg)
{
	struct mesh__flight *f = arg;
	bool resume = f->resume_due;

	if (now_us(f) >= f->options.deadline_us) {
		set_stop(f, MESH_E_TIMEOUT, too_late(f));
	}
	if (f->stop_code != MESH_OK) {
		end(f);
		return;
	}
	if (f->stage == STAGE_QUEUED && f->rider.at != MESH__RIDER_WAITS) {
		mesh__queue_serve(f->pool);
	}
	f->resume_due = false;
	arm(f);
	if (resume) {
		mesh__drive_unpause(&f->drive, f->easy->curl); /* what pauses has a connection of its own */
	}
}

/* ---- The owner's side ---- */

int mesh__flight_start(struct mesh__pool *pool, struct mesh__loop *loop, const struct mesh__flight_options *options, struct mesh__flight **out, struct mesh__err *err)
{
	struct mesh__flight *f = mesh__alloc(&pool->env->mem, sizeof(*f));
	int code;

	*out = NULL;
	if (f == NULL) {
		return mesh__fail_memory(err);
	}
	f->pool = mesh__pool_ref(pool);
	f->loop = loop;
	f->options = *options;
	f->waiter.settled = tell_settled;
	f->rider.calls = &rider_calls;
	f->begun_us = now_us(f);
	mesh__client_response_clear(options->response);
	code = mesh__timer_new(loop, on_time, f, &f->timer) == MESH_OK ? mesh__pool_check(pool, f->begun_us, options->deadline_us, NULL, err) : mesh__fail_memory(err);
	if (code == MESH_OK) {
		code = seek(f, false, err);
	}
	if (code != MESH_OK) {
		flight_free(f);
		return code;
	}
	*out = f;
	return MESH_OK;
}

void mesh__flight_resume(struct mesh__flight *f)
{
	if (f->stage == STAGE_FLYING && f->slot != NULL && !f->resume_due) {
		f->resume_due = true;
		arm(f);
	}
}

void mesh__flight_deadline(struct mesh__flight *f, int64_t deadline_us)
{
	bool sooner = deadline_us < f->options.deadline_us;

	f->options.deadline_us = deadline_us;
	if (sooner && f->stage != STAGE_OVER) {
		arm(f); /* else the timer looks again when it comes: a deadline that moves on with each byte costs nothing */
	}
}

void mesh__flight_so_far(const struct mesh__flight *f, struct mesh__client_result *result)
{
	*result = (struct mesh__client_result){.sent = MESH__SENT_MAYBE, .total_us = now_us(f) - f->begun_us};
	if (f->slot != NULL) {
		mesh__easy_so_far(&f->slot->easy, result);
	}
}

void mesh__flight_stop(struct mesh__flight *f, int code, const char *how)
{
	if (f->stage == STAGE_OVER || f->stop_code != MESH_OK) {
		return;
	}
	set_stop(f, code, how);
	if (f->stage == STAGE_FLYING) {
		mesh__easy_stop(f->easy, code, how); /* nothing more is read, or told */
	}
	arm(f);
}
