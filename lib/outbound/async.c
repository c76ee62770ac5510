#include "outbound/async.h"

#include "http/cancel.h"
#include "outbound/call.h"

/* ---- The call thread ---- */

void mesh__async_init(struct mesh__async *a, const struct mesh__env *env)
{
	a->env = env;
	(void)pthread_mutex_init(&a->mu, NULL);
	mesh__events_init(&a->events, env);
}

void mesh__async_fini(struct mesh__async *a)
{
	mesh__events_fini(&a->events);
	(void)pthread_mutex_destroy(&a->mu);
}

bool mesh__async_is_current(const struct mesh__async *a)
{
	const struct mesh__loop *loop = atomic_load(&a->loop);

	return loop != NULL && mesh__loop_is_current(loop);
}

static void look_again(void *arg)
{
	struct mesh__async *a = arg;
	struct mesh_request *next;

	atomic_store(&a->news_posted, false);
	for (struct mesh_request *r = a->waiting; r != NULL; r = next) {
		next = r->call.next;
		mesh__call_go_on(r);
	}
}

static void on_news(void *arg)
{
	struct mesh__async *a = arg;

	if (!atomic_exchange(&a->news_posted, true)) {
		mesh__loop_post(a->loop, &a->news_post, look_again, a);
	}
}

static int begin_thread(struct mesh__async *a, struct mesh__err *err)
{
	struct mesh__loop *loop = NULL;
	int code = mesh__loop_new(a->env, &loop, err);

	if (code == MESH_OK) {
		code = mesh__loop_start(loop, "mesh-out", err);
	}
	if (code != MESH_OK) {
		mesh__loop_free(loop);
		return code;
	}
	atomic_store(&a->loop, loop);
	mesh__control_listen(a->control, on_news, a);
	return MESH_OK;
}

static int open_thread(struct mesh__async *a, struct mesh__err *err)
{
	int code = MESH_OK;

	if (atomic_load(&a->loop) != NULL) {
		return MESH_OK;
	}
	(void)pthread_mutex_lock(&a->mu);
	if (a->closed) {
		code = mesh__fail(err, MESH_E_CLOSED, "the mesh is closed");
	} else if (atomic_load(&a->loop) == NULL) {
		code = begin_thread(a, err);
	}
	(void)pthread_mutex_unlock(&a->mu);
	return code;
}

/* ---- Cancelling ---- */

static void on_cancel(void *arg)
{
	struct mesh_request *r = arg;

	r->call.cancel_seen = true;
	if (r->call.ended) {
		mesh__async_through(r);
	} else if (r->call.begun) {
		mesh__parked_cancel(r);
	} /* else its beginning, which is posted, finds it cancelled */
}

/* On whatever thread cancels. */
static void bring_cancel(void *arg)
{
	struct mesh_request *r = arg;

	if (!r->call.cancel_posted) {
		r->call.cancel_posted = true;
		mesh__loop_post(r->outbound->async.loop, &r->call.cancel_post, on_cancel, r);
	}
}

/* ---- A call's beginning and end ---- */

static void on_begin(void *arg)
{
	struct mesh_request *r = arg;

	r->call.begun = true;
	mesh__call_go_on(r);
}

int mesh__async_start(struct mesh_request *r, mesh_done_fn done, void *user)
{
	struct mesh__outbound *o = r->outbound;
	bool idle = false;
	int code;

	if (!atomic_compare_exchange_strong(&r->running, &idle, true)) {
		return MESH_E_STATE;
	}
	mesh__call_prepare(r, true);
	r->call = (struct mesh__parked){.done = done, .user = user};
	if (r->streamed != NULL) {
		mesh__streamed_begin(r);
	}
	code = open_thread(&o->async, &r->err);
	if (code == MESH_OK && !mesh__running_enter(&o->running, r)) {
		code = mesh__fail(&r->err, MESH_E_CLOSED, "the mesh is closed");
	}
	if (code != MESH_OK) {
		code = mesh__call_conclude(r);
		mesh__cancel_reset(r->cancel);
		atomic_store(&r->running, false);
		return code;
	}
	if (done == NULL) {
		mesh__events_begin(&o->async.events, r);
	}
	mesh__cancel_watch(r->cancel, bring_cancel, r);
	mesh__loop_post(o->async.loop, &r->call.post, on_begin, r); /* not ours from here on */
	return MESH_OK;
}

/* Its bodies are still on their way: it is told, and stays ours. */
static void tell_early(struct mesh_request *r)
{
	r->call.told = true;
	if (r->call.done == NULL) {
		mesh__events_done(&r->outbound->async.events, r);
	} else if (!mesh__streamed_is_given_up(r)) {
		r->call.done(r->call.user, r, r->call.code);
	}
}

/* All that have ended in one turn of the loop, at its end: one wakes as many threads as all, and who is woken finds more than one. */
static void tell_landed(void *arg)
{
	struct mesh__async *a = arg;
	struct mesh_request *first = a->landed;

	a->landed = NULL;
	for (struct mesh_request *r = first; r != NULL; r = r->call.next) {
		mesh__cancel_reset(r->cancel);
	}
	mesh__events_give_back(&a->events, first);
}

static void list_landed(struct mesh_request *r)
{
	struct mesh__async *a = &r->outbound->async;

	if (a->landed == NULL) {
		mesh__loop_defer(a->loop, &a->landed_post, tell_landed, a);
	}
	r->call.next = NULL;
	*(a->landed != NULL ? &a->last_landed->call.next : &a->landed) = r;
	a->last_landed = r;
}

/* The request is the application's again, unless that has freed it meanwhile. Any of its threads may free it as soon as it is: what is left to be told is read before. */
static void give_back(struct mesh_request *r)
{
	struct mesh__events *events = r->call.told || r->call.done != NULL ? NULL : &r->outbound->async.events;
	mesh_done_fn done = r->call.told ? NULL : r->call.done;
	void *user = r->call.user;
	int code = r->call.code;

	if (r->streamed == NULL && events != NULL) {
		list_landed(r);
		return;
	}
	mesh__cancel_reset(r->cancel);
	if (r->streamed == NULL) {
		atomic_store(&r->running, false);
	} else if (!mesh__streamed_give_back(r, events)) {
		mesh__request_free(r); /* also where nobody was told */
		return;
	}
	if (done != NULL) {
		done(user, r, code);
	}
}

void mesh__async_through(struct mesh_request *r)
{
	if (r->call.cancel_posted == r->call.cancel_seen && (r->streamed == NULL || !mesh__streamed_settle(r))) {
		give_back(r);
	}
}

void mesh__async_landed(struct mesh_request *r)
{
	mesh__cancel_unwatch(r->cancel);
	r->call.ended = true;
	mesh__running_leave(&r->outbound->running, r);
	mesh__async_through(r);
}

void mesh__async_end(struct mesh_request *r)
{
	mesh__parked_end(r);
	r->call.code = mesh__call_conclude(r);
	mesh__request_let_go(r);
	if (r->streamed != NULL && mesh__streamed_concluded(r)) {
		tell_early(r);
	} else {
		mesh__async_landed(r);
	}
}

/* ---- The end of all ---- */

/* The calls' connections that are shared are the loop's. */
static void leave_pools(void *arg)
{
	struct mesh__async *a = arg;

	mesh__endpoint_list_leave(a->endpoints, a->loop);
}

void mesh__async_close(struct mesh__async *a)
{
	struct mesh__loop *loop;

	(void)pthread_mutex_lock(&a->mu);
	a->closed = true;
	loop = atomic_load(&a->loop);
	(void)pthread_mutex_unlock(&a->mu);
	if (loop != NULL) {
		mesh__control_listen(a->control, NULL, NULL);
		mesh__loop_post(loop, &a->last_post, leave_pools, a);
		mesh__loop_stop(loop);
		mesh__loop_join(loop);
	}
	mesh__events_close(&a->events);
}

void mesh__async_free_loop(struct mesh__async *a)
{
	mesh__loop_free(atomic_exchange(&a->loop, NULL));
}

void mesh__async_stop(struct mesh__async *a)
{
	struct mesh__loop *loop = atomic_load(&a->loop);

	if (loop != NULL) {
		mesh__loop_stop(loop);
	}
}

void mesh__async_join_until(struct mesh__async *a, const struct mesh__env *env, int64_t deadline_us)
{
	struct mesh__loop *loop = atomic_load(&a->loop);

	if (loop != NULL) {
		(void)mesh__loop_join_until(loop, env, deadline_us);
	}
}

void mesh__async_abandon(struct mesh__async *a)
{
	mesh__loop_abandon(atomic_load(&a->loop));
	mesh__events_abandon(&a->events);
}
