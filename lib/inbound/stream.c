#include "inbound/stream.h"

#include <string.h>

#include "base/pipe.h"
#include "inbound/server.h"

enum { PIECE = 16 * 1024 }; /* moved at a time */

/* X(NAME): how far the reply is, as whoever has the request says. */
#define STEPS(X)                                                                                                       \
	X(NONE)                                                                                                          \
	X(BEGUN) /* a streamed one: what follows comes by the pipe, its end too */                                      \
	X(WHOLE)                                                                                                         \
	X(REFUSED)                                                                                                       \
	X(ABORTED)

#define X(name) STEP_##name,
enum step { STEPS(X) };
#undef X

enum { TOLD_READABLE = 1 << MESH_EVENT_READABLE, TOLD_WRITABLE = 1 << MESH_EVENT_WRITABLE, TOLD_GONE = 1 << MESH_EVENT_GONE };

struct mesh__inbound_stream {
	struct mesh_inbound *in;
	struct mesh__pipe up, down;  /* the request's body, the reply's */
	struct mesh__post post;
	atomic_bool posted;          /* it has yet to run; it holds a reference */
	atomic_bool wanted;          /* the request's body is to be fetched */
	_Atomic int step;
	/* Of the one who has the request, who says so in `step`. */
	int32_t status;
	bool bodiless;
	int64_t left;                /* of a length that was told */
	struct mesh__reply reply;    /* WHOLE */
	struct mesh__buf body;       /* its body; the message of a refusal */
	const char *refusal;         /* REFUSED: the code */
	bool unprocessed;
	/* The loop's alone. */
	bool attached;               /* it has a reference to the request, and one to the exchange, until it is over */
	bool fetched;                /* all of the request's body, or all that will come */
	bool begun;
	bool over;
	pthread_mutex_t mu;          /* guards what follows */
	mesh_inbound_fn fn;
	void *user;
	unsigned told;               /* to be told */
	bool ended;                  /* nobody has the request any more */
};

/* ---- Events ---- */

static void note(struct mesh__inbound_stream *s, unsigned what)
{
	(void)pthread_mutex_lock(&s->mu);
	s->told |= what;
	(void)pthread_mutex_unlock(&s->mu);
}

/* The next event to be told, and to whom; 0: none. */
static int32_t next_event(struct mesh__inbound_stream *s, mesh_inbound_fn *fn, void **user)
{
	int32_t kind = 0;

	(void)pthread_mutex_lock(&s->mu);
	if (s->fn != NULL && !s->ended) {
		for (kind = MESH_EVENT_GONE; kind > 0 && (s->told & 1u << kind) == 0; kind--) {
		}
		s->told &= ~(1u << kind);
	}
	*fn = s->fn;
	*user = s->user;
	(void)pthread_mutex_unlock(&s->mu);
	return kind;
}

/* On the loop, with nothing of it on the stack: who is told may do all that the public header allows. */
static void tell(struct mesh__inbound_stream *s)
{
	mesh_inbound_fn fn;
	void *user;
	int32_t kind;

	while ((kind = next_event(s, &fn, &user)) != 0) {
		fn(user, s->in, kind);
	}
}

/* ---- The loop's side ---- */

/* It has done its part: the exchange is over, or left to whoever has it. */
static void finish(struct mesh__inbound_stream *s)
{
	s->over = true;
	mesh__inbound_unref(s->in); /* the caller has one of his own */
}

static void lose(struct mesh__inbound_stream *s)
{
	mesh__exchange_watch(s->in->x, NULL, NULL);
	mesh__exchange_unref(s->in->x);
	mesh__pipe_abort(&s->up, MESH_E_RESET);
	mesh__pipe_abort(&s->down, MESH_E_RESET);
	note(s, TOLD_GONE);
	finish(s);
}

/* What the core says of an exchange that is gone. A reader who may wait until a time takes MESH_E_TIMEOUT for its own. */
static int body_code(int code)
{
	return code == MESH_E_TIMEOUT ? MESH_E_RESET : code;
}

static void fetch(struct mesh__inbound_stream *s)
{
	char piece[PIECE];
	size_t room, n;

	while (!s->fetched && (room = mesh__pipe_room(&s->up)) > 0) {
		int code = mesh__exchange_read(s->in->x, piece, room < PIECE ? room : PIECE, &n);

		if (code == MESH_E_WOULD_BLOCK) {
			return;
		}
		if (code == MESH_OK && n > 0) {
			code = mesh__pipe_put(&s->up, piece, n);
			s->fetched = code != MESH_OK;
		} else {
			s->fetched = true;
		}
		if (code != MESH_OK) {
			mesh__pipe_abort(&s->up, body_code(code));
		} else if (n == 0) {
			mesh__pipe_end(&s->up, MESH_OK);
		}
	}
}

static void end(struct mesh__inbound_stream *s)
{
	const struct mesh__field_list *trailers = &s->in->trailers;
	bool ok = true;

	for (size_t i = 0; i < trailers->n && ok; i++) {
		ok = mesh__stream_trailer(s->in->x, trailers->list[i].name, trailers->list[i].value);
	}
	mesh__exchange_watch(s->in->x, NULL, NULL);
	if (ok) {
		mesh__stream_end(s->in->x);
	} else {
		mesh__stream_abort(s->in->x);
	}
	finish(s);
}

static void write_out(struct mesh__inbound_stream *s)
{
	char piece[PIECE];
	size_t room, n;

	while ((room = mesh__stream_room(s->in->x)) > 0) {
		int code = mesh__pipe_read(&s->down, piece, room < PIECE ? room : PIECE, &n);

		if (code == MESH_OK && n == 0) {
			end(s);
			return;
		}
		if (code != MESH_OK || !mesh__stream_write(s->in->x, piece, n)) {
			return; /* nothing there, which is told; or it is gone, which is told too */
		}
	}
}

static void refuse(struct mesh__inbound_stream *s)
{
	const char *message = s->body.data != NULL ? s->body.data : "";

	if (s->unprocessed) {
		mesh__exchange_refuse_unprocessed(s->in->x, s->status, s->refusal, message);
	} else {
		mesh__exchange_refuse(s->in->x, s->status, s->refusal, message);
	}
}

static void deliver(struct mesh__inbound_stream *s)
{
	const struct mesh__field_list *fields = &s->in->fields;

	switch ((enum step)atomic_load(&s->step)) {
	case STEP_NONE:
		break;
	case STEP_BEGUN:
		if (!s->begun && !mesh__stream_begin(s->in->x, s->status, fields->list, fields->n, NULL, NULL)) {
			lose(s);
			break;
		}
		s->begun = true;
		write_out(s);
		break;
	case STEP_WHOLE:
		mesh__exchange_watch(s->in->x, NULL, NULL);
		mesh__exchange_reply(s->in->x, &s->reply);
		finish(s);
		break;
	case STEP_REFUSED:
		mesh__exchange_watch(s->in->x, NULL, NULL);
		refuse(s);
		finish(s);
		break;
	case STEP_ABORTED:
		mesh__exchange_watch(s->in->x, NULL, NULL);
		mesh__stream_abort(s->in->x);
		finish(s);
		break;
	}
}

static void attach(struct mesh__inbound_stream *s);

/* The caller has a reference. */
static void run(struct mesh__inbound_stream *s)
{
	if (!s->attached) {
		attach(s);
	}
	if (!s->over && atomic_load(&s->wanted)) {
		fetch(s);
	}
	if (!s->over) {
		deliver(s);
	}
	tell(s);
}

static void on_event(void *arg)
{
	struct mesh__inbound_stream *s = arg;
	struct mesh_inbound *in = s->in;

	mesh__inbound_ref(in);
	run(s);
	mesh__inbound_unref(in);
}

static void on_gone(void *arg)
{
	struct mesh__inbound_stream *s = arg;
	struct mesh_inbound *in = s->in;

	mesh__inbound_ref(in);
	if (!s->over) {
		lose(s);
	}
	tell(s);
	mesh__inbound_unref(in);
}

static void attach(struct mesh__inbound_stream *s)
{
	static const struct mesh__exchange_events events = {on_event, on_event, on_gone};

	s->attached = true;
	mesh__inbound_ref(s->in);
	mesh__exchange_ref(s->in->x);
	mesh__exchange_watch(s->in->x, &events, s);
	if (mesh__exchange_is_gone(s->in->x)) {
		lose(s); /* that was told when nobody listened */
	}
}

/* ---- The way to the loop ---- */

static void on_posted(void *arg)
{
	struct mesh__inbound_stream *s = arg;
	struct mesh_inbound *in = s->in;

	atomic_store(&s->posted, false);
	run(s);
	mesh__inbound_unref(in);
}

/* Any thread. Without its loop the caller has gone; nobody else would end a wait. */
static void go_on(void *arg)
{
	struct mesh__inbound_stream *s = arg;

	if (atomic_exchange(&s->posted, true)) {
		return;
	}
	mesh__inbound_ref(s->in);
	if (!mesh__exchange_post(s->in->x, &s->post, on_posted, s)) {
		atomic_store(&s->posted, false);
		mesh__pipe_abort(&s->up, MESH_E_RESET);
		mesh__pipe_abort(&s->down, MESH_E_RESET);
		mesh__inbound_unref(s->in);
	}
}

static void up_readable(void *arg)
{
	note(arg, TOLD_READABLE); /* it is the loop that fills it, and tells when it is done */
}

static void down_writable(void *arg)
{
	note(arg, TOLD_WRITABLE); /* likewise */
}

/* ---- Its life ---- */

static struct mesh__inbound_stream *stream_new(struct mesh_inbound *in)
{
	const struct mesh__env *env = in->server->env;
	struct mesh__inbound_stream *s = mesh__alloc(&env->mem, sizeof(*s));

	if (s != NULL) {
		s->in = in;
		mesh__pipe_init(&s->up, env, &(struct mesh__pipe_options){MESH__PIPE_HIGH, MESH__PIPE_LOW, up_readable, go_on, s});
		mesh__pipe_init(&s->down, env, &(struct mesh__pipe_options){MESH__PIPE_HIGH, MESH__PIPE_LOW, go_on, down_writable, s});
		mesh__buf_init(&s->body, &env->mem, SIZE_MAX / 2);
		(void)pthread_mutex_init(&s->mu, NULL);
		in->stream = s;
	}
	return s;
}

void mesh__inbound_stream_free(struct mesh__inbound_stream *s)
{
	if (s != NULL) {
		(void)pthread_mutex_destroy(&s->mu);
		mesh__buf_fini(&s->body);
		mesh__pipe_fini(&s->down);
		mesh__pipe_fini(&s->up);
		mesh__free(s);
	}
}

bool mesh__inbound_stream_open(struct mesh_inbound *in)
{
	struct mesh__inbound_stream *s = stream_new(in);

	if (s == NULL) {
		return false;
	}
	in->body_streams = true;
	/* Who asks whether to send the body is told to when the handler reads it. */
	atomic_store(&s->wanted, mesh__exchange_header(in->x, "expect") == NULL);
	run(s);
	return true;
}

/* What a request that came whole needs from when its reply is streamed, or somebody wants to be told. */
static struct mesh__inbound_stream *stream_of(struct mesh_inbound *in)
{
	return in->stream != NULL ? in->stream : stream_new(in);
}

/* ---- The body ---- */

static int read_whole(struct mesh_inbound *in, void *buf, size_t size, size_t *n)
{
	size_t len;
	const char *body = mesh__exchange_body(in->x, &len);

	*n = size < len - in->read_at ? size : len - in->read_at;
	memcpy(buf, body + in->read_at, *n);
	in->read_at += *n;
	return MESH_OK;
}

int mesh__inbound_read(struct mesh_inbound *in, void *buf, size_t size, size_t *n, int64_t deadline_us)
{
	struct mesh__inbound_stream *s = in->stream;
	int code;

	*n = 0;
	if (in->body_ended) {
		return MESH_OK;
	}
	if (!in->body_streams) {
		code = read_whole(in, buf, size, n);
	} else {
		if (!atomic_exchange(&s->wanted, true)) {
			go_on(s);
		}
		code = deadline_us == 0 ? mesh__pipe_read(&s->up, buf, size, n) : mesh__pipe_read_until(&s->up, buf, size, n, deadline_us);
	}
	in->body_ended = code == MESH_OK && *n == 0;
	return code;
}

int mesh__inbound_collect(struct mesh_inbound *in, int64_t deadline_us)
{
	struct mesh__buf *to = &in->collected;
	int code = MESH_OK;

	while (code == MESH_OK && in->body_streams && !in->body_ended) {
		size_t room = to->max_bytes - to->len < PIECE ? to->max_bytes - to->len : PIECE, n;
		char over, *at = room == 0 ? &over : mesh__buf_reserve(to, room);

		code = at == NULL ? MESH_E_NO_MEMORY : mesh__inbound_read(in, at, room == 0 ? 1 : room, &n, deadline_us);
		if (code == MESH_OK && room == 0 && n > 0) {
			code = MESH_E_TOO_LARGE;
		} else if (code == MESH_OK) {
			to->len += n;
			to->data[to->len] = '\0';
		}
	}
	return code;
}

/* ---- What comes to pass ---- */

int mesh__inbound_on_stream(struct mesh_inbound *in, mesh_inbound_fn fn, void *user)
{
	struct mesh__inbound_stream *s = stream_of(in);

	if (s == NULL) {
		return MESH_E_NO_MEMORY;
	}
	(void)pthread_mutex_lock(&s->mu);
	s->fn = fn;
	s->user = user;
	(void)pthread_mutex_unlock(&s->mu);
	go_on(s); /* what has come to pass already is told too */
	return MESH_OK;
}

/* ---- The reply ---- */

/* From here on nobody has the request; its loop does what is left. */
static void let_go(struct mesh_inbound *in)
{
	struct mesh__inbound_stream *s = in->stream;

	(void)pthread_mutex_lock(&s->mu);
	s->ended = true;
	(void)pthread_mutex_unlock(&s->mu);
	go_on(s);
	mesh__inbound_unref(in);
}

static void step_to(struct mesh__inbound_stream *s, enum step step)
{
	atomic_store(&s->step, (int)step);
}

int mesh__inbound_begin(struct mesh_inbound *in, int32_t status)
{
	struct mesh__inbound_stream *s = stream_of(in);

	if (s == NULL || in->failed) {
		return MESH_E_NO_MEMORY;
	}
	if (in->begun) {
		return MESH_E_STATE;
	}
	s->status = in->status = status;
	s->bodiless = status == 204 || status == 304 || strcmp(mesh__exchange_method(in->x), "HEAD") == 0;
	s->left = in->length;
	in->begun = true;
	step_to(s, STEP_BEGUN);
	go_on(s);
	return MESH_OK;
}

int mesh__inbound_write(struct mesh_inbound *in, const void *bytes, size_t len, size_t *n, int64_t deadline_us)
{
	struct mesh__inbound_stream *s = in->stream;
	int code;

	*n = 0;
	if (!in->begun) {
		return MESH_E_STATE;
	}
	if (s->bodiless) {
		*n = len;
		return mesh__exchange_is_gone(in->x) ? MESH_E_RESET : MESH_OK;
	}
	if (s->left >= 0 && len > (uint64_t)s->left) {
		return MESH_E_TOO_LARGE;
	}
	code = deadline_us == 0 ? mesh__pipe_write(&s->down, bytes, len, n) : mesh__pipe_write_until(&s->down, bytes, len, n, deadline_us);
	s->left -= s->left >= 0 ? (int64_t)*n : 0;
	return code;
}

int mesh__inbound_abort(struct mesh_inbound *in)
{
	struct mesh__inbound_stream *s = stream_of(in);

	if (s == NULL) {
		mesh__inbound_drop(in); /* the caller is answered 500 */
		return MESH_E_NO_MEMORY;
	}
	step_to(s, STEP_ABORTED);
	let_go(in);
	return MESH_OK;
}

int mesh__inbound_end(struct mesh_inbound *in)
{
	struct mesh__inbound_stream *s = in->stream;

	if (!in->begun || in->failed || (s->left > 0 && !s->bodiless)) {
		int code = in->failed ? MESH_E_NO_MEMORY : in->begun ? MESH_E_INVALID : MESH_E_STATE;

		(void)mesh__inbound_abort(in);
		return code;
	}
	mesh__pipe_end(&s->down, MESH_OK);
	let_go(in);
	return MESH_OK;
}

int mesh__inbound_stream_reply(struct mesh_inbound *in, const struct mesh__reply *reply)
{
	struct mesh__inbound_stream *s = in->stream;

	if (in->begun) {
		(void)mesh__inbound_abort(in);
		return MESH_E_STATE;
	}
	if (reply->body != NULL) {
		mesh__buf_add(&s->body, reply->body, reply->body_len);
	}
	if (s->body.error != MESH_OK) {
		(void)mesh__inbound_stream_refuse(in, 500, "internal", "the handler's reply could not be kept", false);
		return MESH_E_NO_MEMORY;
	}
	s->reply = *reply;
	s->reply.body = s->body.data;
	step_to(s, STEP_WHOLE);
	let_go(in);
	return MESH_OK;
}

int mesh__inbound_stream_refuse(struct mesh_inbound *in, int status, const char *code, const char *message, bool unprocessed)
{
	struct mesh__inbound_stream *s = in->stream;

	if (in->begun) {
		(void)mesh__inbound_abort(in);
		return MESH_E_STATE;
	}
	s->status = status;
	s->refusal = code;
	s->unprocessed = unprocessed;
	mesh__buf_fini(&s->body);
	mesh__buf_str(&s->body, message);
	step_to(s, STEP_REFUSED);
	let_go(in);
	return MESH_OK;
}
