#include "http/curl_shared.h"

#include <curl/curl.h>

#include "http/circuit.h"
#include "http/curl_queue.h"
#include "http/curl_slot.h"

enum { SPARE_MAX = 128, DIALS_MAX = 3 /* that fail one after the other: then there is nothing to wait for */ };

struct mesh__shared {
	struct mesh__shared *next;           /* among the pool's; guarded by its lock, as the next two */
	struct mesh__post retire_post;
	bool retire_posted;
	struct mesh__pool *pool;             /* a reference */
	struct mesh__loop *loop;
	struct mesh__lane *lanes;            /* the first takes riders, unless it is spent */
	struct mesh__rider *first, *last;    /* those that wait */
	struct mesh__rider *aboard, *ended;
	int32_t n_waiting;
	struct mesh__ride *spare;            /* of the first lane */
	size_t n_spare;
	struct mesh__timer *idle;
	int n_failed;                        /* dials in a row */
	int busy;                            /* riders are being called: it is not freed under them */
	bool retired;                        /* goes when nobody uses it */
	bool gone;                           /* out of the pool's list: a retire_post that is on its way frees it */
};

/* ---- Lists ---- */

static void push(struct mesh__rider **list, struct mesh__rider *r, enum mesh__rider_at at)
{
	r->at = at;
	r->prev = NULL;
	r->next = *list;
	if (r->next != NULL) {
		r->next->prev = r;
	}
	*list = r;
}

static void take_out(struct mesh__rider **list, struct mesh__rider *r)
{
	*(r->prev != NULL ? &r->prev->next : list) = r->next;
	if (r->next != NULL) {
		r->next->prev = r->prev;
	}
	r->at = MESH__RIDER_NOWHERE;
}

static void enqueue(struct mesh__shared *s, struct mesh__rider *r, bool front)
{
	r->at = MESH__RIDER_WAITS;
	r->prev = front ? NULL : s->last;
	r->next = front ? s->first : NULL;
	*(r->prev != NULL ? &r->prev->next : &s->first) = r;
	*(r->next != NULL ? &r->next->prev : &s->last) = r;
	s->n_waiting++;
}

static void dequeue(struct mesh__shared *s, struct mesh__rider *r)
{
	if (r->next == NULL) {
		s->last = r->prev;
	}
	take_out(&s->first, r);
	s->n_waiting--;
	(void)pthread_mutex_lock(&s->pool->mu);
	mesh__circuit_waited_locked(s->pool);
	(void)pthread_mutex_unlock(&s->pool->mu);
}

/* ---- Places ---- */

static void give_places_back(struct mesh__shared *s, int n)
{
	(void)pthread_mutex_lock(&s->pool->mu);
	for (int i = 0; i < n; i++) {
		mesh__circuit_disconnect_locked(s->pool);
	}
	mesh__queue_serve_locked(s->pool);
	(void)pthread_mutex_unlock(&s->pool->mu);
	if (n > 0) {
		mesh__circuit_relieve(s->pool->options.circuit);
	}
}

static bool take_place(struct mesh__shared *s)
{
	struct mesh__pool *pool = s->pool;
	bool taken;

	(void)pthread_mutex_lock(&pool->mu);
	taken = pool->first == NULL && pool->n_connections < pool->options.max_connections && mesh__circuit_connect_locked(pool);
	if (!taken && pool->first == NULL) {
		mesh__circuit_sated_locked(pool); /* hungry are those who stand in the queue */
	}
	(void)pthread_mutex_unlock(&pool->mu);
	return taken;
}

/* ---- Lanes ---- */

static void drop_spares(struct mesh__shared *s)
{
	while (s->spare != NULL) {
		struct mesh__ride *ride = s->spare;

		s->spare = ride->next;
		mesh__easy_fini(&ride->easy);
		mesh__free(ride);
	}
	s->n_spare = 0;
}

static struct mesh__lane *open_lane(struct mesh__shared *s)
{
	return s->lanes != NULL && !s->lanes->spent ? s->lanes : NULL;
}

static void spend(struct mesh__shared *s, struct mesh__lane *lane)
{
	if (!lane->spent && lane == s->lanes) {
		drop_spares(s);
	}
	lane->spent = true;
}

/* Not while libcurl runs on it. */
static void close_spent(struct mesh__shared *s)
{
	struct mesh__lane **at = &s->lanes;

	while (*at != NULL) {
		struct mesh__lane *lane = *at;
		int places = lane->places;

		if (lane->spent && lane->n_transfers == 0 && !lane->drive.entered) {
			*at = lane->next;
			mesh__lane_free(lane);
			give_places_back(s, places);
		} else {
			at = &lane->next;
		}
	}
}

static bool set_places(struct mesh__lane *lane, int places)
{
	lane->places = places;
	lane->conns.max_open = places;
	return curl_multi_setopt(lane->curl, CURLMOPT_MAX_HOST_CONNECTIONS, (long)places) == CURLM_OK;
}

/*
 * An exchange whose stream was refused is repeated by libcurl, on another connection: it waits for leave to open one, and until then nobody is told. So it gets leave, and is stopped where it would use it.
 */
static void free_refused(struct mesh__shared *s, struct mesh__lane *lane)
{
	for (const struct mesh__conn *conn = lane->conns.first; conn != NULL && !lane->spent; conn = conn->next) {
		if (conn->refused) {
			(void)curl_multi_setopt(lane->curl, CURLMOPT_MAX_HOST_CONNECTIONS, 0L);
			spend(s, lane);
		}
	}
}

static void on_ran(void *arg);

/* With a place that was taken for it, which is given back when it cannot be made. */
static int begin_lane(struct mesh__shared *s, struct mesh__err *err)
{
	struct mesh__lane *lane;
	int code = mesh__lane_new(s->loop, on_ran, s, &lane, err);

	if (code == MESH_OK && (!set_places(lane, 1) || curl_multi_setopt(lane->curl, CURLMOPT_MAXCONNECTS, (long)MESH__SHARED_CONNECTIONS) != CURLM_OK)) {
		mesh__lane_free(lane);
		code = mesh__fail_memory(err);
	}
	if (code != MESH_OK) {
		give_places_back(s, 1);
		return code;
	}
	lane->next = s->lanes;
	s->lanes = lane;
	return MESH_OK;
}

static bool has_room(const struct mesh__lane *lane)
{
	return lane->n_transfers < (lane->judged ? (size_t)lane->places * MESH__SHARED_STREAMS : 1);
}

/* One more connection, where there is a place for it. */
static bool widen(struct mesh__shared *s, struct mesh__lane *lane)
{
	if (!lane->judged || lane->places == MESH__SHARED_CONNECTIONS || !take_place(s)) {
		return false;
	}
	return set_places(lane, lane->places + 1);
}

/* After a silence: what was kept may have ended meanwhile. */
static void look_at_kept(struct mesh__shared *s)
{
	struct mesh__lane *lane = open_lane(s);

	if (lane != NULL && lane->n_transfers == 0 && lane->judged && (lane->conns.first == NULL || mesh__conns_expired(&lane->conns) || !mesh__conns_quiet(&lane->conns))) {
		spend(s, lane);
		close_spent(s);
	}
}

/* ---- Rides ---- */

static int new_ride(struct mesh__shared *s, struct mesh__lane *lane, struct mesh__ride **out, struct mesh__err *err)
{
	struct mesh__pool *pool = s->pool;
	struct mesh__ride *ride = mesh__alloc(&pool->env->mem, sizeof(*ride));
	int code = ride != NULL ? mesh__slot_easy(pool, &ride->easy, &lane->conns, err) : mesh__fail_memory(err);

	if (code == MESH_OK && (curl_easy_setopt(ride->easy.curl, CURLOPT_PIPEWAIT, 1L) != CURLE_OK ||
	    curl_easy_setopt(ride->easy.curl, CURLOPT_MAXAGE_CONN, (long)(pool->options.idle_ms / 1000 + 1)) != CURLE_OK)) {
		mesh__easy_fini(&ride->easy);
		code = mesh__fail_memory(err);
	}
	if (code != MESH_OK) {
		mesh__free(ride);
		return code;
	}
	ride->lane = lane;
	*out = ride;
	return MESH_OK;
}

static int seat(struct mesh__shared *s, struct mesh__rider *r, struct mesh__err *err)
{
	struct mesh__lane *lane = open_lane(s);
	int code = MESH_OK;

	r->ride = s->spare;
	if (r->ride != NULL) {
		s->spare = r->ride->next;
		s->n_spare--;
	} else {
		code = new_ride(s, lane, &r->ride, err);
	}
	if (code == MESH_OK) {
		lane->n_transfers++;
		push(&s->aboard, r, MESH__RIDER_ABOARD);
		mesh__timer_stop(s->idle);
	}
	return code;
}

static void unseat(struct mesh__shared *s, struct mesh__rider *r)
{
	struct mesh__ride *ride = r->ride;
	struct mesh__lane *lane = ride->lane;

	take_out(r->at == MESH__RIDER_ENDED ? &s->ended : &s->aboard, r);
	r->ride = NULL;
	lane->n_transfers--;
	if (lane == open_lane(s) && s->n_spare < SPARE_MAX) {
		ride->next = s->spare;
		s->spare = ride;
		s->n_spare++;
	} else {
		mesh__easy_fini(&ride->easy);
		mesh__free(ride);
	}
}

/* ---- The queue moves ---- */

static void refuse_all(struct mesh__shared *s, int code, const struct mesh__err *err)
{
	while (s->first != NULL) {
		struct mesh__rider *r = s->first;

		dequeue(s, r);
		r->calls->refused(r, code, err);
	}
}

static void send_elsewhere(struct mesh__shared *s)
{
	while (s->first != NULL) {
		struct mesh__rider *r = s->first;

		dequeue(s, r);
		r->calls->elsewhere(r);
	}
}

/* A lane that riders may board; *lane stays NULL where there is no place for one. */
static int need_lane(struct mesh__shared *s, struct mesh__lane **lane, struct mesh__err *err)
{
	int code = MESH_OK;

	look_at_kept(s);
	if (open_lane(s) == NULL && mesh__shared_may(s->pool) && take_place(s)) {
		code = begin_lane(s, err);
	}
	*lane = open_lane(s);
	return code;
}

static void serve(struct mesh__shared *s)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__lane *lane = NULL;
	int code = MESH_OK;

	while (s->first != NULL && code == MESH_OK) {
		struct mesh__rider *r = s->first;

		code = need_lane(s, &lane, &err);
		if (code != MESH_OK || lane == NULL || (!has_room(lane) && !widen(s, lane))) {
			break;
		}
		dequeue(s, r);
		if (seat(s, r, &err) == MESH_OK) {
			r->calls->turn(r, r->ride);
		} else {
			r->calls->refused(r, err.code, &err);
		}
	}
	if (code != MESH_OK) {
		refuse_all(s, code, &err);
	} else if (lane == NULL) {
		send_elsewhere(s);
	}
}

/* ---- Its life ---- */

bool mesh__shared_may(const struct mesh__pool *pool)
{
	return pool->options.proto != MESH__HTTP_1 && !pool->options.target.insecure_plaintext && !atomic_load(&pool->speaks_http1);
}

static void shared_free(struct mesh__shared *s)
{
	struct mesh__pool *pool = s->pool;

	mesh__timer_free(s->idle);
	mesh__free(s);
	mesh__pool_unref(pool);
}

static void close_down(struct mesh__shared *s)
{
	struct mesh__shared **at = &s->pool->shared;
	bool posted;

	for (struct mesh__lane *lane = s->lanes; lane != NULL; lane = lane->next) {
		spend(s, lane);
	}
	close_spent(s);
	(void)pthread_mutex_lock(&s->pool->mu);
	while (*at != s) {
		at = &(*at)->next;
	}
	*at = s->next;
	posted = s->retire_posted;
	(void)pthread_mutex_unlock(&s->pool->mu);
	s->gone = true;
	if (!posted) {
		shared_free(s);
	}
}

/* Nobody uses it: it goes, now or after a time. */
static void rest(struct mesh__shared *s)
{
	if (s->busy > 0 || s->first != NULL || s->aboard != NULL || s->ended != NULL) {
		return;
	}
	if (s->retired || mesh__circuit_wanted(s->pool->options.circuit)) {
		close_down(s);
	} else {
		mesh__timer_start(s->idle, s->pool->options.idle_ms, 0);
	}
}

static void on_idle(void *arg)
{
	struct mesh__shared *s = arg;

	s->retired = true;
	rest(s);
}

static void on_retire(void *arg)
{
	struct mesh__shared *s = arg;

	if (s->gone) {
		shared_free(s);
		return;
	}
	(void)pthread_mutex_lock(&s->pool->mu);
	s->retire_posted = false;
	(void)pthread_mutex_unlock(&s->pool->mu);
	s->retired = true;
	rest(s);
}

void mesh__shared_retire(struct mesh__pool *pool)
{
	(void)pthread_mutex_lock(&pool->mu);
	for (struct mesh__shared *s = pool->shared; s != NULL; s = s->next) {
		if (!s->retire_posted) {
			s->retire_posted = true;
			mesh__loop_post(s->loop, &s->retire_post, on_retire, s);
		}
	}
	(void)pthread_mutex_unlock(&pool->mu);
}

static struct mesh__shared *find(struct mesh__pool *pool, const struct mesh__loop *loop)
{
	struct mesh__shared *s;

	(void)pthread_mutex_lock(&pool->mu);
	for (s = pool->shared; s != NULL && s->loop != loop; s = s->next) {
	}
	(void)pthread_mutex_unlock(&pool->mu);
	return s;
}

void mesh__pool_leave(struct mesh__pool *pool, struct mesh__loop *loop)
{
	struct mesh__shared *s = find(pool, loop);

	if (s != NULL) {
		s->retired = true;
		rest(s);
	}
}

int mesh__shared_of(struct mesh__pool *pool, struct mesh__loop *loop, struct mesh__shared **out, struct mesh__err *err)
{
	struct mesh__shared *s = find(pool, loop);

	*out = s;
	if (s != NULL) {
		return MESH_OK;
	}
	s = mesh__alloc(&pool->env->mem, sizeof(*s));
	if (s == NULL || mesh__timer_new(loop, on_idle, s, &s->idle) != MESH_OK) {
		mesh__free(s);
		return mesh__fail_memory(err);
	}
	s->pool = mesh__pool_ref(pool);
	s->loop = loop;
	(void)pthread_mutex_lock(&pool->mu);
	s->next = pool->shared;
	pool->shared = s;
	(void)pthread_mutex_unlock(&pool->mu);
	*out = s;
	return MESH_OK;
}

void mesh__shared_abandon(struct mesh__pool *pool)
{
	for (struct mesh__shared *s = pool->shared; s != NULL; s = s->next) {
		for (struct mesh__lane *lane = s->lanes; lane != NULL; lane = lane->next) {
			mesh__conns_abandon(&lane->conns);
			mesh__wakeup_abandon(&lane->wakeup);
		}
	}
}

/* ---- A rider's side ---- */

/* Counted where it is in order. */
static int may_wait(struct mesh__shared *s, bool again, struct mesh__err *err)
{
	struct mesh__pool *pool = s->pool;
	bool may;

	if (!again && s->n_waiting >= pool->options.max_pending) {
		return mesh__queue_fail(pool, MESH_E_OVERLOADED, "as many calls as maxPending allows wait for a connection", err);
	}
	(void)pthread_mutex_lock(&pool->mu);
	may = mesh__circuit_wait_locked(pool, again);
	(void)pthread_mutex_unlock(&pool->mu);
	return may ? MESH_E_WOULD_BLOCK : mesh__circuit_fail(pool, err);
}

int mesh__shared_board(struct mesh__shared *s, struct mesh__rider *r, bool again, struct mesh__err *err)
{
	struct mesh__lane *lane = NULL;
	int code;

	r->shared = s;
	r->ride = NULL;
	code = need_lane(s, &lane, err);
	if (code != MESH_OK || lane == NULL) {
		rest(s);
		return code;
	}
	if ((again || s->first == NULL) && (has_room(lane) || widen(s, lane))) {
		code = seat(s, r, err);
	} else {
		code = may_wait(s, again, err);
	}
	if (code == MESH_E_WOULD_BLOCK) {
		enqueue(s, r, again);
	} else if (code != MESH_OK) {
		rest(s);
	}
	return code;
}

int mesh__shared_add(struct mesh__rider *r, struct mesh__err *err)
{
	if (curl_easy_setopt(r->ride->easy.curl, CURLOPT_PRIVATE, r) != CURLE_OK || curl_multi_add_handle(r->ride->lane->curl, r->ride->easy.curl) != CURLM_OK) {
		return mesh__fail_memory(err);
	}
	return MESH_OK;
}

void mesh__shared_judged(struct mesh__rider *r)
{
	struct mesh__lane *lane = r->ride->lane;

	r->shared->n_failed = 0;
	if (lane->judged) {
		return;
	}
	if (r->ride->easy.http2) {
		lane->judged = true; /* the others board when libcurl has run */
	} else {
		atomic_store(&r->shared->pool->speaks_http1, true);
		spend(r->shared, lane);
	}
}

/* What the end of one means for its lane, and for those that wait. */
static void heed(struct mesh__shared *s, const struct mesh__ride *ride, int code, const struct mesh__err *err)
{
	const struct mesh__easy *easy = &ride->easy;
	struct mesh__lane *lane = ride->lane;
	bool dialled = !easy->dial_refused && (code == MESH_E_CONNECT || code == MESH_E_TLS || code == MESH_E_IDENTITY);

	if (easy->refused || easy->lost || easy->unprocessed.refused || easy->unprocessed.goaway || lane->drive.dead || (dialled && !lane->judged)) {
		spend(s, lane);
	}
	s->n_failed += dialled;
	if (code == MESH_E_IDENTITY || (dialled && s->n_failed >= DIALS_MAX)) {
		s->n_failed = 0;
		refuse_all(s, code, err);
	}
}

void mesh__shared_off(struct mesh__rider *r)
{
	(void)curl_multi_remove_handle(r->ride->lane->curl, r->ride->easy.curl); /* no effect where it is not on it */
}

static void settle(struct mesh__shared *s)
{
	if (s->busy > 0) {
		return; /* the one below on the stack goes on */
	}
	s->busy++;
	close_spent(s);
	serve(s);
	s->busy--;
	rest(s);
}

void mesh__shared_leave(struct mesh__rider *r, int code, const struct mesh__err *err)
{
	struct mesh__shared *s = r->shared;

	if (r->at == MESH__RIDER_WAITS) {
		dequeue(s, r);
	} else {
		s->busy++;
		heed(s, r->ride, code, err);
		unseat(s, r);
		s->busy--;
	}
	settle(s);
}

/* ---- libcurl has run ---- */

static void end_rider(struct mesh__shared *s, struct mesh__rider *r, CURLcode outcome)
{
	take_out(&s->aboard, r);
	push(&s->ended, r, MESH__RIDER_ENDED);
	r->outcome = (int)outcome;
}

static void read_outcomes(struct mesh__shared *s, struct mesh__lane *lane)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(lane->curl, &left)) != NULL) {
		struct mesh__rider *r = NULL;

		if (msg->msg == CURLMSG_DONE && curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r) == CURLE_OK && r->at == MESH__RIDER_ABOARD) {
			end_rider(s, r, msg->data.result);
		}
	}
}

static void end_dead(struct mesh__shared *s)
{
	struct mesh__rider *next;

	for (struct mesh__rider *r = s->aboard; r != NULL; r = next) {
		next = r->next;
		if (r->ride->lane->drive.dead) {
			mesh__easy_stop(&r->ride->easy, MESH_E_NO_MEMORY, "the loop cannot watch the connection: out of memory or of file descriptors");
			end_rider(s, r, CURLE_OUT_OF_MEMORY);
		}
	}
}

static void on_ran(void *arg)
{
	struct mesh__shared *s = arg;

	s->busy++;
	for (struct mesh__lane *lane = s->lanes; lane != NULL; lane = lane->next) {
		read_outcomes(s, lane);
		free_refused(s, lane);
	}
	end_dead(s);
	while (s->ended != NULL) {
		s->ended->calls->landed(s->ended, s->ended->outcome);
	}
	s->busy--;
	settle(s);
}
