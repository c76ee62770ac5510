#include "h2_server_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { FLAWS = 24, BUF_MAX = 1 << 24 };

const char *const h2_methods[8] = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "QUERY"};

/* ---- Streams ---- */

struct h2_stream *h2_stream_of(struct h2_link *l, uint32_t id)
{
	return id % 2 == 1 && id / 2 < H2_STREAMS ? &l->streams[id / 2] : NULL;
}

struct h2_stream *h2_pick(struct h2_link *l, uint8_t selector, uint32_t *id)
{
	uint32_t n = l->next / 2; /* so many were begun */

	*id = (selector & 0x80) != 0 && n > 0 ? 1 + 2 * (n - 1 - (selector & 0x7f) % n) : l->next;
	return h2_stream_of(l, *id);
}

void h2_link_init(struct h2_link *l, unsigned serial)
{
	memset(l, 0, sizeof(*l));
	l->serial = serial;
	l->next = 1;
	l->window = l->initial_window = H2_WINDOW;
	l->inflater = h2_inflater_new();
	mesh__buf_init(&l->out, mesh__mem_libc(), BUF_MAX);
	mesh__buf_init(&l->block, mesh__mem_libc(), BUF_MAX);
	for (size_t i = 0; i < H2_STREAMS; i++) {
		mesh__buf_init(&l->streams[i].body, mesh__mem_libc(), BUF_MAX);
		mesh__buf_init(&l->streams[i].heard, mesh__mem_libc(), BUF_MAX);
		mesh__buf_init(&l->streams[i].expected, mesh__mem_libc(), BUF_MAX);
	}
}

void h2_link_fini(struct h2_link *l)
{
	h2_inflater_free(l->inflater);
	mesh__buf_fini(&l->out);
	mesh__buf_fini(&l->block);
	for (size_t i = 0; i < H2_STREAMS; i++) {
		mesh__buf_fini(&l->streams[i].body);
		mesh__buf_fini(&l->streams[i].heard);
		mesh__buf_fini(&l->streams[i].expected);
	}
}

/* ---- Saying ---- */

static void doubt(struct h2_link *l)
{
	l->doubtful = true;
}

static void begin(struct h2_link *l, uint32_t id)
{
	l->next = id + 2 > l->next ? id + 2 : l->next;
	l->highest = id > l->highest ? id : l->highest;
	if (!l->greeted || id / 2 >= H2_STREAMS) {
		doubt(l);
	}
}

static void flawed_pseudo(struct mesh__buf *block, int flaw, const char *method, const char *path)
{
	if (flaw != 1) {
		h2_field(block, ":method", flaw == 2 ? "GE T" : flaw == 3 ? "CONNECT" : method);
	}
	if (flaw != 4) {
		h2_field(block, ":scheme", "http");
	}
	if (flaw == 5) {
		h2_field(block, ":method", method);
	}
	if (flaw != 6) {
		h2_field(block, ":authority", flaw == 7 ? "a@s" : "s");
	}
	if (flaw == 8) {
		h2_field(block, "x-early", "1");
	}
	if (flaw != 9) {
		h2_field(block, ":path", flaw == 10 ? "" : flaw == 11 ? "a" : flaw == 12 ? "/a b" : path);
	}
}

static void flawed_fields(struct mesh__buf *block, int flaw)
{
	static const struct { int flaw; const char *name, *value; } fields[] = {
	    {13, "Upper", "1"}, {14, "connection", "close"}, {15, "transfer-encoding", "chunked"}, {16, "te", "gzip"}, {17, "upgrade", "h2c"}, {18, "host", "evil"}, {19, "a", "b\nc"}, {20, "a\r\nb", "c"},
	    {21, ":unknown", "1"}, {22, "content-length", "1x"}, {23, "", "v"},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].flaw == flaw) {
			h2_field(block, fields[i].name, fields[i].value);
		}
	}
}

static void send_block(struct h2_link *l, uint32_t id, uint8_t flags, struct mesh__buf *block, bool split)
{
	if (split && block->len > 1) {
		h2_frame(&l->out, H2_HEADERS, flags & (uint8_t)~H2_END_HEADERS, id, block->data, 1);
		h2_continuation(&l->out, id, H2_END_HEADERS, block->data + 1, block->len - 1);
	} else {
		h2_headers(&l->out, id, flags, block);
	}
	mesh__buf_fini(block);
}

void h2_say_request(struct h2_link *l, uint8_t selector, uint8_t shape, uint8_t flaw)
{
	static const uint32_t lengths[4] = {UINT32_MAX, 0, 3, 200};
	uint32_t id;
	struct h2_stream *s = h2_pick(l, selector, &id);
	struct mesh__buf block;
	char path[32], number[12];

	flaw %= 2 * FLAWS; /* half of them are none */
	flaw = flaw >= FLAWS ? 0 : flaw;
	if (s == NULL || s->fate != H2_UNBORN) {
		doubt(l); /* a number twice, or more streams than are kept account of */
		if (s == NULL) {
			return;
		}
		s->fate = H2_ANYTHING;
	} else {
		s->method = shape & 7;
		s->ended = (shape & 8) != 0;
		s->length = lengths[shape >> 4 & 3];
		s->window = l->initial_window;
		s->fate = flaw != 0 || (s->ended && s->length != UINT32_MAX && s->length > 0) ? H2_BAD : s->ended ? H2_WHOLE : H2_GROWING;
		l->n_resets += flaw != 0;
	}
	begin(l, id);
	mesh__buf_init(&block, mesh__mem_libc(), BUF_MAX);
	(void)snprintf(path, sizeof(path), "/%u?s=%u", id, l->serial);
	flawed_pseudo(&block, flaw, h2_methods[shape & 7], path);
	flawed_fields(&block, flaw);
	if (lengths[shape >> 4 & 3] != UINT32_MAX) {
		(void)snprintf(number, sizeof(number), "%u", lengths[shape >> 4 & 3]);
		h2_field(&block, "content-length", number);
	}
	h2_field(&block, "mesh-try", "7");
	h2_field_indexed(&block, "x-kept", "in the table");
	h2_field(&block, "cookie", "a=1");
	h2_field(&block, "cookie", "b=2");
	send_block(l, id, (uint8_t)(H2_END_HEADERS | ((shape & 8) != 0 ? H2_END_STREAM : 0)), &block, (shape & 0x40) != 0);
}

/* More of a stream comes: true when it is one that grows. */
static bool grows(struct h2_link *l, struct h2_stream *s)
{
	if (s == NULL || s->fate == H2_UNBORN) {
		doubt(l);
		return false;
	}
	if (s->ended || s->fate == H2_TAKEN_BACK || s->fate == H2_BAD) {
		doubt(l); /* behind its end, or behind what was refused */
		s->fate = s->fate == H2_BAD ? H2_BAD : H2_ANYTHING;
		return false;
	}
	return s->fate == H2_GROWING;
}

static void end_request(struct h2_stream *s, bool good)
{
	s->ended = true;
	s->fate = good && (s->length == UINT32_MAX || s->length == s->body.len) ? H2_WHOLE : H2_BAD;
}

void h2_say_data(struct h2_link *l, uint8_t selector, uint8_t len, uint8_t flags)
{
	uint32_t id;
	struct h2_stream *s = h2_pick(l, selector | 0x80, &id);
	char bytes[256 + 1];
	size_t padding = (flags & H2_PADDED) != 0 ? flags >> 4 : 0;

	memset(bytes, 'a' + len % 26, sizeof(bytes));
	if (grows(l, s)) {
		mesh__buf_add(&s->body, bytes, len);
		if (s->length != UINT32_MAX && s->body.len > s->length) {
			s->fate = H2_BAD;
			l->n_resets++;
		}
		if (s->body.len > H2_BODY_MAX || (len == 0 && (flags & H2_END_STREAM) == 0)) {
			doubt(l);
			s->fate = s->body.len > H2_BODY_MAX ? H2_ANYTHING : s->fate;
		}
		if ((flags & H2_END_STREAM) != 0 && s->fate != H2_ANYTHING) {
			end_request(s, s->fate == H2_GROWING);
		}
	}
	h2_frame_claiming(&l->out, H2_DATA, flags & (H2_END_STREAM | H2_PADDED), id, NULL, 0, len + ((flags & H2_PADDED) != 0 ? 1 + padding : 0));
	if ((flags & H2_PADDED) != 0) {
		mesh__buf_chr(&l->out, (char)padding);
	}
	mesh__buf_add(&l->out, bytes, len);
	mesh__buf_add(&l->out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", padding);
}

void h2_say_trailers(struct h2_link *l, uint8_t selector, uint8_t flaw)
{
	static const char *const names[8] = {"x-t", ":path", "Upper", "connection", "host", "content-length", "mesh-try", "authorization"};
	uint32_t id;
	struct h2_stream *s = h2_pick(l, selector | 0x80, &id);
	struct mesh__buf block;
	bool ends = (flaw & 8) == 0;

	if (grows(l, s)) {
		s->trailers = true;
		if (ends && (flaw & 7) % 4 == 0) {
			end_request(s, true);
		} else {
			s->fate = (flaw & 7) >= 4 && ends ? H2_ANYTHING : H2_BAD;
			s->ended = ends;
			l->n_resets++;
		}
	}
	mesh__buf_init(&block, mesh__mem_libc(), BUF_MAX);
	h2_field(&block, names[flaw & 7], (flaw & 7) == 4 ? "evil" : "1");
	send_block(l, id, (uint8_t)(H2_END_HEADERS | (ends ? H2_END_STREAM : 0)), &block, (flaw & 16) != 0);
}

void h2_say_reset(struct h2_link *l, uint8_t selector, uint8_t error)
{
	uint32_t id;
	struct h2_stream *s = h2_pick(l, selector | 0x80, &id);

	if (s == NULL || s->fate == H2_UNBORN) {
		doubt(l);
	} else {
		s->gone = s->fate == H2_BAD;
		s->fate = s->fate == H2_BAD ? H2_BAD : H2_TAKEN_BACK;
		s->ended = true;
		l->n_resets++;
	}
	h2_rst_stream(&l->out, id, error);
}

void h2_say_window(struct h2_link *l, uint8_t selector, uint8_t size)
{
	static const uint32_t sizes[8] = {1, 100, 16384, 65535, 1 << 20, 0, INT32_MAX, 1U << 31};
	uint32_t id = 0, by = sizes[size & 7];
	struct h2_stream *s = (size & 8) != 0 ? NULL : h2_pick(l, selector | 0x80, &id);
	int64_t *window = s != NULL ? &s->window : &l->window;

	if ((s != NULL && s->fate == H2_UNBORN) || (by & INT32_MAX) == 0 || *window + by > INT32_MAX) {
		doubt(l);
		if (s != NULL && s->fate != H2_UNBORN) {
			s->fate = H2_ANYTHING;
			l->n_resets++;
		}
	}
	*window += by & INT32_MAX;
	h2_window_update(&l->out, id, by);
}

/* Growing is in force for us at once, shrinking when the server has acknowledged it. */
static void move_windows(struct h2_link *l, int64_t by)
{
	if (by < 0) {
		if (l->n_shrinks == sizeof(l->shrinks) / sizeof(l->shrinks[0])) {
			doubt(l);
			return;
		}
		l->shrinks[l->n_shrinks].ack = l->n_settings;
		l->shrinks[l->n_shrinks].by = by;
		l->shrinks[l->n_shrinks++].below = l->next;
		return;
	}
	for (size_t i = 0; i < H2_STREAMS && 2 * i + 1 < l->next; i++) {
		l->streams[i].window += by;
		if (l->streams[i].window > INT32_MAX) {
			doubt(l);
		}
	}
}

void h2_say_settings(struct h2_link *l, uint8_t kind)
{
	static const struct h2_setting settings[16] = {
	    {0, 0}, {H2_HEADER_TABLE_SIZE, 0}, {H2_HEADER_TABLE_SIZE, 4096}, {H2_HEADER_TABLE_SIZE, 100}, {H2_INITIAL_WINDOW_SIZE, 0}, {H2_INITIAL_WINDOW_SIZE, 1}, {H2_INITIAL_WINDOW_SIZE, 1 << 20}, {H2_MAX_FRAME_SIZE, 1 << 14},
	    {H2_MAX_FRAME_SIZE, (1 << 24) - 1}, {H2_MAX_HEADER_LIST_SIZE, 10}, {H2_MAX_CONCURRENT_STREAMS, 0}, {H2_ENABLE_PUSH, 0}, {0xabcd, 1}, {H2_ENABLE_PUSH, 7}, {H2_MAX_FRAME_SIZE, 1}, {H2_INITIAL_WINDOW_SIZE, 1U << 31},
	};
	const struct h2_setting *one = &settings[kind & 15];

	if ((kind & 0x80) != 0) {
		doubt(l); /* there is nothing to acknowledge */
		h2_settings_ack(&l->out);
		return;
	}
	if ((kind & 15) >= 13) {
		doubt(l);
	}
	l->n_settings++;
	if (one->id == H2_INITIAL_WINDOW_SIZE && one->value <= INT32_MAX) {
		move_windows(l, (int64_t)one->value - l->initial_window);
		l->initial_window = one->value;
	}
	h2_settings(&l->out, one, one->id != 0);
}

void h2_say_ping(struct h2_link *l, uint8_t flags)
{
	l->n_pings += (flags & H2_ACK) == 0;
	h2_ping(&l->out, flags, 0x0102030405060708);
}

/* From here on nothing is certain; of what is certain already, that it is handled once at most remains. */
static void all_is_open(struct h2_link *l)
{
	doubt(l);
	for (size_t i = 0; i < H2_STREAMS; i++) {
		l->streams[i].fate = H2_ANYTHING;
		l->streams[i].window = INT64_MAX / 2;
	}
	l->window = INT64_MAX / 2;
	l->n_settings = l->n_pings = 1 << 20;
}

void h2_say_frame(struct h2_link *l, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes, size_t len)
{
	all_is_open(l);
	h2_frame(&l->out, type, flags, stream, bytes, len);
}

void h2_say_bytes(struct h2_link *l, const void *bytes, size_t len)
{
	all_is_open(l);
	mesh__buf_add(&l->out, bytes, len);
}

/* ---- Hearing ---- */

static void hear_field(struct h2_stream *s, struct text_span line)
{
	struct text_span name = line, value;

	CHECK(line.len > 0);
	if (line.at[0] == ':') {
		CHECK(line.len == 12 && memcmp(line.at, ":status: ", 9) == 0 && s->status == 0);
		s->status = (int)strtol(line.at + 9, NULL, 10);
		CHECK(s->status >= 100 && s->status <= 599);
		return;
	}
	CHECK(text_cut(line, ':', &name, &value) && s->status != 0);
	value = text_trimmed(value);
	CHECK(!text_has_control(value) && text_all_of(name, TEXT_TOKEN));
	for (size_t i = 0; i < name.len; i++) {
		CHECK(name.at[i] < 'A' || name.at[i] > 'Z');
	}
	CHECK(!text_same(name, "connection") && !text_same(name, "transfer-encoding") && !text_same(name, "keep-alive") && !text_same(name, "set-cookie")); /* the last: a handler that tries to split its answer */
	if (text_same(name, "x-tag")) {
		(void)snprintf(s->tag, sizeof(s->tag), "%.*s", (int)value.len, value.at);
	}
}

static void hear_block(struct h2_link *l, struct h2_stream *s)
{
	struct mesh__buf lines;
	const char *line, *end;

	mesh__buf_init(&lines, mesh__mem_libc(), BUF_MAX);
	CHECK(h2_inflate(l->inflater, l->block.data, l->block.len, &lines));
	mesh__buf_clear(&l->block);
	CHECK(!s->head || l->block_ends); /* trailers end */
	s->trailer += s->head;
	CHECK(s->trailer <= 1);
	for (line = lines.data; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		CHECK(!s->head || line[0] != ':');
		hear_field(s, (struct text_span){line, (size_t)(end - line)});
	}
	CHECK(s->status >= 100);
	if (s->status < 200) {
		CHECK(!l->block_ends);
		s->status = 0; /* 100: another follows */
	} else {
		s->head = true;
	}
	s->final |= l->block_ends;
	mesh__buf_fini(&lines);
}

static void hear_stream_frame(struct h2_link *l, const struct h2_frame_view *f)
{
	struct h2_stream *s = h2_stream_of(l, f->stream);

	CHECK(s != NULL || l->doubtful);
	if (s == NULL) {
		return;
	}
	if (f->type == H2_RST_STREAM) {
		CHECK(f->len == 4 && (f->stream <= l->highest || l->doubtful));
		CHECK(!s->reset);
		s->reset = s->over = true;
		return;
	}
	CHECK(!s->final && !s->reset); /* nothing behind the end */
	if (f->type == H2_DATA) {
		CHECK(s->head && (f->flags & H2_PADDED) == 0);
		CHECK((int64_t)f->len <= s->window && (int64_t)f->len <= l->window);
		s->window -= (int64_t)f->len;
		l->window -= (int64_t)f->len;
		mesh__buf_add(&s->heard, f->payload, f->len);
		s->final = (f->flags & H2_END_STREAM) != 0;
	} else {
		l->block_stream = f->stream;
		l->block_ends = (f->flags & H2_END_STREAM) != 0;
		mesh__buf_add(&l->block, f->payload, f->len);
	}
}

static void hear_ack(struct h2_link *l, const struct h2_frame_view *f)
{
	for (int i = 0; i < l->n_shrinks && (f->flags & H2_ACK) != 0; i++) {
		for (size_t j = 0; l->shrinks[i].ack == l->n_acks && j < H2_STREAMS && 2 * j + 1 < l->shrinks[i].below; j++) {
			l->streams[j].window += l->shrinks[i].by;
		}
	}
}

static void hear(struct h2_link *l, const struct h2_frame_view *f)
{
	CHECK(l->block_stream == 0 || (f->type == H2_CONTINUATION && f->stream == l->block_stream));
	switch (f->type) {
	case H2_DATA:
	case H2_HEADERS:
	case H2_RST_STREAM:
		hear_stream_frame(l, f);
		break;
	case H2_CONTINUATION:
		CHECK(l->block_stream != 0);
		mesh__buf_add(&l->block, f->payload, f->len);
		break;
	case H2_SETTINGS:
		CHECK(f->stream == 0 && ((f->flags & H2_ACK) == 0 ? f->len % 6 == 0 : f->len == 0));
		l->n_acks += (f->flags & H2_ACK) != 0;
		CHECK(l->n_acks <= l->n_settings);
		hear_ack(l, f);
		break;
	case H2_PING:
		CHECK(f->stream == 0 && f->len == 8);
		l->n_pongs += (f->flags & H2_ACK) != 0;
		CHECK(l->n_pongs <= l->n_pings);
		break;
	case H2_GOAWAY:
		CHECK(f->stream == 0 && f->len >= 8);
		l->goaway = true;
		l->refusal |= h2_frame_number(f, 4) != H2_NO_ERROR;
		break;
	case H2_WINDOW_UPDATE:
		CHECK(f->len == 4 && h2_frame_number(f, 0) > 0);
		break;
	default:
		CHECK(false); /* a server says nothing else */
	}
	if ((f->type == H2_HEADERS || f->type == H2_CONTINUATION) && (f->flags & H2_END_HEADERS) != 0 && h2_stream_of(l, f->stream) != NULL) {
		hear_block(l, h2_stream_of(l, f->stream));
	}
	l->block_stream = (f->type == H2_HEADERS || f->type == H2_CONTINUATION) && (f->flags & H2_END_HEADERS) == 0 ? f->stream : 0;
}

void h2_listen(struct h2_link *l)
{
	struct h2_frame_view frame;
	size_t n;

	if (!l->greeted) {
		return; /* it may have taken us for HTTP/1 */
	}
	while ((n = h2_frame_next(l->peer.heard.data + l->at, l->peer.heard.len - l->at, &frame)) > 0) {
		CHECK(frame.len <= H2_FRAME_MAX);
		CHECK(l->at > 0 || (frame.type == H2_SETTINGS && (frame.flags & H2_ACK) == 0));
		hear(l, &frame);
		l->at += n;
	}
}
