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
#include "http/client.h"
#include "support/alloc_fail.h"

enum { RESPONSE_MAX = 1024, EXCHANGES_MAX = 8 };

enum step {
	STEP_NEXT = 0xf8,   /* n: the next exchange, made in way n (enum way) */
	STEP_CUT = 0xf9,    /* no read goes beyond this place */
	STEP_END = 0xfa,    /* the peer ends its side; what follows is not sent */
	STEP_RESET = 0xfb   /* the same, with a reset */
	/* without either it stays silent, and the call is cancelled */
};

enum way { WAY_GET, WAY_HEAD, WAY_POST, WAY_PUT_EMPTY, WAYS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct mesh__env env;
	struct fail_mem mem;
	struct mesh__pool *pool;
	struct mesh__cancel *cancel;
	bool must_dial; /* nothing is left that could be used again */
} stage;

#define CHECK(holds) check((holds), #holds)
static void check(bool holds, const char *what)
{
	if (!holds) {
		(void)fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

static void on_stalled(void)
{
	mesh__cancel_fire(stage.cancel);
}

/* ---- What came of it ---- */

static void check_fields(const struct mesh__client_response *r)
{
	const char *name, *value;

	for (size_t i = 0; mesh__client_response_field(r, i, &name, &value); i++) {
		struct text_span n = {name, strlen(name)}, v = {value, strlen(value)};

		CHECK(text_all_of(n, TEXT_TOKEN) && strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
		CHECK(!text_has_control(v));
	}
}

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
		CHECK(r->status >= 200 && r->status <= 599 && r->body.len <= RESPONSE_MAX);
		check_fields(r);
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
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
	struct mesh__client_request request = {.method = methods[way], .target = "/a?b", .body = "body", .body_len = way == WAY_POST ? 4 : 0, .has_body = way >= WAY_POST,
		.max_response_bytes = RESPONSE_MAX};
	struct mesh__client_response response;
	struct mesh__client_result result;
	struct mesh__err err = MESH__NO_ERR;
	int code;

	mesh__client_response_init(&response, &stage.env, 1 << 20);
	mesh__cancel_reset(stage.cancel);
	peer_answer(answer, on_stalled);
	code = mesh__pool_exchange(stage.pool, &request, 60000, mesh__mono_us(&stage.env) + 60000000, stage.cancel, &response, &result, &err);
	CHECK((code == MESH_OK) == (err.code == MESH_OK) && (code == MESH_OK || (err.code == code && err.message[0] != '\0')));
	CHECK(peer_n_requests() <= 1 && (peer_n_requests() == 0 || result.sent == MESH__SENT_MAYBE));
	CHECK(!result.reused || !stage.must_dial);
	if (peer_n_requests() == 1) {
		judge(code, &response, answer, way == WAY_HEAD);
	} else {
		CHECK(code != MESH_OK);
		stage.must_dial = true;
	}
	mesh__client_response_fini(&response);
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

static void set_up(void)
{
	struct mesh__pool_options options;

	CHECK(mesh__client_init(NULL) == MESH_OK);
	mesh__env_init(&stage.env);
	fail_mem_init(&stage.mem);
	stage.env.mem = stage.mem.mem;
	stage.must_dial = true;
	mesh__pool_options_default(&options);
	options.target = (struct mesh__target){.address = {.ip = "127.0.0.1", .port = 80}, .host = "s", .insecure_plaintext = true};
	CHECK(mesh__pool_new(&stage.env, &options, &stage.pool, NULL) == MESH_OK);
	stage.cancel = mesh__cancel_new(&stage.env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct peer_response answer;
	enum way way = WAY_GET;
	size_t at = 0;

	set_up();
	for (int i = 0; i < EXCHANGES_MAX && at < size; i++) {
		at += read_answer(data + at, size - at, &answer);
		exchange(&answer, way);
		way = at + 1 < size ? (enum way)(data[at + 1] % WAYS) : WAY_GET;
		at += 2;
	}
	mesh__pool_unref(stage.pool);
	mesh__cancel_free(stage.cancel);
	peer_close();
	CHECK(stage.mem.live == 0);
	return 0;
}
