#include "support/h2_caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/serving.h"

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "h2_caller: %s\n", what);
		abort();
	}
}

static uint32_t id_of(uint32_t n)
{
	return n * 2 + 1;
}

static void flush(struct h2_caller *c)
{
	(void)tls_wire_send(&c->wire, c->out.data, c->out.len);
	mesh__buf_clear(&c->out);
}

void h2_caller_open(struct h2_caller *c, const struct two_meshes *t, const char *service)
{
	memset(c, 0, sizeof(*c));
	tls_wire_open(&c->wire, t, service, "h2");
	mesh__buf_init(&c->out, mesh__mem_libc(), SIZE_MAX / 2);
	c->inflater = h2_inflater_new();
	c->window = c->first_window = H2_WINDOW;
	h2_preface(&c->out);
	flush(c);
}

void h2_caller_close(struct h2_caller *c)
{
	if (c->inflater != NULL) {
		tls_wire_close(&c->wire);
		h2_inflater_free(c->inflater);
		mesh__buf_fini(&c->out);
		c->inflater = NULL;
	}
}

/* ---- What comes ---- */

static struct h2_caller_stream *stream_of(struct h2_caller *c, uint32_t id)
{
	return id % 2 == 1 && id / 2 < c->n_streams ? &c->streams[id / 2] : NULL;
}

static void take_settings(struct h2_caller *c, const struct h2_frame_view *f)
{
	if ((f->flags & H2_ACK) != 0) {
		return;
	}
	for (size_t at = 0; at + 6 <= f->len; at += 6) {
		const unsigned char *p = (const unsigned char *)f->payload + at;

		if ((p[0] << 8 | p[1]) == H2_INITIAL_WINDOW_SIZE) {
			int64_t window = h2_frame_number(f, at + 2);

			for (uint32_t i = 0; i < c->n_streams; i++) {
				c->streams[i].window += window - c->first_window;
			}
			c->first_window = window;
		}
	}
	h2_settings_ack(&c->out);
}

static void take_fields(struct h2_caller *c, struct h2_caller_stream *s, const struct h2_frame_view *f)
{
	struct mesh__buf lines;

	mesh__buf_init(&lines, mesh__mem_libc(), SIZE_MAX / 2);
	must((f->flags & H2_END_HEADERS) != 0 && (f->flags & (H2_PADDED | H2_HAS_PRIORITY)) == 0 && h2_inflate(c->inflater, f->payload, f->len, &lines), "a field block that this client does not read");
	if (s != NULL) {
		size_t len = strlen(s->lines);

		(void)snprintf(s->lines + len, sizeof(s->lines) - len, "%s", lines.data);
		if (strncmp(lines.data, ":status: ", 9) == 0) {
			s->status = (int)strtol(lines.data + 9, NULL, 10);
		}
	}
	mesh__buf_fini(&lines);
}

enum { WORTH_GIVING = H2_WINDOW / 3 };

static void give_back(struct h2_caller *c, uint32_t n)
{
	struct h2_caller_stream *s = &c->streams[n];

	if (!s->slow && s->owed >= WORTH_GIVING && !s->ended) {
		h2_window_update(&c->out, id_of(n), (uint32_t)s->owed);
		s->owed = 0;
	}
}

static void take_data(struct h2_caller *c, struct h2_caller_stream *s, const struct h2_frame_view *f)
{
	c->owed += f->len;
	if (c->owed >= WORTH_GIVING) {
		h2_window_update(&c->out, 0, (uint32_t)c->owed); /* the connection's whoever reads: others must not wait for a slow stream */
		c->owed = 0;
	}
	if (s == NULL) {
		return;
	}
	if (s->n_body < sizeof(s->text) - 1) {
		size_t room = sizeof(s->text) - 1 - s->n_body;

		memcpy(s->text + s->n_body, f->payload, f->len < room ? f->len : room);
	}
	s->intact = s->intact && serving_is_filled(f->payload, f->len, s->n_body);
	s->n_body += f->len;
	s->owed += f->len;
}

static void take_frame(struct h2_caller *c, const struct h2_frame_view *f)
{
	struct h2_caller_stream *s = stream_of(c, f->stream);

	switch (f->type) {
	case H2_SETTINGS:
		take_settings(c, f);
		break;
	case H2_PING:
		if ((f->flags & H2_ACK) == 0) {
			h2_frame(&c->out, H2_PING, H2_ACK, 0, f->payload, f->len);
		}
		break;
	case H2_GOAWAY:
		c->goaway = true;
		c->last = h2_frame_number(f, 0);
		break;
	case H2_WINDOW_UPDATE:
		if (f->stream == 0) {
			c->window += h2_frame_number(f, 0);
		} else if (s != NULL) {
			s->window += h2_frame_number(f, 0);
		}
		break;
	case H2_HEADERS:
		take_fields(c, s, f);
		break;
	case H2_DATA:
		take_data(c, s, f);
		break;
	case H2_RST_STREAM:
		if (s != NULL) {
			s->was_reset = true;
			s->ended = true;
			s->error = h2_frame_number(f, 0);
		}
		break;
	default:
		break;
	}
	if (s != NULL && (f->type == H2_DATA || f->type == H2_HEADERS) && (f->flags & H2_END_STREAM) != 0) {
		s->ended = true;
	}
}

bool h2_caller_step(struct h2_caller *c)
{
	struct h2_frame_view frame;
	size_t len;

	for (uint32_t i = 0; i < c->n_streams; i++) {
		give_back(c, i);
	}
	flush(c);
	while ((len = h2_frame_next(c->wire.plain.data + c->wire.at, c->wire.plain.len - c->wire.at, &frame)) == 0) {
		if (c->wire.eof) {
			return false;
		}
		tls_wire_step(&c->wire);
	}
	c->goaway_apart = frame.type == H2_GOAWAY ? c->wire.at == 0 : c->goaway_apart;
	c->wire.at += len;
	take_frame(c, &frame);
	return true;
}

/* ---- What goes ---- */

uint32_t h2_caller_request(struct h2_caller *c, const char *method, const char *path, bool ended)
{
	uint32_t n = c->n_streams++;

	must(n < H2_CALLER_STREAMS, "too many streams");
	c->streams[n] = (struct h2_caller_stream){.window = c->first_window, .intact = true};
	h2_request(&c->out, id_of(n), ended, method, "payments", path, NULL);
	flush(c);
	return n;
}

bool h2_caller_send(struct h2_caller *c, uint32_t n, const void *bytes, size_t len)
{
	struct h2_caller_stream *s = &c->streams[n];
	const char *at = bytes;

	while (len > 0) {
		int64_t room = s->window < c->window ? s->window : c->window;
		size_t some = len < H2_FRAME_MAX ? len : H2_FRAME_MAX;

		if (s->ended || c->wire.eof) {
			return false;
		}
		if (room <= 0) {
			if (!h2_caller_step(c)) {
				return false;
			}
			continue;
		}
		some = (int64_t)some < room ? some : (size_t)room;
		h2_data(&c->out, id_of(n), 0, at, some);
		flush(c);
		s->window -= (int64_t)some;
		c->window -= (int64_t)some;
		at += some;
		len -= some;
	}
	return true;
}

void h2_caller_end(struct h2_caller *c, uint32_t n, const char *trailers)
{
	if (trailers != NULL) {
		h2_trailers(&c->out, id_of(n), trailers);
	} else {
		h2_data(&c->out, id_of(n), H2_END_STREAM, NULL, 0);
	}
	flush(c);
}

void h2_caller_reset(struct h2_caller *c, uint32_t n, uint32_t error)
{
	h2_rst_stream(&c->out, id_of(n), error);
	flush(c);
}

bool h2_caller_await_head(struct h2_caller *c, uint32_t n)
{
	while (c->streams[n].status == 0 && !c->streams[n].ended) {
		if (!h2_caller_step(c)) {
			return false;
		}
	}
	return true;
}

bool h2_caller_await_end(struct h2_caller *c, uint32_t n)
{
	while (!c->streams[n].ended) {
		if (!h2_caller_step(c)) {
			return false;
		}
	}
	return true;
}
