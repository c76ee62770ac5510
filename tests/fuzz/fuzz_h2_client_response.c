/*
 * The real client (pool, libcurl, our hooks) over HTTP/2 by prior knowledge, against a peer that answers one request after the other as a script says (h2_client_response_script.h), in the script's pieces.
 *
 * What must hold: MESH_OK means one whole, valid response, as the script's model reads it; what the model cannot fault is taken; a request is sent once at most, and said not to have been processed only where the peer said
 * so; after a farewell the connection is not used again; bounds hold, all ends, and no memory is left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_response_peer.h"
#include "client_response_stage.h"
#include "h2_client_response_script.h"
#include "http/client.h"
#include "support/h2_frames.h"
#include "support/text_span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct client_stage client;
	const uint8_t *script; /* of the answer at hand */
	size_t script_len;
	bool to_head, answered;
	uint32_t id;           /* of the stream that a request came on */
	struct peer_response response;
	struct script_outcome outcome;
	bool odd;              /* nothing is certain on the connection at hand */
} stage;

/* ---- The peer ---- */

/* Frame by frame; a request ends with its stream. */
static size_t take_frames(const char *bytes, size_t len, bool fresh, bool *whole)
{
	struct h2_frame_view frame;
	size_t preface = strlen(H2_PREFACE), n;

	*whole = false;
	if (fresh) {
		CHECK(memcmp(bytes, H2_PREFACE, len < preface ? len : preface) == 0);
		*whole = false;
		return len < preface ? 0 : preface;
	}
	n = h2_frame_next(bytes, len, &frame);
	if (n > 0 && (frame.type == H2_HEADERS || frame.type == H2_DATA) && (frame.flags & H2_END_STREAM) != 0) {
		stage.id = frame.stream;
		*whole = true;
	}
	return n;
}

static void on_request(bool first_of_connection)
{
	CHECK(!stage.answered); /* once at most */
	stage.answered = true;
	script_play(stage.script, stage.script_len, stage.id, first_of_connection, stage.to_head, &stage.response, &stage.outcome);
	if (!first_of_connection && stage.odd) {
		stage.outcome.verdict = SCRIPT_MAY;
		stage.outcome.surely_unprocessed = false;
		stage.outcome.may_be_unprocessed = true;
	}
	stage.odd = stage.outcome.odd || (stage.odd && !first_of_connection);
}

/* ---- What came of it ---- */

static bool same_lines(const struct mesh__buf *lines, const struct mesh__client_response *r, bool (*get)(const struct mesh__client_response *, size_t, const char **, const char **))
{
	struct mesh__buf text;
	const char *name, *value;
	bool same;

	mesh__buf_init(&text, mesh__mem_libc(), 1 << 20);
	for (size_t i = 0; get(r, i, &name, &value); i++) {
		mesh__buf_printf(&text, "%s: %s\n", name, value);
	}
	same = text.len == lines->len && (text.len == 0 || memcmp(text.data, lines->data, text.len) == 0);
	mesh__buf_fini(&text);
	return same;
}

static void check_same(const struct mesh__client_response *r, const struct script_outcome *o)
{
	CHECK(r->status == o->status);
	CHECK(same_lines(&o->fields, r, mesh__client_response_field));
	CHECK(o->farewell || same_lines(&o->trailers, r, mesh__client_response_trailer_field)); /* libcurl 7.88 loses the trailers of a connection's last response */
	CHECK(r->body.len == (stage.to_head ? 0 : o->body.len) && (r->body.len == 0 || memcmp(r->body.data, o->body.data, r->body.len) == 0));
}

static void judge(int code, const struct mesh__client_response *r, const struct mesh__client_result *result)
{
	const struct script_outcome *o = &stage.outcome;

	if (code == MESH_OK) {
		CHECK(o->verdict != SCRIPT_REFUSE);
		client_stage_check_form(r);
	}
	if (code == MESH_OK && o->verdict == SCRIPT_TAKE) {
		check_same(r, o);
	}
	if (o->verdict == SCRIPT_TAKE && code != MESH_OK) {
		CHECK(code == MESH_E_TOO_LARGE && o->body.len > RESPONSE_MAX);
	}
	CHECK(result->sent == MESH__SENT_MAYBE || (code != MESH_OK && o->may_be_unprocessed));
	CHECK(!o->surely_unprocessed || result->sent == MESH__SENT_NOTHING);
	stage.client.must_dial = o->farewell || stage.response.end != PEER_STAYS;
}

/* ---- One exchange ---- */

static void exchange(enum way way)
{
	stage.to_head = way == WAY_HEAD;
	stage.answered = false;
	stage.response.len = 0;
	stage.response.end = PEER_STAYS;
	client_stage_exchange(&stage.client, way, &stage.response);
	if (stage.answered) {
		judge(stage.client.code, &stage.client.response, &stage.client.result);
		script_outcome_fini(&stage.outcome);
	} else {
		CHECK(stage.client.code != MESH_OK);
		stage.client.must_dial = false;
	}
	mesh__client_response_fini(&stage.client.response);
}

/* ---- The script ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t way = WAY_GET, next;
	size_t at = 0;

	client_stage_open(&stage.client, MESH__HTTP_2_ONLY);
	peer_speak(take_frames, on_request);
	for (int i = 0; i < EXCHANGES_MAX && at < size; i++) {
		stage.script = data + at;
		stage.script_len = script_length(data + at, size - at, &next);
		exchange((enum way)(way % WAYS));
		at += stage.script_len + 2;
		way = next;
	}
	client_stage_close();
	return 0;
}
