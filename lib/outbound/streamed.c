#include "outbound/streamed.h"

#include <string.h>

#include "outbound/call.h"
#include "outbound/grpc.h"
#include "outbound/steps.h"
#include "wire/url.h"

/* ---- From and to the application ---- */

static void on_post(void *arg);

/* Something has changed that the flight waits for, or its head is there. Any thread; from the call thread too, where libcurl is running. */
static void post(struct mesh__streamed *s)
{
	bool now;

	(void)pthread_mutex_lock(&s->mu);
	now = !s->over && !s->posted;
	s->posted |= now;
	(void)pthread_mutex_unlock(&s->mu);
	if (now) {
		mesh__loop_post(s->request->outbound->async.loop, &s->post, on_post, s);
	}
}

bool mesh__streamed_is_given_up(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;
	bool given_up;

	(void)pthread_mutex_lock(&s->mu);
	given_up = s->given_up;
	(void)pthread_mutex_unlock(&s->mu);
	return given_up;
}

static void tell(struct mesh__streamed *s, int32_t kind)
{
	if (mesh__streamed_is_given_up(s->request)) {
		return;
	}
	if (s->fn != NULL) {
		s->fn(s->user, s->request, kind);
	} else {
		mesh__events_tell(&s->request->outbound->async.events, s->request, kind);
	}
}

/* `up`: the application writes, the flight reads. */
static void on_up_readable(void *arg)
{
	post(arg);
}

static void on_up_writable(void *arg)
{
	tell(arg, MESH_EVENT_WRITABLE);
}

/* `down`: the flight writes, the application reads. */
static void on_down_readable(void *arg)
{
	tell(arg, MESH_EVENT_READABLE);
}

static void on_down_writable(void *arg)
{
	post(arg);
}

static void open_pipe(struct mesh__streamed *s, struct mesh__pipe *pipe, void (*readable)(void *arg), void (*writable)(void *arg))
{
	struct mesh__pipe_options options = {.high = MESH__PIPE_HIGH, .low = MESH__PIPE_LOW, .readable = readable, .writable = writable, .arg = s};

	mesh__pipe_init(pipe, s->request->outbound->env, &options);
}

static void open_down(struct mesh__streamed *s)
{
	open_pipe(s, &s->down, on_down_readable, on_down_writable);
}

static void open_pipes(struct mesh__streamed *s)
{
	open_pipe(s, &s->up, on_up_readable, on_up_writable);
	open_down(s);
}

/* What the answer of an earlier try said is not this one's. Nobody has read of it. */
static void empty_down(struct mesh__streamed *s)
{
	mesh__pipe_fini(&s->down);
	open_down(s);
}

static void close_pipes(struct mesh__streamed *s)
{
	mesh__pipe_fini(&s->up);
	mesh__pipe_fini(&s->down);
}

/* ---- Asking for it ---- */

static int get(struct mesh_request *r, struct mesh__streamed **out)
{
	*out = r->streamed;
	if (atomic_load(&r->running)) {
		return MESH_E_STATE;
	}
	if (*out != NULL) {
		return MESH_OK;
	}
	*out = mesh__alloc(&r->outbound->env->mem, sizeof(**out));
	if (*out == NULL) {
		return MESH_E_NO_MEMORY;
	}
	(*out)->request = r;
	(void)pthread_mutex_init(&(*out)->mu, NULL);
	mesh__trailers_init(&(*out)->trailers, &r->outbound->env->mem);
	open_pipes(*out);
	r->streamed = *out;
	return MESH_OK;
}

int mesh__streamed_upload(struct mesh_request *r, int64_t length)
{
	struct mesh__streamed *s;
	int code = r->has_body ? MESH_E_STATE : get(r, &s);

	if (code == MESH_OK && length >= 0 && s->trailers.n > 0 && !s->trailers_spent) {
		code = MESH_E_STATE;
	}
	if (code == MESH_OK) {
		s->upload = true;
		s->upload_len = length;
	}
	return code;
}

int mesh__streamed_download(struct mesh_request *r)
{
	struct mesh__streamed *s;
	int code = get(r, &s);

	if (code == MESH_OK) {
		s->download = true;
	}
	return code;
}

int mesh__streamed_watch(struct mesh_request *r, mesh_stream_fn fn, void *user)
{
	struct mesh__streamed *s;
	int code = get(r, &s);

	if (code == MESH_OK) {
		s->fn = fn;
		s->user = user;
	}
	return code;
}

void mesh__streamed_free(struct mesh__streamed *s)
{
	if (s != NULL) {
		close_pipes(s);
		mesh__trailers_fini(&s->trailers);
		(void)pthread_mutex_destroy(&s->mu);
		mesh__free(s);
	}
}

/* ---- The application's threads ---- */

/* What broke the bodies off is the request's error from here on. */
static int told_code(struct mesh_request *r, int code)
{
	struct mesh__streamed *s = r->streamed;

	if (code != MESH_OK && atomic_load(&s->broken) && code == s->err.code) {
		r->error.err = s->err;
		r->error.may_be_processed = true; /* its answer had begun */
		r->has_error = true;
	}
	return code;
}

int mesh__streamed_write(struct mesh_request *r, const void *bytes, size_t len, size_t *written, int64_t deadline_us)
{
	struct mesh__streamed *s = r->streamed;
	int code;

	*written = 0;
	if (s == NULL || !s->upload || !s->used) {
		return MESH_E_STATE;
	}
	if (s->upload_len >= 0 && len > (uint64_t)(s->upload_len - s->written)) {
		return MESH_E_TOO_LARGE;
	}
	code = deadline_us == 0 ? mesh__pipe_write(&s->up, bytes, len, written) : mesh__pipe_write_until(&s->up, bytes, len, written, deadline_us);
	s->written += (int64_t)*written;
	return told_code(r, code);
}

int mesh__streamed_end(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;

	if (s == NULL || !s->upload || !s->used) {
		return MESH_E_STATE;
	}
	if (s->upload_len >= 0 && s->written < s->upload_len) {
		return MESH_E_INVALID;
	}
	(void)pthread_mutex_lock(&s->mu);
	s->ended = true;
	(void)pthread_mutex_unlock(&s->mu);
	mesh__pipe_end(&s->up, MESH_OK);
	return MESH_OK;
}

static void forget_spent_locked(struct mesh__streamed *s)
{
	if (s->trailers_spent) {
		s->trailers_spent = false;
		mesh__trailers_fini(&s->trailers); /* not cleared: want of memory must not stick */
	}
}

static int add_trailer_locked(struct mesh__streamed *s, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	forget_spent_locked(s);
	if (s->trailers.n == MESH__TRAILERS_MAX || name_len > MESH__TRAILERS_MAX_BYTES || value_len > MESH__TRAILERS_MAX_BYTES ||
	    s->trailers.text.len + name_len + value_len + 2 > MESH__TRAILERS_MAX_BYTES) {
		return MESH_E_TOO_LARGE;
	}
	return mesh__trailers_add(&s->trailers, name, name_len, value, value_len) ? MESH_OK : MESH_E_NO_MEMORY;
}

int mesh__streamed_trailer(struct mesh_request *r, const char *name, const char *value)
{
	struct mesh__streamed *s = r->streamed;
	size_t name_len = strlen(name);
	bool running;
	int code;

	if (s == NULL || !s->upload || s->upload_len >= 0) {
		return MESH_E_STATE;
	}
	if (!mesh__field_name_valid(name, name_len) || !mesh__field_value_valid(value, strlen(value)) || !mesh__field_may_trail(name, name_len)) {
		return MESH_E_INVALID;
	}
	(void)pthread_mutex_lock(&s->mu);
	running = atomic_load(&r->running);
	code = running && s->ended ? MESH_E_STATE : running && s->http2 ? MESH_E_UNSUPPORTED : add_trailer_locked(s, name, value);
	(void)pthread_mutex_unlock(&s->mu);
	return code;
}

int mesh__streamed_read(struct mesh_request *r, void *buf, size_t size, size_t *n, int64_t deadline_us)
{
	struct mesh__streamed *s = r->streamed;
	int code;

	*n = 0;
	if (s == NULL || !s->download || !atomic_load(&s->told)) {
		return MESH_E_STATE;
	}
	code = deadline_us == 0 ? mesh__pipe_read(&s->down, buf, size, n) : mesh__pipe_read_until(&s->down, buf, size, n, deadline_us);
	s->end_read |= code == MESH_OK && *n == 0 && size > 0;
	return told_code(r, code);
}

bool mesh__streamed_give_up(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;
	bool late;

	if (s == NULL) {
		return false;
	}
	mesh__events_mute(&r->outbound->async.events, r);
	mesh__cancel_fire(r->cancel); /* before it is the call thread's */
	(void)pthread_mutex_lock(&s->mu);
	late = atomic_load(&r->running);
	s->given_up = late;
	(void)pthread_mutex_unlock(&s->mu);
	return late;
}

/* ---- The flight's callbacks: inside libcurl ---- */

/* Something has moved: it is not idle. */
static void moved(struct mesh__streamed *s)
{
	struct mesh_request *r = s->request;
	int64_t idle_us = mesh__mono_us(r->outbound->env) + MESH__STREAM_IDLE_MS * INT64_C(1000);

	if (r->response.status != 0 && r->call.flight != NULL) {
		mesh__flight_deadline(r->call.flight, idle_us < s->until_us ? idle_us : s->until_us);
	}
}

/* From here on trailers come too late for HTTP/2, before it they keep the request from it: none is lost in between. */
static bool on_speaks(void *arg, bool http2)
{
	struct mesh__streamed *s = ((struct mesh_request *)arg)->streamed;
	bool takes;

	(void)pthread_mutex_lock(&s->mu);
	s->http2 = http2;
	takes = !http2 || s->trailers.n == 0;
	(void)pthread_mutex_unlock(&s->mu);
	return takes;
}

static int64_t on_read(void *arg, char *buf, size_t size)
{
	struct mesh__streamed *s = ((struct mesh_request *)arg)->streamed;
	size_t n;
	int code = mesh__pipe_read(&s->up, buf, size, &n);

	if (code == MESH_E_WOULD_BLOCK) {
		return MESH__BODY_LATER;
	}
	if (code != MESH_OK) {
		return MESH__BODY_FAIL;
	}
	s->n_gone += (int64_t)n;
	s->all_gone = n == 0 || s->n_gone == s->upload_len;
	moved(s);
	return (int64_t)n;
}

/* The head is the application's. The call's deadline ends here, unless the application has set it. */
static void hand_over(struct mesh__streamed *s)
{
	struct mesh_request *r = s->request;

	s->until_us = r->timeout_ms != 0 ? r->deadline_us : INT64_MAX;
	s->head_due = true;
	moved(s);
	post(s);
}

static int on_data(void *arg, const char *bytes, size_t len)
{
	struct mesh__streamed *s = ((struct mesh_request *)arg)->streamed;
	int code = mesh__pipe_put(&s->down, bytes, len);

	/* What an answer that is tried again says is short; one with more to say is the application's to read. */
	if (code == MESH_E_WOULD_BLOCK && !atomic_load(&s->told) && !s->head_due) {
		hand_over(s);
	}
	if (code == MESH_OK) {
		moved(s);
	}
	return code;
}

/* An answer that would be followed by another try is judged when it is whole. */
static bool on_head(void *arg)
{
	struct mesh_request *r = arg;

	if (r->streamed->download && !mesh__retry_would(r)) {
		hand_over(r->streamed);
	}
	return true;
}

/* ---- The call thread ---- */

void mesh__streamed_begin(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;

	if (s->used) {
		close_pipes(s);
		open_pipes(s);
	}
	(void)pthread_mutex_lock(&s->mu);
	forget_spent_locked(s);
	s->ended = false;
	(void)pthread_mutex_unlock(&s->mu);
	s->used = true;
	s->written = 0;
	s->over = s->head_due = s->all_gone = s->end_read = false;
	s->n_gone = 0;
	atomic_store(&s->told, false);
	atomic_store(&s->broken, false);
	mesh__err_clear(&s->err);
}

void mesh__streamed_board(struct mesh_request *r, struct mesh__flight_options *o)
{
	struct mesh__streamed *s = r->streamed;

	s->begun_us = mesh__mono_us(r->outbound->env);
	s->until_us = r->try_deadline_us;
	o->streamed = true;
	o->head = on_head;
	if (s->upload) {
		(void)pthread_mutex_lock(&s->mu);
		s->http2 = false;
		(void)pthread_mutex_unlock(&s->mu);
		o->read = on_read;
		o->body_len = s->upload_len;
		o->speaks = on_speaks;
		o->trailers = &s->trailers;
	}
	if (s->download) {
		o->data = on_data;
		empty_down(s);
	}
}

static void on_post(void *arg)
{
	struct mesh__streamed *s = arg;
	struct mesh_request *r = s->request;
	bool over;

	(void)pthread_mutex_lock(&s->mu);
	s->posted = false;
	over = s->over;
	(void)pthread_mutex_unlock(&s->mu);
	if (over) {
		mesh__async_through(r);
		return;
	}
	if (r->call.flight == NULL) {
		return; /* between two tries */
	}
	mesh__flight_resume(r->call.flight);
	if (s->head_due) {
		s->head_due = false;
		mesh__flight_so_far(r->call.flight, &r->result);
		r->try_code = MESH_OK;
		mesh__call_go_on(r);
	}
}

/* The bodies are through, or broken off. */
static void end_bodies(struct mesh__streamed *s, int code)
{
	if (code == MESH_E_CANCELLED || code == MESH_E_CLOSED) {
		mesh__pipe_abort(&s->down, code);
	} else {
		mesh__pipe_end(&s->down, code);
	}
	/* An answer may be whole before the request is: nobody reads the rest. */
	mesh__pipe_abort(&s->up, code != MESH_OK ? code : MESH_E_RESET);
}

void mesh__streamed_explain(const struct mesh_request *r, struct mesh__err *err)
{
	const struct mesh__streamed *s = r->streamed;

	if (s == NULL || err->code != MESH_E_TIMEOUT) {
		return;
	}
	if (r->response.status != 0 && mesh__mono_us(r->outbound->env) < s->until_us) {
		(void)mesh__fail_at(err, err->origin, MESH_E_TIMEOUT, "nothing of the bodies has moved for %d s", MESH__STREAM_IDLE_MS / 1000);
	} else if (s->n_gone > 0 && !s->all_gone) {
		(void)mesh__fail_at(err, err->origin, MESH_E_TIMEOUT, "the call's %lld ms passed when %lld bytes of the request's body had been sent, and not all of it; an upload takes its time from the timeout: "
			"set a longer one, the caller's own or the service's `timeout`", (long long)((r->deadline_us - r->begun_us) / 1000), (long long)s->n_gone);
	}
}

int mesh__streamed_answer(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;
	int code;

	if (!s->download) {
		return MESH_OK;
	}
	empty_down(s);
	code = mesh__pipe_put(&s->down, r->response.body.data, r->response.body.len);
	if (code != MESH_OK) {
		return mesh__fail_memory(&r->err);
	}
	mesh__pipe_end(&s->down, MESH_OK);
	mesh__buf_clear(&r->response.body);
	return MESH_OK;
}

bool mesh__streamed_landed(struct mesh_request *r, int *code, const struct mesh__err *err)
{
	struct mesh__streamed *s = r->streamed;
	int why = *code == MESH_E_CANCELLED && atomic_load(&r->outbound->closed) ? MESH_E_CLOSED : *code;

	if (!atomic_load(&s->told) && !s->head_due) {
		if (s->download && *code == MESH_OK) {
			mesh__pipe_end(&s->down, MESH_OK);
		}
		return true;
	}
	if (*code != MESH_OK) {
		s->err = *err;
		mesh__streamed_explain(r, &s->err);
		s->err.code = why;
		atomic_store(&s->broken, true);
	}
	if (!s->head_due) {
		mesh__observe_landed(r, *code);
	}
	end_bodies(s, why);
	if (s->head_due) {
		/* The call went well, as its head is there; what came after is the body's. */
		s->head_due = false;
		*code = MESH_OK;
		return true;
	}
	return false;
}

bool mesh__streamed_concluded(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;

	if (r->call.flight == NULL && (r->call.code != MESH_OK || !s->download)) {
		end_bodies(s, r->call.code);
	} else if (r->call.flight == NULL) {
		mesh__pipe_abort(&s->up, MESH_E_RESET);
	}
	atomic_store(&s->told, true);
	return r->call.flight != NULL;
}

bool mesh__streamed_settle(struct mesh_request *r)
{
	struct mesh__streamed *s = r->streamed;
	bool posted;

	(void)pthread_mutex_lock(&s->mu);
	s->over = true;
	posted = s->posted;
	(void)pthread_mutex_unlock(&s->mu);
	return posted;
}

bool mesh__streamed_give_back(struct mesh_request *r, struct mesh__events *events)
{
	struct mesh__streamed *s = r->streamed;
	bool wanted;

	(void)pthread_mutex_lock(&s->mu);
	wanted = !s->given_up;
	if (wanted) {
		s->trailers_spent = true;
		atomic_store(&r->running, false);
		if (events != NULL) {
			mesh__events_done(events, r); /* in here, where nobody frees it */
		}
	}
	(void)pthread_mutex_unlock(&s->mu);
	return wanted;
}
