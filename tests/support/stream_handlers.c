#include "support/stream_handlers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/patience.h"
#include "support/serving.h"

enum { LONG_MS = 20000, PIECE = 24 * 1024 };

static int64_t patient_ms(void)
{
	return patience(LONG_MS);
}

/* ---- Waiting ---- */

static size_t length_asked(const mesh_inbound *in)
{
	return strtoull(mesh_inbound_query(in), NULL, 10);
}

static void reply_count(mesh_inbound *in, size_t n, bool intact)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%zu %s", n, intact ? "intact" : "damaged");

	(void)mesh_reply(in, 200, text, (size_t)len);
}

void stream_take_upload(mesh_inbound *in)
{
	char piece[PIECE];
	bool intact = true;
	size_t n, at = 0;
	int32_t code;

	while ((code = mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms())) == MESH_OK && n > 0) {
		intact = intact && serving_is_filled(piece, n, at);
		at += n;
	}
	reply_count(in, at, intact && code == MESH_OK);
}

int32_t stream_give(mesh_inbound *in, size_t len, void (*given)(size_t n))
{
	char piece[PIECE];
	size_t n, at = 0;
	int32_t code = mesh_reply_begin(in, 200);

	while (code == MESH_OK && at < len) {
		n = len - at < sizeof(piece) ? len - at : sizeof(piece);
		serving_fill(piece, n, at);
		code = mesh_reply_write(in, piece, n, &n, patient_ms());
		at += n;
		if (given != NULL) {
			given(n);
		}
	}
	return code;
}

static void give_download(mesh_inbound *in)
{
	int32_t code = stream_give(in, length_asked(in), NULL);

	(void)(code == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

static void echo(mesh_inbound *in)
{
	char piece[PIECE];
	size_t n = 1;
	int32_t code = mesh_reply_begin(in, 200);

	while (code == MESH_OK && n > 0) {
		code = mesh_inbound_read(in, piece, sizeof(piece), &n, patient_ms());
		if (code == MESH_OK && n > 0) {
			code = mesh_reply_write(in, piece, n, NULL, patient_ms());
		}
	}
	(void)(code == MESH_OK ? mesh_reply_end(in) : mesh_reply_abort(in));
}

static void handle_waiting(void *user, mesh_inbound *in)
{
	(void)user;
	if (strcmp(mesh_inbound_path(in), "/upload") == 0) {
		stream_take_upload(in);
	} else if (strcmp(mesh_inbound_path(in), "/download") == 0) {
		give_download(in);
	} else {
		echo(in);
	}
}

/* ---- By events ---- */

struct job {
	mesh_inbound *in;
	int32_t (*go_on)(struct job *job); /* until MESH_E_WOULD_BLOCK; MESH_OK: it has replied; else it has failed */
	char piece[PIECE];
	size_t held, from; /* in piece; written of it */
	size_t at, len;
	bool intact;
};

static int32_t upload_on(struct job *job)
{
	int32_t code;
	size_t n;

	while ((code = mesh_inbound_read(job->in, job->piece, sizeof(job->piece), &n, 0)) == MESH_OK && n > 0) {
		job->intact = job->intact && serving_is_filled(job->piece, n, job->at);
		job->at += n;
	}
	if (code == MESH_OK) {
		reply_count(job->in, job->at, job->intact);
	}
	return code;
}

/* Writes what is in hand. */
static int32_t write_on(struct job *job)
{
	int32_t code = MESH_OK;
	size_t n;

	while (code == MESH_OK && job->from < job->held) {
		code = mesh_reply_write(job->in, job->piece + job->from, job->held - job->from, &n, 0);
		job->from += n;
	}
	return code;
}

static int32_t download_on(struct job *job)
{
	int32_t code = write_on(job);

	while (code == MESH_OK && job->at < job->len) {
		job->held = job->len - job->at < PIECE ? job->len - job->at : PIECE;
		job->from = 0;
		serving_fill(job->piece, job->held, job->at);
		job->at += job->held;
		code = write_on(job);
	}
	return code == MESH_OK ? mesh_reply_end(job->in) : code;
}

static int32_t echo_on(struct job *job)
{
	int32_t code;

	while ((code = write_on(job)) == MESH_OK) {
		code = mesh_inbound_read(job->in, job->piece, sizeof(job->piece), &job->held, 0);
		job->from = 0;
		if (code != MESH_OK || job->held == 0) {
			break;
		}
	}
	return code == MESH_OK ? mesh_reply_end(job->in) : code;
}

static void go_on(struct job *job)
{
	int32_t code = job->go_on(job);

	if (code == MESH_E_WOULD_BLOCK) {
		return;
	}
	if (code != MESH_OK) {
		(void)mesh_reply_abort(job->in);
	}
	free(job);
}

static void on_event(void *user, mesh_inbound *in, int32_t kind)
{
	(void)in;
	(void)kind;
	go_on(user);
}

static void handle_by_events(void *user, mesh_inbound *in)
{
	struct job *job = calloc(1, sizeof(*job));

	(void)user;
	job->in = in;
	job->intact = true;
	job->len = length_asked(in);
	job->go_on = strcmp(mesh_inbound_path(in), "/upload") == 0 ? upload_on : strcmp(mesh_inbound_path(in), "/download") == 0 ? download_on : echo_on;
	if (mesh_inbound_on_stream(in, on_event, job) != MESH_OK || (job->go_on != upload_on && mesh_reply_begin(in, 200) != MESH_OK)) {
		(void)mesh_reply_abort(in);
		free(job);
	} else {
		go_on(job);
	}
}

const struct stream_way stream_ways[STREAM_WAYS] = {{"pool", handle_waiting}, {"pull", handle_waiting}, {"inline", handle_by_events}};
