/*
 * The real server core under a script: bytes cut anywhere on several connections, half-closes, resets, peers that do not read, a clock that moves, handlers that reply now, later, never, from another
 * thread, or with a stream, a drain, and an end in the middle. The input is what peers send; a byte from 0xf8 on is a step of the script (enum step). A script that begins with a STEP_MODE of 0x80 or more has a server that streams
 * bodies: some acts are then others (streamed_act), and from 0xc0 on readers take all that comes.
 *
 * What must hold: the handler sees exactly the requests that the model reads (server_model.h), one at a time and in order, no field of which could forge anything; answers come whole, one a request, in
 * order, none after a last one; what is read of a body is what was sent of it, and its end is the end; each wait is followed by one event, and none comes from inside a call; all ends, and no memory is left.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/server.h"
#include "server_answers.h"
#include "server_core.h"
#include "server_io.h"
#include "server_model.h"
#include "server_reader.h"

enum { N_LINKS = 4, N_HELD = 12, N_REQUESTS = 512, CONNECTIONS_MAX = 3, STREAM_MAX = 8192, STREAM_MAX_WITH_ROOM = 1024 * 1024, BIG = 20000, STATUS_REFUSED = 403 /* the handler's, without a tag; the core never says it */ };

enum step {
	STEP_LINK = 0xf8,   /* n: goes on with connection n, dialled where it is not open */
	STEP_CUT = 0xf9,    /* what was sent so far arrives */
	STEP_END = 0xfa,    /* half-close */
	STEP_RESET = 0xfb,
	STEP_CLOCK = 0xfc,  /* n: time passes (delays_ms) */
	STEP_HELD = 0xfd,   /* n: act n % 16 on the held request n / 16 */
	STEP_MODE = 0xfe,   /* n: what the handler does with requests from here on */
	STEP_OTHER = 0xff   /* n: 255 drain, 254 the end, 253 no bound, else the connection takes n * 64 more bytes of what is said to it */
};

enum act { ACT_REPLY, ACT_REPLY_ELSEWHERE, ACT_REFUSE, ACT_FORGET, ACT_FORGET_ELSEWHERE, ACT_BEGIN, ACT_WRITE, ACT_WRITE_BIG, ACT_END, ACT_CLOSE, ACT_FORGERY, ACT_204, ACT_304, ACT_BIG, ACT_TWICE, ACT_HOLD };

/* With a server that streams bodies, in the place of those that are as good as others. */
enum { ACT_READ = ACT_REFUSE, ACT_WRITE_ROOM = ACT_FORGET_ELSEWHERE, ACT_BEGIN_SIZED = ACT_CLOSE, ACT_TRAILERS = ACT_FORGERY, ACT_ABORT = ACT_TWICE };

struct link {
	struct io_peer peer;
	bool dialled;
	unsigned serial;
	struct mesh__buf sent;   /* all that the server may have read */
	size_t model_at;         /* what the model has read of it */
	bool reading;            /* the request there has been handed over, and its body may not be whole */
	bool over;               /* the last request has been read, or the last answer was asked for */
	bool streamed;
	bool busy;               /* the handler has a request of it */
	int n_requests;          /* that the handler has seen, and how: */
	struct { bool head, http_1_0, expects, answered; } requests[N_REQUESTS];
};

struct held {
	struct mesh__exchange *x; /* first, for core_place() */
	struct link *link;       /* NULL once the connection is another */
	int index;               /* of the request on its connection */
	bool streaming, ended;
	char tag[32];
	struct reader reader;    /* with a server that streams bodies */
};

static struct {
	struct link links[N_LINKS];
	struct held held[N_HELD];
	unsigned n_serials;
	int mode, at;
	bool stopped, streams;
} stage;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- What the handler sees ---- */

static void check_fields(const struct mesh__exchange *x, const struct model_request *model)
{
	size_t n = 0;

	for (size_t i = 0; i < model->n_fields; i++) {
		struct mesh__field_text f;

		if (model->names[i].len > 4 && strncasecmp(model->names[i].at, "mesh-", 5) == 0) {
			continue;
		}
		CHECK(n < mesh__exchange_n_fields(x));
		f = mesh__exchange_field(x, n++);
		CHECK(text_same_nocase(model->names[i], f.name) && text_same(model->values[i], f.value));
		CHECK(strpbrk(f.value, "\r\n") == NULL && strpbrk(f.name, "\r\n: ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
	}
	CHECK(n == mesh__exchange_n_fields(x));
}

static void check_request(const struct mesh__exchange *x, const struct model_request *model)
{
	size_t len;
	const char *body = mesh__exchange_body(x, &len);
	const char *length = mesh__exchange_header(x, "Content-Length");

	len = stage.streams ? model->body.len : len; /* it is compared as it is read */
	body = stage.streams ? model->body.data : body;
	CHECK(text_same(model->method, mesh__exchange_method(x)));
	CHECK(model->path.at == NULL || (text_same(model->path, mesh__exchange_path(x)) && text_same(model->query, mesh__exchange_query(x))));
	CHECK(len == model->body.len && (len == 0 || memcmp(body, model->body.data, len) == 0));
	CHECK(length == NULL || stage.streams || strtoull(length, NULL, 10) == len);
	CHECK(mesh__exchange_peer(x) == NULL && mesh__exchange_path(x)[0] == '/');
	CHECK(strstr(mesh__exchange_path(x), "//") == NULL && strstr(mesh__exchange_path(x), "/./") == NULL && strstr(mesh__exchange_path(x), "/../") == NULL);
	check_fields(x, model);
}

static enum model_verdict read_model(const struct link *l, struct model_request *model)
{
	return model_read(l->sent.data + l->model_at, l->sent.len - l->model_at, stage.streams, model);
}

/* The request that was handed over last is passed over once it is whole. */
static void pass(struct link *l)
{
	struct model_request model;

	if (l->reading) {
		enum model_verdict v = read_model(l, &model);

		if (v == MODEL_TAKE || v == MODEL_MAY) {
			l->model_at += model.used;
			l->reading = false;
		}
		model_fini(&model);
	}
}

static int take_request(struct link *l, const struct mesh__exchange *x)
{
	struct model_request model;
	enum model_verdict v;
	int index = l->n_requests++;

	pass(l);
	CHECK(!l->reading);
	v = read_model(l, &model);
	v = stage.streams && v == MODEL_UNFINISHED ? model.head : v;
	CHECK(v == MODEL_TAKE || v == MODEL_MAY);
	CHECK(!l->over && !l->busy && index < N_REQUESTS);
	check_request(x, &model);
	l->reading = stage.streams;
	l->model_at += stage.streams ? 0 : model.used;
	l->over = model.last;
	l->busy = true;
	l->requests[index].head = text_same(model.method, "HEAD");
	l->requests[index].http_1_0 = model.http_1_0;
	l->requests[index].expects = model.expects;
	l->requests[index].answered = false;
	model_fini(&model);
	return index;
}

/* ---- What it does ---- */

static void on_gone(void *arg)
{
	struct held *h = arg;

	CHECK(h->x != NULL && h->streaming && !h->ended && !h->reader.in_call);
	h->ended = true; /* once */
}

static void mark(struct held *h, bool last)
{
	if (h->link != NULL) {
		h->link->requests[h->index].answered = true;
		pass(h->link);
		h->link->over |= last || h->link->reading; /* an early answer is the last */
		h->link->busy = false;
	}
	reader_end(&h->reader);
}

/* ---- Streamed bodies ---- */

static void on_gone_event(void *arg)
{
	struct held *h = arg;

	if (h->link != NULL) {
		h->link->busy = false;
		h->link->over = true;
		h->link = NULL;
	}
}

static void abort_stream(struct held *h)
{
	struct mesh__exchange *x = h->x;

	mark(h, true);
	h->x = NULL;
	mesh__stream_abort(x);
}

static void reply(struct held *h, int status, const char *body, size_t len, bool close, const struct mesh__field_text *more)
{
	struct mesh__field_text fields[2] = {{"X-Tag", h->tag}};
	struct mesh__reply r = {.status = status, .fields = fields, .n_fields = 1, .body = body, .body_len = len, .close = close};
	struct mesh__exchange *x = h->x;

	if (more != NULL) {
		fields[r.n_fields++] = *more;
	}
	mark(h, close);
	h->x = NULL;
	mesh__exchange_reply(x, &r);
}

static void reply_tag(struct held *h)
{
	reply(h, 200, h->tag, strlen(h->tag), false, NULL);
}

static void reply_trailers(struct held *h, const struct mesh__field_text *trailers, size_t n)
{
	struct mesh__field_text field = {"X-Tag", h->tag};
	struct mesh__reply r = {.status = 200, .fields = &field, .n_fields = 1, .body = h->tag, .body_len = strlen(h->tag), .trailers = trailers, .n_trailers = n};
	struct mesh__exchange *x = h->x;

	mark(h, false);
	h->x = NULL;
	mesh__exchange_reply(x, &r);
}

static void reply_twice(struct held *h)
{
	struct mesh__exchange *x = h->x;

	mesh__exchange_ref(x);
	reply_tag(h);
	mesh__exchange_refuse(x, 500, "twice", "never seen");
}

/* The core answers in its own words, or cuts what was half said. */
static void forget(struct held *h)
{
	struct mesh__exchange *x = h->x;

	mark(h, true);
	h->x = NULL;
	mesh__exchange_unref(x);
}

static void refuse(struct held *h)
{
	struct mesh__exchange *x = h->x;

	mark(h, false);
	h->x = NULL;
	mesh__exchange_refuse(x, STATUS_REFUSED, "refused", "\"no\"\r\n");
}

static void begin(struct held *h, bool sized)
{
	struct mesh__field_text fields[2] = {{"X-Tag", h->tag}, {"Content-Length", "30"}};

	if (mesh__stream_begin(h->x, 200, fields, sized ? 2 : 1, on_gone, h)) {
		h->streaming = true;
		if (h->link != NULL) {
			h->link->streamed = true;
			h->link->requests[h->index].answered = true;
		}
	}
}

static void end_stream(struct held *h)
{
	struct mesh__exchange *x = h->x;

	mark(h, false);
	h->ended = true;
	h->x = NULL;
	mesh__stream_end(x);
}

static void act_on_stream(struct held *h, enum act act)
{
	static const char big[BIG] = {'S'};

	switch (act) {
	case ACT_WRITE:
		(void)!mesh__stream_write(h->x, h->tag, strlen(h->tag));
		break;
	case ACT_WRITE_BIG:
		(void)!mesh__stream_write(h->x, big, sizeof(big) / 4);
		break;
	case ACT_BEGIN: /* a second time: nothing begins */
		CHECK(!mesh__stream_begin(h->x, 200, NULL, 0, NULL, NULL));
		break;
	case ACT_FORGET:
		forget(h);
		break;
	default:
		end_stream(h);
	}
}

/* True when it was one that only a server which streams bodies knows. */
static bool streamed_act(struct held *h, enum act act)
{
	static const struct mesh__field_text trailers[] = {{"X-Sum", "7"}, {"Content-Length", "9"}, {"mesh-load", "1"}};

	if (!stage.streams) {
		return false;
	}
	if ((int)act == ACT_READ) {
		(void)reader_take(&h->reader, 7);
	} else if ((int)act == ACT_WRITE_ROOM && h->streaming) {
		reader_write_room(&h->reader);
	} else if ((int)act == ACT_BEGIN_SIZED && !h->streaming) {
		begin(h, true);
	} else if ((int)act == ACT_TRAILERS && h->streaming) {
		(void)!mesh__stream_trailer(h->x, "X-Sum", "7"); /* 128 of them fit */
		CHECK(mesh__stream_trailer(h->x, "Host", "x"));
	} else if ((int)act == ACT_TRAILERS) {
		reply_trailers(h, trailers, 3);
	} else if ((int)act == ACT_ABORT) {
		abort_stream(h);
	} else {
		return false;
	}
	return true;
}

static void act_whole(struct held *h, enum act act)
{
	static const struct mesh__field_text forgery = {"X-Split", "a\r\nSet-Cookie: b"};
	static const char big[BIG] = {'B'};

	switch (act) {
	case ACT_REFUSE:
		refuse(h);
		break;
	case ACT_FORGET:
	case ACT_FORGET_ELSEWHERE:
		forget(h);
		break;
	case ACT_BEGIN:
		begin(h, false);
		break;
	case ACT_CLOSE:
		reply(h, 200, h->tag, strlen(h->tag), true, NULL);
		break;
	case ACT_FORGERY:
		reply(h, 599, h->tag, strlen(h->tag), false, &forgery); /* a status that has no phrase */
		break;
	case ACT_204:
		reply(h, 204, NULL, 0, false, NULL);
		break;
	case ACT_304:
		reply(h, 304, "none", 4, false, NULL);
		break;
	case ACT_BIG:
		reply(h, 200, big, sizeof(big), false, NULL);
		break;
	case ACT_TWICE:
		reply_twice(h);
		break;
	default:
		reply_tag(h);
	}
}

static void act(struct held *h, enum act what)
{
	bool elsewhere = !h->streaming && (what == ACT_REPLY_ELSEWHERE || (what == ACT_FORGET_ELSEWHERE && !stage.streams));

	if (h->x == NULL || what == ACT_HOLD) {
		return;
	}
	if (stage.streams && elsewhere) {
		mesh__exchange_watch(h->x, NULL, NULL);
	}
	io_be_on_loop(core.loop, !elsewhere);
	if (streamed_act(h, what)) {
		;
	} else if (h->streaming) {
		act_on_stream(h, what);
	} else {
		act_whole(h, what);
	}
	io_be_on_loop(core.loop, true);
}

static void on_request(void *user, struct mesh__exchange *x)
{
	struct link *l = &stage.links[core_link_of(x, N_LINKS)];
	struct held now = {.x = x}, *h = core_place(stage.held, N_HELD, sizeof(now), &now);

	(void)user;
	CHECK(l->dialled && !l->peer.closed);
	*h = (struct held){.x = x, .link = l, .index = take_request(l, x)};
	(void)snprintf(h->tag, sizeof(h->tag), "%u.%d", l->serial, h->index);
	if (stage.streams && h != &now) {
		reader_begin(&h->reader, x, &l->sent, l->model_at, (stage.mode & 0xc0) == 0xc0, on_gone_event, h);
	}
	act(h, h == &now ? ACT_REPLY : (enum act)(stage.mode % 16));
}

/* ---- What was said to a peer ---- */

/* Of the answer to a request that the handler had: true when it is whole. */
static bool check_tagged(const struct link *l, const struct answer *a, int index, const char *heard, size_t len, size_t *at)
{
	bool bodyless = l->requests[index].head || a->status == 204 || a->status == 304;
	char tag[32];

	(void)snprintf(tag, sizeof(tag), "%u.%d", l->serial, index);
	CHECK((a->status == STATUS_REFUSED || strcmp(a->tag, tag) == 0) && l->requests[index].answered);
	CHECK(!l->requests[index].http_1_0 || (a->close && !a->chunked));
	if (bodyless) {
		return true;
	}
	if (a->chunked) {
		int rc = answer_chunks(heard, len, at);

		CHECK(rc >= 0);
		return rc > 0;
	}
	if (!a->has_length) {
		CHECK(a->close); /* until the end of the connection */
		*at = len;
		return true;
	}
	*at = a->length < len - *at ? *at + a->length : len;
	return len - (size_t)(a->body - heard) >= a->length;
}

/* The core's own, which is always the last. */
static void check_own(const struct answer *a, const char *heard, size_t len, bool cut)
{
	size_t left = len - (size_t)(a->body - heard);

	CHECK(a->status >= 400 && a->close && !a->chunked && a->has_length);
	CHECK(left == a->length || left == 0 || cut); /* to HEAD without a body */
}

struct tale {
	int n_answers; /* to requests that the handler had */
	int own;       /* then one of the core's own: its status */
	bool whole;
};

static struct tale check_answers(const struct link *l)
{
	const char *heard = l->peer.heard.data;
	size_t len = l->peer.heard.len, at = 0;
	struct tale tale = {.whole = true};
	struct answer a = {.status = 0};

	while (at < len && tale.whole && tale.own == 0) {
		int rc = answer_head(heard, len, &at, &a);

		CHECK(rc >= 0);
		tale.whole = rc > 0;
		if (rc > 0 && a.status == 100) {
			CHECK(!a.close && a.tag[0] == '\0');
		} else if (rc > 0 && a.tag[0] == '\0' && a.status != STATUS_REFUSED) {
			tale.own = a.status;
			check_own(&a, heard, len, l->peer.server_reset || l->peer.reset || l->peer.window == 0);
		} else if (rc > 0) {
			CHECK(tale.n_answers < l->n_requests);
			tale.whole = check_tagged(l, &a, tale.n_answers, heard, len, &at);
			tale.n_answers += tale.whole;
			CHECK(!a.close || at == len || !tale.whole);
		}
	}
	return tale;
}

/* What the model says of what comes after the requests that the handler had. */
static enum model_verdict verdict_on_rest(const struct link *l)
{
	struct model_request model;
	enum model_verdict v = l->sent.len == l->model_at ? MODEL_UNFINISHED : read_model(l, &model);

	if (l->sent.len > l->model_at) {
		model_fini(&model);
	}
	return v;
}

/* At the end of a connection. */
static void check_link(struct link *l)
{
	struct tale tale = check_answers(l);
	bool broken = l->peer.reset || l->peer.server_reset || core.draining || (l->peer.ended && l->streamed);
	int n_due = 0;

	if (broken) {
		return;
	}
	pass(l);
	CHECK(tale.whole);
	if (tale.own != 0) {
		/* But for those about time and silence, its words are about a request that the handler did not see. */
		CHECK(tale.own == 408 || tale.own == 500 || tale.own == 503 || verdict_on_rest(l) != MODEL_TAKE);
		return;
	}
	for (int i = 0; i < l->n_requests; i++) {
		n_due += l->requests[i].answered;
	}
	CHECK(tale.n_answers == n_due);
	if (!l->over) {
		enum model_verdict v = verdict_on_rest(l);

		CHECK(v != MODEL_TAKE && v != MODEL_REFUSE); /* else it had been handled, or answered in the core's own words */
	}
}

/* ---- The script ---- */

static void check_waits(void)
{
	for (int i = 0; i < N_HELD; i++) {
		const struct held *h = &stage.held[i];

		if (h->x != NULL && h->link != NULL && !h->link->peer.closed) {
			reader_check_waits(&h->reader, h->link->peer.window > SIZE_MAX / 2);
		}
	}
}

static void run(void)
{
	io_run(core.loop);
	check_waits();
}

static void hang_up(struct link *l)
{
	if (!l->dialled) {
		return;
	}
	for (int i = 0; i < N_HELD; i++) {
		if (stage.held[i].link == l) {
			stage.held[i].link = NULL;
			stage.held[i].reader.sent = NULL;
		}
	}
	io_peer_fini(&l->peer);
	mesh__buf_fini(&l->sent);
	l->dialled = false;
}

static void dial(struct link *l)
{
	uint16_t port = (uint16_t)(l - stage.links + 1);

	if (l->dialled && !l->peer.closed) {
		return;
	}
	if (l->dialled) {
		check_link(l);
	}
	hang_up(l);
	memset(l, 0, offsetof(struct link, requests));
	mesh__buf_init(&l->sent, mesh__mem_libc(), SIZE_MAX / 2);
	l->serial = ++stage.n_serials;
	l->dialled = io_dial(core.loop, &l->peer, port);
}

static void say(struct link *l, const uint8_t *bytes, size_t len)
{
	if (len > 0 && l->dialled && !l->peer.closed && !l->peer.ended && !l->peer.reset) {
		mesh__buf_add(&l->peer.to_server, bytes, len);
		if (!l->peer.server_ended) {
			mesh__buf_add(&l->sent, bytes, len);
		}
	}
}

static void other(struct link *l, uint8_t n)
{
	if (n == 255) {
		core_drain();
	} else if (n == 254) {
		stage.stopped = true;
	} else if (n == 253) {
		l->peer.window = SIZE_MAX;
	} else if (n < 253) {
		l->peer.window = n * 64U;
	}
}

static void step(enum step what, uint8_t n)
{
	static const int delays_ms[16] = {0, 1, 100, 250, 999, 1000, 1001, 2500, 5000, 9999, 10001, 30001, 60001, 90001, 120001, 600000};
	struct link *l = &stage.links[stage.at];

	switch (what) {
	case STEP_LINK:
		stage.at = n % N_LINKS;
		dial(&stage.links[stage.at]);
		break;
	case STEP_CUT:
		break;
	case STEP_END:
		l->peer.ended = true;
		break;
	case STEP_RESET:
		l->peer.reset = true;
		break;
	case STEP_CLOCK:
		fake_env_advance_ms(&core.fake, delays_ms[n % 16]);
		break;
	case STEP_HELD:
		act(&stage.held[n / 16 % N_HELD], (enum act)(n % 16));
		break;
	case STEP_MODE:
		stage.mode = n;
		break;
	case STEP_OTHER:
		other(l, n);
		break;
	}
	run();
}

static bool has_operand(uint8_t what)
{
	return what != STEP_CUT && what != STEP_END && what != STEP_RESET;
}

static void play(const uint8_t *data, size_t size)
{
	size_t from = 0, i;

	dial(&stage.links[0]);
	for (i = 0; i < size && !stage.stopped; i++) {
		if (data[i] >= STEP_LINK) {
			say(&stage.links[stage.at], data + from, i - from);
			run();
			if (has_operand(data[i]) && i + 1 == size) {
				return;
			}
			step((enum step)data[i], has_operand(data[i]) ? data[i + 1] : 0);
			i += has_operand(data[i]);
			from = i + 1;
		}
	}
	say(&stage.links[stage.at], data + (from < i ? from : i), from < i ? i - from : 0);
	run();
}

/* All replies are made, and all peers read. */
static void settle(void)
{
	for (int i = 0; i < N_LINKS; i++) {
		stage.links[i].peer.window = SIZE_MAX;
	}
	stage.mode = ACT_REPLY;
	for (int i = 0; i < N_HELD; i++) {
		act(&stage.held[i], ACT_REPLY);
		run();
	}
}

static void finish(void)
{
	if (!stage.stopped) {
		settle();
		for (int i = 0; i < N_LINKS; i++) {
			if (stage.links[i].dialled) {
				check_link(&stage.links[i]);
			}
		}
		core_outlast(4, run);
	}
	mesh__http_server_free(core.server);
	for (int i = 0; i < N_HELD; i++) {
		act(&stage.held[i], ACT_REPLY); /* after the server: to nobody */
	}
	for (int i = 0; i < N_LINKS; i++) {
		hang_up(&stage.links[i]);
	}
}

static void set_up(const uint8_t *data, size_t size)
{
	struct mesh__http_options options = {.name = "fuzz", .handler = on_request};

	memset(stage.held, 0, sizeof(stage.held));
	stage.n_serials = 0;
	stage.mode = stage.at = 0;
	stage.stopped = false;
	mesh__http_limits_default(&options.limits);
	options.limits.max_connections = CONNECTIONS_MAX;
	options.limits.max_header_bytes = MODEL_HEADER_MAX;
	options.limits.max_fields = MODEL_FIELDS_MAX;
	options.limits.max_body_bytes = MODEL_BODY_MAX;
	stage.streams = size >= 2 && data[0] == STEP_MODE && data[1] >= 0x80;
	options.stream_bodies = stage.streams;
	options.limits.max_stream_bytes = stage.streams ? STREAM_MAX_WITH_ROOM : STREAM_MAX;
	core_open(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	set_up(data, size);
	play(data, size);
	finish();
	core_close();
	return 0;
}
