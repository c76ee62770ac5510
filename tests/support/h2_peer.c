#include "h2_peer.h"

#include <stdio.h>
#include <string.h>

enum { IN_MAX = 1 << 26, AT_ONCE = 16 * 1024 };

void h2_peer_init(struct h2_peer *peer, struct raw_conn *conn)
{
	*peer = (struct h2_peer){.conn = conn, .inflater = h2_inflater_new()};
	mesh__buf_init(&peer->in, mesh__mem_libc(), IN_MAX);
	mesh__buf_init(&peer->out, mesh__mem_libc(), IN_MAX);
	mesh__buf_init(&peer->block, mesh__mem_libc(), IN_MAX);
}

void h2_peer_fini(struct h2_peer *peer)
{
	h2_inflater_free(peer->inflater);
	mesh__buf_fini(&peer->in);
	mesh__buf_fini(&peer->out);
	mesh__buf_fini(&peer->block);
}

bool h2_peer_flush(struct h2_peer *peer)
{
	bool ok = peer->out.len == 0 || raw_send(peer->conn, peer->out.data, peer->out.len);

	mesh__buf_clear(&peer->out);
	return ok;
}

/* More bytes behind those that are there. */
static bool read_more(struct h2_peer *peer)
{
	char *room = mesh__buf_reserve(&peer->in, AT_ONCE);
	size_t n = room == NULL ? 0 : raw_read(peer->conn, room, AT_ONCE);

	peer->in.len += n;
	return n > 0;
}

bool h2_peer_greet(struct h2_peer *peer, const struct h2_setting *settings, size_t n)
{
	size_t len = strlen(H2_PREFACE);

	while (peer->in.len < len) {
		if (!read_more(peer)) {
			return false;
		}
	}
	if (memcmp(peer->in.data, H2_PREFACE, len) != 0) {
		return false;
	}
	mesh__buf_consume(&peer->in, len);
	h2_settings(&peer->out, settings, n);
	return h2_peer_flush(peer);
}

bool h2_peer_frame(struct h2_peer *peer, struct h2_frame_view *frame)
{
	mesh__buf_consume(&peer->in, peer->n_given);
	peer->n_given = 0;
	while (peer->n_given == 0) {
		peer->n_given = h2_frame_next(peer->in.data, peer->in.len, frame);
		if (peer->n_given == 0 && !read_more(peer)) {
			return false;
		}
	}
	return true;
}

/* ---- As a peer that behaves ---- */

/* The part of a HEADERS or DATA frame that is neither padding nor priority. */
static void strip(struct h2_frame_view *frame)
{
	size_t before = (frame->flags & H2_PADDED) != 0 ? 1 : 0;
	size_t behind = before > 0 && frame->len > 0 ? (uint8_t)frame->payload[0] : 0;

	before += frame->type == H2_HEADERS && (frame->flags & H2_HAS_PRIORITY) != 0 ? 5 : 0;
	if (before + behind <= frame->len) {
		frame->payload += before;
		frame->len -= before + behind;
	}
}

static bool note_block(struct h2_peer *peer, const struct h2_frame_view *frame, struct mesh__buf *lines)
{
	bool ok = true;

	mesh__buf_add(&peer->block, frame->payload, frame->len);
	if ((frame->flags & H2_END_HEADERS) != 0) {
		ok = h2_inflate(peer->inflater, peer->block.data, peer->block.len, lines);
		mesh__buf_clear(&peer->block);
	}
	return ok;
}

static bool give_back(struct h2_peer *peer, const struct h2_frame_view *frame)
{
	if (frame->len > 0) {
		h2_window_update(&peer->out, 0, (uint32_t)frame->len);
	}
	if (frame->len > 0 && (frame->flags & H2_END_STREAM) == 0) {
		h2_window_update(&peer->out, frame->stream, (uint32_t)frame->len);
	}
	return h2_peer_flush(peer);
}

/* The next frame, with what a peer owes for it done; a field block's text goes to `lines` when it is whole. */
static bool next(struct h2_peer *peer, struct h2_frame_view *frame, struct mesh__buf *lines)
{
	bool ok = h2_peer_frame(peer, frame);

	if (!ok) {
		return false;
	}
	switch (frame->type) {
	case H2_SETTINGS:
		if ((frame->flags & H2_ACK) == 0) {
			h2_settings_ack(&peer->out);
			ok = h2_peer_flush(peer);
		}
		break;
	case H2_PING:
		if ((frame->flags & H2_ACK) == 0) {
			h2_ping(&peer->out, H2_ACK, (uint64_t)h2_frame_number(frame, 0) << 32 | h2_frame_number(frame, 4));
			ok = h2_peer_flush(peer);
		}
		break;
	case H2_DATA:
		ok = give_back(peer, frame);
		strip(frame);
		break;
	case H2_HEADERS:
		strip(frame);
		ok = note_block(peer, frame, lines);
		break;
	case H2_CONTINUATION:
		ok = note_block(peer, frame, lines);
		break;
	default:
		break;
	}
	return ok;
}

bool h2_peer_await(struct h2_peer *peer, uint8_t type, uint32_t stream, struct h2_frame_view *frame)
{
	struct mesh__buf lines;
	bool ok;

	mesh__buf_init(&lines, mesh__mem_libc(), IN_MAX);
	do {
		mesh__buf_clear(&lines);
		ok = next(peer, frame, &lines);
	} while (ok && (frame->type != type || (stream != 0 && frame->stream != stream)));
	mesh__buf_fini(&lines);
	return ok;
}

bool h2_peer_message(struct h2_peer *peer, struct h2_message *message)
{
	struct h2_frame_view frame;
	struct mesh__buf lines;
	bool ok, whole = false;

	*message = (struct h2_message){0};
	mesh__buf_init(&lines, mesh__mem_libc(), IN_MAX);
	do {
		ok = next(peer, &frame, &lines);
		if (ok && frame.type == H2_HEADERS) {
			message->stream = frame.stream;
			message->ended = (frame.flags & H2_END_STREAM) != 0;
		}
		whole = ok && (frame.type == H2_HEADERS || frame.type == H2_CONTINUATION) && (frame.flags & H2_END_HEADERS) != 0;
	} while (ok && !whole);
	(void)snprintf(message->lines, sizeof(message->lines), "%s", lines.data != NULL ? lines.data : "");
	mesh__buf_fini(&lines);
	return ok;
}

bool h2_message_field(const struct h2_message *message, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	for (const char *line = message->lines; *line != '\0'; line++) {
		size_t rest = strcspn(line, "\n");
		if (rest >= len + 2 && memcmp(line, name, len) == 0 && memcmp(line + len, ": ", 2) == 0) {
			(void)snprintf(out, size, "%.*s", (int)(rest - len - 2), line + len + 2);
			return true;
		}
		line += rest;
		if (*line == '\0') {
			break;
		}
	}
	return false;
}

bool h2_peer_body(struct h2_peer *peer, uint32_t stream, struct mesh__buf *body)
{
	struct h2_frame_view frame;
	struct mesh__buf lines;
	bool ok, ended = false;

	mesh__buf_init(&lines, mesh__mem_libc(), IN_MAX);
	do {
		ok = next(peer, &frame, &lines);
		if (ok && frame.stream == stream) {
			ok = frame.type != H2_RST_STREAM;
			if (frame.type == H2_DATA) {
				mesh__buf_add(body, frame.payload, frame.len);
			}
			ended = (frame.type == H2_DATA || frame.type == H2_HEADERS) && (frame.flags & H2_END_STREAM) != 0;
		}
	} while (ok && !ended);
	mesh__buf_fini(&lines);
	return ok;
}

bool h2_peer_answer(struct h2_peer *peer, uint32_t stream, int status, const char *body)
{
	h2_response(&peer->out, stream, false, status, NULL);
	h2_data(&peer->out, stream, H2_END_STREAM, body, strlen(body));
	return h2_peer_flush(peer);
}

bool h2_peer_ended(struct h2_peer *peer, uint32_t *stream)
{
	struct h2_frame_view frame;
	struct mesh__buf lines;
	bool ok, ends = false;

	*stream = 0;
	mesh__buf_init(&lines, mesh__mem_libc(), IN_MAX);
	do {
		ok = next(peer, &frame, &lines);
		if (ok && (frame.type == H2_HEADERS || frame.type == H2_DATA)) {
			ends = (frame.flags & H2_END_STREAM) != 0;
			*stream = frame.stream;
		}
	} while (ok && (!ends || (frame.type != H2_DATA && (frame.flags & H2_END_HEADERS) == 0)));
	mesh__buf_fini(&lines);
	return ok;
}

void h2_serve(struct raw_conn *conn, bool (*answer)(struct h2_peer *peer, uint32_t stream))
{
	struct h2_peer peer;
	uint32_t stream;
	bool ok;

	h2_peer_init(&peer, conn);
	ok = h2_peer_greet(&peer, NULL, 0);
	while (ok && h2_peer_ended(&peer, &stream)) {
		atomic_fetch_add(&raw_server_counts(conn->server)->requests, 1);
		ok = answer(&peer, stream);
	}
	h2_peer_fini(&peer);
}

static bool answer_ok(struct h2_peer *peer, uint32_t stream)
{
	return h2_peer_answer(peer, stream, 200, "ok");
}

void h2_answer_ok(struct raw_conn *conn)
{
	h2_serve(conn, answer_ok);
}

void h2_count_requests(struct raw_conn *conn)
{
	struct h2_frame_view frame;
	struct h2_peer peer;

	h2_peer_init(&peer, conn);
	if (h2_peer_greet(&peer, NULL, 0)) {
		while (h2_peer_frame(&peer, &frame)) {
			atomic_fetch_add(&raw_server_counts(conn->server)->requests, frame.type == H2_HEADERS || frame.type == H2_DATA || frame.type == H2_CONTINUATION);
		}
	}
	h2_peer_fini(&peer);
}
