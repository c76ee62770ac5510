/*
 * The real client (pool, libcurl, our hooks) against a peer that answers one request after the other with the input's bytes, in the input's pieces. A byte from 0xf8 on is a step of the script (enum step).
 *
 * What must hold: MESH_OK means one whole, valid response, byte for byte what the model reads (client_response_model.h); what the model cannot fault is taken; a request is sent once at most; a connection on
 * which more came than a body of known length is not used again; bounds hold, all ends, and no memory is left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_response_model.h"
#include "client_response_peer.h"
#include "client_response_stage.h"
#include "http/client.h"

enum step {
	STEP_NEXT = 0xf8,   /* n: the next exchange, made in way n (enum way) */
	STEP_CUT = 0xf9,    /* no read goes beyond this place */
	STEP_END = 0xfa,    /* the peer ends its side; what follows is not sent */
	STEP_RESET = 0xfb   /* the same, with a reset */
	/* without either it stays silent, and the call is cancelled */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client_stage stage;

/* ---- What came of it ---- */

static void check_same(const struct mesh__client_response *r, const struct model_response *model)
{
	const char *name = "", *value = "";

	CHECK(r->status == model->status && r->n_fields == model->n_fields);
	for (size_t i = 0; i < model->n_fields; i++) {
		CHECK(mesh__client_response_field(r, i, &name, &value));
		CHECK(text_same_nocase(model->names[i], name) && text_same(model->values[i], value));
	}
	CHECK(r->body.len == model->body.len && (r->body.len == 0 || memcmp(r->body.data, model->body.data, r->body.len) == 0));
}

static void judge(int code, const struct mesh__client_response *r, const struct peer_response *sent, bool to_head)
{
	struct model_response model;
	enum model_verdict v = model_read(sent->bytes, sent->len, sent->end == PEER_ENDS, to_head, &model);

	if (code == MESH_OK) {
		CHECK(v != MODEL_REFUSE);
		client_stage_check_form(r);
	}
	if (code == MESH_OK && v == MODEL_TAKE) {
		check_same(r, &model);
	}
	if (v == MODEL_TAKE && code != MESH_OK) {
		CHECK(code == MESH_E_TOO_LARGE && model.body.len > RESPONSE_MAX);
	}
	/*
	 * A peer that has gone answers nobody, and what is left over is no answer to the next request. What came in one read with the end of a response without a body, or of the last chunk, libcurl 7.88 throws
	 * away without a word: who sends so much can as well send it later, when nothing tells it from an answer.
	 */
	stage.must_dial = code != MESH_OK || sent->end != PEER_STAYS || (v == MODEL_TAKE && model.used < sent->len && model.by_length);
	mesh__buf_fini(&model.body);
}

/* ---- One exchange ---- */

static void exchange(const struct peer_response *answer, enum way way)
{
	client_stage_exchange(&stage, way, answer);
	CHECK(peer_n_requests() <= 1 && (peer_n_requests() == 0 || stage.result.sent == MESH__SENT_MAYBE));
	if (peer_n_requests() == 1) {
		judge(stage.code, &stage.response, answer, way == WAY_HEAD);
	} else {
		CHECK(stage.code != MESH_OK);
		stage.must_dial = true;
	}
	mesh__client_response_fini(&stage.response);
}

/* ---- The script ---- */

static size_t read_answer(const uint8_t *data, size_t size, struct peer_response *out)
{
	size_t i;

	out->len = out->n_cuts = 0;
	out->end = PEER_STAYS;
	for (i = 0; i < size && data[i] != STEP_NEXT; i++) {
		if (data[i] == STEP_CUT) {
			if (out->n_cuts < PEER_PIECES_MAX) {
				out->cuts[out->n_cuts++] = out->len;
			}
		} else if (data[i] == STEP_END || data[i] == STEP_RESET) {
			out->end = out->end != PEER_STAYS ? out->end : data[i] == STEP_END ? PEER_ENDS : PEER_RESETS;
		} else if (out->end == PEER_STAYS && out->len < PEER_BYTES_MAX) {
			out->bytes[out->len++] = (char)data[i];
		}
	}
	return i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct peer_response answer;
	enum way way = WAY_GET;
	size_t at = 0;

	client_stage_open(&stage, MESH__HTTP_1);
	for (int i = 0; i < EXCHANGES_MAX && at < size; i++) {
		at += read_answer(data + at, size - at, &answer);
		exchange(&answer, way);
		way = at + 1 < size ? (enum way)(data[at + 1] % WAYS) : WAY_GET;
		at += 2;
	}
	client_stage_close();
	return 0;
}
