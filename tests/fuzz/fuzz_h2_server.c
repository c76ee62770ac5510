/*
 * The real server core over HTTP/2, in plaintext by prior knowledge, under a script: requests, bodies, trailers, resets, windows, settings, arbitrary frames and bytes on several connections, cut anywhere; peers that do not
 * read, a clock that moves, handlers that reply now, later, never, from another thread, or with a stream, a drain, and an end in the middle. Each step of the input is a byte (enum step) and its operands.
 *
 * What must hold: the handler sees each good request once, as it was said (h2_server_peer.h), and no other; never more at once than streams are allowed, those reset included; a stream's frames come in order and within the
 * windows, its answer whole or its stream reset; all ends, and no memory is left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2_server_peer.h"
#include "http/server.h"
#include "server_core.h"
#include "server_io.h"

enum { N_LINKS = 2, N_HELD = 300, BIG = 20000, STREAM_MAX = 8192, STEPS_MAX = 400, RESETS_SAFE = 90, FRAMES_SAFE = 40 };

enum step {
	STEP_REQUEST, STEP_DATA, STEP_TRAILERS, STEP_RESET, STEP_WINDOW, STEP_SETTINGS, STEP_PING, STEP_PRIORITY, STEP_FRAME, STEP_BLOCK, STEP_BYTES, STEP_CUT, STEP_LINK, STEP_END, STEP_CLOCK, STEP_HELD, STEP_MODE, STEP_TAKE,
	STEP_OTHER, STEPS
};

enum act { ACT_REPLY, ACT_ELSEWHERE, ACT_FORGET, ACT_BEGIN, ACT_WRITE, ACT_WRITE_BIG, ACT_END, ACT_BIG, ACT_FORGERY, ACT_204, ACT_CLOSE, ACT_HOLD, ACTS };

struct held {
	struct mesh__exchange *x; /* first, for core_place() */
	struct h2_link *link; /* NULL once the connection is another */
	unsigned serial;
	uint32_t id;
	bool streaming, gone;
	char tag[32];
};

struct input {
	const uint8_t *at;
	size_t len;
};

static struct {
	struct h2_link links[N_LINKS];
	struct held held[N_HELD];
	unsigned n_serials;
	int mode, at;
	bool stopped;
} stage;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- What the handler sees ---- */

static const char *field(const struct mesh__exchange *x, const char *name)
{
	const char *value = mesh__exchange_header(x, name);

	return value != NULL ? value : "";
}

/* Nothing that could forge anything, whoever said it. */
static void check_form(const struct mesh__exchange *x)
{
	const char *method = mesh__exchange_method(x);
	size_t len;

	(void)mesh__exchange_body(x, &len);
	CHECK(text_all_of((struct text_span){method, strlen(method)}, TEXT_TOKEN) && strcmp(method, "CONNECT") != 0);
	CHECK(mesh__exchange_path(x)[0] == '/' && strpbrk(mesh__exchange_path(x), " \r\n\t#?") == NULL && strpbrk(mesh__exchange_query(x), " \r\n\t#") == NULL);
	CHECK(mesh__exchange_peer(x) == NULL && len <= H2_BODY_MAX);
	CHECK(mesh__exchange_header(x, "content-length") == NULL || strtoull(field(x, "content-length"), NULL, 10) == len);
	CHECK(field(x, "host")[0] != '\0' && strpbrk(field(x, "host"), "@/ ") == NULL);
	for (size_t i = 0; i < mesh__exchange_n_fields(x); i++) {
		struct mesh__field_text f = mesh__exchange_field(x, i);
		struct text_span name = {f.name, strlen(f.name)}, value = {f.value, strlen(f.value)};

		CHECK(text_all_of(name, TEXT_TOKEN) && strpbrk(f.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL && !text_has_control(value));
		CHECK(strncmp(f.name, "mesh-", 5) != 0 && strcmp(f.name, "connection") != 0 && strcmp(f.name, "transfer-encoding") != 0 && strcmp(f.name, "upgrade") != 0);
	}
}

static void check_said(struct h2_link *l, uint32_t id, const struct mesh__exchange *x)
{
	const struct h2_stream *s = h2_stream_of(l, id);
	size_t len;
	const char *body = mesh__exchange_body(x, &len);

	CHECK(s != NULL && (s->fate == H2_WHOLE || s->fate == H2_TAKEN_BACK || s->fate == H2_ANYTHING));
	CHECK(s->n_handled <= 1 || s->fate == H2_ANYTHING);
	if (s->fate == H2_WHOLE) {
		CHECK(strcmp(mesh__exchange_method(x), h2_methods[s->method]) == 0);
		CHECK(len == s->body.len && (len == 0 || memcmp(body, s->body.data, len) == 0));
		CHECK(strcmp(field(x, "host"), "s") == 0 && strcmp(field(x, "cookie"), "a=1; b=2") == 0 && strcmp(field(x, "x-kept"), "in the table") == 0);
	}
}

/* Whose it is: the number in its path, where that can be one that we have said. */
static void recognise(struct h2_link *l, struct held *h)
{
	const char *query = mesh__exchange_query(h->x);
	unsigned long id = strtoul(mesh__exchange_path(h->x) + 1, NULL, 10);
	struct h2_stream *s = id < 2 * H2_STREAMS ? h2_stream_of(l, (uint32_t)id) : NULL;

	h->id = 0;
	if (s != NULL && strncmp(query, "s=", 2) == 0 && strtoul(query + 2, NULL, 10) == l->serial) {
		h->id = (uint32_t)id;
		s->n_handled++;
		check_said(l, h->id, h->x);
	} else {
		CHECK(l->doubtful);
	}
	(void)snprintf(h->tag, sizeof(h->tag), "%u.%u", l->serial, h->id);
}

/* ---- What it does ---- */

static struct h2_stream *stream_of(struct held *h)
{
	return h->link != NULL && h->id != 0 ? h2_stream_of(h->link, h->id) : NULL;
}

static void on_gone(void *arg)
{
	struct held *h = arg;

	CHECK(h->x != NULL && h->streaming && !h->gone);
	h->gone = true; /* once */
}

static void let_go(struct held *h)
{
	if (h->link != NULL) {
		h->link->n_busy--;
	}
	h->x = NULL;
}

static void expect(struct held *h, const char *bytes, size_t len, bool all)
{
	struct h2_stream *s = stream_of(h);

	if (s != NULL) {
		mesh__buf_add(&s->expected, bytes, len);
		s->answered |= all;
		s->expected_known = true;
	}
}

static void reply(struct held *h, int status, const char *body, size_t len, bool close, const struct mesh__field_text *more)
{
	struct mesh__field_text fields[2] = {{"X-Tag", h->tag}};
	struct mesh__reply r = {.status = status, .fields = fields, .n_fields = 1, .body = body, .body_len = len, .close = close};
	struct mesh__exchange *x = h->x;

	if (more != NULL) {
		fields[r.n_fields++] = *more;
	}
	if (close && h->link != NULL) {
		h->link->doubtful = true; /* it may say farewell */
	}
	expect(h, body, len, true);
	let_go(h);
	mesh__exchange_reply(x, &r);
}

static void forget(struct held *h)
{
	struct mesh__exchange *x = h->x;
	struct h2_stream *s = stream_of(h);

	if (s != NULL) {
		s->cut = true;
	}
	let_go(h);
	mesh__exchange_unref(x);
}

static void begin(struct held *h)
{
	struct mesh__field_text f = {"X-Tag", h->tag};

	h->streaming = mesh__stream_begin(h->x, 200, &f, 1, on_gone, h);
	if (h->streaming) {
		expect(h, "", 0, false);
	}
}

static void write_stream(struct held *h, size_t len)
{
	static const char big[BIG] = {'S'};

	if (mesh__stream_write(h->x, big, len)) {
		expect(h, big, len, false);
	} else if (stream_of(h) != NULL) {
		stream_of(h)->cut = true; /* too much at once, or nobody is there */
	}
}

static void act_on_stream(struct held *h, enum act act)
{
	struct mesh__exchange *x = h->x;

	switch (act) {
	case ACT_WRITE:
		write_stream(h, 10);
		break;
	case ACT_WRITE_BIG:
		write_stream(h, BIG / 4);
		break;
	case ACT_BEGIN: /* a second time: nothing begins */
		CHECK(!mesh__stream_begin(h->x, 200, NULL, 0, NULL, NULL));
		break;
	case ACT_FORGET:
		forget(h);
		break;
	case ACT_HOLD:
		break;
	default:
		expect(h, "", 0, true);
		let_go(h);
		mesh__stream_end(x);
	}
}

static void act_whole(struct held *h, enum act act)
{
	static const struct mesh__field_text forgery = {"X-Split", "a\r\nSet-Cookie: b"};
	static const char big[BIG] = {'B'};

	switch (act) {
	case ACT_FORGET:
		forget(h);
		break;
	case ACT_BEGIN:
		begin(h);
		break;
	case ACT_BIG:
		reply(h, 200, big, sizeof(big), false, NULL);
		break;
	case ACT_FORGERY:
		reply(h, 599, h->tag, strlen(h->tag), false, &forgery);
		break;
	case ACT_204:
		reply(h, 204, NULL, 0, false, NULL);
		break;
	case ACT_CLOSE:
		reply(h, 200, h->tag, strlen(h->tag), true, NULL);
		break;
	default:
		reply(h, 200, h->tag, strlen(h->tag), false, NULL);
	}
}

static void act(struct held *h, enum act what)
{
	if (h->x == NULL || what == ACT_HOLD) {
		return;
	}
	io_be_on_loop(core.loop, h->streaming || what != ACT_ELSEWHERE);
	if (h->streaming) {
		act_on_stream(h, what);
	} else {
		act_whole(h, what);
	}
	io_be_on_loop(core.loop, true);
}

static void on_request(void *user, struct mesh__exchange *x)
{
	struct h2_link *l = &stage.links[core_link_of(x, N_LINKS)];
	struct held now = {.x = x}, *h = core_place(stage.held, N_HELD, sizeof(now), &now);

	(void)user;
	CHECK(l->dialled && !l->peer.closed);
	*h = (struct held){.x = x, .link = l};
	l->n_busy++;
	CHECK(l->n_busy <= H2_AT_ONCE);
	check_form(x);
	recognise(l, h);
	act(h, h == &now ? ACT_REPLY : (enum act)stage.mode);
}

/* ---- At the end of a connection ---- */

static void check_answer(const struct h2_link *l, const struct h2_stream *s, uint32_t id)
{
	char tag[32];

	(void)snprintf(tag, sizeof(tag), "%u.%u", l->serial, id);
	CHECK(s->tag[0] == '\0' || strcmp(s->tag, tag) == 0 || s->fate == H2_ANYTHING);
	CHECK(s->tag[0] == '\0' || s->n_handled > 0 || s->fate == H2_ANYTHING);
	if (s->final && s->tag[0] != '\0' && s->fate != H2_ANYTHING) {
		bool none = s->method == 4 /* HEAD */ || s->status == 204;

		CHECK(none || (!s->cut && s->answered)); /* what has no body is whole with its head, whatever becomes of the handler */
		CHECK(none ? s->heard.len == 0 : s->heard.len == s->expected.len && (s->heard.len == 0 || memcmp(s->heard.data, s->expected.data, s->heard.len) == 0));
	}
}

/* `settled`: all has been answered and taken. */
static void check_link(struct h2_link *l, bool settled)
{
	bool doubtful = l->doubtful || l->next / 2 > H2_AT_ONCE || l->n_resets > RESETS_SAFE || l->n_settings > FRAMES_SAFE || l->n_pings > FRAMES_SAFE || core.draining || l->peer.ended || l->peer.reset;

	h2_listen(l);
	CHECK(doubtful || (!l->goaway && !l->peer.closed));
	for (uint32_t i = 0; i < H2_STREAMS; i++) {
		const struct h2_stream *s = &l->streams[i];

		CHECK(s->n_handled <= 1 || s->fate == H2_ANYTHING);
		CHECK(s->fate != H2_BAD || s->n_handled == 0);
		check_answer(l, s, 2 * i + 1);
		if (!doubtful && settled && s->fate == H2_WHOLE) {
			CHECK(s->n_handled == 1);
			CHECK(s->final || s->reset);
			CHECK(!s->answered || s->cut || s->final);
		}
		if (!doubtful && settled && s->fate == H2_BAD && s->ended && !s->gone) {
			CHECK(s->reset || s->status >= 400);
		}
	}
}

/* ---- The script ---- */

static uint8_t take(struct input *in)
{
	if (in->len == 0) {
		return 0;
	}
	in->len--;
	return *in->at++;
}

static struct input take_bytes(struct input *in)
{
	size_t len = take(in);
	struct input taken = {in->at, len < in->len ? len : in->len};

	in->at += taken.len;
	in->len -= taken.len;
	return taken;
}

static void deliver(struct h2_link *l)
{
	if (l->dialled && !l->peer.closed && !l->peer.ended && !l->peer.reset) {
		mesh__buf_add(&l->peer.to_server, l->out.data, l->out.len);
	}
	if (l->dialled) {
		mesh__buf_clear(&l->out);
	}
	io_run(core.loop);
	for (int i = 0; i < N_LINKS; i++) {
		if (stage.links[i].dialled) {
			h2_listen(&stage.links[i]);
		}
	}
}

static void hang_up(struct h2_link *l)
{
	if (!l->dialled) {
		return;
	}
	for (int i = 0; i < N_HELD; i++) {
		stage.held[i].link = stage.held[i].link == l ? NULL : stage.held[i].link;
	}
	io_peer_fini(&l->peer);
	h2_link_fini(l);
	l->dialled = false;
}

static void dial(struct h2_link *l, bool greets)
{
	if (l->dialled && !l->peer.closed) {
		return;
	}
	if (l->dialled) {
		check_link(l, false);
	}
	hang_up(l);
	h2_link_init(l, ++stage.n_serials);
	l->dialled = io_dial(core.loop, &l->peer, (uint16_t)(l - stage.links + 1));
	if (!l->dialled) {
		h2_link_fini(l);
		return;
	}
	l->greeted = greets;
	l->doubtful = !greets;
	if (greets) {
		l->n_settings = 1;
		h2_preface(&l->out);
		deliver(l);
		h2_settings_ack(&l->out);
	}
}

static void other(uint8_t n)
{
	if (n % 2 == 0) {
		core_drain();
	} else {
		stage.stopped = true;
	}
}

static void pass_time(uint8_t n)
{
	static const int delays_ms[16] = {0, 1, 100, 250, 500, 1001, 2500, 5000, 9999, 10001, 30001, 60001, 90001, 120001, 250, 600000};

	for (int i = 0; i < N_LINKS && delays_ms[n % 16] > 500; i++) {
		stage.links[i].doubtful = true;
	}
	fake_env_advance_ms(&core.fake, delays_ms[n % 16]);
	io_run(core.loop);
}

static void say_frame(struct h2_link *l, struct input *in, bool block)
{
	uint8_t type = block ? H2_HEADERS : take(in) % 12, flags = take(in);
	uint8_t selector = take(in);
	uint32_t id = 0;
	struct input bytes = take_bytes(in);

	if (selector != 0xff) {
		(void)h2_pick(l, selector, &id);
		l->next = id + 2 > l->next && type == H2_HEADERS ? id + 2 : l->next;
		l->highest = id > l->highest ? id : l->highest;
	}
	h2_say_frame(l, type, flags, id, bytes.at, bytes.len);
}

static void end(struct h2_link *l, uint8_t n)
{
	deliver(l);
	l->peer.ended |= n % 2 == 0;
	l->peer.reset |= n % 2 == 1;
	l->doubtful = true;
	io_run(core.loop);
}

/* Operands are taken in order, whatever the compiler makes of an argument list. */
static void say(struct h2_link *l, enum step what, struct input *in)
{
	uint8_t a = take(in), b, c;

	switch (what) {
	case STEP_REQUEST:
		b = take(in);
		c = take(in);
		h2_say_request(l, a, b, c);
		break;
	case STEP_DATA:
		b = take(in);
		c = take(in);
		h2_say_data(l, a, b, c);
		break;
	case STEP_TRAILERS:
		b = take(in);
		h2_say_trailers(l, a, b);
		break;
	case STEP_RESET:
		b = take(in);
		h2_say_reset(l, a, b);
		break;
	case STEP_WINDOW:
		b = take(in);
		h2_say_window(l, a, b);
		break;
	case STEP_SETTINGS:
		h2_say_settings(l, a);
		break;
	default:
		h2_say_ping(l, a & H2_ACK);
	}
}

static void step(struct input *in)
{
	enum step what = (enum step)(take(in) % STEPS);
	struct h2_link *l = &stage.links[stage.at];
	struct input bytes;
	uint32_t id;
	uint8_t n;

	if (!l->dialled && what != STEP_LINK && what != STEP_OTHER) {
		return;
	}
	switch (what) {
	case STEP_PRIORITY:
		n = take(in);
		(void)h2_pick(l, n, &id);
		h2_priority(&l->out, id, id == 1 ? 3 : 1, n);
		break;
	case STEP_FRAME:
	case STEP_BLOCK:
		say_frame(l, in, what == STEP_BLOCK);
		break;
	case STEP_BYTES:
		bytes = take_bytes(in);
		h2_say_bytes(l, bytes.at, bytes.len);
		break;
	case STEP_CUT:
		deliver(l);
		break;
	case STEP_LINK:
		n = take(in);
		deliver(l);
		stage.at = n % N_LINKS;
		dial(&stage.links[stage.at], n < 0xc0);
		break;
	case STEP_END:
		end(l, take(in));
		break;
	case STEP_CLOCK:
		deliver(l);
		pass_time(take(in));
		break;
	case STEP_HELD:
		n = take(in);
		deliver(l);
		act(&stage.held[n / ACTS], (enum act)(n % ACTS));
		deliver(l);
		break;
	case STEP_MODE:
		stage.mode = take(in) % ACTS;
		break;
	case STEP_TAKE:
		n = take(in);
		deliver(l);
		l->peer.window = n == 0xff ? SIZE_MAX : n * 64U;
		deliver(l);
		break;
	case STEP_OTHER:
		deliver(l);
		other(take(in));
		deliver(l);
		break;
	default:
		say(l, what, in);
	}
}

/* All replies are made, and all is taken. */
static void settle(void)
{
	stage.mode = ACT_REPLY;
	for (int i = 0; i < N_LINKS; i++) {
		stage.links[i].peer.window = SIZE_MAX;
		deliver(&stage.links[i]);
	}
	for (int i = 0; i < N_HELD; i++) {
		act(&stage.held[i], ACT_REPLY);
	}
	for (int i = 0; i < N_LINKS; i++) {
		struct h2_link *l = &stage.links[i];

		deliver(l);
		if (!l->dialled || l->doubtful) {
			continue;
		}
		h2_window_update(&l->out, 0, 1 << 24);
		l->window += 1 << 24;
		for (uint32_t j = 0; j < H2_STREAMS; j++) {
			if (l->streams[j].n_handled > 0 && !l->streams[j].final && l->streams[j].window < 1 << 24) {
				h2_window_update(&l->out, 2 * j + 1, 1 << 24);
				l->streams[j].window += 1 << 24;
			}
		}
		deliver(l);
	}
}

static void run(void)
{
	io_run(core.loop);
}

static void finish(void)
{
	if (!stage.stopped) {
		settle();
		for (int i = 0; i < N_LINKS; i++) {
			if (stage.links[i].dialled) {
				check_link(&stage.links[i], true);
			}
		}
		core_outlast(8, run); /* each may end one thing and begin the next: a body, its answer, the stream, the connection */
	}
	mesh__http_server_free(core.server);
	for (int i = 0; i < N_HELD; i++) {
		act(&stage.held[i], ACT_REPLY); /* after the server: to nobody */
	}
	for (int i = 0; i < N_LINKS; i++) {
		hang_up(&stage.links[i]);
	}
}

static void set_up(void)
{
	struct mesh__http_options options = {.name = "fuzz", .handler = on_request, .http2 = true};

	memset(stage.held, 0, sizeof(stage.held));
	stage.n_serials = 0;
	stage.mode = stage.at = 0;
	stage.stopped = false;
	mesh__http_limits_default(&options.limits);
	options.limits.max_body_bytes = H2_BODY_MAX;
	options.limits.max_stream_bytes = STREAM_MAX;
	core_open(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	set_up();
	dial(&stage.links[0], true);
	for (int i = 0; i < STEPS_MAX && in.len > 0 && !stage.stopped; i++) {
		step(&in);
	}
	deliver(&stage.links[stage.at]);
	finish();
	core_close();
	return 0;
}
