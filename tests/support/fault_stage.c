#include "fault_stage.h"
#include "support/patience.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not the same everywhere: a part that is missing or comes twice shows. */
static void write_answer(int call, char body[STAGE_ANSWER_BYTES])
{
	for (int i = 0; i < STAGE_ANSWER_BYTES; i++) {
		body[i] = (char)('a' + (i * 7 + call) % 26);
	}
}

static void pay(void *user, mesh_inbound *in)
{
	struct fault_stage *s = user;
	long call = strtol(mesh_inbound_path(in) + 1, NULL, 10);
	char body[STAGE_ANSWER_BYTES];

	if (call < 0 || call >= STAGE_CALLS_MAX) {
		abort();
	}
	atomic_fetch_add(&s->executed[call], 1);
	write_answer((int)call, body);
	(void)mesh_reply(in, 200, body, sizeof(body));
}

void fault_stage_init(struct fault_stage *s)
{
	struct mesh__addr payments;

	memset(s, 0, sizeof(*s));
	(void)setenv("MESH_TLS_MAX_VERSION", "1.2", 1); /* 1.3 hides which records are data, and places are counted in these */
	two_meshes_init(&s->meshes, "inline", pay, s);
	two_meshes_address(&s->meshes, &payments);
	s->proxy = fault_proxy_new(&payments, NULL);
	fault_proxy_addresses(s->proxy, s->addresses);
}

void fault_stage_fini(struct fault_stage *s)
{
	fault_proxy_free(s->proxy);
	two_meshes_fini(&s->meshes);
}

mesh *fault_stage_open(struct fault_stage *s, const struct mesh__addr *addresses, size_t n, const char *connect_timeout)
{
	char fields[128];
	mesh_options *options;
	mesh *m = NULL;

	(void)snprintf(fields, sizeof(fields), "connectTimeout: %s\nretries: {attempts: %zu, retryOn: [unsent, connect-failure], backoff: {base: 0s}}\n", connect_timeout, n - 1);
	options = two_meshes_options_with(&s->meshes, "cart", addresses, n, fields);
	if (mesh_open(options, &m, NULL) != MESH_OK || mesh_wait_ready(m, patience(10000), NULL) != MESH_OK) {
		(void)fprintf(stderr, "fault_stage: the caller does not open\n");
		abort();
	}
	mesh_options_free(options);
	return m;
}

static void fill(struct outcome *out, const mesh_request *r)
{
	const mesh_error *error = mesh_request_error(r);
	char expected[STAGE_ANSWER_BYTES];
	size_t len = 0;
	const char *body = mesh_response_body(r, &len);

	write_answer(out->call, expected);
	out->name = error != NULL ? mesh_error_name(error) : "MESH_OK";
	out->origin = error != NULL ? mesh_error_origin(error) : "";
	(void)snprintf(out->message, sizeof(out->message), "%s", error != NULL ? mesh_error_message(error) : "");
	out->may_be_processed = error != NULL && mesh_error_may_be_processed(error) != 0;
	out->tries = mesh_request_tries(r);
	out->status = mesh_response_status(r);
	out->whole = len == sizeof(expected) && memcmp(body, expected, len) == 0;
}

void fault_stage_call(struct fault_stage *s, mesh *m, const char *method, int64_t timeout_ms, struct outcome *out)
{
	int64_t begun_us = mesh__mono_us(&s->meshes.env);
	mesh_request *r;
	char path[16];

	memset(out, 0, sizeof(*out));
	out->call = s->n_calls++;
	(void)snprintf(path, sizeof(path), "/%d", out->call);
	r = mesh_request_new(m, "payments", method, path);
	if (out->call >= STAGE_CALLS_MAX || r == NULL || mesh_request_timeout(r, timeout_ms) != MESH_OK ||
	    (strcmp(method, "POST") == 0 && mesh_request_body(r, "the body of the request", 23) != MESH_OK)) {
		abort();
	}
	(void)mesh_call(r);
	out->ms = (mesh__mono_us(&s->meshes.env) - begun_us) / 1000;
	fill(out, r);
	mesh_request_free(r);
}
