#include "h2_client_response_script.h"

#include <stdio.h>
#include <string.h>

#include "support/h2_frames.h"

enum { BUF_MAX = 1 << 20, OURS_AT_FIRST = 1 << 16 };

enum step {
	STEP_HEAD, STEP_DATA, STEP_TRAILERS, STEP_RESET, STEP_GOAWAY, STEP_SETTINGS, STEP_PING, STEP_WINDOW, STEP_PUSH, STEP_FRAME, STEP_BLOCK, STEP_BYTES, STEP_CUT, STEP_END, STEP_NEXT, STEPS
};

struct player {
	const uint8_t *at;
	size_t len;
	uint32_t id;
	struct mesh__buf out;
	struct peer_response *response;
	struct script_outcome *o;
	bool head, ended, over; /* the answer's state; over: nothing that follows on the stream matters */
	bool violated;          /* the connection is dead for whoever reads so far */
	bool open;              /* whatever follows may be either */
	bool to_head;
	int64_t length;         /* Content-Length; -1: none */
	bool enough;            /* so far had come in a piece of its own that a client may leave */
	bool cut_off;           /* an answer of unsaid length was reset in its middle */
};

static uint8_t take(struct player *p)
{
	if (p->len == 0) {
		return 0;
	}
	p->len--;
	return *p->at++;
}

/* How many operand bytes a step has; a step with bytes of the input's own says how many in its last operand. */
static size_t operands(uint8_t step)
{
	static const uint8_t n[STEPS] = {[STEP_HEAD] = 2, [STEP_DATA] = 2, [STEP_TRAILERS] = 1, [STEP_RESET] = 1, [STEP_GOAWAY] = 2, [STEP_SETTINGS] = 1, [STEP_PING] = 1, [STEP_WINDOW] = 1, [STEP_PUSH] = 1, [STEP_FRAME] = 4,
		[STEP_BLOCK] = 3, [STEP_BYTES] = 1, [STEP_END] = 1};

	return n[step];
}

static bool has_bytes(uint8_t step)
{
	return step == STEP_FRAME || step == STEP_BLOCK || step == STEP_BYTES;
}

size_t script_length(const uint8_t *data, size_t size, uint8_t *way)
{
	size_t i = 0;

	*way = 0;
	while (i < size) {
		uint8_t step = data[i] % STEPS;
		size_t n = operands(step);

		if (step == STEP_NEXT) {
			*way = i + 1 < size ? data[i + 1] : 0;
			return i;
		}
		if (has_bytes(step) && i + n < size) {
			n += data[i + n];
		}
		i += 1 + n;
	}
	return size;
}

/* ---- What comes of it ---- */

static void worse(struct player *p, enum script_verdict v)
{
	v = p->over && v > SCRIPT_MAY ? SCRIPT_MAY : v; /* the answer was whole; but what spoils the connection may come before the client has looked */
	p->o->verdict = v > p->o->verdict ? v : p->o->verdict;
}

static void anything(struct player *p)
{
	p->open = true;
	p->o->may_be_unprocessed = true;
}

/* No body belongs to it. */
static bool has_no_body(const struct player *p)
{
	return p->to_head || p->o->status == 204 || p->o->status == 304;
}

/* A client may leave that needs no end of the stream to know that it has all. */
static bool is_enough(const struct player *p)
{
	return p->head && (has_no_body(p) || (p->length >= 0 && p->length == (int64_t)p->o->body.len));
}

static void finish(struct player *p)
{
	bool none = has_no_body(p);

	p->ended = true;
	if (!none && p->length >= 0 && p->length != (int64_t)p->o->body.len) {
		worse(p, SCRIPT_REFUSE);
	}
	if (none && p->o->body.len > 0) {
		worse(p, SCRIPT_MAY);
	}
	p->over = true;
}

static void refuse(struct player *p)
{
	worse(p, SCRIPT_REFUSE);
	p->over = true;
}

/* ---- The steps ---- */

static void say_block(struct player *p, uint8_t flags, struct mesh__buf *block, bool split)
{
	if (split && block->len > 2) {
		h2_frame(&p->out, H2_HEADERS, flags & (uint8_t)~H2_END_HEADERS, p->id, block->data, 2);
		h2_continuation(&p->out, p->id, H2_END_HEADERS, block->data + 2, block->len - 2);
	} else {
		h2_headers(&p->out, p->id, flags, block);
	}
	mesh__buf_fini(block);
}

static void add_flaw(struct mesh__buf *block, int flaw)
{
	static const struct { const char *name, *value; } flaws[] = {
	    {"Upper", "1"}, {"connection", "close"}, {"transfer-encoding", "chunked"}, {":status", "200"}, {":path", "/"}, {"a", "b\r\nc: d"}, {"a\n", "b"}, {"content-length", "1x"}, {"", "v"},
	};

	if (flaw < (int)(sizeof(flaws) / sizeof(flaws[0]))) {
		h2_field(block, flaws[flaw].name, flaws[flaw].value);
	}
}

/* `shape`: the status, whether it ends, a length, split; `flaw`: from 128 on one of those above, or a status that is none. */
static void say_head(struct player *p)
{
	static const char *const statuses[8] = {"200", "204", "304", "404", "503", "100", "103", "200"};
	static const int lengths[4] = {-1, 0, 3, 200};
	uint8_t shape = take(p), flaw = take(p);
	const char *status = statuses[shape & 7];
	bool interim = status[0] == '1', ends = (shape & 8) != 0;
	int length = interim ? -1 : lengths[shape >> 4 & 3];
	struct mesh__buf block;
	char number[12];

	mesh__buf_init(&block, mesh__mem_libc(), BUF_MAX);
	h2_field(&block, ":status", flaw < 128 || flaw % 16 != 15 ? status : "20x");
	h2_field(&block, "x-a", "b");
	if (length >= 0) {
		(void)snprintf(number, sizeof(number), "%d", length);
		h2_field(&block, "content-length", number);
	}
	if (flaw >= 128 && flaw % 16 != 15) {
		add_flaw(&block, flaw % 16 % 10);
	}
	say_block(p, (uint8_t)(H2_END_HEADERS | (ends ? H2_END_STREAM : 0)), &block, (shape & 0x40) != 0);
	if (p->head || (interim && ends)) {
		refuse(p); /* two heads; or one that ends and is none */
		return;
	}
	if (flaw >= 128 && flaw % 16 % 10 != 9) {
		worse(p, SCRIPT_MAY);
		anything(p);
	}
	if (interim || p->over) {
		return;
	}
	p->o->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0';
	if (p->o->status == 204 && length >= 0) {
		worse(p, SCRIPT_MAY); /* RFC 9110 section 8.6 forbids it */
	}
	p->head = true;
	p->length = length;
	mesh__buf_str(&p->o->fields, "x-a: b\n");
	if (length >= 0) {
		mesh__buf_printf(&p->o->fields, "content-length: %d\n", length);
	}
	if (ends) {
		finish(p);
	}
}

static void say_data(struct player *p)
{
	uint8_t len = take(p), flags = take(p);
	size_t padding = (flags & H2_PADDED) != 0 ? flags >> 4 : 0;
	char bytes[256];

	memset(bytes, 'a' + len % 26, sizeof(bytes));
	h2_frame_claiming(&p->out, H2_DATA, flags & (H2_END_STREAM | H2_PADDED), p->id, NULL, 0, len + ((flags & H2_PADDED) != 0 ? 1 + padding : 0));
	if ((flags & H2_PADDED) != 0) {
		mesh__buf_chr(&p->out, (char)padding);
	}
	mesh__buf_add(&p->out, bytes, len);
	mesh__buf_add(&p->out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", padding);
	if (!p->head || p->over) {
		refuse(p);
		return;
	}
	mesh__buf_add(&p->o->body, bytes, len);
	if (p->length >= 0 && (int64_t)p->o->body.len > p->length) {
		refuse(p);
	} else if ((flags & H2_END_STREAM) != 0) {
		finish(p);
	}
}

static void say_trailers(struct player *p)
{
	static const char *const names[8] = {"x-t", "grpc-status", "x-u", "content-length", ":status", "Upper", "connection", "transfer-encoding"};
	uint8_t kind = take(p);
	bool ends = (kind & 8) == 0;
	struct mesh__buf block;

	mesh__buf_init(&block, mesh__mem_libc(), BUF_MAX);
	h2_field(&block, names[kind & 7], "1");
	say_block(p, (uint8_t)(H2_END_HEADERS | (ends ? H2_END_STREAM : 0)), &block, (kind & 16) != 0);
	if (!p->head || p->over || !ends) {
		refuse(p);
		return;
	}
	if (is_enough(p)) {
		worse(p, SCRIPT_MAY); /* who has left does not hear them */
	}
	if ((kind & 7) > 2) {
		worse(p, SCRIPT_MAY);
		anything(p);
	} else {
		mesh__buf_printf(&p->o->trailers, "%s: 1\n", names[kind & 7]);
	}
	finish(p);
}

static void say_reset(struct player *p)
{
	uint8_t error = take(p) % 16;

	h2_rst_stream(&p->out, p->id, error);
	p->o->may_be_unprocessed |= error == H2_REFUSED_STREAM;
	if (error == H2_NO_ERROR && p->head && !p->ended) { /* it says that all is well, and libcurl believes it */
		worse(p, SCRIPT_MAY);
		p->open = true;
	}
	if (error != H2_NO_ERROR && p->ended) {
		worse(p, SCRIPT_MAY); /* the answer was whole, and now it is not */
	}
	if (p->over || p->open) {
		return;
	}
	if (error == H2_REFUSED_STREAM) {
		p->o->surely_unprocessed |= p->o->verdict == SCRIPT_TAKE && !p->head && p->len == 0;
	}
	p->cut_off = p->head && p->length < 0;
	refuse(p);
}

static void say_goaway(struct player *p)
{
	static const uint32_t errors[4] = {H2_NO_ERROR, H2_NO_ERROR, H2_ENHANCE_YOUR_CALM, H2_INTERNAL_ERROR};
	uint8_t which = take(p), error = take(p);
	uint32_t lasts[4] = {p->id, p->id > 2 ? p->id - 2 : 0, INT32_MAX, 0};
	uint32_t last = lasts[which & 3];

	if (p->o->farewell) { /* a second one may not raise the last stream */
		worse(p, SCRIPT_MAY);
		anything(p);
	}
	h2_goaway(&p->out, last, errors[error & 3]);
	p->o->farewell |= !p->open;
	p->o->may_be_unprocessed |= last < p->id;
	if (!p->over && last < p->id) {
		p->o->surely_unprocessed |= p->o->verdict == SCRIPT_TAKE && !p->head && p->len == 0 && errors[error & 3] == H2_NO_ERROR;
		worse(p, SCRIPT_MAY); /* who answers a stream all the same is not believed in one of the two */
		anything(p);
	} else if (errors[error & 3] != H2_NO_ERROR) {
		worse(p, SCRIPT_MAY);
	}
}

static void say_settings(struct player *p)
{
	static const struct h2_setting settings[8] = {
	    {0, 0}, {H2_INITIAL_WINDOW_SIZE, 1 << 20}, {H2_HEADER_TABLE_SIZE, 0}, {H2_MAX_CONCURRENT_STREAMS, 100}, {0xabcd, 1}, {H2_MAX_CONCURRENT_STREAMS, 0}, {H2_INITIAL_WINDOW_SIZE, 1U << 31}, {H2_MAX_FRAME_SIZE, 1},
	};
	uint8_t kind = take(p);

	if ((kind & 0x80) != 0) {
		h2_settings_ack(&p->out);
		anything(p);
		worse(p, SCRIPT_MAY); /* it may be one too many */
		return;
	}
	h2_settings(&p->out, &settings[kind & 7], settings[kind & 7].id != 0);
	if ((kind & 7) == 5) {
		worse(p, SCRIPT_MAY);
		anything(p);
	} else if ((kind & 7) > 5) { /* an error of the connection */
		if (p->o->farewell) { /* libcurl 7.88 then takes any end for one in order */
			anything(p);
		}
		refuse(p);
		p->violated = true;
	}
}

static void say_push(struct player *p)
{
	struct mesh__buf block;
	uint8_t kind = take(p);

	mesh__buf_init(&block, mesh__mem_libc(), BUF_MAX);
	mesh__buf_add(&block, "\0\0\0\2", 4);
	h2_field(&block, ":method", "GET");
	h2_field(&block, ":path", "/");
	h2_frame(&p->out, H2_PUSH_PROMISE, kind & H2_END_HEADERS, p->id, block.data, block.len);
	mesh__buf_fini(&block);
	worse(p, SCRIPT_MAY);
	anything(p);
}

static void say_own(struct player *p, enum step step)
{
	uint8_t type = step == STEP_FRAME ? take(p) : H2_HEADERS, flags = step != STEP_BYTES ? take(p) : 0, selector = step != STEP_BYTES ? take(p) : 0;
	size_t len = take(p);
	uint32_t id = selector % 4 == 0 ? p->id : selector % 4 == 1 ? 0 : selector;

	len = len < p->len ? len : p->len;
	if (step == STEP_BYTES) {
		mesh__buf_add(&p->out, p->at, len);
	} else {
		h2_frame(&p->out, type, flags, id, p->at, len);
	}
	p->at += len;
	p->len -= len;
	worse(p, SCRIPT_MAY);
	anything(p);
}

static void cut(struct player *p)
{
	p->enough |= is_enough(p) && p->o->verdict != SCRIPT_REFUSE;
	if (p->response->n_cuts < PEER_PIECES_MAX) {
		p->response->cuts[p->response->n_cuts++] = p->out.len;
	}
}

static void end(struct player *p)
{
	p->response->end = take(p) % 2 == 0 ? PEER_ENDS : PEER_RESETS;
	if (p->response->end == PEER_RESETS) {
		worse(p, SCRIPT_MAY); /* libcurl reads on before it looks at what it has */
	}
	p->open |= p->cut_off; /* where it reads the end at once, libcurl 7.88 takes the reset for the end of the stream */
	if (p->violated) { /* libcurl 7.88 cannot tell who ended it */
		anything(p);
	}
	p->o->farewell = true;
	p->len = 0;
}

static void play_step(struct player *p)
{
	enum step step = (enum step)(take(p) % STEPS);

	switch (step) {
	case STEP_HEAD:
		say_head(p);
		break;
	case STEP_DATA:
		say_data(p);
		break;
	case STEP_TRAILERS:
		say_trailers(p);
		break;
	case STEP_RESET:
		say_reset(p);
		break;
	case STEP_GOAWAY:
		say_goaway(p);
		break;
	case STEP_SETTINGS:
		say_settings(p);
		break;
	case STEP_PING:
		h2_ping(&p->out, take(p) & H2_ACK, 1);
		break;
	case STEP_WINDOW:
		h2_window_update(&p->out, (take(p) & 1) != 0 ? p->id : 0, 1000);
		break;
	case STEP_PUSH:
		say_push(p);
		break;
	case STEP_CUT:
		cut(p);
		break;
	case STEP_END:
		end(p);
		break;
	default:
		say_own(p, step);
	}
}

void script_outcome_fini(struct script_outcome *out)
{
	mesh__buf_fini(&out->fields);
	mesh__buf_fini(&out->body);
	mesh__buf_fini(&out->trailers);
}

void script_play(const uint8_t *data, size_t size, uint32_t id, bool first, bool to_head, struct peer_response *response, struct script_outcome *out)
{
	struct player p = {.at = data, .len = size, .id = id, .response = response, .o = out, .to_head = to_head, .length = -1};

	*out = (struct script_outcome){.verdict = SCRIPT_TAKE};
	mesh__buf_init(&out->fields, mesh__mem_libc(), BUF_MAX);
	mesh__buf_init(&out->body, mesh__mem_libc(), BUF_MAX);
	mesh__buf_init(&out->trailers, mesh__mem_libc(), BUF_MAX);
	mesh__buf_init(&p.out, mesh__mem_libc(), BUF_MAX);
	response->len = response->n_cuts = 0;
	response->end = PEER_STAYS;
	if (first) {
		h2_settings(&p.out, NULL, 0);
	}
	while (p.len > 0 && p.out.len < PEER_BYTES_MAX / 2) {
		play_step(&p);
	}
	out->verdict = p.ended ? out->verdict : SCRIPT_REFUSE;
	out->verdict = (p.open || p.enough || is_enough(&p)) && out->verdict == SCRIPT_REFUSE ? SCRIPT_MAY : out->verdict;
	out->odd = p.open;
	response->len = p.out.len < PEER_BYTES_MAX ? p.out.len : PEER_BYTES_MAX;
	memcpy(response->bytes, p.out.data != NULL ? p.out.data : "", response->len);
	mesh__buf_fini(&p.out);
}
